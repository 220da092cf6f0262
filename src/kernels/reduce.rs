//! Folding axes away: sums, products, largest and smallest. The order of additions depends on the shape
//! alone, never on the number of threads.
mod folds;
#[cfg(test)]
mod tests;

pub(crate) use folds::{Fold, LANES, Largest, Product, Smallest, Sum};

use crate::{
    kernels::{FloatElement, vectorised::vectorised},
    tensor::{Shape, Tensor},
    threads,
};
use smallvec::SmallVec;

/// Rows whose lanes are joined at a time, and lanes of each after the first joining.
const SIDE: usize = LANES / 2;
/// Elements whose sum is taken before it joins the others: keeps rounding errors of long f32 sums small.
const BLOCK: usize = 1024;
/// Elements per task.
const GRAIN: usize = 32 * 1024;

/// Folds the given axes (sorted, unique) of `x` into size 1 (with `keep`) or away.
pub(crate) fn fold<T: FloatElement, F: Fold>(f: F, x: &Tensor<T>, axes: &[usize], keep: bool) -> Tensor<T> {
    let (kept, full) = shapes(x.shape(), axes, keep);
    if let Some(y) = as_it_lies(f, x, axes) {
        return y.reshaped(&full);
    }
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
    Tensor::build(full, |out| fold_middle(f, data, [outer, n, inner], out))
}

/// The middle one of three axes folded.
pub(crate) fn fold_middle<T: FloatElement, F: Fold>(
    f: F,
    data: &[T],
    [outer, n, inner]: [usize; 3],
    out: &mut [T],
) {
    if inner == 1 {
        rows(f, data, outer, n, out);
    } else {
        columns(f, data, n, inner, out);
    }
}

/// The same, with size 1, of a dense tensor whose axes lie in another order, where that comes to the same bits.
fn as_it_lies<T: FloatElement, F: Fold>(f: F, x: &Tensor<T>, axes: &[usize]) -> Option<Tensor<T>> {
    let strides = &x.layout().strides;
    // Elements side by side behind the axis; a few aren't worth it.
    let behind = axes.first().map_or(0, |&axis| strides[axis]);
    let in_lines = axes.len() == 1 && (behind == 1 || behind >= LANES as isize);
    if x.is_contiguous() || !(F::ANY_ORDER || in_lines) {
        return None;
    }
    let [order, back] = x.layout().memory_order()?;
    let lying = x.view(x.layout().permute(&order).ok()?);
    let at: SmallVec<[usize; 6]> =
        (0..x.rank()).filter(|&place| axes.contains(&(order[place] as usize))).collect();
    let y = match *at {
        [axis] if !F::ANY_ORDER && behind > 1 => down(f, &lying, axis),
        _ => fold(f, &lying, &at, true),
    };
    if y.lack().is_some() {
        return Some(y);
    }
    Some(y.view(y.layout().permute(&back).ok()?).contiguous())
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
        if (LANES..=BLOCK).contains(&n) && out.len() > 1 && !F::ANY_ORDER {
            return side_by_side(f, data, n, out);
        }
        for (i, o) in out.iter_mut().enumerate() {
            *o = row_body(f, &data[i * n..(i + 1) * n]);
        }
    }
}

/// Rows of a block each as [`row_body`] folds them, but the lanes of several rows are joined at a time: those of one
/// alone are less and less.
#[inline(always)]
fn side_by_side<T: FloatElement, F: Fold>(f: F, data: &[T], n: usize, out: &mut [T]) {
    for (data, out) in data.chunks(SIDE * n).zip(out.chunks_mut(SIDE)) {
        let mut sides = [[f.start(); SIDE]; SIDE];
        for (side, row) in sides.iter_mut().zip(data.chunks_exact(n)) {
            let lanes = f.lanes(row.as_chunks().0);
            for l in 0..SIDE {
                side[l] = f.merge(lanes[l], lanes[l + SIDE]);
            }
        }
        // Opaque, or the loop gets narrow vectors, by which the joining ends.
        let sides = std::hint::black_box(&mut sides);
        joined::<T, F, 16>(f, sides);
        joined::<T, F, 8>(f, sides);
        joined::<T, F, 4>(f, sides);
        joined::<T, F, 2>(f, sides);
        for ((o, row), &part) in out.iter_mut().zip(data.chunks_exact(n)).zip(&sides[0]) {
            let (_, tail) = row.as_chunks::<LANES>();
            *o = f.merge(f.start(), tail.iter().fold(part, |a, &v| f.step(a, v)));
        }
    }
}

/// Of rows that have `WIDTH` lanes each, one after the other, the second half of the lanes joined to the first.
#[inline(always)]
fn joined<T: FloatElement, F: Fold, const WIDTH: usize>(f: F, sides: &mut [[T; SIDE]; SIDE]) {
    for k in 0..WIDTH / 2 {
        let (a, b, half) = (sides[2 * k], sides[2 * k + 1], WIDTH / 2);
        let mut both = [f.start(); SIDE];
        for i in 0..SIDE / 2 {
            let first = i / half * WIDTH + i % half;
            both[i] = f.merge(a[first], a[first + half]);
            both[i + SIDE / 2] = f.merge(b[first], b[first + half]);
        }
        sides[k] = both;
    }
}

/// The elements of a slice folded, within a function that is compiled for vectors.
#[inline(always)]
pub(super) fn row_body<T: FloatElement, F: Fold>(f: F, x: &[T]) -> T {
    if x.len() < LANES {
        // What follows comes to the same, with all lanes as they were.
        return f.merge(f.start(), x.iter().fold(f.start(), |a, &v| f.step(a, v)));
    }
    let mut total = f.start();
    for block in x.chunks(BLOCK) {
        let (body, tail) = block.as_chunks::<LANES>();
        let part = tail.iter().fold(f.chunks(body), |a, &v| f.step(a, v));
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
    for_strips(out, inner, chunk, (GRAIN / (n * chunk).max(1)).max(1), &|i, piece| {
        let (o, column) = (i / per_outer, i % per_outer * chunk);
        column_strip(f, data, o * n * inner + column, n, inner, piece);
    });
}

/// Runs `f(number, strip)` for the strips of `width` columns of all rows of `row` columns, the last of a row
/// narrower; tasks of `each`.
fn for_strips<T: Send>(
    out: &mut [T],
    row: usize,
    width: usize,
    each: usize,
    f: &(dyn Fn(usize, &mut [T]) + Sync),
) {
    let count = out.len() / row.max(1) * row.div_ceil(width);
    let strips = out.chunks_mut(row.max(1)).flat_map(|row| row.chunks_mut(width));
    let mut list: SmallVec<[&mut [T]; 32]> = SmallVec::new();
    if list.try_reserve(count).is_err() {
        // Without room for a list, one after the other.
        return strips.enumerate().for_each(|(i, strip)| f(i, strip));
    }
    list.extend(strips);
    threads::for_chunks(&mut list, each, |first, strips| {
        strips.iter_mut().zip(first..).for_each(|(strip, i)| f(i, strip));
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
        let each = inner.div_ceil(STRIP);
        for_strips(out, inner, STRIP, (GRAIN / (n * STRIP).max(1)).max(1), &|i, piece| {
            let (o, column) = (i / each, i % each * STRIP);
            strip_down(f, &data[o * n * inner + column..], n, inner, piece);
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
            // Opaque, or the joining of each pair of lanes is laid out by itself.
            let mut half = std::hint::black_box(LANES / 2);
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
