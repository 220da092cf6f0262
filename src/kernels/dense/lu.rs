//! Matrices as the product of a permutation, a lower and an upper triangle.
use super::{
    panel::{NARROW, Panel, WIDTH, eliminate, panel, rows, subtract},
    triangle::Triangle,
};
use crate::{
    error::Checked,
    kernels::{FloatElement, vectorised::vectorised},
    tensor::room::{filled, listed},
};

/// The factors of one matrix after another.
pub(crate) struct Lu<T> {
    n: usize,
    /// Upper triangle with diagonal, and below it the lower one, whose diagonal is 1.
    factors: Vec<T>,
    /// Which row of the matrix each row of the factors is.
    rows: Vec<usize>,
    /// Whether the permutation is odd.
    odd: bool,
    panel: Panel<T>,
}

impl<T: FloatElement> Lu<T> {
    /// Room for matrices of `n` rows.
    pub fn new(n: usize) -> Checked<Lu<T>> {
        let factors = filled(n * n, T::constant(0.0))?;
        Ok(Lu { n, factors, rows: listed(n, 0..n)?, odd: false, panel: panel(n)? })
    }

    pub fn factor(&mut self, a: &[T]) -> Checked<()> {
        let n = self.n;
        self.factors.copy_from_slice(a);
        self.rows.iter_mut().enumerate().for_each(|(i, row)| *row = i);
        self.odd = false;
        let mut pivots = [0; WIDTH];
        if n <= NARROW {
            factored(&mut self.factors, n, &mut pivots[..n]);
            self.exchange(0, &pivots[..n]);
            return Ok(());
        }
        for first in (0..n).step_by(WIDTH) {
            let width = WIDTH.min(n - first);
            for (row, f) in self.panel.iter_mut().zip(self.factors.chunks_exact(n)) {
                row[..width].copy_from_slice(&f[first..first + width]);
            }
            let (upper, lower) = self.panel.split_at_mut(first);
            if first > 0 {
                let upper = upper.as_flattened_mut();
                let known = Triangle { data: &self.factors, step: n, n: first, upper: false, unit: true };
                known.solve(upper, width, WIDTH)?;
                let left = rows(&self.factors[first * n..], n - first, first, n);
                subtract(lower.as_flattened_mut(), width, WIDTH, left, rows(upper, first, width, WIDTH))?;
            }
            factored(lower.as_flattened_mut(), WIDTH, &mut pivots[..width]);
            self.exchange(first, &pivots[..width]);
            for (k, &pivot) in pivots[..width].iter().enumerate().filter(|(k, pivot)| k != *pivot) {
                let (above, below) = self.factors.split_at_mut((first + pivot) * n);
                above[(first + k) * n..][..n].swap_with_slice(&mut below[..n]);
            }
            for (row, f) in self.panel.iter().zip(self.factors.chunks_exact_mut(n)) {
                f[first..first + width].copy_from_slice(&row[..width]);
            }
        }
        Ok(())
    }

    /// Notes that rows from `first` on were exchanged with those where their pivots were found.
    fn exchange(&mut self, first: usize, pivots: &[usize]) {
        for (k, &pivot) in pivots.iter().enumerate().filter(|(k, pivot)| k != *pivot) {
            self.rows.swap(first + k, first + pivot);
            self.odd = !self.odd;
        }
    }

    pub fn diagonal(&self) -> impl Iterator<Item = T> + '_ {
        (0..self.n).map(|i| self.factors[i * self.n + i])
    }

    /// Whether the rows were exchanged an odd number of times.
    pub fn is_odd(&self) -> bool {
        self.odd
    }

    /// The place of the first pivot that is 0, if the matrix is singular.
    pub fn singular(&self) -> Option<usize> {
        self.diagonal().position(|d| magnitude(d) == 0.0)
    }

    pub fn determinant(&self) -> T {
        let sign = T::constant(if self.odd { -1.0 } else { 1.0 });
        self.diagonal().fold(sign, |product, d| product * d)
    }

    /// `A⁻¹ B` for `B` with `k` columns.
    pub fn solve(&self, b: &[T], k: usize, out: &mut [T]) -> Checked<()> {
        for (row, &from) in out.chunks_exact_mut(k.max(1)).zip(&self.rows) {
            row.copy_from_slice(&b[from * k..(from + 1) * k]);
        }
        let upper = Triangle { data: &self.factors, step: self.n, n: self.n, upper: true, unit: false };
        Triangle { upper: false, unit: true, ..upper }.solve(out, k, k)?;
        upper.solve(out, k, k)
    }
}

#[inline(always)]
fn magnitude<T: FloatElement>(v: T) -> f64 {
    v.to_f64().abs()
}

vectorised! {
    /// The first columns of the factors, in place of rows of `step` elements, which are exchanged, and in which row
    /// each pivot was found.
    fn factored(rows: &mut [T], step: usize, pivots: &mut [usize]) {
        // A known step is worth code of its own.
        if step == WIDTH { pivoted(rows, WIDTH, pivots) } else { pivoted(rows, step, pivots) }
    }
}

#[inline(always)]
fn pivoted<T: FloatElement>(rows: &mut [T], step: usize, pivots: &mut [usize]) {
    for (k, pivot) in pivots.iter_mut().enumerate() {
        let (mut best, mut most) = (k, magnitude(rows[k * step + k]));
        for (i, row) in rows.chunks_exact(step).enumerate().skip(k + 1) {
            if magnitude(row[k]) > most {
                (best, most) = (i, magnitude(row[k]));
            }
        }
        *pivot = best;
        if best != k {
            let (above, below) = rows.split_at_mut(best * step);
            above[k * step..][..step].swap_with_slice(&mut below[..step]);
        }
        if most == 0.0 {
            continue;
        }
        let (done, rest) = rows.split_at_mut((k + 1) * step);
        let row = &done[k * step..];
        let mut top = [T::constant(0.0); WIDTH];
        top[k + 1..step].copy_from_slice(&row[k + 1..]);
        eliminate(rest, step, k, row[k], &top);
    }
}
