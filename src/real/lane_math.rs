//! Which implementation of each transcendental function runs inside a kernel's loop: the crate's own
//! vectorisable ones, or, for rare functions of `f64`, the standard library's.
use super::{Arithmetic, erf64, math32, math64};

/// An expression of many forms, each with a loop of its own. These functions, which have no parameters of
/// type, are compiled in this crate, once, and not in every crate that uses it.
pub trait Forms<const N: usize> {
    fn over_f32(&self, x: [&[f32]; N], out: &mut [f32]);
    fn over_f64(&self, x: [&[f64]; N], out: &mut [f64]);
}

macro_rules! lane_math {
    (own64 { $($module:ident: $($both:ident)*;)* } std64 { $($name:ident)* } pairs { $($pair:ident)* }) => {
        /// Functions for the inside of vector loops; `FMA` says that fused multiply-add is an instruction.
        pub trait LaneMath: Arithmetic<Mask = bool> {
            #[doc(hidden)]
            fn over<E: Forms<N>, const N: usize>(e: &E, x: [&[Self]; N], out: &mut [Self]);
            /// Of arguments below [`math64::NEAR`] in size.
            #[doc(hidden)]
            #[inline(always)]
            fn near_sin<const FMA: bool>(x: Self) -> Self { <Self as LaneMath>::sin::<FMA>(x) }
            #[doc(hidden)]
            #[inline(always)]
            fn near_cos<const FMA: bool>(x: Self) -> Self { <Self as LaneMath>::cos::<FMA>(x) }
            $($(#[doc(hidden)] fn $both<const FMA: bool>(x: Self) -> Self;)*)*
            $(#[doc(hidden)] fn $name<const FMA: bool>(x: Self) -> Self;)*
            $(#[doc(hidden)] fn $pair<const FMA: bool>(a: Self, b: Self) -> Self;)*
        }
        impl LaneMath for f32 {
            fn over<E: Forms<N>, const N: usize>(e: &E, x: [&[f32]; N], out: &mut [f32]) {
                e.over_f32(x, out);
            }
            $($(#[inline(always)] fn $both<const FMA: bool>(x: f32) -> f32 { math32::$both::<FMA>(x) })*)*
            $(#[inline(always)] fn $name<const FMA: bool>(x: f32) -> f32 { math32::$name::<FMA>(x) })*
            $(#[inline(always)] fn $pair<const FMA: bool>(a: f32, b: f32) -> f32 { math32::$pair::<FMA>(a, b) })*
        }
        impl LaneMath for f64 {
            fn over<E: Forms<N>, const N: usize>(e: &E, x: [&[f64]; N], out: &mut [f64]) {
                e.over_f64(x, out);
            }
            #[inline(always)]
            fn near_sin<const FMA: bool>(x: f64) -> f64 { math64::near_sin::<FMA>(x) }
            #[inline(always)]
            fn near_cos<const FMA: bool>(x: f64) -> f64 { math64::near_cos::<FMA>(x) }
            $($(#[inline(always)] fn $both<const FMA: bool>(x: f64) -> f64 { $module::$both::<FMA>(x) })*)*
            $(#[inline(always)] fn $name<const FMA: bool>(x: f64) -> f64 { Arithmetic::$name(x) })*
            $(#[inline(always)] fn $pair<const FMA: bool>(a: f64, b: f64) -> f64 { Arithmetic::$pair(a, b) })*
        }
    };
}
lane_math! {
    own64 { math64: exp expm1 log log1p tanh sigmoid sin cos; erf64: erf; }
    std64 { exp2 log2 log10 tan asin acos atan sinh cosh asinh acosh atanh erfc }
    pairs { pow atan2 }
}
