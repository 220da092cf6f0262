//! Negative logarithms of likelihoods under a distribution that the answer describes.
use super::{
    Reduction,
    checks::{accepted, common},
};
use crate::{
    error::Checked,
    fuse,
    ops::{Float, index::valid, list::Test, operands},
    real::Number,
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

/// # Losses: likelihoods
impl<'t, T: Float> Var<'t, T> {
    /// Kullback-Leibler divergence of the target from the answer, which is a logarithm of probabilities:
    /// `t (ln t - x)`, or with `log_target` `eᵗ (t - x)`. [`Reduction::BatchMean`] is the mathematical one.
    #[track_caller]
    #[doc(alias = "KLDivLoss")]
    pub fn kl_div(&self, target: &Var<'t, T>, log_target: bool, reduction: Reduction) -> Var<'t, T> {
        valid!([self, target], "kl_div", common(self, target));
        reduction.of(match log_target {
            // Not fused: where eᵗ is 0 and t - x infinite, the gradient of t is NaN as the value is.
            true => target.exp() * (target - self),
            false => target.xlogy(target) - self * target,
        })
    }

    /// Of a Poisson distribution with rate `eˣ` (`x` itself without `log_input`): `eˣ - t x`, or
    /// `x - t ln(x + eps)`. With `full` plus Stirling's approximation of `ln t!` for targets above 1.
    /// PyTorch's default for `eps` is 1e-8.
    #[track_caller]
    pub fn poisson_nll_loss(
        &self,
        target: &Var<'t, T>,
        log_input: bool,
        full: bool,
        eps: f64,
        reduction: Reduction,
    ) -> Var<'t, T> {
        valid!([self, target], "poisson_nll_loss", common(self, target));
        let mut losses = match log_input {
            true => fuse!(|x, t| x.exp() - t * x).apply([self, target]),
            false => fuse!([eps] | x, t | x - t * (x + eps).log()).apply([self, target]),
        };
        if full {
            let one = self.tape().constant(T::constant(1.0));
            let large = self.tape().apply(Test::Less, &[&one, target]);
            let turn = 2.0 * PI;
            let stirling = fuse!([turn] | t | t * t.log() - t + 0.5 * (turn * t).log()).apply([target]);
            let zero = self.tape().constant(T::constant(0.0));
            losses = losses + stirling.where_one(&large, &zero);
        }
        reduction.of(losses)
    }

    /// Of a normal distribution with this mean and the variance `var`: `½ (ln var + (x - t)² / var)`, with
    /// `full` plus `½ ln 2π`. The variance is at least `eps` (PyTorch's default 1e-6), which its gradient
    /// doesn't notice; it may lack the last axis or have it with size 1.
    #[track_caller]
    pub fn gaussian_nll_loss(
        &self,
        target: &Var<'t, T>,
        var: &Var<'t, T>,
        full: bool,
        eps: f64,
        reduction: Reduction,
    ) -> Var<'t, T> {
        valid!([self, target, var], "gaussian_nll_loss", common(self, target));
        valid!(var, "gaussian_nll_loss", Ok::<_, String>(()));
        let (lead, last) = self.shape().split_at(self.rank().saturating_sub(1));
        let lacks = *var.shape() == *lead && self.rank() > 0;
        let kept: Shape = lead.iter().copied().chain(last.iter().map(|_| 1)).collect();
        let fits = var.numel() == 1 || var.shape() == self.shape() || *var.shape() == kept || lacks;
        let fits = accepted(fits, || {
            format!("the variance has shape {}, but must have {} or {kept}", var.shape(), self.shape())
        });
        valid!([self, target, var], "gaussian_nll_loss", fits);
        let replayed;
        let var = if self.tape().replays(var) {
            replayed = self.tape().apply(Op::Custom(Arc::new(Variance)), &[var]);
            &replayed
        } else {
            valid!([self, target, var], "gaussian_nll_loss", Variance.forward(&[var.tensor()]).map(drop));
            self.tape().note_found(var);
            var
        };
        let raise = (eps - var).clamp_min(0.0).held();
        let var =
            if lacks && *var.shape() != *self.shape() { (var + raise).unsqueeze(-1) } else { var + raise };
        let losses = fuse!(|x, t, v| 0.5 * (v.log() + (x - t) * (x - t) / v)).apply([self, target, &var]);
        reduction.of(if full { losses + 0.5 * Number::log(2.0 * PI) } else { losses })
    }
}
