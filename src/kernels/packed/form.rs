//! What a file says of a packed matrix, beside its bytes.
use super::{
    super::FloatElement,
    codes::{Codes, Values},
    list::{List, Piece, bytes},
    panels::LANES,
    planes::Plane,
    scales::Scales,
};
use crate::error::Checked;
use serde::{Deserialize, Serialize};

/// How numbers are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    F16,
    Bf16,
    Codes(Coded),
}

/// How codes are held. Their pieces, in this order: planes, of 4, 2 and 1 bits where there are several; the
/// table, 256 values; scales; zero points; offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Coded {
    bits: u32,
    /// What is added to a code, unless there is a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    low: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pruned: Option<u8>,
    group: usize,
    /// Bits of a scale; 0 without scales.
    scales: usize,
    zeros: bool,
    /// Bits of an offset; 0 without offsets.
    offsets: usize,
}

impl Coded {
    pub(super) fn of<T: FloatElement>(codes: &Codes<T>) -> (Coded, Vec<&[u8]>) {
        let mut pieces: Vec<&[u8]> = codes.planes.iter().map(|plane| plane.bytes.bytes()).collect();
        let low = match &codes.values {
            Values::From(low) => Some(*low),
            Values::Table(table) => {
                pieces.push(bytes(table.as_chunks().0));
                None
            }
        };
        let bits = |scales: &Option<Scales<T>>| scales.as_ref().map_or(0, Scales::bits);
        let (scales, offsets) = (bits(&codes.scales), bits(&codes.offsets));
        pieces.extend(codes.scales.as_ref().map(Scales::raw));
        pieces.extend(codes.zeros.as_ref().map(List::bytes));
        pieces.extend(codes.offsets.as_ref().map(Scales::raw));
        let Codes { bits, pruned, group, .. } = *codes;
        (Coded { bits, low, pruned, group, scales, zeros: codes.zeros.is_some(), offsets }, pieces)
    }

    pub(super) fn of_pieces<T: FloatElement>(
        &self,
        (rows, cols): (usize, usize),
        pieces: &[Piece],
    ) -> Checked<Codes<T>> {
        let Coded { bits, low, pruned, group, .. } = *self;
        if !(1..=8).contains(&bits) {
            return Err(format!("{bits} bits: takes 1 to 8"));
        }
        let mut left = pieces.iter();
        let mut next = || left.next().ok_or_else(|| format!("{} pieces are too few", pieces.len()));
        let panels = rows.div_ceil(LANES);
        let (mut planes, mut shift) = (Vec::new(), 0);
        for wide in [8u32, 4, 2, 1].into_iter().filter(|wide| bits & wide != 0) {
            let len = panels.saturating_mul(cols.div_ceil((8 / wide) as usize));
            planes.push(Plane { bits: wide, shift, bytes: List::mapped(next()?, len)? });
            shift += wide;
        }
        let values = match low {
            Some(low) if low.abs() < 1 << 20 => Values::From(low),
            Some(low) => return Err(format!("{low} is no lowest value of codes")),
            None => {
                let list: List<T> = List::mapped(next()?, 256 / LANES)?;
                let flat = list.as_flattened();
                Values::Table(Box::new(std::array::from_fn(|i| flat[i])))
            }
        };
        let groups = if group == 0 { 1 } else { panels.saturating_mul(cols.div_ceil(group)) };
        let scales = Scales::of_piece(self.scales, groups, &mut next)?;
        let zeros = if self.zeros { Some(List::mapped(next()?, groups)?) } else { None };
        let offsets = Scales::of_piece(self.offsets, groups, &mut next)?;
        if left.next().is_some() {
            return Err(format!("{} pieces are too many", pieces.len()));
        }
        Ok(Codes { bits, rows, cols, planes, values, pruned, group, scales, zeros, offsets })
    }
}
