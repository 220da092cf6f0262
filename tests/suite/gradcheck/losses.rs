//! Losses.
use super::{check_all, numbers, positive};
use kolmo::{
    Tensor,
    loss::{CrossEntropy, Reduction, TripletMargin},
};

const MEAN: Reduction = Reduction::Mean;

#[test]
fn distances() {
    let two = || vec![numbers([2, 3]), positive([2, 3])];
    let three = || vec![numbers([2, 3]), positive([2, 3]), positive([2, 3])];
    check_all(&[
        ("mse", |x| x[0].mse_loss(&x[1], MEAN), two()),
        ("l1", |x| x[0].l1_loss(&x[1], Reduction::Sum).tanh(), two()),
        ("smooth_l1", |x| x[0].smooth_l1_loss(&x[1], 0.7, MEAN), two()),
        ("huber", |x| x[0].huber_loss(&x[1], 0.6, Reduction::None), two()),
        ("triplet", |x| TripletMargin::new().swap(true).apply(&x[0], &x[1], &(&x[2] * 1.3)), three()),
        (
            "hinge embedding",
            |x| {
                let label = x[0].tape().constant([[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]]);
                x[0].hinge_embedding_loss(&label, 0.8, MEAN).tanh()
            },
            vec![positive([2, 3])],
        ),
        (
            "margin ranking",
            |x| {
                let label = x[0].tape().constant([[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0]]);
                x[0].margin_ranking_loss(&x[1], &label, 0.3, MEAN).tanh()
            },
            two(),
        ),
        (
            "cosine embedding",
            |x| x[0].cosine_embedding_loss(&x[1], &x[0].tape().constant([1.0, -1.0]), -0.9, MEAN),
            two(),
        ),
    ]);
}

#[test]
fn probabilities() {
    let p = || Tensor::from([[0.2, 0.7, 0.4], [0.9, 0.1, 0.5]]);
    let logits = || vec![numbers([2, 3]), p()];
    check_all(&[
        (
            "bce",
            |x| x[0].binary_cross_entropy(&x[1], Some(&x[2]), MEAN),
            vec![p(), positive([2, 3]), positive([3])],
        ),
        ("bce with logits", |x| x[0].binary_cross_entropy_with_logits(&x[1], None, None, MEAN), logits()),
        (
            "bce with weights",
            |x| x[0].binary_cross_entropy_with_logits(&x[1], Some(&x[2]), Some(&x[2]), Reduction::Sum),
            vec![numbers([2, 3]), p(), positive([3])],
        ),
        ("soft margin", |x| x[0].soft_margin_loss(&x[1], MEAN), logits()),
        ("multilabel soft margin", |x| x[0].multilabel_soft_margin_loss(&x[1], None, MEAN), logits()),
        ("kl_div", |x| x[0].kl_div(&x[1], false, Reduction::BatchMean), logits()),
        ("kl_div of logarithms", |x| x[0].kl_div(&x[1], true, MEAN), logits()),
        (
            "poisson",
            |x| x[0].poisson_nll_loss(&x[1], true, true, 1e-8, MEAN),
            vec![numbers([2, 3]), positive([2, 3])],
        ),
        (
            "poisson of rates",
            |x| x[0].poisson_nll_loss(&x[1], false, false, 1e-8, MEAN),
            vec![positive([2, 3]), p()],
        ),
        (
            "gaussian",
            |x| x[0].gaussian_nll_loss(&x[1], &x[2], true, 1e-6, MEAN),
            vec![numbers([2, 3]), p(), positive([2, 1])],
        ),
    ]);
}

#[test]
fn classes() {
    let scores = || vec![numbers([3, 4])];
    check_all(&[
        ("cross entropy", |x| x[0].cross_entropy(&Tensor::from([0, 3, 1])), scores()),
        (
            "cross entropy with options",
            |x| {
                let loss =
                    CrossEntropy::new().weight([0.5, 1.0, 2.0, 1.5]).label_smoothing(0.2).ignore_index(3);
                loss.apply(&x[0], &Tensor::from([0, 3, 1]))
            },
            scores(),
        ),
        (
            "cross entropy of probabilities",
            |x| CrossEntropy::new().label_smoothing(0.1).apply_probabilities(&x[0], &x[1]),
            vec![numbers([2, 3]), positive([2, 3])],
        ),
        (
            "cross entropy of pictures",
            |x| CrossEntropy::new().apply(&x[0], &Tensor::from([[0, 1], [2, 0]])),
            vec![numbers([2, 3, 2])],
        ),
        ("nll", |x| x[0].log_softmax(1).nll_loss(&Tensor::from([2, 0, 0]), None, 0, MEAN), scores()),
        (
            "multi margin",
            |x| x[0].multi_margin_loss(&Tensor::from([2, 0, 3]), 2.0, 1.0, Some(&[1.0, 2.0, 0.5, 1.0]), MEAN),
            scores(),
        ),
        (
            "multilabel margin",
            |x| {
                let lists = Tensor::from([[2, 0, -1, 1], [3, -1, 0, 0], [0, 1, 2, -1]]);
                x[0].multilabel_margin_loss(&lists, MEAN).tanh()
            },
            scores(),
        ),
    ]);
}
