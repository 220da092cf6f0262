//! Processes that are threads of one: for tests, and for machines without MPI.
use super::communicator::{Bytes, Communicator, Counter, DEADLINE, Traffic, check};
use crate::{
    clock::Clock,
    error::{Error, Result},
    threads,
};
use std::{
    any::Any,
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    time::Duration,
};

/// One of several threads that work together as if they were processes: each has a model, an optimiser and
/// data of its own. One that ends, well or not, is missed by those who wait for it at once.
///
/// ```
/// use kolmo::{Error, distributed::{Communicator, Local}};
/// let error = Local::run(2, |world| match world.rank() {
///     0 => world.receive(1).map(drop),
///     _ => Err(Error::custom("no more paper")),
/// });
/// assert_eq!(error.unwrap_err().to_string(), "rank 1: no more paper");
/// # Ok::<(), kolmo::Error>(())
/// ```
pub struct Local {
    rank: usize,
    /// By rank; the own one is never used.
    to: Vec<Sender<Bytes>>,
    from: Vec<Mutex<Receiver<Bytes>>>,
    /// From whom what was started, and not yet finished, receives.
    begun: Mutex<VecDeque<Vec<usize>>>,
    deadline: Duration,
    counter: Counter,
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Local {{ rank: {}, size: {}, deadline: {:?} }}", self.rank, self.to.len(), self.deadline)
    }
}

impl Local {
    /// As many as are to work together, each to be given to a thread.
    #[must_use]
    pub fn new(size: usize) -> Vec<Local> {
        let mut receivers: Vec<Vec<Mutex<Receiver<Bytes>>>> = (0..size).map(|_| Vec::new()).collect();
        let senders = |_| {
            let end = |of: &mut Vec<Mutex<Receiver<Bytes>>>| {
                let (sender, receiver) = channel();
                of.push(Mutex::new(receiver));
                sender
            };
            receivers.iter_mut().map(end).collect()
        };
        let senders: Vec<Vec<Sender<Bytes>>> = (0..size).map(senders).collect();
        let local = |(rank, (to, from))| Local {
            rank,
            to,
            from,
            begun: Mutex::default(),
            deadline: DEADLINE,
            counter: Counter::default(),
        };
        senders.into_iter().zip(receivers).enumerate().map(local).collect()
    }

    /// How long it waits for another one (default 10 minutes).
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Local {
        Local { deadline, ..self }
    }

    /// Runs `work` on as many threads, and gives what each has made, in the order of the ranks.
    ///
    /// # Errors
    /// The first error, or panic, of a rank, with its rank: not that another one was missed for it.
    pub fn run<R: Send + 'static>(
        size: usize,
        work: impl Fn(Local) -> Result<R> + Send + Sync + 'static,
    ) -> Result<Vec<R>> {
        let (work, (sender, receiver)) = (Arc::new(work), channel());
        let (mut handles, mut failed) = (Vec::new(), None);
        for (rank, local) in Local::new(size).into_iter().enumerate() {
            let (work, sender) = (work.clone(), sender.clone());
            let run = move || {
                let _ = sender.send((rank, work(local)));
            };
            match threads::start(format!("kolmo-rank-{rank}"), run) {
                Ok(handle) => handles.push((rank, handle)),
                // The others miss it, and end.
                Err(e) => failed = Some(Error::rank(rank, format!("there is no thread for it: {e}"))),
            }
        }
        drop(sender);
        let ended = handles.into_iter().map(|(rank, handle)| (rank, handle.join()));
        let panics: Vec<_> = ended.filter_map(|(rank, end)| Some((rank, end.err()?))).collect();
        if let Some((rank, payload)) = panics.first() {
            failed.get_or_insert(Error::rank(*rank, format!("panicked: {}", words(&**payload))));
        }
        let mut made: Vec<(usize, Result<R>)> = receiver.into_iter().collect();
        made.sort_by_key(|(rank, _)| *rank);
        // Its own error rather than what others say of it.
        let errors = made.iter().filter_map(|(rank, made)| Some((rank, made.as_ref().err()?)));
        let mut own = errors.map(|(rank, e)| (rank, e.clone().of_rank(*rank)));
        let own = own.find(|(own, e)| matches!(e, Error::Rank { rank, .. } if rank == *own));
        failed = failed.or(own.map(|(_, e)| e));
        failed.map_or_else(|| made.into_iter().map(|(_, made)| made).collect(), Err)
    }
}

/// What a panic said.
fn words(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("without words")
}

fn left(rank: usize) -> Error {
    Error::rank(rank, "has left: its thread has ended")
}

impl Communicator for Local {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.to.len()
    }

    fn start(&self, messages: Vec<(usize, Bytes)>, from: Vec<usize>) -> Result<()> {
        check(self.rank, self.to.len(), &messages, &from)?;
        for (to, bytes) in messages {
            self.counter.sent(&bytes);
            // A rank that has left is missed where something is expected of it.
            let _ = self.to.get(to).map(|to| to.send(bytes));
        }
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).push_back(from);
        Ok(())
    }

    fn finish(&self) -> Result<Vec<Bytes>> {
        let from = self.begun.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let since = Clock::now();
        let receive = |from: usize| {
            let receiver = self.from.get(from).ok_or_else(|| left(from))?;
            let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
            let rest = self.deadline.saturating_sub(since.elapsed());
            receiver.recv_timeout(rest).map_err(|e| match e {
                RecvTimeoutError::Disconnected => left(from),
                RecvTimeoutError::Timeout => Error::rank(from, silent(self.rank, self.deadline)),
            })
        };
        let received = from.unwrap_or_default().into_iter().map(receive).collect();
        self.counter.waited(since);
        received
    }

    fn traffic(&self) -> Traffic {
        self.counter.traffic()
    }
}

/// What is said of a rank that another one has waited for too long.
pub(super) fn silent(rank: usize, deadline: Duration) -> String {
    format!("has sent nothing to rank {rank} for {deadline:?}, its deadline")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_arrives_in_its_order_and_is_counted() {
        for size in [1, 2, 3, 5, 8] {
            let traffic = Local::run(size, move |world| {
                let rank = world.rank();
                for root in 0..size {
                    let own = if rank == root { vec![7, root as u8] } else { vec![1] };
                    assert_eq!(*world.broadcast(root, own)?, [7, root as u8]);
                    let all = world.gather(root, vec![rank as u8; rank])?;
                    assert_eq!(all.is_some(), rank == root);
                    let right = |(i, b): (usize, &Bytes)| **b == vec![i as u8; i];
                    assert!(all.iter().all(|all| all.len() == size && all.iter().enumerate().all(right)));
                }
                // Two exchanges at once.
                let (next, last) = ((rank + 1) % size, (rank + size - 1) % size);
                if size > 1 {
                    for k in 0..2u8 {
                        world.start(vec![(next, Bytes::new(vec![k, rank as u8]))], vec![last])?;
                    }
                    for k in 0..2u8 {
                        assert_eq!(*world.finish()?[0], [k, last as u8]);
                    }
                }
                world.barrier()?;
                Ok(world.traffic())
            });
            let traffic = traffic.unwrap();
            // Each broadcast and each gather has size - 1 messages.
            let bytes: u64 = traffic.iter().map(|t| t.bytes).sum();
            let (n, gathered) = (size as u64, (0..size as u64).sum::<u64>() * (size as u64 - 1));
            let ring = if size > 1 { 4 * n } else { 0 };
            assert_eq!(bytes, n * (n - 1) * 2 + gathered + ring, "{size}");
        }
    }

    #[test]
    fn who_has_left_or_is_silent_is_named() {
        let error = Local::run(3, |world| match world.rank() {
            1 => Ok(()),
            _ => world.barrier(),
        });
        assert_eq!(error.unwrap_err().to_string(), "rank 1: has left: its thread has ended");
        let error = Local::run(3, |world| match world.rank() {
            2 => panic!("on purpose"),
            _ => world.barrier(),
        });
        assert_eq!(error.unwrap_err().to_string(), "rank 2: panicked: on purpose");
        let mut all = Local::new(2);
        let (silent, waits) = (all.pop(), all.pop().unwrap().deadline(Duration::from_millis(20)));
        let error = waits.receive(1).unwrap_err().to_string();
        assert_eq!(error, "rank 1: has sent nothing to rank 0 for 20ms, its deadline");
        drop(silent);
        for (to, told) in [(0, "can't send to rank 0"), (2, "can't send to rank 2")] {
            assert!(waits.send(to, Vec::new()).unwrap_err().to_string().contains(told));
        }
        let twice = waits.exchange(Vec::new(), vec![1, 1]).unwrap_err().to_string();
        assert!(twice.contains("receive from rank 1 twice"), "{twice}");
    }
}
