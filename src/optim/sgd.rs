//! Stochastic gradient descent.
use super::{Optimizer, State};
use crate::{
    error::Result,
    kernels::update::{Update, update},
    tape::{Float, Gradients},
};
use serde::Serialize;

/// Gradient descent with momentum, Nesterov momentum and weight decay, as `torch.optim.SGD`:
/// `g += λw; b = μb + (1 - d)g` (first step `b = g`); `w -= lr·b`, or with Nesterov `w -= lr·(g + μb)`.
#[derive(Clone, Debug)]
pub struct Sgd<T: Float = f32> {
    lr: f64,
    momentum: f64,
    dampening: f64,
    weight_decay: f64,
    nesterov: bool,
    state: State<T>,
}

impl<T: Float> Sgd<T> {
    /// Plain descent with this learning rate.
    pub fn new(lr: f64) -> Self {
        Sgd { lr, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false, state: State::default() }
    }

    /// Momentum μ (default 0).
    pub fn momentum(self, momentum: f64) -> Self {
        Sgd { momentum, ..self }
    }

    /// Dampening d of the momentum (default 0).
    pub fn dampening(self, dampening: f64) -> Self {
        Sgd { dampening, ..self }
    }

    /// Weight decay λ, added to the gradient (default 0).
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Sgd { weight_decay, ..self }
    }

    /// Nesterov momentum (default off).
    pub fn nesterov(self, nesterov: bool) -> Self {
        Sgd { nesterov, ..self }
    }
}

/// Without momentum nothing is remembered.
#[derive(Clone, Copy)]
struct Plain {
    lr: f64,
    decay: f64,
}

impl Update<1> for Plain {
    #[inline(always)]
    fn step<T: Float>(&self, [w]: [T; 1], grad: T) -> [T; 1] {
        [w - T::of(self.lr) * (grad + T::of(self.decay) * w)]
    }
}

#[derive(Clone, Copy)]
struct Momentum {
    lr: f64,
    momentum: f64,
    fresh: f64,
    decay: f64,
    nesterov: bool,
}

impl Update<2> for Momentum {
    #[inline(always)]
    fn step<T: Float>(&self, [w, b]: [T; 2], grad: T) -> [T; 2] {
        let g = grad + T::of(self.decay) * w;
        let b = T::of(self.momentum) * b + T::of(self.fresh) * g;
        let by = if self.nesterov { g + T::of(self.momentum) * b } else { b };
        [w - T::of(self.lr) * by, b]
    }
}

impl<T: Float> Optimizer<T> for Sgd<T> {
    fn step<M: Serialize + ?Sized>(&mut self, model: &M, grads: &Gradients<T>) -> Result<()> {
        let Sgd { lr, momentum, dampening, weight_decay: decay, nesterov, .. } = *self;
        if momentum == 0.0 {
            return self.state.each(model, grads, |w, [], g, _| update(Plain { lr, decay }, [w], g));
        }
        self.state.each(model, grads, |w, [b], g, steps| {
            let fresh = if steps == 1 { 1.0 } else { 1.0 - dampening };
            update(Momentum { lr, momentum, fresh, decay, nesterov }, [w, b], g);
        })
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn set_lr(&mut self, lr: f64) {
        self.lr = lr;
    }
}
