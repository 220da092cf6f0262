//! QR steps, which chase a bulge down the diagonals of a bidiagonal matrix until the upper one is gone (Golub and
//! Van Loan, Matrix Computations, §8.6; with a shift of zero: Demmel and Kahan, 1990).
use super::reflect::{LANES, Rows};
use crate::{
    error::Checked,
    kernels::{FloatElement, vectorised::vectorised},
    tensor::room::filled,
};

/// Cosine and sine of the rotation that takes `(f, g)` to `(r, 0)`, and r.
fn rotation(f: f64, g: f64) -> ([f64; 2], f64) {
    // What squares to nothing is nothing beside the largest element, which is about 1.
    if g.abs() < 1e-150 {
        return ([1.0, 0.0], f);
    }
    let r = (f * f + g * g).sqrt();
    ([f / r, g / r], r)
}

vectorised! {
    /// Rotates each row with the next one, in strips of columns.
    fn rotate(rows: &mut [[T; LANES]], step: usize, turns: &[[T; 2]]) {
        for column in 0..step {
            let rows = &mut rows[column..];
            let mut x = rows[0];
            for (i, &[c, s]) in turns.iter().enumerate() {
                let y = rows[(i + 1) * step];
                let row = &mut rows[i * step];
                for j in 0..LANES {
                    (row[j], x[j]) = (c * x[j] + s * y[j], c * y[j] - s * x[j]);
                }
            }
            rows[turns.len() * step] = x;
        }
    }
}

/// QR steps for each singular value, after which the values have long converged.
const STEPS: usize = 60;

/// Makes what stands right of the diagonal vanish, with the rows of u and v turned alike.
pub(super) fn diagonal(d: &mut [f64], e: &mut [f64], mut vectors: [&mut Rows; 2]) -> Checked<()> {
    let largest = d.iter().chain(e.iter()).fold(0.0, |most: f64, x| most.max(x.abs()));
    let small = |x: f64| x.abs() <= f64::EPSILON / 2.0 * largest;
    let mut turns = [filled(d.len(), [1.0, 0.0])?, filled(d.len(), [1.0, 0.0])?];
    let mut end = d.len().saturating_sub(1);
    for _ in 0..STEPS * d.len() {
        while end > 0 && small(e[end - 1]) {
            end -= 1;
        }
        if end == 0 {
            break;
        }
        let start = e[..end].iter().rposition(|&e| small(e)).map_or(0, |i| i + 1);
        let (d, e) = (&mut d[start..=end], &mut e[start..end]);
        let [left, right] = turns.each_mut().map(|t| &mut t[..e.len()]);
        match shift(d, e, small) {
            Some(shift) => shifted(d, e, shift, left, right),
            None => unshifted(d, e, left, right),
        }
        for (rows, turns) in vectors.iter_mut().zip([left, right]) {
            rotate(&mut rows.data[start * rows.step..], rows.step, turns);
        }
    }
    Ok(())
}

/// The smaller singular value of the last two columns, if it is worth a difference; small elements of the diagonal
/// become 0.
fn shift(d: &mut [f64], e: &[f64], small: impl Fn(f64) -> bool) -> Option<f64> {
    let mut zero = false;
    for d in d.iter_mut().filter(|d| small(**d)) {
        *d = 0.0;
        zero = true;
    }
    let (&[first, ..], &[.., f, h], &[.., g], false) = (&*d, &*d, e, zero) else { return None };
    let length = |x: f64| (x * x + g * g).sqrt();
    let most = (length(f.abs() + h.abs()) + length(f.abs() - h.abs())) / 2.0;
    let shift = (f * h).abs() / most;
    ((shift / first) * (shift / first) >= f64::EPSILON).then_some(shift)
}

fn shifted(d: &mut [f64], e: &mut [f64], shift: f64, left: &mut [[f64; 2]], right: &mut [[f64; 2]]) {
    let last = e.len() - 1;
    let mut f = (d[0].abs() - shift) * (1f64.copysign(d[0]) + shift / d[0]);
    let mut g = e[0];
    for i in 0..=last {
        let ([c, s], r) = rotation(f, g);
        if i > 0 {
            e[i - 1] = r;
        }
        right[i] = [c, s];
        (f, e[i]) = (c * d[i] + s * e[i], c * e[i] - s * d[i]);
        (g, d[i + 1]) = (s * d[i + 1], c * d[i + 1]);
        let ([c, s], r) = rotation(f, g);
        left[i] = [c, s];
        d[i] = r;
        (f, d[i + 1]) = (c * e[i] + s * d[i + 1], c * d[i + 1] - s * e[i]);
        if i < last {
            (g, e[i + 1]) = (s * e[i + 1], c * e[i + 1]);
        }
    }
    e[last] = f;
}

/// With a shift of zero there is no difference that could cancel.
fn unshifted(d: &mut [f64], e: &mut [f64], left: &mut [[f64; 2]], right: &mut [[f64; 2]]) {
    let last = e.len() - 1;
    let (mut f, mut before) = (d[0], [1.0, 0.0]);
    for i in 0..=last {
        let ([c, s], r) = rotation(f, e[i]);
        if i > 0 {
            e[i - 1] = before[1] * r;
        }
        right[i] = [c, s];
        (before, d[i]) = rotation(before[0] * r, d[i + 1] * s);
        left[i] = before;
        f = d[i + 1] * c;
    }
    (d[last + 1], e[last]) = (f * before[0], f * before[1]);
}
