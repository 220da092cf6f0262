//! Adamax.
use super::rule::{Rule, Slope, Task, betas, moments, optimizer};
use crate::{
    error::Checked,
    kernels::{FloatElement, update::Update},
    ops::Float,
};

optimizer! {
    /// Adam with the largest gradient instead of the mean square (Kingma and Ba, 2015), as `torch.optim.Adamax`:
    /// `g += λw; m = β₁m + (1-β₁)g; u = max(β₂u, |g| + ε); w -= lr/(1-β₁ᵗ) · m / u`.
    ///
    /// ```
    /// use kolmo::optim::Adamax;
    /// let adamax: Adamax = Adamax::new(2e-3);
    /// ```
    Adamax(Largest) weight_decay = 0.0
    /// Added to the size of the gradient (default 1e-8).
    eps: f64,
}
betas!(Adamax, 0.9, 0.999);

#[derive(Clone, Copy, Debug)]
struct Largest {
    betas: (f64, f64),
    eps: f64,
}

impl Largest {
    const DEFAULT: Self = Largest { betas: (0.9, 0.999), eps: 1e-8 };
}

impl Rule for Largest {
    const NAME: &'static str = "Adamax";

    fn check(&self) -> Checked<()> {
        moments(self.betas, self.eps)
    }

    fn memory(&self) -> usize {
        2
    }

    fn step<T: Float>(&self, task: Task<'_, T>) {
        let (b1, b2) = self.betas;
        let step = Step { b1, b2, eps: self.eps, rate: task.lr / task.correction(b1), slope: task.added() };
        task.run(step);
    }
}

#[derive(Clone, Copy)]
struct Step {
    b1: f64,
    b2: f64,
    eps: f64,
    rate: f64,
    slope: Slope,
}

impl Update<3> for Step {
    #[inline(always)]
    fn step<T: FloatElement>(&self, [w, m, u]: [T; 3], grad: T) -> [T; 3] {
        let (g, w) = self.slope.at(w, grad);
        let m = m + T::constant(1.0 - self.b1) * (g - m);
        let (old, new) = (T::constant(self.b2) * u, g.abs() + T::constant(self.eps));
        let u = T::select(old.less(new), new, old);
        [w - T::constant(self.rate) * m / u, m, u]
    }
}
