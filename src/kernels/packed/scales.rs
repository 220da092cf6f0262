//! Numbers that groups of a row share: step sizes and offsets.
use super::{
    super::FloatElement,
    list::{List, Piece},
    panels::{LANES, panels},
};
use crate::{
    error::Checked,
    real::half::{f16_bits_to_f32, f32_to_f16_bits},
};

/// A number for each group of columns and each row, of a panel side by side.
pub(super) enum Scales<T> {
    F16(List<u16>),
    Full(List<T>),
}

impl<T: FloatElement> Scales<T> {
    /// In half precision where it holds all of them exactly.
    pub(super) fn new(rows: usize, groups: usize, list: &[T]) -> Checked<Scales<T>> {
        let half = |v: T| f32_to_f16_bits(v.to_f64() as f32);
        let fits = |v: T| f64::from(f16_bits_to_f32(half(v))).to_bits() == v.to_f64().to_bits();
        let at = |row: usize, group: usize| list.get(row * groups + group).copied().unwrap_or_default();
        Ok(if list.iter().all(|&v| fits(v)) {
            Scales::F16(panels(rows, groups, |row, group| half(at(row, group)))?.into())
        } else {
            Scales::Full(panels(rows, groups, at)?.into())
        })
    }

    pub(super) fn at(&self, place: usize) -> [T; LANES] {
        match self {
            Scales::Full(all) => all[place],
            Scales::F16(all) => all[place].map(|bits| T::from_f32(f16_bits_to_f32(bits))),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.raw().len()
    }

    /// Bits of each.
    pub(super) fn bits(&self) -> usize {
        match self {
            Scales::Full(_) => 8 * size_of::<T>(),
            Scales::F16(_) => 16,
        }
    }

    /// The bytes that a file is to have.
    pub(super) fn raw(&self) -> &[u8] {
        match self {
            Scales::Full(all) => all.bytes(),
            Scales::F16(all) => all.bytes(),
        }
    }

    /// So many of so many bits in a file; none of 0 bits.
    pub(super) fn of_piece<'a>(
        bits: usize,
        len: usize,
        next: &mut impl FnMut() -> Checked<&'a Piece>,
    ) -> Checked<Option<Scales<T>>> {
        match bits {
            0 => Ok(None),
            16 => Ok(Some(Scales::F16(List::mapped(next()?, len)?))),
            wide if wide == 8 * size_of::<T>() => Ok(Some(Scales::Full(List::mapped(next()?, len)?))),
            wide => Err(format!("numbers of {wide} bits beside weights of {}", T::NAME)),
        }
    }
}

/// Those of all groups, where they lie.
#[derive(Clone, Copy)]
pub(super) enum Groups<'a, T> {
    F16(&'a [[u16; LANES]]),
    Full(&'a [[T; LANES]]),
}

impl<T: FloatElement> Scales<T> {
    pub(super) fn groups(&self) -> Groups<'_, T> {
        match self {
            Scales::Full(all) => Groups::Full(all),
            Scales::F16(all) => Groups::F16(all),
        }
    }
}

impl<T: FloatElement> Groups<'_, T> {
    #[inline(always)]
    pub(super) fn read(self, place: usize, to: &mut [T; LANES]) {
        match self {
            Groups::Full(all) => *to = all[place],
            Groups::F16(all) => {
                let bits = &all[place];
                for k in 0..LANES {
                    to[k] = T::from_f32(f16_bits_to_f32(bits[k]));
                }
            }
        }
    }
}
