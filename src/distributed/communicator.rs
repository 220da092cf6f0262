//! What is needed of whatever carries bytes between processes, and what follows from it.
use crate::{
    clock::Clock,
    error::{Error, Result},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// How long a process waits for another one unless it is told otherwise: longer than anything that one of
/// them does alone, such as writing a checkpoint.
pub(super) const DEADLINE: Duration = Duration::from_secs(600);

/// What is sent. Whoever sends the same to many has it once.
pub type Bytes = Arc<Vec<u8>>;

/// One of several processes that work together, and its way to the others. They do the same exchanges in the
/// same order.
///
/// An exchange is in two halves, so that other work can be done while it runs: [`start`](Communicator::start)
/// and [`finish`](Communicator::finish). The rest is made of them.
///
/// ```
/// use kolmo::distributed::{Communicator, Local};
/// let told = Local::run(3, |world| {
///     let all = world.all_gather(vec![world.rank() as u8; 2])?;
///     Ok(all.iter().map(|bytes| bytes.to_vec()).collect::<Vec<_>>())
/// })?;
/// assert_eq!(told[2], [[0, 0], [1, 1], [2, 2]]);
/// # Ok::<(), kolmo::Error>(())
/// ```
pub trait Communicator: Send + Sync {
    /// Which of the processes this is, from 0.
    fn rank(&self) -> usize;

    /// How many processes there are.
    fn size(&self) -> usize;

    /// Begins to send messages, each to another rank, and to receive one from each rank of a list.
    ///
    /// # Errors
    /// A rank that there isn't, this one's own, or one that was named before; one that has left.
    fn start(&self, messages: Vec<(usize, Bytes)>, from: Vec<usize>) -> Result<()>;

    /// Waits for the messages of the first start that was not waited for, in the order of its list. When it
    /// returns, what was sent need not have arrived.
    ///
    /// # Errors
    /// A rank has left, or sent nothing for too long.
    fn finish(&self) -> Result<Vec<Bytes>>;

    /// What this process has sent so far, and how long it has waited.
    fn traffic(&self) -> Traffic;

    /// Both halves at once; what was started before must have been finished.
    ///
    /// # Errors
    /// Those of the halves.
    fn exchange(&self, messages: Vec<(usize, Bytes)>, from: Vec<usize>) -> Result<Vec<Bytes>> {
        self.start(messages, from)?;
        self.finish()
    }

    /// Sends to one rank.
    ///
    /// # Errors
    /// Those of [`start`](Communicator::start).
    fn send(&self, to: usize, bytes: Vec<u8>) -> Result<()> {
        self.exchange(vec![(to, Bytes::new(bytes))], Vec::new()).map(drop)
    }

    /// Receives from one rank.
    ///
    /// # Errors
    /// Those of [`finish`](Communicator::finish).
    fn receive(&self, from: usize) -> Result<Bytes> {
        Ok(self.exchange(Vec::new(), vec![from])?.pop().unwrap_or_default())
    }

    /// The bytes of all processes in the order of their ranks, on each.
    ///
    /// # Errors
    /// Those of [`exchange`](Communicator::exchange).
    fn all_gather(&self, bytes: Vec<u8>) -> Result<Vec<Bytes>> {
        let (own, others) = (Bytes::new(bytes), others(self.rank(), self.size()));
        let messages = others.iter().map(|&to| (to, own.clone())).collect();
        let mut all = self.exchange(messages, others)?;
        all.insert(self.rank().min(all.len()), own);
        Ok(all)
    }

    /// The bytes of all processes in the order of their ranks, on one of them.
    ///
    /// # Errors
    /// Those of [`exchange`](Communicator::exchange).
    fn gather(&self, to: usize, bytes: Vec<u8>) -> Result<Option<Vec<Bytes>>> {
        let own = Bytes::new(bytes);
        if self.rank() != to {
            return self.exchange(vec![(to, own)], Vec::new()).map(|_| None);
        }
        let mut all = self.exchange(Vec::new(), others(to, self.size()))?;
        all.insert(to.min(all.len()), own);
        Ok(Some(all))
    }

    /// The bytes of one process on all: it passes them to some, these to others, and so on. What the others
    /// bring is left alone.
    ///
    /// # Errors
    /// Those of [`exchange`](Communicator::exchange).
    fn broadcast(&self, from: usize, bytes: Vec<u8>) -> Result<Bytes> {
        let (size, from) = (self.size(), from % self.size().max(1));
        // As if the one who has them were rank 0; each has them from the rank without its highest bit.
        let place = (self.rank() + size - from) % size.max(1);
        let rank = |place: usize| (place + from) % size;
        let high = if place == 0 { 0 } else { 1 << place.ilog2() };
        let bytes = if place == 0 { Bytes::new(bytes) } else { self.receive(rank(place - high))? };
        let mut bit = if place == 0 { 1 } else { 2 * high };
        let mut messages = Vec::new();
        while place + bit < size {
            messages.push((rank(place + bit), bytes.clone()));
            bit *= 2;
        }
        self.exchange(messages, Vec::new())?;
        Ok(bytes)
    }

    /// Waits until all processes have come here.
    ///
    /// # Errors
    /// Those of [`exchange`](Communicator::exchange).
    fn barrier(&self) -> Result<()> {
        self.all_gather(Vec::new()).map(drop)
    }
}

/// All ranks but one.
pub(super) fn others(rank: usize, size: usize) -> Vec<usize> {
    (0..size).filter(|&other| other != rank).collect()
}

/// That each rank is one of the others, and named once.
pub(super) fn check(rank: usize, size: usize, messages: &[(usize, Bytes)], from: &[usize]) -> Result<()> {
    let to: Vec<usize> = messages.iter().map(|(to, _)| *to).collect();
    for (list, what) in [(&to[..], "send to"), (from, "receive from")] {
        for (i, &other) in list.iter().enumerate() {
            let message = if other >= size || other == rank {
                format!("rank {rank} of {size} can't {what} rank {other}, only the others")
            } else if list.iter().take(i).any(|&before| before == other) {
                format!("rank {rank} is to {what} rank {other} twice in one exchange")
            } else {
                continue;
            };
            return Err(Error::invalid("Communicator", message));
        }
    }
    Ok(())
}

/// What a process has sent, and how long it has waited for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Bytes of all messages.
    pub bytes: u64,
    /// How many messages these were.
    pub messages: u64,
    /// Time in [`finish`](Communicator::finish).
    pub waited: Duration,
}

/// Counts what a communicator does.
#[derive(Debug, Default)]
pub(super) struct Counter {
    bytes: AtomicU64,
    messages: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Counter {
    pub fn sent(&self, bytes: &Bytes) {
        self.bytes.fetch_add(bytes.len() as u64, Relaxed);
        self.messages.fetch_add(1, Relaxed);
    }

    pub fn waited(&self, since: Clock) {
        let nanoseconds = u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Relaxed);
    }

    pub fn traffic(&self) -> Traffic {
        let [bytes, messages, waited] =
            [&self.bytes, &self.messages, &self.nanoseconds].map(|n| n.load(Relaxed));
        Traffic { bytes, messages, waited: Duration::from_nanos(waited) }
    }
}

/// A process without others.
///
/// ```
/// use kolmo::distributed::{Alone, Communicator};
/// assert_eq!((Alone.rank(), Alone.size()), (0, 1));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Communicator for Alone {
    fn rank(&self) -> usize {
        0
    }
    fn size(&self) -> usize {
        1
    }
    fn start(&self, messages: Vec<(usize, Bytes)>, from: Vec<usize>) -> Result<()> {
        check(0, 1, &messages, &from)
    }
    fn finish(&self) -> Result<Vec<Bytes>> {
        Ok(Vec::new())
    }
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}
