//! Buffers in memory, and the pool of each thread that keeps those that nobody uses, for those who need one
//! of their size class next. What is in a buffer is left to `storage`. `tests/loom` checks this file, too.
use super::sync::{Arc, LocalKey};
use std::{cell::RefCell, fmt};

/// Elements from the first place that is a multiple of a cache line: vectors then lie in one line each.
pub(crate) struct Buffer<T> {
    data: Vec<T>,
    start: usize,
    len: usize,
    /// Whether it was handed out by a pool, which counts those that are out.
    pub(super) pooled: bool,
    /// Why there are no elements, where there should be some.
    pub(super) lack: Option<Box<str>>,
}

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;

impl<T: Clone> Buffer<T> {
    /// None if the system has no room for it.
    pub(super) fn new(len: usize, of: T) -> Option<Buffer<T>> {
        let room = len.checked_add(LINE / size_of::<T>())?;
        let mut data = Vec::new();
        data.try_reserve_exact(room).ok()?;
        data.resize(room, of);
        let start = data.as_ptr().align_offset(LINE).min(room - len);
        Some(Buffer { data, start, len, pooled: true, lack: None })
    }
}

impl<T> Buffer<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        &self.data[self.start..self.start + self.len]
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        &mut self.data[self.start..self.start + self.len]
    }
}

impl<T> From<Vec<T>> for Buffer<T> {
    fn from(data: Vec<T>) -> Buffer<T> {
        Buffer { start: 0, len: data.len(), data, pooled: false, lack: None }
    }
}

/// Free buffers of one element type on one thread, by size class.
pub struct Pool<T> {
    classes: Vec<Free<T>>,
    held: usize,
    pub(super) out: usize,
    peak: usize,
    /// Buffers that were asked for since those that nobody needed went back to the system.
    asked: usize,
}

/// Those of one size class.
struct Free<T> {
    buffers: Vec<Arc<Buffer<T>>>,
    /// The fewest there were since the last look: so many have not been needed.
    idle: usize,
}

/// How many buffers are asked for until those go back to the system that none of these times were needed: many
/// steps of training or, of very long steps, one.
const SETTLED: usize = 1 << 16;

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("held", &self.held).field("out", &self.out).finish_non_exhaustive()
    }
}

impl<T> Pool<T> {
    pub(crate) const fn new() -> Pool<T> {
        Pool { classes: Vec::new(), held: 0, out: 0, peak: 0, asked: 0 }
    }

    pub(super) fn take(&mut self, n: usize) -> Option<Arc<Buffer<T>>> {
        self.asked += 1;
        if self.asked >= SETTLED {
            self.settle();
        }
        let free = self.classes.get_mut(class(n))?;
        let found = free.buffers.pop();
        free.idle = free.idle.min(free.buffers.len());
        if let Some(buffer) = &found {
            self.held -= buffer.len;
        }
        found
    }

    /// Gives back to the system what hasn't been needed for a while: what a model was loaded with, or what
    /// larger batches took.
    #[cold]
    fn settle(&mut self) {
        self.asked = 0;
        for free in &mut self.classes {
            // The last ones are handed out first.
            self.held -= free.buffers.drain(..free.idle).map(|buffer| buffer.len).sum::<usize>();
            free.idle = free.buffers.len();
        }
    }

    /// A buffer of this length goes out.
    pub(super) fn count(&mut self, len: usize) {
        self.out += len;
        self.peak = self.peak.max(self.out);
    }

    /// Keeps a buffer for reuse, unless the pool would then hold more than three times what this thread ever
    /// had in use at once: buffers that come from other threads must not pile up here. Three times, since
    /// the classes have their peaks at different times.
    pub(super) fn give(&mut self, buffer: Arc<Buffer<T>>) {
        let n = buffer.len;
        self.out = self.out.saturating_sub(n);
        let c = class(n);
        if self.held + n > 3 * self.peak {
            return;
        }
        if self.classes.len() <= c {
            self.classes.resize_with(c + 1, || Free { buffers: Vec::new(), idle: 0 });
        }
        if let Some(free) = self.classes.get_mut(c) {
            free.buffers.push(buffer);
            self.held += n;
        }
    }

    /// Gives the free buffers back to the system.
    pub(crate) fn clear(&mut self) {
        self.classes.clear();
        self.held = 0;
        self.peak = self.out;
    }
}

pub(crate) type PoolKey<T> = &'static LocalKey<RefCell<Pool<T>>>;

const SMALLEST: usize = 16;

/// Number of the size class of n elements: four classes to each power of two, so at most a quarter is wasted.
fn class(n: usize) -> usize {
    if n <= SMALLEST {
        return 0;
    }
    let m = n - 1;
    let exponent = m.ilog2();
    let quarter = (m >> (exponent - 2)) & 3;
    ((exponent - 4) as usize) * 4 + quarter + 1
}

/// Elements in a buffer of the class that n falls into.
pub(super) fn class_size(n: usize) -> usize {
    if n <= SMALLEST {
        return SMALLEST;
    }
    let step = 1usize << ((n - 1).ilog2() - 2);
    n.div_ceil(step).saturating_mul(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_holds_every_length_that_maps_to_it() {
        let mut last = (0, SMALLEST);
        for n in 1..5000 {
            let (c, size) = (class(n), class_size(n));
            assert!(size >= n && size <= (n + n / 4).max(SMALLEST), "{n} -> {size}");
            assert_eq!(class(size), c, "{n}: a returned buffer must come back to its class");
            assert!(c >= last.0 && (c == last.0) == (size == last.1), "{n}");
            last = (c, size);
        }
    }

    #[test]
    fn a_pool_holds_no_more_than_three_times_what_was_ever_in_use() {
        let mut pool = Pool::<f32>::new();
        assert!(pool.take(64).is_none());
        pool.count(64);
        for _ in 0..4 {
            pool.give(Arc::new(Buffer::new(64, 0.0).unwrap()));
        }
        assert_eq!(pool.held, 192);
    }

    #[test]
    fn what_is_not_needed_for_long_goes_back_to_the_system() {
        let mut pool = Pool::<f32>::new();
        for n in [64, 64, 64, 1024] {
            pool.count(n);
        }
        for n in [64, 64, 64, 1024] {
            pool.give(Arc::new(Buffer::new(n, 0.0).unwrap()));
        }
        assert_eq!(pool.held, 1216);
        for _ in 0..2 * SETTLED {
            let two = [64, 64].map(|n| pool.take(n).unwrap());
            two.into_iter().for_each(|buffer| pool.give(buffer));
        }
        assert_eq!(pool.held, 128, "two of 64 were needed");
    }
}
