//! Triangular systems.
use super::panel::{WIDTH, rows, subtract};
use crate::{
    error::Checked,
    kernels::{FloatElement, vectorised::vectorised},
};

/// Most rows for which it isn't worth it to go through strips.
const FEW: usize = 4;

/// A triangle of a matrix with `n` rows, `step` apart. The rest of the matrix isn't read, and the diagonal
/// isn't if it is 1 (`unit`).
#[derive(Clone, Copy)]
pub(crate) struct Triangle<'a, T> {
    pub data: &'a [T],
    pub step: usize,
    pub n: usize,
    pub upper: bool,
    pub unit: bool,
}

impl<T: FloatElement> Triangle<'_, T> {
    /// `B ← A⁻¹ B` for B with rows of `k` elements, `step` apart.
    #[inline]
    pub fn solve(&self, b: &mut [T], k: usize, step: usize) -> Checked<()> {
        if self.n <= FEW {
            one_by_one(self, b, k, step);
            return Ok(());
        }
        self.in_blocks(b, k, step)
    }

    fn in_blocks(&self, b: &mut [T], k: usize, step: usize) -> Checked<()> {
        let n = self.n;
        for done in (0..n).step_by(WIDTH) {
            let size = WIDTH.min(n - done);
            let first = if self.upper { n - done - size } else { done };
            if done > 0 {
                let (head, tail) = b.split_at_mut(if self.upper { first + size } else { first } * step);
                let (b, other, from) = if self.upper {
                    (&mut head[first * step..], tail, first + size)
                } else {
                    (tail, head, 0)
                };
                let a = rows(&self.data[first * self.step + from..], size, done, self.step);
                subtract(b, k, step, a, rows(other, done, k, step))?;
            }
            let data = &self.data[first * (self.step + 1)..];
            substitute(&Triangle { data, n: size, ..*self }, &mut b[first * step..], k, step);
        }
        Ok(())
    }
}

/// Row after row.
#[inline]
fn one_by_one<T: FloatElement>(a: &Triangle<T>, b: &mut [T], k: usize, step: usize) {
    for done in 0..a.n {
        let i = if a.upper { a.n - 1 - done } else { done };
        let (head, tail) = b.split_at_mut(i * step);
        let (row, tail) = tail.split_at_mut(k);
        let known = if a.upper { i + 1..a.n } else { 0..i };
        for j in known {
            let other = if a.upper { &tail[(j - i) * step - k..] } else { &head[j * step..] };
            let factor = a.data[i * a.step + j];
            for (r, &o) in row.iter_mut().zip(&other[..k]) {
                *r = *r - factor * o;
            }
        }
        if !a.unit {
            let d = a.data[i * (a.step + 1)];
            row.iter_mut().for_each(|r| *r = *r / d);
        }
    }
}

vectorised! {
    /// The rows of B one after the other, in strips of columns that fit the registers.
    fn substitute(a: &Triangle<T>, b: &mut [T], k: usize, step: usize) {
        let mut from = 0;
        while from + 64 <= k {
            strip::<T, 64>(a, &mut b[from..], step);
            from += 64;
        }
        while from + 16 <= k {
            strip::<T, 16>(a, &mut b[from..], step);
            from += 16;
        }
        while from + 4 <= k {
            strip::<T, 4>(a, &mut b[from..], step);
            from += 4;
        }
        while from < k {
            strip::<T, 1>(a, &mut b[from..], step);
            from += 1;
        }
    }
}

#[inline(always)]
fn strip<T: FloatElement, const K: usize>(a: &Triangle<T>, b: &mut [T], step: usize) {
    for done in 0..a.n {
        let i = if a.upper { a.n - 1 - done } else { done };
        let mut sum = [T::constant(0.0); K];
        sum.copy_from_slice(&b[i * step..][..K]);
        let from = if a.upper { i + 1 } else { 0 };
        for (j, &factor) in a.data[i * a.step..][from..from + done].iter().enumerate() {
            for (s, &x) in sum.iter_mut().zip(&b[(from + j) * step..][..K]) {
                *s = *s - factor * x;
            }
        }
        if !a.unit {
            let d = a.data[i * (a.step + 1)];
            sum.iter_mut().for_each(|s| *s = *s / d);
        }
        b[i * step..][..K].copy_from_slice(&sum);
    }
}
