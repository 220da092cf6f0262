//! Losses by distance: between answer and target, or of answers to each other.
use super::{
    Reduction,
    checks::{accepted, common, one_shape},
    options::{of_target, options},
};
use crate::{
    fuse,
    ops::{Float, Operand, index::valid, list::Test},
    real::Arithmetic,
    tape::Var,
};

options! {
    /// [`Var::mse_loss`] with its options.
    #[doc(alias = "MSELoss")]
    MseLoss {}
}

impl MseLoss {
    #[track_caller]
    fn of<'t, T: Float>(&self, input: &Var<'t, T>, target: &Var<'t, T>) -> Var<'t, T> {
        valid!([input, target], "mse_loss", one_shape(input, target));
        self.reduction.of(fuse!(|x, y| (x - y) * (x - y)).apply([input, target]))
    }
}

options! {
    /// [`Var::l1_loss`] with its options.
    L1Loss {}
}

impl L1Loss {
    #[track_caller]
    fn of<'t, T: Float>(&self, input: &Var<'t, T>, target: &Var<'t, T>) -> Var<'t, T> {
        valid!([input, target], "l1_loss", one_shape(input, target));
        self.reduction.of(fuse!(|x, y| (x - y).abs()).apply([input, target]))
    }
}

options! {
    /// [`Var::smooth_l1_loss`] with its options.
    SmoothL1Loss {
        /// Where the square ends and the straight line begins; not negative. 1 by default.
        beta: f64 = 1.0;
    }
}

impl SmoothL1Loss {
    #[track_caller]
    fn of<'t, T: Float>(&self, input: &Var<'t, T>, target: &Var<'t, T>) -> Var<'t, T> {
        let beta = self.beta;
        valid!([input, target], "smooth_l1_loss", one_shape(input, target));
        let range = accepted(beta >= 0.0, || format!("beta {beta} must not be negative"));
        valid!([input, target], "smooth_l1_loss", range);
        if beta == 0.0 {
            return L1Loss { reduction: self.reduction }.of(input, target);
        }
        let half = 0.5 * beta;
        let scale = 0.5 / beta;
        let f = fuse!(
            [beta, half, scale] | x,
            y | {
                let d = x - y;
                Arithmetic::select(d.abs().less(Arithmetic::constant(beta)), scale * (d * d), d.abs() - half)
            }
        );
        self.reduction.of(f.apply([input, target]))
    }
}

options! {
    /// [`Var::huber_loss`] with its options.
    HuberLoss {
        /// Where the square ends and the straight line begins; greater than 0. 1 by default.
        delta: f64 = 1.0;
    }
}

impl HuberLoss {
    #[track_caller]
    fn of<'t, T: Float>(&self, input: &Var<'t, T>, target: &Var<'t, T>) -> Var<'t, T> {
        let delta = self.delta;
        valid!([input, target], "huber_loss", one_shape(input, target));
        let range = accepted(delta > 0.0, || format!("delta {delta} must be greater than 0"));
        valid!([input, target], "huber_loss", range);
        let half = 0.5 * delta;
        let f = fuse!(
            [delta, half] | x,
            y | {
                let d = x - y;
                Arithmetic::select(
                    d.abs().less_equal(Arithmetic::constant(delta)),
                    0.5 * (d * d),
                    delta * (d.abs() - half),
                )
            }
        );
        self.reduction.of(f.apply([input, target]))
    }
}

options! {
    /// [`Var::hinge_embedding_loss`] with its options.
    HingeEmbeddingLoss {
        /// How large a distance must be that is to be one. 1 by default.
        margin: f64 = 1.0;
    }
}

impl HingeEmbeddingLoss {
    #[track_caller]
    fn of<'t, T: Float>(&self, input: &Var<'t, T>, label: &Var<'t, T>) -> Var<'t, T> {
        valid!([input, label], "hinge_embedding_loss", common(input, label));
        let zero = input.tape().constant(T::constant(0.0));
        let [one, minus_one] = [1.0, -1.0].map(|value| label.test(Test::Equal, value));
        let far = zero.where_one(&one, &(self.margin - input).clamp_min(0.0));
        self.reduction.of(far + zero.where_one(&minus_one, input))
    }
}

of_target! {
    /// The mean squared error: that of `(x - y)²`, for answers and targets of one shape. Where PyTorch warns
    /// that it broadcasts, this is an error, here and in the next three. [`MseLoss`] has the options.
    ///
    /// ```
    /// use kolmo::{Tape, Tensor};
    /// let tape = Tape::<f64>::new();
    /// let x = tape.input([1.0, 2.0]);
    /// assert_eq!(x.mse_loss(&Tensor::from([1.0, 4.0])).item()?, 2.0);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    mse_loss(target: like) MseLoss;

    /// The mean absolute error: that of `|x - y|`, with gradient 0 where both are equal. [`L1Loss`] has the
    /// options.
    l1_loss(target: like) L1Loss;

    /// `½ (x - y)² / beta` where `|x - y| < beta`, else `|x - y| - ½ beta`; the mean, `beta` 1.
    /// [`SmoothL1Loss`] has the options.
    smooth_l1_loss(target: like) SmoothL1Loss;

    /// `½ (x - y)²` where `|x - y| <= delta`, else `delta (|x - y| - ½ delta)`; the mean, `delta` 1.
    /// [`HuberLoss`] has the options.
    huber_loss(target: like) HuberLoss;

    /// For a distance `x` and a label `y`: `x` where y is 1, `max(0, margin - x)` where it is -1; the mean,
    /// margin 1. [`HingeEmbeddingLoss`] has the options.
    hinge_embedding_loss(label: beside) HingeEmbeddingLoss;
}

options! {
    /// [`Var::margin_ranking_loss`] with its options.
    MarginRankingLoss {
        /// How much larger the larger score must be. 0 by default.
        margin: f64 = 0.0;
    }
}

impl MarginRankingLoss {
    /// The loss of two scores and a label that says which is to be larger.
    #[track_caller]
    pub fn apply<'a, 't: 'a, T: Float>(
        &self,
        input: &Var<'t, T>,
        other: impl Into<Operand<'a, 't, T>>,
        label: impl Into<Operand<'a, 't, T>>,
    ) -> Var<'t, T> {
        self.of(input, &other.into().like(input), &label.into().like(input))
    }

    #[track_caller]
    fn of<'t, T: Float>(&self, input: &Var<'t, T>, other: &Var<'t, T>, label: &Var<'t, T>) -> Var<'t, T> {
        let ranks = [input, other, label].map(Var::rank);
        let fits = accepted(ranks[0] == ranks[1] && ranks[0] == ranks[2], || {
            format!("scores and label must have equally many axes, not {ranks:?}")
        });
        valid!([input, other, label], "margin_ranking_loss", fits);
        let losses = self.reduction.of((self.margin - (input - other) * label).clamp_min(0.0));
        losses.named("margin_ranking_loss", &[input, other, label])
    }
}

options! {
    /// [`Var::cosine_embedding_loss`] with its options.
    CosineEmbeddingLoss {
        /// The cosine that vectors which aren't alike may have. 0 by default.
        margin: f64 = 0.0;
    }
}

impl CosineEmbeddingLoss {
    /// The loss of pairs of vectors and labels that say whether they are alike.
    #[track_caller]
    pub fn apply<'a, 't: 'a, T: Float>(
        &self,
        input: &Var<'t, T>,
        other: impl Into<Operand<'a, 't, T>>,
        label: impl Into<Operand<'a, 't, T>>,
    ) -> Var<'t, T> {
        self.of(input, &other.into().like(input), &label.into().beside(input))
    }

    #[track_caller]
    fn of<'t, T: Float>(&self, input: &Var<'t, T>, other: &Var<'t, T>, label: &Var<'t, T>) -> Var<'t, T> {
        let fits = accepted(input.rank() == label.rank() + 1 && other.rank() == input.rank(), || {
            format!(
                "vectors {} and {}, labels {}: […, d] twice and […] are needed",
                input.shape(),
                other.shape(),
                label.shape()
            )
        });
        valid!([input, other, label], "cosine_embedding_loss", fits);
        let dot = |a: &Var<'t, T>, b: &Var<'t, T>| (a * b).sum_dim(-1, false);
        let length = (dot(input, input) + 1e-12) * (dot(other, other) + 1e-12);
        let cosine = dot(input, other) / length.sqrt();
        let [like, unlike] = [1.0, -1.0].map(|value| label.test(Test::Equal, value));
        let zero = input.tape().constant(T::constant(0.0));
        let far = (&cosine - self.margin).clamp_min(0.0).where_one(&unlike, &zero);
        let losses = self.reduction.of((1.0 - cosine).where_one(&like, &zero) + far);
        losses.named("cosine_embedding_loss", &[input, other, label])
    }
}

options! {
    /// The loss of an anchor, a positive and a negative, with PyTorch's options.
    ///
    /// ```
    /// use kolmo::{Tape, loss::TripletMarginLoss};
    /// let tape = Tape::<f64>::new();
    /// let [anchor, positive, negative] = [[[0.0, 0.0]], [[0.0, 1.0]], [[3.0, 0.0]]].map(|v| tape.input(v));
    /// let loss = TripletMarginLoss::new().margin(2.5).apply(&anchor, &positive, &negative);
    /// assert!((loss.item()? - 0.5).abs() < 1e-5); // 1 - 3 + 2.5
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    TripletMarginLoss {
        /// How much farther the negative must be; greater than 0. 1 by default.
        margin: f64 = 1.0;
        /// The order of the norm. 2 by default.
        p: f64 = 2.0;
        /// Added to each difference, so that no norm is 0. 1e-6 by default.
        eps: f64 = 1e-6;
        /// Whether the distance from positive to negative counts where it is smaller than that from the anchor.
        swap: bool = false;
    }
}

impl TripletMarginLoss {
    /// `max(0, margin + |a - p| - |a - n|)` with norms over the last axis; anchor, positive and negative
    /// `[…, d]`.
    #[track_caller]
    pub fn apply<'a, 't: 'a, T: Float>(
        &self,
        anchor: &Var<'t, T>,
        positive: impl Into<Operand<'a, 't, T>>,
        negative: impl Into<Operand<'a, 't, T>>,
    ) -> Var<'t, T> {
        self.of(anchor, &positive.into().like(anchor), &negative.into().like(anchor))
    }

    #[track_caller]
    fn of<'t, T: Float>(
        &self,
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
        let distance = |a: &Var<'t, T>, b: &Var<'t, T>| (a - b + self.eps).norm_dim(self.p, -1, false);
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
    /// For two scores and a label `y` that is 1 if the first should be larger, else -1:
    /// `max(0, margin - y (x₁ - x₂))`; the mean, margin 0. [`MarginRankingLoss`] has the options.
    #[track_caller]
    pub fn margin_ranking_loss<'a>(
        &self,
        other: impl Into<Operand<'a, 't, T>>,
        label: impl Into<Operand<'a, 't, T>>,
    ) -> Var<'t, T>
    where
        't: 'a,
    {
        MarginRankingLoss::new().apply(self, other, label)
    }

    /// For pairs of vectors `[…, d]` and labels `[…]`: `1 - cos` where the label is 1, `max(0, cos - margin)`
    /// where it is -1; the mean, margin 0. [`CosineEmbeddingLoss`] has the options.
    #[track_caller]
    pub fn cosine_embedding_loss<'a>(
        &self,
        other: impl Into<Operand<'a, 't, T>>,
        label: impl Into<Operand<'a, 't, T>>,
    ) -> Var<'t, T>
    where
        't: 'a,
    {
        CosineEmbeddingLoss::new().apply(self, other, label)
    }
}
