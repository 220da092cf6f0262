//! Groups of numbers brought to mean 0 and variance 1, scaled and shifted, and back: what layer and batch
//! normalisation are made of. Sums are taken in an order that depends on the shape alone.
use super::vectorised::vectorised;
use crate::{
    kernels::FloatElement,
    tensor::{Shape, Tensor},
    threads,
};

/// Where the groups lie: element i of part o of group g at `(o · groups + g) · inner + i`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Groups {
    pub outer: usize,
    pub groups: usize,
    pub inner: usize,
}

/// What standardised numbers are multiplied by, and what is added.
#[derive(Clone, Copy)]
pub(crate) enum Affine<'a, T> {
    None,
    /// A number for each group.
    ByGroup(&'a [T], Option<&'a [T]>),
    /// A number for each place in a part.
    ByPlace(&'a [T], Option<&'a [T]>),
}

/// Of a group: mean, 1 / deviation and variance; or mean, 1 / deviation, and of the gradients, the sum and
/// the sum of products with the standardised numbers.
type Stats<T> = [T; 4];

/// Gradients of the operands: numbers, weights, biases.
pub(crate) struct Slopes<T: FloatElement> {
    pub x: Tensor<T>,
    pub weight: Option<Tensor<T>>,
    pub bias: Option<Tensor<T>>,
}

/// Elements of a task.
const GRAIN: usize = 16 * 1024;
/// Elements that are summed before their sum joins the others, in f64.
const BLOCK: usize = 1024;
const LANES: usize = 32;

/// Sums of `f(i)` for all i below n, lane by lane and block by block.
// Plain indices become vector code.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
fn sums<T: FloatElement, const N: usize>(n: usize, f: impl Fn(usize) -> [T; N]) -> [f64; N] {
    let mut total = [0.0; N];
    for start in (0..n).step_by(BLOCK) {
        let end = n.min(start + BLOCK);
        let mut lanes = [[T::constant(0.0); LANES]; N];
        let whole = start + (end - start) / LANES * LANES;
        for first in (start..whole).step_by(LANES) {
            for l in 0..LANES {
                let values = f(first + l);
                for k in 0..N {
                    lanes[k][l] = lanes[k][l] + values[k];
                }
            }
        }
        for i in whole..end {
            let values = f(i);
            for k in 0..N {
                lanes[k][i - whole] = lanes[k][i - whole] + values[k];
            }
        }
        for k in 0..N {
            let mut width = LANES / 2;
            while width > 0 {
                for l in 0..width {
                    lanes[k][l] = lanes[k][l] + lanes[k][l + width];
                }
                width /= 2;
            }
            total[k] += lanes[k][0].to_f64();
        }
    }
    total
}

vectorised! {
    /// The mean, and the sum of the squared distances from it.
    fn centred(x: &[T]) -> [f64; 2] {
        let n = x.len() as f64;
        let [total] = sums(x.len(), |i| [x[i]]);
        let mean = total / n;
        // The part of the mean that T rounds away counts once.
        let near = T::constant(mean);
        let lost = mean - near.to_f64();
        let [squares] = sums(x.len(), |i| {
            let d = x[i] - near;
            [d * d]
        });
        [mean, squares - lost * lost * n]
    }
}

vectorised! {
    /// Sums of the gradients, weighted, and of their products with the standardised numbers.
    fn slope_sums(x: &[T], g: &[T], mean: T, scale: T, weight: Option<&[T]>) -> [f64; 2] {
        let (x, g) = (&x[..g.len()], g);
        match weight {
            Some(w) => {
                let w = &w[..g.len()];
                sums(g.len(), |i| {
                    let gw = g[i] * w[i];
                    [gw, gw * ((x[i] - mean) * scale)]
                })
            }
            None => sums(g.len(), |i| [g[i], g[i] * ((x[i] - mean) * scale)]),
        }
    }
}

vectorised! {
    fn standardise(x: &[T], mean: T, scale: T, affine: Affine<T>, out: &mut [T]) {
        let x = &x[..out.len()];
        match affine {
            Affine::None => (0..out.len()).for_each(|i| out[i] = (x[i] - mean) * scale),
            Affine::ByPlace(w, Some(b)) => {
                let (w, b) = (&w[..out.len()], &b[..out.len()]);
                (0..out.len()).for_each(|i| out[i] = (x[i] - mean) * scale * w[i] + b[i]);
            }
            Affine::ByPlace(w, None) => {
                let w = &w[..out.len()];
                (0..out.len()).for_each(|i| out[i] = (x[i] - mean) * scale * w[i]);
            }
            Affine::ByGroup(w, b) => {
                let (w, b) = (w[0], b.map_or(T::constant(0.0), |b| b[0]));
                (0..out.len()).for_each(|i| out[i] = (x[i] - mean) * scale * w + b);
            }
        }
    }
}

vectorised! {
    fn slope(x: &[T], g: &[T], stats: Stats<T>, weight: Option<&[T]>, factor: T, out: &mut [T]) {
        let (x, g, [mean, scale, a, b]) = (&x[..out.len()], &g[..out.len()], stats);
        match weight {
            Some(w) => {
                let w = &w[..out.len()];
                (0..out.len()).for_each(|i| out[i] = (g[i] * w[i] - a - (x[i] - mean) * scale * b) * scale);
            }
            None => {
                (0..out.len()).for_each(|i| out[i] = (g[i] * factor - a - (x[i] - mean) * scale * b) * scale);
            }
        }
    }
}

vectorised! {
    /// Adds a part's share to the gradients of the weights and biases of its places.
    fn add_places(x: &[T], g: &[T], mean: T, scale: T, weight: &mut [T], bias: &mut [T]) {
        let (x, weight, bias) = (&x[..g.len()], &mut weight[..g.len()], &mut bias[..g.len()]);
        for i in 0..g.len() {
            weight[i] = weight[i] + g[i] * ((x[i] - mean) * scale);
            bias[i] = bias[i] + g[i];
        }
    }
}

impl Groups {
    /// The parts of a group.
    fn parts<T>(self, x: &[T], group: usize) -> impl Iterator<Item = &[T]> {
        (0..self.outer).map(move |o| &x[(o * self.groups + group) * self.inner..][..self.inner])
    }

    /// Mean and variance (divided by n) of a group: of pieces that stay in the cache while they are read
    /// twice, joined by the formula of Chan, Golub and LeVeque (1983).
    fn moments<T: FloatElement>(self, x: &[T], group: usize) -> [f64; 2] {
        let [mut n, mut mean, mut squares] = [0.0; 3];
        for piece in self.parts(x, group).flat_map(|part| part.chunks(4 * BLOCK)) {
            let (size, [own, apart]) = (piece.len() as f64, centred(piece));
            let (all, distance) = (n + size, own - mean);
            mean += distance * (size / all);
            squares += apart + distance * distance * (n * size / all);
            n = all;
        }
        let variance = squares / n;
        // Not max, which would lose NaN.
        [mean, if variance < 0.0 { 0.0 } else { variance }]
    }

    /// A few numbers for each group, all groups side by side.
    fn each<T: FloatElement>(self, f: impl Fn(usize) -> Stats<T> + Sync) -> Tensor<T> {
        let width = size_of::<Stats<T>>() / size_of::<T>();
        let each = (self.outer * self.inner).max(1);
        Tensor::build(Shape::new(&[self.groups, width]), |out| {
            threads::for_chunks(out, (GRAIN / each).max(1) * width, |start, out| {
                for (k, out) in out.chunks_exact_mut(width).enumerate() {
                    out.copy_from_slice(&f(start / width + k));
                }
            });
        })
    }

    /// Runs `f(group, part of the input, part of the output)`.
    fn over_parts<T: FloatElement>(self, out: &mut [T], f: impl Fn(usize, usize, &mut [T]) + Sync) {
        let rows = (GRAIN / self.inner.max(1)).max(1);
        threads::for_chunks(out, rows * self.inner, |start, out| {
            for (k, out) in out.chunks_exact_mut(self.inner).enumerate() {
                let part = start / self.inner + k;
                f(part % self.groups, part * self.inner, out);
            }
        });
    }
}

fn stats<T: FloatElement>(all: &[T], group: usize) -> Stats<T> {
    <Stats<T>>::try_from(&all[4 * group..][..4]).unwrap_or([T::constant(0.0); 4])
}

/// Mean, 1 / √(variance + eps) and variance (divided by n) of each group of `x`, which is in row-major order.
pub(crate) fn statistics<T: FloatElement>(x: &[T], at: Groups, eps: f64) -> Tensor<T> {
    at.each(|group| {
        let [mean, variance] = at.moments(x, group);
        [
            T::constant(mean),
            T::constant(1.0 / (variance + eps).sqrt()),
            T::constant(variance),
            T::constant(0.0),
        ]
    })
}

/// Mean and variance of each group, from its statistics.
pub(crate) fn moments<T: FloatElement>(statistics: &Tensor<T>) -> (Tensor<T>, Tensor<T>) {
    let all = statistics.as_slice().unwrap_or_default();
    let pick = |k: usize| Tensor::from_fn([all.len() / 4], |g| stats(all, g)[k]);
    (pick(0), pick(2))
}

/// `(x - mean) / √(variance + eps) · weight + bias`; `x` in row-major order.
pub(crate) fn forward<T: FloatElement>(
    x: &[T],
    shape: &Shape,
    at: Groups,
    statistics: &Tensor<T>,
    affine: Affine<T>,
) -> Tensor<T> {
    let all = statistics.as_slice().unwrap_or_default();
    Tensor::build(shape.clone(), |out| {
        at.over_parts(out, |g, start, out| {
            let [mean, scale, ..] = stats(all, g);
            standardise(&x[start..], mean, scale, affine.of(g), out);
        });
    })
}

impl<'a, T: Copy> Affine<'a, T> {
    /// As a part of this group needs it.
    fn of(self, group: usize) -> Affine<'a, T> {
        match self {
            Affine::ByGroup(w, b) => Affine::ByGroup(&w[group..], b.map(|b| &b[group..])),
            other => other,
        }
    }
}

/// The gradients, from those of the result.
pub(crate) fn backward<T: FloatElement>(
    x: &[T],
    g: &[T],
    shape: &Shape,
    at: Groups,
    statistics: &Tensor<T>,
    affine: Affine<T>,
) -> Slopes<T> {
    let n = (at.outer * at.inner) as f64;
    let by_place = if let Affine::ByPlace(w, _) = affine { Some(w) } else { None };
    // For weights by group the sums are first those without the weight: they are its and the bias's
    // gradients.
    let known = statistics.as_slice().unwrap_or_default();
    let all = at.each(|group| {
        let [mean, scale, ..] = stats(known, group);
        let mut total = [0.0; 2];
        for (x, g) in at.parts(x, group).zip(at.parts(g, group)) {
            let part = slope_sums(x, g, mean, scale, by_place);
            total = [total[0] + part[0], total[1] + part[1]];
        }
        [mean, scale, T::constant(total[0]), T::constant(total[1])]
    });
    let all = all.as_slice().unwrap_or_default();
    let slopes = Tensor::build(shape.clone(), |out| {
        at.over_parts(out, |group, start, out| {
            let [mean, scale, a, b] = stats(all, group);
            let w = if let Affine::ByGroup(w, _) = affine { w[group] } else { T::constant(1.0) };
            let share = w * T::constant(1.0 / n);
            slope(&x[start..], &g[start..], [mean, scale, a * share, b * share], by_place, w, out);
        });
    });
    let (weight, bias) = match affine {
        Affine::None => (None, None),
        Affine::ByGroup(..) => {
            let pick = |k: usize| Tensor::from_fn([at.groups], |group| stats(all, group)[k]);
            (Some(pick(3)), Some(pick(2)))
        }
        Affine::ByPlace(..) => {
            let (weight, bias) = places(x, g, at, all);
            (Some(weight), Some(bias))
        }
    };
    Slopes { x: slopes, weight, bias }
}

/// Gradients of a weight and a bias for each place: sums over all parts, first within as many as a task
/// takes.
fn places<T: FloatElement>(x: &[T], g: &[T], at: Groups, all: &[T]) -> (Tensor<T>, Tensor<T>) {
    let (n, width) = (at.outer * at.groups, 2 * at.inner);
    let rows = (GRAIN / at.inner.max(1)).max(16);
    let tasks = n.div_ceil(rows).max(1);
    let partial = Tensor::build(Shape::new(&[tasks, width]), |out: &mut [T]| {
        threads::for_chunks(out, width, |start, out| {
            out.fill(T::constant(0.0));
            let (weight, bias) = out.split_at_mut(at.inner);
            let first = start / width.max(1) * rows;
            for part in first..n.min(first + rows) {
                let [mean, scale, ..] = stats(all, part % at.groups);
                let place = part * at.inner..(part + 1) * at.inner;
                add_places(&x[place.clone()], &g[place], mean, scale, weight, bias);
            }
        });
    });
    let partial = partial.as_slice().unwrap_or_default();
    let total = |shift: usize| {
        Tensor::from_fn([at.inner], |i| {
            T::constant((0..tasks).map(|t| partial[t * width + shift + i].to_f64()).sum::<f64>())
        })
    };
    (total(0), total(at.inner))
}
