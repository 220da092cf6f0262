//! NAdam.
use super::rule::{Rule, Slope, Task, betas, moments, optimizer};
use crate::{
    checked::not_negative,
    error::Checked,
    kernels::{FloatElement, update::Update},
    ops::Float,
    real::Arithmetic,
};

optimizer! {
    /// Adam with Nesterov momentum (Dozat, 2016), as `torch.optim.NAdam`: with `μₜ = β₁(1 - 0.96^(tψ) / 2)`,
    /// `w -= lr · ((1-μₜ)/(1-μ₁…μₜ) · g + μₜ₊₁/(1-μ₁…μₜ₊₁) · m) / (√(v/(1-β₂ᵗ)) + ε)`, `m` and `v` as in
    /// [`Adam`](super::Adam).
    ///
    /// ```
    /// use kolmo::optim::NAdam;
    /// let nadam: NAdam = NAdam::new(2e-3).momentum_decay(0.006);
    /// ```
    NAdam(Nesterov) weight_decay = 0.0
    /// Added to the root of the second moment (default 1e-8).
    eps: f64,
    /// Momentum decay ψ (default 0.004).
    momentum_decay: f64,
    /// Weight decay apart from the gradient, as in [`AdamW`](super::AdamW) (default off).
    decoupled_weight_decay: bool,
}
betas!(NAdam, 0.9, 0.999);

#[derive(Clone, Copy, Debug)]
struct Nesterov {
    betas: (f64, f64),
    eps: f64,
    momentum_decay: f64,
    decoupled_weight_decay: bool,
}

impl Nesterov {
    const DEFAULT: Self =
        Nesterov { betas: (0.9, 0.999), eps: 1e-8, momentum_decay: 4e-3, decoupled_weight_decay: false };
}

impl Rule for Nesterov {
    const NAME: &'static str = "NAdam";

    fn check(&self) -> Checked<()> {
        moments(self.betas, self.eps)?;
        not_negative("momentum_decay", self.momentum_decay)
    }

    fn memory(&self) -> usize {
        2
    }

    fn step<T: Float>(&self, task: Task<'_, T>) {
        let (b1, b2) = self.betas;
        let momentum = |t: u64| b1 * (1.0 - 0.5 * Arithmetic::pow(0.96f64, t as f64 * self.momentum_decay));
        let (now, next) = (momentum(task.steps), momentum(task.steps.saturating_add(1)));
        *task.number *= now;
        let product = *task.number;
        let step = Step {
            b1,
            b2,
            eps: self.eps,
            grad: task.lr * (1.0 - now) / (1.0 - product),
            moment: task.lr * next / (1.0 - product * next),
            root: task.correction(b2).sqrt(),
            slope: if self.decoupled_weight_decay { task.decoupled() } else { task.added() },
        };
        task.run(step);
    }
}

#[derive(Clone, Copy)]
struct Step {
    b1: f64,
    b2: f64,
    eps: f64,
    grad: f64,
    moment: f64,
    root: f64,
    slope: Slope,
}

impl Update<3> for Step {
    #[inline(always)]
    fn step<T: FloatElement>(&self, [w, m, v]: [T; 3], grad: T) -> [T; 3] {
        let (g, w) = self.slope.at(w, grad);
        let m = m + T::constant(1.0 - self.b1) * (g - m);
        let v = T::constant(self.b2) * v + T::constant(1.0 - self.b2) * (g * g);
        let root = v.sqrt() / T::constant(self.root) + T::constant(self.eps);
        [w - (T::constant(self.grad) * g + T::constant(self.moment) * m) / root, m, v]
    }
}
