//! Adam and AdamW.
use super::rule::{Rule, Slope, Task, betas, moments, optimizer};
use crate::{
    error::Checked,
    kernels::{FloatElement, update::Update},
    ops::Float,
};

macro_rules! adam {
    ($(#[$m:meta])* $name:ident($rule:ident), $decay:literal, $decoupled:literal) => {
        optimizer! {
            $(#[$m])*
            $name($rule) weight_decay = $decay
            /// Added to the root of the second moment (default 1e-8).
            eps: f64,
            /// Divides by the largest second moment so far rather than the current one (Reddi et al., 2018).
            amsgrad: bool,
        }
        betas!($name, 0.9, 0.999);

        #[derive(Clone, Copy, Debug)]
        struct $rule {
            betas: (f64, f64),
            eps: f64,
            amsgrad: bool,
        }

        impl $rule {
            const DEFAULT: Self = $rule { betas: (0.9, 0.999), eps: 1e-8, amsgrad: false };
        }

        impl Rule for $rule {
            const NAME: &'static str = stringify!($name);

            fn check(&self) -> Checked<()> {
                moments(self.betas, self.eps)
            }

            fn memory(&self) -> usize {
                2 + usize::from(self.amsgrad)
            }

            fn step<T: Float>(&self, task: Task<'_, T>) {
                let (b1, b2) = self.betas;
                let (rate, root) = (task.lr / task.correction(b1), task.correction(b2).sqrt());
                let slope = if $decoupled { task.decoupled() } else { task.added() };
                let step = Moments { b1, b2, eps: self.eps, rate, root, slope };
                if self.amsgrad { task.run::<_, 4>(step) } else { task.run::<_, 3>(step) }
            }
        }
    };
}

adam! {
    /// Adam (Kingma and Ba, 2015), as `torch.optim.Adam`: weight decay is added to the gradient,
    /// `g += λw; m = β₁m + (1-β₁)g; v = β₂v + (1-β₂)g²; w -= lr/(1-β₁ᵗ) · m / (√v/√(1-β₂ᵗ) + ε)`.
    ///
    /// ```
    /// use kolmo::optim::Adam;
    /// let adam: Adam = Adam::new(1e-3).betas(0.9, 0.99);
    /// ```
    Adam(Coupled), 0.0, false
}
adam! {
    /// Adam with weight decay apart from the gradient (Loshchilov and Hutter, 2019), as `torch.optim.AdamW`:
    /// `w *= 1 - lr·λ`, then the step of [`Adam`] without decay.
    ///
    /// ```
    /// use kolmo::optim::AdamW;
    /// let adam: AdamW = AdamW::new(1e-3).weight_decay(0.1);
    /// ```
    AdamW(Decoupled), 0.01, true
}

#[derive(Clone, Copy)]
struct Moments {
    b1: f64,
    b2: f64,
    eps: f64,
    rate: f64,
    root: f64,
    slope: Slope,
}

impl Moments {
    #[inline(always)]
    fn moments<T: FloatElement>(&self, w: T, m: T, v: T, grad: T) -> [T; 3] {
        let (g, w) = self.slope.at(w, grad);
        let m = m + T::constant(1.0 - self.b1) * (g - m);
        let v = T::constant(self.b2) * v + T::constant(1.0 - self.b2) * (g * g);
        [w, m, v]
    }

    #[inline(always)]
    fn change<T: FloatElement>(&self, m: T, v: T) -> T {
        T::constant(self.rate) * m / (v.sqrt() / T::constant(self.root) + T::constant(self.eps))
    }
}

impl Update<3> for Moments {
    #[inline(always)]
    fn step<T: FloatElement>(&self, [w, m, v]: [T; 3], grad: T) -> [T; 3] {
        let [w, m, v] = self.moments(w, m, v, grad);
        [w - self.change(m, v), m, v]
    }
}

impl Update<4> for Moments {
    #[inline(always)]
    fn step<T: FloatElement>(&self, [w, m, v, top]: [T; 4], grad: T) -> [T; 4] {
        let [w, m, v] = self.moments(w, m, v, grad);
        let top = T::select(top.less(v), v, top);
        [w - self.change(m, top), m, v, top]
    }
}
