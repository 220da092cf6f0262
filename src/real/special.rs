//! Special functions of `f64`, one value at a time: the error function and its inverse, and the logarithm of
//! the gamma function with its derivatives. Relative errors are below 10⁻¹³ away from zeros.
use crate::real::Arithmetic;
use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// The inverse hyperbolic sine. The standard library's overflows where twice the argument does.
pub(crate) fn asinh(x: f64) -> f64 {
    libm::asinh(x)
}

/// The inverse hyperbolic cosine; NaN below 1.
pub(crate) fn acosh(x: f64) -> f64 {
    if x < 1.0 { f64::NAN } else { libm::acosh(x) }
}

/// The inverse of [`erf`]: infinite at ±1, NaN beyond.
#[allow(dead_code)]
pub(crate) fn erfinv(x: f64) -> f64 {
    normal_quantile(x) * FRAC_1_SQRT_2
}

/// Half of the largest x whose quantile is [`middle_quantile`].
const MIDDLE_END: f64 = 0.425;

/// [`normal_quantile`] of x up to 0.85 in size, and of others some number: without a branch.
#[inline(always)]
pub(crate) fn middle_quantile(x: f64) -> f64 {
    const MIDDLE: [[f64; 8]; 2] = [
        [
            2509.0809287301227,
            33430.57558358813,
            67265.7709270087,
            45921.95393154987,
            13731.69376550946,
            1971.5909503065513,
            133.14166789178438,
            3.3871328727963665,
        ],
        [
            5226.495278852854,
            28729.085735721943,
            39307.89580009271,
            21213.794301586597,
            5394.196021424751,
            687.1870074920579,
            42.31333070160091,
            1.0,
        ],
    ];
    let half = 0.5 * x;
    half * quotient(MIDDLE, 0.180_625 - half * half)
}

/// Whether [`middle_quantile`] is right for it.
#[inline(always)]
pub(crate) fn is_middle(x: f64) -> bool {
    (0.5 * x).abs() <= MIDDLE_END
}

#[inline(always)]
fn quotient([p, q]: [[f64; 8]; 2], r: f64) -> f64 {
    let at = |p: [f64; 8]| p.iter().fold(0.0, |sum, c| sum * r + c);
    at(p) / at(q)
}

/// The number that a standard normal one lies below with probability `(1 + x) / 2`: infinite at ±1, NaN beyond.
///
/// By the rational functions of M. J. Wichura, Algorithm AS 241, PPND16, Applied Statistics 37 (1988): of `x²`
/// in the middle, of the root of the tail's logarithm outside.
#[inline(never)]
pub(crate) fn normal_quantile(x: f64) -> f64 {
    const TAIL: [[f64; 8]; 2] = [
        [
            0.0007745450142783414,
            0.022723844989269184,
            0.2417807251774506,
            1.2704582524523684,
            3.6478483247632045,
            5.769497221460691,
            4.630337846156546,
            1.4234371107496835,
        ],
        [
            1.0507500716444169e-09,
            0.0005475938084995345,
            0.015198666563616457,
            0.14810397642748008,
            0.6897673349851,
            1.6763848301838038,
            2.053191626637759,
            1.0,
        ],
    ];
    const FAR_TAIL: [[f64; 8]; 2] = [
        [
            2.0103343992922881e-07,
            2.7115555687434876e-05,
            0.0012426609473880784,
            0.026532189526576124,
            0.29656057182850487,
            1.7848265399172913,
            5.463784911164114,
            6.657904643501103,
        ],
        [
            2.0442631033899397e-15,
            1.421511758316446e-07,
            1.8463183175100548e-05,
            0.0007868691311456133,
            0.014875361290850615,
            0.1369298809227358,
            0.599832206555888,
            1.0,
        ],
    ];
    if is_middle(x) {
        return middle_quantile(x);
    }
    // Which is exact.
    let tail = 0.5 - (0.5 * x).abs();
    if tail == 0.0 {
        return f64::INFINITY.copysign(x);
    }
    let r = (-Arithmetic::log(tail)).sqrt();
    (if r <= 5.0 { quotient(TAIL, r - 1.6) } else { quotient(FAR_TAIL, r - 5.0) }).copysign(x)
}

/// `ln |Γ(x)|`: infinite at zero, the negative integers and ±∞.
pub(crate) fn lgamma(x: f64) -> f64 {
    libm::lgamma(x)
}

/// `ψ(x)`, the derivative of [`lgamma`]. As in PyTorch: -∞ at 0, +∞ at -0, NaN at the negative integers.
pub(crate) fn digamma(x: f64) -> f64 {
    if x == 0.0 {
        return f64::INFINITY.copysign(-x);
    }
    if x < 0.0 {
        if x == x.trunc() {
            return f64::NAN;
        }
        // ψ(1 - x) - ψ(x) = π / tan(πx), whose period is 1.
        return digamma(1.0 - x) - PI / Arithmetic::tan(PI * (x - x.round()));
    }
    // ψ(x + 1) = ψ(x) + 1/x leads to where the asymptotic series has converged.
    let (mut x, mut shift) = (x, 0.0);
    while x < 10.0 {
        shift += 1.0 / x;
        x += 1.0;
    }
    let z = 1.0 / (x * x);
    let (mut power, mut series) = (1.0, 0.0);
    for (j, b) in (1..).zip(BERNOULLI) {
        power *= z;
        series += b * power / (2.0 * j as f64);
    }
    Arithmetic::log(x) - 0.5 / x - series - shift
}

/// The n-th derivative of [`digamma`]; from n = 171 on, digits are lost as n grows. The poles at zero and the
/// negative integers give +∞ for odd n (a large number for n = 1) and -∞ for even n, as in PyTorch.
pub(crate) fn polygamma(n: u32, x: f64) -> f64 {
    if n == 0 {
        return digamma(x);
    }
    // (-1)ⁿ⁺¹ n! ∑ (x + k)⁻ⁿ⁻¹ over k ≥ 0
    let sign = if n.is_multiple_of(2) { -1.0 } else { 1.0 };
    if x > 0.0 {
        return sign * zeta_factorial(n, x);
    }
    if x == f64::NEG_INFINITY {
        return f64::NAN; // as in PyTorch
    }
    if n == 1 && x < 0.0 && x == x.trunc() {
        // PyTorch's reflection: in floating point sin(πx) is 0 only at 0, so that the poles are large but
        // finite.
        return Arithmetic::square(PI / Arithmetic::sin(PI * x));
    }
    if x == x.trunc() {
        return sign * f64::INFINITY;
    }
    // The terms right of zero are those of a sum from x's distance to the next lower integer; those left of
    // zero, mirrored, are a sum from the distance to the next higher one without those beyond |x|.
    let d = x - x.round();
    let (below, above) = if d > 0.0 { (d, 1.0 - d) } else { (1.0 + d, -d) };
    sign * zeta_factorial(n, below) + (zeta_factorial(n, above) - zeta_factorial(n, 1.0 - x))
}

/// `n! ζ(n + 1, a) = n! ∑ (a + k)⁻ⁿ⁻¹` over k ≥ 0, for a > 0.
fn zeta_factorial(n: u32, a: f64) -> f64 {
    if a == f64::INFINITY {
        return 0.0;
    }
    let s = n as f64 + 1.0;
    // The first term is taken out of the sum, so that neither the factorial nor the power overflows alone.
    let first = if n <= 170 {
        (1..=n).map(|j| j as f64 / a).product::<f64>() / a
    } else {
        Arithmetic::exp(lgamma(s) - s * Arithmetic::log(a))
    };
    let (mut sum, mut b) = (0.0, a);
    while b < 12.0 || b < 2.0 * s {
        let term = Arithmetic::pow(a / b, s);
        sum += term;
        if term < 1e-18 * sum {
            return first * sum;
        }
        b += 1.0;
    }
    // The rest by the Euler-Maclaurin formula.
    let mut factor = 0.5 * s / b;
    let mut tail = b / n as f64 + 0.5;
    for (j, bernoulli) in (1..).zip(BERNOULLI) {
        tail += bernoulli * factor;
        let k = 2.0 * j as f64;
        factor *= (s + k - 1.0) * (s + k) / ((k + 1.0) * (k + 2.0) * b * b);
    }
    first * (sum + Arithmetic::pow(a / b, s) * tail)
}

/// The Bernoulli numbers B₂, B₄, …, B₂₄.
const BERNOULLI: [f64; 12] = [
    1.0 / 6.0,
    -1.0 / 30.0,
    1.0 / 42.0,
    -1.0 / 30.0,
    5.0 / 66.0,
    -691.0 / 2730.0,
    7.0 / 6.0,
    -3617.0 / 510.0,
    43867.0 / 798.0,
    -174611.0 / 330.0,
    854513.0 / 138.0,
    -236364091.0 / 2730.0,
];

#[cfg(test)]
#[allow(clippy::approx_constant)] // some known values are constants of their own
mod tests {
    //! The known values were computed with 300 bits by mpmath.
    use super::*;

    fn close(name: &str, x: f64, y: f64, want: f64, tolerance: f64) {
        assert!(((y - want) / want).abs() <= tolerance, "{name} at {x:e}: {y:e}, not {want:e}");
    }

    #[test]
    fn digamma_has_known_values_and_pytorchs_poles() {
        for (x, want) in [
            (1e-05, -100000.57719921567),
            (0.1, -10.423754940411076),
            (0.5, -1.9635100260214235),
            (1.0, -0.5772156649015329),
            (1.25, -0.22745353337626542),
            (2.0, 0.42278433509846713),
            (5.5, 1.6110931485817512),
            (9.99, 2.250700372831201),
            (10.0, 2.251752589066721),
            (123.4, 4.8113737751162775),
            (100000000.0, 18.420680738952367),
            (-1e-05, 99999.42276788563),
            (-0.25, 2.9141391202135276),
            (-0.7, -2.073952793628704),
            (-1.5, 0.7031566406452432),
            (-7.3, 4.33730730551005),
            (-100.1, 14.279984365172156),
            (-12345.6, 8.400330172287905),
        ] {
            close("digamma", x, digamma(x), want, 1e-14);
        }
        let inf = f64::INFINITY;
        assert_eq!([digamma(0.0), digamma(-0.0), digamma(inf)], [-inf, inf, inf]);
        for x in [-1.0, -2.0, -1e15, -inf, f64::NAN] {
            assert!(digamma(x).is_nan());
        }
    }

    #[test]
    fn lgamma_has_known_values_and_infinite_poles() {
        for (x, want) in [
            (1e-05, 11.512919692895826),
            (0.1, 2.252712651734206),
            (0.5, 0.5723649429247001),
            (1.3, -0.10817480950786047),
            (3.0, 0.6931471805599453),
            (10.5, 13.940625219403763),
            (171.5, 709.1431630309282),
            (-0.5, 1.2655121234846454),
            (-1.7, 0.9218446876946375),
            (-10.3, -14.457515440024208),
            (1000000.0, 12815504.569147611),
        ] {
            close("lgamma", x, lgamma(x), want, 1e-14);
        }
        for x in [0.0, -0.0, -1.0, -7.0, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(lgamma(x), f64::INFINITY);
        }
        assert_eq!([lgamma(1.0), lgamma(2.0)], [0.0, 0.0]);
    }

    #[test]
    fn polygamma_has_known_values_and_pytorchs_poles() {
        for (n, x, want) in [
            (1, 0.0001, 100000001.64469367),
            (1, 0.5, 4.934802200544679),
            (1, 1.0, 1.6449340668482264),
            (1, 3.7, 0.3100378576700383),
            (1, 25.0, 0.04081066325722558),
            (1, 10000000.0, 1.0000000500000017e-07),
            (1, -0.5, 8.934802200544679),
            (1, -3.2, 28.298186402194034),
            (1, -50.75, 19.719697226040573),
            (2, 0.3, -75.27253658872604),
            (2, 1.0, -2.4041138063191885),
            (2, 14.5, -0.005095552370983587),
            (2, -1.2, 246.72729169898594),
            (3, 1.0, 6.493939402266829),
            (3, 2.5, 0.22390584881725206),
            (3, -0.6, 282.49155533024333),
            (4, -5.8, -74935.51736292857),
            (5, 0.01, 120000000000115.05),
            (8, 30.0, -8.757097753984775e-09),
            (20, 3.3, -31551777.702590305),
            (60, 1.5, -1.5087179138556403e+71),
            (150, 200.0, -3.7942152199759047e-85),
            (170, 12.0, -2.093097285096988e+122),
        ] {
            close("polygamma", x, polygamma(n, x), want, 1e-13);
        }
        let inf = f64::INFINITY;
        assert_eq!([polygamma(1, 0.0), polygamma(1, -0.0), polygamma(3, -1.0)], [inf; 3]);
        close("trigamma", -3.0, polygamma(1, -3.0), 7.3119890525788305e31, 1e-6);
        assert_eq!([polygamma(2, 0.0), polygamma(2, -3.0)], [-inf; 2]);
        assert_eq!([polygamma(1, inf), polygamma(2, inf)], [0.0; 2]);
        assert_eq!(polygamma(0, 3.3), digamma(3.3));
        assert!(polygamma(1, f64::NAN).is_nan());
    }

    #[test]
    fn polygamma_ends_for_any_order_and_argument() {
        for n in [1, 2, 171, 1000, u32::MAX] {
            for x in [1e-300, 0.5, 3.0, 1e5, 1e300, -0.5, -1e-300, -3e9 - 0.5, -1e300] {
                let y = polygamma(n, x);
                assert!(n > 100 || !y.is_nan(), "polygamma({n}, {x:e}) = {y}");
            }
        }
        // ψ⁽²⁰⁰⁾(400) = -200! ζ(201, 400), which the logarithms of its factors give with twelve digits.
        close("polygamma", 400.0, polygamma(200, 400.0), -1.94068120650353e-148, 1e-12);
    }

    #[test]
    fn inverse_hyperbolic_functions_reach_to_the_largest_number() {
        for (x, want) in [(1e-300, 1e-300), (0.5, 0.48121182505960347), (1e308, 709.889355822726)] {
            close("asinh", x, asinh(x), want, 1e-15);
            assert_eq!(asinh(-x), -asinh(x));
        }
        close("acosh", 1e308, acosh(1e308), 709.889355822726, 1e-15);
        assert_eq!(
            [acosh(1.0), acosh(f64::INFINITY), asinh(f64::INFINITY)],
            [0.0, f64::INFINITY, f64::INFINITY]
        );
        assert!(acosh(0.5).is_nan() && acosh(f64::NAN).is_nan() && asinh(f64::NAN).is_nan());
    }

    #[test]
    fn erfinv_has_known_values_and_inverts_erf() {
        for (x, want) in [
            (1e-300, 8.86226925452758e-301),
            (1e-08, 8.86226925452758e-09),
            (0.001, 0.0008862271574665521),
            (0.1, 0.08885599049425769),
            (0.3, 0.2724627147267543),
            (0.4999, 0.4768250236254278),
            (0.5, 0.4769362762044699),
            (0.7, 0.7328690779592167),
            (0.95, 1.3859038243496777),
            (0.9999, 2.75106390571208),
            (0.999999999, 4.320005388105362),
            (0.9999999999999999, 5.8635847487551676),
        ] {
            close("erfinv", x, erfinv(x), want, 1e-15);
            assert_eq!(erfinv(-x), -erfinv(x));
        }
        for i in 1..1000 {
            let x = i as f64 / 1000.0;
            close("erf of erfinv", x, Arithmetic::erf(erfinv(x)), x, 1e-15);
        }
        assert_eq!([erfinv(1.0), erfinv(-1.0)], [f64::INFINITY, f64::NEG_INFINITY]);
        assert_eq!([erfinv(0.0).to_bits(), erfinv(-0.0).to_bits()], [0, (-0.0f64).to_bits()]);
        assert!(erfinv(1.1).is_nan() && erfinv(f64::NAN).is_nan());
    }

    /// Values computed to 40 digits, by mpmath.
    #[test]
    fn normal_quantiles_have_known_values_in_the_middle_and_both_tails() {
        for (x, want) in [
            (1e-300, 1.2533141373155002e-300),
            (1e-08, 1.2533141373155004e-08),
            (0.1, 0.12566134685507405),
            (0.5, 0.6744897501960817),
            (0.8499, 1.4391783421583504),
            (0.85, 1.439531470938456),
            (0.8501, 1.4398847793193503),
            (0.99, 2.5758293035489004),
            (0.999999, 4.891638475692932),
            (0.9999999990686774, 6.12075628597194),
            (0.999999999992724, 6.8521276658960675),
            (0.9999999999999999, 8.292361075813595),
        ] {
            close("normal_quantile", x, normal_quantile(x), want, 1e-15);
            assert_eq!(normal_quantile(-x), -normal_quantile(x));
        }
    }
}
