//! Sine and cosine of `f64`. The argument is reduced to an eighth of a circle by π/2 in pieces (Cody and Waite,
//! Software Manual for the Elementary Functions, 1980); the polynomials' coefficients are those of FreeBSD's
//! `k_sin.c` and `k_cos.c`. Arguments beyond a million circles or so are `libm`'s.
//!
//! Errors are at most 0.8 ulp.
use super::steps64::{SHIFT, fma, poly};
use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

/// π/2 less its nearest float, in two floats.
const PI_2_MID: f64 = 6.123233995736766e-17;
const PI_2_LOW: f64 = -1.4973849048591833e-33;
/// π/2 in pieces of 33 bits, whose products with n are exact, and the rest.
const PI_2_A: f64 = 1.570_796_326_734_125_6;
const PI_2_B: f64 = 6.077_100_506_303_966e-11;
const PI_2_C: f64 = 2.022_266_248_711_166_5e-21;
const PI_2_D: f64 = 8.478_427_660_368_9e-32;

/// The largest arguments that are reduced here: n has to be exact, and with it the products above.
const fn limit(fma: bool) -> f64 {
    if fma { 1e9 } else { NEAR }
}

/// What is below it in size is always reduced here.
pub const NEAR: f64 = 1e6;

/// `a` as `n · π/2 + r`, for 0 ≤ a < limit: r in two floats, and the low bits of n.
#[inline(always)]
fn reduce<const FMA: bool>(a: f64) -> (f64, f64, u64) {
    let shifted = fma::<FMA>(a, FRAC_2_PI, SHIFT);
    let n = shifted - SHIFT;
    let (high, low) = if FMA {
        // Exact: what is left has no more bits than a float.
        let r = (-n).mul_add(FRAC_PI_2, a);
        let part = n * PI_2_MID;
        let high = r - part;
        (high, (r - high) - part - n.mul_add(PI_2_LOW, n.mul_add(PI_2_MID, -part)))
    } else {
        let r = a - n * PI_2_A;
        let (second, third) = (n * PI_2_B, n * PI_2_C);
        let middle = r - second;
        let lost = (r - middle) - second;
        let high = middle - third;
        (high, (middle - high) - third + (lost - n * PI_2_D))
    };
    (high, low, shifted.to_bits())
}

/// (sin r - r) / r³ + 1/6 - … as polynomials in r², for |r| ≤ π/4.
const SIN: [f64; 5] = [
    8.333_333_333_322_49e-3,
    -1.984_126_982_985_795e-4,
    2.755_731_370_707_006_8e-6,
    -2.505_076_025_340_686_3e-8,
    1.589_690_995_211_55e-10,
];
const SIN_FIRST: f64 = -1.666_666_666_666_663_2e-1;
const COS: [f64; 6] = [
    4.166_666_666_666_66e-2,
    -1.388_888_888_887_411e-3,
    2.480_158_728_947_673e-5,
    -2.755_731_435_139_066_3e-7,
    2.087_572_321_298_175e-9,
    -1.135_964_755_778_819_5e-11,
];

/// The sine of `r + low`.
#[inline(always)]
fn sin_part<const FMA: bool>(r: f64, low: f64) -> f64 {
    let z = r * r;
    let cube = z * r;
    let rest = fma::<FMA>(z, 0.5 * low - cube * poly::<FMA, 5>(z, SIN), -low);
    r - fma::<FMA>(-cube, SIN_FIRST, rest)
}

/// The cosine of `r + low`.
#[inline(always)]
fn cos_part<const FMA: bool>(r: f64, low: f64) -> f64 {
    let z = r * r;
    let half = 0.5 * z;
    let one = 1.0 - half;
    one + (((1.0 - one) - half) + fma::<FMA>(z, z * poly::<FMA, 6>(z, COS), -(r * low)))
}

/// The sine of `x` in radians.
#[inline(always)]
pub fn sin<const FMA: bool>(x: f64) -> f64 {
    let a = x.abs();
    if a >= limit(FMA) || a.is_nan() {
        return libm::sin(x);
    }
    near_sin::<FMA>(x)
}

/// The same for what is below [`NEAR`] in size: without a branch.
#[inline(always)]
pub fn near_sin<const FMA: bool>(x: f64) -> f64 {
    let (r, low, n) = reduce::<FMA>(x.abs());
    let y = if n & 1 == 0 { sin_part::<FMA>(r, low) } else { cos_part::<FMA>(r, low) };
    f64::from_bits(y.to_bits() ^ ((n & 2) << 62) ^ (x.to_bits() & (1 << 63)))
}

/// The cosine of `x` in radians.
#[inline(always)]
pub fn cos<const FMA: bool>(x: f64) -> f64 {
    let a = x.abs();
    if a >= limit(FMA) || a.is_nan() {
        return libm::cos(x);
    }
    near_cos::<FMA>(x)
}

/// The same for what is below [`NEAR`] in size.
#[inline(always)]
pub fn near_cos<const FMA: bool>(x: f64) -> f64 {
    let (r, low, n) = reduce::<FMA>(x.abs());
    let y = if n & 1 == 0 { cos_part::<FMA>(r, low) } else { sin_part::<FMA>(r, low) };
    f64::from_bits(y.to_bits() ^ ((n.wrapping_add(1) & 2) << 62))
}

/// Both, of one reduction.
#[inline(always)]
pub fn sin_cos<const FMA: bool>(x: f64) -> (f64, f64) {
    let a = x.abs();
    if a >= limit(FMA) || a.is_nan() {
        return (libm::sin(x), libm::cos(x));
    }
    let (r, low, n) = reduce::<FMA>(a);
    let (sin, cos) = (sin_part::<FMA>(r, low), cos_part::<FMA>(r, low));
    let (s, c) = if n & 1 == 0 { (sin, cos) } else { (cos, sin) };
    (
        f64::from_bits(s.to_bits() ^ ((n & 2) << 62) ^ (x.to_bits() & (1 << 63))),
        f64::from_bits(c.to_bits() ^ ((n.wrapping_add(1) & 2) << 62)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the standard library, whose own error is up to 1 ulp.
    #[test]
    fn of_all_sizes() {
        let near = |name: &str, x: f64, y: f64, want: f64| {
            let apart = y.to_bits().abs_diff(want.to_bits());
            assert!(apart <= 1, "{name}({x:e}) = {y:e}, not {want:e}: {apart} ulp");
        };
        let small = (-200_000..200_000).map(|i| i as f64 * 7.3e-4);
        let large = (0..200_000).map(|i| (i as f64 * 12_345.678_9).powf(1.03));
        let circles = (-3000i32..3000).map(|n| n as f64 * FRAC_PI_2);
        for x in small.chain(large).chain(circles).chain([0.0, 1e-300, 1e-9, 1e22, 1e300]) {
            near("fused sine", x, sin::<true>(x), x.sin());
            near("sine", x, sin::<false>(x), x.sin());
            near("fused cosine", x, cos::<true>(x), x.cos());
            near("cosine", x, cos::<false>(x), x.cos());
            assert_eq!(
                [sin_cos::<true>(x), sin_cos::<false>(x)],
                [(sin::<true>(x), cos::<true>(x)), (sin::<false>(x), cos::<false>(x))]
            );
        }
        assert_eq!(sin::<true>(-0.0).to_bits(), (-0.0f64).to_bits());
        assert!(
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY]
                .iter()
                .all(|&x| sin::<true>(x).is_nan() && cos::<false>(x).is_nan())
        );
    }
}
