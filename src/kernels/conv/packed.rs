//! Convolutions whose weights are packed: some of them at a time become floats, as many as stay in a core's own
//! cache, and meet all samples.
use super::{Geometry, buffer, volume};
use crate::{
    error::Checked,
    kernels::{
        FloatElement,
        packed::{LANES, Packed},
    },
    threads::try_chunks,
};
use std::ops::Range;

/// Weights that are floats at a time, unless those of one channel are more.
const ROOM: usize = 1 << 16;

/// A convolution that is part of another one: some of its inputs with some of its outputs.
struct Part {
    g: Geometry,
    inputs: Range<usize>,
    outputs: Range<usize>,
    /// Columns of the weights as a matrix, whose rows are the outputs.
    columns: Range<usize>,
}

impl Geometry {
    /// Parts with some of the outputs each, or with some of the inputs if `by_inputs` says so. Each has one
    /// sample.
    fn parts(&self, by_inputs: bool) -> Vec<Part> {
        let (window, kernel) = (self.window(), volume(self.kernel));
        let (channels, rows) = (self.inputs / self.groups, self.outputs_per_group());
        let part = |groups: usize, inputs: Range<usize>, outputs: Range<usize>, columns: Range<usize>| {
            let g = Geometry { n: 1, groups, inputs: inputs.len(), outputs: outputs.len(), ..self.clone() };
            Part { g, inputs, outputs, columns }
        };
        let (own, others, size) = if by_inputs { (channels, rows, kernel) } else { (rows, 1, window) };
        let fit = (ROOM / (others * size).max(1)).max(1);
        if own <= fit {
            let some = (fit / own.max(1)).max(1);
            let whole = |first: usize| {
                let groups = first..self.groups.min(first + some);
                let of = |each: usize| groups.start * each..groups.end * each;
                part(groups.len(), of(channels), of(rows), 0..window)
            };
            return (0..self.groups).step_by(some).map(whole).collect();
        }
        // Whole panels of rows.
        let fit = if by_inputs || fit < LANES { fit } else { fit / LANES * LANES };
        let each = |group: usize| {
            (0..own).step_by(fit).map(move |first| {
                let some = first..own.min(first + fit);
                let of = |each: usize| group * each..(group + 1) * each;
                let at = |from: usize| from + some.start..from + some.end;
                match by_inputs {
                    true => {
                        let columns = some.start * kernel..some.end * kernel;
                        part(1, at(group * channels), of(rows), columns)
                    }
                    false => part(1, of(channels), at(group * rows), 0..window),
                }
            })
        };
        (0..self.groups).flat_map(each).collect()
    }

    fn check<T: FloatElement>(&self, w: &Packed<T>) -> Checked<()> {
        w.sound()?;
        if [w.rows(), w.cols()] == [self.outputs, self.window()] {
            return Ok(());
        }
        Err("the packed weights don't fit the convolution".into())
    }
}

/// Calls with each part and its weights as floats.
fn each_part<T: FloatElement>(
    g: &Geometry,
    w: &Packed<T>,
    by_inputs: bool,
    mut f: impl FnMut(&Part, &[T]) -> Checked<()>,
) -> Checked<()> {
    g.check(w)?;
    let parts = g.parts(by_inputs);
    let size = |part: &Part| part.outputs.len() * part.columns.len();
    let mut floats = buffer::<T>(parts.iter().map(size).max().unwrap_or(0))?;
    for part in &parts {
        let floats = &mut floats.as_mut_slice()[..size(part)];
        w.block(part.outputs.clone(), part.columns.clone(), floats);
        f(part, floats)?;
    }
    Ok(())
}

/// Some channels of a sample.
fn of<'a, T>(sample: &'a [T], channels: &Range<usize>, size: usize) -> &'a [T] {
    &sample[channels.start * size..channels.end * size]
}

/// As [`forward`](super::forward).
pub(crate) fn forward<T: FloatElement>(
    g: &Geometry,
    x: &[T],
    w: &Packed<T>,
    bias: Option<&[T]>,
    y: &mut [T],
) -> Checked<()> {
    let (read, written) = (volume(g.input), volume(g.output));
    if y.is_empty() {
        return Ok(());
    }
    each_part(g, w, false, |part, w| {
        try_chunks(y, g.outputs * written, &|start, y| {
            let sample = &x[start / (g.outputs * written) * g.inputs * read..][..g.inputs * read];
            let y = &mut y[part.outputs.start * written..part.outputs.end * written];
            super::forward(
                &part.g,
                of(sample, &part.inputs, read),
                w,
                bias.map(|b| of(b, &part.outputs, 1)),
                y,
            )
        })
    })
}

/// As [`input_gradient`](super::input_gradient).
pub(crate) fn input_gradient<T: FloatElement>(
    g: &Geometry,
    dy: &[T],
    w: &Packed<T>,
    dx: &mut [T],
) -> Checked<()> {
    let (written, read) = (volume(g.input), volume(g.output));
    if dx.is_empty() {
        return Ok(());
    }
    each_part(g, w, true, |part, w| {
        try_chunks(dx, g.inputs * written, &|start, dx| {
            let sample = &dy[start / (g.inputs * written) * g.outputs * read..][..g.outputs * read];
            let dx = &mut dx[part.inputs.start * written..part.inputs.end * written];
            super::input_gradient(&part.g, of(sample, &part.outputs, read), w, dx)
        })
    })
}
