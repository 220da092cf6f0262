//! What the slots of one process add up to: gradients, losses, and what was moved by being used. What is
//! ready while the last of them is still swept is sent then.
use super::{
    communicator::{Bytes, Communicator, others},
    layout::{Layout, Values, put},
    tree::Tree,
};
use crate::{
    error::Result,
    kernels::accumulate,
    ops::Float,
    tape::{Gradients, Leaf, Parts, Random, Var},
    tensor::Tensor,
};
use std::ops::Range;

/// The random numbers of a slot of a step of a run.
pub(crate) fn random_of(run: Random, step: u64, slot: usize) -> Random {
    Random::new(Random::new(run.bits_at(step)).bits_at(slot as u64))
}

/// The sums of the slots so far, which come in their order.
pub(crate) struct SlotSum<'a, T: Float> {
    pub(super) world: &'a dyn Communicator,
    pub(super) layout: &'a Layout<T>,
    /// By the places of the layout.
    pub(super) trees: Vec<Tree<Sum<T>>>,
    /// One for each slot; of one without examples 0.
    pub(super) losses: Vec<f64>,
    /// What no optimiser changes, as it was before the step: each slot finds it so.
    before: Values<T>,
    pub(super) buckets: Vec<Range<usize>>,
    /// How many of the buckets are on their way.
    sent: usize,
}

impl<'a, T: Float> SlotSum<'a, T> {
    pub fn new(world: &'a dyn Communicator, layout: &'a Layout<T>) -> SlotSum<'a, T> {
        let before = layout.places.iter().map(|place| (!place.trained).then(|| place.param.value()));
        SlotSum {
            world,
            layout,
            trees: layout.places.iter().map(|_| Tree::new()).collect(),
            losses: Vec::new(),
            before: before.collect(),
            buckets: if layout.size > 1 { layout.buckets() } else { Vec::new() },
            sent: 0,
        }
    }

    /// Adds a slot that has no examples.
    pub fn push_none(&mut self, slot: usize) {
        self.losses.push(0.0);
        self.trees.iter_mut().for_each(|tree| tree.push(slot, 0, Sum::None, Sum::add));
    }

    /// Adds a slot: its loss, and the gradients of its share of the loss of all. The sums are ready with the
    /// last one.
    pub fn push(&mut self, slot: usize, loss: f64, share: &Var<'_, T>, last: bool) -> Result<()> {
        if !last || self.buckets.is_empty() {
            let grads = share.backward()?;
            self.push_gradients(slot, loss, self.layout.gradients(&grads));
            return Ok(());
        }
        let moved = self.moved();
        // A bucket is ready when the sweep has passed the first use of each of its parameters.
        let (uses, mut floor) = (share.tape().first_uses(), usize::MAX);
        let ready = self.buckets.iter().map(|bucket| {
            let used = self.layout.places[bucket.clone()].iter().filter_map(|p| uses.get(&p.param.id()));
            floor = used.copied().min().unwrap_or(floor).min(floor);
            floor
        });
        let floors: Vec<usize> = ready.chain([0]).collect();
        let mut before = |part: usize, leaves: &[Leaf<T>]| {
            while self.sent < part {
                self.bucket(slot, &moved, |id| {
                    let leaf = leaves.iter().find(|leaf| leaf.param == Some(id));
                    leaf.map(|leaf| leaf.grad.contiguous())
                })?;
            }
            Ok(())
        };
        let grads = share.backward_in(Parts { floors: &floors, before: &mut before })?;
        let of = |grads: &Gradients<T>, id| grads.by_id(id).map(Tensor::contiguous);
        while self.sent < self.buckets.len() {
            self.bucket(slot, &moved, |id| of(&grads, id))?;
        }
        self.losses.push(loss);
        Ok(())
    }

    /// Adds a slot: its loss, and the gradients of its share of the loss of all.
    pub(super) fn push_gradients(&mut self, slot: usize, loss: f64, gradients: Values<T>) {
        for (place, (gradient, moved)) in gradients.into_iter().zip(self.moved()).enumerate() {
            self.join(slot, place, gradient.or(moved));
        }
        self.losses.push(loss);
    }

    /// What a slot has moved, which is then as it was.
    pub(super) fn moved(&self) -> Values<T> {
        let moved = self.layout.places.iter().zip(&self.before).map(|(place, before)| {
            let before = before.as_ref()?;
            let now = Some(place.param.value()).filter(|now| !now.shares_data(before))?;
            place.param.set(before.clone());
            Some(now).filter(|now| now.shape() == before.shape())
        });
        moved.collect()
    }

    /// Puts back what a slot has moved.
    pub(super) fn move_again(&self, moved: Values<T>) {
        for (place, moved) in self.layout.places.iter().zip(moved) {
            moved.into_iter().for_each(|moved| place.param.set(moved));
        }
    }

    fn join(&mut self, slot: usize, place: usize, value: Option<Tensor<T>>) {
        if let Some(tree) = self.trees.get_mut(place) {
            tree.push(slot, 0, value.map_or(Sum::None, Sum::One), Sum::add);
        }
    }

    /// Adds the last slot's part of the next bucket, and sends it.
    fn bucket(
        &mut self,
        slot: usize,
        moved: &Values<T>,
        grad: impl Fn(crate::param::ParamId) -> Option<Tensor<T>>,
    ) -> Result<()> {
        let bucket = self.buckets.get(self.sent).cloned().unwrap_or_default();
        for place in bucket {
            let p = &self.layout.places[place];
            let value = if p.trained { grad(p.param.id()) } else { moved.get(place).cloned().flatten() };
            self.join(slot, place, value);
        }
        self.send(true)
    }

    /// Sends the buckets that are left: of a process that failed they are empty.
    pub fn send_rest(&mut self, well: bool) -> Result<()> {
        while self.sent < self.buckets.len() {
            self.send(well)?;
        }
        Ok(())
    }

    /// Begins to send the next bucket: for each parameter which subtrees have a sum, and of these the range
    /// of whoever it goes to.
    fn send(&mut self, well: bool) -> Result<()> {
        let bucket = self.buckets.get(self.sent).cloned().unwrap_or_default();
        self.sent += 1;
        let ranks = others(self.layout.rank, self.layout.size);
        for tree in self.trees.get_mut(bucket.clone()).unwrap_or_default() {
            tree.each(Sum::settle);
        }
        let message = |to: usize| {
            let mut bytes = Vec::new();
            for place in bucket.clone().filter(|_| well) {
                let sums = || self.trees[place].nodes().map(Sum::settled);
                bytes.extend(sums().map(|sum| u8::from(sum.is_some())));
                for sum in sums().flatten() {
                    let part = sum.as_slice().and_then(|sum| sum.get(self.layout.range(place, to)));
                    put(&mut bytes, part.unwrap_or_default());
                }
            }
            (to, Bytes::new(bytes))
        };
        self.world.start(ranks.iter().map(|&to| message(to)).collect(), ranks.clone())
    }
}

/// Elements up to which two tensors wait for two others, to be added in one pass.
const SMALL: usize = 1 << 20;

/// The sum of a subtree, perhaps one of two tensors that have not been added yet.
pub(super) enum Sum<T: Float> {
    None,
    One(Tensor<T>),
    Two(Tensor<T>, Tensor<T>),
}

impl<T: Float> Sum<T> {
    pub fn add(self, other: Sum<T>) -> Sum<T> {
        match (self, other) {
            (sum, Sum::None) | (Sum::None, sum) => sum,
            (Sum::One(a), Sum::One(b)) if a.numel() <= SMALL => Sum::Two(a, b),
            (Sum::Two(a, b), Sum::Two(c, d)) => Sum::One(accumulate::add_four(a, [b, c, d])),
            (a, b) => match (a.tensor(), b.tensor()) {
                (Some(a), Some(b)) => Sum::One(accumulate::add(a, &b)),
                (a, b) => a.or(b).map_or(Sum::None, Sum::One),
            },
        }
    }

    pub fn tensor(self) -> Option<Tensor<T>> {
        match self {
            Sum::None => None,
            Sum::One(sum) => Some(sum),
            Sum::Two(a, b) => Some(accumulate::add(a, &b)),
        }
    }

    /// Adds what has not been added yet.
    fn settle(&mut self) {
        *self = std::mem::replace(self, Sum::None).tensor().map_or(Sum::None, Sum::One);
    }

    /// The sum, after [`settle`](Sum::settle).
    pub fn settled(&self) -> Option<&Tensor<T>> {
        if let Sum::One(sum) = self { Some(sum) } else { None }
    }
}
