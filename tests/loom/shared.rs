//! A counted reference as the standard library's, over loom's atomic numbers. Loom has one of its own, but there looking at the
//! count waits for the writes of others, which nothing promises.
use loom::sync::atomic::{
    AtomicUsize,
    Ordering::{self, Acquire, Relaxed, Release},
};
use std::ops::Deref;

struct Counted<T> {
    count: AtomicUsize,
    value: T,
}

impl<T> Counted<T> {
    /// As if it was changed: loom doesn't try all orders of a change and a look where the changing thread has looked before.
    fn look(&self, order: Ordering) -> usize {
        self.count.fetch_add(0, order)
    }
}

pub struct Arc<T>(std::sync::Arc<Counted<T>>);

impl<T> Arc<T> {
    pub fn new(value: T) -> Arc<T> {
        Arc(std::sync::Arc::new(Counted { count: AtomicUsize::new(1), value }))
    }

    pub fn strong_count(this: &Arc<T>) -> usize {
        this.0.look(Relaxed)
    }

    pub fn get_mut(this: &mut Arc<T>) -> Option<&mut T> {
        if this.0.look(Acquire) != 1 {
            return None;
        }
        std::sync::Arc::get_mut(&mut this.0).map(|counted| &mut counted.value)
    }

    pub fn ptr_eq(a: &Arc<T>, b: &Arc<T>) -> bool {
        std::sync::Arc::ptr_eq(&a.0, &b.0)
    }
}

impl<T> Clone for Arc<T> {
    fn clone(&self) -> Arc<T> {
        self.0.count.fetch_add(1, Relaxed);
        Arc(self.0.clone())
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> Drop for Arc<T> {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Release) == 1 {
            self.0.count.load(Acquire);
        }
    }
}
