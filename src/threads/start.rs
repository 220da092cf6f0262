//! Threads of this crate's own.
use std::{io, thread::Builder};

pub(crate) use std::thread::{JoinHandle, Scope, ScopedJoinHandle, scope};

/// Starts a thread of this name. Not every system has threads, and none has any number of them: whoever asks
/// for one can do without.
pub(crate) fn start(name: String, work: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    Builder::new().name(name).spawn(work)
}

/// The same of one that ends before the scope does, and so may borrow.
pub(crate) fn start_in<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: String,
    work: impl FnOnce() + Send + 'scope,
) -> io::Result<ScopedJoinHandle<'scope, ()>> {
    Builder::new().name(name).spawn_scoped(scope, work)
}

/// Lets others work while something has not come that was looked for so many times.
#[cfg(feature = "mpi")]
pub(crate) fn pause(times: u32) {
    match times {
        0 => {}
        1..=200 => std::thread::yield_now(),
        _ => std::thread::sleep(std::time::Duration::from_micros(20)),
    }
}
