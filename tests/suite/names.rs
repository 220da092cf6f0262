//! An operation that can't be done is told under its own name, at the caller's line, however it is composed.
use kolmo::{
    Tape, Tensor, Var,
    loss::{
        BceLoss, BceWithLogitsLoss, CrossEntropyLoss, GaussianNllLoss, PoissonNllLoss, TripletMarginLoss,
    },
    ops::{AttentionOptions, MatrixNorm, SolveTriangularOptions},
};

type Call = for<'t> fn(&[Var<'t, f64>]) -> Var<'t, f64>;

/// Operations, and shapes of operands that they can't take.
const CALLS: &[(&str, Call, &[&[usize]])] = &[
    ("bmm", |x| x[0].bmm(&x[1]), &[&[2, 3, 4], &[2, 3, 4]]),
    ("bmm", |x| x[0].bmm(&x[1]), &[&[2, 3, 4], &[3, 4, 1]]),
    ("dot", |x| x[0].dot(&x[1]), &[&[2], &[3]]),
    ("outer", |x| x[0].outer(&x[1]), &[&[2], &[3, 1]]),
    ("tensordot", |x| x[0].tensordot(&x[1], [1], [0]), &[&[2, 3], &[2, 3]]),
    ("addmm", |x| x[0].addmm(&x[1], &x[2], 1.0, 1.0), &[&[2, 2], &[2, 3], &[2, 3]]),
    ("addmm", |x| x[0].addmm(&x[1], &x[2], 1.0, 1.0), &[&[5, 5], &[2, 3], &[3, 2]]),
    ("baddbmm", |x| x[0].baddbmm(&x[1], &x[2], 1.0, 1.0), &[&[2, 2], &[2, 2, 3], &[2, 2, 3]]),
    ("cross", |x| x[0].cross(&x[1], None), &[&[2, 4], &[2, 4]]),
    ("cross", |x| x[0].cross(&x[1], 1), &[&[2, 3], &[5, 3]]),
    ("bilinear", |x| x[0].bilinear(&x[1], &x[2], None), &[&[2, 3], &[2, 4], &[5, 4, 3]]),
    ("bilinear", |x| x[0].bilinear(&x[1], &x[2], Some(&x[3])), &[&[2, 3], &[2, 4], &[5, 3, 4], &[7]]),
    ("matrix_norm", |x| x[0].matrix_norm(MatrixNorm::Nuc, [0, 5], false), &[&[2, 3]]),
    ("lerp", |x| x[0].lerp(&x[1], 0.3), &[&[2], &[3]]),
    ("lerp", |x| x[0].lerp(&x[1], &x[2]), &[&[2], &[2], &[3]]),
    ("addcmul", |x| x[0].addcmul(&x[1], &x[2], 2.0), &[&[2], &[2], &[3]]),
    ("addcdiv", |x| x[0].addcdiv(&x[1], &x[2], 2.0), &[&[4], &[2], &[2]]),
    ("normalize", |x| x[0].normalize(2.0, 4, 1e-12), &[&[2, 3]]),
    ("cosine_similarity", |x| x[0].cosine_similarity(&x[1], 1, 1e-8), &[&[2, 3], &[2, 4]]),
    ("cosine_similarity", |x| x[0].cosine_similarity(&x[1], 3, 1e-8), &[&[2, 3], &[2, 3]]),
    ("pairwise_distance", |x| x[0].pairwise_distance(&x[1], 2.0, 1e-6, false), &[&[2, 3], &[2, 4]]),
    ("cdist", |x| x[0].cdist(&x[1], 2.0), &[&[2, 3], &[2, 4]]),
    ("cdist", |x| x[0].cdist(&x[1], 2.0), &[&[5, 2, 3], &[4, 2, 3]]),
    ("renorm", |x| x[0].renorm(2.0, 0, 1.0), &[&[3]]),
    ("var", |x| x[0].var_dim(3, 1.0, false), &[&[2]]),
    ("std", |x| x[0].std_dim(3, 1.0, false), &[&[2]]),
    ("norm", |x| x[0].norm_dim(3.0, 3, false), &[&[2]]),
    ("prod", |x| x[0].prod_dim(3, false), &[&[2]]),
    ("nansum", |x| x[0].nansum_dim(3, false), &[&[2]]),
    ("nanmean", |x| x[0].nanmean_dim(3, false), &[&[2]]),
    ("diff", |x| x[0].diff(1, 3), &[&[2]]),
    ("logsumexp", |x| x[0].logsumexp(3, false), &[&[2]]),
    ("logcumsumexp", |x| x[0].logcumsumexp(3), &[&[2]]),
    ("cumprod", |x| x[0].cumprod(3), &[&[2]]),
    ("glu", |x| x[0].glu(3), &[&[2]]),
    ("glu", |x| x[0].glu(0), &[&[3]]),
    ("prelu", |x| x[0].prelu(&x[1]), &[&[2, 3], &[2]]),
    ("roll", |x| x[0].roll([], []), &[&[2, 3]]),
    ("sort", |x| x[0].sort(3, false).0, &[&[2]]),
    ("det", |x| x[0].det(), &[&[2, 3]]),
    ("slogdet", |x| x[0].slogdet().1, &[&[2, 3]]),
    ("slogdet", |x| x[0].slogdet().0, &[&[2]]),
    ("inv", |x| x[0].inv(), &[&[2, 3]]),
    ("inv", |x| x[0].inv(), &[&[2, 2]]),
    ("cholesky", |x| x[0].cholesky(true), &[&[2, 3]]),
    ("svdvals", |x| x[0].svdvals(), &[&[2]]),
    ("solve", |x| x[0].solve(&x[1]), &[&[2, 3], &[2]]),
    ("solve", |x| x[0].solve(&x[1]), &[&[2, 2], &[2]]),
    ("solve", |x| x[0].solve(&x[1]), &[&[2, 2], &[]]),
    ("solve", |x| x[0].solve(&x[1]), &[&[4, 2, 2], &[3, 2, 1]]),
    ("solve_triangular", |x| x[0].solve_triangular(&x[1], SolveTriangularOptions::new()), &[&[2, 2], &[2]]),
    (
        "solve_triangular",
        |x| x[0].solve_triangular(&x[1], SolveTriangularOptions::new().upper(true)),
        &[&[2, 2], &[3, 1]],
    ),
    ("layer_norm", |x| x[0].layer_norm(&[4], None, None, 1e-5), &[&[2, 3]]),
    ("rms_norm", |x| x[0].rms_norm(&[3], Some(&x[1]), None), &[&[2, 3], &[4]]),
    ("batch_norm", |x| x[0].batch_norm(Some((&x[1], &x[2])), None, None, 1e-5), &[&[2, 3], &[4], &[4]]),
    ("batch_norm", |x| x[0].batch_norm(None, Some(&x[1]), None, 1e-5), &[&[2, 3], &[4]]),
    ("group_norm", |x| x[0].group_norm(2, None, None, 1e-5), &[&[2, 3, 4]]),
    ("instance_norm", |x| x[0].instance_norm(None, None, None, 1e-5), &[&[2, 3]]),
    ("local_response_norm", |x| x[0].local_response_norm(2, 1e-4, 0.75, 1.0), &[&[2, 3]]),
    (
        "scaled_dot_product_attention",
        |x| x[0].scaled_dot_product_attention(&x[1], &x[2], &AttentionOptions::default()),
        &[&[2, 3, 4], &[5, 3, 4], &[5, 3, 4]],
    ),
    (
        "scaled_dot_product_attention",
        |x| {
            let biased = AttentionOptions::new().attn_mask(&x[1]);
            x[0].scaled_dot_product_attention(&x[0], &x[0], &biased)
        },
        &[&[2, 3, 4], &[5, 5]],
    ),
    ("mse_loss", |x| x[0].mse_loss(&x[1]), &[&[2], &[3]]),
    ("l1_loss", |x| x[0].l1_loss(&x[1]), &[&[2], &[2, 1]]),
    ("kl_div", |x| x[0].kl_div(&x[1]), &[&[2], &[3]]),
    ("soft_margin_loss", |x| x[0].soft_margin_loss(&x[1]), &[&[2], &[3]]),
    ("hinge_embedding_loss", |x| x[0].hinge_embedding_loss(&x[1]), &[&[2], &[3]]),
    ("poisson_nll_loss", |x| PoissonNllLoss::new().full(true).apply(&x[0], &x[1]), &[&[2], &[3]]),
    ("gaussian_nll_loss", |x| GaussianNllLoss::new().full(true).apply(&x[0], &x[1], &x[1]), &[&[2], &[3]]),
    ("margin_ranking_loss", |x| x[0].margin_ranking_loss(&x[1], &x[2]), &[&[2], &[2], &[3]]),
    ("cosine_embedding_loss", |x| x[0].cosine_embedding_loss(&x[1], &x[2]), &[&[2, 3], &[2, 4], &[2]]),
    (
        "triplet_margin_loss",
        |x| TripletMarginLoss::new().apply(&x[0], &x[1], &x[2]),
        &[&[2, 3], &[2, 4], &[2, 3]],
    ),
    ("binary_cross_entropy", |x| x[0].binary_cross_entropy(&x[1]), &[&[2], &[3]]),
    ("binary_cross_entropy", |x| BceLoss::new().weight(&x[1]).apply(&x[0], &x[0]), &[&[2], &[3]]),
    (
        "binary_cross_entropy_with_logits",
        |x| BceWithLogitsLoss::new().pos_weight(&x[1]).apply(&x[0], &x[0]),
        &[&[2], &[3]],
    ),
    ("multilabel_soft_margin_loss", |x| x[0].multilabel_soft_margin_loss(&x[1]), &[&[2], &[3]]),
    ("cross_entropy", |x| x[0].cross_entropy(&Tensor::from([1u32])), &[&[2, 3]]),
    (
        "cross_entropy",
        |x| CrossEntropyLoss::new().weight([1.0]).apply(&x[0], &Tensor::from([1u32, 1])),
        &[&[2, 3]],
    ),
    ("cross_entropy", |x| CrossEntropyLoss::new().apply(&x[0], &x[1]), &[&[2, 3], &[3, 2]]),
    ("nll_loss", |x| x[0].nll_loss(&Tensor::from([7u32, 0])), &[&[2, 3]]),
    ("multi_margin_loss", |x| x[0].multi_margin_loss(&Tensor::from([7u32, 0])), &[&[2, 3]]),
];

#[test]
fn errors_name_the_operation_that_was_called() {
    let mut wrong = Vec::new();
    for (name, call, shapes) in CALLS {
        let tape = Tape::<f64>::new();
        // All the same: no matrix of them has an inverse or a root.
        let x: Vec<_> = shapes.iter().map(|s| tape.input(Tensor::full(*s, 0.5))).collect();
        match call(&x).value() {
            Ok(y) => wrong.push(format!("{name}{shapes:?} gave {}", y.shape())),
            Err(error) => {
                let text = error.to_string();
                if !text.starts_with(&format!("{name}: ")) || !text.contains("names.rs") {
                    wrong.push(format!("{name}{shapes:?} says {text}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
