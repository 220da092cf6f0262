//! Convolutions in which each channel is convolved by itself, at stride 1: there is nothing for a product of
//! matrices to share, so the lines of a padded channel are multiplied as they lie.
use super::{padded::Plane, volume, windows::copy};
use crate::{
    error::Checked,
    kernels::{
        FloatElement,
        vectorised::{MulAdd, vectorised},
    },
    threads::{num_threads, try_chunks},
};

/// Columns that are worked on at a time, in lines that have as many.
const WIDE: usize = 32;
/// The same in others, and lanes of the sums of a weight's gradient.
const NARROW: usize = 16;
/// Most weights of a line of the kernel whose gradients are summed at a time.
const SOME: usize = 4;

/// Outputs of a task.
const GRAIN: usize = 1 << 15;

impl Plane {
    /// `y[n, c] = bias[c] + Σ w[c, k] · x[n, c, windows]`
    pub fn depthwise<T: FloatElement>(
        &self,
        x: &[T],
        w: &[T],
        bias: Option<&[T]>,
        y: &mut [T],
    ) -> Checked<()> {
        let (size, each, window) = (volume(self.input), volume(self.output), volume(self.kernel));
        let planes = y.len() / each.max(1);
        let share = (GRAIN / each.max(1)).clamp(1, planes.div_ceil(4 * num_threads()).max(1));
        try_chunks(y, share * each, &|start, y| {
            let mut padded = self.room(1)?;
            let padded = padded.as_mut_slice();
            padded.fill(T::default());
            for (k, y) in y.chunks_exact_mut(each).enumerate() {
                let (at, channel) = (start / each + k, (start / each + k) % self.groups);
                self.pad(&x[at * size..][..size], padded);
                let start = bias.map_or(T::default(), |bias| bias[channel]);
                correlate(self, padded, &w[channel * window..][..window], start, y);
            }
            Ok(())
        })
    }

    /// Adds the gradients of the weights that come from some samples, of which `dy` has as many or more.
    pub fn add_weights<T: FloatElement>(&self, x: &[T], dy: &[T], dw: &mut [T]) -> Checked<()> {
        let (size, each, window) = (volume(self.input), volume(self.output), volume(self.kernel));
        let mut padded = self.room(1)?;
        let padded = padded.as_mut_slice();
        padded.fill(T::default());
        for (at, (x, dy)) in x.chunks_exact(size.max(1)).zip(dy.chunks_exact(each.max(1))).enumerate() {
            self.pad(x, padded);
            add_weights(self, padded, dy, &mut dw[at % self.groups * window..][..window]);
        }
        Ok(())
    }

    #[inline(always)]
    fn lines<T: FloatElement, M: MulAdd, const N: usize>(
        &self,
        fma: M,
        padded: &[T],
        w: &[T],
        start: T,
        out: &mut [T],
    ) {
        let [_, height, columns] = self.output;
        for (d, out) in out.chunks_exact_mut(height * columns).enumerate() {
            for (pair, out) in out.chunks_mut(2 * columns).enumerate() {
                let at = self.at([d, 2 * pair, 0]);
                if out.len() > columns {
                    self.some_lines::<T, M, N, 2>(fma, &padded[at..], w, start, out);
                } else {
                    self.some_lines::<T, M, N, 1>(fma, &padded[at..], w, start, out);
                }
            }
        }
    }

    /// R lines of the output, N columns at a time.
    #[inline(always)]
    fn some_lines<T: FloatElement, M: MulAdd, const N: usize, const R: usize>(
        &self,
        fma: M,
        padded: &[T],
        w: &[T],
        start: T,
        out: &mut [T],
    ) {
        let columns = self.output[2];
        for first in (0..columns).step_by(N) {
            let mut sums = [[start; N]; R];
            let mut weights = w.iter();
            for d in 0..self.kernel[0] {
                for h in 0..self.kernel[1] {
                    let from = self.reach(d, h) + first;
                    for (k, &weight) in weights.by_ref().take(self.kernel[2]).enumerate() {
                        for r in 0..R {
                            let x = &padded[from + r * self.padded[2] + k * self.dilation[2]..][..N];
                            for i in 0..N {
                                sums[r][i] = fma.of(weight, x[i], sums[r][i]);
                            }
                        }
                    }
                }
            }
            // Opaque, or the loop gets vectors in the order of the pieces that are written.
            for (sums, out) in std::hint::black_box(sums).iter().zip(out.chunks_exact_mut(columns)) {
                match out[first..].first_chunk_mut::<N>() {
                    Some(out) => *out = *sums,
                    None => copy(&sums[..columns - first], &mut out[first..]),
                }
            }
        }
    }

    /// The gradients of N weights of a line of the kernel.
    #[inline(always)]
    fn weights<T: FloatElement, M: MulAdd, const N: usize>(
        &self,
        fma: M,
        padded: &[T],
        dy: &[T],
        [d, h, first]: [usize; 3],
        dw: &mut [T],
    ) {
        let [_, height, columns] = self.output;
        let (zero, reach) = (T::constant(0.0), self.reach(d, h) + first * self.dilation[2]);
        let mut sums = [[zero; NARROW]; N];
        for line in 0..dy.len() / columns {
            let from = self.at([line / height, line % height, 0]) + reach;
            for column in (0..columns).step_by(NARROW) {
                let (place, size) = (line * columns + column, NARROW.min(columns - column));
                let mut last = [zero; NARROW];
                let slopes = match dy[place..].first_chunk::<NARROW>() {
                    Some(slopes) => slopes,
                    None => {
                        copy(&dy[place..place + size], &mut last[..size]);
                        &last
                    }
                };
                for k in 0..N {
                    let x = &padded[from + column + k * self.dilation[2]..][..NARROW];
                    if size == NARROW {
                        for i in 0..NARROW {
                            sums[k][i] = fma.of(x[i], slopes[i], sums[k][i]);
                        }
                    } else {
                        // Zeros in the place of what lies behind the line.
                        for i in 0..NARROW {
                            let inside = T::constant(i as f64).less(T::constant(size as f64));
                            let (x, slope) =
                                (T::select(inside, x[i], zero), T::select(inside, slopes[i], zero));
                            sums[k][i] = fma.of(x, slope, sums[k][i]);
                        }
                    }
                }
            }
        }
        for (dw, mut lanes) in dw.iter_mut().zip(std::hint::black_box(sums)) {
            let mut width = NARROW / 2;
            while width > 0 {
                for i in 0..width {
                    lanes[i] = lanes[i] + lanes[i + width];
                }
                width /= 2;
            }
            *dw = *dw + lanes[0];
        }
    }
}

vectorised! {
    /// `out = start + Σ w · padded`, for the weights of one channel's kernel.
    fn correlate fused fma (plane: &Plane, padded: &[T], w: &[T], start: T, out: &mut [T]) {
        if plane.output[2] > NARROW {
            plane.lines::<T, _, WIDE>(fma, padded, w, start, out);
        } else {
            plane.lines::<T, _, NARROW>(fma, padded, w, start, out);
        }
    }
}

vectorised! {
    /// Adds `Σ padded · dy` to the gradients of one channel's weights.
    fn add_weights fused fma (plane: &Plane, padded: &[T], dy: &[T], dw: &mut [T]) {
        let [_, height, width] = plane.kernel;
        for (line, dw) in dw.chunks_exact_mut(width).enumerate() {
            for (part, dw) in dw.chunks_mut(SOME).enumerate() {
                let place = [line / height, line % height, part * SOME];
                match dw.len() {
                    1 => plane.weights::<T, _, 1>(fma, padded, dy, place, dw),
                    2 => plane.weights::<T, _, 2>(fma, padded, dy, place, dw),
                    3 => plane.weights::<T, _, 3>(fma, padded, dy, place, dw),
                    _ => plane.weights::<T, _, SOME>(fma, padded, dy, place, dw),
                }
            }
        }
    }
}
