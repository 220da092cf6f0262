//! Factorisations of dense matrices, each row after row in a slice: LU with partial pivoting, Cholesky,
//! triangular systems, singular values. A few columns or rows are computed at a time; what those before them
//! contribute is one matrix product (Golub and Van Loan, Matrix Computations, §3.2, §4.2). Blocks have one size
//! everywhere, so that the bits are the same on every machine.
mod cholesky;
mod lu;
mod qd;
mod qr;
mod reflect;
mod singular;
mod triangle;

#[cfg(test)]
mod tests;

pub(crate) use cholesky::cholesky;
pub(crate) use lu::Lu;
pub(crate) use singular::{singular_values, svd};
pub(crate) use triangle::Triangle;

use crate::{
    error::Checked,
    kernels::{
        FloatElement,
        matmul::{Mat, MatMut, matmul},
    },
    tensor::room::filled,
};

/// Columns that are computed at a time.
const WIDTH: usize = 32;
/// Most columns of a matrix that is factored where it lies: it is too small for rows of [`WIDTH`] to be worth it.
const NARROW: usize = 12;

/// Neighbouring columns of a matrix, each row filled up to [`WIDTH`].
pub(crate) type Panel<T> = Vec<[T; WIDTH]>;

/// Room for the columns of matrices with `n` rows.
pub(crate) fn panel<T: FloatElement>(n: usize) -> Checked<Panel<T>> {
    filled(n, [T::constant(0.0); WIDTH])
}

/// A matrix with rows `step` apart.
fn rows<T>(data: &[T], rows: usize, cols: usize, step: usize) -> Mat<'_, T> {
    Mat { data, rows, cols, row_stride: step as isize, col_stride: 1 }
}

fn column<T>(data: &[T]) -> Mat<'_, T> {
    Mat { data, rows: data.len(), cols: 1, row_stride: 1, col_stride: 1 }
}

/// `C ← C - A B` for the first `cols` columns of rows that are `step` apart.
fn subtract<T: FloatElement>(c: &mut [T], cols: usize, step: usize, a: Mat<T>, b: Mat<T>) -> Checked<()> {
    let c = MatMut { data: c, rows: a.rows, cols, row_stride: step as isize, col_stride: 1 };
    Ok(matmul(T::constant(-1.0), a, b, T::constant(1.0), c)?)
}

/// One step of elimination in rows of `step` elements: column `k` divided by the pivot, and as much of `top` taken
/// off each row.
#[inline(always)]
fn eliminate<T: FloatElement>(rows: &mut [T], step: usize, k: usize, pivot: T, top: &[T; WIDTH]) {
    for row in rows.chunks_exact_mut(step) {
        let factor = row[k] / pivot;
        // All of the row: what lies before column k has zeros in `top`.
        for (r, &t) in row.iter_mut().zip(top) {
            *r = *r - factor * t;
        }
        row[k] = factor;
    }
}
