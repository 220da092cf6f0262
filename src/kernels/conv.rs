//! Convolution over up to three axes as products of matrices: windows of the input are laid out as the
//! columns of a matrix, a block of output positions at a time, so that the buffer stays small. At stride 1
//! they are read where they lie in a padded sample. Samples are shared out among threads.
mod depthwise;
pub(crate) mod packed;
mod padded;
mod windows;

#[cfg(test)]
mod tests;

use super::matmul::{Mat, MatMut, Misfit, matmul, matmul_alone};
use crate::{
    error::Checked,
    kernels::FloatElement,
    tensor::{Shape, Unfilled},
    threads::{for_chunks, try_chunks},
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
const BLOCK: usize = 1 << 17;
/// Pieces of the batch whose weight gradients are summed apart: the same number on any number of threads.
const PIECES: usize = 8;
/// Multiply-adds from which the product of one block of windows is shared out among threads.
const LARGE: usize = 1 << 23;
/// Weights whose sums a task adds up.
const GRAIN: usize = 4096;
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
        let (all, columns) = (volume(self.output), self.output[2]);
        let room = (BLOCK / self.window().max(1)).max(1).next_multiple_of(32);
        let most = if room < all { whole_lines(room, columns) } else { all.max(32) };
        ((0..all).step_by(most).map(move |p| (p, most.min(all - p))), most)
    }
}

/// Columns of a block of at most `room`: whole lines, which are laid out faster, as many as fill a product's tiles best.
fn whole_lines(room: usize, columns: usize) -> usize {
    let waste = |lines: &usize| (lines * columns).next_multiple_of(32) as f64 / (lines * columns) as f64;
    let most = room / columns;
    // Of 32 in a row one at least wastes nothing.
    let lines = (most.saturating_sub(31).max(1)..=most).rev().min_by(|a, b| waste(a).total_cmp(&waste(b)));
    lines.map_or(room, |lines| lines * columns)
}

fn matrix<T>(data: &[T], rows: usize, cols: usize, row_stride: usize) -> Mat<'_, T> {
    Mat { data, rows, cols, row_stride: row_stride as isize, col_stride: 1 }
}

fn turned<T>(m: Mat<'_, T>) -> Mat<'_, T> {
    Mat { rows: m.cols, cols: m.rows, row_stride: m.col_stride, col_stride: m.row_stride, ..m }
}

/// `c = a b + beta c`: of a single sample on all threads if that is worth it, since the thread that laid out
/// the windows has them in its cache.
fn multiply<T: FloatElement>(a: Mat<T>, b: Mat<T>, beta: T, c: MatMut<T>) -> Result<(), Misfit> {
    if a.rows.saturating_mul(a.cols).saturating_mul(b.cols) < LARGE {
        matmul_alone(T::constant(1.0), a, b, beta, c)
    } else {
        matmul(T::constant(1.0), a, b, beta, c)
    }
}

/// A buffer from the pool of the thread that asks.
fn buffer<T: FloatElement>(len: usize) -> Checked<Unfilled<T>> {
    Unfilled::new(Shape::new(&[len])).made()
}

/// `y[n, o] = bias[o] + Σ w[o, i, k] · x[n, i, windows]`
pub(crate) fn forward<T: FloatElement>(
    g: &Geometry,
    x: &[T],
    w: &[T],
    bias: Option<&[T]>,
    y: &mut [T],
) -> Checked<()> {
    let (positions, window, rows) = (volume(g.output), g.window(), g.outputs_per_group());
    let (size, sample) = (g.inputs * volume(g.input), g.outputs * positions);
    if sample == 0 {
        return Ok(());
    }
    match g.plane() {
        Some(plane) if plane.is_depthwise() => return plane.depthwise(x, w, bias, y),
        Some(plane) if plane.has_products() => return plane.products(x, w, bias, y),
        _ => {}
    }
    try_chunks(y, sample, &|start, y| {
        let x = &x[start / sample * size..][..size];
        let (blocks, most) = g.blocks();
        let mut columns = buffer::<T>(if g.is_plain() { 0 } else { window * most })?;
        if let Some(bias) = bias {
            y.chunks_exact_mut(positions).zip(bias).for_each(|(y, &b)| y.fill(b));
        }
        let beta = if bias.is_some() { T::constant(1.0) } else { T::constant(0.0) };
        for (from, len) in blocks {
            for group in 0..g.groups {
                let x = &x[group * size / g.groups..][..size / g.groups];
                let b = if g.is_plain() {
                    matrix(&x[from..], window, len, positions)
                } else {
                    g.lay_out(x, from, len, columns.as_mut_slice());
                    matrix(columns.as_mut_slice(), window, len, len)
                };
                let a = matrix(&w[group * rows * window..], rows, window, window);
                let c = MatMut {
                    data: &mut y[group * rows * positions + from..],
                    rows,
                    cols: len,
                    row_stride: positions as isize,
                    col_stride: 1,
                };
                multiply(a, b, beta, c)?;
            }
        }
        Ok(())
    })
}

/// The gradient of the input from that of the output: also the transposed convolution.
pub(crate) fn input_gradient<T: FloatElement>(g: &Geometry, dy: &[T], w: &[T], dx: &mut [T]) -> Checked<()> {
    let (positions, window, rows) = (volume(g.output), g.window(), g.outputs_per_group());
    let (size, sample) = (g.inputs * volume(g.input), g.outputs * positions);
    if size == 0 {
        return Ok(());
    }
    if let Some(plane) = g.plane().and_then(|plane| plane.turned()) {
        let depthwise = plane.is_depthwise();
        // Where the output is much smaller, most of what would be multiplied are zeros around it.
        let as_large = volume(g.input) / 8 <= volume(g.output) / 7;
        if depthwise || plane.has_products() && as_large {
            let mut turned = plane.turned_weights(w)?;
            let w = turned.as_mut_slice();
            return if depthwise {
                plane.depthwise(dy, w, None, dx)
            } else {
                plane.products(dy, w, None, dx)
            };
        }
    }
    try_chunks(dx, size, &|start, dx| {
        dx.fill(T::default());
        let dy = &dy[start / size * sample..][..sample];
        let (blocks, most) = g.blocks();
        let mut columns = buffer::<T>(window * most)?;
        for (from, len) in blocks {
            for group in 0..g.groups {
                let dx = &mut dx[group * size / g.groups..][..size / g.groups];
                let a = turned(matrix(&w[group * rows * window..], rows, window, window));
                let b = matrix(&dy[group * rows * positions + from..], rows, len, positions);
                let data = columns.as_mut_slice();
                let c = MatMut { data, rows: window, cols: len, row_stride: len as isize, col_stride: 1 };
                multiply(a, b, T::constant(0.0), c)?;
                g.put_back(columns.as_mut_slice(), from, len, dx);
            }
        }
        Ok(())
    })
}

/// The gradient of the weights, summed over the samples: in pieces whose number depends on the shapes alone.
pub(crate) fn weight_gradient<T: FloatElement>(g: &Geometry, x: &[T], dy: &[T], dw: &mut [T]) -> Checked<()> {
    let (positions, window, rows) = (volume(g.output), g.window(), g.outputs_per_group());
    let (size, sample, weights) = (g.inputs * volume(g.input), g.outputs * positions, g.outputs * window);
    if weights == 0 || sample == 0 || g.n == 0 {
        dw.fill(T::default());
        return Ok(());
    }
    let pieces = PIECES.min(MOST / weights).clamp(1, g.n);
    let each = g.n.div_ceil(pieces);
    let mut sums = buffer::<T>(pieces * weights)?;
    try_chunks(sums.as_mut_slice(), weights, &|start, sum| {
        let piece = start / weights;
        let mut columns = buffer::<T>(if g.is_plain() { 0 } else { window * g.blocks().1 })?;
        let samples = piece * each..((piece + 1) * each).min(g.n);
        if samples.is_empty() {
            sum.fill(T::default());
        }
        if let Some(plane) = g.plane().filter(|plane| plane.is_depthwise()) {
            sum.fill(T::default());
            return plane.add_weights(
                &x[samples.start * size..samples.end * size],
                &dy[samples.start * sample..],
                sum,
            );
        }
        for i in samples.clone() {
            let (x, dy) = (&x[i * size..][..size], &dy[i * sample..][..sample]);
            for (from, len) in g.blocks().0 {
                for group in 0..g.groups {
                    let x = &x[group * size / g.groups..][..size / g.groups];
                    let b = if g.is_plain() {
                        matrix(&x[from..], window, len, positions)
                    } else {
                        g.lay_out(x, from, len, columns.as_mut_slice());
                        matrix(columns.as_mut_slice(), window, len, len)
                    };
                    let a = matrix(&dy[group * rows * positions + from..], rows, len, positions);
                    let beta = T::constant(if i == samples.start && from == 0 { 0.0 } else { 1.0 });
                    let data = &mut sum[group * rows * window..][..rows * window];
                    let c = MatMut { data, rows, cols: window, row_stride: window as isize, col_stride: 1 };
                    multiply(a, turned(b), beta, c)?;
                }
            }
        }
        Ok(())
    })?;
    let sums = sums.filled();
    let sums = sums.as_slice().unwrap_or_default();
    for_chunks(dw, GRAIN, |start, dw| {
        dw.fill(T::default());
        for sum in sums.chunks_exact(weights) {
            dw.iter_mut().zip(&sum[start..]).for_each(|(d, &s)| *d = *d + s);
        }
    });
    Ok(())
}
