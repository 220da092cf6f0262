//! The steps that functions of `f64` are made of.

/// `a · b + c`, in one rounding where that is one instruction.
#[inline(always)]
pub(super) fn fma<const FMA: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// The polynomial `c[0] + c[1]·x + c[2]·x² + …`: even and odd terms by Horner's rule in x², side by side, since a
/// scalar waits for each step.
#[inline(always)]
pub(super) fn poly<const FMA: bool, const N: usize>(x: f64, c: [f64; N]) -> f64 {
    let (z, mut sums) = (x * x, [0.0; 2]);
    for k in (0..N).rev() {
        sums[k % 2] = if k + 2 >= N { c[k] } else { fma::<FMA>(sums[k % 2], z, c[k]) };
    }
    fma::<FMA>(sums[1], x, sums[0])
}

/// The smaller of `x` and `limit`; NaN stays NaN, which `f64::min` would drop.
#[inline(always)]
pub(super) fn at_most(x: f64, limit: f64) -> f64 {
    if x > limit { limit } else { x }
}

/// The larger of `x` and `limit`; NaN stays NaN.
#[inline(always)]
pub(super) fn at_least(x: f64, limit: f64) -> f64 {
    if x < limit { limit } else { x }
}

/// Adding 1.5 · 2⁵² rounds to the nearest integer, which the low bits of the sum then hold.
pub(super) const SHIFT: f64 = 6_755_399_441_055_744.0;
