//! An allocator that counts, and refuses what is too large.
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Counts the allocations of the whole process, and what each thread has in use and had at most.
struct Counting;

pub static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Larger allocations than this fail.
pub static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);

/// So many larger ones are there first.
static LEFT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static IN_USE: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that ends may free what it has after its counters are gone.
    let _ = IN_USE.try_with(|in_use| {
        in_use.set(in_use.get() + bytes);
        MOST.with(|most| most.set(most.get().max(in_use.get())));
    });
}

fn counted(layout: Layout, alloc: impl FnOnce(Layout) -> *mut u8) -> *mut u8 {
    if layout.size() > LIMIT.load(Ordering::Relaxed) {
        let one_less = |left: usize| left.checked_sub(1);
        if LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err() {
            return std::ptr::null_mut();
        }
    }
    let p = alloc(layout);
    if !p.is_null() {
        COUNT.fetch_add(1, Ordering::Relaxed);
        count(layout.size() as isize);
    }
    p
}

// SAFETY: every call goes to the system's allocator unchanged, or is one that fails.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        counted(layout, |layout| unsafe { System.alloc(layout) })
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        counted(layout, |layout| unsafe { System.alloc_zeroed(layout) })
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that this thread had in use while something ran, beyond what it had before.
pub fn most<R>(f: impl FnOnce() -> R) -> (R, isize) {
    let before = IN_USE.get();
    MOST.set(before);
    let result = f();
    (result, MOST.get() - before)
}

/// What this thread has in use more after something ran.
pub fn left<R>(f: impl FnOnce() -> R) -> (R, isize) {
    let before = IN_USE.get();
    let result = f();
    (result, IN_USE.get() - before)
}

/// Nobody gets so many bytes at once while this is there.
pub struct Full;

impl Full {
    pub fn beyond(bytes: usize) -> Full {
        Full::after(0, bytes)
    }

    /// The same, after so many have been there.
    pub fn after(count: usize, bytes: usize) -> Full {
        kolmo::runtime::release_memory();
        // A panic is told with room for what it has to say.
        static TOLD: Once = Once::new();
        TOLD.call_once(|| {
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| {
                LIMIT.store(usize::MAX, Ordering::Relaxed);
                hook(info);
            }));
        });
        LEFT.store(count, Ordering::Relaxed);
        LIMIT.store(bytes, Ordering::Relaxed);
        Full
    }

    /// Whether the last one let everything through.
    pub fn refused_nothing() -> bool {
        LEFT.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        LIMIT.store(usize::MAX, Ordering::Relaxed);
    }
}
