//! Codes of a few bits in planes of 1, 2, 4 or 8 bits, of which neighbouring columns share bytes.
use super::{super::vectorised::for_machine, list::List, panels::LANES};

/// Columns that become floats at a time.
pub(super) const CHUNK: usize = 64;

/// Codes of some columns.
pub(super) type Chunk = [[u8; LANES]; CHUNK];

/// `bits` bits of each code from bit `shift` on; of `8 / bits` columns in one byte, the first in its lowest
/// bits.
pub(super) struct Plane {
    pub bits: u32,
    pub shift: u32,
    pub bytes: List<u8>,
}

/// A plane's bits of some columns' codes, joined to those that are there if `more` says so.
pub(super) fn join(packed: &[[u8; LANES]], bits: u32, shift: u32, more: bool, bytes: &mut Chunk) {
    for_machine!(joined(packed: &[[u8; LANES]], bits: u32, shift: u32, more: bool, bytes: &mut Chunk))
}

#[inline(always)]
fn joined(packed: &[[u8; LANES]], bits: u32, shift: u32, more: bool, bytes: &mut Chunk) {
    match bits {
        8 => plane::<8, 1>(packed, shift, more, bytes),
        4 => plane::<4, 2>(packed, shift, more, bytes),
        2 => plane::<2, 4>(packed, shift, more, bytes),
        _ => plane::<1, 8>(packed, shift, more, bytes),
    }
}

/// A plane's bits of each code, joined to those of others if there are some.
#[inline(always)]
fn plane<const BITS: usize, const EACH: usize>(
    packed: &[[u8; LANES]],
    shift: u32,
    more: bool,
    bytes: &mut Chunk,
) {
    let mask = ((1u32 << BITS) - 1) as u8;
    for (packed, bytes) in packed.iter().zip(bytes.as_chunks_mut::<EACH>().0) {
        for (i, bytes) in bytes.iter_mut().enumerate() {
            if more {
                for k in 0..LANES {
                    bytes[k] |= (packed[k] >> (i * BITS) & mask) << shift;
                }
            } else {
                for k in 0..LANES {
                    bytes[k] = packed[k] >> (i * BITS) & mask;
                }
            }
        }
    }
}
