//! Loops over slices and strides: vector code, and most of the `unsafe` there is.
pub(crate) mod accumulate;
pub(crate) mod bytes;
pub(crate) mod compact;
pub(crate) mod conv;
pub(crate) mod dense;

pub(crate) mod map;
pub(crate) mod matmul;
pub(crate) mod pool;
pub(crate) mod reduce;
pub(crate) mod standardize;
pub(crate) mod update;
mod vectorised;

use crate::{
    real::{Arithmetic, lane_math::LaneMath},
    tensor::Element,
};
use matmul::MatmulElement;

/// A float in tensors: what the kernels compute with.
pub trait FloatElement:
    Element + PartialOrd + LaneMath + MatmulElement + Arithmetic + serde::Serialize
{
}
impl FloatElement for f32 {}
impl FloatElement for f64 {}
