//! Floats as whole numbers and back, and the checksum of bytes.
use crate::real::half::{f16_bits_to_f32, f32_to_f16_bits};

/// The number that a float's bits have in the order of floats (of `bits` bits, -0 just below 0).
pub(super) fn ordered(value: u32, bits: u32) -> i64 {
    let sign = 1u32 << (bits - 1);
    if value & sign == 0 { i64::from(value) } else { -1 - i64::from(value & (sign - 1)) }
}

/// The inverse of [`ordered`], if there is such a float.
pub(super) fn from_ordered(order: i64, bits: u32) -> Option<u32> {
    let sign = 1u32 << (bits - 1);
    let magnitude = u32::try_from(if order < 0 { -1 - order } else { order }).ok().filter(|&m| m < sign)?;
    Some(if order < 0 { magnitude | sign } else { magnitude })
}

/// The float with the given bits, in 16 or 32 of them, and back.
pub(super) fn from_bits(bits: u32, width: u32) -> f32 {
    if width == 16 { f16_bits_to_f32(bits as u16) } else { f32::from_bits(bits) }
}

pub(super) fn to_bits(value: f32, width: u32) -> u32 {
    if width == 16 { u32::from(f32_to_f16_bits(value)) } else { value.to_bits() }
}

/// Centroid `index` of a uniform quantiser.
pub(super) fn scaled(index: usize, zero: usize, scale: f32) -> f32 {
    (index as f32 - zero as f32) * scale
}

/// The CRC-32 of IEEE 802.3 (reflected polynomial `0xedb88320`): any flipped bit, and any damage within 32
/// neighbouring bits, changes it.
pub(in crate::compress) fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn the_order_of_floats_is_undone() {
        for bits in 0..=u16::MAX {
            assert_eq!(from_ordered(ordered(bits.into(), 16), 16), Some(bits.into()));
        }
        assert!(ordered(to_bits(-1.5, 32), 32) < ordered(to_bits(-1.25, 32), 32));
        assert_eq!(from_ordered(1 << 15, 16), None);
        assert_eq!(from_ordered(-1 - (1 << 15), 16), None);
    }
}
