//! Integers of one to eight bits that stand for numbers: in planes of 1, 2, 4 or 8 bits, each 16 rows side by
//! side, with step sizes and offsets that groups of a row share.
use super::{
    super::{
        FloatElement,
        vectorised::{MulAdd, vectorised},
    },
    dots::BLOCK,
    list::List,
    panels::{LANES, ask, panels},
    planes::{CHUNK, Chunk, Plane, join},
    scales::{Groups, Scales},
};
use crate::error::Checked;
use std::{fmt, ops::Range};

/// Integers of 1 to 8 bits, and what each is worth: `(value(code) - zero point) · scale + offset`.
pub struct Codes<T> {
    pub(super) bits: u32,
    pub(super) rows: usize,
    pub(super) cols: usize,
    /// Of 5 bits a plane of 4 and one of 1, and so on.
    pub(super) planes: Vec<Plane>,
    pub(super) values: Values<T>,
    /// The code of weights that were pruned.
    pub(super) pruned: Option<u8>,
    /// Neighbours of a row that share a scale and an offset; 0 for one of each for all.
    pub(super) group: usize,
    pub(super) scales: Option<Scales<T>>,
    pub(super) zeros: Option<List<u8>>,
    pub(super) offsets: Option<Scales<T>>,
}

/// What a code is worth before it is scaled.
#[derive(Clone)]
pub(crate) enum Values<T> {
    /// The code plus this.
    From(i32),
    Table(Box<[T; 256]>),
}

/// What codes are made of, row after row.
pub(crate) struct Parts<'a, T> {
    pub bits: u32,
    pub codes: &'a dyn Fn(usize) -> u8,
    pub values: Values<T>,
    pub pruned: Option<u8>,
    /// Neighbours of a row that share a scale and an offset; 0 for one of each for all.
    pub group: usize,
    pub scales: Option<&'a [T]>,
    /// Of codes that aren't looked up in a table.
    pub zeros: Option<&'a [u8]>,
    pub offsets: Option<&'a [T]>,
}

impl<T: FloatElement> Codes<T> {
    pub(super) fn new((rows, cols): (usize, usize), parts: &Parts<'_, T>) -> Checked<Codes<T>> {
        let bits = parts.bits;
        if !(1..=8).contains(&bits) {
            return Err(format!("{bits} bits: takes 1 to 8"));
        }
        let mut planes = Vec::new();
        let mut shift = 0;
        for wide in [8u32, 4, 2, 1].into_iter().filter(|wide| bits & wide != 0) {
            let (each, mask) = ((8 / wide) as usize, ((1u32 << wide) - 1) as u8);
            let byte = |row: usize, at: usize| {
                let some = (0..each).map(|i| (i, at * each + i)).filter(|(_, col)| *col < cols);
                some.fold(0, |byte, (i, col)| {
                    byte | ((parts.codes)(row * cols + col) >> shift & mask) << (i as u32 * wide)
                })
            };
            planes.push(Plane { bits: wide, shift, bytes: panels(rows, cols.div_ceil(each), byte)?.into() });
            shift += wide;
        }
        Codes::of_planes((rows, cols), planes, parts)
    }

    /// Codes that are there already, in the planes of so many bits.
    pub(super) fn of_planes(
        (rows, cols): (usize, usize),
        planes: Vec<Plane>,
        parts: &Parts<'_, T>,
    ) -> Checked<Codes<T>> {
        let Parts { bits, group, .. } = *parts;
        let scales = |list: Option<&[T]>| match (list, group) {
            (None, _) => Ok(None),
            // In all lanes, though there is but one row of them.
            (Some(list), 0) => Scales::new(LANES, 1, &repeated(list)).map(Some),
            (Some(list), _) => Scales::new(rows, cols.div_ceil(group), list).map(Some),
        };
        let (scales, offsets) = (scales(parts.scales)?, scales(parts.offsets)?);
        let zeros = match (parts.zeros, group) {
            (None, _) => None,
            (Some(list), 0) => Some(vec![repeated(list)].into()),
            (Some(list), _) => {
                let groups = cols.div_ceil(group);
                let at = |row: usize, group: usize| list.get(row * groups + group).copied().unwrap_or(0);
                Some(panels(rows, groups, at)?.into())
            }
        };
        let (values, pruned) = (parts.values.clone(), parts.pruned);
        Ok(Codes { bits, rows, cols, planes, values, pruned, group, scales, zeros, offsets })
    }

    /// Bits of a code.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// Neighbours of a row that share a scale and an offset, a row being an index of the first axis; 0 for
    /// one of each for all.
    pub fn group(&self) -> usize {
        self.group
    }

    /// The codes, row after row.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = vec![0; self.rows * self.cols];
        for Plane { bits, shift, bytes } in &self.planes {
            let each = (8 / bits) as usize;
            for (i, code) in all.iter_mut().enumerate() {
                let (row, col) = (i / self.cols, i % self.cols);
                let byte = bytes[row / LANES * self.cols.div_ceil(each) + col / each][row % LANES];
                *code |= (byte >> ((col % each) as u32 * bits) & ((1u32 << bits) - 1) as u8) << shift;
            }
        }
        all
    }

    /// What a code is worth before it is scaled.
    pub fn value(&self, code: u8) -> T {
        match &self.values {
            Values::From(low) => T::constant(f64::from(i32::from(code) + low)),
            Values::Table(table) => table[usize::from(code)],
        }
    }

    /// The code of weights that were pruned, if some were: it is worth 0.
    pub fn pruned(&self) -> Option<u8> {
        self.pruned
    }

    /// The scales, row after row, if there are some.
    pub fn scales(&self) -> Option<Vec<T>> {
        self.scales.as_ref().map(|scales| self.list(scales))
    }

    /// What is added to scaled values, row after row, if there is something.
    pub fn offsets(&self) -> Option<Vec<T>> {
        self.offsets.as_ref().map(|offsets| self.list(offsets))
    }

    /// The zero points, row after row, if there are some: a code less its zero point is scaled.
    pub fn zero_points(&self) -> Option<Vec<u8>> {
        self.zeros.as_ref().map(|zeros| self.each(|place| zeros[place]))
    }

    fn list(&self, scales: &Scales<T>) -> Vec<T> {
        self.each(|place| scales.at(place))
    }

    /// What all groups have, row after row.
    fn each<V: Copy>(&self, at: impl Fn(usize) -> [V; LANES]) -> Vec<V> {
        if self.group == 0 {
            return vec![at(0)[0]];
        }
        let groups = self.cols.div_ceil(self.group);
        let of = |i: usize| at(i / groups / LANES * groups + i % groups)[i / groups % LANES];
        (0..self.rows * groups).map(of).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        let planes = self.planes.iter().map(|plane| size_of_val(&plane.bytes[..])).sum::<usize>();
        let table = if let Values::Table(_) = self.values { 256 * size_of::<T>() } else { 0 };
        let shared = [&self.scales, &self.offsets].into_iter().flatten().map(Scales::bytes).sum::<usize>();
        planes + table + shared + self.zeros.as_ref().map_or(0, |zeros| size_of_val(&zeros[..]))
    }

    /// As [`Packed::ask`](super::Packed::ask).
    pub(super) fn ask(&self, panel: usize, from: usize, to: usize) {
        for plane in &self.planes {
            let each = (8 / plane.bits) as usize;
            let panel = panel * self.cols.div_ceil(each);
            ask(&plane.bytes, panel + from / each, panel + to.div_ceil(each));
        }
        self.worth().ask(panel, from, to);
    }

    /// As [`Packed::unpack`](super::Packed::unpack).
    pub(super) fn unpack(&self, panel: usize, from: usize, to: usize, out: &mut [T], stride: usize) {
        let (mut bytes, mut scaling) = ([[0; LANES]; CHUNK], Scaling::default());
        for first in (from..to).step_by(CHUNK) {
            let last = to.min(first + CHUNK);
            self.spread(panel, first, last, &mut bytes);
            for part in self.parts(first, last) {
                self.scaling(panel, part.start, &mut scaling);
                let bytes = &bytes[part.start - first..part.end - first];
                numbers(self, &scaling, bytes, &mut out[(part.start - from) * stride..], stride);
            }
        }
    }

    /// Why products with these codes don't take bytes, if so: sums of whole numbers are to be whole as floats, and
    /// scales those of whole blocks.
    pub(super) fn takes_bytes(&self) -> Checked<()> {
        if !matches!(self.values, Values::From(low) if low.abs() <= 256) {
            return Err("codes that stand for values of a table, not for whole numbers of steps".into());
        }
        let group = self.group;
        if group > 0 && group < self.cols && !group.is_multiple_of(BLOCK) {
            return Err(format!("groups of {group} codes: takes multiples of {BLOCK}, or a row"));
        }
        Ok(())
    }

    /// Whether codes are worth themselves, but for what is added.
    pub(crate) fn in_a_row(&self) -> bool {
        matches!(self.values, Values::From(_))
    }

    /// The codes of the columns `from..to` of a panel, which are at most [`CHUNK`].
    pub(super) fn spread(&self, panel: usize, from: usize, to: usize, bytes: &mut Chunk) {
        for (i, plane) in self.planes.iter().enumerate() {
            let each = (8 / plane.bits) as usize;
            let panel = panel * self.cols.div_ceil(each);
            let packed = &plane.bytes[panel + from / each..panel + to.div_ceil(each)];
            join(packed, plane.bits, plane.shift, i > 0, bytes);
        }
    }

    /// The columns `from..to` in parts that share scales.
    pub(super) fn parts(&self, from: usize, to: usize) -> impl Iterator<Item = Range<usize>> {
        let length = if self.group == 0 { self.cols } else { self.group };
        let mut at = from;
        std::iter::from_fn(move || {
            let part = at..to.min((at / length + 1) * length);
            at = part.end;
            (!part.is_empty()).then_some(part)
        })
    }

    /// What the codes of a column of a panel are worth.
    pub(super) fn scaling(&self, panel: usize, column: usize, to: &mut Scaling<T>) {
        scales_at(&self.worth(), panel, column, to);
    }
}

/// What a panel's codes are worth: `(code + low) · scale + offset`.
#[derive(Clone, Copy)]
pub(super) struct Scaling<T> {
    pub low: [T; LANES],
    pub scale: [T; LANES],
    pub offset: [T; LANES],
}

impl<T: FloatElement> Default for Scaling<T> {
    fn default() -> Scaling<T> {
        let all = |v: f64| [T::constant(v); LANES];
        Scaling { low: all(0.0), scale: all(1.0), offset: all(0.0) }
    }
}

vectorised! {
    fn scales_at(worth: &Worth<'_, T>, panel: usize, column: usize, to: &mut Scaling<T>) {
        worth.read(worth.place(panel, column), to);
    }
}

/// What codes are worth, where the lists of it lie: to find these anew takes as long as a group.
#[derive(Clone, Copy)]
pub(super) struct Worth<'a, T> {
    /// Columns that share a place, and places of a panel; 0 where all share one.
    columns: usize,
    places: usize,
    pub first: Option<i32>,
    pub zeros: Option<&'a [[u8; LANES]]>,
    pub scales: Option<Groups<'a, T>>,
    pub offsets: Option<Groups<'a, T>>,
}

impl<T: FloatElement> Codes<T> {
    pub(super) fn worth(&self) -> Worth<'_, T> {
        Worth {
            columns: self.group,
            places: if self.group == 0 { 0 } else { self.cols.div_ceil(self.group) },
            first: if let Values::From(first) = self.values { Some(first) } else { None },
            zeros: self.zeros.as_deref(),
            scales: self.scales.as_ref().map(Scales::groups),
            offsets: self.offsets.as_ref().map(Scales::groups),
        }
    }
}

impl<T: FloatElement> Worth<'_, T> {
    /// The place of a panel's column.
    #[inline(always)]
    pub(super) fn place(&self, panel: usize, column: usize) -> usize {
        panel * self.places + column.checked_div(self.columns).unwrap_or(0)
    }

    #[inline(always)]
    pub(super) fn read(&self, place: usize, to: &mut Scaling<T>) {
        if let Some(first) = self.first {
            to.low = [T::constant(f64::from(first)); LANES];
        }
        if let Some(zeros) = self.zeros {
            for (low, &zero) in to.low.iter_mut().zip(&zeros[place]) {
                *low = *low - T::from_small(zero);
            }
        }
        if let Some(scales) = self.scales {
            scales.read(place, &mut to.scale);
        }
        if let Some(offsets) = self.offsets {
            offsets.read(place, &mut to.offset);
        }
    }

    /// Asks for the scales and offsets of the columns `from..to` of a panel, if there is one.
    #[inline(always)]
    pub(super) fn ask(&self, panel: usize, from: usize, to: usize) {
        if to > from && self.columns > 0 {
            let places = self.place(panel, from)..self.place(panel, to - 1) + 1;
            for scales in [self.scales, self.offsets].into_iter().flatten() {
                match scales {
                    Groups::Full(all) => ask(all, places.start, places.end),
                    Groups::F16(all) => ask(all, places.start, places.end),
                }
            }
        }
    }
}

vectorised! {
    /// Codes of columns that share scales and offsets as numbers.
    fn numbers fused fma (
        codes: &Codes<T>, scaling: &Scaling<T>, bytes: &[[u8; LANES]], out: &mut [T], stride: usize
    ) {
        let Scaling { low, scale, offset } = *scaling;
        let out = out.chunks_mut(stride).zip(bytes);
        match &codes.values {
            Values::From(_) => {
                for (out, bytes) in out {
                    let mut worth = [T::constant(0.0); LANES];
                    for k in 0..LANES {
                        worth[k] = fma.of(T::from_small(bytes[k]) + low[k], scale[k], offset[k]);
                    }
                    out[..LANES].copy_from_slice(&worth);
                }
            }
            Values::Table(table) => {
                // Alone, values are what they are in the table, to the sign of a zero.
                let plain = codes.scales.is_none() && codes.offsets.is_none();
                for (out, bytes) in out {
                    let mut worth = [T::constant(0.0); LANES];
                    for k in 0..LANES {
                        worth[k] = table[usize::from(bytes[k])];
                    }
                    if !plain {
                        for k in 0..LANES {
                            worth[k] = fma.of(worth[k], scale[k], offset[k]);
                        }
                    }
                    out[..LANES].copy_from_slice(&worth);
                }
            }
        }
    }
}

/// The first of a list in all lanes.
fn repeated<V: Copy + Default>(list: &[V]) -> [V; LANES] {
    [list.first().copied().unwrap_or_default(); LANES]
}

impl<T> fmt::Debug for Codes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Codes { bits, rows, cols, group, .. } = self;
        write!(f, "{rows} x {cols} codes of {bits} bits")?;
        let shared = match (&self.scales, &self.zeros, &self.offsets) {
            (None, None, None) => return Ok(()),
            (_, None, None) => "scale",
            (_, _, None) => "scale and zero point",
            _ => "scale and offset",
        };
        match group {
            0 => write!(f, ", one {shared}"),
            group => write!(f, ", a {shared} for each {group}"),
        }
    }
}
