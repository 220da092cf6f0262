//! How many threads there may be.
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::available_parallelism,
};

/// Most threads that may be asked for.
pub(super) const MAX_THREADS: usize = 256;

/// Zero until somebody asks or sets.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Sets how many threads kernels may use, the caller's included; at least 1 and at most 256. Of more than
/// three no more are woken than the machine runs at once.
///
/// Results don't depend on it, to the bit.
pub fn set_num_threads(n: usize) {
    THREADS.store(n.clamp(1, MAX_THREADS), Relaxed);
}

/// How many threads kernels may use: what [`set_num_threads`] said, else the environment variable
/// `KOLMO_NUM_THREADS`, else as many as the machine runs at once.
pub fn num_threads() -> usize {
    match THREADS.load(Relaxed) {
        0 => first_threads(),
        n => n,
    }
}

/// Threads that are worth waking: more than the machine runs at once would only take turns, each a switch. Up to
/// three are woken on any machine, so that a small one meets what happens among several.
pub(super) fn worth_waking() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    match num_threads() {
        few @ 0..=3 => few,
        many => many.min(*CORES.get_or_init(|| available_parallelism().map_or(1, usize::from))),
    }
}

#[cold]
fn first_threads() -> usize {
    let asked = std::env::var("KOLMO_NUM_THREADS").ok();
    let number = asked.as_ref().and_then(|v| v.trim().parse().ok()).filter(|&n| n > 0);
    if let (Some(asked), None) = (&asked, number) {
        eprintln!("kolmo: KOLMO_NUM_THREADS={asked} is no number of threads; all of the machine's are used");
    }
    let n =
        number.or_else(|| available_parallelism().ok().map(|n| n.get())).unwrap_or(1).clamp(1, MAX_THREADS);
    // A set_threads on another thread in the meantime wins.
    THREADS.compare_exchange(0, n, Relaxed, Relaxed).map_or_else(|set| set, |_| n)
}
