//! A small fork-join pool: tasks `0..n` of one closure, run by the caller and a few waiting workers.
//! It allocates nothing per call, and what is split is the caller's business: a result must not depend
//! on which thread ran which task, so that it doesn't depend on the number of threads either.
mod job;

/// What `job` is made of.
mod sync {
    pub use std::{
        hint::spin_loop,
        sync::{
            Arc, Mutex,
            atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering},
        },
        thread::{Thread, park, yield_now},
    };
}

use crate::error::Checked;
use job::{Offer, Worker, sleep};
use std::{
    hint::spin_loop,
    panic::resume_unwind,
    sync::{Barrier, PoisonError, TryLockError},
    thread,
    time::{Duration, Instant},
};
use sync::{Arc, AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Mutex, Ordering::Relaxed};

/// Most threads that may be asked for.
const MAX_THREADS: usize = 256;

/// How long a worker without work stays awake. Waking a sleeping thread costs more than most kernels
/// take, and kernels come in bursts.
const AWAKE: Duration = Duration::from_micros(200);

/// Zero until somebody asks or sets.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Sets how many threads kernels may use, the caller's included; at least 1 and at most 256.
///
/// Results don't depend on it, to the bit.
pub fn set_threads(n: usize) {
    THREADS.store(n.clamp(1, MAX_THREADS), Relaxed);
}

/// How many threads kernels may use: what [`set_threads`] said, else the environment variable
/// `KOLMO_NUM_THREADS`, else as many as the machine runs at once.
pub fn threads() -> usize {
    match THREADS.load(Relaxed) {
        0 => first_threads(),
        n => n,
    }
}

#[cold]
fn first_threads() -> usize {
    let asked = std::env::var("KOLMO_NUM_THREADS").ok();
    let number = asked.as_ref().and_then(|v| v.trim().parse().ok()).filter(|&n| n > 0);
    if let (Some(asked), None) = (&asked, number) {
        eprintln!("kolmo: KOLMO_NUM_THREADS={asked} is no number of threads; all of the machine's are used");
    }
    let n = number
        .or_else(|| thread::available_parallelism().ok().map(|n| n.get()))
        .unwrap_or(1)
        .clamp(1, MAX_THREADS);
    // A set_threads on another thread in the meantime wins.
    THREADS.compare_exchange(0, n, Relaxed, Relaxed).map_or_else(|set| set, |_| n)
}

/// Runs `f(0)` to `f(tasks - 1)`, each exactly once, and returns when all are done.
///
/// The caller takes part. Inside a task, and while another thread uses the pool, all tasks run in the
/// caller, in order. If tasks panic, those not yet begun are skipped and one of the panics goes on in the caller.
pub(crate) fn parallel_for(tasks: usize, f: &(dyn Fn(usize) + Sync)) {
    let helpers = threads().min(tasks).saturating_sub(1);
    // Only one job at a time has the workers; a nested call finds the lock taken as well.
    let pool = if helpers == 0 { None } else { try_pool() };
    let Some(mut pool) = pool else {
        return (0..tasks).for_each(f);
    };
    while pool.len() < helpers {
        match Worker::spawn(pool.len()) {
            Some(worker) => pool.push(worker),
            None => break,
        }
    }
    let panic = OFFER.run(f, tasks, &pool[..helpers.min(pool.len())]);
    drop(pool);
    if let Some(payload) = panic {
        resume_unwind(payload);
    }
}

/// Runs `f(start, part)` for the pieces of `out` that are `size` long (the last may be shorter).
pub(crate) fn for_chunks<T: Send>(out: &mut [T], size: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let n = out.len();
    for_parts(&mut [out], n, size, |start, _, [part]| f(start, part));
}

/// The same for a function that can fail: what went wrong first, if anything did.
pub(crate) fn try_chunks<T: Send>(
    out: &mut [T],
    size: usize,
    f: impl Fn(usize, &mut [T]) -> Checked<()> + Sync,
) -> Checked<()> {
    let failure = Mutex::new(None);
    for_chunks(out, size, |start, out| {
        if let Err(why) = f(start, out) {
            failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        }
    });
    failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Runs `f(start, end, parts)` for the pieces of the range `0..n` that are `size` long (the last may be
/// shorter), where `parts` are the elements `start..end` of each output, as far as it has them.
pub(crate) fn for_parts<T: Send, const M: usize>(
    out: &mut [&mut [T]; M],
    n: usize,
    size: usize,
    f: impl Fn(usize, usize, [&mut [T]; M]) + Sync,
) {
    let size = size.max(1);
    let out = Outputs(out.each_mut().map(|o| (o.as_mut_ptr(), o.len())));
    parallel_for(n.div_ceil(size), &|i| {
        let (start, end) = (i * size, n.min((i + 1) * size));
        // SAFETY: the ranges of different tasks don't overlap, each task runs once, and `out` stays
        // mutably borrowed until all are done.
        f(start, end, unsafe { out.part(start, end) });
    });
}

/// Start and length of slices that tasks share out among themselves.
struct Outputs<T, const M: usize>([(*mut T, usize); M]);

// SAFETY: a task only reaches the elements through `part`, whose callers keep the ranges apart; so an
// element is used by one thread at a time, which `T: Send` allows.
unsafe impl<T: Send, const M: usize> Sync for Outputs<T, M> {}

impl<T, const M: usize> Outputs<T, M> {
    /// The elements `start..end` of each slice, cut off at its end.
    ///
    /// # Safety
    /// The slices must still be borrowed for the pool, and ranges in use at the same time must not overlap.
    unsafe fn part<'a>(&self, start: usize, end: usize) -> [&'a mut [T]; M] {
        self.0.map(|(first, len)| {
            let (start, end) = (start.min(len), end.min(len));
            // SAFETY: start <= end <= len, and the caller answers for the rest.
            unsafe { std::slice::from_raw_parts_mut(first.add(start), end - start) }
        })
    }
}

static OFFER: Offer = Offer { state: AtomicU64::new(0), job: AtomicPtr::new(std::ptr::null_mut()) };

static POOL: Mutex<Vec<Worker>> = Mutex::new(Vec::new());

fn try_pool() -> Option<std::sync::MutexGuard<'static, Vec<Worker>>> {
    match POOL.try_lock() {
        Ok(pool) => Some(pool),
        Err(TryLockError::Poisoned(pool)) => Some(pool.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

impl Worker {
    fn spawn(index: usize) -> Option<Worker> {
        let asleep = Arc::new(AtomicBool::new(false));
        let ready = Arc::new(Barrier::new(2));
        let (flag, prepared) = (asleep.clone(), ready.clone());
        let builder = thread::Builder::new().name(format!("kolmo-{}", index + 1));
        let run = move || {
            super::matmul::prepare_thread();
            prepared.wait();
            drop(prepared);
            Worker::run(index, &flag);
        };
        let handle = builder.spawn(run).ok()?;
        // What the worker allocates belongs to this call and not to a later one, in whose time it would fall by chance.
        ready.wait();
        Some(Worker { thread: handle.thread().clone(), asleep })
    }

    fn run(index: usize, asleep: &AtomicBool) {
        let mut last = 0;
        loop {
            if let Some(number) = Worker::watch(index, last) {
                OFFER.join(index, number);
                last = number;
                continue;
            }
            sleep(&OFFER, index, last, asleep);
        }
    }

    /// Waits for a job for a short while, wide awake.
    fn watch(index: usize, last: u64) -> Option<u64> {
        let since = Instant::now();
        loop {
            for _ in 0..32 {
                if let Some(number) = OFFER.offered(index, last) {
                    return Some(number);
                }
                spin_loop();
            }
            let waited = since.elapsed();
            if waited > AWAKE {
                return None;
            }
            // Others may need the processor more.
            if waited > AWAKE / 4 {
                thread::yield_now();
            }
        }
    }
}

#[cfg(test)]
mod tests;
