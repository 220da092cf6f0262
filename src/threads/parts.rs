//! Slices shared out among tasks.
use super::pool::parallel_for;
use crate::error::Checked;
use std::sync::{Mutex, PoisonError};

/// Runs `f(start, part)` for the pieces of `out` that are `size` long (the last may be shorter).
pub(crate) fn for_chunks<T: Send>(out: &mut [T], size: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let n = out.len();
    for_parts(&mut [out], n, size, &|start, _, [part]| f(start, part));
}

/// The same for a function that can fail: what went wrong first, if anything did.
pub(crate) fn try_chunks<T: Send>(
    out: &mut [T],
    size: usize,
    f: &(dyn Fn(usize, &mut [T]) -> Checked<()> + Sync),
) -> Checked<()> {
    let failure = Mutex::new(None);
    for_chunks(out, size, |start, out| {
        if let Err(why) = f(start, out) {
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// What is done with each piece: a reference, since a type for each caller would have all this compiled for
/// it.
pub(crate) type Part<'a, T, const M: usize> = &'a (dyn Fn(usize, usize, [&mut [T]; M]) + Sync);

/// Runs `f(start, end, parts)` for the pieces of the range `0..n` that are `size` long (the last may be
/// shorter), where `parts` are the elements `start..end` of each output, as far as it has them.
pub(crate) fn for_parts<T: Send, const M: usize>(
    out: &mut [&mut [T]; M],
    n: usize,
    size: usize,
    f: Part<T, M>,
) {
    for_rows(out, [1; M], n, size, f);
}

/// The same for rows: `start..end` are `size` of them, and each output has rows of its own width.
pub(crate) fn for_rows<T: Send, const M: usize>(
    out: &mut [&mut [T]; M],
    widths: [usize; M],
    n: usize,
    size: usize,
    f: Part<T, M>,
) {
    let size = size.max(1);
    let mut widths = widths.into_iter();
    let out = Outputs(out.each_mut().map(|o| (o.as_mut_ptr(), o.len(), widths.next().unwrap_or(0))));
    parallel_for(n.div_ceil(size), &|i| {
        let (start, end) = (i * size, n.min((i + 1) * size));
        // SAFETY: the ranges of different tasks don't overlap, each task runs once, and `out` stays
        // mutably borrowed until all are done.
        f(start, end, unsafe { out.part(start, end) });
    });
}

/// Start, length and width of a row of slices that tasks share out among themselves.
struct Outputs<T, const M: usize>([(*mut T, usize, usize); M]);

// SAFETY: a task only reaches the elements through `part`, whose callers keep the ranges apart; so an
// element is used by one thread at a time, which `T: Send` allows.
unsafe impl<T: Send, const M: usize> Sync for Outputs<T, M> {}

impl<T, const M: usize> Outputs<T, M> {
    /// The rows `start..end` of each slice, cut off at its end.
    ///
    /// # Safety
    /// The slices must still be borrowed for the pool, and ranges in use at the same time must not overlap.
    unsafe fn part<'a>(&self, start: usize, end: usize) -> [&'a mut [T]; M] {
        self.0.map(|(first, len, width)| {
            let [start, end] = [start, end].map(|row| row.saturating_mul(width).min(len));
            // SAFETY: start <= end <= len, and the caller answers for the rest.
            unsafe { std::slice::from_raw_parts_mut(first.add(start), end - start) }
        })
    }
}
