//! Dual numbers: a value and its derivatives along N directions, carried forward through every function.
use super::{
    Arithmetic,
    number::value,
    slopes::{slope, slope_a, slope_b},
    table::elementary,
};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A number and its derivatives along `N` directions: `re + Σ epsᵢ εᵢ` with `εᵢ εⱼ = 0`.
///
/// ```
/// use kolmo::number::{Arithmetic, Dual};
/// let x = Dual::variable(2.0, 0); // d/dx
/// let y: Dual<f64, 1> = x * x * x;
/// assert_eq!((y.re, y.eps[0]), (8.0, 12.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "an operation on numbers has no effect but its result"]
pub struct Dual<R = f64, const N: usize = 1> {
    /// The value.
    pub re: R,
    /// The derivative along each direction.
    pub eps: [R; N],
}

/// What comes of a tangent. Where nothing flows in, nothing flows out, however steep the function is: a value
/// that doesn't depend on a direction has no derivative along it, also where 0 times its slope is NaN. In a
/// kernel it is known when the loop is compiled, and costs nothing.
#[inline(always)]
fn flow<R: Arithmetic>(tangent: R, result: R) -> R {
    if tangent.is_nothing() { tangent } else { result }
}

impl<R: Arithmetic, const N: usize> Dual<R, N> {
    /// A number that doesn't depend on anything.
    #[inline(always)]
    pub fn constant(re: R) -> Self {
        Dual { re, eps: [R::nothing(); N] }
    }

    /// The variable of direction `i`: derivative 1 along it, 0 along the others.
    #[inline(always)]
    pub fn variable(re: R, i: usize) -> Self {
        let mut eps = [R::nothing(); N];
        if let Some(own) = eps.get_mut(i) {
            *own = R::constant(1.0);
        }
        Dual { re, eps }
    }

    #[inline(always)]
    fn map(self, re: R, slope: impl Fn(R) -> R) -> Self {
        // Loops, here and below: with many directions, the functions of arrays are calls.
        let mut eps = self.eps;
        for e in &mut eps {
            *e = flow(*e, slope(*e));
        }
        Dual { re, eps }
    }

    #[inline(always)]
    fn zip(self, other: Self, re: R, a: impl Fn(R) -> R, b: impl Fn(R) -> R) -> Self {
        let mut eps = self.eps;
        for (e, d) in eps.iter_mut().zip(other.eps) {
            *e = flow(*e, a(*e)) + flow(d, b(d));
        }
        Dual { re, eps }
    }
}

macro_rules! dual {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) [$($bk:ident)*] $bf:tt |$bx:ident, $by:ident, $bg:ident| $bd:expr $(, $bi:tt)?; )* }
        made { $( $(#[$mm:meta])* $mn:ident $mv:ident ($($mp:ident),*) [$($mk:ident)*] |$mvx:ident| $me:expr, |$mx:ident, $my:ident, $mg:ident| $md:expr $(, $mi:tt)?; )* }
        pairs { $( $(#[$pm:meta])* $pn:ident $pv:ident [$($pka:ident)*] [$($pkb:ident)*] |$pva:ident, $pvb:ident| $pe:expr, |$pa:ident, $pb:ident, $py:ident, $pg:ident| $pda:expr, $pdb:expr $(, $pi:tt)?; )* }
        operators { $( $(#[$om:meta])* $on:ident $ov:ident [$($oka:ident)*] [$($okb:ident)*] |$ova:ident, $ovb:ident| $oe:expr, |$oa:ident, $ob:ident, $oy:ident, $og:ident| $oda:expr, $odb:expr $(, $oi:tt)?; )* }
    ) => {
        impl<R: Arithmetic, const N: usize> Arithmetic for Dual<R, N> {
            type Mask = R::Mask;
            #[inline(always)]
            fn constant(value: f64) -> Self {
                Dual::constant(R::constant(value))
            }
            #[inline(always)]
            fn primal(self) -> f64 {
                self.re.primal()
            }
            #[inline(always)]
            fn less(self, other: Self) -> R::Mask {
                self.re.less(other.re)
            }
            #[inline(always)]
            fn less_equal(self, other: Self) -> R::Mask {
                self.re.less_equal(other.re)
            }
            #[inline(always)]
            fn equal(self, other: Self) -> R::Mask {
                self.re.equal(other.re)
            }
            #[inline(always)]
            fn select(mask: R::Mask, a: Self, b: Self) -> Self {
                Dual {
                    re: R::select(mask, a.re, b.re),
                    eps: std::array::from_fn(|i| R::select(mask, a.eps[i], b.eps[i])),
                }
            }
            #[inline(always)]
            fn is_zero(self) -> bool {
                self.re.is_zero() && self.eps.iter().all(|e| e.is_zero())
            }
            #[inline(always)]
            fn nothing() -> Self {
                Dual { re: R::nothing(), eps: [R::nothing(); N] }
            }
            #[inline(always)]
            fn is_nothing(self) -> bool {
                self.re.is_nothing() && self.eps.iter().all(|e| e.is_nothing())
            }
            #[inline(always)]
            fn sin_cos(self) -> (Self, Self) {
                let (sin, cos) = self.re.sin_cos();
                (self.map(sin, |e| e * cos), self.map(cos, |e| -(e * sin)))
            }
            $( #[inline(always)] fn $bn(self $(, $bp: f64)*) -> Self {
                let y = self.re.$bn($($bp),*);
                dual!(slope $bf self y |e| slope::$bn(self.re, y, e $(, $bp)*))
            } )*
            $( #[inline(always)] fn $mn(self $(, $mp: f64)*) -> Self {
                let y = value::$mn(self.re $(, $mp)*);
                self.map(y, |e| slope::$mn(self.re, y, e $(, $mp)*))
            } )*
            $( #[inline(always)] fn $pn(self, other: Self) -> Self {
                let y = value::$pn(self.re, other.re);
                self.zip(other, y, |e| slope_a::$pn(self.re, other.re, y, e), |e| slope_b::$pn(self.re, other.re, y, e))
            } )*
            #[inline(always)]
            fn pow(self, other: Self) -> Self {
                let y = self.re.pow(other.re);
                // The derivative at a constant exponent must not see log of a negative base.
                let b = |e: R| if e.is_zero() { e } else { slope_b::pow(self.re, other.re, y, e) };
                self.zip(other, y, |e| slope_a::pow(self.re, other.re, y, e), b)
            }
            #[inline(always)]
            fn atan2(self, other: Self) -> Self {
                let y = self.re.atan2(other.re);
                self.zip(other, y, |e| slope_a::atan2(self.re, other.re, y, e), |e| slope_b::atan2(self.re, other.re, y, e))
            }
            #[inline(always)]
            fn fmod(self, other: Self) -> Self {
                let y = self.re.fmod(other.re);
                self.zip(other, y, |e| slope_a::fmod(self.re, other.re, y, e), |e| slope_b::fmod(self.re, other.re, y, e))
            }
        }
    };
    (slope costly $self:ident $y:ident |$e:ident| $slope:expr) => {{
        let $e = R::constant(1.0);
        let slope = $slope;
        $self.map($y, |e| e * slope)
    }};
    (slope $other:tt $self:ident $y:ident |$e:ident| $slope:expr) => { $self.map($y, |$e| $slope) };
}
elementary!(dual);

macro_rules! operators {
    ($($trait:ident $f:ident |$a:ident, $b:ident| $re:expr, |$e:ident, $d:ident| $eps:expr;)*) => {$(
        impl<R: Arithmetic, const N: usize> $trait for Dual<R, N> {
            type Output = Self;
            #[inline(always)]
            #[allow(clippy::suspicious_arithmetic_impl)] // the product and quotient rules
            fn $f(self, other: Self) -> Self {
                let ($a, $b) = (self, other);
                let mut eps = $a.eps;
                for (place, d) in eps.iter_mut().zip($b.eps) {
                    let ($e, $d) = (*place, d);
                    *place = $eps;
                }
                Dual { re: $re, eps }
            }
        }
        impl<R: Arithmetic, const N: usize> $trait<f64> for Dual<R, N> {
            type Output = Self;
            #[inline(always)]
            fn $f(self, other: f64) -> Self { $trait::$f(self, <Self as Arithmetic>::constant(other)) }
        }
        impl<R: Arithmetic, const N: usize> $trait<Dual<R, N>> for f64 {
            type Output = Dual<R, N>;
            #[inline(always)]
            fn $f(self, other: Dual<R, N>) -> Dual<R, N> { $trait::$f(<Dual<R, N> as Arithmetic>::constant(self), other) }
        }
    )*};
}
operators! {
    Add add |a, b| a.re + b.re, |e, d| e + d;
    Sub sub |a, b| a.re - b.re, |e, d| e - d;
    Mul mul |a, b| a.re * b.re, |e, d| flow(e, e * b.re) + flow(d, a.re * d);
    Div div |a, b| a.re / b.re, |e, d| {
        let slope = e - flow(d, a.re / b.re * d);
        flow(slope, slope / b.re)
    };
}

impl<R: Arithmetic, const N: usize> Neg for Dual<R, N> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.map(-self.re, |e| -e)
    }
}
