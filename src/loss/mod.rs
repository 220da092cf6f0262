//! Losses: how far a model's answer is from what it should be. Each is a method of the answer that takes the
//! target, with PyTorch's defaults, and a type with PyTorch's options, among them the [`Reduction`].
//!
//! ```
//! use kolmo::{Tape, Tensor, loss::{HuberLoss, Reduction}};
//! let tape = Tape::<f64>::new();
//! let (x, y) = (tape.input([1.0, 5.0]), Tensor::from([1.0, 2.0]));
//! assert_eq!(x.huber_loss(&y).item()?, 1.25);
//! let loss = HuberLoss::new().delta(2.0).reduction(Reduction::Sum);
//! assert_eq!(loss.apply(&x, &y).item()?, 4.0);
//! # Ok::<(), kolmo::Error>(())
//! ```
// In the order in which rustdoc shows their methods of `Var`.
pub(crate) mod classes;

pub(crate) mod binary;
mod distance;
mod likelihood;

mod ctc;

mod checks;
mod options;
mod penalty;
mod reduction;

pub use binary::{BceLoss, BceWithLogitsLoss, MultilabelSoftMarginLoss, SoftMarginLoss};
pub use classes::{ClassTarget, CrossEntropyLoss, MultiMarginLoss, MultilabelMarginLoss, NllLoss};
pub use ctc::CtcLoss;
pub use distance::{
    CosineEmbeddingLoss, HingeEmbeddingLoss, HuberLoss, L1Loss, MarginRankingLoss, MseLoss, SmoothL1Loss,
    TripletMarginLoss,
};
pub use likelihood::{GaussianNllLoss, KlDivLoss, PoissonNllLoss};
pub use penalty::{elastic_net_penalty, l1_penalty, l2_penalty};
pub use reduction::Reduction;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Result, Tape, Tensor, Var};

    type Loss = for<'t> fn(&Var<'t, f64>, &Var<'t, f64>, &Tensor<f64>) -> [Var<'t, f64>; 3];

    /// The loss of a target on the tape, of the same tensor, and with options that are the defaults.
    const LOSSES: &[(&str, Loss)] = &[
        ("mse", |x, y, t| [x.mse_loss(y), x.mse_loss(t), MseLoss::new().apply(x, y)]),
        ("l1", |x, y, t| [x.l1_loss(y), x.l1_loss(t), L1Loss::new().apply(x, y)]),
        ("smooth l1", |x, y, t| {
            [x.smooth_l1_loss(y), x.smooth_l1_loss(t), SmoothL1Loss::new().beta(1.0).apply(x, y)]
        }),
        ("huber", |x, y, t| [x.huber_loss(y), x.huber_loss(t), HuberLoss::new().delta(1.0).apply(x, y)]),
        ("hinge", |x, y, t| {
            let loss = HingeEmbeddingLoss::new().margin(1.0);
            [x.hinge_embedding_loss(y), x.hinge_embedding_loss(t), loss.apply(x, y)]
        }),
        ("bce", |x, y, t| {
            let weight = Tensor::from([1.0]);
            let loss = BceLoss::new().weight(&weight);
            [x.binary_cross_entropy(y), x.binary_cross_entropy(t), loss.apply(x, y)]
        }),
        ("bce of logits", |x, y, t| {
            let loss = BceWithLogitsLoss::new().weight(1.0).pos_weight(1.0);
            [x.binary_cross_entropy_with_logits(y), x.binary_cross_entropy_with_logits(t), loss.apply(x, y)]
        }),
        ("soft margin", |x, y, t| {
            [x.soft_margin_loss(y), x.soft_margin_loss(t), SoftMarginLoss::new().apply(x, y)]
        }),
        ("multilabel soft margin", |x, y, t| {
            let loss = MultilabelSoftMarginLoss::new().weight(1.0);
            [x.multilabel_soft_margin_loss(y), x.multilabel_soft_margin_loss(t), loss.apply(x, y)]
        }),
        ("kl_div", |x, y, t| [x.kl_div(y), x.kl_div(t), KlDivLoss::new().log_target(false).apply(x, y)]),
        ("poisson", |x, y, t| {
            let loss = PoissonNllLoss::new().log_input(true).full(false).eps(1e-8);
            [x.poisson_nll_loss(y), x.poisson_nll_loss(t), loss.apply(x, y)]
        }),
        ("gaussian", |x, y, t| {
            let loss = GaussianNllLoss::new().full(false).eps(1e-6);
            [x.gaussian_nll_loss(y, 1.0), x.gaussian_nll_loss(t, &t.cast()), loss.apply(x, y, 1.0)]
        }),
        ("margin ranking", |x, y, t| {
            let loss = MarginRankingLoss::new().margin(0.0);
            [x.margin_ranking_loss(y, 1.0), x.margin_ranking_loss(t, 1.0), loss.apply(x, y, 1.0)]
        }),
        ("cosine", |x, y, t| {
            let loss = CosineEmbeddingLoss::new().margin(0.0);
            [x.cosine_embedding_loss(y, 1.0), x.cosine_embedding_loss(t, 1.0), loss.apply(x, y, 1.0)]
        }),
        ("triplet", |x, y, t| {
            let loss = TripletMarginLoss::new();
            [loss.apply(x, y, 0.5), loss.apply(x, t, 0.5), loss.apply(x, y, &(y * 0.0 + 0.5))]
        }),
        ("cross entropy", |x, y, t| {
            [x.cross_entropy(y), x.cross_entropy(t), CrossEntropyLoss::new().apply(x, y)]
        }),
    ];

    #[test]
    fn targets_are_values_or_tensors_and_options_have_defaults() -> Result<()> {
        for (name, loss) in LOSSES {
            let tape = Tape::new();
            let target = Tensor::from([1.0, 1.0, 1.0]);
            let x = tape.input([0.3, 0.6, 0.8]);
            let found = loss(&x, &tape.constant(&target), &target);
            let values = found.iter().map(Var::item).collect::<Result<Vec<_>>>()?;
            let grads = found.map(|l| l.backward().map(|g| g.get(&x).map(Tensor::to_vec)));
            let [a, b, c] = grads;
            let (a, b, c) = (a?, b?, c?);
            assert!(values[0].is_finite() && values[0] == values[1], "{name}: {values:?}");
            assert!((values[0] - values[2]).abs() < 1e-15 && a == b, "{name}: {values:?}");
            let near = a.iter().flatten().zip(c.iter().flatten()).all(|(a, c)| (a - c).abs() < 1e-15);
            assert!(near, "{name}: {a:?} {c:?}");
        }
        Ok(())
    }

    #[test]
    fn a_number_is_as_many_as_the_answers() -> Result<()> {
        let tape = Tape::<f64>::new();
        let x = tape.input([[1.0, 2.0], [3.0, 5.0]]);
        assert_eq!(x.mse_loss(1.0).item()?, 21.0 / 4.0);
        assert_eq!(x.l1_loss(1.0).item()?, 7.0 / 4.0);
        assert_eq!(L1Loss::new().reduction(Reduction::Sum).apply(&x, 1.0).item()?, 7.0);
        let gradient = x.l1_loss(1.0).backward()?.get(&x).map(Tensor::to_vec);
        assert_eq!(gradient, Some(vec![0.0, 0.25, 0.25, 0.25]));
        // Of numbers that aren't one for all, the shape is the user's to say.
        assert!(x.mse_loss(&Tensor::from(1.0)).ok().is_err());
        Ok(())
    }

    #[test]
    fn classes_and_probabilities_are_told_apart_by_their_type() -> Result<()> {
        let tape = Tape::<f32>::new();
        let scores = tape.input([[2.0, 0.0, -1.0], [0.5, 0.0, 3.0]]);
        let classes = scores.cross_entropy(&Tensor::from([0, 2]));
        let certain = Tensor::from([[1.0f32, 0.0, 0.0], [0.0, 0.0, 1.0]]);
        for same in [
            scores.cross_entropy(&Tensor::from([0u32, 2])),
            scores.cross_entropy(&certain),
            scores.cross_entropy(&tape.constant(&certain)),
            CrossEntropyLoss::new().apply(&scores, &Tensor::from([0i64, 2])),
        ] {
            assert!((same.item()? - classes.item()?).abs() < 1e-6, "{same:?}");
        }
        let loss = CrossEntropyLoss::new().weight([1.0, 1.0, 1.0]);
        assert!((loss.apply(&scores, &Tensor::from([0, 2])).item()? - classes.item()?).abs() < 1e-6);
        let error = scores.cross_entropy(&Tensor::from([1.0f32])).ok().unwrap_err().to_string();
        assert!(error.contains("scores [2, 3] and probabilities [1] must have one shape"), "{error}");
        assert!(error.contains("loss/mod.rs"), "{error}");
        Ok(())
    }

    #[test]
    fn losses_with_options_are_pytorch_s() -> Result<()> {
        let tape = Tape::<f64>::new();
        let x = tape.input([0.5, -1.0, 3.0]);
        let close = |loss: Var<'_, f64>, expected: f64| {
            let found = loss.item().unwrap();
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        };
        // By hand: ½·0.25/0.5, then |d| - 0.25.
        let loss = SmoothL1Loss::new().beta(0.5).reduction(Reduction::Sum);
        close(loss.apply(&x, 0.0), 0.25 + 0.75 + 2.75);
        let loss = HuberLoss::new().delta(2.0).reduction(Reduction::Sum);
        close(loss.apply(&x, 0.0), 0.125 + 0.5 + 2.0 * (3.0 - 1.0));
        let loss = HingeEmbeddingLoss::new().margin(2.0).reduction(Reduction::Sum);
        close(loss.apply(&x, -1.0), 1.5 + 3.0 + 0.0);
        let loss = BceWithLogitsLoss::new().pos_weight(2.0).weight(3.0);
        close(loss.apply(&tape.constant([0.0]), 1.0), 6.0 * 2f64.ln());
        let loss = KlDivLoss::new().log_target(true).reduction(Reduction::BatchMean);
        close(loss.apply(&tape.constant([[0.0, 0.0]]), 1.0), 2.0 * std::f64::consts::E);
        let logs = tape.constant([[-1.0, -2.0], [-3.0, -4.0]]);
        let loss = NllLoss::new().weight([1.0, 3.0]);
        close(loss.apply(&logs, &Tensor::from([0, 1])), (1.0 + 12.0) / 4.0);
        let loss = MultiMarginLoss::new().margin(0.5).p(2.0);
        close(loss.apply(&logs, &Tensor::from([1, 1])), 1.5 * 1.5 / 2.0);
        Ok(())
    }
}
