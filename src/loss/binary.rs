//! Losses of yes-or-no answers: probabilities, or scores that a sigmoid makes probabilities of.
use super::{Reduction, accepted, common};
use crate::{
    error::Checked,
    fuse,
    kernels::map::{NumberExpr, map},
    ops::{Rule, check_shape, index::valid, operands},
    real::Number,
    tape::{Float, Var, step::Step},
    tensor::{Shape, Tensor},
};
use serde::{Deserialize, Serialize};

/// Cross entropy of a probability and a target, with logarithms no lower than -100, and PyTorch's derivative.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BinaryCrossEntropy;

macro_rules! expr {
    ($name:ident $n:literal |$args:pat_param| $e:expr) => {
        #[derive(Clone, Copy)]
        struct $name;
        impl NumberExpr<$n> for $name {
            #[inline(always)]
            fn eval<R: Number>(&self, $args: [R; $n]) -> R {
                $e
            }
        }
    };
}

/// `max(ln x, -100)`.
#[inline(always)]
fn bounded_log<R: Number>(x: R) -> R {
    let low = R::of(-100.0);
    R::select(x.log().less(low), low, x.log())
}

expr!(Value 2 |[p, t]| (t - R::of(1.0)) * bounded_log(R::of(1.0) - p) - t * bounded_log(p));
expr!(SlopeOfP 3 |[p, t, g]| {
    let (spread, low) = ((R::of(1.0) - p) * p, R::of(1e-12));
    g * (p - t) / R::select(spread.less(low), low, spread)
});
expr!(SlopeOfT 2 |[p, g]| g * (bounded_log(R::of(1.0) - p) - bounded_log(p)));

impl<T: Float> Rule<T> for BinaryCrossEntropy {
    fn name(&self) -> &str {
        "binary_cross_entropy"
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [p, t] = operands(x)?;
        let values = p.contiguous().made()?;
        let mut values = values.as_slice().unwrap_or_default().iter().copied();
        let outside = values.find(|p| !(0.0..=1.0).contains(&p.to_f64()));
        accepted(outside.is_none(), || {
            format!("{:?} is no probability: 0 to 1 are accepted", outside.unwrap_or_default())
        })?;
        map(Value, [p, t], p.shape())
    }

    fn keeps(&self, wanted: u32) -> u32 {
        1 | (wanted & 1) << 1
    }

    fn check(&self, x: &[&Tensor<T>], y: &Shape) -> Checked<()> {
        let [p, t] = operands(x)?;
        check_shape(p.shape(), y).and(check_shape(t.shape(), y))
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let (p, g) = (step.input(0), step.take_grad());
        if step.wants(0) {
            step.give_expr(0, SlopeOfP, [&p, &step.input(1), &g]);
        }
        step.give_expr(1, SlopeOfT, [&p, &g]);
    }
}

impl<'t, T: Float> Var<'t, T> {
    #[track_caller]
    fn weighted(self, weight: Option<&Var<'t, T>>, reduction: Reduction) -> Var<'t, T> {
        reduction.of(match weight {
            Some(weight) => self * weight,
            None => self,
        })
    }

    /// `-(t ln p + (1 - t) ln(1 - p))` for probabilities and targets of one shape, times a weight that broadcasts. Logarithms
    /// are no lower than -100. For scores use
    /// [`binary_cross_entropy_with_logits`](Var::binary_cross_entropy_with_logits), which is more precise.
    #[track_caller]
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

    /// [`binary_cross_entropy`](Var::binary_cross_entropy) of the sigmoid of scores, without rounding or overflow.
    /// `pos_weight` is the weight of positive targets: above 1 it trades precision for recall. All broadcast.
    #[track_caller]
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

    /// For scores and targets `[…, classes]`: the mean over the classes of the binary cross entropies, each times the
    /// weight of its class.
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
