//! Slots whose batch normalisation is by the statistics of all of them: each has a thread, which computes until
//! it needs a number of all slots, and waits there. One at a time, in their order, so that all else is as if
//! one slot came after the other.
use super::{
    agree::agree,
    layout::{Values, put, take, used_up},
    slots::SlotSum,
    tree::{Tree, subtrees},
};
use crate::{
    error::{Checked, Error, Result},
    ops::Float,
    tape::{Gradients, Join, Peers, Tape},
    threads::{scope, start_in},
};
use std::{
    ops::Range,
    panic::resume_unwind,
    rc::Rc,
    sync::{
        Arc,
        mpsc::{Receiver, Sender, channel},
    },
};

/// The slots of a step.
pub(crate) struct SlotsInStep<'a> {
    /// Those of each process.
    pub shares: &'a [Range<usize>],
    /// How many examples each has. Those without any don't run.
    pub sizes: &'a [usize],
}

/// What a slot has come to.
enum Event<T: Float> {
    Joins(Vec<f64>, Join),
    Ends(Result<(f64, Values<T>)>),
}

type Numbers = Arc<Vec<f64>>;

/// A slot as its own thread sees it.
struct Slot<T: Float> {
    events: Sender<Event<T>>,
    answers: Receiver<Numbers>,
}

impl<T: Float> Peers for Slot<T> {
    fn join(&self, own: Vec<f64>, join: Join) -> Checked<Vec<f64>> {
        let told = self.events.send(Event::Joins(own, join));
        let answer = told.ok().and_then(|()| self.answers.recv().ok());
        answer.map(|all| all.to_vec()).ok_or_else(|| "another slot of the step has failed".into())
    }
}

/// A slot as the others see it, and what it has moved.
struct Other<T: Float> {
    slot: usize,
    answers: Sender<Numbers>,
    events: Receiver<Event<T>>,
    moved: Values<T>,
}

/// Of slots without examples nothing.
type Subtrees = Tree<Option<Vec<f64>>>;

/// What the slots of a process have come to: the subtrees of their numbers, or their ends.
struct Round {
    /// How many numbers a slot has, too.
    joined: Option<(Subtrees, (Join, usize))>,
}

/// What a message of a round begins with: how numbers are joined, and how many a slot has.
const HEAD: usize = 9;

impl SlotsInStep<'_> {
    /// Computes the own slots, of these batches if there are all: `f` gives a slot's loss and the gradients of its share of
    /// the loss of all.
    pub fn run<T: Float, B: Send>(
        &self,
        sum: &mut SlotSum<'_, T>,
        batches: Result<Vec<(usize, B)>>,
        f: &(impl Fn(&Tape<T>, usize, &B) -> Result<(f64, Gradients<T>)> + Sync),
    ) -> Result<()> {
        let layout = sum.layout;
        scope(|scope| {
            let (mut slots, mut threads) = (Vec::new(), Vec::new());
            let (batches, mut started) = batches.map_or_else(|e| (Vec::new(), Err(e)), |made| (made, Ok(())));
            for (slot, batch) in batches {
                let ((events, ends), (answers, go)) = (channel(), channel());
                let work = move || {
                    if go.recv().is_err() {
                        return;
                    }
                    let tape = Tape::new();
                    tape.set_peers(Rc::new(Slot { events: events.clone(), answers: go }));
                    let made = f(&tape, slot, &batch).map(|(loss, grads)| (loss, layout.gradients(&grads)));
                    let _ = events.send(Event::Ends(made));
                };
                match start_in(scope, format!("kolmo-slot-{slot}"), work) {
                    Ok(thread) => threads.push(thread),
                    Err(e) => {
                        started = Err(Error::custom(format!("there is no thread for slot {slot}: {e}")));
                    }
                }
                slots.push(Other { slot, answers, events: ends, moved: Values::new() });
            }
            // It ends with the ways to the slots, and those that still wait see that.
            let made = self.rounds(sum, slots, started);
            for thread in threads {
                thread.join().unwrap_or_else(|panic| resume_unwind(panic));
            }
            made
        })
    }

    /// From one number of all slots to the next, until all have ended.
    fn rounds<T: Float>(
        &self,
        sum: &mut SlotSum<'_, T>,
        mut slots: Vec<Other<T>>,
        mut well: Result<()>,
    ) -> Result<()> {
        let mut answer = Numbers::default();
        loop {
            let round = match std::mem::replace(&mut well, Ok(())) {
                Ok(()) => self.round(sum, &mut slots, &answer),
                Err(e) => Err(e),
            };
            let told = round.as_ref().map(Round::bytes).map_err(Clone::clone);
            let told = agree(sum.world, told)?;
            let all = told.iter().map(|bytes| bytes.get(..HEAD)).zip(self.shares).enumerate();
            let mut heads = all.filter(|(_, (_, share))| Range::clone(share).any(|slot| self.runs(slot)));
            let first = heads.next().and_then(|(_, (head, _))| head);
            if let Some((rank, _)) = heads.find(|(_, (head, _))| *head != first) {
                return Err(Error::rank(rank, UNEQUAL));
            }
            if first.is_none() {
                break;
            }
            if let Some((_, (join, each))) = round?.joined {
                answer = Arc::new(self.join_all(&told, join, each)?);
            }
        }
        self.push_empty(sum, usize::MAX);
        Ok(())
    }

    fn runs(&self, slot: usize) -> bool {
        self.sizes.get(slot).is_some_and(|&n| n > 0)
    }

    /// Each of the slots goes on, as far as it can.
    fn round<T: Float>(
        &self,
        sum: &mut SlotSum<'_, T>,
        slots: &mut [Other<T>],
        answer: &Numbers,
    ) -> Result<Round> {
        let (mut joins, mut ended) = (Vec::new(), 0);
        for other in &mut *slots {
            sum.move_again(std::mem::take(&mut other.moved));
            let event = other.answers.send(answer.clone()).ok().and_then(|()| other.events.recv().ok());
            match event {
                Some(Event::Joins(own, join)) => {
                    other.moved = sum.moved();
                    joins.push((other.slot, own, join));
                }
                Some(Event::Ends(made)) => {
                    let (loss, gradients) = made?;
                    self.push_empty(sum, other.slot);
                    sum.push_gradients(other.slot, loss, gradients);
                    ended += 1;
                }
                None => return Err(Error::custom(format!("slot {} has panicked", other.slot))),
            }
        }
        let Some((_, own, join)) = joins.first() else { return Ok(Round { joined: None }) };
        let (join, each) = (*join, own.len());
        if ended > 0 || joins.iter().any(|(_, own, other)| *other != join || own.len() != each) {
            return Err(Error::custom(UNEQUAL));
        }
        let (mut tree, mut joins) = (Tree::new(), joins.into_iter().peekable());
        for slot in self.shares.get(sum.layout.rank).cloned().unwrap_or_default() {
            let own = joins.next_if(|(of, ..)| *of == slot).map(|(_, own, _)| own);
            tree.push(slot, 0, own, |a, b| either(a, b, join));
        }
        Ok(Round { joined: Some((tree, (join, each))) })
    }

    /// Adds the slots before one that have no examples.
    fn push_empty<T: Float>(&self, sum: &mut SlotSum<'_, T>, before: usize) {
        let own = self.shares.get(sum.layout.rank).cloned().unwrap_or_default();
        for slot in own.start + sum.losses.len()..own.end.min(before) {
            sum.push_none(slot);
        }
    }

    /// The numbers of all slots, along the tree over them.
    fn join_all(&self, told: &[Vec<u8>], join: Join, each: usize) -> Result<Vec<f64>> {
        let mut tree = Tree::new();
        for (rank, (bytes, share)) in told.iter().zip(self.shares).enumerate() {
            let mut bytes = bytes.get(HEAD..).unwrap_or_default();
            for (start, level) in subtrees(share.clone()) {
                // Of a process whose slots are all empty nothing comes.
                let there = bytes.split_off_first().is_some_and(|there| *there == 1);
                let mut numbers = there.then(|| vec![0.0; each]);
                numbers.iter_mut().try_for_each(|numbers| take(&mut bytes, rank, numbers))?;
                tree.push(start, level, numbers, |a, b| either(a, b, join));
            }
            used_up(bytes, rank)?;
        }
        Ok(tree.total(|a, b| either(a, b, join)).flatten().unwrap_or_default())
    }
}

const UNEQUAL: &str =
    "the slots of a step don't all normalise as often: a loss must not depend on its batch's numbers there";

impl Round {
    /// After the head, of each subtree whether it has numbers, and these; nothing of slots that have ended.
    fn bytes(&self) -> Vec<u8> {
        let Some((tree, (join, each))) = &self.joined else { return Vec::new() };
        let mut bytes = vec![u8::from(*join == Join::Spreads)];
        bytes.extend((*each as u64).to_le_bytes());
        for numbers in tree.nodes() {
            bytes.push(u8::from(numbers.is_some()));
            put(&mut bytes, numbers.as_deref().unwrap_or_default());
        }
        bytes
    }
}

fn either(a: Option<Vec<f64>>, b: Option<Vec<f64>>, join: Join) -> Option<Vec<f64>> {
    match (a, b) {
        (Some(a), Some(b)) => Some(join.of(a, b)),
        (a, b) => a.or(b),
    }
}
