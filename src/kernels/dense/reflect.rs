//! Bidiagonal form by reflections (Golub and Kahan, 1965): a product with a vector from the left, one from the
//! right, and a product of two columns with two rows for both reflections of a step.
use super::panel::{column, rows};
use crate::{
    error::Checked,
    kernels::matmul::{Mat, MatMut, matmul},
    tensor::room::filled,
};

/// Elements of a block.
pub(super) const LANES: usize = 16;

/// A matrix in rows of whole blocks, an odd number of them: rows whose distance is a power of two would share few
/// places in the cache.
pub(super) struct Rows {
    pub data: Vec<[f64; LANES]>,
    /// Blocks of a row.
    pub step: usize,
}

impl Rows {
    /// Zeros.
    pub fn new(rows: usize, size: usize) -> Checked<Rows> {
        let step = size.div_ceil(LANES) | 1;
        Ok(Rows { data: filled(rows * step, [0.0; LANES])?, step })
    }

    /// A row with what fills it up.
    pub fn row(&self, i: usize) -> &[f64] {
        self.data[i * self.step..(i + 1) * self.step].as_flattened()
    }

    pub fn row_mut(&mut self, i: usize) -> &mut [f64] {
        self.data[i * self.step..(i + 1) * self.step].as_flattened_mut()
    }

    pub fn column(&self, j: usize) -> impl Iterator<Item = f64> + '_ {
        self.data.as_flattened().iter().skip(j).step_by(self.step * LANES).copied()
    }
}

/// The diagonal of a matrix's bidiagonal form and what stands right of it, which takes the place of `a`, of `m ≥ n`
/// rows. The rows of u and v become those of the products of all reflections.
pub(super) fn bidiagonal(
    a: &mut Rows,
    m: usize,
    n: usize,
    mut vectors: Option<[&mut Rows; 2]>,
) -> Checked<[Vec<f64>; 2]> {
    let (mut d, mut e) = (filled(n, 0.0)?, filled(n, 0.0)?);
    let mut factors = [filled(n, 0.0)?, filled(n, 0.0)?];
    let (mut columns, mut pair, step) = (filled(2 * m, 0.0)?, filled(2 * n, 0.0)?, a.step * LANES);
    for k in 0..n {
        let next = k + 1;
        let (left, image) = columns.split_at_mut(m);
        let left = &mut left[k..];
        left.iter_mut().zip(a.column(k).skip(k)).for_each(|(l, x)| *l = x);
        (d[k], factors[0][k]) = reflector(left)?;
        let t = factors[0][k];
        if let Some([u, _]) = &mut vectors {
            u.row_mut(k)[k..m].copy_from_slice(left);
        }
        if next == n {
            break;
        }
        let size = n - next;
        let (sums, right) = pair.split_at_mut(n);
        let (sums, right) = (&mut sums[next..], &mut right[next..]);
        product(
            1.0,
            rows(left, 1, m - k, m),
            rows(&a.data.as_flattened()[k * step + next..], m - k, size, step),
            0.0,
            sums,
            size,
        )?;
        left.iter_mut().for_each(|l| *l *= t);
        for ((r, &s), &x) in right.iter_mut().zip(&*sums).zip(&a.row(k)[next..n]) {
            *r = x - t * s;
        }
        (e[k], factors[1][next]) = reflector(right)?;
        let t = factors[1][next];
        if let Some([_, v]) = &mut vectors {
            v.row_mut(next)[next..n].copy_from_slice(right);
        }
        let Some(below) = a.data.as_flattened_mut().get_mut(next * step + next..) else { continue };
        product(t, rows(below, m - next, size, step), column(right), 0.0, &mut image[next..], 1)?;
        let both = t * dot(sums, right)?;
        image[next..].iter_mut().zip(&left[1..]).for_each(|(i, &l)| *i -= both * l);
        let columns =
            Mat { data: &columns[next..], rows: m - next, cols: 2, row_stride: 1, col_stride: m as isize };
        product(-1.0, columns, rows(&pair[next..], 2, size, n), 1.0, below, step)?;
    }
    if let Some([u, v]) = vectors {
        v.data.iter_mut().take(1).for_each(|block| block[0] = 1.0);
        accumulate(u, m, &factors[0])?;
        accumulate(v, n, &factors[1])?;
    }
    Ok([d, e])
}

/// `C ← alpha A B + beta C`, with rows of C `step` apart.
pub(super) fn product(
    alpha: f64,
    a: Mat<f64>,
    b: Mat<f64>,
    beta: f64,
    c: &mut [f64],
    step: usize,
) -> Checked<()> {
    let c = MatMut { data: c, rows: a.rows, cols: b.cols, row_stride: step as isize, col_stride: 1 };
    Ok(matmul(alpha, a, b, beta, c)?)
}

fn dot(x: &[f64], y: &[f64]) -> Checked<f64> {
    let mut sum = [0.0];
    product(1.0, rows(x, 1, x.len(), x.len()), column(y), 0.0, &mut sum, 1)?;
    Ok(sum[0])
}

/// Makes of `x` the vector w, beginning with 1, whose reflection `I - t w wᵀ` takes x to a multiple of the first
/// unit vector: that multiple, and t.
fn reflector(x: &mut [f64]) -> Checked<(f64, f64)> {
    let Some((first, rest)) = x.split_first_mut() else { return Ok((0.0, 0.0)) };
    let (alpha, square) = (std::mem::replace(first, 1.0), dot(rest, rest)?);
    if square == 0.0 {
        return Ok((alpha, 0.0));
    }
    let beta = -(alpha * alpha + square).sqrt().copysign(alpha);
    rest.iter_mut().for_each(|x| *x /= alpha - beta);
    Ok((beta, (beta - alpha) / beta))
}

/// Of reflectors in the rows of x, each beginning at the diagonal: the rows of their product.
fn accumulate(x: &mut Rows, size: usize, factors: &[f64]) -> Checked<()> {
    let step = x.step * LANES;
    let mut parts = filled(factors.len(), 0.0)?;
    for (k, &t) in factors.iter().enumerate().rev() {
        let (head, below) = x.data.as_flattened_mut().split_at_mut((k + 1) * step);
        let w = &mut head[k * step..][k..size];
        let (below, parts) = (below.get_mut(k..).unwrap_or_default(), &mut parts[k + 1..]);
        product(t, rows(below, parts.len(), size - k, step), column(w), 0.0, parts, 1)?;
        product(-1.0, column(parts), rows(w, 1, size - k, step), 1.0, below, step)?;
        w.iter_mut().for_each(|x| *x *= -t);
        w[0] += 1.0;
    }
    Ok(())
}
