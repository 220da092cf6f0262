//! Products with a packed matrix: few rows run over its panels as they become floats in the nearest cache, many rows
//! have some panels made floats beside a usual product. Both add along the columns in the order of a product of
//! floats with several rows, so a row's result doesn't depend on how many are computed with it.
use super::{
    super::{
        FloatElement,
        matmul::{Mat, MatMut, chain_steps, matmul_alone},
        vectorised::{MulAdd, vectorised},
    },
    codes::{CHUNK, Chunk, Scaling},
    matrix::Packed,
    panels::LANES,
};
use crate::{
    error::Checked,
    tensor::Unfilled,
    threads::{num_threads, parallel_for},
};
use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// Most rows that are few.
pub(super) const FEW: usize = 8;
/// Panels that few rows meet at a time, and columns.
const SIDE: usize = 4;
const COLUMNS: usize = CHUNK;
/// Rows of the matrix that become floats at a time beside many rows, or for the way back.
const WIDE: usize = 128;
/// Multiply-adds worth a task of their own.
const GRAIN: usize = 1 << 16;

/// Where tasks write columns of their own of a matrix `[rows, width]`.
struct Columns<T> {
    data: *mut T,
    rows: usize,
    width: usize,
}

// SAFETY: `write` is only called for columns that no other task writes.
unsafe impl<T: Send> Sync for Columns<T> {}

impl<T: Copy> Columns<T> {
    fn new(out: &mut [T], width: usize) -> Columns<T> {
        Columns { data: out.as_mut_ptr(), rows: out.len() / width.max(1), width }
    }

    /// # Safety
    /// Nobody else writes these columns.
    unsafe fn write(&self, row: usize, column: usize, values: &[T]) {
        assert!(row < self.rows && column + values.len() <= self.width);
        // SAFETY: they lie in the matrix, whose borrow lasts as long as the tasks.
        unsafe {
            let to = self.data.add(row * self.width + column);
            std::ptr::copy_nonoverlapping(values.as_ptr(), to, values.len());
        }
    }
}

/// Runs tasks, as many as are worth it, each for some of `count` places.
fn shared(count: usize, work: usize, f: impl Fn(Range<usize>) -> Checked<()> + Sync) -> Checked<()> {
    let failed = Mutex::new(None);
    let tasks = count.min(4 * num_threads()).min(work / GRAIN).max(1);
    let some = |task: usize| {
        if let Err(why) = f(task * count / tasks..(task + 1) * count / tasks) {
            failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        }
    };
    if tasks == 1 {
        some(0)
    } else {
        parallel_for(tasks, &some)
    }
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// The same, place by place.
fn each(count: usize, work: usize, f: impl Fn(usize) -> Checked<()> + Sync) -> Checked<()> {
    shared(count, work, |mut places| places.try_for_each(&f))
}

/// `out = x wᵀ + bias` for rows of `x`, one after the other.
pub(crate) fn products<T: FloatElement>(
    x: &[T],
    w: &Packed<T>,
    bias: Option<&[T]>,
    out: &mut [T],
) -> Checked<()> {
    w.sound()?;
    let (outputs, inputs) = (w.rows(), w.cols());
    let n = out.len() / outputs.max(1);
    if x.len() != n * inputs || out.len() != n * outputs || bias.is_some_and(|bias| bias.len() != outputs) {
        return Err("the packed matrix doesn't fit its operands".into());
    }
    let work = n.saturating_mul(outputs).saturating_mul(inputs);
    let columns = Columns::new(out, outputs);
    if n <= FEW {
        let side = SIDE * LANES;
        return shared(outputs.div_ceil(side), work, |blocks| {
            let mut room = Room::default();
            let mut sums = [[[T::constant(0.0); LANES]; SIDE]; FEW];
            for block in blocks {
                let size = side.min(outputs - block * side);
                few(x, w, bias, block * SIDE, &mut room, &mut sums[..n]);
                for (row, sums) in sums[..n].iter().enumerate() {
                    // SAFETY: each block has columns of its own.
                    unsafe { columns.write(row, block * side, &sums.as_flattened()[..size]) };
                }
            }
            Ok(())
        });
    }
    each(outputs.div_ceil(WIDE), work, |block| {
        let size = WIDE.min(outputs - block * WIDE);
        let mut sums = Unfilled::new([n, size].into()).made()?;
        many(x, w, bias, block * WIDE, size, sums.as_mut_slice())?;
        for (row, sums) in sums.as_mut_slice().chunks_exact(size).enumerate() {
            // SAFETY: each block has columns of its own.
            unsafe { columns.write(row, block * WIDE, sums) };
        }
        Ok(())
    })
}

/// Adds one chain's sums to those before it, the first to the bias if there is one.
#[inline(always)]
fn join<T: FloatElement>(before: Option<T>, sum: T) -> T {
    before.map_or(sum, |before| before + sum)
}

/// Few rows with the panels from `first` on: their sums by row and panel.
fn few<T: FloatElement>(
    x: &[T],
    w: &Packed<T>,
    bias: Option<&[T]>,
    first: usize,
    room: &mut Room<T>,
    all: &mut [[[T; LANES]; SIDE]],
) {
    let zero = T::constant(0.0);
    let panels = SIDE.min(w.rows().div_ceil(LANES) - first);
    let steps = chain_steps(w.cols());
    for p in (0..w.cols()).step_by(steps) {
        let end = w.cols().min(p + steps);
        let mut sums = [[[zero; LANES]; SIDE]; FEW];
        for q in (p..end).step_by(COLUMNS) {
            let last = end.min(q + COLUMNS);
            // What is read next comes near meanwhile.
            let (next, from) = if last < w.cols() { (first, last) } else { (first + SIDE, 0) };
            (0..panels).for_each(|i| w.ask(next + i, from, w.cols().min(from + COLUMNS)));
            let rows = |columns: Range<usize>| {
                move |i: usize| {
                    let row = i * w.cols();
                    x.get(row + columns.start..row + columns.end).unwrap_or_default()
                }
            };
            if let Some(codes) = w.codes().filter(|codes| codes.in_a_row()) {
                let bytes = &mut room.bytes;
                (0..panels).for_each(|i| codes.spread(first + i, q, last, &mut bytes[i]));
                for part in codes.parts(q, last) {
                    for (i, worth) in room.worth.iter_mut().enumerate().take(panels) {
                        codes.scaling(first + i, part.start, worth);
                    }
                    let tiles = Coded { bytes, from: part.start - q, worth: &room.worth };
                    add(all.len(), rows(part), &tiles, &mut sums);
                }
                continue;
            }
            for (i, tile) in room.floats.iter_mut().enumerate().take(panels) {
                w.unpack(first + i, q, last, tile.as_flattened_mut(), LANES);
            }
            add(all.len(), rows(q..last), &Floats(&room.floats), &mut sums);
        }
        for (all, sums) in all.iter_mut().zip(&sums) {
            for (place, (all, sum)) in all.as_flattened_mut().iter_mut().zip(sums.as_flattened()).enumerate()
            {
                let bias = || bias.map(|bias| bias.get(first * LANES + place).copied().unwrap_or(zero));
                *all = join(if p == 0 { bias() } else { Some(*all) }, *sum);
            }
        }
    }
}

/// Columns of a panel as floats.
type Tile<T> = [[T; LANES]; COLUMNS];

/// Where the columns of some panels lie while they are worked on.
struct Room<T> {
    floats: [Tile<T>; SIDE],
    bytes: [Chunk; SIDE],
    worth: [Scaling<T>; SIDE],
}

impl<T: FloatElement> Default for Room<T> {
    fn default() -> Room<T> {
        Room {
            floats: [[[T::constant(0.0); LANES]; COLUMNS]; SIDE],
            bytes: [[[0; LANES]; COLUMNS]; SIDE],
            worth: std::array::from_fn(|_| Scaling::default()),
        }
    }
}

/// Columns of panels that rows meet.
trait Tiles<T> {
    /// Adds to the sums of `R` rows those with the `J` panels from `first` on.
    fn add<const R: usize, const J: usize>(&self, first: usize, x: [&[T]; R], sums: &mut [Sums<T>]);
}

/// A row's sums with some panels.
type Sums<T> = [[T; LANES]; SIDE];

/// As floats.
struct Floats<'a, T>(&'a [Tile<T>; SIDE]);

/// As codes from a column on, and what they are worth.
struct Coded<'a, T> {
    bytes: &'a [Chunk; SIDE],
    from: usize,
    worth: &'a [Scaling<T>; SIDE],
}

impl<T: FloatElement> Tiles<T> for Floats<'_, T> {
    fn add<const R: usize, const J: usize>(&self, first: usize, x: [&[T]; R], sums: &mut [Sums<T>]) {
        add_floats(x, std::array::from_fn::<_, J, _>(|j| &self.0[first + j]), first, sums);
    }
}

impl<T: FloatElement> Tiles<T> for Coded<'_, T> {
    fn add<const R: usize, const J: usize>(&self, first: usize, x: [&[T]; R], sums: &mut [Sums<T>]) {
        let bytes = std::array::from_fn::<_, J, _>(|j| &self.bytes[first + j][self.from..]);
        add_codes(x, bytes, &self.worth[first..first + J], first, sums);
    }
}

/// Adds to the sums of `n` rows the columns of all tiles.
fn add<'x, T: FloatElement>(
    n: usize,
    row: impl Fn(usize) -> &'x [T],
    tiles: &impl Tiles<T>,
    sums: &mut [Sums<T>],
) {
    let mut i = 0;
    while i < n {
        let sums = &mut sums[i..];
        i += match n - i {
            4.. => {
                let x = [row(i), row(i + 1), row(i + 2), row(i + 3)];
                (0..SIDE).for_each(|first| tiles.add::<4, 1>(first, x, sums));
                4
            }
            2.. => {
                let x = [row(i), row(i + 1)];
                (0..SIDE).step_by(2).for_each(|first| tiles.add::<2, 2>(first, x, sums));
                2
            }
            _ => {
                tiles.add::<1, SIDE>(0, [row(i)], sums);
                1
            }
        };
    }
}

vectorised! {
    fn add_floats [const R: usize, const J: usize] fused fma (
        x: [&[T]; R], tiles: [&Tile<T>; J], first: usize, sums: &mut [Sums<T>]
    ) {
        // In registers, which the results' place is not while somebody could see it.
        let mut own = [[[T::constant(0.0); LANES]; J]; R];
        for r in 0..R {
            for j in 0..J {
                own[r][j] = sums[r][first + j];
            }
        }
        for k in 0..x[0].len().min(COLUMNS) {
            for r in 0..R {
                let v = x[r][k];
                for j in 0..J {
                    for lane in 0..LANES {
                        own[r][j][lane] = fma.of(v, tiles[j][k][lane], own[r][j][lane]);
                    }
                }
            }
        }
        for r in 0..R {
            for j in 0..J {
                sums[r][first + j] = own[r][j];
            }
        }
    }
}

vectorised! {
    fn add_codes [const R: usize, const J: usize] fused fma (
        x: [&[T]; R], codes: [&[[u8; LANES]]; J], worth: &[Scaling<T>], first: usize, sums: &mut [Sums<T>]
    ) {
        // All as long as each other, for the compiler to see.
        let (mut n, mut x, mut codes) = (COLUMNS, x, codes);
        for x in &x {
            n = n.min(x.len());
        }
        for codes in &codes {
            n = n.min(codes.len());
        }
        for x in &mut x {
            *x = &x[..n];
        }
        for codes in &mut codes {
            *codes = &codes[..n];
        }
        // In registers, as above.
        let mut own = [[[T::constant(0.0); LANES]; J]; R];
        let (mut low, mut scale, mut offset) = (own[0], own[0], own[0]);
        for j in 0..J {
            (low[j], scale[j], offset[j]) = (worth[j].low, worth[j].scale, worth[j].offset);
            for r in 0..R {
                own[r][j] = sums[r][first + j];
            }
        }
        for k in 0..n {
            for j in 0..J {
                let mut w = [T::constant(0.0); LANES];
                for lane in 0..LANES {
                    w[lane] = fma.of(T::from_small(codes[j][k][lane]) + low[j][lane], scale[j][lane], offset[j][lane]);
                }
                for r in 0..R {
                    let v = x[r][k];
                    for lane in 0..LANES {
                        own[r][j][lane] = fma.of(v, w[lane], own[r][j][lane]);
                    }
                }
            }
        }
        for r in 0..R {
            for j in 0..J {
                sums[r][first + j] = own[r][j];
            }
        }
    }
}

/// Many rows with the rows of the matrix from `first` on, `[n, size]`.
fn many<T: FloatElement>(
    x: &[T],
    w: &Packed<T>,
    bias: Option<&[T]>,
    first: usize,
    size: usize,
    out: &mut [T],
) -> Checked<()> {
    let (n, steps) = (out.len() / size, chain_steps(w.cols()));
    if let Some(bias) = bias {
        out.chunks_exact_mut(size).for_each(|out| out.copy_from_slice(&bias[first..first + size]));
    }
    let mut floats = Unfilled::<T>::new([steps, WIDE].into()).made()?;
    let floats = floats.as_mut_slice();
    for p in (0..w.cols()).step_by(steps) {
        let k = steps.min(w.cols() - p);
        unpack_wide(w, first, size, p, k, floats);
        let a = Mat {
            data: x.get(p..).unwrap_or_default(),
            rows: n,
            cols: k,
            row_stride: w.cols() as isize,
            col_stride: 1,
        };
        let b = Mat { data: floats, rows: k, cols: size, row_stride: WIDE as isize, col_stride: 1 };
        let start = T::constant(if p > 0 || bias.is_some() { 1.0 } else { 0.0 });
        matmul_alone(T::constant(1.0), a, b, start, MatMut::dense(out, n, size))?;
    }
    Ok(())
}

/// The `k` columns from `p` on of `size` rows as floats, `[k, WIDE]`.
fn unpack_wide<T: FloatElement>(
    w: &Packed<T>,
    first: usize,
    size: usize,
    p: usize,
    k: usize,
    floats: &mut [T],
) {
    for (i, lane) in (0..size).step_by(LANES).enumerate() {
        w.unpack(first / LANES + i, p, p + k, &mut floats[lane..], WIDE);
    }
}

/// `out = g w` for rows of `g`, one after the other: the way back through [`products`].
pub(crate) fn back<T: FloatElement>(g: &[T], w: &Packed<T>, out: &mut [T]) -> Checked<()> {
    w.sound()?;
    let (outputs, inputs) = (w.rows(), w.cols());
    let n = g.len() / outputs.max(1);
    if out.len() != n * inputs || g.len() != n * outputs {
        return Err("the packed matrix doesn't fit its operands".into());
    }
    let work = n.saturating_mul(outputs).saturating_mul(inputs);
    let columns = Columns::new(out, inputs);
    each(inputs.div_ceil(WIDE), work, |block| {
        let (p, k) = (block * WIDE, WIDE.min(inputs - block * WIDE));
        let mut sums = Unfilled::<T>::new([n, k].into()).made()?;
        let mut floats = Unfilled::<T>::new([WIDE, WIDE].into()).made()?;
        for first in (0..outputs).step_by(WIDE) {
            let size = WIDE.min(outputs - first);
            unpack_wide(w, first, size, p, k, floats.as_mut_slice());
            let a = Mat {
                data: g.get(first..).unwrap_or_default(),
                rows: n,
                cols: size,
                row_stride: outputs as isize,
                col_stride: 1,
            };
            let data = &*floats.as_mut_slice();
            let b = Mat { data, rows: size, cols: k, row_stride: 1, col_stride: WIDE as isize };
            let start = T::constant(if first > 0 { 1.0 } else { 0.0 });
            matmul_alone(T::constant(1.0), a, b, start, MatMut::dense(sums.as_mut_slice(), n, k))?;
        }
        for (row, sums) in sums.as_mut_slice().chunks_exact(k).enumerate() {
            // SAFETY: each block has columns of its own.
            unsafe { columns.write(row, p, sums) };
        }
        Ok(())
    })
}
