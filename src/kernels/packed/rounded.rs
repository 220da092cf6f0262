//! Products whose inputs are rounded to bytes. Integers meet integers, 32 columns at a time, which is exact; what
//! comes of it is scaled and added in floats, in one order and without fused steps. So the bits are the same on
//! every machine, and a row's don't hang on how many rows are computed with it.
#[cfg(target_arch = "x86_64")]
use super::vnni;
use super::{
    super::{FloatElement, compact::bytes, vectorised::for_machine},
    codes::{Codes, Scaling, Worth},
    dots::{BLOCK, Row, Sums, WORDS, dots},
    panels::LANES,
    planes::Plane,
    tasks::{Columns, shared},
};
use crate::{error::Checked, tensor::Unfilled, threads::for_chunks};

/// Rows that meet the same codes while these are in registers.
const ROWS: usize = 4;
/// Elements worth a task.
const GRAIN: usize = 1 << 15;
/// How many multiply-adds with bytes take as long as one with floats.
const FASTER: usize = 4;
/// Rows of an input in bytes.
struct Rounded {
    /// For each row as [`Row`] has it.
    words: Unfilled<i32>,
    blocks: usize,
}

impl Rounded {
    fn new<T: FloatElement>(x: &[T], codes: &Codes<T>) -> Checked<Rounded> {
        let (cols, planes) = (codes.cols.max(1), &codes.planes);
        let blocks = cols.div_ceil(BLOCK);
        let width = blocks * (2 + planes.len() * WORDS);
        let mut words = Unfilled::new([x.len() / cols, width].into()).made()?;
        for_chunks(words.as_mut_slice(), width * GRAIN.div_ceil(cols), |start, words| {
            let rows = x[start / width * cols..].chunks_exact(cols);
            for (words, x) in words.chunks_exact_mut(width).zip(rows) {
                let mut block = [0.0; BLOCK];
                for (at, x) in x.chunks(BLOCK).enumerate() {
                    block.fill(0.0);
                    block.iter_mut().zip(x).for_each(|(to, v)| *to = v.to_f64() as f32);
                    round(&block, planes, at, blocks, words);
                }
            }
        });
        Ok(Rounded { words, blocks })
    }

    fn row(words: &[i32], blocks: usize) -> Row<'_> {
        let (steps, rest) = words.split_at(blocks.min(words.len()));
        let (sums, bytes) = rest.split_at(blocks.min(rest.len()));
        Row { steps, sums, bytes: bytes.as_chunks().0 }
    }
}

/// A block's step, sum and bytes, to the places of a row.
fn round(x: &[f32; BLOCK], planes: &[Plane], at: usize, blocks: usize, words: &mut [i32]) {
    for_machine!(rounded(x: &[f32; BLOCK], planes: &[Plane], at: usize, blocks: usize, words: &mut [i32]))
}

#[inline(always)]
fn rounded(x: &[f32; BLOCK], planes: &[Plane], at: usize, blocks: usize, words: &mut [i32]) {
    let mut codes = [0i8; BLOCK];
    words[at] = bytes(x, &mut codes).to_bits() as i32;
    words[blocks + at] = codes.iter().map(|&code| i32::from(code)).sum();
    let all = words[2 * blocks..].as_chunks_mut::<WORDS>().0;
    for (plane, words) in planes.iter().zip(all.chunks_mut(blocks)) {
        match plane.bits {
            8 => in_order::<8>(&codes, &mut words[at]),
            4 => in_order::<4>(&codes, &mut words[at]),
            2 => in_order::<2>(&codes, &mut words[at]),
            _ => in_order::<1>(&codes, &mut words[at]),
        }
    }
}

/// Bytes in the order of codes in a plane of so many bits.
#[inline(always)]
fn in_order<const BITS: usize>(codes: &[i8; BLOCK], words: &mut [i32; WORDS]) {
    let each = 8 / BITS;
    // Those that come first in their bytes, and so on.
    let mut parts = [[0; BLOCK]; 8];
    for (i, part) in parts[..each].iter_mut().enumerate() {
        for k in 0..BLOCK / each {
            part[k] = codes[k * each + i] as u8;
        }
    }
    for (i, word) in words.iter_mut().enumerate() {
        *word = i32::from_le_bytes(parts[i % each].as_chunks().0[i / each]);
    }
}

/// `out = x wᵀ + bias` for rows of `x`, which are rounded.
pub(super) fn products<T: FloatElement>(
    x: &[T],
    codes: &Codes<T>,
    bias: Option<&[T]>,
    out: &mut [T],
) -> Checked<()> {
    let (n, outputs) = (x.len() / codes.cols.max(1), codes.rows);
    let mut x = Rounded::new(x, codes)?;
    let (blocks, width) = (x.blocks, x.blocks * (2 + codes.planes.len() * WORDS));
    let words = &*x.words.as_mut_slice();
    let row = |at: usize| Rounded::row(words.get(at * width..(at + 1) * width).unwrap_or_default(), blocks);
    let columns = Columns::new(out, outputs);
    let work = n.saturating_mul(outputs).saturating_mul(codes.cols) / FASTER;
    let view = View::new(codes);
    shared(outputs.div_ceil(LANES), work, |panels| {
        for panel in panels {
            let size = LANES.min(outputs - panel * LANES);
            let mut start = [T::constant(0.0); LANES];
            if let Some(bias) = bias {
                start[..size].copy_from_slice(&bias[panel * LANES..][..size]);
            }
            let write = |at: usize, sums: &[T; LANES]| {
                // SAFETY: each panel has columns of its own.
                unsafe { columns.write(at, panel * LANES, &sums[..size]) };
            };
            view.worth.ask(panel + 1, 0, codes.cols);
            let mut at = 0;
            while at + ROWS <= n {
                let sums = some(&view, panel, std::array::from_fn::<_, ROWS, _>(|i| row(at + i)), start);
                sums.iter().enumerate().for_each(|(i, sums)| write(at + i, sums));
                at += ROWS;
            }
            for at in at..n {
                write(at, &some(&view, panel, [row(at)], start)[0]);
            }
        }
        Ok(())
    })
}

/// Some rows with a panel of 16 outputs, whose sums begin with `start`.
fn some<T: FloatElement, const R: usize>(
    codes: &View<T>,
    panel: usize,
    x: [Row; R],
    start: [T; LANES],
) -> [[T; LANES]; R] {
    #[cfg(target_arch = "x86_64")]
    if let Some(codes) = &codes.floats {
        let sums = vnni::sums(codes, panel, &x, &start.map(|v| v.to_f64() as f32));
        return sums.map(|row| row.map(T::from_f32));
    }
    let View { codes, worth: of, .. } = codes;
    let mut sums = Weighed {
        of,
        blocks: if codes.group == 0 { codes.cols } else { codes.group }.div_ceil(BLOCK),
        place: of.place(panel, 0),
        next: 0,
        worth: Scaling::default(),
        x,
        sums: [start; R],
    };
    dots(&codes.planes, codes.cols, panel, &x, &mut sums);
    sums.sums
}

/// Codes, and where the lists of them lie.
struct View<'a, T> {
    codes: &'a Codes<T>,
    worth: Worth<'a, T>,
    #[cfg(target_arch = "x86_64")]
    floats: Option<vnni::Floats<'a>>,
}

impl<T: FloatElement> View<'_, T> {
    fn new(codes: &Codes<T>) -> View<'_, T> {
        View {
            codes,
            worth: codes.worth(),
            #[cfg(target_arch = "x86_64")]
            floats: (codes as &dyn std::any::Any).downcast_ref().and_then(vnni::Floats::new),
        }
    }
}

/// Sums of what blocks of integers are worth.
#[derive(Clone, Copy)]
struct Weighed<'a, T, const R: usize> {
    of: &'a Worth<'a, T>,
    /// Blocks that share a place, which comes next, and with which block.
    blocks: usize,
    place: usize,
    next: usize,
    /// That of the block of the moment.
    worth: Scaling<T>,
    x: [Row<'a>; R],
    sums: [[T; LANES]; R],
}

impl<T: FloatElement, const R: usize> Sums<R> for Weighed<'_, T, R> {
    #[inline(always)]
    fn add(&mut self, block: usize, dots: &[[i32; LANES]; R]) {
        if block == self.next {
            self.of.read(self.place, &mut self.worth);
            (self.place, self.next) = (self.place + 1, block + self.blocks);
        }
        for (r, dots) in dots.iter().enumerate() {
            let step = T::from_f32(f32::from_bits(self.x[r].steps[block] as u32));
            let sum = T::from_int(self.x[r].sums[block]);
            for (k, &dot) in dots.iter().enumerate() {
                // Whole numbers, and exact.
                let whole = T::from_int(dot) + self.worth.low[k] * sum;
                let worth = whole * self.worth.scale[k] + self.worth.offset[k] * sum;
                self.sums[r][k] = self.sums[r][k] + step * worth;
            }
        }
    }
}
