//! Inverse trigonometric and hyperbolic functions of `f32`, computed in `f64`.
use super::wide::{fma, log1p, poly};
use std::f64::consts::{FRAC_PI_2, PI};

/// (asin(s) / s - 1) / s² as a polynomial in s², for s ≤ ½.
const ASIN: [f64; 8] = [
    0.16666666626965496,
    0.07500005027539502,
    0.0446406905887133,
    0.03042682075347503,
    0.021863018404191754,
    0.020659701845970036,
    0.001945236634224658,
    0.03294643906285714,
];

/// Where |x| > ½, the arcsine of √((1-|x|)/2), which is half of arccos |x|; else that of |x|; and which it
/// is.
#[inline(always)]
fn asin_part<const FMA: bool>(x: f32) -> (f64, bool) {
    let a = x.abs() as f64;
    let large = a > 0.5;
    let z = if large { 0.5 - 0.5 * a } else { a * a };
    let s = if large { z.sqrt() } else { a };
    (fma::<FMA>(s * z, poly::<FMA, 8>(z, ASIN), s), large)
}

/// The arcsine, in [-π/2, π/2].
#[inline(always)]
pub fn asin<const FMA: bool>(x: f32) -> f32 {
    let (p, large) = asin_part::<FMA>(x);
    ((if large { FRAC_PI_2 - 2.0 * p } else { p }) as f32).copysign(x)
}

/// The arccosine, in [0, π].
#[inline(always)]
pub fn acos<const FMA: bool>(x: f32) -> f32 {
    let (p, large) = asin_part::<FMA>(x);
    let signed = p.copysign(x as f64);
    let outer = if x < 0.0 { PI } else { 0.0 };
    (if large { outer + 2.0 * signed } else { FRAC_PI_2 - signed }) as f32
}

/// (atan(t) / t - 1) / t² as a polynomial in t², for t ≤ 1.
const ATAN: [f64; 10] = [
    -0.3333332745742331,
    0.19999693387542122,
    -0.14280140027517993,
    0.11060301261937756,
    -0.08819049265095188,
    0.0676000942736119,
    -0.044952377229886105,
    0.02276523006227693,
    -0.00742487887865048,
    0.0011353165348464685,
];

/// The arctangent of 0 ≤ t ≤ 1.
#[inline(always)]
fn atan_part<const FMA: bool>(t: f64) -> f64 {
    let z = t * t;
    fma::<FMA>(t * z, poly::<FMA, 10>(z, ATAN), t)
}

/// The arctangent, in [-π/2, π/2].
#[inline(always)]
pub fn atan<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs() as f64;
    let large = a > 1.0;
    let r = atan_part::<FMA>(if large { 1.0 / a } else { a });
    ((if large { FRAC_PI_2 - r } else { r }) as f32).copysign(x)
}

/// The angle of the point (x, y), in [-π, π]; signed zeros and infinities as in C.
#[inline(always)]
pub fn atan2<const FMA: bool>(y: f32, x: f32) -> f32 {
    let (a, b) = (x.abs() as f64, y.abs() as f64);
    let steep = b > a;
    let (lo, hi) = if steep { (a, b) } else { (b, a) };
    // Equal sizes are 45°, also at infinity, unless both are zero.
    let equal = if hi == 0.0 { 0.0 } else { 1.0 };
    let t = if lo == hi { equal } else { lo / hi };
    let r = atan_part::<FMA>(t);
    let r = if steep { FRAC_PI_2 - r } else { r };
    let r = if x.is_sign_negative() { PI - r } else { r };
    (r as f32).copysign(y)
}

/// The inverse hyperbolic sine.
#[inline(always)]
pub fn asinh<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs() as f64;
    let y = log1p::<FMA>(a + a * a / (1.0 + fma::<FMA>(a, a, 1.0).sqrt()));
    ((if a < f64::INFINITY { y } else { a }) as f32).copysign(x)
}

/// The inverse hyperbolic cosine; NaN below 1.
#[inline(always)]
pub fn acosh<const FMA: bool>(x: f32) -> f32 {
    let t = x as f64 - 1.0;
    let y = log1p::<FMA>(t + (t * (t + 2.0)).sqrt());
    let y = if t < f64::INFINITY { y } else { t };
    (if t < 0.0 { f64::NAN } else { y }) as f32
}

/// The inverse hyperbolic tangent; infinite at ±1, NaN beyond.
#[inline(always)]
pub fn atanh<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs() as f64;
    let y = 0.5 * log1p::<FMA>(2.0 * a / (1.0 - a));
    let edge = if a == 1.0 { f64::INFINITY } else { f64::NAN };
    ((if a < 1.0 { y } else { edge }) as f32).copysign(x)
}
