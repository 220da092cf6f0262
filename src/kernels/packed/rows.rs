//! Packed matrices row after row, some rows at a time: as files of pieces have them.
use super::{
    super::FloatElement,
    codes::{Codes, Parts},
    matrix::{HalfFloat, Numbers, Packed, matrix},
    panels::LANES,
    planes::{CHUNK, Plane},
};
use crate::{error::Checked, tensor::Shape};

impl<T: FloatElement> Packed<T> {
    /// The codes of rows, or the bits of floats, row after row, from a multiple of 16 on.
    pub(crate) fn read_rows(&self, from: usize, out: &mut [u32]) {
        let cols = self.cols();
        for (i, out) in out.chunks_mut(LANES * cols).enumerate() {
            let panel = from / LANES + i;
            match &*self.numbers {
                Numbers::F16(all) | Numbers::Bf16(all) => {
                    let all = all.get(panel * cols..(panel + 1) * cols).unwrap_or_default();
                    spread(all, cols, 0, out, |&bits| bits.into());
                }
                Numbers::Codes(codes) => codes.each_chunk(panel, |first, chunk| {
                    spread(chunk, cols, first, out, |&code| code.into());
                }),
            }
        }
    }
}

impl<T: FloatElement> Codes<T> {
    /// The codes of rows, from a multiple of 16 on.
    pub(crate) fn read_rows(&self, from: usize, out: &mut [u8]) {
        for (i, out) in out.chunks_mut(LANES * self.cols).enumerate() {
            self.each_chunk(from / LANES + i, |first, chunk| {
                spread(chunk, self.cols, first, out, |&code| code);
            });
        }
    }

    /// Calls with the first column of each part of a panel and its codes.
    fn each_chunk(&self, panel: usize, mut f: impl FnMut(usize, &[[u8; LANES]])) {
        let mut chunk = [[0; LANES]; CHUNK];
        for first in (0..self.cols).step_by(CHUNK) {
            let last = self.cols.min(first + CHUNK);
            self.spread(panel, first, last, &mut chunk);
            f(first, &chunk[..last - first]);
        }
    }
}

/// Columns of a panel into its rows, from the column `first` on.
fn spread<V, W>(
    columns: &[[V; LANES]],
    cols: usize,
    first: usize,
    out: &mut [W],
    as_number: impl Fn(&V) -> W,
) {
    for (lane, row) in out.chunks_mut(cols).enumerate() {
        let row = row.iter_mut().skip(first);
        row.zip(columns).for_each(|(out, lanes)| *out = as_number(&lanes[lane % LANES]));
    }
}

/// A matrix that is being filled.
pub(crate) struct Blank {
    shape: Shape,
    rows: usize,
    cols: usize,
    /// Bits and place of each plane of codes, none of floats.
    planes: Vec<(u32, u32, Vec<[u8; LANES]>)>,
    halves: Vec<[u16; LANES]>,
}

/// Some rows of it, a multiple of 16 but for the last.
pub(crate) struct Strip<'a> {
    cols: usize,
    planes: Vec<(u32, u32, &'a mut [[u8; LANES]])>,
    halves: &'a mut [[u16; LANES]],
}

impl Blank {
    /// For codes of so many bits, or for floats of 16.
    pub(crate) fn new(shape: &Shape, bits: Option<u32>) -> Checked<Blank> {
        let (rows, cols) = matrix(shape)?;
        let panels = rows.div_ceil(LANES);
        let mut planes = Vec::new();
        let mut shift = 0;
        for wide in [8u32, 4, 2, 1].into_iter().filter(|wide| bits.unwrap_or(0) & wide != 0) {
            planes.push((wide, shift, zeros(panels, cols.div_ceil((8 / wide) as usize))?));
            shift += wide;
        }
        let halves = if bits.is_none() { zeros(panels, cols)? } else { Vec::new() };
        Ok(Blank { shape: shape.clone(), rows, cols, planes, halves })
    }

    /// In strips of so many rows, a multiple of 16.
    pub(crate) fn strips(&mut self, rows: usize) -> Vec<Strip<'_>> {
        let (cols, each) = (self.cols, (rows / LANES).max(1));
        let mut strips: Vec<Strip> = (0..self.rows.div_ceil(each * LANES))
            .map(|_| Strip { cols, planes: Vec::new(), halves: &mut [] })
            .collect();
        for (bits, shift, bytes) in &mut self.planes {
            let width = cols.div_ceil((8 / *bits) as usize);
            for (strip, bytes) in strips.iter_mut().zip(bytes.chunks_mut(each * width)) {
                strip.planes.push((*bits, *shift, bytes));
            }
        }
        for (strip, halves) in strips.iter_mut().zip(self.halves.chunks_mut(each * cols)) {
            strip.halves = halves;
        }
        strips
    }

    /// The matrix of codes that it was filled with; of `parts` the codes aren't asked.
    pub(crate) fn into_codes<T: FloatElement>(self, parts: &Parts<'_, T>) -> Checked<Packed<T>> {
        let plane = |(bits, shift, bytes): (u32, u32, Vec<_>)| Plane { bits, shift, bytes: bytes.into() };
        let planes = self.planes.into_iter().map(plane).collect();
        let codes = Codes::of_planes((self.rows, self.cols), planes, parts)?;
        Packed::of_numbers(&self.shape, Numbers::Codes(codes))
    }

    /// The matrix of floats that it was filled with.
    pub(crate) fn into_half<T: FloatElement>(self, kind: HalfFloat) -> Checked<Packed<T>> {
        let numbers = match kind {
            HalfFloat::F16 => Numbers::F16(self.halves.into()),
            HalfFloat::Bf16 => Numbers::Bf16(self.halves.into()),
        };
        Packed::of_numbers(&self.shape, numbers)
    }
}

fn zeros<V: Copy + Default>(panels: usize, width: usize) -> Checked<Vec<[V; LANES]>> {
    let mut all = Vec::new();
    let count = panels.checked_mul(width).filter(|&count| all.try_reserve_exact(count).is_ok());
    let count = count.ok_or_else(|| format!("{panels} panels of {width} numbers don't fit memory"))?;
    all.resize(count, [V::default(); LANES]);
    Ok(all)
}

impl Strip<'_> {
    /// Fills it with codes, row after row.
    pub(crate) fn fill(&mut self, codes: &[u8]) {
        let cols = self.cols;
        for (bits, shift, bytes) in &mut self.planes {
            let (each, mask) = ((8 / *bits) as usize, ((1u32 << *bits) - 1) as u8);
            let width = cols.div_ceil(each);
            for (panel, codes) in bytes.chunks_mut(width).zip(codes.chunks(LANES * cols)) {
                for (lane, row) in codes.chunks_exact(cols).enumerate() {
                    for (bytes, codes) in panel.iter_mut().zip(row.chunks(each)) {
                        let joined = codes.iter().rev().fold(0, |all: u8, code| {
                            all.checked_shl(*bits).unwrap_or(0) | (code >> *shift & mask)
                        });
                        bytes[lane % LANES] = joined;
                    }
                }
            }
        }
    }

    /// Fills it with the bits of floats, row after row.
    pub(crate) fn fill_halves(&mut self, numbers: &[u32]) {
        let cols = self.cols;
        for (panel, numbers) in self.halves.chunks_mut(cols).zip(numbers.chunks(LANES * cols)) {
            for (lane, row) in numbers.chunks_exact(cols).enumerate() {
                panel.iter_mut().zip(row).for_each(|(lanes, &bits)| lanes[lane % LANES] = bits as u16);
            }
        }
    }
}
