//! Processes of MPI. All calls into it are made by one thread, which also keeps them going: while a process
//! computes, what it has begun to send and receive goes on.
use super::communicator::{Bytes, Communicator, Counter, DEADLINE, Traffic, check, others};
use super::local::silent;
use crate::{
    clock::Clock,
    error::{Error, Result},
    threads::{self, JoinHandle},
};
use mpi::{
    Tag, Threading,
    request::multiple_scope,
    topology::SimpleCommunicator,
    traits::{Communicator as _, Destination as _, Equivalence as _, Source as _},
};
use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

/// Of messages, and of what a process says when it leaves.
const MESSAGE: Tag = 1;
const LEAVES: Tag = 2;

/// One of several processes that `mpirun` or a scheduler has started.
///
/// There is one in a process, once. One that leaves, or is silent for too long, is an error of those who wait
/// for it; one that is killed ends the job, which is the business of whoever has started it.
pub struct Mpi {
    rank: usize,
    size: usize,
    jobs: Option<Sender<Job>>,
    begun: Mutex<VecDeque<Begun>>,
    thread: Option<JoinHandle<()>>,
    /// Whether an exchange has failed: then nobody can be sure that the thread comes back from another one.
    failed: AtomicBool,
    deadline: Duration,
    counter: Counter,
}

/// What an exchange waits for: the first rank of which nothing has come, and where all will be.
type Begun = (Arc<AtomicUsize>, Receiver<Result<Vec<Bytes>>>);

/// No rank.
const NOBODY: usize = usize::MAX;

struct Job {
    messages: Vec<(usize, Bytes)>,
    from: Vec<usize>,
    awaits: Arc<AtomicUsize>,
    done: Sender<Result<Vec<Bytes>>>,
}

impl fmt::Debug for Mpi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mpi {{ rank: {}, size: {}, deadline: {:?} }}", self.rank, self.size, self.deadline)
    }
}

impl Mpi {
    /// Joins the others.
    ///
    /// # Errors
    /// It was joined before; there is no thread for it.
    pub fn new() -> Result<Mpi> {
        let wrong = |message: String| Error::invalid("Mpi", message);
        let (jobs, work) = channel::<Job>();
        let (ready, joined) = channel();
        let run = move || {
            let Some((universe, _)) = mpi::initialize_with_threading(Threading::Funneled) else { return };
            let world = universe.world();
            let place = (world.rank(), world.size());
            if ready.send(place).is_ok() {
                work.iter().for_each(|job| job.run(&world));
                leave(&world);
            }
        };
        let thread = threads::start("kolmo-mpi".into(), run);
        let thread = thread.map_err(|e| wrong(format!("there is no thread for it: {e}")))?;
        let joined = joined.recv().map_err(|_| wrong("this process has joined the others before".into()))?;
        let [rank, size] = [joined.0, joined.1].map(|n| usize::try_from(n).unwrap_or_default());
        Ok(Mpi {
            rank,
            size,
            jobs: Some(jobs),
            begun: Mutex::default(),
            thread: Some(thread),
            failed: AtomicBool::new(false),
            deadline: DEADLINE,
            counter: Counter::default(),
        })
    }

    /// How long it waits for another one (default 10 minutes).
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Mpi {
        self.deadline = deadline;
        self
    }
}

impl Job {
    fn run(self, world: &SimpleCommunicator) {
        let Job { messages, from, awaits, done } = self;
        multiple_scope(messages.len(), |scope, sending| {
            for (to, bytes) in &messages {
                let to = world.process_at_rank(*to as i32);
                sending.add(to.immediate_send_with_tag(scope, bytes.as_slice(), MESSAGE));
            }
            let mut received: Vec<Option<Bytes>> = vec![None; from.len()];
            let (mut missing, mut idle, mut done) = (from.len(), 0, Some(done));
            let mut sent = Vec::new();
            // An error is told at once; the scope ends when all was sent.
            while missing > 0 || sending.incomplete() > 0 {
                let before = (missing, sending.incomplete());
                // Of none it would find a number below 0.
                if before.1 > 0 {
                    sending.test_some(&mut sent);
                }
                for (&from, place) in from.iter().zip(&mut received) {
                    if place.is_some() || done.is_none() {
                        continue;
                    }
                    let process = world.process_at_rank(from as i32);
                    // Asked first: what was sent before that has come, too.
                    let left = process.immediate_probe_with_tag(LEAVES).is_some();
                    if let Some((message, status)) = process.immediate_matched_probe_with_tag(MESSAGE) {
                        let size = usize::try_from(status.count(u8::equivalent_datatype()));
                        let mut bytes = vec![0u8; size.unwrap_or_default()];
                        message.matched_receive_into(&mut bytes[..]);
                        (*place, missing) = (Some(Bytes::new(bytes)), missing - 1);
                    } else if left {
                        let error = Error::rank(from, "has left: it has ended, or dropped its communicator");
                        let _ = done.take().map(|done| done.send(Err(error)));
                        missing = 0;
                    }
                }
                let first = from.iter().zip(&received).find(|(_, place)| place.is_none());
                awaits.store(first.map_or(NOBODY, |(from, _)| *from), Relaxed);
                if missing == 0
                    && let Some(done) = done.take()
                {
                    let _ =
                        done.send(Ok(received.iter_mut().map(|r| r.take().unwrap_or_default()).collect()));
                }
                idle = if before == (missing, sending.incomplete()) { idle + 1 } else { 0 };
                threads::pause(idle);
            }
            if let Some(done) = done {
                let _ = done.send(Ok(received.into_iter().map(Option::unwrap_or_default).collect()));
            }
        });
    }
}

/// Says so to all others, who may still wait.
fn leave(world: &SimpleCommunicator) {
    let [rank, size] = [world.rank(), world.size()].map(|n| usize::try_from(n).unwrap_or_default());
    for to in others(rank, size) {
        world.process_at_rank(to as i32).send_with_tag(&[0u8; 0][..], LEAVES);
    }
}

impl Communicator for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn start(&self, messages: Vec<(usize, Bytes)>, from: Vec<usize>) -> Result<()> {
        check(self.rank, self.size, &messages, &from)?;
        messages.iter().for_each(|(_, bytes)| self.counter.sent(bytes));
        let (done, receiver) = channel();
        let awaits = Arc::new(AtomicUsize::new(from.first().copied().unwrap_or(NOBODY)));
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).push_back((awaits.clone(), receiver));
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(Job { messages, from, awaits, done }).is_ok());
        match sent {
            Some(true) => Ok(()),
            _ => Err(Error::rank(self.rank, "its thread for MPI has ended")),
        }
    }

    fn finish(&self) -> Result<Vec<Bytes>> {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let Some((awaits, receiver)) = begun else { return Ok(Vec::new()) };
        let since = Clock::now();
        let received = receiver.recv_timeout(self.deadline).unwrap_or_else(|e| {
            Err(match (e, awaits.load(Relaxed)) {
                (RecvTimeoutError::Timeout, NOBODY) => {
                    Error::rank(self.rank, format!("nobody has taken what it sent for {:?}", self.deadline))
                }
                (RecvTimeoutError::Timeout, from) => Error::rank(from, silent(self.rank, self.deadline)),
                (RecvTimeoutError::Disconnected, _) => Error::rank(self.rank, "its thread for MPI has ended"),
            })
        });
        self.counter.waited(since);
        if received.is_err() {
            self.failed.store(true, Relaxed);
        }
        received
    }

    fn traffic(&self) -> Traffic {
        self.counter.traffic()
    }
}

impl Drop for Mpi {
    fn drop(&mut self) {
        drop(self.jobs.take());
        // After a failure the process ends without MPI's leave, and so does the job.
        if let Some(thread) = self.thread.take().filter(|_| !self.failed.load(Relaxed)) {
            let _ = thread.join();
        }
    }
}
