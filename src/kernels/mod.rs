//! Loops over slices and strides: vector code, and most of the `unsafe` there is.
pub(crate) mod accumulate;
pub(crate) mod angles;
pub(crate) mod batched;
pub(crate) mod bytes;
pub(crate) mod compact;
pub(crate) mod conv;
pub(crate) mod dense;
pub(crate) mod halves;
pub(crate) mod map;
pub(crate) mod matmul;
pub(crate) mod multiples;
pub(crate) mod normal;
pub mod packed;
pub(crate) mod pairs;
pub(crate) mod pool;
mod prefetch;
pub(crate) mod recurrent;
pub(crate) mod reduce;
pub(crate) mod rows;
pub(crate) mod softmax;
pub(crate) mod spread;
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
    Element + PartialOrd + LaneMath + MatmulElement + packed::Plain + Arithmetic + serde::Serialize
{
    /// `self · b + c` in one rounding.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// The value of a small integer.
    fn from_small(v: u8) -> Self;
    /// The value of an integer, rounded to this type.
    fn from_int(v: i32) -> Self;
    /// The value of a float of 32 bits, rounded to this type.
    fn from_f32(v: f32) -> Self;
}

macro_rules! float_elements {
    ($($t:ident)*) => {$(
        impl FloatElement for $t {
            #[inline(always)]
            fn mul_add(self, b: $t, c: $t) -> $t {
                $t::mul_add(self, b, c)
            }
            #[inline(always)]
            fn from_small(v: u8) -> $t {
                // Signed integers become floats in one instruction.
                i32::from(v) as $t
            }
            #[inline(always)]
            fn from_int(v: i32) -> $t {
                v as $t
            }
            #[inline(always)]
            fn from_f32(v: f32) -> $t {
                v as $t
            }
        }
    )*};
}
float_elements!(f32 f64);
