//! Parts in `f64` with about eleven digits, for those `f32` functions that `f32` arithmetic can't compute
//! to 2 ulp. Full `f64` precision is `math64`'s matter.
use std::f64::consts::{LN_2, LOG2_E};

/// `a · b + c`, in one rounding where that is one instruction.
#[inline(always)]
pub(super) fn fma<const FMA: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The polynomial `c[0] + c[1]·x + c[2]·x² + …` by Horner's rule.
#[inline(always)]
pub(super) fn poly<const FMA: bool, const N: usize>(x: f64, c: [f64; N]) -> f64 {
    let mut sum = 0.0;
    for k in (0..N).rev() {
        sum = if k + 1 == N { c[k] } else { fma::<FMA>(sum, x, c[k]) };
    }
    sum
}

/// Adding 1.5 · 2⁵² rounds to the nearest integer, which the low bits of the sum then hold.
pub(super) const SHIFT: f64 = 6_755_399_441_055_744.0;

/// The nearest integer to `x`, for |x| < 2⁵¹.
#[inline(always)]
pub(super) fn round(x: f64) -> f64 {
    (x + SHIFT) - SHIFT
}

/// 2ⁿ for the integer n in the low bits of a shifted float, -1022 ≤ n ≤ 1023.
#[inline(always)]
fn power_of_two(shifted: f64) -> f64 {
    f64::from_bits((shifted.to_bits() << 52).wrapping_add(1.0f64.to_bits()))
}

/// (eʳ - 1 - r) / r² for |r| ≤ ln 2 / 2.
const EXP: [f64; 7] = [
    0.49999999999511074,
    0.1666666678835569,
    0.04166666705995841,
    0.008333280762516765,
    0.00138887954610727,
    0.00019909579000798938,
    2.4888069576187584e-05,
];

/// `eʳ - 1` for |r| ≤ ln 2 / 2.
#[inline(always)]
fn expm1_part<const FMA: bool>(r: f64) -> f64 {
    fma::<FMA>(r * r, poly::<FMA, 7>(r, EXP), r)
}

/// `eˣ - 1` for |x| ≤ 700.
#[inline(always)]
pub(super) fn expm1<const FMA: bool>(x: f64) -> f64 {
    let shifted = fma::<FMA>(x, LOG2_E, SHIFT);
    let p = expm1_part::<FMA>(fma::<FMA>(-(shifted - SHIFT), LN_2, x));
    let s = power_of_two(shifted);
    fma::<FMA>(s, p, s - 1.0)
}

/// `2ˣ` for |x| ≤ 1000.
#[inline(always)]
pub(super) fn exp2<const FMA: bool>(x: f64) -> f64 {
    let shifted = x + SHIFT;
    let r = (x - (shifted - SHIFT)) * LN_2;
    (1.0 + expm1_part::<FMA>(r)) * power_of_two(shifted)
}

/// Splits a positive normal `x` into `m · 2ᵏ` with √½ ≤ m < √2: m and k.
#[inline(always)]
fn split(x: f64) -> (f64, f64) {
    const SQRT_HALF: u64 = std::f64::consts::FRAC_1_SQRT_2.to_bits();
    let t = x.to_bits().wrapping_add(1.0f64.to_bits().wrapping_sub(SQRT_HALF));
    let m = f64::from_bits((t & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF));
    // The exponent put into the low bits of 2⁵², as there is no integer conversion for 64-bit lanes.
    let k = f64::from_bits((t >> 52) | 0x4330_0000_0000_0000) - (4_503_599_627_370_496.0 + 1023.0);
    (m, k)
}

/// (ln((1+s)/(1-s)) - 2s) / s³ as a polynomial in s², for |s| ≤ (√2-1)/(√2+1).
const ATANH: [f64; 5] =
    [0.6666666667574729, 0.39999995636294516, 0.28572107854478707, 0.22176236910615185, 0.19583522088531327];

/// `ln(1 + f)` for √½ - 1 ≤ f ≤ √2 - 1.
#[inline(always)]
fn log1p_part<const FMA: bool>(f: f64) -> f64 {
    let s = f / (2.0 + f);
    let z = s * s;
    fma::<FMA>(s * z, poly::<FMA, 5>(z, ATANH), s + s)
}

/// `log₂ x` for a positive normal `x`.
#[inline(always)]
pub(super) fn log2<const FMA: bool>(x: f64) -> f64 {
    let (m, k) = split(x);
    fma::<FMA>(log1p_part::<FMA>(m - 1.0), LOG2_E, k)
}

/// `ln(1 + x)` for a finite `x` > -1, precise near zero.
#[inline(always)]
pub(super) fn log1p<const FMA: bool>(x: f64) -> f64 {
    let (m, k) = split(1.0 + x);
    let f = if k == 0.0 { x } else { m - 1.0 };
    fma::<FMA>(k, LN_2, log1p_part::<FMA>(f))
}
