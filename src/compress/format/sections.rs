//! Sections of numbers and of centroids, read.
use super::{
    bits::{from_bits, from_ordered, scaled, to_bits},
    cursor::{Cursor, damaged},
};
use crate::{
    compress::{
        coding::{BitCoder, Decoder},
        models::{IntModel, code_values},
    },
    error::Result,
};

pub(super) fn read_values(
    table: &mut Cursor,
    file: &mut Cursor,
    what: &str,
    count: usize,
    width: u32,
    flat: bool,
) -> Result<Vec<f32>> {
    let bits = read_bits(table, file, what, count, width, flat)?;
    Ok(bits.into_iter().map(|bits| from_bits(bits, width)).collect())
}

/// Numbers of `width` bits.
pub(super) fn read_bits(
    table: &mut Cursor,
    file: &mut Cursor,
    what: &str,
    count: usize,
    width: u32,
    flat: bool,
) -> Result<Vec<u32>> {
    let (offset, section) = file.section(table, what)?;
    let bytes = width as usize / 8;
    file.can_hold(what, section, count as u64 * u64::from(width), flat)?;
    let mut decoder = Decoder::new(section);
    let bits = code_values(&mut decoder, count, bytes, flat, |_| 0);
    file.decoded(what, offset, &decoder, bits)
}

pub(super) fn read_centroids(
    file: &mut Cursor,
    length: usize,
    k: usize,
    width: u32,
    form: u64,
) -> Result<Vec<f32>> {
    let (offset, section) = file.part("codebook", length)?;
    let mut decoder = Decoder::new(section);
    let bits = match form {
        0 | 1 => {
            let bytes = width as usize / 8;
            code_values(&mut decoder, k, bytes, form == 0, |_| 0)
        }
        2 => {
            let mut model = IntModel::new();
            let mut order = 0i64;
            let mut bits = Vec::with_capacity(k);
            for _ in 0..k {
                order += model.code(&mut decoder, 0);
                let Some(value) = from_ordered(order, width) else {
                    let what = format!("{}: codebook", file.what);
                    return Err(damaged(
                        &what,
                        offset,
                        format!("differences within {width}-bit floats"),
                        order,
                    ));
                };
                bits.push(value);
            }
            Ok(bits)
        }
        _ => {
            let scale = f32::from_bits(decoder.code_raw(0, 32) as u32);
            let zero = decoder.code_raw(0, 8) as usize;
            Ok((0..k).map(|index| to_bits(scaled(index, zero, scale), width)).collect())
        }
    };
    let bits = file.decoded("codebook", offset, &decoder, bits)?;
    Ok(bits.into_iter().map(|bits| from_bits(bits, width)).collect())
}
