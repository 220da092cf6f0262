//! Sine, cosine and tangent of `f32`. The inverse functions are in `inverse`.
//!
//! The argument is reduced to an eighth of a circle in `f64`, exactly enough for every |x| ≤ 10¹⁵. Beyond,
//! where neighbouring floats are many circles apart, the angle is taken to be 0.
use super::{
    steps::{fma, poly},
    wide,
};
use std::f64::consts::{FRAC_2_PI, FRAC_PI_2};

/// π/2 as a sum. With fused multiply-add two pieces do; else three, the first two of 26 bits.
const PI_2_LO: f64 = 6.123233995736766e-17;
const PI_2_A: f64 = f64::from_bits(FRAC_PI_2.to_bits() & !0x7ff_ffff);
const PI_2_B: f64 = f64::from_bits((FRAC_PI_2 - PI_2_A).to_bits() & !0x7ff_ffff);
const PI_2_C: f64 = (FRAC_PI_2 - PI_2_A - PI_2_B) + PI_2_LO;

/// `|x|` as `n · π/2 + r`: r and the low bits of n.
#[inline(always)]
fn reduce<const FMA: bool>(x: f32) -> (f64, u32) {
    let a = x.abs();
    // Infinity becomes NaN.
    let a = (if a < 1e15 { a } else { a * 0.0 }) as f64;
    let shifted = wide::fma::<FMA>(a, FRAC_2_PI, wide::SHIFT);
    let n = shifted - wide::SHIFT;
    let r = if FMA {
        (-n).mul_add(PI_2_LO, (-n).mul_add(FRAC_PI_2, a))
    } else {
        // Each product is exact, and so are the differences but the last.
        let high = wide::round(n * (1.0 / 67_108_864.0)) * 67_108_864.0;
        let low = n - high;
        (((a - high * PI_2_A) - low * PI_2_A) - high * PI_2_B) - low * PI_2_B - n * PI_2_C
    };
    (r, shifted.to_bits() as u32)
}

/// (sin(r) / r - 1) / r² and (cos(r) - 1 + r²/2) / r⁴ as polynomials in r², for |r| ≤ π/4.
const SIN: [f32; 3] = [-0.16666655, 0.008332172, -0.0001951651];
const COS: [f32; 3] = [0.041666646, -0.0013887361, 2.4437635e-05];

#[inline(always)]
fn sin_part<const FMA: bool>(r: f32, z: f32) -> f32 {
    fma::<FMA>(r * z, poly::<FMA, 3>(z, SIN), r)
}

#[inline(always)]
fn cos_part<const FMA: bool>(z: f32) -> f32 {
    fma::<FMA>(z * z, poly::<FMA, 3>(z, COS), fma::<FMA>(-0.5, z, 1.0))
}

/// The sine of `x` in radians.
#[inline(always)]
pub fn sin<const FMA: bool>(x: f32) -> f32 {
    let (r, n) = reduce::<FMA>(x);
    let r = r as f32;
    let z = r * r;
    let y = if n & 1 == 0 { sin_part::<FMA>(r, z) } else { cos_part::<FMA>(z) };
    f32::from_bits(y.to_bits() ^ ((n & 2) << 30) ^ (x.to_bits() & 0x8000_0000))
}

/// The cosine of `x` in radians.
#[inline(always)]
pub fn cos<const FMA: bool>(x: f32) -> f32 {
    let (r, n) = reduce::<FMA>(x);
    let r = r as f32;
    let z = r * r;
    let y = if n & 1 == 0 { cos_part::<FMA>(z) } else { sin_part::<FMA>(r, z) };
    f32::from_bits(y.to_bits() ^ ((n.wrapping_add(1) & 2) << 30))
}

/// As [`SIN`] and [`COS`], to more digits.
const SIN_WIDE: [f64; 5] = [
    -0.1666666666663123,
    0.008333333325201924,
    -0.0001984126378290819,
    2.7555348925907043e-06,
    -2.4760993204001788e-08,
];
const COS_WIDE: [f64; 4] =
    [0.04166666662251986, -0.0013888883723895448, 2.4799511663389898e-05, -2.720951313663834e-07];

/// The tangent of `x` in radians.
#[inline(always)]
pub fn tan<const FMA: bool>(x: f32) -> f32 {
    let (r, n) = reduce::<FMA>(x);
    let z = r * r;
    let s = wide::fma::<FMA>(r * z, wide::poly::<FMA, 5>(z, SIN_WIDE), r);
    let c = wide::fma::<FMA>(z * z, wide::poly::<FMA, 4>(z, COS_WIDE), wide::fma::<FMA>(-0.5, z, 1.0));
    let y = if n & 1 == 0 { s / c } else { -c / s };
    f32::from_bits((y as f32).to_bits() ^ (x.to_bits() & 0x8000_0000))
}
