//! Stochastic gradient descent.
use super::rule::{Rule, Slope, Task, optimizer};
use crate::{
    checked::not_negative,
    error::Checked,
    kernels::{FloatElement, update::Update},
    ops::Float,
};

optimizer! {
    /// Gradient descent with momentum, Nesterov momentum and weight decay, as `torch.optim.SGD`:
    /// `g += λw; b = μb + (1 - d)g` (first step `b = g`); `w -= lr·b`, or with Nesterov `w -= lr·(g + μb)`.
    ///
    /// ```
    /// use kolmo::optim::Sgd;
    /// let sgd: Sgd = Sgd::new(0.1).momentum(0.9).nesterov(true).weight_decay(1e-4);
    /// ```
    Sgd(Descent) weight_decay = 0.0
    /// Momentum μ (default 0).
    momentum: f64,
    /// Dampening d of the momentum (default 0).
    dampening: f64,
    /// Nesterov momentum (default off); needs momentum, and no dampening.
    nesterov: bool,
}

#[derive(Clone, Copy, Debug)]
struct Descent {
    momentum: f64,
    dampening: f64,
    nesterov: bool,
}

impl Descent {
    const DEFAULT: Self = Descent { momentum: 0.0, dampening: 0.0, nesterov: false };
}

impl Rule for Descent {
    const NAME: &'static str = "Sgd";

    fn check(&self) -> Checked<()> {
        not_negative("momentum", self.momentum)?;
        if !self.dampening.is_finite() {
            return Err(format!("dampening is {}, expected a finite number", self.dampening));
        }
        match self.nesterov && (self.momentum == 0.0 || self.dampening != 0.0) {
            true => Err("nesterov needs a momentum above 0 and no dampening".to_string()),
            false => Ok(()),
        }
    }

    fn memory(&self) -> usize {
        usize::from(self.momentum != 0.0)
    }

    fn step<T: Float>(&self, task: Task<'_, T>) {
        let (lr, slope) = (task.lr, task.added());
        if self.momentum == 0.0 {
            return task.run(Plain { lr, slope });
        }
        let fresh = if task.steps == 1 { 1.0 } else { 1.0 - self.dampening };
        task.run(Momentum { lr, momentum: self.momentum, fresh, slope, nesterov: self.nesterov });
    }
}

/// Without momentum nothing is remembered.
#[derive(Clone, Copy)]
struct Plain {
    lr: f64,
    slope: Slope,
}

impl Update<1> for Plain {
    #[inline(always)]
    fn step<T: FloatElement>(&self, [w]: [T; 1], grad: T) -> [T; 1] {
        [w - T::constant(self.lr) * self.slope.at(w, grad).0]
    }
}

#[derive(Clone, Copy)]
struct Momentum {
    lr: f64,
    momentum: f64,
    fresh: f64,
    slope: Slope,
    nesterov: bool,
}

impl Update<2> for Momentum {
    #[inline(always)]
    fn step<T: FloatElement>(&self, [w, b]: [T; 2], grad: T) -> [T; 2] {
        let (g, w) = self.slope.at(w, grad);
        let b = T::constant(self.momentum) * b + T::constant(self.fresh) * g;
        let by = if self.nesterov { g + T::constant(self.momentum) * b } else { b };
        [w - T::constant(self.lr) * by, b]
    }
}
