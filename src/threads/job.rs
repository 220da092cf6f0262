//! One job at a time, and how callers and workers share it: all of the fork-join that depends on the order of
//! memory. Where atomic numbers and threads come from is the business of `sync`: `tests/loom` checks this
//! file with others.
use super::sync::{
    Arc, AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Mutex,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
    Thread, park, spin_loop, yield_now,
};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::PoisonError,
};

/// Most shares that the tasks of a job are divided into.
const SHARES: usize = 16;

/// One call of [`parallel_for`], on its caller's stack.
///
/// Each thread has a share of neighbouring tasks, and takes those of the others when its own are done. So
/// what one kernel writes, the next one reads mostly in the same thread, whose cache has it.
pub(super) struct Job<'a> {
    f: &'a (dyn Fn(usize) + Sync),
    tasks: usize,
    shares: usize,
    /// How many tasks of each share have been taken.
    taken: [AtomicUsize; SHARES],
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl<'a> Job<'a> {
    fn new(f: &'a (dyn Fn(usize) + Sync), tasks: usize, threads: usize) -> Job<'a> {
        let shares = threads.clamp(1, SHARES);
        Job { f, tasks, shares, taken: std::array::from_fn(|_| AtomicUsize::new(0)), panic: Mutex::new(None) }
    }

    /// Takes tasks until none is left, those of the own share first. Never unwinds.
    fn work(&self, thread: usize) {
        let run = || {
            for k in 0..self.shares {
                let share = (thread + k) % self.shares;
                let begin = |share: usize| (share * self.tasks).div_ceil(self.shares);
                let (first, end) = (begin(share), begin(share + 1));
                let Some(taken) = self.taken.get(share) else { return };
                loop {
                    let task = first.saturating_add(taken.fetch_add(1, Relaxed));
                    if task >= end {
                        break;
                    }
                    (self.f)(task);
                }
            }
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(run)) {
            self.taken.iter().for_each(|taken| taken.store(self.tasks, Relaxed));
            let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
            if first.is_none() {
                *first = Some(payload);
            } else {
                // Dropping a payload may panic in its turn, which no one here could answer.
                std::mem::forget(payload);
            }
        }
    }
}

/// Where the job of the moment lies and who may take part: the one thing callers and workers share.
///
/// `state` is, from the low end: how many workers are at it (16 bits), how many may be (16; zero means
/// closed), and the number of the job (32).
#[repr(align(128))]
pub(super) struct Offer {
    pub(super) state: AtomicU64,
    pub(super) job: AtomicPtr<()>,
}

const BUSY: u64 = 0xffff;
const WANTED: u64 = 0xffff << 16;

impl Offer {
    /// Does a job's tasks with these workers' help, all before it returns. Of panics in tasks one comes back.
    /// Only the holder of the pool may call it.
    pub(super) fn run(
        &self,
        f: &(dyn Fn(usize) + Sync),
        tasks: usize,
        workers: &[Worker],
    ) -> Option<Box<dyn Any + Send>> {
        let job = Job::new(f, tasks, workers.len() + 1);
        self.open(&job, workers.len());
        workers.iter().for_each(Worker::wake);
        job.work(0);
        self.close();
        job.panic.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers a job to the first `helpers` workers. `close` must be called before the
    /// job goes away.
    fn open(&self, job: &Job, helpers: usize) {
        self.job.store((&raw const *job).cast_mut().cast(), Relaxed);
        let number = (self.state.load(Relaxed) >> 32).wrapping_add(1);
        self.state.store(number << 32 | (helpers as u64) << 16, SeqCst);
    }

    /// Lets nobody else in, and waits until the workers at it have finished.
    fn close(&self) {
        let mut state = self.state.fetch_and(!WANTED, AcqRel);
        let mut turns = 0_u32;
        while state & BUSY != 0 {
            turns = turns.saturating_add(1);
            if turns < 1 << 10 {
                spin_loop()
            } else {
                yield_now()
            }
            state = self.state.load(Acquire);
        }
    }

    /// The number of the open job if worker `index` is wanted for it and it isn't the job `last`.
    pub(super) fn offered(&self, index: usize, last: u64) -> Option<u64> {
        let state = self.state.load(SeqCst);
        let number = state >> 32;
        ((state & WANTED) >> 16 > index as u64 && number != last).then_some(number)
    }

    /// Lets worker `index` take part in the job with this number, if it is still open.
    pub(super) fn join(&self, index: usize, number: u64) {
        let mut state = self.state.load(Relaxed);
        loop {
            if state >> 32 != number || state & WANTED == 0 {
                return;
            }
            match self.state.compare_exchange_weak(state, state + 1, Acquire, Relaxed) {
                Ok(_) => break,
                Err(now) => state = now,
            }
        }
        let job = self.job.load(Relaxed).cast_const().cast::<Job>();
        // SAFETY: the exchange counted this worker in while the job was open, and `close`, which comes before
        // the job's end, waits until it is counted out again. The exchange also makes the job's
        // fields visible.
        unsafe { &*job }.work(index + 1);
        self.state.fetch_sub(1, Release);
    }
}

/// A thread that helps.
pub(super) struct Worker {
    pub(super) thread: Thread,
    pub(super) asleep: Arc<AtomicBool>,
}

impl Worker {
    /// The worker says that it sleeps and then looks at the offer; the caller changes the offer and then
    /// looks whether the worker sleeps. Both in sequentially consistent order, so at least one of them
    /// sees the other.
    fn wake(&self) {
        if self.asleep.load(SeqCst) && self.asleep.swap(false, SeqCst) {
            self.thread.unpark();
        }
    }
}

/// Sleeps until worker `index` is wanted for another job than `last`, or for no reason.
pub(super) fn sleep(offer: &Offer, index: usize, last: u64, asleep: &AtomicBool) {
    asleep.store(true, SeqCst);
    while asleep.load(SeqCst) && offer.offered(index, last).is_none() {
        park();
    }
    asleep.store(false, SeqCst);
}
