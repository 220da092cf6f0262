//! Powers of `f32` with real exponents.
use super::wide;

/// `xʸ` with C's rules: 1 for y = 0 and for x = 1 whatever the other is, NaN for a negative finite `x` unless
/// `y` is an integer, and the sign of `x` where `y` is an odd one.
#[inline(always)]
pub fn pow<const FMA: bool>(x: f32, y: f32) -> f32 {
    let (a, e) = (x.abs() as f64, y as f64);
    let log = if a < f64::INFINITY { wide::log2::<FMA>(a) } else { a };
    let log = if a == 0.0 { f64::NEG_INFINITY } else { log };
    // Beyond ±200 an f32 has only 0 and infinity.
    let t = e * log;
    let t = if t > 200.0 { 200.0 } else { t };
    let t = if t < -200.0 { -200.0 } else { t };
    let size = wide::exp2::<FMA>(t) as f32;
    let size = if (e == 0.0) | (a == 1.0) { 1.0 } else { size };

    // Every float from 2³⁰ on, infinity too, is an even integer.
    let e = if e.abs() > 1_073_741_824.0 { 0.0 } else { e };
    let integer = wide::round(e) == e;
    let odd = integer & (wide::round(0.5 * e) != 0.5 * e);
    let signed = if odd { size.copysign(x) } else { size };
    let undefined = (x < 0.0) & (a < f64::INFINITY) & !integer;
    if undefined { f32::NAN } else { signed }
}
