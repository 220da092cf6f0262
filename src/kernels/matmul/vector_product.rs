//! Products with a vector, or with very few rows: limited by the memory they read, so nothing is packed.
//! The order of additions depends on k alone: not on where the columns are split, nor on how wide the machine's
//! vectors are.
use super::{
    product::{MatmulElement, Product},
    vector::{Job, Vector},
};

/// Steps along k whose sum is taken before it joins the others: in one chain, f32 would lose digits.
const BLOCK: usize = 4096;

/// Products of few rows of A with columns of B that both lie along k: dot products, `R` x `N` at a time, and
/// of single rows `M` at a time. A sum runs over `W` vectors side by side, as many as make 64 bytes, so that
/// it has the same lanes on every machine.
pub(super) struct Dots<'a, V: Vector, const R: usize, const N: usize, const M: usize, const W: usize>(
    pub &'a Product<V::T>,
);

impl<V: Vector<T: MatmulElement>, const R: usize, const N: usize, const M: usize, const W: usize> Job
    for Dots<'_, V, R, N, M, W>
{
    /// # Safety
    /// As for `Tiles`; and `a.col` and `b.row` must be 1.
    #[inline(always)]
    unsafe fn run(&self) {
        let x = &{ *self.0 };
        const { assert!(W * V::LANES * size_of::<V::T>() == 64 && BLOCK.is_multiple_of(W * V::LANES)) }
        let mut i = 0;
        while i < x.m {
            let m = if x.m - i >= R { R } else { 1 };
            let most = if m == R { N } else { M };
            let mut j = 0;
            while j < x.n {
                let n = match x.n - j {
                    left if left >= most => most,
                    4.. if m < R => 4,
                    _ => 1,
                };
                // SAFETY: i + m and j + n stay within the product.
                unsafe {
                    let part = Product { a: x.a.at(i, 0), b: x.b.at(0, j), ..x.target(i, j) };
                    match (m == R, n == most) {
                        (true, true) => dot_tile::<V, R, N, W>(part),
                        (true, false) => dot_tile::<V, R, 1, W>(part),
                        (false, true) => dot_tile::<V, 1, M, W>(part),
                        (false, false) if n == 4 => dot_tile::<V, 1, 4, W>(part),
                        (false, false) => dot_tile::<V, 1, 1, W>(part),
                    }
                }
                j += n;
            }
            i += m;
        }
    }
}

#[inline(always)]
unsafe fn dot_tile<V: Vector<T: MatmulElement>, const R: usize, const N: usize, const W: usize>(
    x: Product<V::T>,
) {
    // SAFETY: the caller's views have R x k, k x N and R x N elements, those along k side by side.
    unsafe {
        let (one, mut sums) = (V::splat(V::T::ONE), [[[V::splat(V::T::ZERO); W]; N]; R]);
        for p in (0..x.k.max(1)).step_by(BLOCK) {
            let part = dots_of::<V, R, N, W>(&x, p, x.k.min(p + BLOCK));
            if p == 0 {
                sums = part;
                continue;
            }
            for (sum, part) in sums.iter_mut().flatten().flatten().zip(part.iter().flatten().flatten()) {
                *sum = part.mul_add(one, *sum);
            }
        }
        for (i, row) in sums.into_iter().enumerate() {
            for (j, mut lanes) in row.into_iter().enumerate() {
                // Halves onto each other, as `sum` goes on within a vector.
                let mut width = W;
                while width > 1 {
                    width /= 2;
                    for w in 0..width {
                        lanes[w] = lanes[w + width].mul_add(V::splat(V::T::ONE), lanes[w]);
                    }
                }
                let c = x.c.at(i, j).data;
                let value = x.alpha * lanes[0].sum();
                let start = x.start.at(i, j).data;
                *c = if x.beta == V::T::ZERO { value } else { value + x.beta * *start };
            }
        }
    }
}

/// The products of the steps `from..to`, lane by lane. By value, or the sums would go through memory.
#[inline(always)]
unsafe fn dots_of<V: Vector<T: MatmulElement>, const R: usize, const N: usize, const W: usize>(
    x: &Product<V::T>,
    from: usize,
    to: usize,
) -> [[[V; W]; N]; R] {
    // SAFETY: the caller's views have R x k and k x N elements, those along k side by side.
    unsafe {
        let mut sums = [[[V::splat(V::T::ZERO); W]; N]; R];
        // Where rows and columns begin: a step along k is one element, which the views don't say.
        let (mut rows, mut columns) = ([x.a.data.cast_const(); R], [x.b.data.cast_const(); N]);
        for (i, row) in rows.iter_mut().enumerate() {
            *row = x.a.at(i, 0).data;
        }
        for (j, column) in columns.iter_mut().enumerate() {
            *column = x.b.at(0, j).data;
        }
        let whole = to - (to - from) % (W * V::LANES);
        for p in (from..whole).step_by(W * V::LANES) {
            for w in 0..W {
                let p = p + w * V::LANES;
                let mut b = [V::splat(V::T::ZERO); N];
                for (b, column) in b.iter_mut().zip(columns) {
                    *b = V::load(column.add(p));
                }
                for (sums, row) in sums.iter_mut().zip(rows) {
                    let a = V::load(row.add(p));
                    for (sum, &b) in sums.iter_mut().zip(&b) {
                        sum[w] = a.mul_add(b, sum[w]);
                    }
                }
            }
        }
        // Of the rest every lane takes part, too, some with zeros.
        if whole < to {
            for w in 0..W {
                let p = (whole + w * V::LANES).min(to);
                let lanes = V::LANES.min(to - p);
                for (sums, row) in sums.iter_mut().zip(rows) {
                    let a = V::load_first(row.add(p), lanes);
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        sum[w] = a.mul_add(V::load_first(column.add(p), lanes), sum[w]);
                    }
                }
            }
        }
        sums
    }
}

/// Rows of B whose sum is taken before it joins the others.
pub(super) const ROWS: usize = 256;
/// Columns whose sums lie near while those rows are added.
const STRIP: usize = 1024;

/// One row of A times a B whose rows lie side by side: a sum of B's rows, four at a time.
pub(super) struct RowSums<'a, V: Vector>(pub &'a Product<V::T>);

impl<V: Vector<T: MatmulElement>> Job for RowSums<'_, V> {
    /// # Safety
    /// As for `Tiles`; and `m`, `b.col`, `c.col` and `start.col` must be 1.
    #[inline(always)]
    unsafe fn run(&self) {
        let x = &{ *self.0 };
        let (c, start) = (x.c.data, x.start.data);
        for j in 0..x.n {
            // SAFETY: both have n elements.
            unsafe { *c.add(j) = if x.beta == V::T::ZERO { V::T::ZERO } else { x.beta * *start.add(j) } };
        }
        if x.k <= ROWS {
            // SAFETY: all rows, all columns.
            return unsafe { add_rows::<V>(x, 0, x.k, 0, x.n, c) };
        }
        let mut part = [V::T::ZERO; STRIP];
        for j in (0..x.n).step_by(STRIP) {
            let n = STRIP.min(x.n - j);
            for p in (0..x.k).step_by(ROWS) {
                part[..n].fill(V::T::ZERO);
                // SAFETY: rows below k, columns below n, of which the strip has room for as many.
                unsafe {
                    add_rows::<V>(x, p, x.k.min(p + ROWS), j, n, part.as_mut_ptr());
                    for (i, &part) in part[..n].iter().enumerate() {
                        *c.add(j + i) = *c.add(j + i) + part;
                    }
                }
            }
        }
    }
}

/// Adds the rows `from..to` of `n` columns from `j` on to as many elements at `c`.
#[inline(always)]
unsafe fn add_rows<V: Vector<T: MatmulElement>>(
    x: &Product<V::T>,
    from: usize,
    to: usize,
    j: usize,
    n: usize,
    c: *mut V::T,
) {
    let whole = to - (to - from) % 4;
    // SAFETY: the caller's.
    unsafe {
        for p in (from..whole).step_by(4) {
            add_some::<V, 4>(x, p, j, n, c);
        }
        for p in whole..to {
            add_some::<V, 1>(x, p, j, n, c);
        }
    }
}

#[inline(always)]
unsafe fn add_some<V: Vector<T: MatmulElement>, const R: usize>(
    x: &Product<V::T>,
    p: usize,
    first: usize,
    n: usize,
    c: *mut V::T,
) {
    // SAFETY: the caller's views have 1 x k and k x n elements, and p + R <= k.
    unsafe {
        let mut a = [V::splat(V::T::ZERO); R];
        for (i, a) in a.iter_mut().enumerate() {
            *a = V::splat(x.alpha * *x.a.at(0, p + i).data);
        }
        for j in (0..n).step_by(V::LANES) {
            let lanes = V::LANES.min(n - j);
            let c = c.add(j);
            let mut sum: V = load(c, lanes);
            for (i, a) in a.iter().enumerate() {
                sum = a.mul_add(load(x.b.at(p + i, first + j).data, lanes), sum);
            }
            if lanes == V::LANES {
                sum.store(c);
            } else {
                sum.store_first(c, lanes);
            }
        }
    }
}

/// The first `lanes` elements, without reading more.
#[inline(always)]
pub(super) unsafe fn load<V: Vector>(p: *const V::T, lanes: usize) -> V {
    // SAFETY: the caller's pointer has as many elements.
    unsafe { if lanes == V::LANES { V::load(p) } else { V::load_first(p, lanes) } }
}
