//! A small fork-join pool: tasks `0..n` of one closure, run by the caller and a few waiting workers.
//! It allocates nothing per call.
use super::{
    job::{Offer, Worker, sleep},
    number::worth_waking,
    scratch, start,
    sync::{Arc, AtomicBool, AtomicPtr, AtomicU64, Mutex, spin_loop, yield_now},
};
use crate::clock::Clock;
use std::{
    panic::resume_unwind,
    sync::{Barrier, MutexGuard, TryLockError},
    time::Duration,
};

/// How long a worker without work stays awake. Waking a sleeping thread costs more than most kernels
/// take, and kernels come in bursts.
pub(super) const AWAKE: Duration = Duration::from_micros(200);

/// Runs `f(0)` to `f(tasks - 1)`, each exactly once, and returns when all are done.
///
/// The caller takes part. Inside a task, and while another thread uses the pool, all tasks run in the
/// caller, in order. If tasks panic, those not yet begun are skipped and one of the panics goes on in the
/// caller.
pub(crate) fn parallel_for(tasks: usize, f: &(dyn Fn(usize) + Sync)) {
    let helpers = worth_waking().min(tasks).saturating_sub(1);
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

static OFFER: Offer = Offer { state: AtomicU64::new(0), job: AtomicPtr::new(std::ptr::null_mut()) };

static POOL: Mutex<Vec<Worker>> = Mutex::new(Vec::new());

fn try_pool() -> Option<MutexGuard<'static, Vec<Worker>>> {
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
        let run = move || {
            scratch::prepare();
            prepared.wait();
            drop(prepared);
            Worker::run(index, &flag);
        };
        let handle = start(format!("kolmo-{}", index + 1), run).ok()?;
        // What the worker allocates belongs to this call and not to a later one, in whose time it would fall
        // by chance.
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
        let since = Clock::now();
        loop {
            for _ in 0..32 {
                if let Some(number) = OFFER.offered(index, last) {
                    return Some(number);
                }
                spin_loop();
            }
            let waited = since.elapsed();
            if waited > AWAKE || !Clock::THERE {
                return None;
            }
            // Others may need the processor more.
            if waited > AWAKE / 4 {
                yield_now();
            }
        }
    }
}
