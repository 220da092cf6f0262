//! Sweeps over all magnitudes of `f32` against `f64` references, and the special points one by one.
use super::*;

/// Distance of `y` from the exact value in units of the last place of an `f32` there. Wrong signs of zero and
/// misplaced NaN are infinitely far; overflow is to set in where rounding would.
fn ulps(y: f32, exact: f64) -> f64 {
    if y.is_nan() && exact.is_nan() {
        return 0.0;
    }
    if y.is_nan() || exact.is_nan() || (exact == 0.0 && (1.0 / y as f64) != 1.0 / exact) {
        return f64::INFINITY;
    }
    let top = 2f64.powi(128);
    let within = |v: f64| v.clamp(-top, top);
    let exponent = (exact.abs().to_bits() >> 52) as i32 - 1023;
    let unit = 2f64.powi((exponent.min(127) - 23).max(-149));
    (within(y as f64) - within(exact)).abs() / unit
}

/// Every 9973rd bit pattern: about 430,000 numbers of all signs and magnitudes, NaN among them.
fn sweep() -> impl Iterator<Item = f32> {
    (0..=u32::MAX).step_by(9973).map(f32::from_bits)
}

/// Numbers as they occur in programs, evenly spread.
fn near_zero() -> impl Iterator<Item = f32> {
    (-200_000..200_000).map(|i| i as f32 * (12.0 / 200_000.0))
}

fn check(name: &str, bound: f64, f: [fn(f32) -> f32; 2], exact: impl Fn(f64) -> f64, limit: f32) {
    for x in sweep().filter(|x| x.abs() <= limit || x.is_nan()).chain(near_zero()) {
        let want = exact(x as f64);
        for (f, variant) in f.iter().zip(["fused", "portable"]) {
            let error = ulps(f(x), want);
            assert!(error <= bound, "{variant} {name}({x:e}) = {:e}, not {want:e}: {error} ulp", f(x));
        }
    }
}

macro_rules! within {
    ($($name:ident $bound:literal, $exact:expr $(, $limit:literal)?;)*) => {$(
        #[test]
        fn $name() {
            let limit = [f32::INFINITY $(, $limit)?];
            check(stringify!($name), $bound, [super::$name::<true>, super::$name::<false>], $exact, limit[limit.len() - 1]);
        }
    )*};
}

// The bounds are those of the table in the module's documentation.
mod within_bounds {
    use super::{check, sigmoid_exact, softplus_exact};
    within! {
        exp 1.1, f64::exp;
        exp2 1.1, f64::exp2;
        expm1 1.6, f64::exp_m1;
        log 1.0, f64::ln;
        log1p 1.0, f64::ln_1p;
        log2 2.0, f64::log2;
        log10 2.0, f64::log10;
        sin 1.6, f64::sin, 1e9;
        cos 1.6, f64::cos, 1e9;
        tan 0.51, f64::tan, 1e9;
        asin 0.51, f64::asin;
        acos 0.51, f64::acos;
        atan 0.51, f64::atan;
        sinh 0.51, f64::sinh;
        cosh 0.51, f64::cosh;
        tanh 1.4, f64::tanh;
        asinh 0.51, libm::asinh;
        acosh 0.51, |x| if x < 1.0 { f64::NAN } else { libm::acosh(x) };
        atanh 0.51, libm::atanh;
        sigmoid 1.8, sigmoid_exact;
        softplus 1.7, softplus_exact;
        erf 1.6, libm::erf;
        erfc 0.51, libm::erfc;
    }
}

fn sigmoid_exact(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus_exact(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p() + if x.is_nan() { f64::NAN } else { 0.0 }
}

/// Special and ordinary arguments for functions of two.
const PLACES: [f32; 32] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    2.0,
    -2.0,
    3.0,
    -3.0,
    0.5,
    -0.5,
    0.1,
    -7.3,
    1.0000001,
    0.99999994,
    -1.0000001,
    1e-45,
    -1e-45,
    1e-38,
    1e-20,
    -1e20,
    88.7,
    127.0,
    -149.0,
    8_388_609.0,
    -16_777_215.0,
    16_777_216.0,
    1e10,
    f32::MAX,
    f32::MIN,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

fn check_pair(name: &str, x: f32, y: f32, f: [fn(f32, f32) -> f32; 2], want: f64) {
    for (f, variant) in f.iter().zip(["fused", "portable"]) {
        let error = ulps(f(x, y), want);
        assert!(error <= 0.51, "{variant} {name}({x:e}, {y:e}) = {:e}, not {want:e}: {error} ulp", f(x, y));
    }
}

#[test]
fn pow_and_atan2_follow_c_at_special_points() {
    for x in PLACES {
        for y in PLACES {
            check_pair("pow", x, y, [pow::<true>, pow::<false>], (x as f64).powf(y as f64));
            check_pair("atan2", x, y, [atan2::<true>, atan2::<false>], (x as f64).atan2(y as f64));
        }
    }
}

#[test]
fn pow_and_atan2_are_precise_everywhere() {
    for (i, x) in sweep().enumerate() {
        // Exponents of all sizes at which the result neither overflows nor vanishes, and arbitrary ratios.
        let y = ((i % 1001) as f32 - 500.0) * (0.17 / (x.abs().ln().abs() + 0.1));
        let y = if x < 0.0 { y.round() } else { y };
        check_pair("pow", x, y, [pow::<true>, pow::<false>], (x as f64).powf(y as f64));
        let y = x * ((i % 1001) as f32 / 100.0 - 5.0).exp();
        check_pair("atan2", x, y, [atan2::<true>, atan2::<false>], (x as f64).atan2(y as f64));
    }
}

#[test]
fn tiny_arguments_pass_through_odd_functions_with_their_sign() {
    let odd = [
        sin::<true>,
        tan::<true>,
        asin::<true>,
        atan::<true>,
        sinh::<true>,
        tanh::<true>,
        asinh::<true>,
        atanh::<true>,
        expm1::<true>,
        log1p::<true>,
        sin::<false>,
        tan::<false>,
        tanh::<false>,
        expm1::<false>,
        log1p::<false>,
    ];
    for (i, f) in odd.iter().enumerate() {
        for x in [0.0f32, -0.0, 1e-20, -1e-20, 1e-45, -1e-45, 1e-39] {
            assert_eq!(f(x).to_bits(), x.to_bits(), "function {i} at {x:e}");
        }
    }
}

#[test]
fn limits_are_exact() {
    let (inf, sub) = (f32::INFINITY, f32::from_bits(1));
    assert_eq!([exp::<true>(89.0), exp::<true>(inf), exp::<true>(-inf)], [inf, inf, 0.0]);
    assert!(exp::<true>(88.72) < inf && exp::<true>(88.73) == inf);
    assert_eq!([exp::<true>(-103.2), exp::<true>(-104.0)], [sub, 0.0]);
    for below in [-104.5, -150.0, -175.5, -176.0, -177.0, -200.0, -1e30, -inf] {
        assert_eq!([exp::<true>(below), exp2::<true>(below * 1.5)].map(f32::to_bits), [0, 0], "{below}");
    }
    assert_eq!([exp::<true>(0.0), exp2::<true>(-149.0), exp2::<true>(128.0)], [1.0, sub, inf]);
    assert_eq!(
        [log::<true>(1.0), log::<true>(0.0), log::<true>(-0.0), log::<true>(inf)],
        [0.0, -inf, -inf, inf]
    );
    assert_eq!([log1p::<true>(-1.0), log1p::<true>(inf)], [-inf, inf]);
    assert_eq!([expm1::<true>(-inf), expm1::<true>(inf)], [-1.0, inf]);
    assert_eq!([tanh::<true>(inf), tanh::<true>(-inf), tanh::<true>(9.5)], [1.0, -1.0, 1.0]);
    assert_eq!([sigmoid::<true>(inf), sigmoid::<true>(-inf), sigmoid::<true>(0.0)], [1.0, 0.0, 0.5]);
    assert_eq!([softplus::<true>(inf), softplus::<true>(-inf)], [inf, 0.0]);
    assert_eq!([erf::<true>(inf), erfc::<true>(inf), erfc::<true>(-inf)], [1.0, 0.0, 2.0]);
    assert_eq!([acos::<true>(1.0), atanh::<true>(1.0), acosh::<true>(1.0)], [0.0, inf, 0.0]);
    for f in [log::<true>, log2::<true>, log10::<true>] {
        assert!(f(-1.0).is_nan() && f(-inf).is_nan());
    }
    for f in [sin::<true>, cos::<true>, tan::<true>, sin::<false>, cos::<false>, tan::<false>] {
        assert!(f(inf).is_nan() && f(-inf).is_nan());
    }
    for k in -149..128 {
        let power = 2f64.powi(k) as f32;
        assert_eq!([log2::<true>(power), exp2::<false>(k as f32)], [k as f32, power]);
    }
}

#[test]
fn the_largest_arguments_of_sine_and_cosine_keep_them_bounded() {
    for x in [1e12f32, -3e14, 1e15, 2e20, f32::MAX] {
        for (s, c) in [(sin::<true>(x), cos::<true>(x)), (sin::<false>(x), cos::<false>(x))] {
            assert!((s * s + c * c - 1.0).abs() < 1e-6, "{x:e}: {s}, {c}");
        }
    }
}
