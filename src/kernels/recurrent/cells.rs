//! What happens to each element between a step's product and the next one's, there and back, in one pass. The
//! arithmetic is that of the single operations of a tape, in their order, so that a layer has their bits.
use crate::kernels::{
    FloatElement,
    vectorised::{MulAdd, vectorised},
};

/// Elements of a state that are worked on at a time.
const LANES: usize = 32;

/// A piece of each of the parts of a row, from `at` on, filled up with zeros.
#[inline(always)]
fn pieces<T: FloatElement, const N: usize>(row: &[T], size: usize, at: usize) -> [[T; LANES]; N] {
    let (mut all, len) = ([[T::constant(0.0); LANES]; N], LANES.min(size - at));
    for (k, piece) in all.iter_mut().enumerate() {
        let from = &row[k * size + at..][..len];
        match <&[T; LANES]>::try_from(from) {
            Ok(whole) => *piece = *whole,
            Err(_) => piece[..len].copy_from_slice(from),
        }
    }
    all
}

/// The same of rows that have one part each.
#[inline(always)]
fn piece<T: FloatElement, const N: usize>(rows: [&[T]; N], size: usize, at: usize) -> [[T; LANES]; N] {
    let mut all = [[T::constant(0.0); LANES]; N];
    for k in 0..N {
        [all[k]] = pieces(rows[k], size, at);
    }
    all
}

/// Puts the pieces to where they came from.
#[inline(always)]
fn put<T: FloatElement, const N: usize>(all: &[[T; LANES]; N], row: &mut [T], size: usize, at: usize) {
    let len = LANES.min(size - at);
    for (k, piece) in all.iter().enumerate() {
        let to = &mut row[k * size + at..][..len];
        match <&mut [T; LANES]>::try_from(&mut *to) {
            Ok(whole) => *whole = *piece,
            Err(_) => to.copy_from_slice(&piece[..len]),
        }
    }
}

#[inline(always)]
fn sigmoid_slope<T: FloatElement>(g: T, y: T) -> T {
    g * y * (T::constant(1.0) - y)
}

#[inline(always)]
fn tanh_slope<T: FloatElement>(g: T, y: T) -> T {
    g * (T::constant(1.0) - y * y)
}

/// Part of a gradient that is put together of parts, as zeros to which they are added: -0 becomes 0.
#[inline(always)]
fn as_part<T: FloatElement>(g: T) -> T {
    T::constant(0.0) + g
}

vectorised! {
    /// `tanh(x + h)` in the place of x, or `max(x + h, 0)`.
    pub(super) fn simple fused fma (relu: bool, x: &mut [T], h: &[T]) {
        let (zero, h) = (T::constant(0.0), &h[..x.len()]);
        if relu {
            for (x, &h) in x.iter_mut().zip(h) {
                let sum = *x + h;
                *x = T::select(sum.less_equal(zero), zero, sum);
            }
        } else {
            x.iter_mut().zip(h).for_each(|(x, &h)| *x = fma.tanh(*x + h));
        }
    }
}

vectorised! {
    /// Its gradient at the results y, of which `grad` and `dh` are the gradients.
    pub(super) fn simple_back(relu: bool, y: &[T], grad: &[T], dh: &[T], out: &mut [T]) {
        let (zero, n) = (T::constant(0.0), out.len());
        let (y, grad, dh) = (&y[..n], &grad[..n], &dh[..n]);
        if relu {
            (0..n).for_each(|i| out[i] = as_part(T::select(y[i].less_equal(zero), zero, grad[i] + dh[i])));
        } else {
            (0..n).for_each(|i| out[i] = as_part(tanh_slope(grad[i] + dh[i], y[i])));
        }
    }
}

vectorised! {
    /// Rows of `i, f, g, o`: from their inputs' parts, and from the cells before, the gates, the cells and
    /// the state.
    pub(super) fn lstm fused fma (
        size: usize, gates: &mut [T], h: &[T], before: &[T], cells: &mut [T], out: &mut [T]
    ) {
        let rows = gates.chunks_exact_mut(4 * size).zip(h.chunks_exact(4 * size));
        let rows = rows.zip(before.chunks_exact(size));
        let rows = rows.zip(cells.chunks_exact_mut(size)).zip(out.chunks_exact_mut(size));
        for ((((gates, h), before), cells), out) in rows {
            for at in (0..size).step_by(LANES) {
                let (mut own, h): ([_; 4], [_; 4]) = (pieces(gates, size, at), pieces(h, size, at));
                let [mut c] = pieces(before, size, at);
                let mut y = c;
                for l in 0..LANES {
                    let i = fma.sigmoid(own[0][l] + h[0][l]);
                    let f = fma.sigmoid(own[1][l] + h[1][l]);
                    let g = fma.tanh(own[2][l] + h[2][l]);
                    let o = fma.sigmoid(own[3][l] + h[3][l]);
                    c[l] = f * c[l] + i * g;
                    y[l] = o * fma.tanh(c[l]);
                    (own[0][l], own[1][l], own[2][l], own[3][l]) = (i, f, g, o);
                }
                put(&own, gates, size, at);
                put(&[c], cells, size, at);
                put(&[y], out, size, at);
            }
        }
    }
}

vectorised! {
    /// The gates' gradients in their places, from those of the state, `grad` and `dh`, and of the cells,
    /// `carry`, which becomes that of the cells before.
    pub(super) fn lstm_back fused fma (
        size: usize, gates: &mut [T], cells: &[T], before: &[T], grad: &[T], dh: &[T], carry: &mut [T]
    ) {
        let rows = gates.chunks_exact_mut(4 * size).zip(cells.chunks_exact(size));
        let rows = rows.zip(before.chunks_exact(size)).zip(grad.chunks_exact(size));
        let rows = rows.zip(dh.chunks_exact(size)).zip(carry.chunks_exact_mut(size));
        for (((((gates, cells), before), grad), dh), carry) in rows {
            for at in (0..size).step_by(LANES) {
                let mut own: [_; 4] = pieces(gates, size, at);
                let [c, before, grad, dh] = piece([cells, before, grad, dh], size, at);
                let [mut dc] = pieces(carry, size, at);
                for l in 0..LANES {
                    let [i, f, g, o] = [own[0][l], own[1][l], own[2][l], own[3][l]];
                    let (t, dy) = (fma.tanh(c[l]), grad[l] + dh[l]);
                    let d = dc[l] + tanh_slope(dy * o, t);
                    own[0][l] = as_part(sigmoid_slope(d * g, i));
                    own[1][l] = as_part(sigmoid_slope(d * before[l], f));
                    own[2][l] = as_part(tanh_slope(d * i, g));
                    own[3][l] = as_part(sigmoid_slope(dy * t, o));
                    dc[l] = d * f;
                }
                put(&own, gates, size, at);
                put(&[dc], carry, size, at);
            }
        }
    }
}

vectorised! {
    /// Rows of `r, z, n`: from their inputs' parts the gates, the state's part of n, and the state.
    pub(super) fn gru fused fma (
        size: usize, gates: &mut [T], h: &[T], before: &[T], parts: &mut [T], out: &mut [T]
    ) {
        let rows = gates.chunks_exact_mut(3 * size).zip(h.chunks_exact(3 * size));
        let rows = rows.zip(before.chunks_exact(size));
        let rows = rows.zip(parts.chunks_exact_mut(size)).zip(out.chunks_exact_mut(size));
        for ((((gates, h), before), parts), out) in rows {
            for at in (0..size).step_by(LANES) {
                let (mut own, h): ([_; 3], [_; 3]) = (pieces(gates, size, at), pieces(h, size, at));
                let [mut y] = pieces(before, size, at);
                for l in 0..LANES {
                    let r = fma.sigmoid(own[0][l] + h[0][l]);
                    let z = fma.sigmoid(own[1][l] + h[1][l]);
                    let n = fma.tanh(own[2][l] + r * h[2][l]);
                    y[l] = n + z * (y[l] - n);
                    (own[0][l], own[1][l], own[2][l]) = (r, z, n);
                }
                put(&own, gates, size, at);
                put(&[h[2]], parts, size, at);
                put(&[y], out, size, at);
            }
        }
    }
}

vectorised! {
    /// The gradients of the inputs' parts in the gates' places, and of the state's parts, `deltas`, from
    /// those of the state: `grad`, `carry`, which becomes what goes to the state before past the gates, and
    /// `dh`.
    pub(super) fn gru_back(
        size: usize, gates: &mut [T], parts: &[T], before: &[T], grad: &[T], dh: &[T], carry: &mut [T],
        deltas: &mut [T]
    ) {
        let rows = gates.chunks_exact_mut(3 * size).zip(parts.chunks_exact(size));
        let rows = rows.zip(before.chunks_exact(size)).zip(grad.chunks_exact(size));
        let rows = rows.zip(dh.chunks_exact(size)).zip(carry.chunks_exact_mut(size));
        let rows = rows.zip(deltas.chunks_exact_mut(3 * size));
        for ((((((gates, parts), before), grad), dh), carry), deltas) in rows {
            for at in (0..size).step_by(LANES) {
                let mut own: [_; 3] = pieces(gates, size, at);
                let [h, before, grad, dh] = piece([parts, before, grad, dh], size, at);
                let [mut past] = pieces(carry, size, at);
                let mut of_h = h;
                for l in 0..LANES {
                    let [r, z, n] = [own[0][l], own[1][l], own[2][l]];
                    let d = grad[l] + past[l] + dh[l];
                    past[l] = d * z;
                    let dn = tanh_slope(d - past[l], n);
                    own[0][l] = as_part(sigmoid_slope(dn * h[l], r));
                    own[1][l] = as_part(sigmoid_slope(d * (before[l] - n), z));
                    own[2][l] = as_part(dn);
                    of_h[l] = as_part(dn * r);
                }
                put(&own, gates, size, at);
                put(&[own[0], own[1], of_h], deltas, size, at);
                put(&[past], carry, size, at);
            }
        }
    }
}
