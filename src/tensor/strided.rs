//! Walking strided data: copies into row-major order, and the common order of several operands.
use super::{Element, Layout};
use smallvec::SmallVec;

/// Axes with the steps of K operands, neighbours merged where all operands allow it; never empty.
pub(crate) type Axes<const K: usize> = SmallVec<[(usize, [isize; K]); 6]>;

/// Merges neighbouring axes that every operand walks in one go, and drops axes of size 1.
pub(crate) fn merge_axes<const K: usize>(shape: &[usize], strides: [&[isize]; K]) -> Axes<K> {
    let mut axes: Axes<K> = SmallVec::new();
    for (i, &size) in shape.iter().enumerate() {
        if size == 1 {
            continue;
        }
        let steps: [isize; K] = std::array::from_fn(|k| strides[k][i]);
        if let Some((n, last)) = axes.last_mut()
            && (0..K).all(|k| last[k] == steps[k] * size as isize)
        {
            *n *= size;
            *last = steps;
        } else {
            axes.push((size, steps));
        }
    }
    if axes.is_empty() {
        axes.push((1, [0; K]));
    }
    axes
}

/// Calls `f(offsets)` once for each run along the last axis, in row-major order, for runs `from..to`.
pub(crate) fn for_runs<const K: usize>(
    axes: &[(usize, [isize; K])],
    start: [isize; K],
    from: usize,
    to: usize,
    mut f: impl FnMut(usize, [isize; K]),
) {
    if from >= to {
        return; // There may be axes without elements.
    }
    let outer = &axes[..axes.len() - 1];
    let mut index: SmallVec<[usize; 6]> = SmallVec::from_elem(0, outer.len());
    let index = index.as_mut_slice();
    let mut at = start;
    let mut rest = from;
    for (i, (size, steps)) in outer.iter().enumerate().rev() {
        index[i] = rest % size;
        rest /= size;
        for k in 0..K {
            at[k] += index[i] as isize * steps[k];
        }
    }
    for run in from..to {
        f(run, at);
        for (i, (size, steps)) in outer.iter().enumerate().rev() {
            index[i] += 1;
            for k in 0..K {
                at[k] += steps[k];
            }
            if index[i] < *size {
                break;
            }
            index[i] = 0;
            for k in 0..K {
                at[k] -= *size as isize * steps[k];
            }
        }
    }
}

/// Copies the elements that a layout describes into row-major order.
pub(crate) fn gather<T: Element>(source: &[T], layout: &Layout, out: &mut [T]) {
    if out.is_empty() {
        return;
    }
    let axes = merge_axes(&layout.shape, [&layout.strides]);
    let (run, [step]) = axes[axes.len() - 1];
    // The axis along which the source lies in one piece, if that isn't the last: with the last one it makes planes
    // that are turned.
    let along = axes.iter().position(|&(_, [step])| step == 1);
    if let (Some(along), true) = (along, step > 1) {
        let pitch = axes[along + 1..].iter().map(|(size, _)| size).product();
        let turn = Turn { rows: axes[along].0, columns: run, step: step as usize, pitch };
        // The others, with the places in the result.
        let mut outer: Axes<2> = SmallVec::new();
        let mut place = out.len();
        for (i, &(size, [step])) in axes.iter().enumerate() {
            place /= size;
            if i != along && i + 1 != axes.len() {
                outer.push((size, [step, place as isize]));
            }
        }
        outer.push((1, [0; 2]));
        let planes = outer.iter().map(|(size, _)| size).product();
        return for_runs(&outer, [layout.offset as isize, 0], 0, planes, |_, [from, to]| {
            turn.copy(&source[from as usize..], &mut out[to as usize..]);
        });
    }
    let runs = out.len() / run;
    for_runs(&axes, [layout.offset as isize], 0, runs, |i, [at]| {
        copy_run(source, at, step, &mut out[i * run..(i + 1) * run]);
    });
}

/// Fills `out` with elements `step` apart from `at` on.
#[inline]
pub(crate) fn copy_run<T: Element>(source: &[T], at: isize, step: isize, out: &mut [T]) {
    let first = at as usize;
    match step {
        // Without a call.
        _ if out.len() == 1 => out[0] = source[first],
        1 => out.copy_from_slice(&source[first..first + out.len()]),
        0 => out.fill(source[first]),
        -1 => {
            let backwards = source[first + 1 - out.len()..=first].iter().rev();
            out.iter_mut().zip(backwards).for_each(|(o, &v)| *o = v);
        }
        _ => {
            let mut p = at;
            for o in out {
                *o = source[p as usize];
                p += step;
            }
        }
    }
}

/// `out[i · pitch + j] = source[i + j · step]`.
struct Turn {
    rows: usize,
    columns: usize,
    step: usize,
    pitch: usize,
}

impl Turn {
    /// In square blocks, which are read line by line: lines whose places in the cache collide are each met once.
    fn copy<T: Element>(&self, source: &[T], out: &mut [T]) {
        const SIDE: usize = 16;
        let mut block = [[T::default(); SIDE]; SIDE];
        for i in (0..self.rows).step_by(SIDE) {
            let height = SIDE.min(self.rows - i);
            for j in (0..self.columns).step_by(SIDE) {
                let width = SIDE.min(self.columns - j);
                for (b, line) in block[..width].iter_mut().enumerate() {
                    let from = &source[i + (j + b) * self.step..][..height];
                    match <&[T; SIDE]>::try_from(from) {
                        Ok(whole) => *line = *whole,
                        Err(_) => line[..height].copy_from_slice(from),
                    }
                }
                for a in 0..height {
                    let row = &mut out[(i + a) * self.pitch + j..][..width];
                    match <&mut [T; SIDE]>::try_from(&mut *row) {
                        Ok(row) => (0..SIDE).for_each(|b| row[b] = block[b][a]),
                        Err(_) => row.iter_mut().zip(&block).for_each(|(o, line)| *o = line[a]),
                    }
                }
            }
        }
    }
}
