//! Folding axes away: sums, products, largest and smallest. The order of additions depends on the shape
//! alone, never on the number of threads.
use crate::{
    kernels::{FloatElement, vectorised::vectorised},
    tensor::{Shape, Tensor},
    threads,
};
use smallvec::SmallVec;

/// A way to fold many numbers into one.
pub(crate) trait Fold: Copy + Sync {
    fn start<T: FloatElement>(self) -> T;
    fn step<T: FloatElement>(self, acc: T, x: T) -> T;
    /// Combines two partial results.
    fn merge<T: FloatElement>(self, a: T, b: T) -> T {
        self.step(a, b)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Sum;
#[derive(Clone, Copy)]
pub(crate) struct Product;
/// The largest; NaN if there is one.
#[derive(Clone, Copy)]
pub(crate) struct Largest;
/// The smallest; NaN if there is one.
#[derive(Clone, Copy)]
pub(crate) struct Smallest;

impl Fold for Sum {
    #[inline(always)]
    fn start<T: FloatElement>(self) -> T {
        T::constant(0.0)
    }
    #[inline(always)]
    fn step<T: FloatElement>(self, acc: T, x: T) -> T {
        acc + x
    }
}

impl Fold for Product {
    #[inline(always)]
    fn start<T: FloatElement>(self) -> T {
        T::constant(1.0)
    }
    #[inline(always)]
    fn step<T: FloatElement>(self, acc: T, x: T) -> T {
        acc * x
    }
}

impl Fold for Largest {
    #[inline(always)]
    fn start<T: FloatElement>(self) -> T {
        T::constant(f64::NEG_INFINITY)
    }
    #[inline(always)]
    fn step<T: FloatElement>(self, acc: T, x: T) -> T {
        T::select(acc.greater_equal(x) | acc.is_nan(), acc, x)
    }
}

impl Fold for Smallest {
    #[inline(always)]
    fn start<T: FloatElement>(self) -> T {
        T::constant(f64::INFINITY)
    }
    #[inline(always)]
    fn step<T: FloatElement>(self, acc: T, x: T) -> T {
        T::select(acc.less_equal(x) | acc.is_nan(), acc, x)
    }
}

/// Accumulators that run side by side in a row.
pub(crate) const LANES: usize = 32;
/// Elements whose sum is taken before it joins the others: keeps rounding errors of long f32 sums small.
const BLOCK: usize = 1024;
/// Elements per task.
const GRAIN: usize = 32 * 1024;

/// Folds the given axes (sorted, unique) of `x` into size 1 (with `keep`) or away.
pub(crate) fn fold<T: FloatElement, F: Fold>(f: F, x: &Tensor<T>, axes: &[usize], keep: bool) -> Tensor<T> {
    let (kept, full) = shapes(x.shape(), axes, keep);
    let Some([outer, n, inner]) = three_axes(x.shape(), axes).filter(|_| x.is_contiguous()) else {
        // Bring the folded axes to the end; then they are one run.
        let order: SmallVec<[isize; 6]> = (0..x.rank())
            .filter(|a| !axes.contains(a))
            .chain(axes.iter().copied())
            .map(|a| a as isize)
            .collect();
        let moved = x.layout().permute(&order).map(|l| x.view(l).contiguous());
        let Ok(moved) = moved else { return x.clone() };
        if moved.lack().is_some() {
            return moved;
        }
        let outer = kept.numel();
        return Tensor::build(full, |out| {
            rows(f, moved.as_slice().unwrap_or_default(), outer, moved.numel() / outer.max(1), out);
        });
    };
    let data = x.as_slice().unwrap_or_default();
    Tensor::build(full, |out| {
        if inner == 1 {
            rows(f, data, outer, n, out);
        } else {
            columns(f, data, n, inner, out);
        }
    })
}

/// Shape without the axes, and shape of the result.
fn shapes(shape: &Shape, axes: &[usize], keep: bool) -> (Shape, Shape) {
    let left: Shape = shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, &d)| d).collect();
    let full = if keep {
        shape.iter().enumerate().map(|(i, &d)| if axes.contains(&i) { 1 } else { d }).collect()
    } else {
        left.clone()
    };
    (left, full)
}

/// The shape as `[outer, folded, inner]`, if the folded axes are neighbours.
fn three_axes(shape: &Shape, axes: &[usize]) -> Option<[usize; 3]> {
    let (Some(&first), Some(&last)) = (axes.first(), axes.last()) else {
        return Some([shape.numel(), 1, 1]);
    };
    let product = |r: &[usize]| r.iter().product::<usize>();
    (last - first + 1 == axes.len())
        .then(|| [product(&shape[..first]), product(&shape[first..=last]), product(&shape[last + 1..])])
}

/// One result per row of `n` elements.
fn rows<T: FloatElement, F: Fold>(f: F, data: &[T], outer: usize, n: usize, out: &mut [T]) {
    if n == 0 {
        out.fill(f.start());
        return;
    }
    if outer == 1 && n >= 2 * GRAIN {
        // One long row: partial results of fixed pieces, combined in order.
        let mut parts: SmallVec<[T; 256]> = SmallVec::from_elem(f.start(), n.div_ceil(GRAIN));
        threads::for_chunks(&mut parts, 1, |i, part| {
            let end = ((i + 1) * GRAIN).min(n);
            part[0] = row(f, &data[i * GRAIN..end]);
        });
        out[0] = parts.iter().fold(f.start(), |a, &b| f.merge(a, b));
        return;
    }
    let chunk = (GRAIN / n).max(1);
    threads::for_chunks(out, chunk, |first, out| {
        several(f, &data[first * n..], n, out);
    });
}

/// All elements of a slice folded.
pub(crate) fn row<T: FloatElement, F: Fold>(f: F, x: &[T]) -> T {
    let mut one = [f.start()];
    several(f, x, x.len(), &mut one);
    one[0]
}

vectorised! {
    /// Rows of `n` elements, one after the other in `data`, each folded.
    fn several [F: Fold] (f: F, data: &[T], n: usize, out: &mut [T]) {
        for (i, o) in out.iter_mut().enumerate() {
            *o = row_body(f, &data[i * n..(i + 1) * n]);
        }
    }
}

#[inline(always)]
fn row_body<T: FloatElement, F: Fold>(f: F, x: &[T]) -> T {
    if x.len() < LANES {
        // What follows comes to the same, with all lanes as they were.
        return f.merge(f.start(), x.iter().fold(f.start(), |a, &v| f.step(a, v)));
    }
    let mut total = f.start();
    for block in x.chunks(BLOCK) {
        let mut lanes = [f.start::<T>(); LANES];
        let (body, tail) = block.as_chunks::<LANES>();
        for chunk in body {
            for (l, &v) in lanes.iter_mut().zip(chunk) {
                *l = f.step(*l, v);
            }
        }
        let mut width = LANES / 2;
        while width > 0 {
            for i in 0..width {
                lanes[i] = f.merge(lanes[i], lanes[i + width]);
            }
            width /= 2;
        }
        let part = tail.iter().fold(lanes[0], |a, &v| f.step(a, v));
        total = f.merge(total, part);
    }
    total
}

/// `out[o, i] = fold over n of data[o, n, i]`.
fn columns<T: FloatElement, F: Fold>(f: F, data: &[T], n: usize, inner: usize, out: &mut [T]) {
    if inner == 0 {
        return;
    }
    // A strip of columns at a time, so that its accumulators stay in the first cache.
    let strip = inner.min(BLOCK);
    let chunk = if n * inner >= 2 * GRAIN { strip } else { inner };
    let per_outer = inner.div_ceil(chunk);
    let mut pieces: SmallVec<[&mut [T]; 32]> = SmallVec::new();
    for row in out.chunks_mut(inner) {
        pieces.extend(row.chunks_mut(chunk));
    }
    threads::for_chunks(&mut pieces, (GRAIN / (n * chunk).max(1)).max(1), |first, pieces| {
        for (k, piece) in pieces.iter_mut().enumerate() {
            let (o, column) = ((first + k) / per_outer, (first + k) % per_outer * chunk);
            column_strip(f, data, o * n * inner + column, n, inner, piece);
        }
    });
}

vectorised! {
    fn column_strip [F: Fold] (f: F, data: &[T], start: usize, n: usize, step: usize, out: &mut [T]) {
        out.fill(f.start());
        if n <= 64 {
            // One part, which needs no room of its own.
            for (out, shift) in out.chunks_mut(BLOCK).zip((start..).step_by(BLOCK)) {
                for r in 0..n {
                    let row = &data[shift + r * step..][..out.len()];
                    out.iter_mut().zip(row).for_each(|(o, &v)| *o = f.step(*o, v));
                }
                out.iter_mut().for_each(|o| *o = f.merge(f.start(), *o));
            }
            return;
        }
        let mut part = [f.start::<T>(); BLOCK];
        for out in out.chunks_mut(BLOCK).enumerate() {
            let (shift, out) = (out.0 * BLOCK, out.1);
            let part = &mut part[..out.len()];
            for first in (0..n).step_by(64) {
                part.fill(f.start());
                for r in first..(first + 64).min(n) {
                    let row = &data[start + shift + r * step..][..part.len()];
                    for (p, &v) in part.iter_mut().zip(row) {
                        *p = f.step(*p, v);
                    }
                }
                for (o, &p) in out.iter_mut().zip(part.iter()) {
                    *o = f.merge(*o, p);
                }
            }
        }
    }
}

/// Columns that [`down`] folds at a time.
const STRIP: usize = 64;

/// The axis of a contiguous tensor folded into size 1, in the order in which [`row`] would fold its lines.
pub(crate) fn down<T: FloatElement, F: Fold>(f: F, x: &Tensor<T>, axis: usize) -> Tensor<T> {
    let Some([_, n, inner]) = three_axes(x.shape(), &[axis]).filter(|_| x.is_contiguous()) else {
        return fold(f, x, &[axis], true);
    };
    let (_, full) = shapes(x.shape(), &[axis], true);
    let data = x.as_slice().unwrap_or_default();
    Tensor::build(full, |out| {
        let mut pieces: SmallVec<[&mut [T]; 32]> = SmallVec::new();
        for row in out.chunks_mut(inner.max(1)) {
            pieces.extend(row.chunks_mut(STRIP));
        }
        let each = inner.div_ceil(STRIP);
        threads::for_chunks(&mut pieces, (GRAIN / (n * STRIP).max(1)).max(1), |first, pieces| {
            for (k, piece) in pieces.iter_mut().enumerate() {
                let (o, column) = ((first + k) / each, (first + k) % each * STRIP);
                strip_down(f, &data[o * n * inner + column..], n, inner, piece);
            }
        });
    })
}

vectorised! {
    /// `out[i] = fold over k < n of data[k · step + i]`, as [`row_body`] goes.
    fn strip_down [F: Fold] (f: F, data: &[T], n: usize, step: usize, out: &mut [T]) {
        out.fill(f.start());
        let width = out.len();
        let mut lanes = [[f.start::<T>(); STRIP]; LANES];
        for first in (0..n).step_by(BLOCK) {
            let end = n.min(first + BLOCK);
            let whole = end - (end - first) % LANES;
            lanes.fill([f.start(); STRIP]);
            for k in first..whole {
                let row = &data[k * step..][..width];
                lanes[(k - first) % LANES][..width].iter_mut().zip(row).for_each(|(l, &v)| *l = f.step(*l, v));
            }
            let mut half = LANES / 2;
            while half > 0 {
                let (low, high) = lanes.split_at_mut(half);
                for (low, high) in low.iter_mut().zip(high) {
                    low.iter_mut().zip(high).for_each(|(a, b)| *a = f.merge(*a, *b));
                }
                half /= 2;
            }
            for k in whole..end {
                let row = &data[k * step..][..width];
                lanes[0][..width].iter_mut().zip(row).for_each(|(l, &v)| *l = f.step(*l, v));
            }
            out.iter_mut().zip(&lanes[0]).for_each(|(o, &part)| *o = f.merge(*o, part));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_down_has_the_bits_of_folding_rows() {
        for n in [1, 5, 31, 32, 33, 100, 1024, 1030, 2100] {
            for inner in [1, 7, 64, 70] {
                let x = Tensor::from_fn(&Shape::new(&[2, n, inner]), |i| (i as f32 * 0.37).sin());
                let turned = x.view(x.layout().transpose(1, 2).unwrap()).contiguous();
                let expected: Vec<u32> =
                    turned.as_slice().unwrap().chunks(n).map(|r| row(Sum, r).to_bits()).collect();
                let sums = down(Sum, &x, 1);
                let sums: Vec<u32> = sums.as_slice().unwrap().iter().map(|s| s.to_bits()).collect();
                assert_eq!(sums, expected, "{n} x {inner}");
            }
        }
    }
}
