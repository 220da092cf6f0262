//! Functions of a program of its own, as it prints those that it uses; here they are compiled and
//! tested, too.
#![allow(
    clippy::excessive_precision,
    clippy::approx_constant,
    reason = "the coefficients as they are published"
)]

/// The larger; of a NaN and a number the number, if that comes second.
pub(super) fn max_of(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The smaller.
pub(super) fn min_of(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The magnitude.
pub(super) fn abs_of(x: f32) -> f32 {
    f32::from_bits(x.to_bits() & 0x7fff_ffff)
}

/// The row of a table that a number stands for: one of those that are there.
pub(super) fn row_of(x: f32, rows: usize) -> usize {
    min_of(max_of(x, 0.0), rows as f32 - 1.0) as usize
}

/// The exponential between -87 and 88, else that of the nearer end: within 2e-7 of it, relatively.
pub(super) fn exp_of(x: f32) -> f32 {
    let x = min_of(max_of(x, -87.0), 88.0);
    let n = (x * 1.442695 + if x < 0.0 { -0.5 } else { 0.5 }) as i32;
    let r = x - n as f32 * 0.693359375 + n as f32 * 2.12194440e-4;
    let p = ((1.9875691500e-4 * r + 1.3981999507e-3) * r + 8.3334519073e-3) * r + 4.1665795894e-2;
    let p = ((p * r + 1.6666665459e-1) * r + 5.0000001201e-1) * r * r + r + 1.0;
    p * f32::from_bits(((n + 127) as u32) << 23)
}

/// The logarithm of a normal positive number within 2e-7, relatively or absolutely; minus infinity of
/// others.
pub(super) fn log_of(x: f32) -> f32 {
    if x < 1.17549435e-38 {
        return f32::from_bits(0xff80_0000);
    }
    let n = (x.to_bits() as i32 - 0x3f35_04f3) >> 23;
    let m = f32::from_bits((x.to_bits() as i32 - (n << 23)) as u32);
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let p = (((q * 0.11111111 + 0.14285714) * q + 0.2) * q + 0.33333333) * q * s;
    2.0 * p + n as f32 * -2.12194440e-4 + 2.0 * s + n as f32 * 0.693359375
}

/// The square root of a normal positive number within 2e-7, relatively; 0 of what is smaller.
pub(super) fn sqrt_of(x: f32) -> f32 {
    if x < 1.17549435e-38 {
        return 0.0;
    }
    let y = f32::from_bits((x.to_bits() >> 1) + 0x1fbd_1df5);
    let y = 0.5 * (y + x / y);
    let y = 0.5 * (y + x / y);
    0.5 * (y + x / y)
}

/// The logistic function within 2e-7.
pub(super) fn sigmoid_of(x: f32) -> f32 {
    1.0 / (1.0 + exp_of(-x))
}

/// The hyperbolic tangent within 3e-7.
pub(super) fn tanh_of(x: f32) -> f32 {
    let e = exp_of(-2.0 * abs_of(x));
    let y = (1.0 - e) / (1.0 + e);
    if x < 0.0 { -y } else { y }
}

/// The error function within 6e-7: formula 7.1.26 of Abramowitz and Stegun.
pub(super) fn erf_of(x: f32) -> f32 {
    let a = abs_of(x);
    let t = 1.0 / (1.0 + 0.3275911 * a);
    let p = (((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592;
    let y = 1.0 - p * t * exp_of(-a * a);
    if x < 0.0 { -y } else { y }
}
