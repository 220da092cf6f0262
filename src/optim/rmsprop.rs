//! RMSprop.
use super::rule::{Rule, Slope, Task, optimizer};
use crate::{
    checked::not_negative,
    error::Checked,
    kernels::{FloatElement, update::Update},
    ops::Float,
};

optimizer! {
    /// RMSprop (Tieleman and Hinton, 2012), as `torch.optim.RMSprop`: `g += λw; v = αv + (1-α)g²; s = √v + ε;
    /// w -= lr·g/s`. Centred, `s = √(v - a²) + ε` with `a = αa + (1-α)g`; with momentum, `b = μb + g/s; w -= lr·b`.
    ///
    /// ```
    /// use kolmo::optim::RmsProp;
    /// let rmsprop: RmsProp = RmsProp::new(1e-2).momentum(0.9).centered(true);
    /// ```
    RmsProp(Squares) weight_decay = 0.0
    /// Decay rate α of the squares (default 0.99).
    alpha: f64,
    /// Added to the root (default 1e-8).
    eps: f64,
    /// Momentum μ (default 0).
    momentum: f64,
    /// Divides by the standard deviation of the gradient rather than its size (default off).
    centered: bool,
}

#[derive(Clone, Copy, Debug)]
struct Squares {
    alpha: f64,
    eps: f64,
    momentum: f64,
    centered: bool,
}

impl Squares {
    const DEFAULT: Self = Squares { alpha: 0.99, eps: 1e-8, momentum: 0.0, centered: false };
}

impl Rule for Squares {
    const NAME: &'static str = "RmsProp";

    fn check(&self) -> Checked<()> {
        not_negative("alpha", self.alpha)?;
        not_negative("eps", self.eps)?;
        not_negative("momentum", self.momentum)
    }

    fn memory(&self) -> usize {
        1 + usize::from(self.momentum > 0.0) + usize::from(self.centered)
    }

    fn step<T: Float>(&self, task: Task<'_, T>) {
        let step = Step { options: *self, lr: task.lr, slope: task.added() };
        match self.memory() {
            1 => task.run::<_, 2>(step),
            2 => task.run::<_, 3>(step),
            _ => task.run::<_, 4>(step),
        }
    }
}

#[derive(Clone, Copy)]
struct Step {
    options: Squares,
    lr: f64,
    slope: Slope,
}

/// The state is the weight, the mean square, the mean if centred, and last the momentum if there is one.
impl<const M: usize> Update<M> for Step {
    #[inline(always)]
    fn step<T: FloatElement>(&self, mut state: [T; M], grad: T) -> [T; M] {
        let Squares { alpha, eps, momentum, centered } = self.options;
        let (g, w) = self.slope.at(state[0], grad);
        let mut square = T::constant(alpha) * state[1] + T::constant(1.0 - alpha) * (g * g);
        state[1] = square;
        // What there is no room for is known when the loop is compiled: then it becomes vectors.
        if M > 2 && centered {
            let mean = state[2] + T::constant(1.0 - alpha) * (g - state[2]);
            state[2] = mean;
            // Rounding may take a variance of zero below it.
            square = square - mean * mean;
            square = T::select(square.less(T::constant(0.0)), T::constant(0.0), square);
        }
        let mut by = g / (square.sqrt() + T::constant(eps));
        if M > 2 && momentum > 0.0 {
            by = T::constant(momentum) * state[M - 1] + by;
            state[M - 1] = by;
        }
        state[0] = w - T::constant(self.lr) * by;
        state
    }
}
