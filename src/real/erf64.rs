//! The error function of `f64`. The polynomials are minimax approximations by Remez's algorithm.
//!
//! Errors are at most 1.3 ulp.
use super::{
    math64::{power_of_two, reduce},
    steps64::{at_most, fma, poly},
};

/// erf(a) / a - 1 as a polynomial in a², for a ≤ 1.
const ERF: [f64; 12] = [
    0.12837916709551256,
    -0.3761263890318352,
    0.11283791670944185,
    -0.02686617064311147,
    0.005223977606118474,
    -0.0008548325929314519,
    0.00012055293576901137,
    -1.492471230201668e-05,
    1.644713157134906e-06,
    -1.6206313758994752e-07,
    1.3710980400133429e-08,
    -7.779468492724285e-10,
];
/// -ln(1 - erf(a)) for 1 ≤ a ≤ 6: the first powers of a, and those from the eighth on. (So long a polynomial in one
/// isn't unrolled.)
const LOG_ERFC: [f64; 8] = [
    1.795979946024915e-07,
    1.1283773294836994,
    0.6366284879084215,
    0.10274725498524914,
    -0.019078160549576565,
    -0.00028048183574134176,
    0.001768993349101359,
    -0.0006411665106590392,
];
const LOG_ERFC_8: [f64; 11] = [
    4.481831634309582e-05,
    7.03688277766904e-05,
    -4.5038292303410404e-05,
    1.651424590207643e-05,
    -4.327125946614452e-06,
    8.505929126362022e-07,
    -1.2570823219545349e-07,
    1.36271338646955e-08,
    -1.0257398915257044e-09,
    4.796254709868008e-11,
    -1.0496768528288854e-12,
];

/// The error function `2/√π ∫₀ˣ exp(-t²) dt`.
#[inline(always)]
pub fn erf<const FMA: bool>(x: f64) -> f64 {
    let a = x.abs();
    let small = fma::<FMA>(a, poly::<FMA, 12>(a * a, ERF), a);
    // From 6 on, the result is 1.
    let b = at_most(a, 6.0);
    let fourth = (b * b) * (b * b);
    let log = fma::<FMA>(fourth * fourth, poly::<FMA, 11>(b, LOG_ERFC_8), poly::<FMA, 8>(b, LOG_ERFC));
    let (p, n) = reduce::<FMA>(-log);
    let scale = power_of_two(n);
    let large = 1.0 - fma::<FMA>(p, scale, scale);
    (if a < 1.0 { small } else { large }).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Errors in units of the last place, or of the smallest number.
    fn worst(f: fn(f64) -> f64, reference: fn(f64) -> f64) -> (f64, f64) {
        let spread = (0..=u64::MAX).step_by(1 << 46).map(f64::from_bits).filter(|x| x.is_finite());
        let points = spread.chain((-300_000..300_000).map(|i| i as f64 * 1e-4));
        let error = |x: f64| {
            let want = reference(x);
            (x, (f(x) - want).abs() / (want.next_up() - want).abs())
        };
        points.map(error).max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
    }

    #[test]
    fn errors_are_few_units_of_the_last_place() {
        // The reference has an error of its own, up to 1 ulp.
        for f in [erf::<true>, erf::<false>] {
            let (x, ulps) = worst(f, libm::erf);
            assert!(ulps <= 2.0, "erf({x:e}): {ulps}");
        }
    }

    #[test]
    fn limits_are_exact() {
        let inf = f64::INFINITY;
        assert_eq!([erf::<true>(inf), erf::<true>(-inf), erf::<true>(7.0)], [1.0, -1.0, 1.0]);
        assert!(erf::<true>(f64::NAN).is_nan() && erf::<false>(f64::NAN).is_nan());
        for x in [0.0f64, -0.0, f64::from_bits(1)] {
            assert_eq!(erf::<true>(x).to_bits() >> 63, x.to_bits() >> 63);
        }
    }
}
