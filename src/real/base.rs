//! `f32` and `f64` as numbers, through the standard library and `libm`; rare functions of `f32` go through
//! `f64`.
use super::Number;
use super::special;

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
        #[inline(always)]
        fn sigmoid(self) -> $t {
            if self >= 0.0 {
                1.0 / (1.0 + (-self).exp())
            } else {
                let e = self.exp();
                e / (1.0 + e)
            }
        }
        #[inline(always)]
        fn fmod(self, other: $t) -> $t {
            self % other
        }
        shared!($t, pow = powf, atan2 = atan2;);
        shared!($t, exp = exp, exp2 = exp2, expm1 = exp_m1, log = ln, log1p = ln_1p, log2 = log2, log10 = log10,
            sqrt = sqrt, sin = sin, cos = cos, tan = tan, asin = asin, acos = acos, atan = atan, sinh = sinh,
            cosh = cosh, tanh = tanh, atanh = atanh, abs = abs, floor = floor,
            ceil = ceil, round = round_ties_even, trunc = trunc);
    };
    ($t:ident, $($name:ident = $std:ident),*;) => {$(
        #[inline(always)]
        fn $name(self, other: $t) -> $t { <$t>::$std(self, other) }
    )*};
    ($t:ident, $($name:ident = $std:ident),*) => {$(
        #[inline(always)]
        fn $name(self) -> $t { <$t>::$std(self) }
    )*};
}

impl Number for f64 {
    shared!(f64);
    #[inline(always)]
    fn asinh(self) -> f64 {
        special::asinh(self)
    }
    #[inline(always)]
    fn acosh(self) -> f64 {
        special::acosh(self)
    }
    #[inline(always)]
    fn erf(self) -> f64 {
        special::erf(self)
    }
    #[inline(always)]
    fn erfc(self) -> f64 {
        special::erfc(self)
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

impl Number for f32 {
    shared!(f32);
    #[inline(always)]
    fn asinh(self) -> f32 {
        special::asinh(self as f64) as f32
    }
    #[inline(always)]
    fn acosh(self) -> f32 {
        special::acosh(self as f64) as f32
    }
    #[inline(always)]
    fn erf(self) -> f32 {
        special::erf(self as f64) as f32
    }
    #[inline(always)]
    fn erfc(self) -> f32 {
        special::erfc(self as f64) as f32
    }
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
