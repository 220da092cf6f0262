//! Products with matrices whose columns are windows of an image, read where they lie.
use super::{
    mat::{Mat, MatMut, fits},
    places::{Grid, MAX_COLS, Places},
    product::{GRAIN, Kernel, MatmulElement, Misfit, Product, View},
};
use crate::threads;
use std::ptr::NonNull;

/// Elements that are read behind the last one, and dropped.
pub(crate) const SLACK: usize = 16;

/// A matrix to read: element `(i, j)` is `data[rows[i] + columns[j]]`. Behind the last one there are [`SLACK`]
/// others.
pub(crate) struct Windows<'a, T> {
    pub data: &'a [T],
    pub rows: Grid,
    pub columns: Grid,
}

/// `c = a b + beta c`, on this thread alone or on all.
pub(crate) fn matmul_windows<T: MatmulElement>(
    a: Mat<T>,
    b: &Windows<T>,
    beta: T,
    c: MatMut<T>,
    alone: bool,
) -> Result<(), Misfit> {
    let end = b.rows.last().zip(b.columns.last()).and_then(|(row, column)| row.checked_add(column));
    let ok = b.rows.len() == Some(a.cols)
        && b.columns.len() == Some(c.cols)
        && a.rows == c.rows
        && end.and_then(|end| end.checked_add(SLACK)).is_some_and(|end| end < b.data.len())
        && fits(a.data.len(), a.rows, a.cols, a.row_stride, a.col_stride)
        && fits(c.data.len(), c.rows, c.cols, c.row_stride, c.col_stride)
        && c.is_injective();
    if !ok {
        return Err(Misfit);
    }
    let view = View { data: c.data.as_mut_ptr(), row: c.row_stride, col: c.col_stride };
    let product = Product {
        m: a.rows,
        n: c.cols,
        k: a.cols,
        alpha: T::ONE,
        beta,
        a: View { data: a.data.as_ptr().cast_mut(), row: a.row_stride, col: a.col_stride },
        b: View { data: b.data.as_ptr().cast_mut(), row: 0, col: 0 },
        c: view,
        start: view,
        places: None,
    };
    if product.m == 0 || product.n == 0 {
        return Ok(());
    }
    let parts = if alone { 1 } else { product.parts(GRAIN) };
    // Whole tiles.
    let step = product.n.div_ceil(parts).next_multiple_of(MAX_COLS);
    let part = |i: usize| {
        let (first, n) = (i * step, step.min(product.n - i * step));
        let places = Places { rows: b.rows, columns: b.columns, first };
        let product = &product;
        // SAFETY: the first column is in C, tasks have different ones, and the rest was checked.
        unsafe {
            let target = product.target(0, first);
            T::compute(Kernel::Tiles, &Product { n, places: Some(NonNull::from(&places)), ..target });
        }
    };
    match product.n.div_ceil(step) {
        1 => part(0),
        parts => threads::parallel_for(parts, &part),
    }
    Ok(())
}
