//! Logarithms of `f32`. The exponential family is in `exp`.
use super::steps::{fma, poly};
use std::f64::consts;

/// (ln(1+f) - f + f²/2) / f³ for √½ - 1 ≤ f ≤ √2 - 1.
const LOG: [f32; 9] = [
    0.3333331,
    -0.24999987,
    0.20002218,
    -0.16669248,
    0.142188,
    -0.123844564,
    0.11872148,
    -0.11788955,
    0.06916096,
];

/// Splits a positive `x` into `(1 + f) · 2ᵏ` with √½ ≤ 1 + f < √2: f and k. Of infinity and NaN, k is
/// infinity and NaN.
#[inline(always)]
fn split(x: f32) -> (f32, f32) {
    const SQRT_HALF: u32 = std::f32::consts::FRAC_1_SQRT_2.to_bits();
    let finite = x < f32::INFINITY;
    let subnormal = x < f32::MIN_POSITIVE;
    let x = if subnormal { x * 8_388_608.0 } else { x };
    let t = x.to_bits().wrapping_add(1.0f32.to_bits().wrapping_sub(SQRT_HALF));
    let f = f32::from_bits((t & 0x007f_ffff).wrapping_add(SQRT_HALF)) - 1.0;
    let k = ((t >> 23) as i32).wrapping_sub(if subnormal { 127 + 23 } else { 127 });
    (f, if finite { k as f32 } else { x })
}

/// `ln(1 + f) - f`.
#[inline(always)]
fn rest<const FMA: bool>(f: f32) -> f32 {
    let f2 = f * f;
    fma::<FMA>(f2 * f, poly::<FMA, 9>(f, LOG), -0.5 * f2)
}

/// The logarithm at `x`, if `y` is what it is at positive arguments.
#[inline(always)]
fn with_limits(x: f32, y: f32) -> f32 {
    let limit = if x < 0.0 { f32::NAN } else { f32::NEG_INFINITY };
    if x <= 0.0 { limit } else { y }
}

/// A constant as a sum: twelve bits, whose product with an exponent is exact, and the rest.
const fn pieces(value: f64) -> (f32, f32) {
    let hi = f32::from_bits((value as f32).to_bits() & 0xffff_f000);
    (hi, (value - hi as f64) as f32)
}

const LN_2: (f32, f32) = pieces(consts::LN_2);
const LOG10_2: (f32, f32) = pieces(consts::LOG10_2);
const LOG2_E: (f32, f32) =
    (std::f32::consts::LOG2_E, (consts::LOG2_E - std::f32::consts::LOG2_E as f64) as f32);
const LOG10_E: (f32, f32) =
    (std::f32::consts::LOG10_E, (consts::LOG10_E - std::f32::consts::LOG10_E as f64) as f32);

/// The natural logarithm.
#[inline(always)]
pub fn log<const FMA: bool>(x: f32) -> f32 {
    let (f, k) = split(x);
    let y = f + fma::<FMA>(k, LN_2.1, rest::<FMA>(f));
    with_limits(x, fma::<FMA>(k, LN_2.0, y))
}

/// `ln(1 + x)`, precise near zero.
#[inline(always)]
pub fn log1p<const FMA: bool>(x: f32) -> f32 {
    let u = 1.0 + x;
    // What rounding took from the sum.
    let v = u - 1.0;
    let lost = (1.0 - (u - v)) + (x - v);
    let (f, k) = split(u);
    // Without an exponent, x itself is the exact fraction.
    let (f, correction) = if k == 0.0 { (x, 0.0) } else { (f, lost / u) };
    let y = f + fma::<FMA>(k, LN_2.1, rest::<FMA>(f) + correction);
    let y = fma::<FMA>(k, LN_2.0, y);
    // The limits are those of the logarithm of u. Tiny arguments, with the sign of zero, and infinity, where
    // the correction is NaN, pass through.
    if (x.abs() < 1e-8) | (x == f32::INFINITY) { x } else { with_limits(u, y) }
}

/// The logarithm to base 2; exact at powers of two.
#[inline(always)]
pub fn log2<const FMA: bool>(x: f32) -> f32 {
    let (f, k) = split(x);
    let small = fma::<FMA>(rest::<FMA>(f), LOG2_E.0, f * LOG2_E.1);
    with_limits(x, k + fma::<FMA>(f, LOG2_E.0, small))
}

/// The logarithm to base 10.
#[inline(always)]
pub fn log10<const FMA: bool>(x: f32) -> f32 {
    let (f, k) = split(x);
    let small = fma::<FMA>(rest::<FMA>(f), LOG10_E.0, f * LOG10_E.1);
    let y = fma::<FMA>(f, LOG10_E.0, fma::<FMA>(k, LOG10_2.1, small));
    with_limits(x, fma::<FMA>(k, LOG10_2.0, y))
}
