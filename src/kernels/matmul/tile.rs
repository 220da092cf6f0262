//! Products of matrices with several rows and columns: tiles of C that fill the registers, fed from panels of
//! A and B that fit the caches. Every element of C is one chain of multiply-adds along k, in blocks whose
//! size depends on k alone, whatever tile it falls into: so where a product is cut makes no difference to its
//! bits.
use super::{
    super::prefetch::prefetch,
    places::{MAX_COLS, PackWindows},
    product::{MatmulElement, Product, View},
    vector::{Job, Vector},
    vector_product::load,
};

/// Most steps along k that a panel holds.
pub(super) const KC: usize = 288;
/// Rows of A that are worked on at a time.
pub(super) const MC: usize = 528;
/// Panels of B that make it worth while to pack an A whose rows could be read in place.
const MANY: usize = 4;
/// Most rows of a tile.
const MAX_ROWS: usize = 8;

/// Where packed panels lie while a block is computed.
#[repr(C, align(64))]
pub(super) struct Panels<T> {
    a: [T; MC * KC],
    b: [T; MAX_COLS * KC],
    /// Where the rows of windows begin.
    rows: [usize; KC],
}

/// `C = alpha A B + beta C`. `R` and `NV` are the rows of a full tile and its vectors per row.
pub(super) struct Tiles<'a, V: Vector, const R: usize, const NV: usize> {
    pub x: &'a Product<V::T>,
    pub panels: *mut Panels<V::T>,
}

impl<V: Vector<T: MatmulElement>, const R: usize, const NV: usize> Job for Tiles<'_, V, R, NV> {
    /// # Safety
    /// The machine must have the instructions of `V`, and the views must be valid for the product's sizes.
    #[inline(always)]
    unsafe fn run(&self) {
        let Tiles { x, panels } = *self;
        const { assert!(R <= MAX_ROWS && MC.is_multiple_of(R) && NV * V::LANES <= MAX_COLS) }
        let width = NV * V::LANES;
        // SAFETY: both are parts of it.
        let (packed_a, packed_b) = unsafe { ((&raw mut (*panels).a).cast(), (&raw mut (*panels).b).cast()) };
        // SAFETY: so are these, and the caller's.
        let (rows_of_b, places) = unsafe { ((&raw mut (*panels).rows).cast(), x.places.map(|p| p.as_ref())) };
        let pack_a = match x.a {
            View { col: 1, .. } => R.is_multiple_of(V::SQUARE) && x.n > MANY * width,
            View { row: 1, .. } => x.n > width,
            _ => true,
        };
        // Blocks of nearly one size: a small one would have B packed for few rows.
        let rows = x.m.div_ceil(x.m.div_ceil(MC)).next_multiple_of(R);
        let steps = steps(x.k);
        // One round even when there is nothing to add up: beta has its say.
        for p in (0..x.k.max(1)).step_by(steps) {
            let k = steps.min(x.k - p);
            let beta = if p == 0 { x.beta } else { V::T::ONE };
            if let Some(places) = places {
                // SAFETY: there is room for `KC`.
                unsafe { places.rows(p, k, rows_of_b) };
            }
            for i in (0..x.m).step_by(rows) {
                let m = rows.min(x.m - i);
                // SAFETY: here and below, all indices are below the sizes of the product, and panels are no
                // larger than their scratch.
                let a = unsafe { x.a.at(i, p) };
                if pack_a {
                    unsafe { V::run(&PackRows::<V, R> { a, m, k, to: packed_a }) };
                }
                for j in (0..x.n).step_by(width) {
                    let n = width.min(x.n - j);
                    let mut b = unsafe { x.b.at(p, j) };
                    let packed = View { data: packed_b, row: n.next_multiple_of(V::LANES) as isize, col: 1 };
                    if let Some(places) = places {
                        let (image, rows) = (x.b.data, rows_of_b);
                        let pack = PackWindows::<V> { image, rows, k, places, first: j, n, to: packed_b };
                        unsafe { V::run(&pack) };
                        b = packed;
                    } else if b.col != 1 || !n.is_multiple_of(V::LANES) || m > 4 * R {
                        unsafe { V::run(&PackColumns::<V> { b, k, n, to: packed_b }) };
                        b = packed;
                    }
                    // What is in the panel behind this one comes near meanwhile.
                    let ahead = if j + width < x.n && b.row != 1 && places.is_none() {
                        k.div_ceil(m.div_ceil(R))
                    } else {
                        0
                    };
                    unsafe {
                        let next = if ahead > 0 { x.b.at(p, j + width) } else { b };
                        let a = if pack_a { View { data: packed_a, row: 1, col: R as isize } } else { a };
                        let part = Product { m, n, k, a, b, beta, ..x.target(i, j) };
                        // After the first block the sums so far are in C.
                        let x = if p == 0 { part } else { Product { start: part.c, ..part } };
                        if pack_a {
                            V::run(&Strips::<V, R, NV, true> { x, next, ahead });
                        } else {
                            V::run(&Strips::<V, R, NV, false> { x, next, ahead });
                        }
                    }
                }
            }
        }
    }
}

/// Steps along k whose products are one chain, of `k` in all. Blocks of nearly one size: a short one would read and
/// write C for little.
pub(super) fn steps(k: usize) -> usize {
    k.div_ceil(k.div_ceil(KC).max(1)).next_multiple_of(8).max(8)
}

/// Rows of A, all packed in strips of `R` or none, times a panel of B.
struct Strips<V: Vector, const R: usize, const NV: usize, const PACKED: bool> {
    x: Product<V::T>,
    /// The panel behind this one, and how many of its rows to ask for with each strip.
    next: View<V::T>,
    ahead: usize,
}

impl<V: Vector<T: MatmulElement>, const R: usize, const NV: usize, const PACKED: bool> Job
    for Strips<V, R, NV, PACKED>
{
    #[inline(always)]
    unsafe fn run(&self) {
        // Copies: the loop writes, and would read them again each time.
        let (x, next, ahead) = (self.x, self.next, self.ahead);
        for r in (0..x.m).step_by(R) {
            let from = r / R * ahead;
            // SAFETY: the caller's product has as many rows, and those of the next panel are in B.
            unsafe {
                for q in from..x.k.min(from + ahead) {
                    prefetch::<_, 3>(next.at(q, 0).data, NV * V::LANES);
                }
                let a = if PACKED { View { data: x.a.data.add(r * x.k), ..x.a } } else { x.a.at(r, 0) };
                let part = Product { m: R.min(x.m - r), a, ..x.target(r, 0) };
                if R > 1 && part.m < R {
                    V::run(&Rest::<V, R, NV>(part));
                } else {
                    any_columns::<V, R, NV, PACKED>(part);
                }
            }
        }
    }
}

/// Fewer rows than a full tile has.
struct Rest<V: Vector, const R: usize, const NV: usize>(Product<V::T>);

impl<V: Vector<T: MatmulElement>, const R: usize, const NV: usize> Job for Rest<V, R, NV> {
    #[inline(always)]
    unsafe fn run(&self) {
        let mut x = self.0;
        while x.m > 0 {
            // SAFETY: the caller's; parts have as many rows as are left.
            unsafe {
                let done = match x.m {
                    4.. if R > 4 => {
                        any_columns::<V, 4, NV, false>(x);
                        4
                    }
                    2.. => {
                        any_columns::<V, 2, NV, false>(x);
                        2
                    }
                    _ => {
                        any_columns::<V, 1, NV, false>(x);
                        1
                    }
                };
                x.m -= done;
                if x.m > 0 {
                    x = Product { a: x.a.at(done, 0), ..x.target(done, 0) };
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn any_columns<V: Vector<T: MatmulElement>, const R: usize, const NV: usize, const PACKED: bool>(
    x: Product<V::T>,
) {
    // SAFETY: the caller's.
    unsafe {
        match x.n.div_ceil(V::LANES) {
            3.. if NV >= 3 => tile::<V, R, 3, PACKED>(x),
            2.. if NV >= 2 => tile::<V, R, 2, PACKED>(x),
            _ => tile::<V, R, 1, PACKED>(x),
        }
    }
}

/// Most steps along k, and rows, of a small product.
const FEW: usize = 16;

/// Whether a product is too small for panels to be worth it: rows of C that fit a vector, and few of them.
#[inline(always)]
pub(super) fn is_small<V: Vector>(x: &Product<V::T>) -> bool {
    x.n <= V::LANES && x.m.max(x.k) <= FEW && x.c.col == 1 && x.places.is_none()
}

/// A product that [`is_small`], row after row.
pub(super) struct Small<'a, V: Vector>(pub &'a Product<V::T>);

impl<V: Vector<T: MatmulElement>> Job for Small<'_, V> {
    /// # Safety
    /// As for [`Tiles`].
    #[inline(always)]
    unsafe fn run(&self) {
        let x = &{ *self.0 };
        // SAFETY: the caller's views have m x k, k x n and m x n elements, and a row of n fits a vector.
        unsafe {
            let mut rows = [V::splat(V::T::ZERO); FEW];
            for (p, row) in rows.iter_mut().enumerate().take(x.k) {
                *row = if x.b.col == 1 {
                    V::load_first(x.b.at(p, 0).data, x.n)
                } else {
                    let mut lanes = [V::T::ZERO; MAX_COLS];
                    for (j, lane) in lanes.iter_mut().enumerate().take(x.n) {
                        *lane = *x.b.at(p, j).data;
                    }
                    V::load(lanes.as_ptr())
                };
            }
            for i in 0..x.m {
                let mut sum = V::splat(V::T::ZERO);
                for (p, &row) in rows.iter().enumerate().take(x.k) {
                    sum = V::splat(*x.a.at(i, p).data).mul_add(row, sum);
                }
                let mut value = sum.mul(V::splat(x.alpha));
                if x.beta != V::T::ZERO {
                    value = V::load_first(x.start.at(i, 0).data, x.n).mul_add(V::splat(x.beta), value);
                }
                value.store_first(x.c.at(i, 0).data, x.n);
            }
        }
    }
}

/// Whether a product has one step along k, rows that lie side by side, and such a row of B, or one number as that.
pub(super) fn is_outer<T>(x: &Product<T>) -> bool {
    x.k == 1 && [x.c.col, x.start.col] == [1; 2] && (0..=1).contains(&x.b.col) && x.places.is_none()
}

/// A product that [`is_outer`], row after row: it is limited by the memory it writes.
pub(super) struct Outer<'a, V: Vector>(pub &'a Product<V::T>);

impl<V: Vector<T: MatmulElement>> Job for Outer<'_, V> {
    /// # Safety
    /// As for [`Tiles`].
    #[inline(always)]
    unsafe fn run(&self) {
        let x = &{ *self.0 };
        for i in 0..x.m {
            for j in (0..x.n).step_by(V::LANES) {
                let lanes = V::LANES.min(x.n - j);
                // SAFETY: the caller's views have m rows and n columns, of which those from j on are `lanes` or more.
                unsafe {
                    let b = x.b.at(0, j).data;
                    let row = if x.b.col == 0 { V::splat(*b) } else { load::<V>(b, lanes) };
                    let sum = V::splat(*x.a.at(i, 0).data).mul_add(row, V::splat(V::T::ZERO));
                    let mut value = sum.mul(V::splat(x.alpha));
                    if x.beta != V::T::ZERO {
                        value = load::<V>(x.start.at(i, j).data, lanes).mul_add(V::splat(x.beta), value);
                    }
                    let c = x.c.at(i, j).data;
                    if lanes == V::LANES { value.store(c) } else { value.store_first(c, lanes) }
                }
            }
        }
    }
}

/// Rows of A in strips of `R`, each strip one column of `R` elements after the other.
struct PackRows<V: Vector, const R: usize> {
    a: View<V::T>,
    m: usize,
    k: usize,
    to: *mut V::T,
}

impl<V: Vector<T: MatmulElement>, const R: usize> Job for PackRows<V, R> {
    #[inline(always)]
    unsafe fn run(&self) {
        let PackRows { a, m, k, to } = *self;
        // SAFETY: the caller's view has m x k elements, its scratch m (up to a whole strip) times k.
        unsafe {
            if a.col == 1 && R.is_multiple_of(V::SQUARE) {
                for r in (0..m).step_by(R) {
                    for p in (0..k).step_by(V::SQUARE) {
                        for i in (0..R).step_by(V::SQUARE) {
                            let to = to.add(r * k + p * R + i);
                            square::<V>(a.turned(), p, k, r + i, m, to, R);
                        }
                    }
                }
                return;
            }
            // Two strips at a time: where rows lie side by side, both are in one line of the cache. Strip after
            // strip, since strips may be apart by a multiple of 4 KB, whose places in the cache are few.
            for r in (0..m).step_by(2 * R) {
                for p in 0..k {
                    for r in (r..m.min(r + 2 * R)).step_by(R) {
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
    }
}

/// `to[i * to_step + j] = from[p + i, q + j]` for a square, as far as `from`, with `rows` and `columns`, has
/// elements; zero in the columns behind them.
#[inline(always)]
unsafe fn square<V: Vector<T: MatmulElement>>(
    from: View<V::T>,
    p: usize,
    rows: usize,
    q: usize,
    columns: usize,
    to: *mut V::T,
    to_step: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        if from.row == 1 && p + V::SQUARE <= rows && q + V::SQUARE <= columns {
            return V::transpose(from.at(p, q).data, from.col, to, to_step);
        }
        for i in 0..V::SQUARE.min(rows - p) {
            for j in 0..V::SQUARE {
                let zero = V::T::ZERO;
                *to.add(i * to_step + j) = if q + j < columns { *from.at(p + i, q + j).data } else { zero };
            }
        }
    }
}

/// Columns of B, each row after the other, filled up with zeros to whole vectors.
struct PackColumns<V: Vector> {
    b: View<V::T>,
    k: usize,
    n: usize,
    to: *mut V::T,
}

impl<V: Vector<T: MatmulElement>> Job for PackColumns<V> {
    #[inline(always)]
    unsafe fn run(&self) {
        let PackColumns { b, k, n, to } = *self;
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
                for j in (0..width).step_by(V::SQUARE) {
                    for p in (0..k).step_by(V::SQUARE) {
                        square::<V>(b, p, k, j, n, to.add(p * width + j), width);
                    }
                }
            }
        }
    }
}

/// One tile: `R` rows, `NV` vectors of columns, of which the last may reach beyond C but not beyond B.
#[inline(always)]
unsafe fn tile<V: Vector<T: MatmulElement>, const R: usize, const NV: usize, const PACKED: bool>(
    x: Product<V::T>,
) {
    // SAFETY: the caller's views have R x k, k x NV vectors, and R x n elements.
    unsafe {
        if x.c.col == 1 {
            for i in 0..R {
                prefetch::<_, 3>(x.c.at(i, 0).data, NV * V::LANES);
            }
        }
        // Known steps and few pointers leave registers to the sums.
        let (row, step) = if PACKED { (1, R as isize) } else { (x.a.row, x.a.col) };
        let mut sums = [[V::splat(V::T::ZERO); NV]; R];
        let (mut a, mut b) = (x.a.data, x.b.data);
        let mut a_high = a.wrapping_offset(4 * row);
        for _ in 0..x.k {
            if PACKED {
                prefetch::<_, 3>(a.wrapping_add(128), 1);
            }
            let mut from = [V::splat(V::T::ZERO); NV];
            for (j, from) in from.iter_mut().enumerate() {
                *from = V::load(b.add(j * V::LANES));
            }
            if PACKED && V::BY_LANE && R.is_multiple_of(4) {
                for (i, sums) in sums.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                    let four = spread::<V>(a.add(4 * i));
                    for (sums, a) in sums.iter_mut().zip(four) {
                        for (sum, &b) in sums.iter_mut().zip(&from) {
                            *sum = a.mul_add(b, *sum);
                        }
                    }
                }
                (a, b) = (a.wrapping_offset(step), b.wrapping_offset(x.b.row));
                continue;
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let a =
                    if i < 4 { a.offset(i as isize * row) } else { a_high.offset((i - 4) as isize * row) };
                let a = V::splat(*a);
                for (sum, &b) in sums.iter_mut().zip(&from) {
                    *sum = a.mul_add(b, *sum);
                }
            }
            a = a.wrapping_offset(step);
            a_high = a_high.wrapping_offset(step);
            b = b.wrapping_offset(x.b.row);
        }
        if x.c.col != 1 {
            let mut rows = [[V::T::ZERO; MAX_COLS]; MAX_ROWS];
            for (row, sums) in rows.iter_mut().zip(&sums) {
                for (j, sum) in sums.iter().enumerate() {
                    sum.mul(V::splat(x.alpha)).store(row.as_mut_ptr().add(j * V::LANES));
                }
            }
            return V::run(&Scattered::<V> { x, rows, size: [R, NV * V::LANES] });
        }
        let (alpha, beta) = (V::splat(x.alpha), V::splat(x.beta));
        let last = x.n - (NV - 1) * V::LANES;
        for (i, row) in sums.into_iter().enumerate() {
            for (j, sum) in row.into_iter().enumerate() {
                let c = x.c.at(i, j * V::LANES).data;
                let start = x.start.at(i, j * V::LANES).data;
                let mut value = sum.mul(alpha);
                if j + 1 < NV || last == V::LANES {
                    if x.beta != V::T::ZERO {
                        value = V::load(start).mul_add(beta, value);
                    }
                    value.store(c);
                } else {
                    if x.beta != V::T::ZERO {
                        value = V::load_first(start, last).mul_add(beta, value);
                    }
                    value.store_first(c, last);
                }
            }
        }
    }
}

/// Four elements, each in all lanes.
#[inline(always)]
unsafe fn spread<V: Vector>(from: *const V::T) -> [V; 4] {
    // SAFETY: the caller's pointer has four elements.
    unsafe {
        let low = V::load(from).spread();
        if V::LANES >= 4 {
            return low;
        }
        let high = V::load(from.add(2)).spread();
        [low[0], low[1], high[0], high[1]]
    }
}

/// A tile for a C whose columns don't lie side by side: column by column, since these may be far apart.
struct Scattered<V: Vector> {
    x: Product<V::T>,
    rows: [[V::T; MAX_COLS]; MAX_ROWS],
    /// Rows and columns of the tile. Not of the type: this needn't be compiled for each.
    size: [usize; 2],
}

impl<V: Vector<T: MatmulElement>> Job for Scattered<V> {
    #[inline(always)]
    unsafe fn run(&self) {
        let (x, rows, [height, width]) = (self.x, &self.rows, self.size);
        let mut columns = [[V::T::ZERO; MAX_ROWS]; MAX_COLS];
        // SAFETY: rows and columns hold a whole tile and are made of whole squares; x.n is no more than its
        // width.
        unsafe {
            let (from, to) = (rows.as_ptr().cast::<V::T>(), columns.as_mut_ptr().cast::<V::T>());
            for j in (0..width).step_by(V::SQUARE) {
                for i in (0..height).step_by(V::SQUARE) {
                    let to = to.add(j * MAX_ROWS + i);
                    V::transpose(from.add(i * MAX_COLS + j), MAX_COLS as isize, to, MAX_ROWS);
                }
            }
            for (j, column) in columns.iter().enumerate().take(x.n) {
                let (c, start) = (x.c.at(0, j), x.start.at(0, j));
                for (i, &value) in column.iter().enumerate().take(height) {
                    let (c, start) = (c.at(i, 0).data, start.at(i, 0).data);
                    *c = if x.beta == V::T::ZERO { value } else { value + x.beta * *start };
                }
            }
        }
    }
}
