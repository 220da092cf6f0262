//! Singular values, in `f64`: those of a few columns by rotations of these (one-sided Jacobi: Golub and Van Loan,
//! Matrix Computations, §8.6), others of the bidiagonal form.
use super::{
    panel::rows,
    qd::squared_values,
    qr::diagonal,
    reflect::{Rows, bidiagonal, product},
};
use crate::{
    error::Checked,
    kernels::{FloatElement, matmul::Mat},
    tensor::room::{filled, listed},
};

/// Singular values in descending order with their vectors: `A = Σ s u vᵀ`, for A with `m` rows and `n`
/// columns.
pub(crate) struct Svd {
    pub s: Vec<f64>,
    /// For each value its left vector of `m` elements, 0 if the value is.
    pub u: Vec<f64>,
    /// For each value its right vector of `n` elements.
    pub v: Vec<f64>,
}

impl Svd {
    /// `Σ g u vᵀ` with other weights in the places of the values, for A with `m` rows and `n` columns.
    pub fn weighted(mut self, weights: impl Iterator<Item = f64>, m: usize, n: usize) -> Checked<Vec<f64>> {
        for (u, g) in self.u.chunks_exact_mut(m.max(1)).zip(weights) {
            u.iter_mut().for_each(|u| *u *= g);
        }
        let (mut out, k) = (filled(m * n, 0.0)?, self.s.len());
        let turned = Mat { data: &self.u, rows: m, cols: k, row_stride: 1, col_stride: m as isize };
        product(1.0, turned, rows(&self.v, k, n, n), 0.0, &mut out, n)?;
        Ok(out)
    }
}

/// Most columns that are rotated.
const FEW: usize = 5;

/// The singular values of a matrix of `m` rows and `n` columns in descending order.
pub(crate) fn singular_values<T: FloatElement>(a: &[T], m: usize, n: usize) -> Checked<Vec<f64>> {
    values_of(scaled(a, m, n)?, m.max(n), m.min(n))
}

fn values_of(a: Option<(Rows, f64)>, long: usize, short: usize) -> Checked<Vec<f64>> {
    let Some((mut a, unit)) = a else { return filled(short, f64::NAN) };
    let mut values = if short <= FEW {
        jacobi(&mut columns(&a, long, short)?, long, short, None)?
    } else {
        squared_values(bidiagonal(&mut a, long, short, None)?)?
    };
    values.iter_mut().for_each(|value| *value = value.sqrt() * unit);
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    Ok(values)
}

pub(crate) fn svd<T: FloatElement>(a: &[T], m: usize, n: usize) -> Checked<Svd> {
    svd_of(scaled(a, m, n)?, m, n)
}

fn svd_of(a: Option<(Rows, f64)>, m: usize, n: usize) -> Checked<Svd> {
    let [long, short] = [m.max(n), m.min(n)];
    let Some((mut a, unit)) = a else {
        let nan = |size| filled(size, f64::NAN);
        return Ok(Svd { s: nan(short)?, u: nan(short * m)?, v: nan(short * n)? });
    };
    let (mut u, mut v) = (Rows::new(short, long)?, Rows::new(short, short)?);
    let mut values = if short <= FEW {
        u = columns(&a, long, short)?;
        (0..short).for_each(|i| v.row_mut(i)[i] = 1.0);
        jacobi(&mut u, long, short, Some(&mut v))?
    } else {
        let [mut d, mut e] = bidiagonal(&mut a, long, short, Some([&mut u, &mut v]))?;
        diagonal(&mut d, &mut e, [&mut u, &mut v])?;
        d
    };
    for (i, value) in values.iter_mut().enumerate() {
        if short <= FEW {
            *value = value.sqrt();
            let length = *value;
            u.row_mut(i).iter_mut().for_each(|x| *x /= length);
        }
        if *value < 0.0 {
            v.row_mut(i).iter_mut().for_each(|x| *x = -*x);
        } else if *value == 0.0 {
            u.row_mut(i).fill(0.0);
        }
    }
    let mut order = listed(short, 0..short)?;
    order.sort_unstable_by(|&i, &j| values[j].abs().total_cmp(&values[i].abs()).then(i.cmp(&j)));
    let sorted = |x: &Rows, size: usize| {
        let mut list = filled(short * size, 0.0)?;
        for (to, &i) in list.chunks_exact_mut(size.max(1)).zip(&order) {
            to.copy_from_slice(&x.row(i)[..size]);
        }
        Checked::Ok(list)
    };
    let s = listed(short, order.iter().map(|&i| values[i].abs() * unit))?;
    let (u, v) = (sorted(&u, long)?, sorted(&v, short)?);
    Ok(if m < n { Svd { s, u: v, v: u } } else { Svd { s, u, v } })
}

/// The matrix, turned if it has more columns than rows, divided by the power of two next to its largest element: no
/// square overflows, and nothing is rounded. `None` if an element isn't finite.
fn scaled<T: FloatElement>(a: &[T], m: usize, n: usize) -> Checked<Option<(Rows, f64)>> {
    if !a.iter().all(|x| x.to_f64().is_finite()) {
        return Ok(None);
    }
    let largest = a.iter().fold(0.0, |most: f64, x| most.max(x.to_f64().abs()));
    let unit = f64::from_bits(largest.to_bits() & f64::INFINITY.to_bits()).max(f64::MIN_POSITIVE);
    let (size, [along, across]) = if m < n { (m, [1, n]) } else { (n, [n, 1]) };
    let mut scaled = Rows::new(m.max(n), size)?;
    for i in 0..m.max(n) {
        let from = a[(i * along).min(a.len())..].iter().step_by(across);
        scaled.row_mut(i)[..size].iter_mut().zip(from).for_each(|(r, x)| *r = x.to_f64() / unit);
    }
    Ok(Some((scaled, unit)))
}

/// The columns of a matrix as rows.
fn columns(a: &Rows, m: usize, n: usize) -> Checked<Rows> {
    let mut columns = Rows::new(n, m)?;
    for j in 0..n {
        columns.row_mut(j).iter_mut().zip(a.column(j)).for_each(|(to, x)| *to = x);
    }
    Ok(columns)
}

/// Sweeps over all pairs of columns after which rotations have long converged.
const SWEEPS: usize = 60;

/// Rotates the first `n` rows of u, of `m` elements, and with them those of v, of `n`, until all of u are
/// orthogonal: the squares of their lengths.
fn jacobi(u: &mut Rows, m: usize, n: usize, mut v: Option<&mut Rows>) -> Checked<Vec<f64>> {
    let dot = |u: &Rows, p, q| u.row(p)[..m].iter().zip(u.row(q)).map(|(x, y)| x * y).sum::<f64>();
    for _ in 0..SWEEPS {
        let mut turned = false;
        for (p, q) in (0..n).flat_map(|p| (p + 1..n).map(move |q| (p, q))) {
            let (alpha, beta, gamma) = (dot(u, p, p), dot(u, q, q), dot(u, p, q));
            if gamma == 0.0 || gamma.abs() <= f64::EPSILON * (alpha * beta).sqrt() {
                continue;
            }
            turned = true;
            let zeta = (beta - alpha) / (2.0 * gamma);
            let t = zeta.signum() / (zeta.abs() + (1.0 + zeta * zeta).sqrt());
            let c = 1.0 / (1.0 + t * t).sqrt();
            let s = c * t;
            let turn = |rows: &mut Rows, size| {
                let (left, right) = rows.data.split_at_mut(q * rows.step);
                let pair = left[p * rows.step..].as_flattened_mut().iter_mut().zip(right.as_flattened_mut());
                for (x, y) in pair.take(size) {
                    (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                }
            };
            turn(u, m);
            if let Some(v) = &mut v {
                turn(v, n);
            }
        }
        if !turned {
            break;
        }
    }
    listed(n, (0..n).map(|i| dot(u, i, i)))
}

/// The singular values of a square matrix by rotations alone, to compare with.
#[cfg(test)]
pub(super) fn rotated(a: &[f64], n: usize) -> Checked<Vec<f64>> {
    let mut u = Rows::new(n, n)?;
    for j in 0..n {
        u.row_mut(j)[..n].iter_mut().zip(a.iter().skip(j).step_by(n)).for_each(|(u, &a)| *u = a);
    }
    let mut values = jacobi(&mut u, n, n, None)?;
    values.iter_mut().for_each(|value| *value = value.sqrt());
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    Ok(values)
}
