//! A step that several processes make together: the sums of their slots, each process having its part of them;
//! the norm; the optimiser's step for that part; and the weights, which all have again.
use super::{
    agree::agree,
    communicator::Communicator,
    layout::{BLOCK, Layout, put, take, used_up},
    slots::{SlotSum, Values, add},
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
    pub fn of(
        world: &'a dyn Communicator,
        layout: &'a Layout<T>,
        slots: &[Range<usize>],
        own: Result<SlotSum<T>>,
    ) -> Result<Sums<'a, T>> {
        if world.size() == 1 {
            let SlotSum { tree, losses, .. } = own?;
            return Ok(Sums { world, layout, losses, pieces: tree.total(add).unwrap_or_default() });
        }
        let (own, told) = match own {
            Ok(own) => {
                let told = Head::write(&own);
                (Some(own), Ok(told))
            }
            Err(e) => (None, Err(e)),
        };
        let heads = agree(world, told)?;
        let heads = heads
            .iter()
            .zip(slots)
            .enumerate()
            .map(|(rank, (told, slots))| Head::read(rank, told, slots.clone(), layout.len()));
        let heads: Vec<Head> = heads.collect::<Result<_>>()?;
        let losses = heads.iter().flat_map(|head| head.losses.iter().copied()).collect();
        let mut sums = Sums { world, layout, losses, pieces: vec![None; layout.len()] };
        if let Some(own) = own {
            sums.add_up(&heads, &own)?;
        }
        Ok(sums)
    }

    /// Bucket by bucket every process sends each range to its owner, once for each subtree that it has, and
    /// adds up what comes for its own along the rest of the tree.
    fn add_up(&mut self, heads: &[Head], own: &SlotSum<T>) -> Result<()> {
        let (layout, rank) = (self.layout, self.layout.rank);
        let part = |values: &Values<T>, place: usize, range: Range<usize>| -> Option<Vec<T>> {
            let whole = values.get(place)?.as_ref()?.contiguous();
            Some(whole.as_slice()?.get(range)?.to_vec())
        };
        let made = |bucket: Range<usize>, to: usize| {
            let mut bytes = Vec::new();
            for place in bucket {
                for values in own.tree.nodes() {
                    if let Some(Some(whole)) = values.get(place) {
                        let whole = whole.contiguous();
                        let part = whole.as_slice().and_then(|whole| whole.get(layout.range(place, to)));
                        put(&mut bytes, part.unwrap_or_default());
                    }
                }
            }
            bytes
        };
        let pieces = &mut self.pieces;
        layout.exchange(self.world, false, made, |bucket, received| {
            let mut received: Vec<(usize, &[u8])> =
                received.iter().map(|(from, bytes)| (*from, bytes.as_slice())).collect();
            for place in bucket {
                let range = layout.own(place);
                let mut tree = Tree::new();
                let mut messages = received.iter_mut();
                for (from, head) in heads.iter().enumerate() {
                    let message = if from == rank { None } else { messages.next() };
                    let mut values = own.tree.nodes();
                    let mut message = message.map(|(_, bytes)| bytes);
                    for (node, &(start, level)) in head.nodes.iter().enumerate() {
                        let mine = values.next();
                        let value = match &mut message {
                            _ if !head.has(node, place) => None,
                            None => mine.and_then(|values| part(values, place, range.clone())),
                            Some(bytes) => {
                                let mut value = vec![T::default(); range.len()];
                                take(bytes, from, &mut value)?;
                                Some(value)
                            }
                        };
                        tree.push(start, level, value, join);
                    }
                }
                if let Some(Some(sum)) = tree.total(join) {
                    pieces[place] = Some(shaped(sum, &layout.places[place].shape)?);
                }
            }
            received.into_iter().try_for_each(|(from, rest)| used_up(rest, from))
        })
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

/// What a process says of its slots before it sends gradients: losses, and which places each of its subtrees
/// has.
struct Head {
    losses: Vec<f64>,
    nodes: Vec<(usize, u32)>,
    has: Vec<u8>,
    /// Bytes of `has` for each subtree.
    each: usize,
}

impl Head {
    fn write<T: Float>(own: &SlotSum<T>) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, &own.losses);
        for values in own.tree.nodes() {
            let bits = |eight: &[Option<Tensor<T>>]| {
                eight.iter().enumerate().map(|(i, value)| u8::from(value.is_some()) << i).sum::<u8>()
            };
            bytes.extend(values.chunks(8).map(bits));
        }
        bytes
    }

    fn read(rank: usize, mut bytes: &[u8], slots: Range<usize>, places: usize) -> Result<Head> {
        let (mut losses, nodes, each) = (vec![0.0; slots.len()], subtrees(slots), places.div_ceil(8));
        take(&mut bytes, rank, &mut losses)?;
        if bytes.len() != nodes.len() * each {
            let message = format!(
                "says which of its parameters have gradients in {} bytes, expected {}: has it another model?",
                bytes.len(),
                nodes.len() * each
            );
            return Err(Error::rank(rank, message));
        }
        Ok(Head { losses, nodes, has: bytes.to_vec(), each })
    }

    fn has(&self, node: usize, place: usize) -> bool {
        self.has.get(node * self.each + place / 8).is_some_and(|bits| bits >> (place % 8) & 1 == 1)
    }
}
