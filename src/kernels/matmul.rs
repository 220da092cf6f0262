use crate::real::Number;
pub(crate) struct Mat<'a, T> {
    pub data: &'a [T],
    pub rows: usize,
    pub cols: usize,
    pub row_stride: isize,
    pub col_stride: isize,
}
pub(crate) struct MatMut<'a, T> {
    pub data: &'a mut [T],
    pub rows: usize,
    pub cols: usize,
    pub row_stride: isize,
    pub col_stride: isize,
}
pub trait MatmulElement: Number {}
impl MatmulElement for f32 {}
impl MatmulElement for f64 {}
pub(crate) fn matmul<T: MatmulElement>(alpha: T, a: Mat<T>, b: Mat<T>, beta: T, c: MatMut<T>) {
    for i in 0..c.rows {
        for j in 0..c.cols {
            let mut s = T::of(0.0);
            for k in 0..a.cols {
                s = s + a.data[(i as isize * a.row_stride + k as isize * a.col_stride) as usize]
                    * b.data[(k as isize * b.row_stride + j as isize * b.col_stride) as usize];
            }
            let o = &mut c.data[(i as isize * c.row_stride + j as isize * c.col_stride) as usize];
            *o = if beta.is_zero() { alpha * s } else { alpha * s + beta * *o };
        }
    }
}
pub(crate) fn batched_matmul<'a, T: MatmulElement + 'a>(
    c: &mut [T],
    m: usize,
    n: usize,
    a: impl Fn(usize) -> Mat<'a, T> + Sync,
    b: impl Fn(usize) -> Mat<'a, T> + Sync,
) {
    for (i, c) in c.chunks_mut(m * n).enumerate() {
        matmul(
            T::of(1.0),
            a(i),
            b(i),
            T::of(0.0),
            MatMut { data: c, rows: m, cols: n, row_stride: n as isize, col_stride: 1 },
        );
    }
}
