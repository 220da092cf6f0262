//! Floats of 16 bits, IEEE 754's half precision (binary16) and bfloat16: conversion only.

/// The bits of the half-precision number nearest to `value`, ties to even. What is too large becomes
/// infinite; every NaN becomes the quiet NaN of its sign.
pub fn f32_to_f16_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16 & 0x8000) as u16;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    // Below 2^-14 a half is a multiple of 2^-24: adding 1/2 lets the f32 addition do that rounding.
    if magnitude < 0x3880_0000 {
        let rounded = f32::from_bits(magnitude) + 0.5;
        return sign | (rounded.to_bits() - 0x3f00_0000) as u16;
    }
    // Rebias the exponent from 127 to 15, and round 13 bits of the fraction away.
    let odd = magnitude >> 13 & 1;
    let rounded = (magnitude - (112 << 23) + 0xfff + odd) >> 13;
    sign | if rounded >= 0x7c00 { 0x7c00 } else { rounded as u16 }
}

/// The exact value of a half-precision number, without a branch, so that vector loops can have it.
#[inline(always)]
pub fn f16_bits_to_f32(bits: u16) -> f32 {
    let (sign, magnitude) = (u32::from(bits & 0x8000) << 16, u32::from(bits & 0x7fff) << 13);
    // The exponent is that of a float less 112, of small numbers without a leading one, too.
    let value = f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23);
    let infinite = magnitude | 0x7f80_0000;
    f32::from_bits(sign | if magnitude < 0x7c00 << 13 { value.to_bits() } else { infinite })
}

/// The bits of the nearest number of bfloat16, the upper half of an `f32`, ties to even; every NaN stays one.
pub fn f32_to_bf16_bits(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// The exact value of a number of bfloat16.
#[inline(always)]
pub fn bf16_bits_to_f32(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// What a value becomes when a file keeps it in 16 bits.
///
/// ```
/// assert_eq!(kolmo::compress::round_to_f16(0.1), 0.099975586);
/// assert_eq!(kolmo::compress::round_to_f16(1e6), f32::INFINITY);
/// ```
pub fn round_to_f16(value: f32) -> f32 {
    f16_bits_to_f32(f32_to_f16_bits(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_survives_the_way_through_f32() {
        for bits in 0..=u16::MAX {
            let value = f16_bits_to_f32(bits);
            if value.is_nan() {
                assert_eq!(f32_to_f16_bits(value), bits & 0x8000 | 0x7e00);
            } else {
                assert_eq!(f32_to_f16_bits(value), bits, "{value}");
            }
        }
    }

    /// Between two neighbours the nearer one is taken, and the even one in the middle.
    #[test]
    fn rounds_to_nearest_even() {
        for low in 0..0x7bff_u16 {
            let (a, b) = (f16_bits_to_f32(low), f16_bits_to_f32(low + 1));
            let middle = a + (b - a) / 2.0;
            assert_eq!(f32_to_f16_bits(middle), low + (low & 1), "{middle}");
            assert_eq!(f32_to_f16_bits(middle.next_down()), low);
            assert_eq!(f32_to_f16_bits(middle.next_up()), low + 1);
            assert_eq!(f32_to_f16_bits(-middle), 0x8000 | (low + (low & 1)));
        }
        assert_eq!(f32_to_f16_bits(65519.99), 0x7bff);
        assert_eq!(f32_to_f16_bits(65520.0), 0x7c00);
        assert_eq!(f32_to_f16_bits(f32::NEG_INFINITY), 0xfc00);
        assert_eq!(f32_to_f16_bits(-0.0), 0x8000);
        assert_eq!(f32_to_f16_bits(f32::MAX), 0x7c00);
    }
}
