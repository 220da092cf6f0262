//! Convolutions read their windows in a padded sample. At a stride, its lines are split into phases: the columns
//! that are as far from a multiple of the stride lie side by side, as windows beside each other read them.
use super::{Geometry, LARGE, matrix, volume, windows::copy};
use crate::{
    error::Checked,
    kernels::{
        FloatElement,
        matmul::{Grid, MatMut, SLACK, Windows, matmul_windows},
    },
    tensor::{Shape, Unfilled},
    threads::try_chunks,
};

/// Most elements that a padded sample of one group may have: as many as stay in a core's own cache.
const MOST: usize = 1 << 19;
/// Elements that are read behind the last one.
const BEYOND: usize = 32;

/// How channels are read: the sizes of the output, the kernel and a channel with what is around it.
#[derive(Clone, Copy)]
pub(super) struct Plane {
    pub groups: usize,
    /// Channels of a group, and its results.
    pub channels: usize,
    pub results: usize,
    pub output: [usize; 3],
    pub kernel: [usize; 3],
    pub dilation: [usize; 3],
    pub stride: [usize; 3],
    /// Sizes of a channel with what is around it, up to whole strides along a line.
    pub padded: [usize; 3],
    /// Where the channel begins, and its sizes.
    pub padding: [usize; 3],
    pub input: [usize; 3],
}

impl Geometry {
    /// How it is done if windows are more than single elements, and a padded channel isn't out of all bounds.
    pub(super) fn plane(&self) -> Option<Plane> {
        let reach = |i: usize| {
            let window = self.dilation[i].checked_mul(self.kernel[i].checked_sub(1)?)?;
            self.output[i].checked_sub(1)?.checked_mul(self.stride[i])?.checked_add(window)?.checked_add(1)
        };
        let padded = [reach(0)?, reach(1)?, reach(2)?.checked_next_multiple_of(self.stride[2])?];
        let plane = Plane {
            groups: self.groups,
            channels: self.inputs / self.groups,
            results: self.outputs / self.groups,
            output: self.output,
            kernel: self.kernel,
            dilation: self.dilation,
            stride: self.stride,
            padded,
            padding: self.padding,
            input: self.input,
        };
        (volume(self.kernel) > 1 && plane.size(1).is_some()).then_some(plane)
    }
}

impl Plane {
    /// Whether each channel is convolved by itself, at stride 1.
    pub fn is_depthwise(&self) -> bool {
        [self.channels, self.results] == [1; 2] && self.stride == [1; 3]
    }

    /// Elements of some padded channels.
    fn size(&self, channels: usize) -> Option<usize> {
        self.padded.iter().try_fold(channels, |all, &size| all.checked_mul(size))
    }

    /// Whether products with its windows are worth it: of several results, from a sample that isn't too large.
    pub fn has_products(&self) -> bool {
        self.results > 1 && self.channels > 0 && self.size(self.channels).is_some_and(|size| size <= MOST)
    }

    /// For the gradient of the input at stride 1, with the output's for an input: the kernel goes from its end to
    /// its beginning.
    pub fn turned(self) -> Option<Plane> {
        if self.stride != [1; 3] {
            return None;
        }
        let reach = [0, 1, 2].map(|i| self.dilation[i] * (self.kernel[i] - 1));
        let [d, h, w] = [0, 1, 2].map(|i| reach[i].checked_sub(self.padding[i]));
        let [pd, ph, pw] = [0, 1, 2].map(|i| self.input[i].checked_add(reach[i]));
        let (output, input) = (self.input, self.output);
        let (channels, results) = (self.results, self.channels);
        let (padding, padded) = ([d?, h?, w?], [pd?, ph?, pw?]);
        let turned = Plane { output, input, channels, results, padding, padded, ..self };
        turned.size(1).map(|_| turned)
    }

    /// The weights for that: from each of its channels to each result.
    pub fn turned_weights<T: FloatElement>(&self, w: &[T]) -> Checked<Unfilled<T>> {
        let mut turned = Unfilled::new(Shape::new(&[w.len()])).made()?;
        let (kernel, data) = (volume(self.kernel), turned.as_mut_slice());
        let group = self.channels * self.results * kernel;
        for (from, to) in w.chunks_exact(group).zip(data.chunks_exact_mut(group)) {
            for (i, to) in to.chunks_exact_mut(kernel).enumerate() {
                let (result, channel) = (i / self.channels, i % self.channels);
                let from = &from[(channel * self.results + result) * kernel..][..kernel];
                to.iter_mut().zip(from.iter().rev()).for_each(|(to, &from)| *to = from);
            }
        }
        Ok(turned)
    }

    /// `y[n, o] = bias[o] + Σ w[o, i, k] · x[n, i, windows]` by products with the windows of padded samples.
    pub fn products<T: FloatElement>(
        &self,
        x: &[T],
        w: &[T],
        bias: Option<&[T]>,
        y: &mut [T],
    ) -> Checked<()> {
        let (positions, window) = (volume(self.output), self.channels * volume(self.kernel));
        let (size, each) = (self.channels * volume(self.input), self.results * positions);
        try_chunks(y, self.groups * each, &|start, y| {
            let mut room = self.room(self.channels)?;
            let padded = room.as_mut_slice();
            padded.fill(T::default());
            for (group, y) in y.chunks_exact_mut(each).enumerate() {
                let x = &x[(start / each + group) * size..][..size];
                let channels =
                    x.chunks_exact(volume(self.input).max(1)).zip(padded.chunks_mut(volume(self.padded)));
                channels.for_each(|(x, padded)| self.pad(x, padded));
                if let Some(bias) = bias {
                    let bias = &bias[group * self.results..];
                    y.chunks_exact_mut(positions).zip(bias).for_each(|(y, &b)| y.fill(b));
                }
                let beta = T::constant(if bias.is_some() { 1.0 } else { 0.0 });
                let a = matrix(&w[group * self.results * window..], self.results, window, window);
                let c = MatMut::dense(y, self.results, positions);
                let alone = each.saturating_mul(window) < LARGE;
                matmul_windows(a, &self.windows(padded), beta, c, alone)?;
            }
            Ok(())
        })
    }

    /// The windows of padded channels.
    fn windows<'a, T>(&self, data: &'a [T]) -> Windows<'a, T> {
        let [_, height, width] = self.padded;
        let steps = [volume(self.padded), height * width, width];
        let [kd, kh, kw] = self.kernel;
        let [od, oh, ow] = self.output;
        let ([d, h, w], [sd, sh, sw]) = (self.dilation, self.stride);
        let rows = Grid {
            sizes: [self.channels, kd, kh, kw],
            steps: [steps[0], d * steps[1], h * steps[2], w],
            phases: [sw, width / sw],
        };
        let columns =
            Grid { sizes: [1, od, oh, ow], steps: [0, sd * steps[1], sh * steps[2], 1], phases: [1, 0] };
        Windows { data, rows, columns }
    }

    /// Room for padded channels.
    pub fn room<T: FloatElement>(&self, channels: usize) -> Checked<Unfilled<T>> {
        const { assert!(BEYOND >= SLACK) };
        Unfilled::new(Shape::new(&[channels * volume(self.padded) + BEYOND])).made()
    }

    /// A channel into the middle of its room, around which there are zeros.
    pub fn pad<T: FloatElement>(&self, x: &[T], to: &mut [T]) {
        let [_, height, width] = self.input;
        // What lies behind the last window isn't read.
        let inside = [0, 1, 2].map(|i| self.input[i].min(self.padded[i].saturating_sub(self.padding[i])));
        if inside.contains(&0) {
            return;
        }
        let (phases, before) = (self.stride[2], self.padding[2]);
        for d in 0..inside[0] {
            for h in 0..inside[1] {
                let from = &x[(d * height + h) * width..][..inside[2]];
                let line =
                    &mut to[self.at([d + self.padding[0], h + self.padding[1], 0])..][..self.padded[2]];
                if phases == 1 {
                    copy(from, &mut line[before..][..inside[2]]);
                    continue;
                }
                for (phase, line) in line.chunks_exact_mut(self.padded[2] / phases).enumerate() {
                    // The first column of this phase that is inside, and where it goes.
                    let first = (phase + phases - before % phases) % phases;
                    let to = line.iter_mut().skip((before + first) / phases);
                    to.zip(from.iter().skip(first).step_by(phases)).for_each(|(to, &from)| *to = from);
                }
            }
        }
    }

    /// A place in a padded channel.
    #[inline(always)]
    pub fn at(&self, place: [usize; 3]) -> usize {
        (place[0] * self.padded[1] + place[1]) * self.padded[2] + place[2]
    }

    /// How far behind its place a line of the output reads for a line of the kernel.
    #[inline(always)]
    pub fn reach(&self, d: usize, h: usize) -> usize {
        self.at([d * self.dilation[0], h * self.dilation[1], 0])
    }
}
