//! Some columns of a matrix at a time, and products that take off what was computed before them.
use crate::{
    error::Checked,
    kernels::{
        FloatElement,
        matmul::{Mat, MatMut, matmul},
    },
    tensor::room::filled,
};

/// Columns that are computed at a time.
pub(super) const WIDTH: usize = 32;
/// Most columns of a matrix that is factored where it lies: it is too small for rows of [`WIDTH`] to be worth it.
pub(super) const NARROW: usize = 12;

/// Neighbouring columns of a matrix, each row filled up to [`WIDTH`].
pub(crate) type Panel<T> = Vec<[T; WIDTH]>;

/// Room for the columns of matrices with `n` rows: none if they are narrow.
pub(crate) fn panel<T: FloatElement>(n: usize) -> Checked<Panel<T>> {
    filled(if n <= NARROW { 0 } else { n }, [T::constant(0.0); WIDTH])
}

/// A matrix with rows `step` apart.
pub(super) fn rows<T>(data: &[T], rows: usize, cols: usize, step: usize) -> Mat<'_, T> {
    Mat { data, rows, cols, row_stride: step as isize, col_stride: 1 }
}

pub(super) fn column<T>(data: &[T]) -> Mat<'_, T> {
    Mat { data, rows: data.len(), cols: 1, row_stride: 1, col_stride: 1 }
}

/// `C ← C - A B` for the first `cols` columns of rows that are `step` apart.
pub(super) fn subtract<T: FloatElement>(
    c: &mut [T],
    cols: usize,
    step: usize,
    a: Mat<T>,
    b: Mat<T>,
) -> Checked<()> {
    let c = MatMut { data: c, rows: a.rows, cols, row_stride: step as isize, col_stride: 1 };
    Ok(matmul(T::constant(-1.0), a, b, T::constant(1.0), c)?)
}

/// One step of elimination in rows of `step` elements: column `k` divided by the pivot, and as much of `top` taken
/// off each row.
#[inline(always)]
pub(super) fn eliminate<T: FloatElement>(rows: &mut [T], step: usize, k: usize, pivot: T, top: &[T; WIDTH]) {
    for row in rows.chunks_exact_mut(step) {
        let factor = row[k] / pivot;
        // All of the row: what lies before column k has zeros in `top`.
        for (r, &t) in row.iter_mut().zip(top) {
            *r = *r - factor * t;
        }
        row[k] = factor;
    }
}
