//! Products of many pairs of matrices of one shape.
use super::{
    FloatElement,
    matmul::{GRAIN, Mat, MatMut, Misfit, in_lanes, matmul},
    vectorised::{MulAdd, vectorised},
};
use crate::threads;
use std::sync::atomic::{AtomicBool, Ordering};

/// Multiply-adds from which a matrix of a batch is split by itself.
const LARGE: usize = 1 << 24;
/// Most multiply-adds of a product that is done in plain loops: to choose a kernel would take longer.
const TINY: usize = 128;
/// Most steps along k of such a one.
const STEPS: usize = 8;

/// The products of pairs of matrices, `a(i) b(i)`, each to its `m x n` elements of `c`, with the bits that each would
/// have alone.
pub(crate) fn batched_matmul<'a, T: FloatElement>(
    c: &mut [T],
    m: usize,
    n: usize,
    a: impl Fn(usize) -> Mat<'a, T> + Sync,
    b: impl Fn(usize) -> Mat<'a, T> + Sync,
) -> Result<(), Misfit> {
    let size = m * n;
    if size == 0 || !c.len().is_multiple_of(size) {
        return if c.is_empty() { Ok(()) } else { Err(Misfit) };
    }
    let work = size.saturating_mul(a(0).cols).max(1);
    let count = c.len() / size;
    // The same order of additions as a kernel would have.
    let lanes = in_lanes(a(0), b(0), MatMut::dense(&mut c[..size], m, n))?;
    let tiny = work <= TINY && a(0).cols <= STEPS;
    let done = AtomicBool::new(true);
    let several = |first: usize, c: &mut [T]| {
        for (i, c) in c.chunks_exact_mut(size).enumerate() {
            let (a, b) = (a(first / size + i), b(first / size + i));
            let fits = if tiny && a.cols == b.rows && [a.rows, b.cols] == [m, n] {
                product(a, b, lanes, c)
            } else {
                matmul(T::constant(1.0), a, b, T::constant(0.0), MatMut::dense(c, m, n)).is_ok()
            };
            if !fits {
                done.store(false, Ordering::Relaxed);
            }
        }
    };
    if work >= LARGE || count == 1 {
        // Each is worth splitting for itself.
        several(0, c);
    } else {
        let each = GRAIN.div_ceil(work).max(count.div_ceil(4 * threads::num_threads()));
        threads::for_chunks(c, each * size, several);
    }
    if done.into_inner() { Ok(()) } else { Err(Misfit) }
}

vectorised! {
    /// A product of few steps; whether the matrices fit their data.
    fn product fused fma (a: Mat<T>, b: Mat<T>, lanes: bool, c: &mut [T]) -> bool {
        let zero = T::constant(0.0);
        for (i, c) in c.chunks_exact_mut(b.cols).enumerate() {
            for (j, c) in c.iter_mut().enumerate() {
                let (mut terms, mut sum) = ([zero; STEPS], zero);
                for (p, term) in terms.iter_mut().enumerate().take(a.cols) {
                    let (Some(a), Some(b)) = (element(a, i, p), element(b, p, j)) else { return false };
                    if lanes { *term = fma.of(a, b, zero) } else { sum = fma.of(a, b, sum) }
                }
                *c = if lanes { halves(terms) } else { sum };
            }
        }
        true
    }
}

#[inline(always)]
fn element<T: FloatElement>(m: Mat<T>, i: usize, j: usize) -> Option<T> {
    m.data.get(i * m.row_stride as usize + j * m.col_stride as usize).copied()
}

/// The sum of lanes, of which those that aren't here are 0.
#[inline(always)]
fn halves<T: FloatElement>(terms: [T; STEPS]) -> T {
    const { assert!(STEPS == 8) }
    let [a, b, c, d, e, f, g, h] = terms;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FloatElement>(count: usize, [m, k, n]: [usize; 3], turned: [bool; 2]) {
        let values = |n: usize| (0..n).map(|i| T::constant((i * 7919 % 1013) as f64 / 506.0 - 1.0)).collect();
        let (a, b): (Vec<T>, Vec<T>) = (values(count * m * k), values(count * k * n));
        let of = |data: &'static [T], rows: usize, cols: usize, turned: bool| {
            move |i: usize| {
                let (row_stride, col_stride) = if turned { (1, rows as isize) } else { (cols as isize, 1) };
                Mat {
                    data: &data[i * rows * cols..(i + 1) * rows * cols],
                    rows,
                    cols,
                    row_stride,
                    col_stride,
                }
            }
        };
        let (a, b) = (of(a.leak(), m, k, turned[0]), of(b.leak(), k, n, turned[1]));
        for threads in [1, 3] {
            threads::set_num_threads(threads);
            let mut all = vec![T::constant(0.0); count * m * n];
            batched_matmul(&mut all, m, n, a, b).unwrap();
            for (i, part) in all.chunks(m * n).enumerate() {
                let mut c = vec![T::constant(0.0); m * n];
                matmul(T::constant(1.0), a(i), b(i), T::constant(0.0), MatMut::dense(&mut c, m, n)).unwrap();
                let bits = |c: &[T]| c.iter().map(|v| v.to_f64().to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(part), bits(&c), "{m} x {k} x {n}, {turned:?}, {i}");
            }
        }
    }

    #[test]
    fn batches_are_the_same_as_one_by_one() {
        let few = if cfg!(miri) { 2 } else { 6 };
        for size in 0..few * few * few {
            let shape = [size % few + 1, size / few % few + 1, size / few / few + 1];
            for turned in [[false, false], [false, true], [true, false], [true, true]] {
                check::<f32>(3, shape, turned);
                check::<f64>(3, shape, turned);
            }
        }
        for shape in [[1, 8, 1], [1, 9, 1], [4, 8, 4], [5, 9, 2], [24, 30, 18]] {
            check::<f32>(if cfg!(miri) { 2 } else { 37 }, shape, [false, true]);
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let data = [1.0_f32; 12];
        let good = Mat { data: &data, rows: 3, cols: 4, row_stride: 4, col_stride: 1 };
        let right = Mat { rows: 4, cols: 3, row_stride: 3, ..good };
        let mut c = [7.0_f32; 9];
        assert_eq!(batched_matmul(&mut c[..8], 3, 3, |_| good, |_| right), Err(Misfit));
        assert_eq!(batched_matmul(&mut c, 3, 3, |_| good, |_| good), Err(Misfit));
        let short = |i: usize| Mat { data: &data[..12 - i], ..good };
        assert_eq!(batched_matmul(&mut [0.0; 18], 3, 3, short, |_| right), Err(Misfit));
        batched_matmul(&mut c, 3, 3, |_| good, |_| right).unwrap();
        assert_eq!(c, [4.0; 9]);
        batched_matmul::<f32>(&mut [], 0, 4, |_| good, |_| right).unwrap();
    }
}
