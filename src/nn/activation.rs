//! Activation functions as layers, with PyTorch's options and defaults.
use super::{
    Layer,
    fit::{refused, sizes_of},
};
use crate::{
    checked::{Check, checked, finite, not_negative, option, positive},
    error::Checked,
    ops::Float,
    param::Param,
    tape::Var,
    tensor::Tensor,
};
use serde::{Deserialize, Serialize};

/// Layers that call the method of [`Var`] of their name.
macro_rules! plain {
    ($($(#[$m:meta])* $name:ident $f:ident;)*) => {$(
        $(#[$m])*
        #[doc = concat!("See [`Var::", stringify!($f), "`].")]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
        pub struct $name;

        impl<T: Float> Layer<T> for $name {
            #[track_caller]
            fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
                x.$f()
            }
        }
    )*};
}

/// The same with options and what they are by default.
macro_rules! with_options {
    ($($(#[$m:meta])* $name:ident $f:ident { $($option:ident: $t:ty = $default:expr),* } |$layer:pat_param| $check:expr;)*) => {$(
        $(#[$m])*
        #[doc = concat!("See [`Var::", stringify!($f), "`].")]
        #[derive(Clone, Copy, Debug, PartialEq, Serialize)]
        pub struct $name {
            $(#[doc = concat!("The option of [`Var::", stringify!($f), "`] (default ", stringify!($default), ").")]
            #[serde(with = "crate::numbers")]
            pub $option: $t,)*
        }

        checked!($name { $(#[serde(with = "crate::numbers")] $option: $t),* });

        impl Check for $name {
            fn check(&self) -> Checked<()> {
                let $layer = *self;
                $check
            }
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($option: $default),* }
            }
        }

        impl<T: Float> Layer<T> for $name {
            #[track_caller]
            fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
                if let Some(failed) = refused(stringify!($name), &[x], || self.check()) {
                    return failed;
                }
                x.$f($(self.$option),*)
            }
        }
    )*};
}

plain! {
    /// `max(x, 0)`.
    Relu relu;
    /// Hyperbolic tangent.
    Tanh tanh;
    /// `1 / (1 + e⁻ˣ)`.
    Sigmoid sigmoid;
    /// `x · sigmoid(x)`.
    Silu silu;
    /// `x · Φ(x)`.
    Gelu gelu;
    /// `x · Φ(x)`, approximately.
    GeluTanh gelu_tanh;
    /// `min(max(x, 0), 6)`.
    Relu6 relu6;
    /// A scaled [`Elu`] that keeps mean and variance.
    Selu selu;
    /// `x / (1 + |x|)`.
    Softsign softsign;
    /// A sigmoid of straight lines.
    Hardsigmoid hardsigmoid;
    /// `x · hardsigmoid(x)`.
    Hardswish hardswish;
    /// `x · tanh(softplus(x))`.
    Mish mish;
    /// `log sigmoid(x)`.
    LogSigmoid logsigmoid;
    /// `x - tanh(x)`.
    Tanhshrink tanhshrink;
}

with_options! {
    /// `x`, or `negative_slope · x` below 0.
    LeakyRelu leaky_relu { negative_slope: f64 = 0.01 } |s| finite("negative_slope", s.negative_slope);
    /// `x`, or `alpha · (eˣ - 1)` below 0.
    Elu elu { alpha: f64 = 1.0 } |s| finite("alpha", s.alpha);
    /// `x`, or `alpha · (e^(x / alpha) - 1)` below 0.
    Celu celu { alpha: f64 = 1.0 }
        |s| option("alpha", s.alpha, s.alpha != 0.0 && s.alpha.is_finite(), "a finite number but 0");
    /// `log(1 + e^(beta · x)) / beta`.
    Softplus softplus { beta: f64 = 1.0, threshold: f64 = 20.0 }
        |s| positive("beta", s.beta).and(finite("threshold", s.threshold));
    /// `x` between two bounds.
    Hardtanh hardtanh { min_val: f64 = -1.0, max_val: f64 = 1.0 }
        |s| option("min_val", s.min_val, s.min_val <= s.max_val, &format!("at most max_val, {}", s.max_val));
    /// `x`, or 0 near 0.
    Hardshrink hardshrink { lambd: f64 = 0.5 } |s| finite("lambd", s.lambd);
    /// `x` moved towards 0.
    Softshrink softshrink { lambd: f64 = 0.5 }
        |s| not_negative("lambd", s.lambd);
    /// Half of an axis, times the sigmoid of the other half.
    Glu glu { dim: isize = -1 } |_| Ok(());
    /// `eˣ / Σ eˣ` along an axis.
    Softmax softmax { dim: isize = -1 } |_| Ok(());
    /// The logarithm of the softmax along an axis.
    LogSoftmax log_softmax { dim: isize = -1 } |_| Ok(());
}

/// `x`, or `weight · x` below 0, with a weight that is trained: one, or one for each channel (axis 1).
///
/// ```
/// use kolmo::{Tape, nn::{Layer, PRelu}};
/// let y = PRelu::new(1).forward(&Tape::new().constant([-4.0, 4.0])).to_vec()?;
/// assert_eq!(y, [-1.0, 4.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct PRelu<T: Float = f32> {
    /// `[1]` or `[channels]`, 0.25 at first.
    pub weight: Param<T>,
}

checked!(PRelu<T> { weight: Param<T> });

impl<T: Float> Check for PRelu<T> {
    fn check(&self) -> Checked<()> {
        let weight = sizes_of(&self.weight)?;
        match weight[..] {
            [n] if n > 0 => Ok(()),
            _ => Err(format!("weight has shape {weight}, expected [1] or [channels]")),
        }
    }
}

impl PRelu {
    /// A layer with so many weights.
    pub fn new(num_parameters: usize) -> Self {
        PRelu::with_dtype(num_parameters)
    }
}

impl<T: Float> PRelu<T> {
    /// The same with numbers of another type: `PRelu::<f64>::with_dtype(1)`.
    pub fn with_dtype(num_parameters: usize) -> Self {
        PRelu { weight: Param::new(Tensor::full([num_parameters], T::constant(0.25))) }
    }
}

impl<T: Float> Layer<T> for PRelu<T> {
    #[track_caller]
    fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
        let fits = || {
            self.check()?;
            let n = self.weight.shape().dim(0);
            match x.shape()[..] {
                [_, channels, ..] if channels == n => Ok(()),
                _ if n == 1 => Ok(()),
                _ => Err(format!("takes [n, {n}, …], not {}", x.shape())),
            }
        };
        if let Some(failed) = refused("PRelu", &[x], fits) {
            return failed;
        }
        x.prelu(&x.tape().param(&self.weight))
    }
}

/// The input as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Identity;

impl<T: Float> Layer<T> for Identity {
    fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
        x.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tape;

    #[test]
    fn options_reach_the_function() {
        let tape = Tape::<f64>::new();
        let x = tape.constant([-2.0, 3.0]);
        fn of<L: Layer<f64>>(layer: L, x: &Var<'_, f64>) -> Vec<f64> {
            layer.forward(x).to_vec().unwrap()
        }
        assert_eq!(of(LeakyRelu::default(), &x), [-0.02, 3.0]);
        assert_eq!(of(LeakyRelu { negative_slope: 0.5 }, &x), [-1.0, 3.0]);
        assert_eq!(of(Hardtanh { min_val: -1.5, max_val: 2.0 }, &x), [-1.5, 2.0]);
        assert_eq!(of(Identity, &x), [-2.0, 3.0]);
        let sum: f64 = of(Softmax::default(), &x).iter().sum();
        assert!((sum - 1.0).abs() < 1e-15);
    }
}
