//! Groups of numbers brought to mean 0 and variance 1, scaled and shifted, and back: what layer and batch
//! normalisation are made of. Sums are taken in an order that depends on the shape alone.
use super::vectorised::vectorised;
use crate::{
    error::Checked,
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
pub(super) type Stats<T> = [T; 4];

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

/// Sums of `f(x[i])` for all places i of slices of one length, lane by lane and block by block.
// Plain indices become vector code, and whole chunks need no check of each.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
fn sums<T: FloatElement, const M: usize, const N: usize>(
    x: [&[T]; M],
    f: impl Fn([T; M]) -> [T; N],
) -> [f64; N] {
    let (mut total, n) = ([0.0; N], x[0].len());
    for start in (0..n).step_by(BLOCK) {
        let end = n.min(start + BLOCK);
        let mut lanes = [[T::constant(0.0); LANES]; N];
        let (mut chunks, mut tails): ([&[[T; LANES]]; M], [&[T]; M]) = ([&[]; M], [&[]; M]);
        for k in 0..M {
            (chunks[k], tails[k]) = x[k][start..end].as_chunks();
        }
        let (whole, left) = (chunks[0].len(), tails[0].len());
        for k in 0..M {
            (chunks[k], tails[k]) = (&chunks[k][..whole], &tails[k][..left]);
        }
        for c in 0..whole {
            for l in 0..LANES {
                let mut at = [T::constant(0.0); M];
                for k in 0..M {
                    at[k] = chunks[k][c][l];
                }
                let values = f(at);
                for k in 0..N {
                    lanes[k][l] = lanes[k][l] + values[k];
                }
            }
        }
        for l in 0..left {
            let mut at = [T::constant(0.0); M];
            for k in 0..M {
                at[k] = tails[k][l];
            }
            let values = f(at);
            for k in 0..N {
                lanes[k][l] = lanes[k][l] + values[k];
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
        let [total] = sums([x], |x| x);
        let mean = total / n;
        // The part of the mean that T rounds away counts once.
        let near = T::constant(mean);
        let lost = mean - near.to_f64();
        let [squares] = sums([x], |[x]| {
            let d = x - near;
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
            Some(w) => sums([x, g, &w[..g.len()]], |[x, g, w]| {
                let gw = g * w;
                [gw, gw * ((x - mean) * scale)]
            }),
            None => sums([x, g], |[x, g]| [g, g * ((x - mean) * scale)]),
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

/// Groups whose numbers lie in columns that are worked on side by side.
pub(super) const STRIP: usize = 32;

vectorised! {
    /// Of columns, as many as `found` has: the mean and the sum of the squared distances from it, number by
    /// number as [`Groups::moments`] joins pieces.
    fn column_moments(x: &[T], step: usize, rows: usize, found: &mut [[f64; 2]]) {
        let (mut mean, mut squares) = ([0.0; STRIP], [0.0; STRIP]);
        let width = found.len().min(STRIP);
        let (mean, squares) = (&mut mean[..width], &mut squares[..width]);
        for row in 0..rows {
            let n = row as f64;
            let (share, weight) = (1.0 / (n + 1.0), n / (n + 1.0));
            let row = &x[row * step..][..width];
            for i in 0..width {
                let own = row[i].to_f64();
                let distance = own - mean[i];
                mean[i] += distance * share;
                // Nothing from itself, or NaN if it isn't finite.
                squares[i] += own * 0.0 + distance * distance * weight;
            }
        }
        for i in 0..width {
            found[i] = [mean[i], squares[i]];
        }
    }
}

vectorised! {
    /// Of columns, as many as `all` has statistics: sums as of `slope_sums`, which replace the last two of these.
    fn column_slope_sums(x: &[T], g: &[T], step: usize, rows: usize, all: &mut [Stats<T>]) {
        let zero = [T::constant(0.0); STRIP];
        let (mut mean, mut scale, mut sums, mut products) = (zero, zero, [0.0; STRIP], [0.0; STRIP]);
        let width = all.len().min(STRIP);
        let (mean, scale) = (&mut mean[..width], &mut scale[..width]);
        let (sums, products) = (&mut sums[..width], &mut products[..width]);
        for i in 0..width {
            [mean[i], scale[i], ..] = all[i];
        }
        for row in 0..rows {
            let (x, g) = (&x[row * step..][..width], &g[row * step..][..width]);
            for i in 0..width {
                sums[i] += g[i].to_f64();
                products[i] += (g[i] * ((x[i] - mean[i]) * scale[i])).to_f64();
            }
        }
        for i in 0..width {
            all[i] = [mean[i], scale[i], T::constant(sums[i]), T::constant(products[i])];
        }
    }
}

vectorised! {
    /// A row with a number of each group.
    fn standardise_row(x: &[T], all: &[T], affine: Affine<T>, out: &mut [T]) {
        let n = out.len();
        let (x, all) = (&x[..n], &all.as_chunks::<4>().0[..n]);
        match affine {
            Affine::ByGroup(w, Some(b)) => {
                let (w, b) = (&w[..n], &b[..n]);
                (0..n).for_each(|i| out[i] = (x[i] - all[i][0]) * all[i][1] * w[i] + b[i]);
            }
            Affine::ByGroup(w, None) => {
                let w = &w[..n];
                (0..n).for_each(|i| out[i] = (x[i] - all[i][0]) * all[i][1] * w[i] + T::constant(0.0));
            }
            _ => (0..n).for_each(|i| out[i] = (x[i] - all[i][0]) * all[i][1]),
        }
    }
}

vectorised! {
    /// The gradients of such a row; `n` is how many numbers a group has.
    fn slope_row(x: &[T], g: &[T], all: &[T], weight: Option<&[T]>, n: f64, out: &mut [T]) {
        let (len, part) = (out.len(), T::constant(1.0 / n));
        let (x, g, all) = (&x[..len], &g[..len], &all.as_chunks::<4>().0[..len]);
        let weight = weight.map(|w| &w[..len]);
        for i in 0..len {
            let [mean, scale, a, b] = all[i];
            let w = if let Some(w) = weight { w[i] } else { T::constant(1.0) };
            let share = w * part;
            out[i] = (g[i] * w - a * share - (x[i] - mean) * scale * (b * share)) * scale;
        }
    }
}

impl Groups {
    /// Whether each row has one number of each group: then groups are worked on side by side, since a call for each
    /// number would take longer than the number.
    fn in_columns(self) -> bool {
        self.inner == 1 && self.outer > 1
    }

    /// The parts of a group.
    fn parts<T>(self, x: &[T], group: usize) -> impl Iterator<Item = &[T]> {
        (0..self.outer).map(move |o| &x[(o * self.groups + group) * self.inner..][..self.inner])
    }

    /// Mean and squared distances from it of a group: of pieces that stay in the cache while they are read
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
        [mean, squares]
    }

    /// A few numbers for each group, all groups side by side: `f` fills in those of a few, from the first on.
    pub(super) fn each<T: FloatElement>(
        self,
        f: impl Fn(usize, &mut [Stats<T>]) + Sync,
    ) -> Checked<Tensor<T>> {
        let width = size_of::<Stats<T>>() / size_of::<T>();
        let each = (self.outer * self.inner).max(1);
        let all = Tensor::build(Shape::new(&[self.groups, width]), |out| {
            threads::for_chunks(out, (GRAIN / each).max(1) * width, |start, out| {
                for (k, strip) in out.as_chunks_mut().0.chunks_mut(STRIP).enumerate() {
                    f(start / width + k * STRIP, strip);
                }
            });
        });
        all.made()
    }

    /// How many numbers a group has.
    pub fn each_has(self) -> f64 {
        (self.outer * self.inner) as f64
    }

    /// Mean and squared distances from it of some groups.
    pub(super) fn spread_of<T: FloatElement>(self, x: &[T], first: usize, found: &mut [[f64; 2]]) {
        if self.in_columns() {
            column_moments(&x[first..], self.groups, self.outer, found);
        } else {
            found.iter_mut().enumerate().for_each(|(k, found)| *found = self.moments(x, first + k));
        }
    }

    /// Runs `f(start of a row, row of the output)` for rows that have one number of each group.
    fn over_rows<T: FloatElement>(self, out: &mut [T], f: impl Fn(usize, &mut [T]) + Sync) {
        let rows = (GRAIN / self.groups.max(1)).max(1);
        threads::for_chunks(out, rows * self.groups, |start, out| {
            for (k, out) in out.chunks_exact_mut(self.groups).enumerate() {
                f(start + k * self.groups, out);
            }
        });
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
pub(crate) fn statistics<T: FloatElement>(x: &[T], at: Groups, eps: f64) -> Checked<Tensor<T>> {
    let n = at.each_has();
    at.each(|first, out: &mut [Stats<T>]| {
        let mut found = [[0.0; 2]; STRIP];
        let found = &mut found[..out.len()];
        at.spread_of(x, first, found);
        out.iter_mut().zip(found).for_each(|(out, &mut found)| *out = statistic(found, n, eps));
    })
}

pub(super) fn statistic<T: FloatElement>([mean, squares]: [f64; 2], n: f64, eps: f64) -> Stats<T> {
    let variance = squares / n;
    // Not max, which would lose NaN.
    let variance = if variance < 0.0 { 0.0 } else { variance };
    let scale = 1.0 / (variance + eps).sqrt();
    [mean, scale, variance, 0.0].map(T::constant)
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
        if at.in_columns() {
            return at.over_rows(out, |start, out| standardise_row(&x[start..], all, affine, out));
        }
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

    fn by_place(self) -> Option<&'a [T]> {
        if let Affine::ByPlace(w, _) = self { Some(w) } else { None }
    }
}

/// Of each group mean and 1 / deviation, and the sums of the gradients of the result and of their products
/// with the standardised numbers: for weights by group without the weight, so that they are its and the
/// bias's gradients.
pub(crate) fn slope_statistics<T: FloatElement>(
    x: &[T],
    g: &[T],
    at: Groups,
    statistics: &Tensor<T>,
    affine: Affine<T>,
) -> Checked<Tensor<T>> {
    let (by_place, known) = (affine.by_place(), statistics.as_slice().unwrap_or_default());
    at.each(|first, out: &mut [Stats<T>]| {
        for (k, out) in out.iter_mut().enumerate() {
            *out = stats(known, first + k);
        }
        if at.in_columns() {
            return column_slope_sums(&x[first..], &g[first..], at.groups, at.outer, out);
        }
        for (k, out) in out.iter_mut().enumerate() {
            let ([mean, scale, ..], mut total) = (*out, [0.0; 2]);
            for (x, g) in at.parts(x, first + k).zip(at.parts(g, first + k)) {
                let part = slope_sums(x, g, mean, scale, by_place);
                total = [total[0] + part[0], total[1] + part[1]];
            }
            *out = [mean, scale, T::constant(total[0]), T::constant(total[1])];
        }
    })
}

/// The gradients, from those of the result: by the sums of these numbers, and by those over all that the
/// statistics are of, `n` for each group.
pub(crate) fn backward<T: FloatElement>(
    x: &[T],
    g: &[T],
    shape: &Shape,
    at: Groups,
    own: &Tensor<T>,
    (all, n): (&Tensor<T>, f64),
    affine: Affine<T>,
) -> Checked<Slopes<T>> {
    let by_place = affine.by_place();
    let [own, all] = [own, all].map(|t| t.as_slice().unwrap_or_default());
    let slopes = Tensor::build(shape.clone(), |out| {
        if at.in_columns() {
            let weight = if let Affine::ByGroup(w, _) = affine { Some(w) } else { None };
            return at.over_rows(out, |start, out| {
                slope_row(&x[start..], &g[start..], all, weight, n, out);
            });
        }
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
            let pick = |k: usize| Tensor::from_fn([at.groups], |group| stats(own, group)[k]);
            (Some(pick(3)), Some(pick(2)))
        }
        Affine::ByPlace(..) => {
            let (weight, bias) = places(x, g, at, all)?;
            (Some(weight), Some(bias))
        }
    };
    Ok(Slopes { x: slopes, weight, bias })
}

/// Gradients of a weight and a bias for each place: sums over all parts, first within as many as a task
/// takes.
fn places<T: FloatElement>(x: &[T], g: &[T], at: Groups, all: &[T]) -> Checked<(Tensor<T>, Tensor<T>)> {
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
    let partial = partial.made()?;
    let partial = partial.as_slice().unwrap_or_default();
    let total = |shift: usize| {
        Tensor::from_fn([at.inner], |i| {
            T::constant((0..tasks).map(|t| partial[t * width + shift + i].to_f64()).sum::<f64>())
        })
    };
    Ok((total(0), total(at.inner)))
}
