//! `f32` and `f64` as numbers; rare functions of `f32` go through `f64`.
use super::{Arithmetic, dispatch, special};

macro_rules! shared {
    ($t:ident) => {
        type Mask = bool;
        #[inline(always)]
        fn constant(value: f64) -> $t {
            value as $t
        }
        #[inline(always)]
        fn primal(self) -> f64 {
            self as f64
        }
        #[inline(always)]
        fn less(self, other: $t) -> bool {
            self < other
        }
        #[inline(always)]
        fn less_equal(self, other: $t) -> bool {
            self <= other
        }
        #[inline(always)]
        fn equal(self, other: $t) -> bool {
            self == other
        }
        #[inline(always)]
        fn select(mask: bool, a: $t, b: $t) -> $t {
            if mask { a } else { b }
        }
        #[inline(always)]
        fn is_zero(self) -> bool {
            self == 0.0
        }
        #[inline(always)]
        fn sign(self) -> $t {
            if self > 0.0 {
                1.0
            } else if self < 0.0 {
                -1.0
            } else {
                0.0 // also of NaN, as in PyTorch
            }
        }
        shared!($t, sqrt = sqrt, abs = abs, floor = floor, ceil = ceil, round = round_ties_even, trunc = trunc);
    };
    ($t:ident, $($name:ident = $std:ident),*) => {$(
        #[inline(always)]
        fn $name(self) -> $t { <$t>::$std(self) }
    )*};
}

macro_rules! through {
    ($t:ident $path:path: $($name:ident)*) => {$(
        #[inline]
        fn $name(self) -> $t {
            use $path as functions;
            functions::$name(self)
        }
    )*};
    (pairs $t:ident $path:path: $($name:ident)*) => {$(
        #[inline]
        fn $name(self, other: $t) -> $t {
            use $path as functions;
            functions::$name(self, other)
        }
    )*};
}

impl Arithmetic for f64 {
    shared!(f64);
    #[inline(always)]
    fn fmod(self, other: f64) -> f64 {
        self % other
    }
    through!(f64 dispatch::double: exp expm1 log log1p tanh sigmoid sin cos erf);
    #[inline]
    fn sin_cos(self) -> (f64, f64) {
        dispatch::double::sin_cos(self)
    }
    through!(f64 libm: erfc exp2 log2 log10 tan asin acos atan sinh cosh atanh);
    through!(pairs f64 libm: pow atan2);
    #[inline(always)]
    fn asinh(self) -> f64 {
        special::asinh(self)
    }
    #[inline(always)]
    fn acosh(self) -> f64 {
        special::acosh(self)
    }
    #[inline(always)]
    fn lgamma(self) -> f64 {
        special::lgamma(self)
    }
    #[inline(always)]
    fn digamma(self) -> f64 {
        special::digamma(self)
    }
    #[inline(always)]
    fn polygamma(self, n: f64) -> f64 {
        special::polygamma(n as u32, self)
    }
}

impl Arithmetic for f32 {
    shared!(f32);
    #[inline(always)]
    fn fmod(self, other: f32) -> f32 {
        let (a, b) = (self as f64, other as f64);
        let quotient = a / b;
        // Its whole part is the true one's, and product and difference are exact.
        if quotient.abs() < (1 << 28) as f64 && b.abs() < f64::INFINITY {
            return (a - quotient.trunc() * b).copysign(a) as f32;
        }
        far_fmod(self, other)
    }
    through!(f32 dispatch::single: exp exp2 expm1 log log1p log2 log10 sin cos tan asin acos atan sinh cosh tanh
        asinh acosh atanh sigmoid erf erfc);
    through!(pairs f32 dispatch::single: pow atan2);
    #[inline(always)]
    fn lgamma(self) -> f32 {
        special::lgamma(self as f64) as f32
    }
    #[inline(always)]
    fn digamma(self) -> f32 {
        special::digamma(self as f64) as f32
    }
    #[inline(always)]
    fn polygamma(self, n: f64) -> f32 {
        special::polygamma(n as u32, self as f64) as f32
    }
}

/// A call of its own, or vector code would make it for every element.
#[cold]
#[inline(never)]
fn far_fmod(a: f32, b: f32) -> f32 {
    a % b
}

/// `x` to the power of an integer, by repeated squaring: the same steps everywhere.
pub(crate) fn powi(x: f64, n: i32) -> f64 {
    let (mut power, mut left, mut result) = (x, n.unsigned_abs(), 1.0);
    while left > 0 {
        if left & 1 == 1 {
            result *= power;
        }
        power *= power;
        left /= 2;
    }
    if n < 0 { 1.0 / result } else { result }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remainder_is_exact_for_all_sizes() {
        let all = [0.0, 1e-45, 1e-38, 0.3, 1.0, 7.0, 16777215.0, 1e20, f32::MAX, f32::INFINITY, f32::NAN];
        let near = (0..2000).map(|i| f32::from_bits(0x2f00_1234 + i * 0x1_2345));
        let all: Vec<f32> = all.into_iter().chain(near).flat_map(|x| [x, -x]).collect();
        for &a in &all {
            for &b in &all {
                let (y, want) = (Arithmetic::fmod(a, b), a % b);
                assert!(y.to_bits() == want.to_bits() || y.is_nan() && want.is_nan(), "{a:e} {b:e}: {y:e}");
            }
        }
    }
}
