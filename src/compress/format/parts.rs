//! What the parts of a file are written with: numbers of the table, sections, and why something can't be
//! written.
use super::{
    artifact::Entry,
    bits::{from_bits, ordered, scaled, to_bits},
    layout::CodebookForm,
    sizes::Part,
};
use crate::{
    compress::{
        coding::{BitCoder, Encoder},
        models::{IntModel, code_values},
    },
    error::{Error, Result},
};

/// The kind of an entry's data, the numbers that follow it in the table, and its sections.
pub(super) type Encoded = (u64, Vec<usize>, Vec<(Part, Vec<u8>)>);

/// Little-endian groups of seven bits, each but the last with the top bit set.
pub(super) fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

pub(super) fn unwritable(entry: &Entry, part: &str, expected: &str, found: impl ToString) -> Error {
    let message = format!("entry {:?}: {part}: expected {expected}, found {}", entry.name, found.to_string());
    Error::invalid("Artifact", message)
}

pub(super) fn check_count(entry: &Entry, part: &str, expected: usize, found: usize) -> Result<()> {
    if expected == found { Ok(()) } else { Err(unwritable(entry, part, &expected.to_string(), found)) }
}

/// What a model made of its input, as bytes. A model can't fail while it writes.
pub(super) fn section<T, E>(write: impl FnOnce(&mut Encoder) -> Result<T, E>) -> Vec<u8> {
    let mut encoder = Encoder::new();
    let _ = write(&mut encoder);
    encoder.finish()
}

/// The shorter of two sections, and whether that is the flat one.
pub(super) fn shorter(coded: Vec<u8>, flat_bits: usize, flat: impl FnOnce() -> Vec<u8>) -> (Vec<u8>, bool) {
    if flat_bits.div_ceil(8) < coded.len() { (flat(), true) } else { (coded, false) }
}

/// The flag of a width of 32 bits, none for 16.
pub(super) fn checked_width(entry: &Entry, part: &str, bits: u32, wide: u64) -> Result<u64> {
    match bits {
        16 => Ok(0),
        32 => Ok(wide),
        other => Err(unwritable(entry, part, "16 or 32", other)),
    }
}

/// The bits that values are stored as.
pub(super) fn rounded(entry: &Entry, part: &str, values: &[f32], width: u32) -> Result<Vec<u32>> {
    let bits: Vec<u32> = values.iter().map(|&value| to_bits(value, width)).collect();
    match values
        .iter()
        .zip(&bits)
        .find(|&(&value, &bits)| value.is_finite() && !from_bits(bits, width).is_finite())
    {
        Some((value, _)) => Err(unwritable(entry, part, "within the range of half precision, ±65504", value)),
        None => Ok(bits),
    }
}

pub(super) fn encode_values(bits: &[u32], width: u32) -> (Vec<u8>, bool) {
    let bytes = width as usize / 8;
    let write = |flat| section(|encoder| code_values(encoder, bits.len(), bytes, flat, |index| bits[index]));
    shorter(write(false), bits.len() * width as usize, || write(true))
}

pub(super) fn encode_codebook(bits: &[u32], width: u32) -> (Vec<u8>, CodebookForm) {
    let (values, flat) = encode_values(bits, width);
    let deltas = section(|encoder| {
        let mut model = IntModel::new();
        let mut previous = 0;
        for &value in bits {
            let order = ordered(value, width);
            model.code(encoder, order - previous);
            previous = order;
        }
        Ok::<_, ()>(())
    });
    let uniform = uniform_scale(bits, width).map(|(zero, scale)| {
        section(|encoder| {
            encoder.code_raw(u64::from(scale.to_bits()), 32);
            encoder.code_raw(zero as u64, 8);
            Ok::<_, ()>(())
        })
    });
    let form = if flat { CodebookForm::Flat } else { CodebookForm::Values };
    let mut best = (values, form);
    let others =
        [Some((deltas, CodebookForm::Deltas)), uniform.map(|uniform| (uniform, CodebookForm::Scaled))];
    for other in others.into_iter().flatten() {
        if other.0.len() < best.0.len() {
            best = other;
        }
    }
    best
}

/// The zero point and the scale, if the centroids are exactly those of a uniform quantiser with a code for
/// zero.
fn uniform_scale(bits: &[u32], width: u32) -> Option<(usize, f32)> {
    let zero = bits.iter().position(|&value| from_bits(value, width) == 0.0)?;
    let (index, &value) = bits.iter().enumerate().rfind(|&(index, _)| index != zero)?;
    // The last centroid gives the scale to within its rounding: try the floats around.
    let estimate = from_bits(value, width) / (index as f32 - zero as f32);
    let exact = |scale: f32| {
        (bits.iter().enumerate()).all(|(index, &value)| to_bits(scaled(index, zero, scale), width) == value)
    };
    [estimate, estimate.next_up(), estimate.next_down()]
        .into_iter()
        .find(|&scale| exact(scale))
        .map(|scale| (zero, scale))
}
