//! A step that several processes make together: the sums of their slots, each process having its part of
//! them; the norm; the optimiser's step for that part; and the weights, which all have again.
use super::{
    agree::agree,
    communicator::{Communicator, others},
    layout::{BLOCK, Layout, Values, put, take, used_up},
    slots::{SlotSum, Sum},
    tree::{Tree, subtrees},
};
use crate::{
    error::{Error, Result},
    ops::Float,
    optim::{Optimizer, Shard},
    tape::{Gradients, Leaf, NodeId, Tape},
    tensor::{Shape, Tensor},
};
use serde::Serialize;
use std::ops::Range;

/// The sums over all slots of a step, as far as they belong to this process.
pub(crate) struct Sums<'a, T: Float> {
    world: &'a dyn Communicator,
    layout: &'a Layout<T>,
    /// The losses of all slots; of those without examples 0.
    pub losses: Vec<f64>,
    /// Of each place that has a sum, the own range of it.
    pieces: Values<T>,
}

impl<'a, T: Float> Sums<'a, T> {
    /// Adds up what the processes have, of the slots that each of them had. If one of them failed, all do.
    pub fn of(slots: &[Range<usize>], mut own: SlotSum<'a, T>, made: Result<()>) -> Result<Sums<'a, T>> {
        let (world, layout) = (own.world, own.layout);
        if world.size() == 1 {
            made?;
            let pieces = own.trees.into_iter().map(|tree| tree.total(Sum::add)?.tensor()).collect();
            return Ok(Sums { world, layout, losses: own.losses, pieces });
        }
        own.send_rest(made.is_ok())?;
        let mut well = made.is_ok();
        let mut sums = Sums { world, layout, losses: Vec::new(), pieces: vec![None; layout.len()] };
        let ranks = others(layout.rank, layout.size);
        let subtrees: Vec<Vec<(usize, u32)>> = slots.iter().cloned().map(subtrees).collect();
        for bucket in own.buckets.clone() {
            let received = world.finish()?;
            let has = |from: usize| subtrees.get(from).is_some_and(|nodes| !nodes.is_empty());
            // Who has failed sends nothing, and says why below.
            well &= ranks.iter().zip(&received).all(|(&from, bytes)| !bytes.is_empty() || !has(from));
            let mut received: Vec<(usize, &[u8])> =
                ranks.iter().zip(&received).map(|(&from, bytes)| (from, bytes.as_slice())).collect();
            for place in bucket.filter(|_| well) {
                sums.add_up(place, &subtrees, &own, &mut received)?;
            }
            received.into_iter().filter(|_| well).try_for_each(|(from, rest)| used_up(rest, from))?;
        }
        let mut losses = Vec::new();
        put(&mut losses, &own.losses);
        let told = agree(world, made.map(|()| losses))?;
        for (rank, (told, slots)) in told.iter().zip(slots).enumerate() {
            let (mut bytes, mut losses) = (told.as_slice(), vec![0.0f64; slots.len()]);
            take(&mut bytes, rank, &mut losses)?;
            used_up(bytes, rank)?;
            sums.losses.extend(losses);
        }
        Ok(sums)
    }

    /// Adds up what has come for the own range of a place, along the tree over all slots.
    fn add_up(
        &mut self,
        place: usize,
        subtrees: &[Vec<(usize, u32)>],
        own: &SlotSum<'_, T>,
        received: &mut [(usize, &[u8])],
    ) -> Result<()> {
        let (range, mut tree) = (self.layout.own(place), Tree::new());
        let mut messages = received.iter_mut();
        for (from, nodes) in subtrees.iter().enumerate() {
            if from == self.layout.rank {
                for (&(start, level), sum) in nodes.iter().zip(own.trees[place].nodes()) {
                    let part =
                        sum.settled().and_then(|sum| Some(sum.as_slice()?.get(range.clone())?.to_vec()));
                    tree.push(start, level, part, join);
                }
                continue;
            }
            let Some((_, bytes)) = messages.next() else { continue };
            let Some((has, rest)) = bytes.split_at_checked(nodes.len()) else {
                return Err(Error::rank(from, "sent too little: has it another model?"));
            };
            *bytes = rest;
            for (&(start, level), &has) in nodes.iter().zip(has) {
                let mut part = (has == 1).then(|| vec![T::default(); range.len()]);
                part.iter_mut().try_for_each(|part| take(bytes, from, part))?;
                tree.push(start, level, part, join);
            }
        }
        if let (Some(sum), Some(piece)) = (tree.total(join).flatten(), self.pieces.get_mut(place)) {
            *piece = Some(shaped(sum, &self.layout.places[place].shape)?);
        }
        Ok(())
    }

    /// The 2-norm of all gradients together: squares are added up block by block, the blocks in their order.
    pub fn norm(&self) -> Result<f64> {
        let mut own = Vec::new();
        for i in self.gradients() {
            let piece = self.pieces[i].as_ref().map(Tensor::contiguous);
            let piece = piece.as_ref().and_then(Tensor::as_slice).unwrap_or_default();
            let blocks = piece.chunks(BLOCK);
            own.extend(blocks.map(|block| block.iter().map(|v| v.to_f64() * v.to_f64()).sum::<f64>()));
        }
        let mut bytes = Vec::new();
        put(&mut bytes, &own);
        let all = agree(self.world, Ok(bytes))?;
        let mut all: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
        let mut sum = 0.0;
        for i in self.gradients() {
            let mut squares = 0.0;
            for owner in self.layout.owners(i) {
                for _ in 0..self.layout.range(i, owner).len().div_ceil(BLOCK) {
                    let mut block = [0.0f64];
                    if let Some(bytes) = all.get_mut(owner) {
                        take(bytes, owner, &mut block)?;
                    }
                    squares += block[0];
                }
            }
            sum += squares;
        }
        Ok(sum.sqrt())
    }

    /// Scales all gradients down to a norm, as [`Gradients::clip_norm`] does.
    pub fn clip_norm(&mut self, most: f64) -> Result<()> {
        let factor = most / (self.norm()? + 1e-6);
        if factor < 1.0 || factor.is_nan() {
            let factor = T::from_f64(factor);
            for i in Vec::from_iter(self.gradients()) {
                if let Some(piece) = &mut self.pieces[i] {
                    piece.as_mut_slice().iter_mut().for_each(|v| *v = *v * factor);
                }
            }
        }
        Ok(())
    }

    /// The places that have a gradient.
    fn gradients(&self) -> impl Iterator<Item = usize> {
        let places = self.layout.places.iter().zip(&self.pieces).enumerate();
        places.filter(|(_, (place, piece))| place.trained && piece.is_some()).map(|(i, _)| i)
    }

    /// Lets a function change the gradients: it sees all of them, so all are sent to everybody.
    pub fn change(&mut self, tape: &Tape<T>, f: impl FnOnce(&mut Gradients<T>) -> Result<()>) -> Result<()> {
        let (layout, trained) = (self.layout, Vec::from_iter(self.gradients()));
        let mut whole: Values<T> = vec![None; layout.len()];
        for &i in &trained {
            let mut sum = Tensor::zeros(&layout.places[i].shape);
            let own = self.pieces[i].iter().filter_map(Tensor::as_slice).flatten();
            let target = sum.as_mut_slice().get_mut(layout.own(i)).unwrap_or_default();
            target.iter_mut().zip(own).for_each(|(v, own)| *v = *own);
            whole[i] = Some(sum);
        }
        let own = |i: usize, bytes: &mut Vec<u8>| {
            put(bytes, self.pieces[i].as_ref().and_then(Tensor::as_slice).unwrap_or_default());
        };
        spread(self.world, layout, &trained, own, |i, range, from, bytes| match &mut whole[i] {
            Some(sum) => take(bytes, from, sum.as_mut_slice().get_mut(range).unwrap_or_default()),
            None => Ok(()),
        })?;
        let leaf = |(i, grad): (usize, Option<Tensor<T>>)| {
            let param = Some(layout.places[i].param.id());
            grad.map(|grad| Leaf { node: NodeId::NONE, param, grad })
        };
        let leaves = whole.into_iter().enumerate().filter_map(leaf).collect();
        let mut grads = Gradients::new(tape, Vec::new(), leaves);
        let changed = f(&mut grads);
        agree(self.world, changed.map(|()| Vec::new()))?;
        for i in trained {
            let place = &layout.places[i];
            let whole = grads.param(&place.param).map(Tensor::contiguous);
            let own = whole.as_ref().and_then(|whole| whole.as_slice()?.get(layout.own(i)));
            self.pieces[i] = own.map(|own| shaped(own.to_vec(), &place.shape)).transpose()?;
        }
        Ok(())
    }

    /// The optimiser's step, and the mean over `used` slots of what they moved: this process's part of both,
    /// and then those of the others.
    pub fn step<M: Serialize + ?Sized, O: Optimizer<T>>(
        mut self,
        model: &M,
        optimizer: &mut O,
        used: usize,
    ) -> Result<()> {
        let layout = self.layout;
        let (mut shard, mut changed) = (Shard::new(), Vec::new());
        for (i, place) in layout.places.iter().enumerate() {
            let Some(piece) = self.pieces[i].take() else { continue };
            changed.push(i);
            if place.trained {
                shard.push(&place.param, layout.own(i), piece);
                continue;
            }
            place.param.update(|value| {
                let own = value.as_mut_slice().get_mut(layout.own(i)).unwrap_or_default();
                let mean = piece.as_slice().unwrap_or_default().iter().map(|v| v.to_f64() / used as f64);
                own.iter_mut().zip(mean).for_each(|(v, mean)| *v = T::from_f64(mean));
            });
        }
        optimizer.step_shard(model, &shard)?;
        let own = |i: usize, bytes: &mut Vec<u8>| {
            let value = layout.places[i].param.value().contiguous();
            let own = value.as_slice().and_then(|value| value.get(layout.own(i)));
            put(bytes, own.unwrap_or_default());
        };
        spread(self.world, layout, &changed, own, |i, range, from, bytes| {
            layout.places[i].param.update(|value| {
                let theirs = value.as_mut_slice().get_mut(range);
                take(bytes, from, theirs.unwrap_or_default())
            })
        })
    }
}

/// Sends the own ranges of some places, in their order, to all others, and takes in theirs.
fn spread<T: Float>(
    world: &dyn Communicator,
    layout: &Layout<T>,
    places: &[usize],
    own: impl Fn(usize, &mut Vec<u8>),
    mut put_in: impl FnMut(usize, Range<usize>, usize, &mut &[u8]) -> Result<()>,
) -> Result<()> {
    if layout.size == 1 {
        return Ok(());
    }
    let within = |bucket: Range<usize>| places.iter().copied().filter(move |place| bucket.contains(place));
    let made = |bucket: Range<usize>, _| {
        let mut bytes = Vec::new();
        within(bucket).for_each(|place| own(place, &mut bytes));
        bytes
    };
    layout.exchange(world, true, made, |bucket, received| {
        for (from, bytes) in &received {
            let mut rest = bytes.as_slice();
            for place in within(bucket.clone()) {
                put_in(place, layout.range(place, *from), *from, &mut rest)?;
            }
            used_up(rest, *from)?;
        }
        Ok(())
    })
}

/// A tensor of a parameter's shape, if it is all of it.
fn shaped<T: Float>(values: Vec<T>, whole: &Shape) -> Result<Tensor<T>> {
    if values.len() == whole.numel() {
        Tensor::new(whole, values)
    } else {
        Tensor::new([values.len()], values)
    }
}

fn join<T: Float>(a: Option<Vec<T>>, b: Option<Vec<T>>) -> Option<Vec<T>> {
    match (a, b) {
        (Some(mut a), Some(b)) => {
            a.iter_mut().zip(b).for_each(|(a, b)| *a = *a + b);
            Some(a)
        }
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        distributed::{Alone, Local},
        param::Param,
        tape::Random,
    };

    /// The bits of the norm of a gradient of many blocks, which one process has.
    fn norm(world: &dyn Communicator) -> Result<u64> {
        let stream = Random::new(1);
        let p: Param<f64> = Param::new(Tensor::from_fn([50 * BLOCK + 7], |i| stream.normal_at(i as u64)));
        let (layout, tape) = (Layout::of(&p, world), Tape::new());
        let slots: Vec<Range<usize>> = (0..world.size()).map(|rank| rank.min(1)..1).collect();
        let mut sum = SlotSum::new(world, &layout);
        if world.rank() == 0 {
            sum.push(0, 1.0, &tape.param(&p).square().sum(), true)?;
        }
        Ok(Sums::of(&slots, sum, Ok(()))?.norm()?.to_bits())
    }

    #[test]
    fn a_norm_is_the_same_whoever_adds_which_squares() {
        let alone = norm(&Alone).unwrap();
        // Blocks begin elsewhere in the order of ranks for some of them.
        for size in [2, 3, 5, 8] {
            assert_eq!(Local::run(size, |world| norm(&world)).unwrap(), vec![alone; size], "{size}");
        }
    }
}
