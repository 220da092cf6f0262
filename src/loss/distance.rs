//! Losses by distance: between answer and target, or of answers to each other.
use super::{
    Reduction,
    checks::{accepted, common, one_shape},
};
use crate::{
    Number, fuse,
    ops::{Float, index::valid, list::Test},
    tape::Var,
};

/// The options of [`TripletMargin::apply`]: margin 1, the norm of order 2, eps 1e-6, no swap.
///
/// ```
/// use kolmo::{Tape, loss::TripletMargin};
/// let tape = Tape::<f64>::new();
/// let [anchor, positive, negative] = [[[0.0, 0.0]], [[0.0, 1.0]], [[3.0, 0.0]]].map(|v| tape.input(v));
/// let loss = TripletMargin::new().margin(2.5).apply(&anchor, &positive, &negative);
/// assert!((loss.item()? - 0.5).abs() < 1e-5); // 1 - 3 + 2.5
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "a loss does nothing until it is given what it compares"]
pub struct TripletMargin {
    margin: f64,
    p: f64,
    eps: f64,
    swap: bool,
    reduction: Reduction,
}

impl Default for TripletMargin {
    fn default() -> Self {
        TripletMargin { margin: 1.0, p: 2.0, eps: 1e-6, swap: false, reduction: Reduction::Mean }
    }
}

impl TripletMargin {
    /// PyTorch's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How much farther the negative must be; greater than 0.
    pub fn margin(self, margin: f64) -> Self {
        TripletMargin { margin, ..self }
    }

    /// The order of the norm.
    pub fn p(self, p: f64) -> Self {
        TripletMargin { p, ..self }
    }

    /// Added to each difference, so that no norm is 0.
    pub fn eps(self, eps: f64) -> Self {
        TripletMargin { eps, ..self }
    }

    /// Whether the distance from positive to negative counts where it is smaller than that from the anchor.
    pub fn swap(self, swap: bool) -> Self {
        TripletMargin { swap, ..self }
    }

    /// How the losses are folded.
    pub fn reduction(self, reduction: Reduction) -> Self {
        TripletMargin { reduction, ..self }
    }

    /// `max(0, margin + |a - p| - |a - n|)` with norms over the last axis; anchor, positive and negative
    /// `[…, d]`.
    #[track_caller]
    pub fn apply<'t, T: Float>(
        self,
        anchor: &Var<'t, T>,
        positive: &Var<'t, T>,
        negative: &Var<'t, T>,
    ) -> Var<'t, T> {
        let ranks = [anchor, positive, negative].map(Var::rank);
        let fits = accepted(ranks[0] == ranks[1] && ranks[0] == ranks[2] && ranks[0] > 0, || {
            format!("anchor, positive and negative must have equally many axes, at least one, not {ranks:?}")
        });
        valid!(anchor, "triplet_margin_loss", fits);
        let margin = accepted(self.margin > 0.0, || format!("margin {} must be greater than 0", self.margin));
        valid!(anchor, "triplet_margin_loss", margin);
        let distance = |a: &Var<'t, T>, b: &Var<'t, T>| (a - b + self.eps).norm_dim(self.p, &[-1], false);
        let near = distance(anchor, positive);
        let mut far = distance(anchor, negative);
        if self.swap {
            far = far.minimum(&distance(positive, negative));
        }
        let losses = self.reduction.of((near - far + self.margin).clamp_min(0.0));
        losses.named("triplet_margin_loss", &[anchor, positive, negative])
    }
}

/// # Losses: distances
impl<'t, T: Float> Var<'t, T> {
    /// Mean squared error: `(x - y)²`, for answers and targets of one shape. Where PyTorch warns that it
    /// broadcasts, this is an error, here and in the next three.
    #[track_caller]
    #[doc(alias = "MSELoss")]
    pub fn mse_loss(&self, target: &Var<'t, T>, reduction: Reduction) -> Var<'t, T> {
        valid!([self, target], "mse_loss", one_shape(self, target));
        reduction.of(fuse!(|x, y| (x - y) * (x - y)).apply([self, target]))
    }

    /// Mean absolute error: `|x - y|`, with gradient 0 where both are equal.
    #[track_caller]
    #[doc(alias = "L1Loss")]
    pub fn l1_loss(&self, target: &Var<'t, T>, reduction: Reduction) -> Var<'t, T> {
        valid!([self, target], "l1_loss", one_shape(self, target));
        reduction.of(fuse!(|x, y| (x - y).abs()).apply([self, target]))
    }

    /// `½ (x - y)² / beta` where `|x - y| < beta`, else `|x - y| - ½ beta`. PyTorch's default for `beta` is
    /// 1.
    #[track_caller]
    #[doc(alias = "SmoothL1Loss")]
    pub fn smooth_l1_loss(&self, target: &Var<'t, T>, beta: f64, reduction: Reduction) -> Var<'t, T> {
        valid!([self, target], "smooth_l1_loss", one_shape(self, target));
        let range = accepted(beta >= 0.0, || format!("beta {beta} must not be negative"));
        valid!([self, target], "smooth_l1_loss", range);
        if beta == 0.0 {
            return self.l1_loss(target, reduction);
        }
        let half = 0.5 * beta;
        let scale = 0.5 / beta;
        let f = fuse!(
            [beta, half, scale] | x,
            y | {
                let d = x - y;
                Number::select(d.abs().less(Number::constant(beta)), scale * (d * d), d.abs() - half)
            }
        );
        reduction.of(f.apply([self, target]))
    }

    /// `½ (x - y)²` where `|x - y| <= delta`, else `delta (|x - y| - ½ delta)`. PyTorch's default for `delta`
    /// is 1.
    #[track_caller]
    #[doc(alias = "HuberLoss")]
    pub fn huber_loss(&self, target: &Var<'t, T>, delta: f64, reduction: Reduction) -> Var<'t, T> {
        valid!([self, target], "huber_loss", one_shape(self, target));
        valid!(
            [self, target],
            "huber_loss",
            accepted(delta > 0.0, || format!("delta {delta} must be greater than 0"))
        );
        let half = 0.5 * delta;
        let f = fuse!(
            [delta, half] | x,
            y | {
                let d = x - y;
                Number::select(
                    d.abs().less_equal(Number::constant(delta)),
                    0.5 * (d * d),
                    delta * (d.abs() - half),
                )
            }
        );
        reduction.of(f.apply([self, target]))
    }

    /// For a distance `x` and a label `y`: `x` where y is 1, `max(0, margin - x)` where it is -1. PyTorch's
    /// default margin is 1.
    #[track_caller]
    pub fn hinge_embedding_loss(&self, label: &Var<'t, T>, margin: f64, reduction: Reduction) -> Var<'t, T> {
        valid!([self, label], "hinge_embedding_loss", common(self, label));
        let zero = self.tape().constant(T::constant(0.0));
        let [one, minus_one] = [1.0, -1.0].map(|value| label.test(Test::Equal, value));
        let far = zero.where_one(&one, &(margin - self).clamp_min(0.0));
        reduction.of(far + zero.where_one(&minus_one, self))
    }

    /// For two scores and a label `y` that is 1 if the first should be larger, else -1:
    /// `max(0, margin - y (x₁ - x₂))`. PyTorch's default margin is 0.
    #[track_caller]
    pub fn margin_ranking_loss(
        &self,
        other: &Var<'t, T>,
        label: &Var<'t, T>,
        margin: f64,
        reduction: Reduction,
    ) -> Var<'t, T> {
        let ranks = [self, other, label].map(Var::rank);
        let fits = accepted(ranks[0] == ranks[1] && ranks[0] == ranks[2], || {
            format!("scores and label must have equally many axes, not {ranks:?}")
        });
        valid!([self, other, label], "margin_ranking_loss", fits);
        let losses = reduction.of((margin - (self - other) * label).clamp_min(0.0));
        losses.named("margin_ranking_loss", &[self, other, label])
    }

    /// For pairs of vectors `[…, d]` and labels `[…]`: `1 - cos` where the label is 1, `max(0, cos - margin)`
    /// where it is -1. PyTorch's default margin is 0.
    #[track_caller]
    pub fn cosine_embedding_loss(
        &self,
        other: &Var<'t, T>,
        label: &Var<'t, T>,
        margin: f64,
        reduction: Reduction,
    ) -> Var<'t, T> {
        let fits = accepted(self.rank() == label.rank() + 1 && other.rank() == self.rank(), || {
            format!(
                "vectors {} and {}, labels {}: […, d] twice and […] are needed",
                self.shape(),
                other.shape(),
                label.shape()
            )
        });
        valid!([self, other, label], "cosine_embedding_loss", fits);
        let dot = |a: &Var<'t, T>, b: &Var<'t, T>| (a * b).sum_dim(&[-1], false);
        let length = (dot(self, self) + 1e-12) * (dot(other, other) + 1e-12);
        let cosine = dot(self, other) / length.sqrt();
        let [like, unlike] = [1.0, -1.0].map(|value| label.test(Test::Equal, value));
        let zero = self.tape().constant(T::constant(0.0));
        let far = (&cosine - margin).clamp_min(0.0).where_one(&unlike, &zero);
        let losses = reduction.of((1.0 - cosine).where_one(&like, &zero) + far);
        losses.named("cosine_embedding_loss", &[self, other, label])
    }
}
