//! Sums of products of many pairs of matrices `Σ AᵀB`, such as the gradient of a weight that each step of a
//! sequence used. Each product is a sum by itself before it joins those before, so that the bits are those of
//! products that were added one after the other; but C is read and written once for many of them.
use super::{
    mat::MatMut,
    product::{BlockSums, MatmulElement, Misfit},
    tile::{KC, MC},
    vector::{Job, Vector},
    vector_product::load,
};
use crate::threads;

/// Matrices of one shape, row after row: where the first begins, and the step to the next one.
#[derive(Clone, Copy)]
pub(crate) struct Blocks<'a, T> {
    pub data: &'a [T],
    pub start: usize,
    pub step: isize,
}

impl<T> Blocks<'_, T> {
    /// The first element, if all of `count` blocks of `len` elements are there.
    fn first(&self, count: usize, len: usize) -> Result<*const T, Misfit> {
        let last = isize::try_from(count - 1).ok().and_then(|n| n.checked_mul(self.step));
        let last = last.and_then(|steps| self.start.checked_add_signed(steps));
        let end = last.and_then(|last| last.max(self.start).checked_add(len));
        match self.data.get(self.start..) {
            Some(from) if end.is_some_and(|end| end <= self.data.len()) => Ok(from.as_ptr()),
            _ => Err(Misfit),
        }
    }
}

/// Multiply-adds worth a task of their own.
const GRAIN: usize = 1 << 18;

/// Adds the products of `count` pairs of blocks, of `k` rows each, to C, or puts their sum there.
pub(crate) fn add_blocks<T: MatmulElement>(
    a: Blocks<T>,
    b: Blocks<T>,
    count: usize,
    k: usize,
    fresh: bool,
    c: MatMut<T>,
) -> Result<(), Misfit> {
    let (m, n) = (c.rows, c.cols);
    if count == 0 || m == 0 || n == 0 {
        return Ok(());
    }
    let dense = m.checked_mul(n) == Some(c.data.len()) && (c.row_stride, c.col_stride) == (n as isize, 1);
    if !dense || k == 0 || k > KC {
        return Err(Misfit);
    }
    let (first_a, first_b) = (a.first(count, k * m)?, b.first(count, k * n)?);
    let all = BlockSums {
        count,
        k,
        m,
        n,
        a: first_a,
        b: first_b,
        steps: [a.step, b.step],
        row: m,
        c: c.data.as_mut_ptr(),
        fresh,
    };
    let work = m.saturating_mul(n).saturating_mul(k).saturating_mul(count);
    let parts = if work < 2 * GRAIN { 1 } else { threads::num_threads().min(work / GRAIN) };
    let size = m.div_ceil(parts).next_multiple_of(MAX_ROWS);
    let whole = &all;
    threads::parallel_for(m.div_ceil(size), &|i| {
        let first = i * size;
        // SAFETY: the blocks were checked to be there; tasks have rows of C, and columns of A, of their own.
        unsafe {
            let (a, c) = (whole.a.add(first), whole.c.add(first * n));
            T::add_blocks(&BlockSums { m: size.min(m - first), a, c, ..*whole });
        }
    });
    Ok(())
}

/// Most rows of a tile.
const MAX_ROWS: usize = 6;

/// Columns of blocks of A as a tile reads them, one row of `R` after the other.
#[repr(C, align(64))]
pub(super) struct Panel<T>([T; MC * KC]);

/// The sums by tiles of `R` rows and `NV` vectors.
pub(super) struct Tiles<'a, V: Vector, const R: usize, const NV: usize> {
    pub x: &'a BlockSums<V::T>,
    pub panel: *mut Panel<V::T>,
}

impl<V: Vector<T: MatmulElement>, const R: usize, const NV: usize> Job for Tiles<'_, V, R, NV> {
    /// # Safety
    /// The machine must have the instructions of `V`, all blocks must be there, and C must have `m x n`
    /// elements.
    #[inline(always)]
    unsafe fn run(&self) {
        const { assert!(R <= MAX_ROWS && MAX_ROWS.is_multiple_of(R)) }
        let (whole, packed) = (*self.x, self.panel.cast::<V::T>());
        // As many blocks at a time as the panel holds.
        let most = MC * KC / (R * whole.k);
        for first in (0..whole.count).step_by(most) {
            // SAFETY: here and below, blocks, rows and columns are those there are, and the panel has room
            // for `most` blocks of R columns.
            let [a, b] = [(whole.a, whole.steps[0]), (whole.b, whole.steps[1])]
                .map(|(p, step)| p.wrapping_offset(first as isize * step));
            let count = most.min(whole.count - first);
            let x = BlockSums { count, a, b, fresh: whole.fresh && first == 0, ..whole };
            for i in (0..x.m).step_by(R) {
                let rows = R.min(x.m - i);
                unsafe {
                    pack::<V::T, R>(&x, i, rows, packed);
                    for j in (0..x.n).step_by(NV * V::LANES) {
                        let left = x.n - j;
                        if left >= NV * V::LANES {
                            tile::<V, R, NV, true>(&x, packed, i, j, [rows, V::LANES]);
                            continue;
                        }
                        for j in (j..x.n).step_by(V::LANES) {
                            tile::<V, R, 1, false>(&x, packed, i, j, [rows, V::LANES.min(x.n - j)]);
                        }
                    }
                }
            }
        }
    }
}

/// Columns `i..i + rows` of all blocks of A, filled up with zeros to `R`.
#[inline(always)]
unsafe fn pack<T: MatmulElement, const R: usize>(x: &BlockSums<T>, i: usize, rows: usize, to: *mut T) {
    for t in 0..x.count {
        for p in 0..x.k {
            // SAFETY: the caller's.
            unsafe {
                let from = x.a.offset(t as isize * x.steps[0]).add(p * x.row + i);
                let to = to.add((t * x.k + p) * R);
                if rows == R {
                    to.cast::<[T; R]>().write_unaligned(from.cast::<[T; R]>().read_unaligned());
                } else {
                    (0..R).for_each(|r| *to.add(r) = if r < rows { *from.add(r) } else { T::ZERO });
                }
            }
        }
    }
}

/// One tile of the sum, whose last vector has `lanes` columns in C and B.
// Plain indices leave the sums in registers; adapters of iterators took them through memory.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
unsafe fn tile<V: Vector<T: MatmulElement>, const R: usize, const NV: usize, const WHOLE: bool>(
    x: &BlockSums<V::T>,
    packed: *const V::T,
    i: usize,
    j: usize,
    [rows, lanes]: [usize; 2],
) {
    // SAFETY: the caller's: `rows` rows and as many vectors of columns are in C, and the latter in B.
    unsafe {
        let (zero, one) = (V::splat(V::T::ZERO), V::splat(V::T::ONE));
        let read = |p: *const V::T| if WHOLE { V::load(p) } else { load::<V>(p, lanes) };
        let c = x.c.add(i * x.n + j);
        let mut sums = [[zero; NV]; R];
        for r in 0..if x.fresh { 0 } else { rows } {
            for v in 0..NV {
                sums[r][v] = read(c.add(r * x.n + v * V::LANES));
            }
        }
        let (mut a, n, mut block) = (packed, x.n, x.b.add(j));
        for t in 0..x.count {
            let (mut own, mut b) = ([[zero; NV]; R], block);
            for _ in 0..x.k {
                let mut from = [zero; NV];
                for v in 0..NV {
                    from[v] = read(b.add(v * V::LANES));
                }
                for r in 0..R {
                    let a = V::splat(*a.add(r));
                    for v in 0..NV {
                        own[r][v] = a.mul_add(from[v], own[r][v]);
                    }
                }
                (a, b) = (a.add(R), b.wrapping_add(n));
            }
            let first = x.fresh && t == 0;
            for r in 0..R {
                for v in 0..NV {
                    sums[r][v] = if first { own[r][v] } else { sums[r][v].mul_add(one, own[r][v]) };
                }
            }
            block = block.wrapping_offset(x.steps[1]);
        }
        for r in 0..rows {
            for v in 0..NV {
                let to = c.add(r * x.n + v * V::LANES);
                if WHOLE || lanes == V::LANES {
                    sums[r][v].store(to)
                } else {
                    sums[r][v].store_first(to, lanes)
                }
            }
        }
    }
}
