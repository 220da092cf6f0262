//! Work on a packed matrix shared out: tasks for some of its panels, and where each writes its columns.
use crate::{
    error::Checked,
    threads::{num_threads, parallel_for},
};
use std::{
    ops::Range,
    sync::{Mutex, PoisonError},
};

/// Multiply-adds worth a task of their own.
const GRAIN: usize = 1 << 16;

/// Where tasks write columns of their own of a matrix `[rows, width]`.
pub(super) struct Columns<T> {
    data: *mut T,
    rows: usize,
    width: usize,
}

// SAFETY: `write` is only called for columns that no other task writes.
unsafe impl<T: Send> Sync for Columns<T> {}

impl<T: Copy> Columns<T> {
    pub fn new(out: &mut [T], width: usize) -> Columns<T> {
        Columns { data: out.as_mut_ptr(), rows: out.len() / width.max(1), width }
    }

    /// # Safety
    /// Nobody else writes these columns.
    pub unsafe fn write(&self, row: usize, column: usize, values: &[T]) {
        assert!(row < self.rows && column + values.len() <= self.width);
        // SAFETY: they lie in the matrix, whose borrow lasts as long as the tasks.
        unsafe {
            let to = self.data.add(row * self.width + column);
            std::ptr::copy_nonoverlapping(values.as_ptr(), to, values.len());
        }
    }
}

/// Runs tasks, as many as are worth it, each for some of `count` places.
pub(super) fn shared(
    count: usize,
    work: usize,
    f: impl Fn(Range<usize>) -> Checked<()> + Sync,
) -> Checked<()> {
    let failed = Mutex::new(None);
    let tasks = count.min(4 * num_threads()).min(work / GRAIN).max(1);
    let some = |task: usize| {
        if let Err(why) = f(task * count / tasks..(task + 1) * count / tasks) {
            failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        }
    };
    if tasks == 1 {
        some(0)
    } else {
        parallel_for(tasks, &some)
    }
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// The same, place by place.
pub(super) fn each(count: usize, work: usize, f: impl Fn(usize) -> Checked<()> + Sync) -> Checked<()> {
    shared(count, work, |mut places| places.try_for_each(&f))
}
