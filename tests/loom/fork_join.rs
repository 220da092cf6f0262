//! All orders in which a caller and its workers can meet: every task is done once, what it wrote is seen after the join, no
//! job is touched after its end, and no worker that is needed sleeps on. Tasks write where loom looks for races.
#[path = "../../src/threads/job.rs"]
mod job;
mod sync;

use job::{Offer, Worker, sleep};
use loom::{cell::UnsafeCell, model::Builder, thread};
use std::sync::Mutex;
use sync::{Arc, AtomicBool, AtomicPtr, AtomicU64, Ordering::Relaxed};

/// One number for each task.
struct Cells(Vec<UnsafeCell<usize>>);

// SAFETY: no promise at all; that nobody uses a number while another one writes it is what loom finds out.
unsafe impl Sync for Cells {}

impl Cells {
    fn new(n: usize) -> Cells {
        Cells((0..n).map(|_| UnsafeCell::new(0)).collect())
    }

    fn add(&self, i: usize) {
        // SAFETY: as above.
        self.0[i].with_mut(|p| unsafe { *p += 1 });
    }

    fn all(&self, n: usize) -> bool {
        // SAFETY: as above.
        self.0.iter().all(|cell| cell.with(|p| unsafe { *p }) == n)
    }
}

/// What the threads of a model share.
struct Shared {
    offer: Offer,
    quit: AtomicBool,
}

/// Workers that help until one of their tasks has said `quit`.
fn workers(shared: &Arc<Shared>, n: usize) -> (Vec<Worker>, Vec<thread::JoinHandle<()>>) {
    let spawn = |index: usize| {
        let (shared, asleep) = (shared.clone(), Arc::new(AtomicBool::new(false)));
        let flag = asleep.clone();
        let handle = thread::spawn(move || {
            let mut last = 0;
            while !shared.quit.load(Relaxed) {
                match shared.offer.offered(index, last) {
                    Some(number) => {
                        shared.offer.join(index, number);
                        last = number;
                    }
                    None => sleep(&shared.offer, index, last, &flag),
                }
            }
        });
        (Worker { thread: handle.thread().clone(), asleep }, handle)
    };
    (0..n).map(spawn).unzip()
}

/// All orders with at most so many switches between threads that could have gone on.
fn all_orders(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut all = Builder::new();
    all.preemption_bound = Some(preemptions);
    all.max_branches = 20_000;
    let model = std::sync::Arc::new(model);
    for before in [true, false] {
        sync::BEFORE.set(before);
        let model = model.clone();
        all.check(move || model());
    }
}

/// Jobs with so many tasks, one after another, then the end, which every worker must hear of.
fn check(helpers: usize, jobs: &'static [usize], preemptions: usize) {
    all_orders(preemptions, move || {
        let offer = Offer { state: AtomicU64::new(0), job: AtomicPtr::new(std::ptr::null_mut()) };
        let shared = Arc::new(Shared { offer, quit: AtomicBool::new(false) });
        let (workers, handles) = workers(&shared, helpers);
        for &tasks in jobs {
            let cells = Cells::new(tasks);
            // What the caller wrote is seen by the tasks, what they write by the caller.
            (0..tasks).for_each(|i| cells.add(i));
            assert!(shared.offer.run(&|i| cells.add(i), tasks, &workers).is_none());
            assert!(cells.all(2), "each task is done once");
        }
        end(&shared, &workers, handles);
    });
}

/// A last job, in which the caller waits for the workers to go: they do only if they wake.
fn end(shared: &Shared, workers: &[Worker], handles: Vec<thread::JoinHandle<()>>) {
    shared.quit.store(true, Relaxed);
    let (caller, handles) = (thread::current().id(), Mutex::new(Some(handles)));
    let wait = |_| {
        if thread::current().id() == caller {
            let all = handles.lock().unwrap().take();
            all.into_iter().flatten().for_each(|handle| handle.join().unwrap());
        }
    };
    // Again if workers took the caller's task as well; they have gone then.
    while handles.lock().unwrap().is_some() {
        assert!(shared.offer.run(&wait, workers.len() + 1, workers).is_none());
    }
}

#[test]
fn one_worker_and_two_jobs() {
    check(1, &[2, 2], 4);
}

#[test]
fn two_workers_and_a_job() {
    check(2, &[3], 2);
}

#[test]
fn more_tasks_than_threads() {
    check(1, &[5], 4);
}

#[test]
fn a_panic_comes_back_from_any_thread() {
    all_orders(3, || {
        let offer = Offer { state: AtomicU64::new(0), job: AtomicPtr::new(std::ptr::null_mut()) };
        let shared = Arc::new(Shared { offer, quit: AtomicBool::new(false) });
        let (workers, handles) = workers(&shared, 1);
        let fail = |i| assert_ne!(i, 1, "the second task fails");
        assert!(shared.offer.run(&fail, 2, &workers).is_some());
        end(&shared, &workers, handles);
    });
}
