//! Batches made ahead on a thread of their own, in an order that the seed and the epoch decide.
use crate::{
    checked::{Check, checked},
    error::{Checked, Error, Result},
    tape::{Random, random::Weights},
    tensor::room::listed,
    threads::{self, JoinHandle},
};
use serde::Serialize;
use std::{
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, sync_channel},
    },
};

/// Which examples come when. What a batch is made of, and how, is the business of the function given to
/// [`batches`](DataLoader::batches); it gets random numbers that belong to the seed, the epoch and the batch.
/// So a run that is taken up again in the middle of an epoch sees the same batches as one that was never
/// broken off.
///
/// ```
/// use kolmo::data::{self, DataLoader};
/// let (images, labels) = data::digits();
/// let loader = DataLoader::new(labels.numel(), 64).seed(1);
/// for batch in loader.batches(0, move |rows, _rng| Ok((images.rows(rows)?, labels.rows(rows)?))) {
///     let (x, y) = batch?;
///     assert_eq!(x.dim(0), y.numel());
/// }
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[must_use = "a loader does nothing until it is asked for batches"]
pub struct DataLoader {
    n: usize,
    size: usize,
    seed: u64,
    shuffle: bool,
    drop_last: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<Vec<f64>>,
}

checked!(DataLoader {
    n: usize,
    size: usize,
    seed: u64,
    shuffle: bool,
    drop_last: bool,
    #[serde(default)]
    weights: Option<Vec<f64>>,
});

impl Check for DataLoader {
    fn check(&self) -> Checked<()> {
        if self.size == 0 {
            return Err("size is 0, expected at least 1".into());
        }
        // The order of an epoch is a list of all numbers.
        match self.n > u32::MAX as usize {
            true => Err(format!("n is {}, expected at most {}", self.n, u32::MAX)),
            false => self.by_weights().map(|_| ()),
        }
    }
}

/// Batches that wait for the one who takes them.
const AHEAD: usize = 2;

impl DataLoader {
    /// Batches of `size` of the examples `0..n`, shuffled; the last may be smaller.
    pub fn new(n: usize, size: usize) -> DataLoader {
        DataLoader { n, size: size.max(1), seed: 0, shuffle: true, drop_last: false, weights: None }
    }

    /// What the order and the random numbers come from (default 0).
    pub fn seed(self, seed: u64) -> DataLoader {
        DataLoader { seed, ..self }
    }

    /// Whether the order changes from epoch to epoch (default yes).
    pub fn shuffle(self, shuffle: bool) -> DataLoader {
        DataLoader { shuffle, ..self }
    }

    /// Draws the examples of an epoch by these weights, one for each of the `n`, instead of going through all:
    /// `n` times, with replacement, each with the probability of its weight's share of the sum (default: none).
    /// They come in the order in which they are drawn, whatever [`shuffle`](DataLoader::shuffle) says.
    ///
    /// So that each class is seen as often as the others:
    ///
    /// ```
    /// use kolmo::{Tensor, data::{DataLoader, class_weights}};
    /// let labels = Tensor::from([0u32, 0, 0, 0, 0, 0, 0, 1]);
    /// let of_class = class_weights(&labels)?;
    /// let weights: Vec<f64> = labels.to_vec().iter().map(|&label| of_class[label as usize]).collect();
    /// let loader = DataLoader::new(8, 4).weights(&weights);
    /// let mut ones = 0;
    /// for epoch in 0..100 {
    ///     let rows = loader.batches(epoch, |rows, _| Ok(rows.to_vec()));
    ///     ones += rows.collect::<kolmo::Result<Vec<_>>>()?.concat().iter().filter(|&&row| row == 7).count();
    /// }
    /// assert!((350..450).contains(&ones)); // of 800
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// Weights that are not `n`, negative, not finite or all 0 are the error of the first batch.
    #[doc(alias = "WeightedRandomSampler")]
    pub fn weights(self, weights: &[f64]) -> DataLoader {
        DataLoader { weights: Some(weights.to_vec()), ..self }
    }

    /// The weights added up, if there are any.
    fn by_weights(&self) -> Checked<Option<Weights>> {
        let Some(weights) = &self.weights else { return Ok(None) };
        if weights.len() != self.n {
            return Err(format!(
                "weights has {}, expected one for each of the {} examples",
                weights.len(),
                self.n
            ));
        }
        let made = Weights::new(self.n, weights.iter().copied());
        made.map(Some).map_err(|message| format!("weights: {message}"))
    }

    /// The numbers of the examples, in the order of an epoch.
    fn order(&self, stream: &Random) -> Checked<Vec<usize>> {
        let mut rng = Random::new(stream.bits_at(0));
        match self.by_weights()? {
            Some(weights) => listed(self.n, (0..self.n).map(|_| weights.pick(rng.uniform()))),
            None if self.shuffle => rng.order(self.n),
            None => listed(self.n, 0..self.n),
        }
    }

    /// Whether a smaller batch at the end is left out (default no).
    pub fn drop_last(self, drop_last: bool) -> DataLoader {
        DataLoader { drop_last, ..self }
    }

    /// Batches in an epoch.
    #[must_use]
    pub fn len(&self) -> usize {
        if self.drop_last { self.n / self.size } else { self.n.div_ceil(self.size) }
    }

    /// The places, in the order of an epoch, of a batch's examples.
    pub(crate) fn rows(&self, batch: usize) -> Range<usize> {
        rows_of(batch, self.size, self.n)
    }

    /// The same of a slot of a batch: see [`slots_of`](DataLoader::slots_of).
    pub(crate) fn slot(&self, slot: usize, per_batch: usize) -> Range<usize> {
        slot_of(slot, per_batch, self.size, self.n)
    }

    /// Whether an epoch has no batch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batches of an epoch, as `make` makes them of the numbers of their examples, on another thread, or
    /// on this one when it is asked for the next if the system has no more threads. Its error is an item
    /// and ends the epoch.
    pub fn batches<B, F>(&self, epoch: u64, make: F) -> Batches<B>
    where
        B: Send + 'static,
        F: FnMut(&[usize], &mut Random) -> Result<B> + Send + 'static,
    {
        self.batches_from(epoch, 0, make)
    }

    /// The batches of an epoch from batch `first` on: the rest of an epoch that was begun before, as
    /// [`batches`](DataLoader::batches) would have gone on.
    pub fn batches_from<B, F>(&self, epoch: u64, first: usize, make: F) -> Batches<B>
    where
        B: Send + 'static,
        F: FnMut(&[usize], &mut Random) -> Result<B> + Send + 'static,
    {
        self.slots_of(epoch, first..self.len(), 1, make)
    }

    /// Some of the slots of an epoch, of which each batch has `per_batch`: nearly equal parts, one after the
    /// other. Slot `i` of batch `b` has the number `b · per_batch + i`, and what it is made of depends on that
    /// alone, so processes may share the slots in any way; only what is asked for is made. A slot without an
    /// example, as batches smaller than `per_batch` have, is left out.
    ///
    /// ```
    /// use kolmo::data::DataLoader;
    /// let loader = DataLoader::new(10, 6).shuffle(false);
    /// let rows = |slots| loader.slots_of(0, slots, 4, |rows, _| Ok(rows.to_vec())).collect::<kolmo::Result<Vec<_>>>();
    /// assert_eq!(rows(0..4)?, [vec![0], vec![1, 2], vec![3], vec![4, 5]]);
    /// assert_eq!(rows(6..8)?, [[8], [9]]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[doc(alias = "DistributedSampler")]
    pub fn slots_of<B, F>(
        &self,
        epoch: u64,
        slots: impl IntoIterator<Item = usize, IntoIter: Send + 'static>,
        per_batch: usize,
        mut make: F,
    ) -> Batches<B>
    where
        B: Send + 'static,
        F: FnMut(&[usize], &mut Random) -> Result<B> + Send + 'static,
    {
        let (size, per_batch) = (self.size, per_batch.max(1));
        let count = self.len().saturating_mul(per_batch);
        let stream = Random::new(Random::new(self.seed).bits_at(epoch));
        let order = self.order(&stream).map_err(|message| Error::invalid("DataLoader", message));
        let (order, mut lack) = match order {
            Ok(order) => (order, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let (mut slots, mut over) = (slots.into_iter().filter(move |&slot| slot < count), false);
        let next = move || {
            if over {
                return None;
            }
            let made = loop {
                let slot = slots.next()?;
                if let Some(error) = lack.take() {
                    break Err(error);
                }
                let rows = &order[slot_of(slot, per_batch, size, order.len())];
                if !rows.is_empty() {
                    break make(rows, &mut Random::new(stream.bits_at(1 + slot as u64)));
                }
            };
            over = made.is_err();
            Some(made)
        };
        // Whoever comes first takes it: the thread, or, if there is none, the one who waits.
        let made: Arc<Mutex<Option<Next<B>>>> = Arc::new(Mutex::new(Some(Box::new(next))));
        let (sender, receiver) = sync_channel(AHEAD - 1);
        let theirs = made.clone();
        let work = move || {
            let Some(mut next) = take(&theirs) else { return };
            while let Some(made) = next() {
                // Nobody listens any more if the epoch is broken off.
                if sender.send(made).is_err() {
                    return;
                }
            }
        };
        match threads::start("kolmo-loader".into(), work) {
            Ok(thread) => Batches { receiver, thread: Some(thread), alone: None },
            Err(_) => Batches { receiver, thread: None, alone: take(&made) },
        }
    }
}

fn rows_of(batch: usize, size: usize, n: usize) -> Range<usize> {
    let start = batch.saturating_mul(size).min(n);
    start..start.saturating_add(size).min(n)
}

fn slot_of(slot: usize, per_batch: usize, size: usize, n: usize) -> Range<usize> {
    let (rows, part) = (rows_of(slot / per_batch.max(1), size, n), slot % per_batch.max(1));
    let at = |part| rows.start + share(rows.len(), part, per_batch.max(1));
    at(part)..at(part + 1)
}

/// Where a part begins of `n` things that are cut into nearly equal parts: `⌊n · part / parts⌋`.
pub(crate) fn share(n: usize, part: usize, parts: usize) -> usize {
    let at = n as u128 * part as u128 / parts.max(1) as u128;
    usize::try_from(at).unwrap_or(n).min(n)
}

/// Makes the next batch.
type Next<B> = Box<dyn FnMut() -> Option<Result<B>> + Send>;

fn take<B>(made: &Mutex<Option<Next<B>>>) -> Option<Next<B>> {
    made.lock().unwrap_or_else(PoisonError::into_inner).take()
}

impl fmt::Display for DataLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} examples in batches of {}", self.n, self.size)?;
        f.write_str(if self.drop_last { ", without a smaller last one" } else { "" })
    }
}

/// The batches of an epoch that are still to come; see [`DataLoader::batches`].
#[must_use = "batches are made only as long as somebody takes them"]
pub struct Batches<B> {
    receiver: Receiver<Result<B>>,
    thread: Option<JoinHandle<()>>,
    /// Without a thread.
    alone: Option<Next<B>>,
}

impl<B> fmt::Debug for Batches<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").field("on_another_thread", &self.thread.is_some()).finish_non_exhaustive()
    }
}

impl<B> Iterator for Batches<B> {
    type Item = Result<B>;

    fn next(&mut self) -> Option<Result<B>> {
        if let Some(next) = &mut self.alone {
            return next();
        }
        if let Ok(batch) = self.receiver.recv() {
            return Some(batch);
        }
        // The thread has ended. If it panicked, so does whoever waited for it.
        if let Some(Err(payload)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(payload);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn rows(loader: &DataLoader, epoch: u64, first: usize) -> Vec<(Vec<usize>, u64)> {
        let made = loader.batches_from(epoch, first, |rows, random| Ok((rows.to_vec(), random.bits_at(0))));
        made.collect::<Result<_>>().unwrap()
    }

    #[test]
    fn an_epoch_has_every_example_once_and_another_order_than_the_next() {
        let loader = DataLoader::new(10, 4).seed(3);
        let first = rows(&loader, 0, 0);
        assert_eq!(first.iter().map(|b| b.0.len()).collect::<Vec<_>>(), [4, 4, 2]);
        let mut all: Vec<usize> = first.iter().flat_map(|b| b.0.clone()).collect();
        all.sort();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_ne!(rows(&loader, 1, 0), first);
        assert_eq!(rows(&loader, 0, 0), first, "the same epoch again");
        assert_ne!(rows(&loader.clone().seed(4), 0, 0), first);
        assert_eq!(rows(&loader.clone().shuffle(false), 7, 0)[1].0, [4, 5, 6, 7]);
        let whole = loader.drop_last(true);
        assert_eq!((whole.len(), rows(&whole, 0, 0).len()), (2, 2));
        assert!(rows(&DataLoader::new(0, 4), 0, 0).is_empty() && DataLoader::new(0, 4).is_empty());
    }

    #[test]
    fn an_epoch_taken_up_again_goes_on_as_it_would_have() {
        let loader = DataLoader::new(50, 7).seed(1);
        let whole = rows(&loader, 5, 0);
        for first in 0..=loader.len() {
            assert_eq!(rows(&loader, 5, first), whole[first..]);
        }
    }

    #[test]
    fn slots_are_each_examples_once_whoever_asks_for_them() {
        for (n, size, per_batch) in [(50, 7, 1), (50, 7, 3), (50, 7, 8), (3, 16, 8), (64, 16, 4)] {
            let loader = DataLoader::new(n, size).seed(1);
            let count = loader.len() * per_batch;
            let made = |slots: Vec<usize>| {
                let slots = loader.slots_of(2, slots, per_batch, |rows, r| Ok((rows.to_vec(), r.bits_at(0))));
                slots.collect::<Result<Vec<_>>>().unwrap()
            };
            let whole = made((0..count).collect());
            let all: Vec<usize> = whole.iter().flat_map(|slot| slot.0.clone()).collect();
            assert_eq!(all, rows(&loader, 2, 0).into_iter().flat_map(|b| b.0).collect::<Vec<_>>());
            let alone: Vec<_> = (0..count + 2).flat_map(|slot| made(vec![slot])).collect();
            assert_eq!(alone, whole, "{n} {size} {per_batch}");
            if per_batch == 1 {
                assert_eq!(rows(&loader, 2, 0), whole);
            }
        }
    }

    #[test]
    fn weights_say_how_often_an_example_comes() {
        let loader = DataLoader::new(4, 3).weights(&[1.0, 0.0, 5.0, 2.0]);
        let mut counts = [0usize; 4];
        for epoch in 0..5000 {
            let drawn: Vec<usize> = rows(&loader, epoch, 0).into_iter().flat_map(|batch| batch.0).collect();
            assert_eq!(drawn.len(), 4);
            drawn.iter().for_each(|&i| counts[i] += 1);
        }
        let shares = counts.map(|n| n as f64 / 20000.0);
        // Four standard deviations are at most 0.0137.
        let near = shares.iter().zip([0.125, 0.0, 0.625, 0.25]).all(|(a, b)| (a - b).abs() < 0.0137);
        assert!(near, "{shares:?}");
        assert_eq!(rows(&loader, 3, 1), rows(&loader, 3, 0)[1..], "a function of seed and epoch");
        for (bad, told) in [
            (&[1.0, 2.0][..], "weights has 2, expected one for each of the 4"),
            (&[0.0; 4], "weights: 4 weights with the sum 0"),
            (&[1.0, -1.0, 1.0, 1.0], "weights: weight -1 at 1"),
        ] {
            let bad = DataLoader::new(4, 3).weights(bad);
            let items: Vec<_> = bad.batches(0, |_, _| Ok(())).map(|b| b.unwrap_err().to_string()).collect();
            assert!(items.len() == 1 && items[0].contains(told), "{items:?}");
            let text = serde_json::to_string(&bad).unwrap();
            assert!(serde_json::from_str::<DataLoader>(&text).unwrap_err().to_string().contains(told));
        }
        let text = serde_json::to_string(&loader).unwrap();
        assert_eq!(serde_json::from_str::<DataLoader>(&text).unwrap(), loader);
        assert!(!serde_json::to_string(&DataLoader::new(4, 3)).unwrap().contains("weights"));
    }

    #[test]
    fn an_error_is_an_item_and_a_panic_goes_on_in_the_one_who_waits() {
        let mut seen = 0;
        let failing = DataLoader::new(9, 1).shuffle(false).batches(0, |rows, _| {
            if rows == [3] { Err(Error::invalid("test", "no fourth")) } else { Ok(()) }
        });
        let outcomes: Vec<bool> = failing.map(|b| b.is_ok()).inspect(|_| seen += 1).collect();
        assert_eq!(outcomes, [true, true, true, false]);
        let panicking =
            || DataLoader::new(2, 1).batches(0, |_, _| -> Result<()> { panic!("on purpose") }).count();
        assert!(std::panic::catch_unwind(panicking).is_err());
        // Broken off early: the thread must not wait for ever, nor the test for the thread.
        drop(DataLoader::new(1000, 1).batches(0, |_, _| Ok(vec![0u8; 1000])));
    }
}
