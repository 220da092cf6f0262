//! Factorisations of small dense matrices, each row after row in a slice: LU with partial pivoting, Cholesky,
//! triangular systems, singular values by one-sided Jacobi rotations (Golub and Van Loan, Matrix
//! Computations, §3.4, §4.2, §8.6).
use crate::{
    error::Checked,
    kernels::FloatElement,
    real::Arithmetic,
    tensor::room::{filled, listed, room},
};

/// A matrix as the product of a permutation, a lower and an upper triangle.
pub(crate) struct Lu<T> {
    n: usize,
    /// Upper triangle with diagonal, and below it the lower one, whose diagonal is 1.
    factors: Vec<T>,
    /// Which row of the matrix each row of the factors is.
    rows: Vec<usize>,
    /// Whether the permutation is odd.
    odd: bool,
}

impl<T: FloatElement> Lu<T> {
    pub fn new(a: &[T], n: usize) -> Checked<Lu<T>> {
        let mut f = listed(a.len(), a.iter().copied())?;
        let (mut rows, mut odd) = (listed(n, 0..n)?, false);
        for k in 0..n {
            let mut best = k;
            for i in k + 1..n {
                if magnitude(f[i * n + k]) > magnitude(f[best * n + k]) {
                    best = i;
                }
            }
            if best != k {
                rows.swap(best, k);
                odd = !odd;
                for j in 0..n {
                    f.swap(best * n + j, k * n + j);
                }
            }
            let pivot = f[k * n + k];
            if magnitude(pivot) == 0.0 {
                continue;
            }
            let (upper, lower) = f.split_at_mut((k + 1) * n);
            let top = &upper[k * n..];
            for row in lower.chunks_exact_mut(n) {
                let factor = row[k] / pivot;
                row[k] = factor;
                for (r, &t) in row[k + 1..].iter_mut().zip(&top[k + 1..]) {
                    *r = *r - factor * t;
                }
            }
        }
        Ok(Lu { n, factors: f, rows, odd })
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
    pub fn solve(&self, b: &[T], k: usize, out: &mut [T]) {
        for (row, &from) in out.chunks_exact_mut(k.max(1)).zip(&self.rows) {
            row.copy_from_slice(&b[from * k..(from + 1) * k]);
        }
        triangular(&self.factors, self.n, out, k, false, true);
        triangular(&self.factors, self.n, out, k, true, false);
    }
}

fn magnitude<T: FloatElement>(v: T) -> f64 {
    v.to_f64().abs()
}

/// `B ← A⁻¹ B` for a triangle A, of which only that triangle is read, and not its diagonal if that is `unit`.
pub(crate) fn triangular<T: FloatElement>(a: &[T], n: usize, b: &mut [T], k: usize, upper: bool, unit: bool) {
    for step in 0..n {
        let i = if upper { n - 1 - step } else { step };
        let (head, tail) = b.split_at_mut(i * k);
        let (row, tail) = tail.split_at_mut(k);
        let known = if upper { i + 1..n } else { 0..i };
        for j in known {
            let other = if upper { &tail[(j - i - 1) * k..] } else { &head[j * k..] };
            let factor = a[i * n + j];
            for (r, &o) in row.iter_mut().zip(&other[..k]) {
                *r = *r - factor * o;
            }
        }
        if !unit {
            let d = a[i * n + i];
            row.iter_mut().for_each(|r| *r = *r / d);
        }
    }
}

/// The lower triangle L with `L Lᵀ = A`, of which only the lower triangle is read; or the order of the first
/// leading minor that is not positive.
pub(crate) fn cholesky<T: FloatElement>(a: &[T], n: usize, l: &mut [T]) -> Result<(), usize> {
    l.fill(T::constant(0.0));
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

/// Singular values in descending order with their vectors: `A = Σ s uᵀ v`, for A with `m` rows and `n`
/// columns.
pub(crate) struct Svd {
    pub s: Vec<f64>,
    /// For each value its left vector of `m` elements.
    pub u: Vec<Vec<f64>>,
    /// For each value its right vector of `n` elements.
    pub v: Vec<Vec<f64>>,
}

/// Sweeps over all pairs of columns after which rotations have long converged.
const SWEEPS: usize = 60;

pub(crate) fn svd<T: FloatElement>(a: &[T], m: usize, n: usize) -> Checked<Svd> {
    if m < n {
        let turned = listed(a.len(), (0..n * m).map(|i| a[i % m * n + i / m]))?;
        let Svd { s, u, v } = svd(&turned, n, m)?;
        return Ok(Svd { s, u: v, v: u });
    }
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    // Columns of A are rotated until all are orthogonal; V follows.
    let (mut u, mut v): (Vec<Vec<f64>>, Vec<Vec<f64>>) = (room(n)?, room(n)?);
    for j in 0..n {
        u.push(listed(m, (0..m).map(|i| a[i * n + j].to_f64()))?);
        v.push(filled(n, 0.0)?);
        v[j][j] = 1.0;
    }
    for _ in 0..SWEEPS {
        let mut turned = false;
        for p in 0..n {
            for q in p + 1..n {
                let (alpha, beta, gamma) = (dot(&u[p], &u[p]), dot(&u[q], &u[q]), dot(&u[p], &u[q]));
                if gamma == 0.0 || gamma.abs() <= f64::EPSILON * (alpha * beta).sqrt() {
                    continue;
                }
                turned = true;
                let zeta = (beta - alpha) / (2.0 * gamma);
                let t = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
                let c = 1.0 / (1.0 + t * t).sqrt();
                let s = c * t;
                for columns in [&mut u, &mut v] {
                    let (left, right) = columns.split_at_mut(q);
                    for (x, y) in left[p].iter_mut().zip(right[0].iter_mut()) {
                        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                    }
                }
            }
        }
        if !turned {
            break;
        }
    }
    let norms = listed(n, u.iter().map(|c| dot(c, c).sqrt()))?;
    let mut order = listed(n, 0..n)?;
    order.sort_unstable_by(|&i, &j| norms[j].total_cmp(&norms[i]).then(i.cmp(&j)));
    for (u, &norm) in u.iter_mut().zip(&norms) {
        let scale = if norm == 0.0 { 0.0 } else { 1.0 / norm };
        u.iter_mut().for_each(|x| *x *= scale);
    }
    Ok(Svd {
        s: listed(n, order.iter().map(|&i| norms[i]))?,
        u: listed(n, order.iter().map(|&i| std::mem::take(&mut u[i])))?,
        v: listed(n, order.iter().map(|&i| std::mem::take(&mut v[i])))?,
    })
}
