//! The exponential of `f32` and what is made of it: `expm1`, the hyperbolic functions, sigmoid and softplus.
//! Logarithms and the inverse hyperbolic functions are in `log` and `inverse`.
use super::{
    log::log1p,
    steps::{at_least, at_most, fma, poly},
    wide,
};
use std::f32::consts::{LN_2, LOG2_E};

/// Adding 1.5 · 2²³ rounds to the nearest integer, which the low bits of the sum then hold.
const SHIFT: f32 = 12_582_912.0;
/// ln 2 with twelve trailing zero bits, so that its product with an exponent is exact, and the rest.
const LN2_HI: f32 = 0.693_115_23;
const LN2_LO: f32 = (std::f64::consts::LN_2 - LN2_HI as f64) as f32;
/// (eʳ - 1 - r) / r² for |r| ≤ ln 2 / 2.
const EXP: [f32; 5] = [0.5, 0.16666517, 0.041666202, 0.008369066, 0.0013950794];

/// Splits `x` into `n·ln 2 + r`: r, what rounding took from it, and n.
#[inline(always)]
fn reduce<const FMA: bool>(x: f32) -> (f32, f32, i32) {
    let shifted = fma::<FMA>(x, LOG2_E, SHIFT);
    let n = shifted - SHIFT;
    let high = fma::<FMA>(-n, LN2_HI, x);
    let r = fma::<FMA>(-n, LN2_LO, high);
    (r, fma::<FMA>(-n, LN2_LO, high - r), integer(shifted))
}

/// The integer in the low bits of a shifted float.
#[inline(always)]
fn integer(shifted: f32) -> i32 {
    shifted.to_bits().wrapping_sub(SHIFT.to_bits()) as i32
}

/// `eʳ` for |r| ≤ ln 2 / 2.
#[inline(always)]
fn exp_part<const FMA: bool>(r: f32) -> f32 {
    1.0 + fma::<FMA>(r * r, poly::<FMA, 5>(r, EXP), r)
}

/// 2ⁿ for -126 ≤ n ≤ 127, and 0 for n = -127.
#[inline(always)]
fn power_of_two(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) << 23) as u32)
}

/// `y · 2ⁿ` in two exact steps and one rounding, so that subnormal results and overflow come out right.
#[inline(always)]
fn scale(y: f32, n: i32) -> f32 {
    let half = n >> 1;
    y * power_of_two(half) * power_of_two(n.wrapping_sub(half))
}

/// `eˣ` for -87 ≤ x ≤ 88, where one factor is enough.
#[inline(always)]
pub(super) fn exp_small<const FMA: bool>(x: f32) -> f32 {
    let (r, _, n) = reduce::<FMA>(x);
    exp_part::<FMA>(r) * power_of_two(n)
}

/// `eˣ`.
#[inline(always)]
pub fn exp<const FMA: bool>(x: f32) -> f32 {
    // Below and above, the results are 0 and infinity as at the limits. From -104 on they are 0, but Intel's processors
    // take 70 times as long where a product becomes 0: at the lower limit n is -254, and both factors are 0 already.
    let (r, _, n) = reduce::<FMA>(at_most(at_least(x, -176.0), 89.0));
    scale(exp_part::<FMA>(r), n)
}

/// `2ˣ`.
#[inline(always)]
pub fn exp2<const FMA: bool>(x: f32) -> f32 {
    // As above.
    let x = at_most(at_least(x, -254.0), 129.0);
    let shifted = x + SHIFT;
    let r = (x - (shifted - SHIFT)) * LN_2;
    scale(exp_part::<FMA>(r), integer(shifted))
}

/// `eˣ - 1`, precise near zero.
#[inline(always)]
pub fn expm1<const FMA: bool>(x: f32) -> f32 {
    // Half of 2ⁿ, since 2¹²⁸ has no place in an f32 where the result still has.
    let (r, lost, n) = reduce::<FMA>(at_most(at_least(x, -18.0), 89.0));
    let part = r + fma::<FMA>(r * r, poly::<FMA, 5>(r, EXP), lost);
    let half = power_of_two(n.wrapping_sub(1));
    let y = 2.0 * fma::<FMA>(half, part, half - 0.5);
    // Here the second term of the series is lost in rounding; so zero keeps its sign.
    if x.abs() < 1e-8 { x } else { y }
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    let e = exp::<FMA>(-x.abs());
    let q = e / (1.0 + e);
    // e - e·q and 1 - q: the errors of the quotient weigh least so.
    let c = if x < 0.0 { e } else { 1.0 };
    fma::<FMA>(-c, q, c)
}

/// `ln(1 + eˣ)`.
#[inline(always)]
#[allow(dead_code)]
pub fn softplus<const FMA: bool>(x: f32) -> f32 {
    at_least(x, 0.0) + log1p::<FMA>(exp::<FMA>(-x.abs()))
}

/// (tanh(a) / a - 1) / a² as a polynomial in a², for a ≤ 0.625.
const TANH: [f32; 5] = [-0.33333284, 0.13331494, -0.053743668, 0.02065106, -0.005717513];

/// The hyperbolic tangent.
#[inline(always)]
pub fn tanh<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    let z = a * a;
    let small = fma::<FMA>(a * z, poly::<FMA, 5>(z, TANH), a);
    // From 10 on, the result is 1.
    let large = 1.0 - 2.0 / (1.0 + exp_small::<FMA>(2.0 * at_most(a, 10.0)));
    (if a < 0.625 { small } else { large }).copysign(x)
}

/// The hyperbolic sine.
#[inline(always)]
pub fn sinh<const FMA: bool>(x: f32) -> f32 {
    let e = wide::expm1::<FMA>(at_most(x.abs(), 100.0) as f64);
    ((0.5 * (e + e / (1.0 + e))) as f32).copysign(x)
}

/// The hyperbolic cosine.
#[inline(always)]
pub fn cosh<const FMA: bool>(x: f32) -> f32 {
    let e = 1.0 + wide::expm1::<FMA>(at_most(x.abs(), 100.0) as f64);
    (0.5 * (e + 1.0 / e)) as f32
}
