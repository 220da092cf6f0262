//! The steps that the functions are made of.

/// `a · b + c`, in one rounding where that is one instruction.
#[inline(always)]
pub fn fma<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The polynomial `c[0] + c[1]·x + c[2]·x² + …` by Horner's rule.
#[inline(always)]
pub(super) fn poly<const FMA: bool, const N: usize>(x: f32, c: [f32; N]) -> f32 {
    let mut sum = 0.0;
    for k in (0..N).rev() {
        sum = if k + 1 == N { c[k] } else { fma::<FMA>(sum, x, c[k]) };
    }
    sum
}

/// The smaller of `x` and `limit`; NaN stays NaN, which `f32::min` would drop.
#[inline(always)]
pub(super) fn at_most(x: f32, limit: f32) -> f32 {
    if x > limit { limit } else { x }
}

/// The larger of `x` and `limit`; NaN stays NaN.
#[inline(always)]
pub(super) fn at_least(x: f32, limit: f32) -> f32 {
    if x < limit { limit } else { x }
}
