//! Convolution over up to three axes as products of matrices: windows of the input are laid out as the columns of a matrix,
//! a block of output positions at a time, so that the buffer stays small. Samples are shared out among threads.
use super::{
    matmul::{Mat, MatMut, matmul},
    threads::for_chunks,
};
use crate::{
    tape::Float,
    tensor::{Shape, Tensor},
};

/// What is convolved with what. Axes that a convolution doesn't have are of size 1.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Geometry {
    pub n: usize,
    pub groups: usize,
    /// Channels of the input and of the output, all groups together.
    pub inputs: usize,
    pub outputs: usize,
    pub input: [usize; 3],
    pub kernel: [usize; 3],
    pub output: [usize; 3],
    pub stride: [usize; 3],
    /// Zeros before the first element of each axis; as many follow the last as the output reaches.
    pub padding: [usize; 3],
    pub dilation: [usize; 3],
}

/// Elements of the buffer that windows are laid out in.
const BLOCK: usize = 1 << 16;
/// Pieces of the batch whose weight gradients are summed apart: the same number on any number of threads.
const PIECES: usize = 8;
/// Most elements of all those sums.
const MOST: usize = 1 << 22;

fn volume(sizes: [usize; 3]) -> usize {
    sizes.iter().product()
}

impl Geometry {
    /// Rows of the matrix of windows: the inputs that one output of a group reads.
    fn window(&self) -> usize {
        self.inputs / self.groups * volume(self.kernel)
    }

    fn outputs_per_group(&self) -> usize {
        self.outputs / self.groups
    }

    /// Whether the input is the matrix of windows already.
    fn is_plain(&self) -> bool {
        volume(self.kernel) == 1
            && self.input == self.output
            && self.stride == [1; 3]
            && self.padding == [0; 3]
    }

    /// Blocks of output positions, and the room for one.
    fn blocks(&self) -> (impl Iterator<Item = (usize, usize)> + use<>, usize) {
        let all = volume(self.output);
        let most = (BLOCK / self.window().max(1)).next_multiple_of(32).clamp(32, all.max(32));
        ((0..all).step_by(most).map(move |p| (p, most.min(all - p))), most)
    }

    /// Calls `f` for each stretch of the matrix of windows that lies in one row of the output: the row of the matrix and the
    /// column, the length, and where its elements lie in the sample.
    #[inline(always)]
    fn stretches(&self, from: usize, len: usize, mut f: impl FnMut(usize, usize, usize, Stretch)) {
        let [_, lines, columns] = self.output;
        let [kd, kh, kw] = self.kernel;
        let [depth, height, width] = self.input;
        let first_place = [from / columns / lines, from / columns % lines, from % columns];
        for row in 0..self.window() {
            let (channel, k) = (row / (kd * kh * kw), row % (kd * kh * kw));
            // Where the first window of each axis has this element; behind the end if before the beginning.
            let begin = |axis: usize, k: usize| (k * self.dilation[axis]).wrapping_sub(self.padding[axis]);
            let [d0, h0, w0] = [begin(0, k / (kh * kw)), begin(1, k / kw % kh), begin(2, k % kw)];
            // Columns of the output whose element is inside the input: from `first` up to `end`.
            let (offset, step) = (k % kw * self.dilation[2], self.stride[2]);
            let first = self.padding[2].saturating_sub(offset).div_ceil(step);
            let end = (width + self.padding[2]).saturating_sub(offset).div_ceil(step);
            let [mut plane, mut line, mut column] = first_place;
            let mut p = 0;
            while p < len {
                let size = (columns - column).min(len - p);
                let d = d0.wrapping_add(plane * self.stride[0]);
                let h = h0.wrapping_add(line * self.stride[1]);
                let stretch = if d < depth && h < height {
                    let (low, high) = (first.clamp(column, column + size), end.clamp(column, column + size));
                    let at = ((channel * depth + d) * height + h) * width;
                    let start = at.wrapping_add(w0).wrapping_add(low * step);
                    Stretch { before: low - column, start, count: high.saturating_sub(low) }
                } else {
                    Stretch { before: size, start: 0, count: 0 }
                };
                f(row, p, size, stretch);
                p += size;
                column = 0;
                line += 1;
                if line == lines {
                    (plane, line) = (plane + 1, 0);
                }
            }
        }
    }

    /// The windows of one sample's group as the columns of a matrix with rows of `len`.
    fn lay_out<T: Float>(&self, x: &[T], from: usize, len: usize, to: &mut [T]) {
        let step = self.stride[2];
        self.stretches(from, len, |row, column, size, s| {
            let to = &mut to[row * len + column..][..size];
            if s.count == 0 {
                return zero(to);
            }
            zero(&mut to[..s.before]);
            let inside = &mut to[s.before..s.before + s.count];
            if step == 1 {
                copy(&x[s.start..s.start + s.count], inside);
            } else {
                inside.iter_mut().zip(x[s.start..].iter().step_by(step)).for_each(|(o, &v)| *o = v);
            }
            zero(&mut to[s.before + s.count..]);
        });
    }

    /// Adds the columns to where they came from.
    fn put_back<T: Float>(&self, columns: &[T], from: usize, len: usize, x: &mut [T]) {
        let step = self.stride[2];
        self.stretches(from, len, |row, column, _, s| {
            if s.count > 0 {
                let columns = &columns[row * len + column + s.before..][..s.count];
                if step == 1 {
                    x[s.start..][..s.count].iter_mut().zip(columns).for_each(|(x, &v)| *x = *x + v);
                } else {
                    x[s.start..].iter_mut().step_by(step).zip(columns).for_each(|(x, &v)| *x = *x + v);
                }
            }
        });
    }
}

/// Where the elements of a stretch lie in a sample: `count` of them from `start` on, after `before` without one.
struct Stretch {
    before: usize,
    start: usize,
    count: usize,
}

/// Rows of images are short: a call of the system's copy would take longer than the copying.
#[inline(always)]
fn copy<T: Copy>(from: &[T], to: &mut [T]) {
    let ((from, rest), (to, last)) = (from.as_chunks::<8>(), to.as_chunks_mut::<8>());
    to.iter_mut().zip(from).for_each(|(t, f)| *t = *f);
    last.iter_mut().zip(rest).for_each(|(t, f)| *t = *f);
}

/// The same goes for filling.
#[inline(always)]
fn zero<T: Float>(to: &mut [T]) {
    let (to, last) = to.as_chunks_mut::<8>();
    to.iter_mut().for_each(|t| *t = [T::default(); 8]);
    for t in last {
        // Opaque, or it becomes that call.
        *t = std::hint::black_box(T::default());
    }
}

fn matrix<T>(data: &[T], rows: usize, cols: usize, row_stride: usize) -> Mat<'_, T> {
    Mat { data, rows, cols, row_stride: row_stride as isize, col_stride: 1 }
}

fn turned<T>(m: Mat<'_, T>) -> Mat<'_, T> {
    Mat { rows: m.cols, cols: m.rows, row_stride: m.col_stride, col_stride: m.row_stride, ..m }
}

/// A buffer from the pool of the thread that asks.
fn buffer<T: Float>(len: usize) -> Tensor<T> {
    Tensor::build(Shape::new(&[len]), |_| ())
}

/// `y[n, o] = bias[o] + Σ w[o, i, k] · x[n, i, windows]`
pub(crate) fn forward<T: Float>(g: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>, y: &mut [T]) {
    let (positions, window, rows) = (volume(g.output), g.window(), g.outputs_per_group());
    let (size, sample) = (g.inputs * volume(g.input), g.outputs * positions);
    if sample == 0 {
        return;
    }
    for_chunks(y, sample, |start, y| {
        let x = &x[start / sample * size..][..size];
        let (blocks, most) = g.blocks();
        let mut columns = buffer::<T>(if g.is_plain() { 0 } else { window * most });
        if let Some(bias) = bias {
            y.chunks_exact_mut(positions).zip(bias).for_each(|(y, &b)| y.fill(b));
        }
        let beta = if bias.is_some() { T::of(1.0) } else { T::of(0.0) };
        for (from, len) in blocks {
            for group in 0..g.groups {
                let x = &x[group * size / g.groups..][..size / g.groups];
                let b = if g.is_plain() {
                    matrix(&x[from..], window, len, positions)
                } else {
                    g.lay_out(x, from, len, columns.as_mut_slice());
                    matrix(columns.as_slice().unwrap_or_default(), window, len, len)
                };
                let a = matrix(&w[group * rows * window..], rows, window, window);
                let c = MatMut {
                    data: &mut y[group * rows * positions + from..],
                    rows,
                    cols: len,
                    row_stride: positions as isize,
                    col_stride: 1,
                };
                matmul(T::of(1.0), a, b, beta, c);
            }
        }
    });
}

/// The gradient of the input from that of the output: also the transposed convolution.
pub(crate) fn input_gradient<T: Float>(g: &Geometry, dy: &[T], w: &[T], dx: &mut [T]) {
    let (positions, window, rows) = (volume(g.output), g.window(), g.outputs_per_group());
    let (size, sample) = (g.inputs * volume(g.input), g.outputs * positions);
    if size == 0 {
        return;
    }
    for_chunks(dx, size, |start, dx| {
        dx.fill(T::default());
        let dy = &dy[start / size * sample..][..sample];
        let (blocks, most) = g.blocks();
        let mut columns = buffer::<T>(window * most);
        for (from, len) in blocks {
            for group in 0..g.groups {
                let dx = &mut dx[group * size / g.groups..][..size / g.groups];
                let a = turned(matrix(&w[group * rows * window..], rows, window, window));
                let b = matrix(&dy[group * rows * positions + from..], rows, len, positions);
                let data = columns.as_mut_slice();
                let c = MatMut { data, rows: window, cols: len, row_stride: len as isize, col_stride: 1 };
                matmul(T::of(1.0), a, b, T::of(0.0), c);
                g.put_back(columns.as_slice().unwrap_or_default(), from, len, dx);
            }
        }
    });
}

/// The gradient of the weights, summed over the samples: in pieces whose number depends on the shapes alone.
pub(crate) fn weight_gradient<T: Float>(g: &Geometry, x: &[T], dy: &[T], dw: &mut [T]) {
    let (positions, window, rows) = (volume(g.output), g.window(), g.outputs_per_group());
    let (size, sample, weights) = (g.inputs * volume(g.input), g.outputs * positions, g.outputs * window);
    dw.fill(T::default());
    if weights == 0 || sample == 0 || g.n == 0 {
        return;
    }
    let pieces = PIECES.min(MOST / weights).clamp(1, g.n);
    let each = g.n.div_ceil(pieces);
    let mut sums = buffer::<T>(pieces * weights);
    for_chunks(sums.as_mut_slice(), weights, |start, sum| {
        sum.fill(T::default());
        let piece = start / weights;
        let mut columns = buffer::<T>(if g.is_plain() { 0 } else { window * g.blocks().1 });
        for i in piece * each..((piece + 1) * each).min(g.n) {
            let (x, dy) = (&x[i * size..][..size], &dy[i * sample..][..sample]);
            for (from, len) in g.blocks().0 {
                for group in 0..g.groups {
                    let x = &x[group * size / g.groups..][..size / g.groups];
                    let b = if g.is_plain() {
                        matrix(&x[from..], window, len, positions)
                    } else {
                        g.lay_out(x, from, len, columns.as_mut_slice());
                        matrix(columns.as_slice().unwrap_or_default(), window, len, len)
                    };
                    let a = matrix(&dy[group * rows * positions + from..], rows, len, positions);
                    let data = &mut sum[group * rows * window..][..rows * window];
                    let c = MatMut { data, rows, cols: window, row_stride: window as isize, col_stride: 1 };
                    matmul(T::of(1.0), a, turned(b), T::of(1.0), c);
                }
            }
        }
    });
    for sum in sums.as_slice().unwrap_or_default().chunks_exact(weights) {
        dw.iter_mut().zip(sum).for_each(|(d, &s)| *d = *d + s);
    }
}
