//! The `.kolmo` file: what an artifact holds, what it weighs, and its way to disk and back. Bytes are made in
//! `write` and taken apart in `read` and `cursor`; `docs/format.md` describes them for readers in other languages.
mod cursor;
mod read;
mod sizes;
mod write;

pub use sizes::{Part, PartSize, Sizes};

use crate::{
    error::{Error, Result},
    files::write_atomically,
    param::Groups,
};
use std::{collections::BTreeMap, fs, path::Path};

/// The first bytes of every file; the version follows.
const MAGIC: &[u8; 4] = b"klmo";
const VERSION: u8 = 1;
/// Bytes of the checksum at the end.
const CHECKSUM_BYTES: usize = 4;
/// Tensors of more elements than this are refused.
const MAX_ELEMENTS: usize = 1 << 31;
/// Most bytes of a name: names share their beginnings, so that a few bytes of a header can stand for long ones.
const MAX_NAME: usize = 1024;
/// Most axes of a tensor, and most centroids of a codebook.
const MAX_RANK: usize = 32;
const MAX_CENTROIDS: usize = 256;
/// Widest image that a row of a matrix may be taken as.
const MAX_PERIOD: usize = 1 << 16;
/// A decoded header is at most this many times as long as its coded form, plus [`HEADER_SLACK`].
const HEADER_RATIO: usize = 64;
const HEADER_SLACK: usize = 1024;

/// A model as a file holds it: what it is, in words, and its tensors, in order.
///
/// ```
/// use kolmo::compress::{Artifact, Entry, EntryData};
///
/// let mut artifact = Artifact::default();
/// artifact.meta.insert("architecture".into(), r#"{"layers":[4,3]}"#.into());
/// artifact.entries.push(Entry {
///     name: "fc.weight".into(),
///     shape: vec![3, 4],
///     data: EntryData::Codebook {
///         mask: Some(vec![true, false, false, true, false, false, true, false, false, false, false, true]),
///         codes: vec![1, 0, 1, 1],
///         centroids: vec![-0.5, 0.25],
///         centroid_bits: 16,
///     },
/// });
/// let bytes = artifact.to_bytes()?;
/// assert_eq!(Artifact::from_bytes(&bytes)?, artifact);
/// assert_eq!(artifact.sizes()?.total(), bytes.len());
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Artifact {
    /// Free text by key, such as the architecture as JSON.
    pub meta: BTreeMap<String, String>,
    /// The tensors. Their names are unique; names that begin alike cost least when they stand together.
    pub entries: Vec<Entry>,
}

/// One tensor of an [`Artifact`].
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The parameter's dotted name, such as `fc1.weight`.
    pub name: String,
    /// Sizes of the axes; empty for a single number.
    pub shape: Vec<usize>,
    /// The elements in row-major order.
    pub data: EntryData,
}

/// The elements of an [`Entry`].
#[derive(Clone, Debug, PartialEq)]
pub enum EntryData {
    /// 32-bit floats, to the bit.
    Dense(Vec<f32>),
    /// Values rounded to IEEE half precision as they are written ([`round_to_f16`](super::round_to_f16)).
    /// A finite value beyond its range (65504) is an error.
    Half(Vec<f32>),
    /// Each kept weight is a number of `centroids`; the others are zero.
    Codebook {
        /// Which weights are kept, in row-major order; `None` keeps all.
        mask: Option<Vec<bool>>,
        /// One for each kept weight, in row-major order: an index into `centroids`. Codes are stored best if
        /// `centroids` is sorted.
        codes: Vec<u32>,
        /// The weights' values, at most 256.
        centroids: Vec<f32>,
        /// 32 to store `centroids` to the bit, 16 to round them to half precision.
        centroid_bits: u32,
    },
    /// A codebook whose values are multiplied by step sizes.
    Scaled {
        /// [`EntryData::Codebook`]; its centroids are whole numbers, as a rule.
        weights: Box<EntryData>,
        /// So many neighbours of a row, an index of the first axis, share a step size; the last ones of a row may be fewer. A
        /// vector is one row. 0 for one step size for all.
        group: usize,
        /// The step sizes, row by row.
        scales: Vec<f32>,
        /// 32 to store `scales` to the bit, 16 to round them to half precision.
        scale_bits: u32,
    },
}

impl Entry {
    /// The elements as floats, in row-major order: codes looked up and multiplied by their step sizes, zero where the mask keeps
    /// nothing. What doesn't fit (which no artifact read from a file has) gives zeros.
    pub fn to_dense(&self) -> Vec<f32> {
        let EntryData::Scaled { weights, group, scales, scale_bits } = &self.data else {
            return self.data.unscaled();
        };
        let groups = Groups::new(&self.shape, *group);
        let scale = |i| scales.get(groups.of(i)).map_or(0.0, |&scale| stored(scale, *scale_bits));
        weights.unscaled().iter().enumerate().map(|(i, number)| number * scale(i)).collect()
    }
}

/// What a value becomes when it is stored in so many bits.
pub(super) fn stored(value: f32, bits: u32) -> f32 {
    if bits == 16 { super::round_to_f16(value) } else { value }
}

impl EntryData {
    /// The elements before they are multiplied by step sizes.
    pub(super) fn unscaled(&self) -> Vec<f32> {
        match self {
            EntryData::Scaled { weights, .. } => weights.unscaled(),
            EntryData::Dense(values) => values.clone(),
            EntryData::Half(values) => values.iter().map(|&value| super::round_to_f16(value)).collect(),
            EntryData::Codebook { mask, codes, centroids, centroid_bits } => {
                let value = |&code: &u32| {
                    centroids.get(code as usize).map_or(0.0, |&value| stored(value, *centroid_bits))
                };
                let mut weights = codes.iter().map(value);
                match mask {
                    None => weights.collect(),
                    Some(mask) => mask
                        .iter()
                        .map(|&keep| if keep { weights.next().unwrap_or(0.0) } else { 0.0 })
                        .collect(),
                }
            }
        }
    }
}

impl Artifact {
    /// The bytes of the artifact as a file.
    ///
    /// # Errors
    /// [`Error::Invalid`] if lengths don't fit shapes, a name occurs twice, a code has no centroid, or a
    /// value is too large for half precision.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        write::encode(self).map(|(bytes, _)| bytes)
    }

    /// Reads an artifact. Values stored in 16 bits come back rounded.
    ///
    /// # Errors
    /// [`Error::Format`] if the bytes are not exactly one intact artifact.
    pub fn from_bytes(bytes: &[u8]) -> Result<Artifact> {
        read::decode(bytes)
    }

    /// Writes the artifact to a file: under a temporary name beside it first, flushed to the disk, then renamed.
    /// A crash leaves the old file or the new one.
    ///
    /// # Errors
    /// As [`to_bytes`](Artifact::to_bytes), and [`Error::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_at(path.as_ref())
    }

    fn save_at(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes()?;
        // What can be read is not replaced by what can't.
        Artifact::from_bytes(&bytes).map_err(|e| {
            Error::invalid("Artifact", format!("what would be written can't be read again: {e}"))
        })?;
        write_atomically(path, &bytes).map_err(|e| Error::io(path, e))
    }

    /// Reads an artifact from a file.
    ///
    /// # Errors
    /// As [`from_bytes`](Artifact::from_bytes), and [`Error::Io`].
    pub fn load(path: impl AsRef<Path>) -> Result<Artifact> {
        Self::load_at(path.as_ref())
    }

    fn load_at(path: &Path) -> Result<Artifact> {
        let bytes = fs::read(path).map_err(|e| Error::io(path, e))?;
        Artifact::from_bytes(&bytes).map_err(|error| match error {
            Error::Format { what, offset, message } => {
                Error::Format { what: format!("{}: {what}", path.display()), offset, message }
            }
            other => other,
        })
    }

    /// Where the bytes of [`to_bytes`](Artifact::to_bytes) go. Encodes the artifact to find out.
    ///
    /// # Errors
    /// As [`to_bytes`](Artifact::to_bytes).
    pub fn sizes(&self) -> Result<Sizes> {
        write::encode(self).map(|(_, sizes)| sizes)
    }
}

/// How the centroids of a codebook are stored; the number stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CodebookForm {
    /// Each value's bits as they are.
    Flat = 0,
    /// As values of an entry are.
    Values = 1,
    /// Differences of neighbours in the order of floats, for sorted centroids.
    Deltas = 2,
    /// `(i - zero) * scale`, for uniform quantisers.
    Scaled = 3,
}

/// What a header says about an entry's storage, in bits of one number.
mod flag {
    /// Bits 0 and 1: the kind.
    pub const KIND: u64 = 3;
    pub const DENSE: u64 = 0;
    pub const HALF: u64 = 1;
    /// Codebooks have bit 1 set; bit 0 says 32-bit centroids.
    pub const CODEBOOK: u64 = 2;
    pub const WIDE: u64 = 1;
    /// Values or codes are stored flat: every bit as it is.
    pub const FLAT: u64 = 1 << 2;
    /// The positions with a code are stored apart from the codes; the others are pruned ...
    pub const MASK: u64 = 1 << 3;
    /// ... or, without a mask, have the one code that the header gives.
    pub const COMMON: u64 = 1 << 4;
    /// The mask is stored flat.
    pub const MASK_FLAT: u64 = 1 << 5;
    /// The mask's bits are inverted, as most are set.
    pub const INVERTED: u64 = 1 << 6;
    /// A period follows; without it there is none.
    pub const PERIOD: u64 = 1 << 7;
    /// Bits 8 and 9: the [`CodebookForm`](super::CodebookForm).
    pub const FORM_SHIFT: u32 = 8;
    /// Step sizes follow; in 32 bits, else in 16; flat.
    pub const SCALED: u64 = 1 << 10;
    pub const WIDE_SCALES: u64 = 1 << 11;
    pub const FLAT_SCALES: u64 = 1 << 12;
    pub const ALL: u64 = (1 << 13) - 1;
}

/// The number that a float's bits have in the order of floats (of `bits` bits, -0 just below 0).
fn ordered(value: u32, bits: u32) -> i64 {
    let sign = 1u32 << (bits - 1);
    if value & sign == 0 { i64::from(value) } else { -1 - i64::from(value & (sign - 1)) }
}

/// The inverse of [`ordered`], if there is such a float.
fn from_ordered(order: i64, bits: u32) -> Option<u32> {
    let sign = 1u32 << (bits - 1);
    let magnitude = u32::try_from(if order < 0 { -1 - order } else { order }).ok().filter(|&m| m < sign)?;
    Some(if order < 0 { magnitude | sign } else { magnitude })
}

/// The float with the given bits, in 16 or 32 of them, and back.
fn from_bits(bits: u32, width: u32) -> f32 {
    if width == 16 { super::f16_to_f32(bits as u16) } else { f32::from_bits(bits) }
}

fn to_bits(value: f32, width: u32) -> u32 {
    if width == 16 { u32::from(super::f16_bits(value)) } else { value.to_bits() }
}

/// Centroid `index` of a uniform quantiser.
fn scaled(index: usize, zero: usize, scale: f32) -> f32 {
    (index as f32 - zero as f32) * scale
}

/// The CRC-32 of IEEE 802.3 (reflected polynomial `0xedb88320`): any flipped bit, and any damage within 32
/// neighbouring bits, changes it.
fn crc32(bytes: &[u8]) -> u32 {
    static TABLE: [u32; 256] = {
        let (mut table, mut i) = ([0; 256], 0);
        while i < 256 {
            let (mut crc, mut bit) = (i as u32, 0);
            while bit < 8 {
                crc = crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
                bit += 1;
            }
            table[i] = crc;
            i += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, &byte| TABLE[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
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
