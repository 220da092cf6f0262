//! Adagrad and Adadelta.
use super::rule::{Rule, Slope, Task, optimizer};
use crate::{
    checked::not_negative,
    error::Checked,
    kernels::{FloatElement, update::Update},
    ops::Float,
};

optimizer! {
    /// Adagrad (Duchi, Hazan and Singer, 2011), as `torch.optim.Adagrad`: `g += λw; s += g²;
    /// w -= lr/(1 + (t-1)η) · g / (√s + ε)`.
    ///
    /// ```
    /// use kolmo::optim::Adagrad;
    /// let adagrad: Adagrad = Adagrad::new(1e-2).lr_decay(1e-3);
    /// ```
    Adagrad(Sums) weight_decay = 0.0
    /// Decay η of the learning rate (default 0).
    lr_decay: f64,
    /// What the sum of squares starts at (default 0).
    initial_accumulator_value: f64,
    /// Added to the root (default 1e-10).
    eps: f64,
}

#[derive(Clone, Copy, Debug)]
struct Sums {
    lr_decay: f64,
    initial_accumulator_value: f64,
    eps: f64,
}

impl Sums {
    const DEFAULT: Self = Sums { lr_decay: 0.0, initial_accumulator_value: 0.0, eps: 1e-10 };
}

impl Rule for Sums {
    const NAME: &'static str = "Adagrad";

    fn check(&self) -> Checked<()> {
        not_negative("lr_decay", self.lr_decay)?;
        not_negative("initial_accumulator_value", self.initial_accumulator_value)?;
        not_negative("eps", self.eps)
    }

    fn memory(&self) -> usize {
        1
    }

    fn start(&self) -> f64 {
        self.initial_accumulator_value
    }

    fn step<T: Float>(&self, task: Task<'_, T>) {
        let rate = task.lr / (1.0 + task.steps.saturating_sub(1) as f64 * self.lr_decay);
        let step = Summed { rate, eps: self.eps, slope: task.added() };
        task.run(step);
    }
}

#[derive(Clone, Copy)]
struct Summed {
    rate: f64,
    eps: f64,
    slope: Slope,
}

impl Update<2> for Summed {
    #[inline(always)]
    fn step<T: FloatElement>(&self, [w, sum]: [T; 2], grad: T) -> [T; 2] {
        let (g, w) = self.slope.at(w, grad);
        let sum = sum + g * g;
        [w - T::constant(self.rate) * g / (sum.sqrt() + T::constant(self.eps)), sum]
    }
}

optimizer! {
    /// Adadelta (Zeiler, 2012), as `torch.optim.Adadelta`: `g += λw; v = ρv + (1-ρ)g²; d = √(a + ε)/√(v + ε) · g;
    /// a = ρa + (1-ρ)d²; w -= lr·d`. The usual learning rate is 1.
    ///
    /// ```
    /// use kolmo::optim::Adadelta;
    /// let adadelta: Adadelta = Adadelta::new(1.0);
    /// ```
    Adadelta(Deltas) weight_decay = 0.0
    /// Decay rate ρ of the squares (default 0.9).
    rho: f64,
    /// Added under the roots (default 1e-6).
    eps: f64,
}

#[derive(Clone, Copy, Debug)]
struct Deltas {
    rho: f64,
    eps: f64,
}

impl Deltas {
    const DEFAULT: Self = Deltas { rho: 0.9, eps: 1e-6 };
}

impl Rule for Deltas {
    const NAME: &'static str = "Adadelta";

    fn check(&self) -> Checked<()> {
        if !(0.0..=1.0).contains(&self.rho) {
            return Err(format!("rho is {}, expected a number from 0 to 1", self.rho));
        }
        not_negative("eps", self.eps)
    }

    fn memory(&self) -> usize {
        2
    }

    fn step<T: Float>(&self, task: Task<'_, T>) {
        let step = Delta { lr: task.lr, rho: self.rho, eps: self.eps, slope: task.added() };
        task.run(step);
    }
}

#[derive(Clone, Copy)]
struct Delta {
    lr: f64,
    rho: f64,
    eps: f64,
    slope: Slope,
}

impl Update<3> for Delta {
    #[inline(always)]
    fn step<T: FloatElement>(&self, [w, v, a]: [T; 3], grad: T) -> [T; 3] {
        let (g, w) = self.slope.at(w, grad);
        let (rho, rest, eps) = (T::constant(self.rho), T::constant(1.0 - self.rho), T::constant(self.eps));
        let v = rho * v + rest * (g * g);
        let d = (a + eps).sqrt() / (v + eps).sqrt() * g;
        [w - T::constant(self.lr) * d, v, rho * a + rest * (d * d)]
    }
}
