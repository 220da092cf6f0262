//! Losses of yes-or-no answers: probabilities, or scores that a sigmoid makes probabilities of.
use super::{
    Reduction,
    checks::{accepted, common},
    options::{of_target, options},
};
use crate::{
    fuse,
    ops::{Float, Operand, index::valid, list::BinaryCrossEntropy},
    tape::Var,
};
use std::borrow::Cow;

/// Losses times a weight, if there is one, folded, under a name.
#[track_caller]
fn weighted<'t, T: Float>(
    losses: Var<'t, T>,
    weight: Option<&Var<'t, T>>,
    reduction: Reduction,
    (name, operands): (&str, &[&Var<'t, T>]),
) -> Var<'t, T> {
    let losses = reduction.of(match weight {
        Some(weight) => losses * weight,
        None => losses,
    });
    losses.named(name, operands)
}

options! {
    /// [`Var::binary_cross_entropy`] with its options.
    #[doc(alias = "BCELoss")]
    BceLoss<'a, 't, T> {
        /// A weight of each loss, which broadcasts.
        weight: Option<Operand<'a, 't, T>> as Operand<'a, 't, T> = None;
    }
}

impl<'t, T: Float> BceLoss<'_, 't, T> {
    #[track_caller]
    fn of(&self, input: &Var<'t, T>, target: &Var<'t, T>) -> Var<'t, T> {
        let fits = accepted(input.shape() == target.shape(), || {
            format!("probabilities {} and targets {} must have one shape", input.shape(), target.shape())
        });
        valid!([input, target], "binary_cross_entropy", fits);
        let weight = self.weight.map(|w| w.beside(input));
        let weight = weight.as_deref();
        let losses = input.tape().apply(BinaryCrossEntropy, &[input, target]);
        let operands = [&[input, target], weight.as_slice()].concat();
        weighted(losses, weight, self.reduction, ("binary_cross_entropy", &operands))
    }
}

options! {
    /// [`Var::binary_cross_entropy_with_logits`] with its options.
    ///
    /// ```
    /// use kolmo::{Tape, Tensor, loss::BceWithLogitsLoss};
    /// let tape = Tape::<f64>::new();
    /// let (scores, found) = (tape.input([0.0, 0.0]), Tensor::from([1.0, 0.0]));
    /// let loss = BceWithLogitsLoss::new().pos_weight(3.0).apply(&scores, &found);
    /// assert!((loss.item()? - 2.0 * 2f64.ln()).abs() < 1e-12); // (3 + 1) / 2
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[doc(alias = "BCEWithLogitsLoss")]
    BceWithLogitsLoss<'a, 't, T> {
        /// A weight of each loss, which broadcasts.
        weight: Option<Operand<'a, 't, T>> as Operand<'a, 't, T> = None;
        /// The weight of positive targets, which broadcasts: above 1 it trades precision for recall.
        pos_weight: Option<Operand<'a, 't, T>> as Operand<'a, 't, T> = None;
    }
}

impl<'t, T: Float> BceWithLogitsLoss<'_, 't, T> {
    #[track_caller]
    fn of(&self, input: &Var<'t, T>, target: &Var<'t, T>) -> Var<'t, T> {
        let fits = accepted(input.shape() == target.shape(), || {
            format!("scores {} and targets {} must have one shape", input.shape(), target.shape())
        });
        valid!([input, target], "binary_cross_entropy_with_logits", fits);
        let [weight, pos_weight] = [self.weight, self.pos_weight].map(|w| w.map(|w| w.beside(input)));
        let (weight, pos_weight): (Option<&Var<'t, T>>, _) = (weight.as_deref(), pos_weight.as_deref());
        let losses = match pos_weight {
            None => fuse!(|x, t| (1.0 - t) * x - x.logsigmoid()).apply([input, target]),
            Some(w) => fuse!(|x, t, w| (1.0 - t) * x - (1.0 + (w - 1.0) * t) * x.logsigmoid())
                .apply([input, target, w]),
        };
        let operands = [&[input, target], weight.as_slice(), pos_weight.as_slice()].concat();
        weighted(losses, weight, self.reduction, ("binary_cross_entropy_with_logits", &operands))
    }
}

options! {
    /// [`Var::soft_margin_loss`] with its options.
    SoftMarginLoss {}
}

impl SoftMarginLoss {
    #[track_caller]
    fn of<'t, T: Float>(&self, input: &Var<'t, T>, label: &Var<'t, T>) -> Var<'t, T> {
        valid!([input, label], "soft_margin_loss", common(input, label));
        self.reduction.of(fuse!(|x, y| 0.0 - (x * y).logsigmoid()).apply([input, label]))
    }
}

options! {
    /// [`Var::multilabel_soft_margin_loss`] with its options.
    #[doc(alias = "MultiLabelSoftMarginLoss")]
    MultilabelSoftMarginLoss<'a, 't, T> {
        /// A weight of each class.
        weight: Option<Operand<'a, 't, T>> as Operand<'a, 't, T> = None;
    }
}

impl<'t, T: Float> MultilabelSoftMarginLoss<'_, 't, T> {
    #[track_caller]
    fn of(&self, input: &Var<'t, T>, target: &Var<'t, T>) -> Var<'t, T> {
        let weight: Option<Cow<'_, Var<'t, T>>> = self.weight.map(|w| w.beside(input));
        let weight = weight.as_deref();
        let each = BceWithLogitsLoss {
            weight: weight.map(Operand::Var),
            pos_weight: None,
            reduction: Reduction::None,
        };
        let losses = each.of(input, target);
        let losses =
            losses.named("multilabel_soft_margin_loss", &[&[input, target], weight.as_slice()].concat());
        self.reduction.of(losses.mean_dim(-1, false))
    }
}

of_target! {
    /// `-(t ln p + (1 - t) ln(1 - p))` for probabilities and targets of one shape; the mean. Logarithms are no
    /// lower than -100. For scores use
    /// [`binary_cross_entropy_with_logits`](Var::binary_cross_entropy_with_logits), which is more precise.
    /// [`BceLoss`] has the options.
    binary_cross_entropy(target: like) BceLoss<'a, 't, T>;

    /// [`binary_cross_entropy`](Var::binary_cross_entropy) of the sigmoid of scores, without rounding or
    /// overflow; the mean. [`BceWithLogitsLoss`] has the options, such as weights.
    binary_cross_entropy_with_logits(target: like) BceWithLogitsLoss<'a, 't, T>;

    /// `ln(1 + exp(-y x))` for scores and labels 1 or -1; the mean. [`SoftMarginLoss`] has the options.
    soft_margin_loss(label: beside) SoftMarginLoss;

    /// For scores and targets `[…, classes]`: the mean over the classes of the binary cross entropies.
    /// [`MultilabelSoftMarginLoss`] has the options, such as weights of the classes.
    multilabel_soft_margin_loss(target: like) MultilabelSoftMarginLoss<'a, 't, T>;
}
