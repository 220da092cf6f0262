//! Matrices whose numbers take fewer bits than a float: what they hold, and how it becomes floats again. They lie in
//! panels of 16 rows, the numbers of one column side by side, so that a product with few rows runs over them as they
//! are stored; such products are in `product`.
mod codes;
mod held;
mod product;
#[cfg(test)]
mod tests;

pub use codes::Codes;
pub(crate) use codes::{Parts, Values};
pub(crate) use product::{back, products};

use super::{FloatElement, prefetch, vectorised::vectorised};
use crate::{
    error::Checked,
    real::half::{bf16_bits_to_f32, f16_bits_to_f32, f32_to_bf16_bits, f32_to_f16_bits},
    tensor::{Shape, Tensor, shape::addressable},
    threads::for_chunks,
};
use std::fmt;

/// Rows of a panel.
pub(crate) const LANES: usize = 16;

/// A tensor's elements in fewer bits than floats have. The first axis are the rows of a matrix, all others its
/// columns.
pub struct Packed<T> {
    shape: Shape,
    rows: usize,
    cols: usize,
    pub(super) numbers: Numbers<T>,
}

/// How they are held; 16 rows of each column side by side.
pub(super) enum Numbers<T> {
    /// IEEE half precision.
    F16(Vec<[u16; LANES]>),
    /// The upper half of a float of 32 bits.
    Bf16(Vec<[u16; LANES]>),
    Codes(Codes<T>),
}

/// Two kinds of floats in 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HalfFloat {
    /// IEEE 754's binary16: 11 digits, up to 65,504.
    F16,
    /// The upper half of an `f32`: 8 digits, the same range.
    Bf16,
}

/// Rows and columns of a tensor taken as a matrix.
fn matrix(shape: &Shape) -> Checked<(usize, usize)> {
    let [rows, rest @ ..] = &shape[..] else { return Err("a tensor of rank 0 has no rows".into()) };
    if rest.is_empty() || shape.numel() == 0 {
        return Err(format!("{shape}: takes two axes or more, and elements"));
    }
    addressable(shape)?;
    Ok((*rows, rest.iter().product()))
}

/// A list in panels: for each 16 rows, column by column, what `of` says of row and column, and 0 behind the last row.
fn panels<V: Copy + Default>(
    rows: usize,
    cols: usize,
    of: impl Fn(usize, usize) -> V,
) -> Checked<Vec<[V; LANES]>> {
    let count = rows.div_ceil(LANES).checked_mul(cols);
    let mut all = Vec::new();
    let Some(count) = count.filter(|&count| all.try_reserve_exact(count).is_ok()) else {
        return Err(format!("{rows} rows of {cols} numbers don't fit memory"));
    };
    for row in (0..rows).step_by(LANES) {
        all.extend((0..cols).map(|col| {
            let mut lanes = [V::default(); LANES];
            let there = lanes.iter_mut().take(rows - row).enumerate();
            there.for_each(|(lane, v)| *v = of(row + lane, col));
            lanes
        }));
    }
    debug_assert_eq!(all.len(), count);
    Ok(all)
}

impl<T: FloatElement> Packed<T> {
    /// The elements rounded to floats of 16 bits.
    pub(crate) fn half(x: &Tensor<T>, kind: HalfFloat) -> Checked<Packed<T>> {
        let (rows, cols) = matrix(x.shape())?;
        let source = x.contiguous().made()?;
        let values = source.as_slice().unwrap_or_default();
        let at = |row: usize, col: usize| values.get(row * cols + col).map_or(0.0, |v| v.to_f64() as f32);
        let numbers = match kind {
            HalfFloat::F16 => Numbers::F16(panels(rows, cols, |i, j| f32_to_f16_bits(at(i, j)))?),
            HalfFloat::Bf16 => Numbers::Bf16(panels(rows, cols, |i, j| f32_to_bf16_bits(at(i, j)))?),
        };
        Ok(Packed { shape: x.shape().clone(), rows, cols, numbers })
    }

    /// Codes of a tensor of this shape.
    pub(crate) fn of_codes(shape: &Shape, parts: &Parts<'_, T>) -> Checked<Packed<T>> {
        let (rows, cols) = matrix(shape)?;
        let numbers = Numbers::Codes(Codes::new((rows, cols), parts)?);
        Ok(Packed { shape: shape.clone(), rows, cols, numbers })
    }

    /// The sizes of the axes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes that are held.
    pub fn bytes(&self) -> usize {
        match &self.numbers {
            Numbers::F16(all) | Numbers::Bf16(all) => size_of_val(&all[..]),
            Numbers::Codes(codes) => codes.bytes(),
        }
    }

    /// The codes, unless they are floats of 16 bits.
    pub fn codes(&self) -> Option<&Codes<T>> {
        match &self.numbers {
            Numbers::Codes(codes) => Some(codes),
            _ => None,
        }
    }

    /// Which floats of 16 bits they are, unless they are codes.
    pub fn half_float(&self) -> Option<HalfFloat> {
        match &self.numbers {
            Numbers::F16(_) => Some(HalfFloat::F16),
            Numbers::Bf16(_) => Some(HalfFloat::Bf16),
            Numbers::Codes(_) => None,
        }
    }

    /// The columns `from..to` of a panel of rows: `out[(k - from) * stride + lane]`; `from` is a multiple of 8.
    pub(super) fn unpack(&self, panel: usize, from: usize, to: usize, out: &mut [T], stride: usize) {
        let place = panel * self.cols;
        match &self.numbers {
            Numbers::F16(all) => f16(&all[place + from..place + to], out, stride),
            Numbers::Bf16(all) => bf16(&all[place + from..place + to], out, stride),
            Numbers::Codes(codes) => codes.unpack(panel, from, to, out, stride),
        }
    }

    /// Asks for the columns `from..to` of a panel to be brought near, and of a panel behind the last one for nothing.
    pub(super) fn ask(&self, panel: usize, from: usize, to: usize) {
        let place = panel * self.cols;
        match &self.numbers {
            Numbers::F16(all) | Numbers::Bf16(all) => ask(all, place + from, place + to),
            Numbers::Codes(codes) => codes.ask(panel, from, to),
        }
    }

    /// One row, in order.
    pub(crate) fn row(&self, row: usize, out: &mut [T]) {
        let mut some = [T::constant(0.0); 64 * LANES];
        for from in (0..self.cols).step_by(64) {
            let to = self.cols.min(from + 64);
            self.unpack(row / LANES, from, to, &mut some, LANES);
            for (out, lanes) in out[from..to].iter_mut().zip(some.as_chunks::<LANES>().0) {
                *out = lanes[row % LANES];
            }
        }
    }

    /// All elements, row after row.
    fn write(&self, out: &mut [T]) {
        let panel = LANES * self.cols;
        for_chunks(out, panel * (1usize << 16).div_ceil(panel), |start, out| {
            let mut some = [T::constant(0.0); 64 * LANES];
            for (i, out) in out.chunks_mut(panel).enumerate() {
                for from in (0..self.cols).step_by(64) {
                    let to = self.cols.min(from + 64);
                    self.unpack(start / panel + i, from, to, &mut some, LANES);
                    for (lane, row) in out.chunks_exact_mut(self.cols).enumerate() {
                        let lanes = some.as_chunks::<LANES>().0.iter();
                        row[from..to].iter_mut().zip(lanes).for_each(|(out, lanes)| *out = lanes[lane]);
                    }
                }
            }
        });
    }
}

/// Asks for the places `from..to` of a list, as far as it has them.
fn ask<V>(list: &[V], from: usize, to: usize) {
    let part = list.get(from..to.min(list.len())).unwrap_or_default();
    prefetch::<_, 3>(part.as_ptr(), part.len());
}

vectorised! {
    fn bf16(all: &[[u16; LANES]], out: &mut [T], stride: usize) {
        for (out, lanes) in out.chunks_mut(stride).zip(all) {
            for (out, &bits) in out[..LANES].iter_mut().zip(lanes) {
                *out = T::from_f32(bf16_bits_to_f32(bits));
            }
        }
    }
}

vectorised! {
    fn f16(all: &[[u16; LANES]], out: &mut [T], stride: usize) {
        for (out, lanes) in out.chunks_mut(stride).zip(all) {
            for (out, &bits) in out[..LANES].iter_mut().zip(lanes) {
                *out = T::from_f32(f16_bits_to_f32(bits));
            }
        }
    }
}

impl<T> fmt::Debug for Packed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match &self.numbers {
            Numbers::F16(_) => "f16".to_string(),
            Numbers::Bf16(_) => "bf16".to_string(),
            Numbers::Codes(codes) => format!("{codes:?}"),
        };
        write!(f, "Packed({}, {form})", self.shape)
    }
}
