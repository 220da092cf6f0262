//! Buffers in memory, and the pool of each thread that keeps the small ones that nobody uses, for those who
//! need one of their size class next; large ones are pieces of memory that all threads share. What is in a
//! buffer is left to `storage`. `tests/loom` checks this file, too.
use super::sync::{Arc, LocalKey, Piece, Zeroed};
use std::{any::Any, cell::RefCell, fmt};

/// Elements, from a multiple of a cache line if they are of this crate's making: vectors then lie in one line
/// each.
pub(crate) struct Buffer<T: Zeroed> {
    data: Data<T>,
    /// Whether it was handed out by a pool, which counts those that are out.
    pub(super) pooled: bool,
    /// Why there are no elements, where there should be some.
    pub(super) lack: Option<Box<str>>,
}

enum Data<T: Zeroed> {
    List { all: Vec<T>, start: usize, len: usize },
    Piece(Piece<T>),
    Source(Box<dyn Source<T>>),
}

/// Elements that are held in another form.
pub(crate) trait Source<T>: Send + Sync {
    /// How many there are.
    fn len(&self) -> usize;
    /// The elements, made when they are first asked for; none if there is no room for them.
    fn values(&self) -> &[T];
    /// The elements into a list of as many, or why they can't be had.
    fn write(&self, out: &mut [T]) -> Result<(), String>;
    /// Why there are no elements, once they were asked for in vain.
    fn lack(&self) -> Option<String>;
    /// The same form, without the elements that were asked for.
    fn again(&self) -> Box<dyn Source<T>>;
    /// Bytes of the form.
    fn bytes(&self) -> usize;
    /// The form itself.
    fn form(&self) -> std::sync::Arc<dyn Any + Send + Sync>;
}

/// Bytes of a cache line.
pub(super) const LINE: usize = 64;

/// Bytes from which a buffer is large.
const LARGE: usize = 32 << 10;

/// Whether a buffer of so many elements is large.
pub(super) const fn is_large<T>(len: usize) -> bool {
    len >= LARGE / size_of::<T>()
}

impl<T: Zeroed> Buffer<T> {
    /// A small one; none if the system has no room for it.
    pub(super) fn new(len: usize, of: T) -> Option<Buffer<T>> {
        let room = len.checked_add(LINE / size_of::<T>())?;
        let mut all = Vec::new();
        all.try_reserve_exact(room).ok()?;
        all.resize(room, of);
        let start = all.as_ptr().align_offset(LINE).min(room - len);
        Some(Buffer { data: Data::List { all, start, len }, pooled: true, lack: None })
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[T] {
        match &self.data {
            Data::List { all, start, len } => &all[*start..start + len],
            Data::Piece(piece) => piece.as_slice(),
            Data::Source(source) => source.values(),
        }
    }

    /// How many elements there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        match &self.data {
            Data::Source(source) => source.len(),
            _ => self.as_slice().len(),
        }
    }

    /// The other form in which the elements are held, if it is one.
    #[inline]
    pub(super) fn source(&self) -> Option<&dyn Source<T>> {
        match &self.data {
            Data::Source(source) => Some(&**source),
            _ => None,
        }
    }

    /// The elements for writing; none of those in another form, which are copied first.
    #[inline]
    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        match &mut self.data {
            Data::List { all, start, len } => &mut all[*start..*start + *len],
            Data::Piece(piece) => piece.as_mut_slice(),
            Data::Source(_) => &mut [],
        }
    }
}

impl<T: Zeroed> Buffer<T> {
    fn empty() -> Buffer<T> {
        Buffer { pooled: true, ..Vec::new().into() }
    }
}

impl<T: Zeroed> From<Vec<T>> for Buffer<T> {
    fn from(all: Vec<T>) -> Buffer<T> {
        let len = all.len();
        Buffer { data: Data::List { all, start: 0, len }, pooled: false, lack: None }
    }
}

impl<T: Zeroed> From<Box<dyn Source<T>>> for Buffer<T> {
    fn from(source: Box<dyn Source<T>>) -> Buffer<T> {
        Buffer { data: Data::Source(source), pooled: false, lack: None }
    }
}

/// Free buffers of one element type on one thread, by size class.
pub struct Pool<T: Zeroed> {
    classes: Vec<Free<T>>,
    /// What is left of large buffers that went back: the places of their reference counts.
    shells: Vec<Arc<Buffer<T>>>,
    held: usize,
    pub(super) out: usize,
    peak: usize,
    /// Buffers that were asked for since those that nobody needed went back to the system.
    asked: usize,
}

/// How many shells a pool keeps.
const SHELLS: usize = 1 << 12;

/// Those of one size class.
struct Free<T: Zeroed> {
    buffers: Vec<Arc<Buffer<T>>>,
    /// The fewest there were since the last look: so many have not been needed.
    idle: usize,
}

/// How many buffers are asked for until those go back to the system that none of these times were needed:
/// many steps of training or, of very long steps, one.
const SETTLED: usize = 1 << 16;

impl<T: Zeroed> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("held", &self.held).field("out", &self.out).finish_non_exhaustive()
    }
}

impl<T: Zeroed> Pool<T> {
    pub(crate) const fn new() -> Pool<T> {
        Pool { classes: Vec::new(), shells: Vec::new(), held: 0, out: 0, peak: 0, asked: 0 }
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
            self.held -= buffer.as_slice().len();
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
            self.held -= free.buffers.drain(..free.idle).map(|buffer| buffer.as_slice().len()).sum::<usize>();
            free.idle = free.buffers.len();
        }
    }

    /// A buffer of this length goes out.
    pub(super) fn count(&mut self, len: usize) {
        self.out += len;
        self.peak = self.peak.max(self.out);
    }

    /// A large buffer.
    pub(super) fn wrap(&mut self, piece: Piece<T>) -> Arc<Buffer<T>> {
        let mut shell = self.shells.pop().unwrap_or_else(|| Arc::new(Buffer::empty()));
        if let Some(buffer) = Arc::get_mut(&mut shell) {
            buffer.data = Data::Piece(piece);
        }
        shell
    }

    /// Keeps a small buffer for reuse, unless the pool would then hold more than three times what this thread
    /// ever had in use at once: buffers that come from other threads must not pile up here. Three times,
    /// since the classes have their peaks at different times. The piece of a large one goes back.
    pub(super) fn give(&mut self, mut buffer: Arc<Buffer<T>>) {
        if let Data::Piece(_) = buffer.data {
            if let Some(own) = Arc::get_mut(&mut buffer) {
                *own = Buffer::empty();
            }
            if self.shells.len() < SHELLS {
                self.shells.push(buffer);
            }
            return;
        }
        let n = buffer.as_slice().len();
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
        self.shells.clear();
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
