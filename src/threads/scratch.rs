//! Memory for each thread to work in, the same from call to call. A worker has it from its start: it would
//! otherwise come with the first call whose tasks happen to need it there.
use std::{cell::Cell, mem::MaybeUninit};

/// Bytes. The system gives the pages of which something is used.
const SIZE: usize = 1264 << 10;

/// Memory with anything in it.
#[repr(align(64))]
pub(crate) struct Scratch([MaybeUninit<u8>; SIZE]);

thread_local!(static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) });

impl Scratch {
    fn new() -> Box<Scratch> {
        // SAFETY: memory that hasn't been written is a valid array of `MaybeUninit`.
        unsafe { Box::new_uninit().assume_init() }
    }

    /// As a place for a value, of which nothing may be read that hasn't been written.
    #[inline(always)]
    pub fn place<P>(&mut self) -> &mut MaybeUninit<P> {
        const { assert!(size_of::<P>() <= SIZE && align_of::<P>() <= align_of::<Scratch>()) };
        // SAFETY: the memory is large enough, lies as the value must, and any bytes are a valid
        // `MaybeUninit`.
        unsafe { &mut *self.0.as_mut_ptr().cast() }
    }
}

/// Runs `f` with the memory of this thread; with other memory if `f` asks again.
#[inline(always)]
pub(crate) fn with_scratch<R>(f: impl FnOnce(&mut Scratch) -> R) -> R {
    let mut scratch = SCRATCH.try_with(Cell::take).ok().flatten().unwrap_or_else(Scratch::new);
    let result = f(&mut scratch);
    // A thread that is just ending has no use for it any more.
    let _ = SCRATCH.try_with(|place| place.set(Some(scratch)));
    result
}

/// Allocates this thread's memory.
pub(super) fn prepare() {
    SCRATCH.set(Some(Scratch::new()));
}
