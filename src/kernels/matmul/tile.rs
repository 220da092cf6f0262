//! Products of matrices with several rows and columns: tiles of C that fill the registers, fed from panels of A
//! and B that fit the caches. Every element of C is one chain of multiply-adds along k, in blocks of `KC`,
//! whatever tile it falls into: so where a product is cut makes no difference to its bits.
use super::{MatmulElement, Product, View, vector::Vector};
use std::mem::MaybeUninit;

/// Steps along k that a panel holds.
const KC: usize = 256;
/// Rows of A that are packed at a time.
const MC: usize = 192;
/// Most rows and columns (in elements) of a tile.
const MAX_ROWS: usize = 8;
const MAX_COLS: usize = 32;

/// Where packed panels lie while a block is computed.
#[repr(align(64))]
pub struct Scratch<T> {
    a: [MaybeUninit<T>; MC * KC],
    b: [MaybeUninit<T>; MAX_COLS * KC],
}

impl<T: MatmulElement> Scratch<T> {
    pub(super) fn new() -> Box<Scratch<T>> {
        // SAFETY: memory that hasn't been written is a valid array of `MaybeUninit`.
        unsafe { Box::new_uninit().assume_init() }
    }
}

/// `C = alpha A B + beta C`. `R` and `NV` are the rows of a full tile and its vectors per row.
///
/// # Safety
/// The machine must have the instructions of `V`, and the views must be valid for the product's sizes.
#[inline(always)]
pub(super) unsafe fn tiles<V: Vector<T: MatmulElement>, const R: usize, const NV: usize>(
    x: &Product<V::T>,
    scratch: &mut Scratch<V::T>,
) {
    const { assert!(R <= MAX_ROWS && MC.is_multiple_of(R) && NV * V::LANES <= MAX_COLS) }
    let width = NV * V::LANES;
    let pack_a = x.a.col != 1;
    // One round even when there is nothing to add up: beta has its say.
    for p in (0..x.k.max(1)).step_by(KC) {
        let k = KC.min(x.k - p);
        let beta = if p == 0 { x.beta } else { V::T::ONE };
        for i in (0..x.m).step_by(MC) {
            let m = MC.min(x.m - i);
            // SAFETY: here and below, all indices are below the sizes of the product, and panels are no larger
            // than their scratch.
            let a = unsafe { x.a.at(i, p) };
            let packed_a = scratch.a.as_mut_ptr().cast();
            if pack_a {
                unsafe { pack_rows::<V, R>(a, m, k, packed_a) };
            }
            for j in (0..x.n).step_by(width) {
                let n = width.min(x.n - j);
                let mut b = unsafe { x.b.at(p, j) };
                if b.col != 1 || !n.is_multiple_of(V::LANES) || m > 4 * R {
                    b = unsafe { pack_columns::<V>(b, k, n, scratch.b.as_mut_ptr().cast()) };
                }
                let next = if j + width < x.n && b.row != 1 { k.div_ceil(m.div_ceil(R)) } else { 0 };
                for r in (0..m).step_by(R) {
                    let from = r / R * next;
                    for q in from..k.min(from + next) {
                        // SAFETY: row p + q and column j + width are in B.
                        unsafe { prefetch(x.b.at(p + q, j + width).data, width) };
                    }
                    unsafe {
                        let a = if pack_a {
                            View { data: packed_a.add(r * k), row: 1, col: R as isize }
                        } else {
                            a.at(r, 0)
                        };
                        let c = x.c.at(i + r, j);
                        any_rows::<V, R, NV>(Product { m: R.min(m - r), n, k, a, b, c, beta, ..*x });
                    }
                }
            }
        }
    }
}

/// Asks for elements that will soon be needed to be brought near; none of them is read.
#[inline(always)]
fn prefetch<T>(data: *const T, len: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..len * size_of::<T>()).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 machine has the instruction, and it reads nothing, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(data.cast::<i8>().wrapping_add(line)) };
    }
}

/// Rows of A in strips of `R`, each strip one column of `R` elements after the other.
#[inline(always)]
unsafe fn pack_rows<V: Vector, const R: usize>(a: View<V::T>, m: usize, k: usize, to: *mut V::T) {
    for p in 0..k {
        for r in (0..m).step_by(R) {
            // SAFETY: the caller's view has m x k elements, its scratch m (up to a whole strip) times k.
            unsafe {
                let (from, to) = (a.at(r, p), to.add(r * k + p * R));
                if from.row == 1 && m - r >= R {
                    std::ptr::copy_nonoverlapping(from.data, to, R);
                } else {
                    for i in 0..R.min(m - r) {
                        *to.add(i) = *from.at(i, 0).data;
                    }
                }
            }
        }
    }
}

/// Columns of B, each row after the other, filled up with zeros to whole vectors.
#[inline(always)]
unsafe fn pack_columns<V: Vector<T: MatmulElement>>(
    b: View<V::T>,
    k: usize,
    n: usize,
    to: *mut V::T,
) -> View<V::T> {
    let width = n.next_multiple_of(V::LANES);
    // SAFETY: the caller's view has k x n elements, its scratch k x width.
    unsafe {
        if b.col == 1 {
            for p in 0..k {
                let (from, to) = (b.at(p, 0).data, to.add(p * width));
                for j in (0..n).step_by(V::LANES) {
                    V::load_first(from.add(j), V::LANES.min(n - j)).store(to.add(j));
                }
            }
        } else {
            let whole = if b.row == 1 { V::SQUARE } else { usize::MAX };
            for j in (0..width).step_by(V::SQUARE) {
                for p in (0..k).step_by(V::SQUARE) {
                    let to = to.add(p * width + j);
                    if n.saturating_sub(j) >= whole && k - p >= whole {
                        V::transpose(b.at(p, j).data, b.col, to, width);
                        continue;
                    }
                    for q in 0..V::SQUARE.min(k - p) {
                        for i in 0..V::SQUARE {
                            let zero = V::T::ZERO;
                            *to.add(q * width + i) = if j + i < n { *b.at(p + q, j + i).data } else { zero };
                        }
                    }
                }
            }
        }
    }
    View { data: to, row: width as isize, col: 1 }
}

/// A tile with up to `R` rows and `NV` vectors.
#[inline(always)]
unsafe fn any_rows<V: Vector<T: MatmulElement>, const R: usize, const NV: usize>(x: Product<V::T>) {
    macro_rules! rows {
        ($($r:literal)*) => {
            match x.m {
                // SAFETY: the caller's.
                $($r if $r <= R => unsafe { any_columns::<V, $r, NV>(x) },)*
                _ => {}
            }
        };
    }
    rows!(8 7 6 5 4 3 2 1)
}

#[inline(always)]
unsafe fn any_columns<V: Vector<T: MatmulElement>, const R: usize, const NV: usize>(x: Product<V::T>) {
    // SAFETY: the caller's.
    unsafe {
        match x.n.div_ceil(V::LANES) {
            3 if NV >= 3 => tile::<V, R, 3>(x),
            2 if NV >= 2 => tile::<V, R, 2>(x),
            1 => tile::<V, R, 1>(x),
            _ => {}
        }
    }
}

/// One tile: `R` rows, `NV` vectors of columns, of which the last may reach beyond C but not beyond B.
#[inline(always)]
unsafe fn tile<V: Vector<T: MatmulElement>, const R: usize, const NV: usize>(x: Product<V::T>) {
    // SAFETY: the caller's views have R x k, k x NV vectors, and R x n elements.
    unsafe {
        let mut sums = [[V::splat(V::T::ZERO); NV]; R];
        if x.c.col == 1 {
            for i in 0..R {
                prefetch(x.c.at(i, 0).data, NV * V::LANES);
            }
        }
        for p in 0..x.k {
            let from = x.b.at(p, 0).data;
            let mut b = [V::splat(V::T::ZERO); NV];
            for (j, b) in b.iter_mut().enumerate() {
                *b = V::load(from.add(j * V::LANES));
            }
            for (i, row) in sums.iter_mut().enumerate() {
                let a = V::splat(*x.a.at(i, p).data);
                for j in 0..NV {
                    row[j] = a.mul_add(b[j], row[j]);
                }
            }
        }
        if x.c.col != 1 {
            return scatter::<V, R, NV>(&x, &sums);
        }
        let (alpha, beta) = (V::splat(x.alpha), V::splat(x.beta));
        let last = x.n - (NV - 1) * V::LANES;
        for (i, row) in sums.into_iter().enumerate() {
            for (j, sum) in row.into_iter().enumerate() {
                let c = x.c.at(i, j * V::LANES).data;
                let mut value = sum.mul(alpha);
                if j + 1 < NV || last == V::LANES {
                    if x.beta != V::T::ZERO {
                        value = V::load(c).mul_add(beta, value);
                    }
                    value.store(c);
                } else {
                    if x.beta != V::T::ZERO {
                        value = V::load_first(c, last).mul_add(beta, value);
                    }
                    value.store_first(c, last);
                }
            }
        }
    }
}

/// Adds a tile to a C whose columns don't lie side by side: column by column, since these may be far apart.
#[inline(always)]
unsafe fn scatter<V: Vector<T: MatmulElement>, const R: usize, const NV: usize>(
    x: &Product<V::T>,
    tile: &[[V; NV]; R],
) {
    let mut rows = [[V::T::ZERO; MAX_COLS]; MAX_ROWS];
    let mut columns = [[V::T::ZERO; MAX_ROWS]; MAX_COLS];
    // SAFETY: rows and columns hold a whole tile and are made of whole squares; x.n is no more than its width.
    unsafe {
        let alpha = V::splat(x.alpha);
        for (values, to) in tile.iter().zip(&mut rows) {
            for (j, v) in values.iter().enumerate() {
                v.mul(alpha).store(to.as_mut_ptr().add(j * V::LANES));
            }
        }
        for j in (0..NV * V::LANES).step_by(V::SQUARE) {
            for i in (0..R).step_by(V::SQUARE) {
                let to = columns[j].as_mut_ptr().add(i);
                V::transpose(rows[i].as_ptr().add(j), MAX_COLS as isize, to, MAX_ROWS);
            }
        }
        for (j, column) in columns.iter().enumerate().take(x.n) {
            let c = x.c.at(0, j);
            for (i, &value) in column.iter().enumerate().take(R) {
                let c = c.at(i, 0).data;
                *c = if x.beta == V::T::ZERO { value } else { value + x.beta * *c };
            }
        }
    }
}
