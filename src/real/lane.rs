//! A float inside a kernel's loop: the same arithmetic as the plain float, with the crate's own vectorisable
//! functions.
use super::lane_math::LaneMath;
use super::{Arithmetic, table};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// One float of a vector loop. `FMA` says that fused multiply-add is an instruction of the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lane<T, const FMA: bool> {
    pub(crate) value: T,
    /// Whether it is the derivative of what doesn't depend on something: known when the loop is compiled,
    /// and so no part of it.
    nothing: bool,
}

impl<T, const FMA: bool> Lane<T, FMA> {
    #[inline(always)]
    pub(crate) fn new(value: T) -> Self {
        Lane { value, nothing: false }
    }
}

macro_rules! lane {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) [$($bk:ident)*] $bf:tt |$bx:ident, $by:ident, $bg:ident| $bd:expr $(, $bi:tt)?; )* }
        $($rest:tt)*
    ) => {
        impl<T: LaneMath, const FMA: bool> Arithmetic for Lane<T, FMA> {
            type Mask = bool;
            #[inline(always)]
            fn constant(value: f64) -> Self {
                Lane::new(T::constant(value))
            }
            #[inline(always)]
            fn primal(self) -> f64 {
                self.value.primal()
            }
            #[inline(always)]
            fn less(self, other: Self) -> bool {
                self.value.less(other.value)
            }
            #[inline(always)]
            fn less_equal(self, other: Self) -> bool {
                self.value.less_equal(other.value)
            }
            #[inline(always)]
            fn equal(self, other: Self) -> bool {
                self.value.equal(other.value)
            }
            #[inline(always)]
            fn select(mask: bool, a: Self, b: Self) -> Self {
                let value = if mask { a.value } else { b.value };
                Lane { value, nothing: a.nothing & b.nothing }
            }
            #[inline(always)]
            fn nothing() -> Self {
                Lane { value: T::constant(0.0), nothing: true }
            }
            #[inline(always)]
            fn is_nothing(self) -> bool {
                self.nothing
            }
            #[inline(always)]
            fn is_zero(self) -> bool {
                self.value.is_zero()
            }
            #[inline(always)]
            fn pow(self, exponent: Self) -> Self {
                Lane::new(<T as LaneMath>::pow::<FMA>(self.value, exponent.value))
            }
            #[inline(always)]
            fn atan2(self, x: Self) -> Self {
                Lane::new(<T as LaneMath>::atan2::<FMA>(self.value, x.value))
            }
            #[inline(always)]
            fn fmod(self, other: Self) -> Self {
                Lane::new(self.value.fmod(other.value))
            }
            $( #[inline(always)] fn $bn(self $(, $bp: f64)*) -> Self { lane!(call $bf self $bn $($bp)*) } )*
        }
    };
    (call costly $self:ident polygamma $p:ident) => { Lane::new($self.value.polygamma($p)) };
    (call costly $self:ident lgamma) => { Lane::new($self.value.lgamma()) };
    (call costly $self:ident digamma) => { Lane::new($self.value.digamma()) };
    (call costly $self:ident $name:ident) => { lane!(call heavy $self $name) };
    (call heavy $self:ident $name:ident) => { Lane::new(<T as LaneMath>::$name::<FMA>($self.value)) };
    (call light $self:ident $name:ident) => { Lane::new(Arithmetic::$name($self.value)) };
}
table::elementary!(lane);

macro_rules! operators {
    ($($trait:ident $f:ident)*) => {$(
        impl<T: LaneMath, const FMA: bool> $trait<f64> for Lane<T, FMA> {
            type Output = Self;
            #[inline(always)]
            fn $f(self, other: f64) -> Self { Lane::new($trait::$f(self.value, T::constant(other))) }
        }
        impl<T: LaneMath, const FMA: bool> $trait<Lane<T, FMA>> for f64 {
            type Output = Lane<T, FMA>;
            #[inline(always)]
            fn $f(self, other: Lane<T, FMA>) -> Lane<T, FMA> { Lane::new($trait::$f(T::constant(self), other.value)) }
        }
    )*};
}
operators!(Add add Sub sub Mul mul Div div);

macro_rules! products {
    ($($trait:ident $f:ident)*) => {$(
        impl<T: LaneMath, const FMA: bool> $trait for Lane<T, FMA> {
            type Output = Self;
            #[inline(always)]
            fn $f(self, other: Self) -> Self { Lane::new($trait::$f(self.value, other.value)) }
        }
    )*};
}
products!(Mul mul Div div);

impl<T: LaneMath, const FMA: bool> Add for Lane<T, FMA> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        match (self.nothing, other.nothing) {
            (true, _) => other,
            (_, true) => self,
            _ => Lane::new(self.value + other.value),
        }
    }
}

impl<T: LaneMath, const FMA: bool> Sub for Lane<T, FMA> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        match (self.nothing, other.nothing) {
            (_, true) => self,
            (true, _) => -other,
            _ => Lane::new(self.value - other.value),
        }
    }
}

impl<T: LaneMath, const FMA: bool> Neg for Lane<T, FMA> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Lane { value: -self.value, ..self }
    }
}
