//! The error function of `f32` and its complement.
use super::{
    exp::exp_small,
    steps::{at_most, fma, poly},
    wide,
};

/// erf(a) / a - 1 as a polynomial in a², for a ≤ 1.
const ERF: [f32; 7] =
    [0.12837917, -0.37612626, 0.112836, -0.026854444, 0.005189535, -0.00080208393, 7.8891135e-05];
/// -ln(1 - erf(a)) for 1 ≤ a ≤ 4.
const LOG_ERFC: [f32; 7] =
    [0.00035374396, 1.1270399, 0.63822585, 0.103037216, -0.021805242, 0.0029395875, -0.00018557195];

/// The error function `2/√π ∫₀ˣ exp(-t²) dt`.
#[inline(always)]
pub fn erf<const FMA: bool>(x: f32) -> f32 {
    let a = x.abs();
    let small = fma::<FMA>(a, poly::<FMA, 7>(a * a, ERF), a);
    // From 4 on, the result is 1.
    let large = 1.0 - exp_small::<FMA>(-poly::<FMA, 7>(at_most(a, 4.0), LOG_ERFC));
    (if a < 1.0 { small } else { large }).copysign(x)
}

/// exp(a²) · erfc(a) as a polynomial in (a-4)/(a+4), for 0 ≤ a ≤ 10.1.
const ERFCX: [f64; 12] = [
    0.13699945761552826,
    -0.2590680492383279,
    0.21871968149374957,
    -0.16425778814186381,
    0.10896309490251814,
    -0.06310833323853757,
    0.03129980807192478,
    -0.012839734330455394,
    0.004058691625623079,
    -0.0008151655117423124,
    -2.8312339305621288e-05,
    0.00010149202912321199,
];

/// The complement `1 - erf(x)`, precise where it is small.
#[inline(always)]
pub fn erfc<const FMA: bool>(x: f32) -> f32 {
    // From 10.1 on, the result is below half of the smallest subnormal.
    let a = at_most(x.abs(), 10.1) as f64;
    let scaled = wide::poly::<FMA, 12>((a - 4.0) / (a + 4.0), ERFCX);
    let y = scaled * wide::exp2::<FMA>(-a * a * std::f64::consts::LOG2_E);
    (if x < 0.0 { 2.0 - y } else { y }) as f32
}
