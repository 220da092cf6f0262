//! Products with a vector, or with very few rows: limited by the memory they read, so nothing is packed.
//! Splitting the columns changes no element's order of additions.
use super::{
    product::{MatmulElement, Product},
    vector::Vector,
};

/// Products of few rows of A with columns of B that both lie along k: dot products, up to `R` x 4 at a time.
///
/// # Safety
/// As for `tiles`; and `a.col` and `b.row` must be 1.
#[inline(always)]
pub(super) unsafe fn dots<V: Vector<T: MatmulElement>, const R: usize>(x: &Product<V::T>) {
    let mut i = 0;
    while i < x.m {
        let m = if x.m - i >= R { R } else { 1 };
        let mut j = 0;
        while j < x.n {
            let n = if x.n - j >= 4 { 4 } else { 1 };
            // SAFETY: i + m and j + n stay within the product.
            unsafe {
                let part = Product { a: x.a.at(i, 0), b: x.b.at(0, j), ..x.target(i, j) };
                match (m == R, n == 4) {
                    (true, true) => dot_tile::<V, R, 4>(part),
                    (true, false) => dot_tile::<V, R, 1>(part),
                    (false, true) => dot_tile::<V, 1, 4>(part),
                    (false, false) => dot_tile::<V, 1, 1>(part),
                }
            }
            j += n;
        }
        i += m;
    }
}

#[inline(always)]
unsafe fn dot_tile<V: Vector<T: MatmulElement>, const R: usize, const N: usize>(x: Product<V::T>) {
    // SAFETY: the caller's views have R x k, k x N and R x N elements, those along k side by side.
    unsafe {
        let mut sums = [[V::splat(V::T::ZERO); N]; R];
        for p in (0..x.k).step_by(V::LANES) {
            let lanes = V::LANES.min(x.k - p);
            let mut b = [V::splat(V::T::ZERO); N];
            for (j, b) in b.iter_mut().enumerate() {
                *b = load(x.b.at(p, j).data, lanes);
            }
            for (i, row) in sums.iter_mut().enumerate() {
                let a: V = load(x.a.at(i, p).data, lanes);
                for j in 0..N {
                    row[j] = a.mul_add(b[j], row[j]);
                }
            }
        }
        for (i, row) in sums.into_iter().enumerate() {
            for (j, sum) in row.into_iter().enumerate() {
                let c = x.c.at(i, j).data;
                let value = x.alpha * sum.sum();
                let start = x.start.at(i, j).data;
                *c = if x.beta == V::T::ZERO { value } else { value + x.beta * *start };
            }
        }
    }
}

/// One row of A times a B whose rows lie side by side: a sum of B's rows, four at a time.
///
/// # Safety
/// As for `tiles`; and `m`, `b.col`, `c.col` and `start.col` must be 1.
#[inline(always)]
pub(super) unsafe fn row_sums<V: Vector<T: MatmulElement>>(x: &Product<V::T>) {
    let (c, start) = (x.c.data, x.start.data);
    for j in 0..x.n {
        // SAFETY: both have n elements.
        unsafe { *c.add(j) = if x.beta == V::T::ZERO { V::T::ZERO } else { x.beta * *start.add(j) } };
    }
    let whole = x.k - x.k % 4;
    // SAFETY: rows below k.
    unsafe {
        for p in (0..whole).step_by(4) {
            add_rows::<V, 4>(x, p);
        }
        for p in whole..x.k {
            add_rows::<V, 1>(x, p);
        }
    }
}

#[inline(always)]
unsafe fn add_rows<V: Vector<T: MatmulElement>, const R: usize>(x: &Product<V::T>, p: usize) {
    // SAFETY: the caller's views have 1 x k, k x n and 1 x n elements, and p + R <= k.
    unsafe {
        let mut a = [V::splat(V::T::ZERO); R];
        for (i, a) in a.iter_mut().enumerate() {
            *a = V::splat(x.alpha * *x.a.at(0, p + i).data);
        }
        for j in (0..x.n).step_by(V::LANES) {
            let lanes = V::LANES.min(x.n - j);
            let c = x.c.data.add(j);
            let mut sum: V = load(c, lanes);
            for (i, a) in a.iter().enumerate() {
                sum = a.mul_add(load(x.b.at(p + i, j).data, lanes), sum);
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
unsafe fn load<V: Vector>(p: *const V::T, lanes: usize) -> V {
    // SAFETY: the caller's pointer has as many elements.
    unsafe { if lanes == V::LANES { V::load(p) } else { V::load_first(p, lanes) } }
}
