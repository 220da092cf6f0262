//! What one of several processes has of the gradients of a model, where each changes a part of every parameter.
use crate::{ids::IdMap, ops::Float, param::Param, tensor::Tensor};
use std::ops::Range;

/// Of each parameter that has a gradient a range of its elements, in the order of its memory, with their
/// gradients: what one of several processes changes, and remembers, of a model
/// ([ZeRO](https://arxiv.org/abs/1910.02054), first stage).
#[derive(Clone, Debug)]
pub struct Shard<T: Float = f32> {
    pieces: IdMap<(Range<usize>, Tensor<T>)>,
}

impl<T: Float> Shard<T> {
    pub(crate) fn new() -> Shard<T> {
        Shard { pieces: IdMap::default() }
    }

    /// Adds a range of a parameter, and its gradients: of the parameter's shape if it is all of it.
    pub(crate) fn push(&mut self, p: &Param<T>, range: Range<usize>, grad: Tensor<T>) {
        self.pieces.insert(p.id(), (range, grad));
    }

    /// The range of a parameter's elements, and their gradients, of shape `[range.len()]`, or the parameter's
    /// if it is all of it. `None` if the parameter has no gradient; the range may be empty.
    pub fn param(&self, p: &Param<T>) -> Option<(Range<usize>, &Tensor<T>)> {
        self.pieces.get(&p.id()).map(|(range, grad)| (range.clone(), grad))
    }
}
