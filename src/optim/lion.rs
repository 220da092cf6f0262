//! Lion.
use super::rule::{Rule, Slope, Task, betas, optimizer};
use crate::{
    checked::below_one,
    error::Checked,
    kernels::{FloatElement, update::Update},
    ops::Float,
};

optimizer! {
    /// Lion (Chen et al., 2023): every weight moves by the learning rate, in the direction of a moment's sign.
    /// `w *= 1 - lr·λ; w -= lr · sign(β₁m + (1-β₁)g); m = β₂m + (1-β₂)g`.
    ///
    /// ```
    /// use kolmo::optim::Lion;
    /// let lion: Lion = Lion::new(1e-4).weight_decay(0.1);
    /// ```
    Lion(Signs) weight_decay = 0.0
}
betas!(Lion, 0.9, 0.99);

#[derive(Clone, Copy, Debug)]
struct Signs {
    betas: (f64, f64),
}

impl Signs {
    const DEFAULT: Self = Signs { betas: (0.9, 0.99) };
}

impl Rule for Signs {
    const NAME: &'static str = "Lion";

    fn check(&self) -> Checked<()> {
        below_one("beta1", self.betas.0)?;
        below_one("beta2", self.betas.1)
    }

    fn memory(&self) -> usize {
        1
    }

    fn step<T: Float>(&self, task: Task<'_, T>) {
        let (b1, b2) = self.betas;
        let step = Step { b1, b2, lr: task.lr, slope: task.decoupled() };
        task.run(step);
    }
}

#[derive(Clone, Copy)]
struct Step {
    b1: f64,
    b2: f64,
    lr: f64,
    slope: Slope,
}

impl Update<2> for Step {
    #[inline(always)]
    fn step<T: FloatElement>(&self, [w, m]: [T; 2], grad: T) -> [T; 2] {
        let (g, w) = self.slope.at(w, grad);
        let towards = T::constant(self.b1) * m + T::constant(1.0 - self.b1) * g;
        [w - T::constant(self.lr) * towards.sign(), T::constant(self.b2) * m + T::constant(1.0 - self.b2) * g]
    }
}
