//! Losses of yes-or-no answers: probabilities, or scores that a sigmoid makes probabilities of.
use super::{
    Reduction,
    checks::{accepted, common},
};
use crate::{
    fuse,
    ops::{Float, index::valid, list::BinaryCrossEntropy},
    tape::Var,
};

/// # Losses: yes or no
impl<'t, T: Float> Var<'t, T> {
    #[track_caller]
    fn weighted(self, weight: Option<&Var<'t, T>>, reduction: Reduction) -> Var<'t, T> {
        reduction.of(match weight {
            Some(weight) => self * weight,
            None => self,
        })
    }

    /// `-(t ln p + (1 - t) ln(1 - p))` for probabilities and targets of one shape, times a weight that
    /// broadcasts. Logarithms are no lower than -100. For scores use
    /// [`binary_cross_entropy_with_logits`](Var::binary_cross_entropy_with_logits), which is more precise.
    #[track_caller]
    #[doc(alias = "BCELoss")]
    pub fn binary_cross_entropy(
        &self,
        target: &Var<'t, T>,
        weight: Option<&Var<'t, T>>,
        reduction: Reduction,
    ) -> Var<'t, T> {
        let fits = accepted(self.shape() == target.shape(), || {
            format!("probabilities {} and targets {} must have one shape", self.shape(), target.shape())
        });
        valid!([self, target], "binary_cross_entropy", fits);
        let losses = self.tape().apply(BinaryCrossEntropy, &[self, target]).weighted(weight, reduction);
        losses.named("binary_cross_entropy", &[&[self, target], weight.as_slice()].concat())
    }

    /// [`binary_cross_entropy`](Var::binary_cross_entropy) of the sigmoid of scores, without rounding or
    /// overflow. `pos_weight` is the weight of positive targets: above 1 it trades precision for recall.
    /// All broadcast.
    #[track_caller]
    #[doc(alias = "BCEWithLogitsLoss")]
    pub fn binary_cross_entropy_with_logits(
        &self,
        target: &Var<'t, T>,
        weight: Option<&Var<'t, T>>,
        pos_weight: Option<&Var<'t, T>>,
        reduction: Reduction,
    ) -> Var<'t, T> {
        let fits = accepted(self.shape() == target.shape(), || {
            format!("scores {} and targets {} must have one shape", self.shape(), target.shape())
        });
        valid!([self, target], "binary_cross_entropy_with_logits", fits);
        let losses = match pos_weight {
            None => fuse!(|x, t| (1.0 - t) * x - x.logsigmoid()).apply([self, target]),
            Some(w) => fuse!(|x, t, w| (1.0 - t) * x - (1.0 + (w - 1.0) * t) * x.logsigmoid())
                .apply([self, target, w]),
        };
        let operands = [&[self, target], weight.as_slice(), pos_weight.as_slice()].concat();
        losses.weighted(weight, reduction).named("binary_cross_entropy_with_logits", &operands)
    }

    /// `ln(1 + exp(-y x))` for scores and labels 1 or -1.
    #[track_caller]
    pub fn soft_margin_loss(&self, label: &Var<'t, T>, reduction: Reduction) -> Var<'t, T> {
        valid!([self, label], "soft_margin_loss", common(self, label));
        reduction.of(fuse!(|x, y| 0.0 - (x * y).logsigmoid()).apply([self, label]))
    }

    /// For scores and targets `[…, classes]`: the mean over the classes of the binary cross entropies, each
    /// times the weight of its class.
    #[track_caller]
    pub fn multilabel_soft_margin_loss(
        &self,
        target: &Var<'t, T>,
        weight: Option<&Var<'t, T>>,
        reduction: Reduction,
    ) -> Var<'t, T> {
        let losses = self.binary_cross_entropy_with_logits(target, weight, None, Reduction::None);
        let losses =
            losses.named("multilabel_soft_margin_loss", &[&[self, target], weight.as_slice()].concat());
        reduction.of(losses.mean_dim(&[-1], false))
    }
}
