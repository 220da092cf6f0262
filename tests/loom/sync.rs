//! What the fork-join is made of, of loom's kind. Loom takes sequentially consistent access for acquire and release, but knows
//! fences, so such access has one: before it in one run, after it in the other, as compilers for different processors do it. On
//! both sides at once it would order the relaxed access beside it as well, which nothing promises.
use std::cell::Cell;

pub use loom::{
    hint::spin_loop,
    sync::{
        Arc, Mutex,
        atomic::{AtomicPtr, AtomicUsize, Ordering},
    },
    thread::{Thread, park, yield_now},
};

thread_local! {
    /// Where the fences are. Loom's threads share the system's.
    pub static BEFORE: Cell<bool> = const { Cell::new(true) };
}

fn fenced<R>(order: Ordering, access: impl FnOnce() -> R) -> R {
    let fence = |here: bool| {
        if order == Ordering::SeqCst && here {
            loom::sync::atomic::fence(order);
        }
    };
    fence(BEFORE.get());
    let result = access();
    fence(!BEFORE.get());
    result
}

macro_rules! atomic {
    ($name:ident, $t:ty) => {
        pub struct $name(loom::sync::atomic::$name);

        #[allow(dead_code)]
        impl $name {
            pub fn new(value: $t) -> $name {
                $name(loom::sync::atomic::$name::new(value))
            }
            pub fn load(&self, order: Ordering) -> $t {
                fenced(order, || self.0.load(order))
            }
            pub fn store(&self, value: $t, order: Ordering) {
                fenced(order, || self.0.store(value, order));
            }
            pub fn swap(&self, value: $t, order: Ordering) -> $t {
                fenced(order, || self.0.swap(value, order))
            }
            pub fn fetch_and(&self, value: $t, order: Ordering) -> $t {
                fenced(order, || self.0.fetch_and(value, order))
            }
            pub fn compare_exchange_weak(
                &self,
                from: $t,
                to: $t,
                order: Ordering,
                failed: Ordering,
            ) -> Result<$t, $t> {
                fenced(order, || self.0.compare_exchange_weak(from, to, order, failed))
            }
        }
    };
}
atomic!(AtomicBool, bool);
atomic!(AtomicU64, u64);

impl AtomicU64 {
    pub fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
        fenced(order, || self.0.fetch_sub(value, order))
    }
}
