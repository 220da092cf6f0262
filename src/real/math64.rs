//! Elementary functions of `f64` that the compiler turns into vector code when they stand in a plain loop,
//! for the functions that training is made of. Sine and cosine are in `trig64`, the others are left to `libm`.
//!
//! `FMA` says that the loop is compiled where fused multiply-add is an instruction. Errors are, in both
//! variants, at most 1 ulp for `exp`, `log` and `log1p`, 1.6 for `expm1` and 1.8 for `sigmoid` and `tanh`.
use super::steps64::{SHIFT, at_least, at_most, fma, poly};
pub use super::trig64::{NEAR, cos, near_cos, near_sin, sin, sin_cos};
use std::f64::consts::LOG2_E;

/// ln 2 with trailing zero bits, so that its product with an exponent is exact, and the rest.
const LN2_HI: f64 = 0.6931471803691238;
const LN2_LO: f64 = 1.9082149292705877e-10;

/// (eʳ - 1 - r) / r² for |r| ≤ ln 2 / 2.
const EXP: [f64; 11] = [
    0.5,
    0.16666666666666685,
    0.04166666666666673,
    0.008333333333316432,
    0.0013888888888858016,
    0.0001984126989784913,
    2.4801587374499637e-05,
    2.7557233423969416e-06,
    2.755723275555954e-07,
    2.511252990877507e-08,
    2.0927120796701134e-09,
];

/// Splits `x` into `n·ln 2 + r`: `eʳ - 1` and n.
#[inline(always)]
pub(super) fn reduce<const FMA: bool>(x: f64) -> (f64, f64) {
    let n = fma::<FMA>(x, LOG2_E, SHIFT) - SHIFT;
    let high = fma::<FMA>(-n, LN2_HI, x);
    let r = fma::<FMA>(-n, LN2_LO, high);
    // What rounding took from r counts where 1 is subtracted again.
    let lost = fma::<FMA>(-n, LN2_LO, high - r);
    (r + fma::<FMA>(r * r, poly::<FMA, 11>(r, EXP), lost), n)
}

/// 2ⁿ for an integer -1022 ≤ n ≤ 1023.
#[inline(always)]
pub(super) fn power_of_two(n: f64) -> f64 {
    f64::from_bits(((n + SHIFT).to_bits() << 52).wrapping_add(1.0f64.to_bits()))
}

/// `eˣ`.
#[inline(always)]
pub fn exp<const FMA: bool>(x: f64) -> f64 {
    // At the lower limit both are 0: where a product becomes 0, Intel's processors take 70 times as long.
    let (p, n) = reduce::<FMA>(at_most(at_least(x, -1418.0), 710.0));
    // Two exact steps and one rounding, so that subnormal results and overflow come out right.
    let half = (fma::<FMA>(n, 0.5, SHIFT)) - SHIFT;
    (1.0 + p) * power_of_two(half) * power_of_two(n - half)
}

/// `eˣ - 1`, precise near zero.
#[inline(always)]
pub fn expm1<const FMA: bool>(x: f64) -> f64 {
    expm1_within::<FMA>(at_most(at_least(x, -40.0), 710.0))
}

/// [`expm1`] of arguments from -40 to 710, and NaN.
#[inline(always)]
fn expm1_within<const FMA: bool>(x: f64) -> f64 {
    // Half of 2ⁿ, since 2¹⁰²⁴ has no place in an f64 where the result still has.
    let (p, n) = reduce::<FMA>(x);
    let half = power_of_two(n - 1.0);
    let y = 2.0 * fma::<FMA>(half, p, half - 0.5);
    // Here the second term of the series is lost in rounding; so zero keeps its sign.
    if x.abs() < 1e-16 { x } else { y }
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub fn sigmoid<const FMA: bool>(x: f64) -> f64 {
    sigmoid_by::<FMA>(x, exp::<FMA>(-x.abs()))
}

/// [`sigmoid`], if `e` is the exponential of `-|x|`.
#[inline(always)]
pub(super) fn sigmoid_by<const FMA: bool>(x: f64, e: f64) -> f64 {
    let q = e / (1.0 + e);
    // e - e·q and 1 - q: the errors of the quotient weigh least so.
    let c = if x < 0.0 { e } else { 1.0 };
    fma::<FMA>(-c, q, c)
}

/// The hyperbolic tangent.
#[inline(always)]
pub fn tanh<const FMA: bool>(x: f64) -> f64 {
    let a = x.abs();
    // From 20 on, the result is 1.
    let e = expm1_within::<FMA>(2.0 * at_most(a, 20.0));
    // e/2 · (1 - e/(e+2)) while that is less than ½, then 1 - 2/(e+2).
    let small = a < 0.5;
    let q = (if small { e } else { 2.0 }) / (e + 2.0);
    let c = if small { 0.5 * e } else { 1.0 };
    fma::<FMA>(-c, q, c).copysign(x)
}

/// (ln((1+s)/(1-s)) - 2s) / s³ as a polynomial in s², for |s| ≤ (√2-1)/(√2+1).
const ATANH: [f64; 8] = [
    0.6666666666666666,
    0.4000000000000618,
    0.2857142856910189,
    0.22222222644811504,
    0.18181775800846994,
    0.1538708559255041,
    0.13250221641361218,
    0.13250480748035884,
];

/// Splits a positive `x` into `(1 + f) · 2ᵏ` with √½ ≤ 1 + f < √2: f and k. Of infinity and NaN, k is
/// infinity and NaN.
#[inline(always)]
fn split(x: f64) -> (f64, f64) {
    const SQRT_HALF: u64 = std::f64::consts::FRAC_1_SQRT_2.to_bits();
    let finite = x < f64::INFINITY;
    let subnormal = x < f64::MIN_POSITIVE;
    let x = if subnormal { x * 4_503_599_627_370_496.0 } else { x };
    let t = x.to_bits().wrapping_add(1.0f64.to_bits().wrapping_sub(SQRT_HALF));
    let f = f64::from_bits((t & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF)) - 1.0;
    // The exponent put into the low bits of 2⁵², as there is no integer conversion for 64-bit lanes.
    let k = f64::from_bits((t >> 52) | 0x4330_0000_0000_0000) - (4_503_599_627_370_496.0 + 1023.0);
    let k = if subnormal { k - 52.0 } else { k };
    (f, if finite { k } else { x })
}

/// `ln(1 + f) - f + f²/2` for √½ - 1 ≤ f ≤ √2 - 1. With s = f / (2 + f), it is s · (f²/2 + s²·ATANH(s²)).
#[inline(always)]
fn rest<const FMA: bool>(f: f64, half_square: f64) -> f64 {
    let s = f / (2.0 + f);
    let z = s * s;
    s * fma::<FMA>(z, poly::<FMA, 8>(z, ATANH), half_square)
}

/// The logarithm at `x`, if `y` is what it is at positive arguments.
#[inline(always)]
fn with_limits(x: f64, y: f64) -> f64 {
    let limit = if x < 0.0 { f64::NAN } else { f64::NEG_INFINITY };
    if x <= 0.0 { limit } else { y }
}

/// The natural logarithm.
#[inline(always)]
pub fn log<const FMA: bool>(x: f64) -> f64 {
    let (f, k) = split(x);
    let half_square = 0.5 * f * f;
    let small = fma::<FMA>(k, LN2_LO, rest::<FMA>(f, half_square));
    with_limits(x, fma::<FMA>(k, LN2_HI, f - (half_square - small)))
}

/// `ln(1 + x)`, precise near zero.
#[inline(always)]
pub fn log1p<const FMA: bool>(x: f64) -> f64 {
    let u = 1.0 + x;
    // What rounding took from the sum.
    let v = u - 1.0;
    let lost = (1.0 - (u - v)) + (x - v);
    let (f, k) = split(u);
    // Without an exponent, x itself is the exact fraction.
    let (f, correction) = if k == 0.0 { (x, 0.0) } else { (f, lost / u) };
    let half_square = 0.5 * f * f;
    let small = fma::<FMA>(k, LN2_LO, rest::<FMA>(f, half_square) + correction);
    let y = fma::<FMA>(k, LN2_HI, f - (half_square - small));
    // The limits are those of the logarithm of u. Tiny arguments, with the sign of zero, and infinity, where
    // the correction is NaN, pass through.
    if (x.abs() < 1e-17) | (x == f64::INFINITY) { x } else { with_limits(u, y) }
}

#[cfg(test)]
#[allow(clippy::approx_constant)] // some known values are constants of their own
mod tests {
    use super::*;

    /// How many floats `y` is away from `want`; numbers of other signs, and misplaced NaN, are far away.
    fn ulps(y: f64, want: f64) -> u64 {
        if y.is_nan() && want.is_nan() { 0 } else { y.to_bits().abs_diff(want.to_bits()) }
    }

    fn check(name: &str, bound: u64, f: [fn(f64) -> f64; 2], x: f64, want: f64) {
        for (f, variant) in f.iter().zip(["fused", "portable"]) {
            let error = ulps(f(x), want);
            assert!(error <= bound, "{variant} {name}({x:e}) = {:e}, not {want:e}: {error} ulp", f(x));
        }
    }

    macro_rules! known {
        ($($name:ident $std:expr, [$($value:expr),* $(,)?];)*) => {$(
            #[test]
            fn $name() {
                let f = [super::$name::<true>, super::$name::<false>];
                // Computed with 200 bits by mpmath.
                for (x, want) in [$($value),*] {
                    check(stringify!($name), 2, f, x, want);
                }
                // The reference has an error of its own, up to 1 ulp.
                let spread = (0..=u64::MAX).step_by(1 << 46).map(f64::from_bits);
                for x in spread.chain((-50_000..50_000).map(|i| i as f64 * 1.3e-4)) {
                    check(stringify!($name), 3, f, x, $std(x));
                }
            }
        )*};
    }

    mod known_values {
        use super::check;
        known! {
            exp f64::exp, [
                (0.3, 1.3498588075760032), (-0.3465, 0.7071588192872713), (1.0, 2.718281828459045),
                (-1.7, 0.18268352405273466), (12.3, 219695.9886721379), (-44.4, 5.215848922086211e-20),
                (300.1, 2.1467131625231985e+130), (709.7, 1.6549840276802644e+308),
                (-708.2, 2.7079953615140913e-308), (-740.1, 3.8e-322),
                (2.4297619894654297, 11.356178868114688),
            ];
            expm1 f64::exp_m1, [
                (1e-09, 1.0000000005000001e-09), (-1e-05, -9.999950000166666e-06),
                (0.0123, 0.012375956100545244), (0.34833589948421906, 0.4167080413268463),
                (0.3941908805216824, 0.4831836325218239), (-0.4, -0.32967995396436073),
                (1.5, 3.481689070338065), (-3.7, -0.9752764735296606), (20.25, 622964441.1984454),
                (-30.5, -0.9999999999999433), (709.7, 1.6549840276802644e+308),
            ];
            log f64::ln, [
                (1e-310, -713.8013788281542), (3e-200, -459.41840631014105), (0.1, -2.3025850929940455),
                (0.7071, -0.346583180371942), (0.75, -0.2876820724517809),
                (0.999999, -1.000000500029089e-06), (1.0000001, 9.999999505838704e-08),
                (1.2809190978641063, 0.24757786546673863), (1.4142, 0.3465640001880033),
                (2.0, 0.6931471805599453), (10.0, 2.302585092994046), (1e+300, 690.7755278982137),
            ];
            log1p f64::ln_1p, [
                (-0.99, -4.605170185988091), (-0.5, -0.6931471805599453), (-0.2928, -0.3464417676587034),
                (-0.001, -0.0010005003335835335), (1e-12, 9.999999999995e-13),
                (-1e-09, -1.0000000005000001e-09), (0.0123, 0.01222496962256897),
                (0.4097716327359435, 0.34342772867409727), (0.41422, 0.34657814235925116),
                (1.0, 0.6931471805599453), (7.5, 2.1400661634962708), (1e+18, 41.44653167389282),
                (1e+300, 690.7755278982137),
            ];
            tanh f64::tanh, [
                (1e-09, 1e-09), (0.001, 0.0009999996666668), (0.1, 0.09966799462495582),
                (0.17893497994540133, 0.17704942759330208), (0.21252549985019265, 0.20938255146810708),
                (0.2338738594011165, 0.2297010665814416), (0.4999, 0.4620385088524975),
                (0.5373607867028329, 0.490987582160747), (0.9, 0.7162978701990245),
                (2.5, 0.9866142981514303), (8.0, 0.9999997749296758), (18.9, 0.9999999999999999),
            ];
            sigmoid |x: f64| (if x < 0.0 { x.exp() } else { 1.0 }) / (1.0 + (-x.abs()).exp()), [
                (-720.5, 1.2326102893e-313), (-709.0, 1.216780750623423e-308),
                (-40.0, 4.248354255291589e-18), (-5.5, 0.004070137715896128),
                (-1.9472548694584229, 0.12485299535811492), (-1.1347992340065682, 0.24327650709891896),
                (-0.11151831892212627, 0.47214927769908877), (1e-09, 0.50000000025),
                (0.3, 0.574442516811659), (2.2, 0.9002495108803149), (15.0, 0.9999996940977731),
                (36.0, 0.9999999999999998),
            ];
        }
    }

    #[test]
    fn limits_are_exact() {
        let inf = f64::INFINITY;
        assert_eq!(
            [exp::<true>(inf), exp::<true>(710.0), exp::<true>(-746.0), exp::<true>(0.0)],
            [inf, inf, 0.0, 1.0]
        );
        assert_eq!(exp::<true>(-744.5), f64::from_bits(1));
        for below in [-746.0, -1000.0, -1417.5, -1418.0, -1419.0, -1e300, -inf] {
            assert_eq!(exp::<true>(below).to_bits(), 0, "{below}");
        }
        assert_eq!(
            [log::<true>(0.0), log::<true>(-0.0), log::<true>(inf), log::<true>(1.0)],
            [-inf, -inf, inf, 0.0]
        );
        assert_eq!([log1p::<true>(-1.0), log1p::<true>(inf), expm1::<true>(inf)], [-inf, inf, inf]);
        assert_eq!([expm1::<true>(-inf), tanh::<true>(inf), tanh::<true>(-inf)], [-1.0, 1.0, -1.0]);
        assert_eq!([sigmoid::<true>(inf), sigmoid::<true>(-inf), sigmoid::<true>(0.0)], [1.0, 0.0, 0.5]);
        assert!(log::<true>(-1.0).is_nan() && log1p::<true>(-1.5).is_nan() && log::<true>(-inf).is_nan());
        for x in [0.0f64, -0.0, 1e-20, -1e-300, f64::from_bits(1)] {
            for f in
                [tanh::<true>, tanh::<false>, expm1::<true>, expm1::<false>, log1p::<true>, log1p::<false>]
            {
                assert_eq!(f(x).to_bits(), x.to_bits());
            }
        }
    }
}
