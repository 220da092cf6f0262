//! A float inside a kernel's loop: the same arithmetic as the plain float, with the crate's own vectorisable functions.
use super::{Number, table};
use crate::kernels::lane_math::LaneMath;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// One float of a vector loop. `FMA` says that fused multiply-add is an instruction of the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(transparent)]
pub struct Lane<T, const FMA: bool>(pub T);

macro_rules! lane {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) [$($bk:ident)*] $bf:tt |$bx:ident, $by:ident, $bg:ident| $bd:expr; )* }
        $($rest:tt)*
    ) => {
        impl<T: LaneMath, const FMA: bool> Number for Lane<T, FMA> {
            type Mask = bool;
            #[inline(always)]
            fn of(value: f64) -> Self {
                Lane(T::of(value))
            }
            #[inline(always)]
            fn primal(self) -> f64 {
                self.0.primal()
            }
            #[inline(always)]
            fn less(self, other: Self) -> bool {
                self.0.less(other.0)
            }
            #[inline(always)]
            fn less_equal(self, other: Self) -> bool {
                self.0.less_equal(other.0)
            }
            #[inline(always)]
            fn equal(self, other: Self) -> bool {
                self.0.equal(other.0)
            }
            #[inline(always)]
            fn select(mask: bool, a: Self, b: Self) -> Self {
                if mask { a } else { b }
            }
            #[inline(always)]
            fn is_zero(self) -> bool {
                self.0.is_zero()
            }
            #[inline(always)]
            fn pow(self, exponent: Self) -> Self {
                Lane(<T as LaneMath>::pow::<FMA>(self.0, exponent.0))
            }
            #[inline(always)]
            fn atan2(self, x: Self) -> Self {
                Lane(<T as LaneMath>::atan2::<FMA>(self.0, x.0))
            }
            #[inline(always)]
            fn fmod(self, other: Self) -> Self {
                Lane(self.0.fmod(other.0))
            }
            $( #[inline(always)] fn $bn(self $(, $bp: f64)*) -> Self { lane!(call $bf self $bn $($bp)*) } )*
        }
    };
    (call heavy $self:ident polygamma $p:ident) => { Lane($self.0.polygamma($p)) };
    (call heavy $self:ident lgamma) => { Lane($self.0.lgamma()) };
    (call heavy $self:ident digamma) => { Lane($self.0.digamma()) };
    (call heavy $self:ident $name:ident) => { Lane(<T as LaneMath>::$name::<FMA>($self.0)) };
    (call light $self:ident $name:ident) => { Lane(Number::$name($self.0)) };
}
table::elementary!(lane);

macro_rules! operators {
    ($($trait:ident $f:ident)*) => {$(
        impl<T: LaneMath, const FMA: bool> $trait for Lane<T, FMA> {
            type Output = Self;
            #[inline(always)]
            fn $f(self, other: Self) -> Self { Lane($trait::$f(self.0, other.0)) }
        }
        impl<T: LaneMath, const FMA: bool> $trait<f64> for Lane<T, FMA> {
            type Output = Self;
            #[inline(always)]
            fn $f(self, other: f64) -> Self { Lane($trait::$f(self.0, T::of(other))) }
        }
        impl<T: LaneMath, const FMA: bool> $trait<Lane<T, FMA>> for f64 {
            type Output = Lane<T, FMA>;
            #[inline(always)]
            fn $f(self, other: Lane<T, FMA>) -> Lane<T, FMA> { Lane($trait::$f(T::of(self), other.0)) }
        }
    )*};
}
operators!(Add add Sub sub Mul mul Div div);

impl<T: LaneMath, const FMA: bool> Neg for Lane<T, FMA> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Lane(-self.0)
    }
}
