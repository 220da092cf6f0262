//! What the slots of one process add up to: gradients, losses, and what was moved by being used.
use super::{
    layout::{Layout, Place},
    tree::Tree,
};
use crate::{
    kernels::accumulate,
    ops::Float,
    tape::{Gradients, Random},
    tensor::Tensor,
};

/// By the places of a layout.
pub(super) type Values<T> = Vec<Option<Tensor<T>>>;

/// The random numbers of a slot of a step of a run.
pub(crate) fn random_of(run: Random, step: u64, slot: usize) -> Random {
    Random::new(Random::new(run.bits_at(step)).bits_at(slot as u64))
}

/// The sums of the slots so far, which come in their order.
pub(crate) struct SlotSum<T: Float> {
    pub(super) tree: Tree<Values<T>>,
    /// One for each slot; of one without examples 0.
    pub(super) losses: Vec<f64>,
    /// What no optimiser changes, as it was before the step: each slot finds it so.
    before: Values<T>,
}

impl<T: Float> SlotSum<T> {
    pub fn new(layout: &Layout<T>) -> SlotSum<T> {
        let before = layout.places.iter().map(|place| (!place.trained).then(|| place.param.value()));
        SlotSum { tree: Tree::new(), losses: Vec::new(), before: before.collect() }
    }

    /// Adds a slot with its loss and its share of the gradients; or one that has no examples.
    pub fn push(&mut self, layout: &Layout<T>, slot: usize, made: Option<(f64, Gradients<T>)>) {
        let Some((loss, grads)) = made else {
            self.losses.push(0.0);
            return self.tree.push(slot, 0, layout.places.iter().map(|_| None).collect(), add);
        };
        let value = |(place, before): (&Place<T>, &Option<Tensor<T>>)| {
            let Some(before) = before else { return grads.param(&place.param).map(Tensor::contiguous) };
            let moved = Some(place.param.value()).filter(|now| !now.shares_data(before));
            if moved.is_some() {
                place.param.set(before.clone());
            }
            moved.filter(|moved| moved.shape() == before.shape())
        };
        let values = layout.places.iter().zip(&self.before).map(value).collect();
        drop(grads);
        self.losses.push(loss);
        self.tree.push(slot, 0, values, add);
    }
}

pub(super) fn add<T: Float>(a: Values<T>, b: Values<T>) -> Values<T> {
    let both = |(a, b)| match (a, b) {
        (Some(a), Some(b)) => Some(accumulate::add(a, &b)),
        (a, b) => a.or(b),
    };
    a.into_iter().zip(b).map(both).collect()
}
