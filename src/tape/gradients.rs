//! What `backward` gives: plain tensors by variable or parameter, plain numbers by scalar.
use super::parts::{Gradients, Stash, Tape, TapeFloat, TapeNumber, TensorPart, Var};
use crate::{ids::ParamId, tensor::Tensor};
use std::{
    cell::{Cell, RefCell},
    fmt,
};

impl<T: TapeNumber> Default for Stash<T> {
    fn default() -> Self {
        Stash { scalars: RefCell::default(), local: RefCell::default(), leaves: RefCell::default() }
    }
}

impl<T: TapeNumber> Stash<T> {
    /// `n` zeros.
    pub(crate) fn scalars(&self, n: usize) -> Vec<T> {
        let mut scalars = self.scalars.take();
        scalars.clear();
        scalars.resize(n, T::constant(0.0));
        scalars
    }
}

impl<T: TapeNumber> Gradients<T> {
    pub(crate) fn new(
        tape: &Tape<T>,
        scalars: Vec<T>,
        leaves: <T::Tensors as TensorPart<T>>::Leaves,
    ) -> Gradients<T> {
        Gradients { epoch: tape.epoch(), scalars, leaves, cursor: Cell::new(0), stash: tape.stash.clone() }
    }
}

impl<T: TapeFloat> Gradients<T> {
    /// The gradient with respect to an input; `None` if the result doesn't depend on it or it is no input.
    #[must_use]
    pub fn get(&self, x: &Var<'_, T>) -> Option<&Tensor<T>> {
        let node = x.node().filter(|_| x.tape().epoch() == self.epoch)?;
        self.leaves.iter().find(|leaf| leaf.node == node).map(|leaf| &leaf.grad)
    }

    /// Parameters are mostly asked for in one order, so the search starts where the last one ended.
    pub(crate) fn by_id(&self, id: ParamId) -> Option<&Tensor<T>> {
        let (n, start) = (self.leaves.len(), self.cursor.get());
        (0..n).map(|i| (start + i) % n).find(|&i| self.leaves[i].param == Some(id)).map(|i| {
            self.cursor.set(i + n - 1);
            &self.leaves[i].grad
        })
    }
}

impl<T: TapeNumber> fmt::Debug for Gradients<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gradients(")?;
        T::Tensors::describe(&self.leaves, f)?;
        write!(f, "{} scalar adjoints)", self.scalars.len())
    }
}

impl<T: TapeNumber> Drop for Gradients<T> {
    fn drop(&mut self) {
        self.stash.scalars.replace(std::mem::take(&mut self.scalars));
        T::Tensors::recycle(&mut self.leaves, &self.stash);
    }
}
