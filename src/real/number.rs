//! What a number is to generic arithmetic, and the values of those functions that are expressions in others.
use super::table::elementary;
use std::{
    fmt::Debug,
    ops::{Add, BitAnd, BitOr, Div, Mul, Neg, Not, Sub},
};

/// The outcome of a comparison of [`Arithmetic`]s; combine with `&`, `|` and `!`.
pub trait Mask: Copy + BitAnd<Output = Self> + BitOr<Output = Self> + Not<Output = Self> {}

impl<M: Copy + BitAnd<Output = M> + BitOr<Output = M> + Not<Output = M>> Mask for M {}

macro_rules! number_trait {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) [$($bk:ident)*] $bf:tt |$bx:ident, $by:ident, $bg:ident| $bd:expr $(, $bi:tt)?; )* }
        made { $( $(#[$mm:meta])* $mn:ident $mv:ident ($($mp:ident),*) [$($mk:ident)*] |$mvx:ident| $me:expr, |$mx:ident, $my:ident, $mg:ident| $md:expr $(, $mi:tt)?; )* }
        pairs { $( $(#[$pm:meta])* $pn:ident $pv:ident [$($pka:ident)*] [$($pkb:ident)*] |$pva:ident, $pvb:ident| $pe:expr, |$pa:ident, $pb:ident, $py:ident, $pg:ident| $pda:expr, $pdb:expr $(, $pi:tt)?; )* }
        operators { $($operators:tt)* }
    ) => {
        /// What arithmetic needs: the four operations, comparison by masks, and the elementary functions.
        ///
        /// Implemented by `f32`, `f64`, [`Dual`](crate::number::Dual), [`Lane`](crate::number::Lane) and the
        /// scalars of a tape. Branches are written with masks and [`select`](Arithmetic::select), so that the same
        /// expression runs in vector loops.
        pub trait Arithmetic:
            Copy
            + Debug
            + Add<Output = Self>
            + Sub<Output = Self>
            + Mul<Output = Self>
            + Div<Output = Self>
            + Neg<Output = Self>
        {
            /// What comparisons give.
            type Mask: Mask;
            /// A constant.
            fn constant(value: f64) -> Self;
            /// The plain value, without derivatives.
            fn primal(self) -> f64;
            /// The same value as a constant: nothing depends on it.
            #[inline(always)]
            fn fixed(self) -> Self {
                Self::constant(self.primal())
            }
            /// The derivative of what doesn't depend on something: 0, and 0 times an infinite slope, too.
            #[doc(hidden)]
            #[inline(always)]
            fn nothing() -> Self {
                Self::constant(0.0)
            }
            /// Whether this is known to be [`nothing`](Arithmetic::nothing), and not only zero; where nobody knows, it isn't.
            #[doc(hidden)]
            #[inline(always)]
            fn is_nothing(self) -> bool {
                false
            }
            /// `self < other`
            fn less(self, other: Self) -> Self::Mask;
            /// `self <= other`
            fn less_equal(self, other: Self) -> Self::Mask;
            /// `self == other`
            fn equal(self, other: Self) -> Self::Mask;
            /// `self > other`
            #[inline(always)]
            fn greater(self, other: Self) -> Self::Mask {
                other.less(self)
            }
            /// `self >= other`
            #[inline(always)]
            fn greater_equal(self, other: Self) -> Self::Mask {
                other.less_equal(self)
            }
            /// Whether the value is NaN.
            #[inline(always)]
            fn is_nan(self) -> Self::Mask {
                !self.equal(self)
            }
            /// `a` where the mask is true, else `b`.
            fn select(mask: Self::Mask, a: Self, b: Self) -> Self;
            /// `Σ aᵢ·bᵢ` from left to right, up to the end of the shorter one. Of scalars it is one statement, not two per product.
            #[inline(always)]
            fn dot(a: &[Self], b: &[Self]) -> Self {
                let mut products = a.iter().zip(b).map(|(&a, &b)| a * b);
                let first = products.next().unwrap_or(Self::constant(0.0));
                products.fold(first, |sum, product| sum + product)
            }
            /// Whether this is a constant zero: no value, no derivatives.
            fn is_zero(self) -> bool;
            /// `self` to the power of `exponent`.
            fn pow(self, exponent: Self) -> Self;
            /// The angle of the point (`x`, `self`), in radians.
            fn atan2(self, x: Self) -> Self;
            /// The remainder of `self / other` rounded towards zero, with the sign of `self`.
            fn fmod(self, other: Self) -> Self;
            /// Sine and cosine, for little more than one of them.
            #[inline(always)]
            fn sin_cos(self) -> (Self, Self) {
                (self.sin(), self.cos())
            }
            $( $(#[$bm])* fn $bn(self $(, $bp: f64)*) -> Self; )*
            // Inlined, or a vector loop would call what isn't compiled for its instructions.
            $( $(#[$mm])* #[inline(always)] fn $mn(self $(, $mp: f64)*) -> Self { value::$mn(self $(, $mp)*) } )*
            $( $(#[$pm])* #[inline(always)] fn $pn(self, other: Self) -> Self { value::$pn(self, other) } )*
        }
    };
}
elementary!(number_trait);

/// A number of any kind: a float, a [dual number](crate::number::Dual), a scalar on a tape. What a formula is
/// generic over, as expressions in [`fuse!`](crate::fuse) are.
///
/// It has [`Arithmetic`], and mixes with plain `f64`: `x * 2.0`. For `2.0 * x` a function says besides
/// `where f64: Mul<R, Output = R>`. Generic code that must take `f32`, too, asks for [`Arithmetic`] alone and writes
/// `R::constant(2.0)`.
///
/// ```
/// use kolmo::{Number, Tape, number::Dual};
/// fn f<R: Number>(x: R) -> R {
///     (x * 2.0).sin()
/// }
/// let tape = Tape::<f64>::new();
/// let x = tape.scalar(0.5);
/// let d: Dual<f64, 1> = f(Dual::variable(0.5, 0));
/// assert_eq!(f(x).backward()?.scalar(x), d.eps[0]);
/// assert_eq!(f(0.5), d.re);
/// # Ok::<(), kolmo::Error>(())
/// ```
pub trait Number:
    Arithmetic
    + Add<f64, Output = Self>
    + Sub<f64, Output = Self>
    + Mul<f64, Output = Self>
    + Div<f64, Output = Self>
{
}

impl<R> Number for R where
    R: Arithmetic + Add<f64, Output = R> + Sub<f64, Output = R> + Mul<f64, Output = R> + Div<f64, Output = R>
{
}

pub(super) const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;
pub(super) const SELU_SCALE: f64 = 1.050_700_987_355_480_5;
pub(super) const SQRT_2_OVER_PI: f64 = 0.797_884_560_802_865_4;

/// What a power with this exponent is: 0 for a power, 1 for the root, 2 for one over it, 3 for the argument,
/// 4 for its square, 5 for its cube.
pub(crate) fn kind_of_power(exponent: f64) -> u8 {
    [0.5, -0.5, 1.0, 2.0, 3.0].iter().position(|&e| e == exponent).map_or(0, |i| i as u8 + 1)
}

/// A power of that kind. Roots are roots, as in PyTorch: that of -0 is -0, and that of -∞ is NaN.
#[inline(always)]
pub(crate) fn power_of_kind<R: Arithmetic>(kind: u8, x: R, exponent: f64) -> R {
    match kind {
        1 => x.sqrt(),
        2 => R::constant(1.0) / x.sqrt(),
        3 => x,
        4 => x * x,
        5 => x * x * x,
        _ => x.pow(R::constant(exponent)),
    }
}

/// `x` to the power of a number.
#[inline(always)]
pub(crate) fn power<R: Arithmetic>(x: R, exponent: f64) -> R {
    power_of_kind(kind_of_power(exponent), x, exponent)
}

macro_rules! values {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) [$($bk:ident)*] $bf:tt |$bx:ident, $by:ident, $bg:ident| $bd:expr $(, $bi:tt)?; )* }
        made { $( $(#[$mm:meta])* $mn:ident $mv:ident ($($mp:ident),*) [$($mk:ident)*] |$mvx:ident| $me:expr, |$mx:ident, $my:ident, $mg:ident| $md:expr $(, $mi:tt)?; )* }
        pairs { $( $(#[$pm:meta])* $pn:ident $pv:ident [$($pka:ident)*] [$($pkb:ident)*] |$pva:ident, $pvb:ident| $pe:expr, |$pa:ident, $pb:ident, $py:ident, $pg:ident| $pda:expr, $pdb:expr $(, $pi:tt)?; )* }
        operators { $( $(#[$om:meta])* $on:ident $ov:ident [$($oka:ident)*] [$($okb:ident)*] |$ova:ident, $ovb:ident| $oe:expr, |$oa:ident, $ob:ident, $oy:ident, $og:ident| $oda:expr, $odb:expr $(, $oi:tt)?; )* }
    ) => {
        /// The values of the functions that are expressions in others.
        pub(crate) mod value {
            use crate::real::number::{Arithmetic, SELU_ALPHA, SELU_SCALE, SQRT_2_OVER_PI, power, value};
            $( #[inline(always)] pub fn $mn<R: Arithmetic>($mvx: R $(, $mp: f64)*) -> R { $me } )*
            $( #[inline(always)] pub fn $pn<R: Arithmetic>($pva: R, $pvb: R) -> R { $pe } )*
            $( #[inline(always)] pub fn $on<R: Arithmetic>($ova: R, $ovb: R) -> R { $oe } )*
        }
    };
}
elementary!(values);
