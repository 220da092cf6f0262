//! Symmetric positive definite matrices as squares of a triangle.
use super::panel::{NARROW, Panel, WIDTH, eliminate, rows, subtract};
use crate::{
    error::Checked,
    kernels::{FloatElement, matmul::Mat, vectorised::vectorised},
    real::Arithmetic,
};

/// The lower triangle L with `L Lᵀ = A`, of which only the lower triangle is read; or the order of the first
/// leading minor that is not positive. The panel is one for `n` rows.
#[inline]
pub(crate) fn cholesky<T: FloatElement>(
    a: &[T],
    n: usize,
    l: &mut [T],
    panel: &mut Panel<T>,
) -> Checked<Result<(), usize>> {
    l.fill(T::constant(0.0));
    if n <= NARROW {
        return Ok(one_by_one(a, n, l));
    }
    in_panels(a, n, l, panel)
}

fn in_panels<T: FloatElement>(
    a: &[T],
    n: usize,
    l: &mut [T],
    panel: &mut Panel<T>,
) -> Checked<Result<(), usize>> {
    for first in (0..n).step_by(WIDTH) {
        let width = WIDTH.min(n - first);
        let panel = &mut panel[first..];
        for (row, a) in panel.iter_mut().zip(a[first * n..].chunks_exact(n)) {
            row[..width].copy_from_slice(&a[first..first + width]);
        }
        if first > 0 {
            let (known, l) = (first, &l[first * n..]);
            let turned = Mat { data: l, rows: known, cols: width, row_stride: 1, col_stride: n as isize };
            subtract(panel.as_flattened_mut(), width, WIDTH, rows(l, n - first, known, n), turned)?;
        }
        if let Some(k) = factored(panel, width) {
            return Ok(Err(first + k + 1));
        }
        for (i, (row, l)) in panel.iter().zip(l[first * n..].chunks_exact_mut(n)).enumerate() {
            let width = width.min(i + 1);
            l[first..first + width].copy_from_slice(&row[..width]);
        }
    }
    Ok(Ok(()))
}

/// Each element of L by itself.
fn one_by_one<T: FloatElement>(a: &[T], n: usize, l: &mut [T]) -> Result<(), usize> {
    for i in 0..n {
        for j in 0..=i {
            let dot = (0..j).fold(T::constant(0.0), |sum, k| sum + l[i * n + k] * l[j * n + k]);
            let rest = a[i * n + j] - dot;
            if i > j {
                l[i * n + j] = rest / l[j * n + j];
            } else if rest.to_f64() > 0.0 {
                l[i * n + i] = Arithmetic::sqrt(rest);
            } else {
                return Err(i + 1);
            }
        }
    }
    Ok(())
}

vectorised! {
    /// Columns of L, in a panel that begins at their diagonal; or the first that has no root.
    fn factored(panel: &mut [[T; WIDTH]], width: usize) -> Option<usize> {
        for k in 0..width {
            let (done, rest) = panel.split_at_mut(k + 1);
            let pivot = &mut done[k][k];
            let positive = pivot.to_f64() > 0.0;
            if !positive {
                return Some(k);
            }
            *pivot = Arithmetic::sqrt(*pivot);
            let mut top = [T::constant(0.0); WIDTH];
            for (t, row) in top[k + 1..width].iter_mut().zip(&*rest) {
                *t = row[k] / *pivot;
            }
            eliminate(rest.as_flattened_mut(), WIDTH, k, *pivot, &top);
        }
        None
    }
}
