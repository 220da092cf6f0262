//! Which implementation of each transcendental function runs inside a kernel's loop.
use crate::real::Number;

macro_rules! lane_math {
    ($($name:ident)*; $($pair:ident)*) => {
        /// Functions for the inside of vector loops; `FMA` says that fused multiply-add is an instruction.
        pub trait LaneMath: Number<Mask = bool> {
            $(#[doc(hidden)] fn $name<const FMA: bool>(x: Self) -> Self;)*
            $(#[doc(hidden)] fn $pair<const FMA: bool>(a: Self, b: Self) -> Self;)*
        }
        impl LaneMath for f32 {
            $(#[inline(always)] fn $name<const FMA: bool>(x: f32) -> f32 { Number::$name(x) })*
            $(#[inline(always)] fn $pair<const FMA: bool>(a: f32, b: f32) -> f32 { Number::$pair(a, b) })*
        }
        impl LaneMath for f64 {
            $(#[inline(always)] fn $name<const FMA: bool>(x: f64) -> f64 { Number::$name(x) })*
            $(#[inline(always)] fn $pair<const FMA: bool>(a: f64, b: f64) -> f64 { Number::$pair(a, b) })*
        }
    };
}
lane_math! {
    exp exp2 expm1 log log1p log2 log10 sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh sigmoid erf erfc;
    pow atan2
}
