//! Layers that normalise each example by itself, over its last axes or over groups of its channels, with
//! PyTorch's names.
use super::{
    Layer,
    fit::{refused, shaped_if},
    norm::{has_channels, length},
};
use crate::{
    checked::{Check, checked, positive},
    error::Checked,
    ops::Float,
    param::Param,
    tape::Var,
    tensor::{Shape, Tensor},
};
use serde::Serialize;

macro_rules! affine {
    ($($(#[$m:meta])* $name:ident { $($field:ident: $t:ty),* } |$x:ident, $layer:ident, $w:ident, $b:ident| $e:expr;)*) => {$(
        $(#[$m])*
        #[derive(Clone, Debug, Serialize)]
        pub struct $name<T: Float = f32> {
            /// Ones at first.
            pub weight: Option<Param<T>>,
            /// Zeros at first.
            pub bias: Option<Param<T>>,
            $(#[allow(missing_docs)] pub $field: $t,)*
            /// Added to variances (default 1e-5).
            pub eps: f64,
        }

        checked!($name<T> { weight: Option<Param<T>>, bias: Option<Param<T>>, $($field: $t,)* eps: f64 });

        impl<T: Float> Layer<T> for $name<T> {
            #[track_caller]
            fn forward<'t>(&self, $x: &Var<'t, T>) -> Var<'t, T> {
                let fits = || {
                    self.check()?;
                    self.takes($x)
                };
                if let Some(failed) = refused(stringify!($name), &[$x], fits) {
                    return failed;
                }
                let part = |p: &Option<Param<T>>| p.as_ref().map(|p| $x.tape().param(p));
                let ($layer, $w, $b) = (self, part(&self.weight), part(&self.bias));
                $e
            }
        }

        impl<T: Float> $name<T> {
            fn of($($field: $t,)* sizes: impl Into<Shape>) -> Self {
                let sizes = sizes.into();
                $name {
                    weight: Some(Param::new(Tensor::ones(&sizes))),
                    bias: Some(Param::new(Tensor::zeros(&sizes))),
                    $($field,)*
                    eps: 1e-5,
                }
            }
        }
    )*};
}
affine! {
    /// Layer normalisation of the last axes, which have this shape.
    LayerNorm { normalized_shape: Vec<usize> }
        |x, layer, w, b| x.layer_norm(&layer.normalized_shape, w.as_ref(), b.as_ref(), layer.eps);
    /// Group normalisation of `[n, channels, …]`.
    GroupNorm { num_groups: usize }
        |x, layer, w, b| x.group_norm(layer.num_groups, w.as_ref(), b.as_ref(), layer.eps);
}

/// That these are the last axes of an input.
fn ends_with<T: Float>(x: &Var<'_, T>, sizes: &[usize]) -> Checked<()> {
    if x.shape().ends_with(sizes) {
        return Ok(());
    }
    let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
    Err(format!("takes […, {}], not {}", sizes.join(", "), x.shape()))
}

impl<T: Float> Check for LayerNorm<T> {
    fn check(&self) -> Checked<()> {
        if self.normalized_shape.is_empty() {
            return Err("normalized_shape is empty, expected an axis at least".into());
        }
        shaped_if("weight", &self.weight, &self.normalized_shape)?;
        shaped_if("bias", &self.bias, &self.normalized_shape)?;
        positive("eps", self.eps)
    }
}

impl<T: Float> Check for GroupNorm<T> {
    fn check(&self) -> Checked<()> {
        if self.num_groups == 0 {
            return Err("num_groups is 0, expected at least 1".into());
        }
        for (field, p) in [("weight", &self.weight), ("bias", &self.bias)] {
            let Some(channels) = p.as_ref().map(|p| length(field, p)).transpose()? else { continue };
            if channels % self.num_groups != 0 {
                return Err(format!("num_groups {} doesn't divide the {channels} channels", self.num_groups));
            }
            shaped_if("bias", &self.bias, &[channels])?;
        }
        positive("eps", self.eps)
    }
}

impl LayerNorm {
    /// A layer for inputs whose last axes have these sizes.
    pub fn new(normalized_shape: impl Into<Shape>) -> Self {
        LayerNorm::with_dtype(normalized_shape)
    }
}

impl<T: Float> LayerNorm<T> {
    fn takes(&self, x: &Var<'_, T>) -> Checked<()> {
        ends_with(x, &self.normalized_shape)
    }

    /// The same with numbers of another type: `LayerNorm::<f64>::with_dtype([8])`.
    pub fn with_dtype(normalized_shape: impl Into<Shape>) -> Self {
        let shape = normalized_shape.into();
        LayerNorm::of(shape.to_vec(), shape)
    }
}

impl GroupNorm {
    /// A layer for so many groups of so many channels. Groups that don't divide the channels are an error
    /// when it is used.
    pub fn new(num_groups: usize, num_channels: usize) -> Self {
        GroupNorm::with_dtype(num_groups, num_channels)
    }
}

impl<T: Float> GroupNorm<T> {
    fn takes(&self, x: &Var<'_, T>) -> Checked<()> {
        match self.weight.as_ref().or(self.bias.as_ref()).map(|p| p.shape().dim(0)) {
            Some(channels) => has_channels(x, channels),
            None => match x.shape()[..] {
                [_, channels, ..] if channels % self.num_groups.max(1) == 0 => Ok(()),
                _ => Err(format!(
                    "takes [n, channels, …] with channels of which {} divides the number, not {}",
                    self.num_groups,
                    x.shape()
                )),
            },
        }
    }

    /// The same with numbers of another type: `GroupNorm::<f64>::with_dtype(2, 8)`.
    pub fn with_dtype(num_groups: usize, num_channels: usize) -> Self {
        GroupNorm::of(num_groups, [num_channels])
    }
}

/// Division by the root of the mean square over the last axes, which have this shape.
///
/// ```
/// use kolmo::{Tape, nn::{Layer, RmsNorm}};
/// let tape = Tape::<f64>::new();
/// let y = RmsNorm::with_dtype([2]).forward(&tape.constant([[3.0, 3.0]]));
/// assert!((y.to_vec()?[0] - 1.0).abs() < 1e-9);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct RmsNorm<T: Float = f32> {
    /// Ones at first.
    pub weight: Option<Param<T>>,
    /// The last axes of inputs.
    pub normalized_shape: Vec<usize>,
    /// Added to mean squares; by default the type's smallest step at 1.
    pub eps: Option<f64>,
}

checked!(RmsNorm<T> { weight: Option<Param<T>>, normalized_shape: Vec<usize>, eps: Option<f64> });

impl<T: Float> Check for RmsNorm<T> {
    fn check(&self) -> Checked<()> {
        if self.normalized_shape.is_empty() {
            return Err("normalized_shape is empty, expected an axis at least".into());
        }
        shaped_if("weight", &self.weight, &self.normalized_shape)?;
        positive("eps", self.eps.unwrap_or(1.0))
    }
}

impl RmsNorm {
    /// A layer for inputs whose last axes have these sizes.
    pub fn new(normalized_shape: impl Into<Shape>) -> Self {
        RmsNorm::with_dtype(normalized_shape)
    }
}

impl<T: Float> RmsNorm<T> {
    /// The same with numbers of another type: `RmsNorm::<f64>::with_dtype([8])`.
    pub fn with_dtype(normalized_shape: impl Into<Shape>) -> Self {
        let shape = normalized_shape.into();
        RmsNorm {
            weight: Some(Param::new(Tensor::ones(&shape))),
            normalized_shape: shape.to_vec(),
            eps: None,
        }
    }
}

impl<T: Float> Layer<T> for RmsNorm<T> {
    #[track_caller]
    fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
        let fits = || {
            self.check()?;
            ends_with(x, &self.normalized_shape)
        };
        if let Some(failed) = refused("RmsNorm", &[x], fits) {
            return failed;
        }
        let weight = x.tape().optional_param(&self.weight);
        x.rms_norm(&self.normalized_shape, weight.as_ref(), self.eps)
    }
}
