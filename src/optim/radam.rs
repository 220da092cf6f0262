//! RAdam.
use super::rule::{Rule, Slope, Task, betas, moments, optimizer, power};
use crate::{
    error::Checked,
    kernels::{FloatElement, update::Update},
    ops::Float,
};

optimizer! {
    /// Rectified Adam (Liu et al., 2020), as `torch.optim.RAdam`. With `ρ∞ = 2/(1-β₂) - 1` and
    /// `ρ = ρ∞ - 2tβ₂ᵗ/(1-β₂ᵗ)`: where ρ > 5, `w -= lr · r · m/(1-β₁ᵗ) · √(1-β₂ᵗ)/(√v + ε)` with
    /// `r² = (ρ-4)(ρ-2)ρ∞ / ((ρ∞-4)(ρ∞-2)ρ)`; in the first few steps, whose variance says too little, `w -= lr · m/(1-β₁ᵗ)`.
    ///
    /// ```
    /// use kolmo::optim::RAdam;
    /// let radam: RAdam = RAdam::new(1e-3).weight_decay(1e-4);
    /// ```
    RAdam(Rectified) weight_decay = 0.0
    /// Added to the root of the second moment (default 1e-8).
    eps: f64,
    /// Weight decay apart from the gradient, as in [`AdamW`](super::AdamW) (default off).
    decoupled_weight_decay: bool,
}
betas!(RAdam, 0.9, 0.999);

#[derive(Clone, Copy, Debug)]
struct Rectified {
    betas: (f64, f64),
    eps: f64,
    decoupled_weight_decay: bool,
}

impl Rectified {
    const DEFAULT: Self = Rectified { betas: (0.9, 0.999), eps: 1e-8, decoupled_weight_decay: false };
}

impl Rule for Rectified {
    const NAME: &'static str = "RAdam";

    fn check(&self) -> Checked<()> {
        moments(self.betas, self.eps)
    }

    fn memory(&self) -> usize {
        2
    }

    fn step<T: Float>(&self, task: Task<'_, T>) {
        let (b1, b2) = self.betas;
        let correction = task.correction(b2);
        let end = 2.0 / (1.0 - b2) - 1.0;
        let now = end - 2.0 * task.steps as f64 * power(b2, task.steps) / correction;
        let rectified = now > 5.0;
        let r = ((now - 4.0) * (now - 2.0) * end / ((end - 4.0) * (end - 2.0) * now)).sqrt();
        let rate = task.lr / task.correction(b1) * if rectified { r * correction.sqrt() } else { 1.0 };
        let slope = if self.decoupled_weight_decay { task.decoupled() } else { task.added() };
        task.run(Step { b1, b2, eps: self.eps, rate, rectified, slope });
    }
}

#[derive(Clone, Copy)]
struct Step {
    b1: f64,
    b2: f64,
    eps: f64,
    rate: f64,
    rectified: bool,
    slope: Slope,
}

impl Update<3> for Step {
    #[inline(always)]
    fn step<T: FloatElement>(&self, [w, m, v]: [T; 3], grad: T) -> [T; 3] {
        let (g, w) = self.slope.at(w, grad);
        let m = m + T::constant(1.0 - self.b1) * (g - m);
        let v = T::constant(self.b2) * v + T::constant(1.0 - self.b2) * (g * g);
        let by = if self.rectified { m / (v.sqrt() + T::constant(self.eps)) } else { m };
        [w - T::constant(self.rate) * by, m, v]
    }
}
