//! Large memory, which all threads share: pieces of blocks, cut off where they fit best and joined with their
//! free neighbours when they come back, so that what one step of a computation needed as many small ones
//! serves the next as one large one.
use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    fmt, mem,
    ptr::NonNull,
    slice,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What has a value of which all bytes are zero.
///
/// # Safety
/// Those bytes are a value, and no value need be dropped.
pub unsafe trait Zeroed: Clone + Send + Sync + 'static {}

macro_rules! zeroed {
    ($($t:ident)*) => {$(
        // SAFETY: a number, or false.
        unsafe impl Zeroed for $t {}
    )*};
}
zeroed!(f32 f64 u8 i8 u16 i16 u32 i32 u64 i64 bool);

/// Bytes that a piece starts at a multiple of: a cache line, so that vectors lie in one line each.
const LINE: usize = 64;

/// How many pieces are asked for until a block goes back to the system that was free all that time: many
/// steps of training or, of very long steps, one.
const SETTLED: usize = 1 << 16;

/// The large memory of one element type.
pub struct Blocks<T: Zeroed> {
    state: Mutex<State<T>>,
    /// What pieces hold until they are written, in debug builds. In others it is zeros, or what whoever had
    /// them before wrote.
    poison: T,
}

struct State<T> {
    /// A number of a block stays its own while a piece of it is out.
    blocks: Vec<Block<T>>,
    /// What is free, in the order of blocks and places, neighbours joined.
    free: Vec<Free>,
    /// Pieces that are out.
    out: usize,
    /// Elements of the free blocks that went back to the system to come again as one.
    spare: usize,
    /// Pieces that were asked for since blocks that nobody needed went back.
    asked: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Free {
    block: usize,
    start: usize,
    len: usize,
}

/// Memory from the system; none where it went back.
struct Block<T> {
    memory: NonNull<u8>,
    /// The first place in it that a line begins at.
    first: NonNull<T>,
    len: usize,
    /// Whether nothing was cut off since the last look.
    idle: bool,
}

// SAFETY: a block is a place for elements, which pieces read and write.
unsafe impl<T: Send> Send for Block<T> {}

impl<T> Block<T> {
    /// With room for a line to begin somewhere. It isn't asked to begin at one: memory that the system has
    /// cleared comes page by page when it is used, but only where nothing is said of lines.
    fn layout(len: usize) -> Option<Layout> {
        let bytes = len.checked_mul(size_of::<T>())?.checked_add(LINE)?;
        Layout::from_size_align(bytes, align_of::<T>().min(LINE)).ok()
    }

    /// None if the system has no room for it.
    fn new(len: usize) -> Option<Block<T>> {
        let layout = Self::layout(len)?;
        // SAFETY: the layout isn't empty.
        let memory = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let before = memory.align_offset(LINE).min(LINE);
        // SAFETY: there is a line more than the elements need.
        let first = unsafe { memory.add(before) };
        Some(Block { memory, first: first.cast(), len, idle: false })
    }

    fn none() -> Block<T> {
        Block { memory: NonNull::dangling(), first: NonNull::dangling(), len: 0, idle: false }
    }
}

impl<T> Drop for Block<T> {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.len).filter(|_| self.len > 0) {
            // SAFETY: it was allocated with this layout, and no piece of it is out.
            unsafe { dealloc(self.memory.as_ptr(), layout) };
        }
    }
}

impl<T> State<T> {
    fn is_whole(&self, free: &Free) -> bool {
        self.blocks.get(free.block).is_some_and(|block| block.len == free.len)
    }

    /// The place in the list of the shortest free piece that is long enough, the first of its length.
    fn best(&self, len: usize) -> Option<usize> {
        let fitting = self.free.iter().enumerate().filter(|(_, free)| free.len >= len);
        fitting.min_by_key(|(_, free)| free.len).map(|(at, _)| at)
    }

    /// A new block, with room for what went back so that it could be joined; or just as long as it must be.
    /// Its place in the list of what is free, or none if there is no memory.
    #[cold]
    fn grow(&mut self, len: usize) -> Option<usize> {
        let wanted = len.max(mem::take(&mut self.spare));
        let block = Block::new(wanted).or_else(|| {
            self.release(|_| true);
            Block::new(len)
        })?;
        let new = Free { block: self.place(), start: 0, len: block.len };
        match self.blocks.get_mut(new.block) {
            Some(gone) => *gone = block,
            None => {
                self.blocks.try_reserve(1).ok()?;
                self.blocks.push(block);
            }
        }
        let at = self.free.partition_point(|free| *free < new);
        self.free.insert(at, new);
        Some(at)
    }

    /// A number that no block has.
    fn place(&self) -> usize {
        self.blocks.iter().position(|block| block.len == 0).unwrap_or(self.blocks.len())
    }

    /// Gives free blocks back to the system. Returns how many elements they had.
    fn release(&mut self, chosen: impl Fn(&Block<T>) -> bool) -> usize {
        let (blocks, mut released) = (&mut self.blocks, 0);
        self.free.retain(|free| match blocks.get_mut(free.block) {
            Some(block) if block.len == free.len && chosen(block) => {
                released += block.len;
                *block = Block::none();
                false
            }
            _ => true,
        });
        released
    }

    /// Gives back what nobody has used for a while: what a model was loaded with, or what larger batches
    /// took.
    #[cold]
    fn settle(&mut self) {
        (self.asked, self.spare) = (0, 0);
        self.release(|block| block.idle);
        self.blocks.iter_mut().for_each(|block| block.idle = true);
    }

    fn give(&mut self, mut piece: Free) {
        self.out -= 1;
        let mut at = self.free.partition_point(|free| *free < piece);
        let joins = |a: &Free, b: &Free| a.block == b.block && a.start + a.len == b.start;
        if let Some(next) = self.free.get(at).filter(|next| joins(&piece, next)) {
            piece.len += next.len;
            self.free.remove(at);
        }
        if let Some(before) = at.checked_sub(1).and_then(|i| self.free.get(i)).filter(|b| joins(b, &piece)) {
            piece = Free { len: before.len + piece.len, ..*before };
            at -= 1;
            self.free.remove(at);
        }
        // There is room: it was made when the piece went out.
        self.free.insert(at, piece);
        if self.is_whole(&piece) && self.free.iter().filter(|free| self.is_whole(free)).count() > 1 {
            self.spare += self.release(|_| true);
        }
    }
}

impl<T: Zeroed> Blocks<T> {
    pub const fn new(poison: T) -> Blocks<T> {
        let state = State { blocks: Vec::new(), free: Vec::new(), out: 0, spare: 0, asked: 0 };
        Blocks { state: Mutex::new(state), poison }
    }

    /// At least so many elements with anything in them; none if the system has no room for them.
    pub(crate) fn take(&'static self, len: usize) -> Option<Piece<T>> {
        let len = len.max(1).checked_next_multiple_of((LINE / size_of::<T>()).max(1))?;
        let mut state = self.state();
        state.asked += 1;
        if state.asked >= SETTLED {
            state.settle();
        }
        // Room in the list for this piece, for all others that are out and for a block.
        let room = state.out + 2;
        state.free.try_reserve(room).ok()?;
        let (at, fresh) = match state.best(len) {
            Some(at) => (at, false),
            None => (state.grow(len)?, true),
        };
        let free = state.free.get_mut(at)?;
        let Free { block, start, .. } = *free;
        (free.start, free.len) = (start + len, free.len - len);
        if free.len == 0 {
            state.free.remove(at);
        }
        state.out += 1;
        let block_of = state.blocks.get_mut(block)?;
        block_of.idle = false;
        // SAFETY: start + len is within the block.
        let first = unsafe { block_of.first.add(start) };
        if fresh && cfg!(debug_assertions) {
            // SAFETY: nobody else has the block, which is as long.
            unsafe { slice::from_raw_parts_mut(block_of.first.as_ptr(), block_of.len) }
                .fill(self.poison.clone());
        }
        Some(Piece { home: self, block, start, first, len })
    }

    /// Gives all blocks that are free back to the system.
    pub fn clear(&self) {
        let mut state = self.state();
        state.spare = 0;
        state.release(|_| true);
    }
}

impl<T: Zeroed> fmt::Debug for Blocks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks").field("out", &self.state().out).finish_non_exhaustive()
    }
}

impl<T: Zeroed> Blocks<T> {
    /// The state is right between any two steps that could panic.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// So many elements of a block, which nobody else has. They go back to it at the end.
pub(crate) struct Piece<T: Zeroed> {
    home: &'static Blocks<T>,
    block: usize,
    start: usize,
    first: NonNull<T>,
    len: usize,
}

// SAFETY: a piece owns its elements as a list does.
unsafe impl<T: Zeroed> Send for Piece<T> {}
// SAFETY: as above.
unsafe impl<T: Zeroed> Sync for Piece<T> {}

impl<T: Zeroed> Piece<T> {
    #[inline]
    pub fn as_slice(&self) -> &[T] {
        // SAFETY: the elements are values, zeros at first, in a block that lives while a piece of it is out,
        // and what is cut off is no part of another piece.
        unsafe { slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }

    #[inline]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.first.as_ptr(), self.len) }
    }
}

impl<T: Zeroed> Drop for Piece<T> {
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            let poison = self.home.poison.clone();
            self.as_mut_slice().fill(poison);
        }
        self.home.state().give(Free { block: self.block, start: self.start, len: self.len });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks() -> &'static Blocks<u16> {
        Box::leak(Box::new(Blocks::new(0)))
    }

    /// Lengths of what is free, and of all blocks.
    fn lengths(blocks: &Blocks<u16>) -> (Vec<usize>, Vec<usize>) {
        let state = blocks.state();
        (state.free.iter().map(|f| f.len).collect(), state.blocks.iter().map(|b| b.len).collect())
    }

    #[test]
    fn free_neighbours_are_joined() {
        let blocks = blocks();
        drop(blocks.take(320));
        let [a, b, c] = [64, 96, 128].map(|n| blocks.take(n).unwrap());
        assert_eq!(lengths(blocks), (vec![32], vec![320]));
        drop(b);
        assert_eq!(lengths(blocks).0, [96, 32]);
        drop(c);
        assert_eq!(lengths(blocks).0, [256]);
        assert!(blocks.take(257).is_some());
        assert_eq!(lengths(blocks).1, [320, 288], "a line has 32 of them");
        drop(a);
        assert_eq!(lengths(blocks), (vec![], vec![0, 0]), "two that are free come again as one");
        drop(blocks.take(10));
        assert_eq!(lengths(blocks), (vec![608], vec![608, 0]));
    }

    #[test]
    fn the_shortest_that_fits_is_cut() {
        let blocks = blocks();
        drop(blocks.take(640));
        let pieces = [128, 32, 64, 32].map(|n| (blocks.take(n).unwrap(), n));
        let (_out, back): (Vec<_>, Vec<_>) = pieces.into_iter().partition(|(_, n)| *n == 32);
        drop(back);
        assert_eq!(lengths(blocks).0, [128, 64, 384]);
        let _piece = blocks.take(50).unwrap();
        assert_eq!(lengths(blocks).0, [128, 384]);
    }

    #[test]
    fn pieces_hold_what_their_owners_wrote() {
        let blocks = blocks();
        let tasks: Vec<_> = (0..4u16)
            .map(|task| {
                crate::threads::start("piece".into(), move || {
                    let mut kept = Vec::new();
                    for i in 0..200u16 {
                        let mut piece = blocks.take(32 * (usize::from(i * 7 + task) % 5 + 1)).unwrap();
                        piece.as_mut_slice().fill(1000 * task + i);
                        kept.push((piece, 1000 * task + i));
                        if i % 3 > 0 {
                            let (piece, of) = kept.swap_remove(usize::from(i) % kept.len());
                            assert!(piece.as_slice().iter().all(|v| *v == of));
                        }
                    }
                    assert!(kept.iter().all(|(piece, of)| piece.as_slice().iter().all(|v| v == of)));
                })
                .unwrap()
            })
            .collect();
        tasks.into_iter().for_each(|task| task.join().unwrap());
        let state = blocks.state();
        assert!(state.out == 0 && state.free.iter().all(|free| state.is_whole(free)));
    }

    #[test]
    fn what_is_not_needed_for_long_goes_back_to_the_system() {
        let blocks = blocks();
        drop(blocks.take(96));
        let kept = blocks.take(64).unwrap();
        drop(blocks.take(3200));
        for _ in 0..2 * SETTLED {
            assert_eq!(lengths(blocks).1.len(), 2);
            drop(blocks.take(32));
        }
        assert_eq!(lengths(blocks), (vec![32], vec![96, 0]));
        drop(kept);
        blocks.clear();
        assert!(lengths(blocks).0.is_empty());
    }

    #[test]
    fn what_cannot_be_had_is_none() {
        let blocks = blocks();
        assert!([usize::MAX, usize::MAX / 2, usize::MAX / 4].iter().all(|&n| blocks.take(n).is_none()));
        assert_eq!(blocks.state().out, 0);
        assert!(blocks.take(5).is_some_and(|piece| piece.as_slice().len() == 32));
    }
}
