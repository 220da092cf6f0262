//! Distances of all pairs of rows of two matrices, and what comes back from them. No table of differences is laid
//! out: a strip of rows of one matrix lies by columns, and some rows of the other run along it in registers.
use super::{
    FloatElement,
    vectorised::{MulAdd, vectorised},
};
use crate::threads;

/// What a difference gives to the distance.
pub(crate) trait Term: Copy + Sync {
    fn add<T: FloatElement>(self, fma: impl MulAdd, sum: T, difference: T) -> T;
    /// The distance, of the sum.
    fn finish<T: FloatElement>(self, sum: T) -> T;
    /// What the slope of a distance is multiplied by, for all differences of the pair.
    fn share<T: FloatElement>(self, slope: T, distance: T) -> T;
    /// A difference's own part of its slope.
    fn slope<T: FloatElement>(self, difference: T) -> T;
}

/// `Σ |d|`
#[derive(Clone, Copy)]
pub(crate) struct Magnitudes;

/// `√Σ d²`
#[derive(Clone, Copy)]
pub(crate) struct Squares;

impl Term for Magnitudes {
    #[inline(always)]
    fn add<T: FloatElement>(self, _: impl MulAdd, sum: T, difference: T) -> T {
        sum + difference.abs()
    }
    #[inline(always)]
    fn finish<T: FloatElement>(self, sum: T) -> T {
        sum
    }
    #[inline(always)]
    fn share<T: FloatElement>(self, slope: T, _: T) -> T {
        slope
    }
    #[inline(always)]
    fn slope<T: FloatElement>(self, difference: T) -> T {
        difference.sign()
    }
}

impl Term for Squares {
    #[inline(always)]
    fn add<T: FloatElement>(self, fma: impl MulAdd, sum: T, difference: T) -> T {
        fma.of(difference, difference, sum)
    }
    #[inline(always)]
    fn finish<T: FloatElement>(self, sum: T) -> T {
        sum.sqrt()
    }
    #[inline(always)]
    fn share<T: FloatElement>(self, slope: T, distance: T) -> T {
        let zero = T::constant(0.0);
        T::select(distance.equal(zero), zero, slope / distance)
    }
    #[inline(always)]
    fn slope<T: FloatElement>(self, difference: T) -> T {
        difference
    }
}

/// Rows of a strip.
const WIDTH: usize = 16;
/// Terms whose sum is taken before it joins the others.
const BLOCK: usize = 128;
/// Terms of a task, at least.
const GRAIN: usize = 64 * 1024;
/// Rows of a task, if there are as many for each thread: so many share the work of laying a strip by columns.
const ROWS: usize = 48;

/// Row-major matrices with `m` columns, and a matrix with an element for each pair of their rows.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T> {
    pub x: &'a [T],
    pub y: &'a [T],
    pub m: usize,
}

impl<T: FloatElement> Rows<'_, T> {
    fn counts(&self) -> [usize; 2] {
        [self.x, self.y].map(|rows| rows.len() / self.m.max(1))
    }

    /// Rows of x for a task.
    fn share(&self) -> usize {
        let [p, r] = self.counts();
        (GRAIN / (self.m * r)).max(ROWS.min(p.div_ceil(threads::num_threads())))
    }

    /// The distance of each row of x from each row of y.
    pub fn distances(&self, f: impl Term, out: &mut [T]) {
        let (m, [_, r]) = (self.m, self.counts());
        if m == 0 || r == 0 {
            return out.fill(T::constant(0.0));
        }
        threads::for_chunks(out, self.share() * r, |start, out| {
            let x = &self.x[start / r * m..][..out.len() / r * m];
            some_distances(f, x, self.y, m, out);
        });
    }

    /// What comes back to each element of x: over the rows of y, the sum of its slopes times what `share` made of
    /// the pair's, which stands for row i and row j of y at `i · steps[0] + j · steps[1]`.
    pub fn slopes(&self, f: impl Term, shares: &[T], steps: [usize; 2], out: &mut [T]) {
        let (m, [_, r]) = (self.m, self.counts());
        if m == 0 || r == 0 {
            return out.fill(T::constant(0.0));
        }
        threads::for_chunks(out, self.share() * m, |start, out| {
            let x = &self.x[start..][..out.len()];
            some_slopes(f, x, self.y, m, &shares[start / m * steps[0]..], steps, out);
        });
    }
}

vectorised! {
    /// Slopes of distances made shares of the differences' slopes.
    pub(crate) fn shares [F: Term] (f: F, distances: &[T], slopes: &mut [T]) {
        for (slope, &distance) in slopes.iter_mut().zip(distances) {
            *slope = f.share(*slope, distance);
        }
    }
}

vectorised! {
    fn some_distances [F: Term] fused fma (f: F, x: &[T], y: &[T], m: usize, out: &mut [T]) {
        let r = y.len() / m;
        let mut strip = [[T::constant(0.0); WIDTH]; BLOCK];
        out.fill(T::constant(0.0));
        for first in (0..m).step_by(BLOCK) {
            let size = BLOCK.min(m - first);
            for (j, rows) in y.chunks(WIDTH * m).enumerate() {
                for (l, row) in rows.chunks_exact(m).enumerate() {
                    strip.iter_mut().zip(&row[first..first + size]).for_each(|(place, &v)| place[l] = v);
                }
                let at = Columns { y: &strip[..size], first, m, to: j * WIDTH, width: rows.len() / m, r };
                if size_of::<T>() == 4 {
                    at.groups::<F, _, 6>(f, fma, x, out);
                } else {
                    at.groups::<F, _, 3>(f, fma, x, out);
                }
            }
        }
        out.iter_mut().for_each(|o| *o = f.finish(*o));
    }
}

/// The columns from `first` on of `width` rows of y, the first of which has the results in column `to` of `r`.
struct Columns<'a, T> {
    y: &'a [[T; WIDTH]],
    first: usize,
    m: usize,
    to: usize,
    width: usize,
    r: usize,
}

impl<T: FloatElement> Columns<'_, T> {
    /// Adds these columns' terms, for R rows of x at a time.
    #[inline(always)]
    fn groups<F: Term, M: MulAdd, const R: usize>(&self, f: F, fma: M, x: &[T], out: &mut [T]) {
        let (many, one) = (R * self.m, R * self.r);
        let whole = x.len() / many;
        let (x, last) = x.split_at(whole * many);
        let (out, end) = out.split_at_mut(whole * one);
        for (x, out) in x.chunks_exact(many).zip(out.chunks_exact_mut(one)) {
            self.group::<F, M, R>(f, fma, x, out);
        }
        for (x, out) in last.chunks_exact(self.m).zip(end.chunks_exact_mut(self.r)) {
            self.group::<F, M, 1>(f, fma, x, out);
        }
    }

    // Plain indices become vector code.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    fn group<F: Term, M: MulAdd, const R: usize>(&self, f: F, fma: M, x: &[T], out: &mut [T]) {
        let mut rows = [&x[..0]; R];
        for i in 0..R {
            rows[i] = &x[i * self.m + self.first..][..self.y.len()];
        }
        let mut sums = [[T::constant(0.0); WIDTH]; R];
        for k in 0..self.y.len() {
            for i in 0..R {
                let x = rows[i][k];
                for l in 0..WIDTH {
                    sums[i][l] = f.add(fma, sums[i][l], x - self.y[k][l]);
                }
            }
        }
        // Opaque, or what writes a row, of any length, is laid out for each.
        for (i, sums) in std::hint::black_box(&sums[..]).iter().enumerate() {
            let out = &mut out[i * self.r + self.to..][..self.width];
            out.iter_mut().zip(sums).for_each(|(o, &sum)| *o = *o + sum);
        }
    }
}

vectorised! {
    fn some_slopes [F: Term] fused fma (
        f: F,
        x: &[T],
        y: &[T],
        m: usize,
        shares: &[T],
        steps: [usize; 2],
        out: &mut [T]
    ) {
        let mut strip = [[T::constant(0.0); WIDTH]; BLOCK];
        out.fill(T::constant(0.0));
        for (block, rows) in y.chunks(BLOCK * m).enumerate() {
            for first in (0..m).step_by(WIDTH) {
                let width = WIDTH.min(m - first);
                for (place, row) in strip.iter_mut().zip(rows.chunks_exact(m)) {
                    place[..width].copy_from_slice(&row[first..first + width]);
                }
                let y = &strip[..rows.len() / m];
                let shares = &shares[block * BLOCK * steps[1]..];
                let at = Places { y, first, width, m, shares, steps };
                if size_of::<T>() == 4 {
                    at.groups::<F, _, 4>(f, fma, x, out);
                } else {
                    at.groups::<F, _, 2>(f, fma, x, out);
                }
            }
        }
    }
}

/// The places `first..first + width` of rows of y, with the shares of their pairs.
struct Places<'a, T> {
    y: &'a [[T; WIDTH]],
    first: usize,
    width: usize,
    m: usize,
    shares: &'a [T],
    steps: [usize; 2],
}

impl<T: FloatElement> Places<'_, T> {
    /// Adds what comes back from these rows, for R rows of x at a time.
    #[inline(always)]
    fn groups<F: Term, M: MulAdd, const R: usize>(&self, f: F, fma: M, x: &[T], out: &mut [T]) {
        let rows = x.len() / self.m;
        let whole = rows - rows % R;
        for i in (0..whole).step_by(R) {
            self.group::<F, M, R>(f, fma, i, x, out);
        }
        for i in whole..rows {
            self.group::<F, M, 1>(f, fma, i, x, out);
        }
    }

    // Plain indices become vector code.
    #[allow(clippy::needless_range_loop)]
    #[inline(always)]
    fn group<F: Term, M: MulAdd, const R: usize>(&self, f: F, fma: M, row: usize, x: &[T], out: &mut [T]) {
        let mut rows = [[T::constant(0.0); WIDTH]; R];
        let mut shares = [&self.shares[..0]; R];
        for i in 0..R {
            let x = &x[(row + i) * self.m + self.first..][..self.width];
            rows[i][..self.width].copy_from_slice(x);
            shares[i] = &self.shares[(row + i) * self.steps[0]..][..(self.y.len() - 1) * self.steps[1] + 1];
        }
        let mut sums = [[T::constant(0.0); WIDTH]; R];
        for j in 0..self.y.len() {
            for i in 0..R {
                let share = shares[i][j * self.steps[1]];
                for l in 0..WIDTH {
                    sums[i][l] = fma.of(share, f.slope(rows[i][l] - self.y[j][l]), sums[i][l]);
                }
            }
        }
        // Opaque, as above.
        for (i, sums) in std::hint::black_box(&sums[..]).iter().enumerate() {
            let out = &mut out[(row + i) * self.m + self.first..][..self.width];
            out.iter_mut().zip(sums).for_each(|(o, &sum)| *o = *o + sum);
        }
    }
}
