//! Negative logarithms of likelihoods under a distribution that the answer describes.
use super::{
    Reduction,
    checks::{accepted, common},
    options::{of_target, options},
};
use crate::{
    error::Checked,
    fuse,
    ops::{Float, Operand, index::valid, list::Test, operands},
    real::Arithmetic,
    tape::{Op, Rule, Step, Var},
    tensor::{Shape, Tensor},
};
use std::{f64::consts::PI, sync::Arc};

/// A variance as it is; a negative one is an error, in each run of a program too.
struct Variance;

impl<T: Float> Rule<T> for Variance {
    fn name(&self) -> &str {
        "gaussian_nll_loss"
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [x] = operands(x)?;
        let values = x.contiguous().made()?;
        match values.as_slice().unwrap_or_default().iter().find(|v| v.to_f64() < 0.0) {
            Some(bad) => Err(format!("a variance is {bad:?}; it must not be negative")),
            None => Ok(x.clone()),
        }
    }

    fn keeps(&self, _: u32) -> u32 {
        0
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let g = step.take_grad();
        step.give(0, g);
    }
}

options! {
    /// [`Var::kl_div`] with its options.
    #[doc(alias = "KLDivLoss")]
    KlDivLoss {
        /// Whether targets are logarithms of probabilities, too.
        log_target: bool = false;
    }
}

impl KlDivLoss {
    #[track_caller]
    fn of<'t, T: Float>(&self, input: &Var<'t, T>, target: &Var<'t, T>) -> Var<'t, T> {
        valid!([input, target], "kl_div", common(input, target));
        self.reduction.of(match self.log_target {
            // Not fused: where eᵗ is 0 and t - x infinite, the gradient of t is NaN as the value is.
            true => target.exp() * (target - input),
            false => target.xlogy(target) - input * target,
        })
    }
}

options! {
    /// [`Var::poisson_nll_loss`] with its options.
    #[doc(alias = "PoissonNLLLoss")]
    PoissonNllLoss {
        /// Whether the answer is the logarithm of the rate, not the rate. True by default.
        log_input: bool = true;
        /// Whether Stirling's approximation of `ln t!` is added for targets above 1.
        full: bool = false;
        /// Added to a rate before its logarithm is taken. 1e-8 by default.
        eps: f64 = 1e-8;
    }
}

impl PoissonNllLoss {
    #[track_caller]
    fn of<'t, T: Float>(&self, input: &Var<'t, T>, target: &Var<'t, T>) -> Var<'t, T> {
        let eps = self.eps;
        valid!([input, target], "poisson_nll_loss", common(input, target));
        let mut losses = match self.log_input {
            true => fuse!(|x, t| x.exp() - t * x).apply([input, target]),
            false => fuse!([eps] | x, t | x - t * (x + eps).log()).apply([input, target]),
        };
        if self.full {
            let one = input.tape().constant(T::constant(1.0));
            let large = input.tape().apply(Test::Less, &[&one, target]);
            let turn = 2.0 * PI;
            let stirling = fuse!([turn] | t | t * t.log() - t + 0.5 * (turn * t).log()).apply([target]);
            let zero = input.tape().constant(T::constant(0.0));
            losses = losses + stirling.where_one(&large, &zero);
        }
        self.reduction.of(losses)
    }
}

of_target! {
    /// The Kullback-Leibler divergence of the target from the answer, which is a logarithm of probabilities:
    /// `t (ln t - x)`, or with `log_target` `eᵗ (t - x)`. The default is the mean, as in PyTorch;
    /// [`Reduction::BatchMean`] is the mathematical one. [`KlDivLoss`] has the options.
    kl_div(target: beside) KlDivLoss;

    /// The negative logarithm of the likelihood of a Poisson distribution with rate `eˣ` (`x` itself without
    /// `log_input`): `eˣ - t x`, or `x - t ln(x + eps)`; the mean. [`PoissonNllLoss`] has the options.
    poisson_nll_loss(target: beside) PoissonNllLoss;
}

options! {
    /// [`Var::gaussian_nll_loss`] with its options.
    #[doc(alias = "GaussianNLLLoss")]
    GaussianNllLoss {
        /// Whether `½ ln 2π` is added.
        full: bool = false;
        /// What the variance is at least, which its gradient doesn't notice. 1e-6 by default.
        eps: f64 = 1e-6;
    }
}

impl GaussianNllLoss {
    /// The loss of a mean, a target and the variance.
    #[track_caller]
    pub fn apply<'a, 't: 'a, T: Float>(
        &self,
        input: &Var<'t, T>,
        target: impl Into<Operand<'a, 't, T>>,
        var: impl Into<Operand<'a, 't, T>>,
    ) -> Var<'t, T> {
        self.of(input, &target.into().beside(input), &var.into().beside(input))
    }

    #[track_caller]
    fn of<'t, T: Float>(&self, input: &Var<'t, T>, target: &Var<'t, T>, var: &Var<'t, T>) -> Var<'t, T> {
        valid!([input, target, var], "gaussian_nll_loss", common(input, target));
        valid!(var, "gaussian_nll_loss", Ok::<_, String>(()));
        let (lead, last) = input.shape().split_at(input.rank().saturating_sub(1));
        let lacks = *var.shape() == *lead && input.rank() > 0;
        let kept: Shape = lead.iter().copied().chain(last.iter().map(|_| 1)).collect();
        let fits = var.numel() == 1 || var.shape() == input.shape() || *var.shape() == kept || lacks;
        let fits = accepted(fits, || {
            format!("the variance has shape {}, but must have {} or {kept}", var.shape(), input.shape())
        });
        valid!([input, target, var], "gaussian_nll_loss", fits);
        let replayed;
        let var = if input.tape().replays(var) {
            replayed = input.tape().apply(Op::Custom(Arc::new(Variance)), &[var]);
            &replayed
        } else {
            valid!([input, target, var], "gaussian_nll_loss", Variance.forward(&[var.tensor()]).map(drop));
            input.tape().note_found(var);
            var
        };
        let raise = (self.eps - var).clamp_min(0.0).held();
        let var =
            if lacks && *var.shape() != *input.shape() { (var + raise).unsqueeze(-1) } else { var + raise };
        let losses = fuse!(|x, t, v| 0.5 * (v.log() + (x - t) * (x - t) / v)).apply([input, target, &var]);
        self.reduction.of(if self.full { losses + 0.5 * Arithmetic::log(2.0 * PI) } else { losses })
    }
}

/// # Losses: likelihoods
impl<'t, T: Float> Var<'t, T> {
    /// The negative logarithm of the likelihood of a normal distribution with this mean and the variance
    /// `var`: `½ (ln var + (x - t)² / var)`; the mean. The variance may lack the last axis or have it with
    /// size 1. [`GaussianNllLoss`] has the options.
    #[track_caller]
    pub fn gaussian_nll_loss<'a>(
        &self,
        target: impl Into<Operand<'a, 't, T>>,
        var: impl Into<Operand<'a, 't, T>>,
    ) -> Var<'t, T>
    where
        't: 'a,
    {
        GaussianNllLoss::new().apply(self, target, var)
    }
}
