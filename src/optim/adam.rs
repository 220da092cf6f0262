//! Adam and AdamW.
use super::{Optimizer, State};
use crate::{
    error::Result,
    kernels::update::{Update, update},
    tape::{Float, Gradients},
};
use serde::Serialize;

macro_rules! adam {
    ($(#[$m:meta])* $name:ident, $default_decay:expr, $decoupled:expr) => {
        $(#[$m])*
        #[derive(Clone, Debug)]
        pub struct $name<T: Float = f32> {
            lr: f64,
            betas: (f64, f64),
            eps: f64,
            weight_decay: f64,
            amsgrad: bool,
            state: State<T>,
        }

        impl<T: Float> $name<T> {
            /// PyTorch's defaults with this learning rate.
            pub fn new(lr: f64) -> Self {
                Self { lr, betas: (0.9, 0.999), eps: 1e-8, weight_decay: $default_decay, amsgrad: false, state: State::default() }
            }

            /// Decay rates of the two moments (default 0.9 and 0.999).
            pub fn betas(self, beta1: f64, beta2: f64) -> Self {
                Self { betas: (beta1, beta2), ..self }
            }

            /// Added to the root of the second moment (default 1e-8).
            pub fn eps(self, eps: f64) -> Self {
                Self { eps, ..self }
            }

            /// Weight decay λ.
            pub fn weight_decay(self, weight_decay: f64) -> Self {
                Self { weight_decay, ..self }
            }

            /// Divides by the largest second moment so far rather than the current one (Reddi et al., 2018).
            pub fn amsgrad(self, amsgrad: bool) -> Self {
                Self { amsgrad, ..self }
            }
        }

        impl<T: Float> Optimizer<T> for $name<T> {
            fn step<M: Serialize + ?Sized>(&mut self, model: &M, grads: &Gradients<T>) -> Result<()> {
                let (b1, b2) = self.betas;
                let (lr, decay) = (self.lr, self.weight_decay);
                let at = |steps: u64| {
                    let correct = |b: f64| 1.0 - b.powi(i32::try_from(steps).unwrap_or(i32::MAX));
                    Moments {
                        b1,
                        b2,
                        eps: self.eps,
                        rate: lr / correct(b1),
                        root: correct(b2).sqrt(),
                        shrink: if $decoupled { 1.0 - lr * decay } else { 1.0 },
                        decay: if $decoupled { 0.0 } else { decay },
                    }
                };
                if self.amsgrad {
                    return self.state.each(model, grads, |w, [m, v, top], g, n| update(at(n), [w, m, v, top], g));
                }
                self.state.each(model, grads, |w, [m, v], g, n| update(at(n), [w, m, v], g))
            }

            fn lr(&self) -> f64 {
                self.lr
            }

            fn set_lr(&mut self, lr: f64) {
                self.lr = lr;
            }
        }
    };
}

adam! {
    /// Adam (Kingma and Ba, 2015), as `torch.optim.Adam`: weight decay is added to the gradient (default 0).
    Adam, 0.0, false
}
adam! {
    /// Adam with weight decay apart from the gradient (Loshchilov and Hutter, 2019), as `torch.optim.AdamW` (default 0.01).
    AdamW, 0.01, true
}

/// `m = β₁m + (1-β₁)g; v = β₂v + (1-β₂)g²; w -= lr/(1-β₁ᵗ) · m / (√v/√(1-β₂ᵗ) + ε)`.
#[derive(Clone, Copy)]
struct Moments {
    b1: f64,
    b2: f64,
    eps: f64,
    rate: f64,
    root: f64,
    shrink: f64,
    decay: f64,
}

impl Moments {
    #[inline(always)]
    fn moments<T: Float>(&self, w: T, m: T, v: T, grad: T) -> [T; 4] {
        let g = grad + T::of(self.decay) * w;
        let m = m + T::of(1.0 - self.b1) * (g - m);
        let v = T::of(self.b2) * v + T::of(1.0 - self.b2) * (g * g);
        [w * T::of(self.shrink), m, v, g]
    }

    #[inline(always)]
    fn change<T: Float>(&self, m: T, v: T) -> T {
        T::of(self.rate) * m / (v.sqrt() / T::of(self.root) + T::of(self.eps))
    }
}

impl Update<3> for Moments {
    #[inline(always)]
    fn step<T: Float>(&self, [w, m, v]: [T; 3], grad: T) -> [T; 3] {
        let [w, m, v, _] = self.moments(w, m, v, grad);
        [w - self.change(m, v), m, v]
    }
}

impl Update<4> for Moments {
    #[inline(always)]
    fn step<T: Float>(&self, [w, m, v, top]: [T; 4], grad: T) -> [T; 4] {
        let [w, m, v, _] = self.moments(w, m, v, grad);
        let top = T::select(top.less(v), v, top);
        [w - self.change(m, top), m, v, top]
    }
}
