//! Matrices as slices with strides, and what makes them valid operands.

/// A matrix to read: element `(i, j)` is `data[i * row_stride + j * col_stride]`. Strides are not negative.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mat<'a, T> {
    pub data: &'a [T],
    pub rows: usize,
    pub cols: usize,
    pub row_stride: isize,
    pub col_stride: isize,
}

/// A matrix to write, like [`Mat`]; no two elements may share a place.
#[derive(Debug)]
pub(crate) struct MatMut<'a, T> {
    pub data: &'a mut [T],
    pub rows: usize,
    pub cols: usize,
    pub row_stride: isize,
    pub col_stride: isize,
}

/// Whether all elements lie in a slice of `len`.
pub(super) fn fits(len: usize, rows: usize, cols: usize, row_stride: isize, col_stride: isize) -> bool {
    let span = |size: usize, stride: isize| usize::try_from(stride).ok()?.checked_mul(size - 1);
    let last = || span(rows, row_stride)?.checked_add(span(cols, col_stride)?);
    rows == 0 || cols == 0 || last().is_some_and(|last| last < len)
}

impl<'a, T> MatMut<'a, T> {
    /// Row after row.
    pub fn dense(data: &'a mut [T], rows: usize, cols: usize) -> Self {
        MatMut { data, rows, cols, row_stride: cols as isize, col_stride: 1 }
    }

    /// Whether each element has a place of its own: one axis steps over all of the other.
    pub(super) fn is_injective(&self) -> bool {
        let over = |outer: isize, size: usize, inner: isize| {
            inner >= 1 && (size as isize).checked_mul(inner).is_some_and(|reach| outer >= reach)
        };
        self.rows <= 1 && (self.cols <= 1 || self.col_stride >= 1)
            || self.cols <= 1 && self.row_stride >= 1
            || over(self.row_stride, self.cols, self.col_stride)
            || over(self.col_stride, self.rows, self.row_stride)
    }
}
