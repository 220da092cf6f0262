//! What a tape shows to whoever looks on.
use super::{
    ids::NodeId,
    parts::{Op, Rule, Tape, TapeFloat, TensorTape, Var},
    witness::Witness,
};
use crate::{ids::ParamId, tensor::Tensor};
use std::rc::Rc;

/// Puts back who looked on before, however what is looked at ends.
struct Before<'t, T: TapeFloat>(&'t Tape<T>, Option<Rc<dyn Witness<T>>>);

impl<T: TapeFloat> Drop for Before<'_, T> {
    fn drop(&mut self) {
        self.0.settings.witnessed.set(self.1.is_some());
        self.0.tensors.witness.replace(self.1.take());
    }
}

impl<T: TapeFloat> TensorTape<T> {
    #[cold]
    fn witness(&self) -> Option<Rc<dyn Witness<T>>> {
        self.witness.borrow().clone()
    }
}

impl<T: TapeFloat> Tape<T> {
    /// Runs `f` while somebody looks on.
    pub(crate) fn witnessed<R>(&self, witness: Rc<dyn Witness<T>>, f: impl FnOnce() -> R) -> R {
        let before = self.tensors.witness.replace(Some(witness));
        self.settings.witnessed.set(true);
        let _before = Before(self, before);
        f()
    }

    #[inline]
    pub(crate) fn show_param(&self, id: ParamId, value: &Var<'_, T>) {
        if self.settings.witnessed.get()
            && let Some(witness) = self.tensors.witness()
        {
            witness.param(id, value.tensor());
        }
    }

    /// An operation that will have the node `next`.
    #[inline]
    pub(super) fn show_recorded(&self, rule: &dyn Rule<T>, inputs: &[&Var<'_, T>], next: NodeId) {
        if self.settings.witnessed.get() {
            self.show_product(rule, inputs, Some(next));
            self.show_rows(rule, inputs, next);
        }
    }

    /// An operation that isn't recorded. Rows of a constant that is looked at are put on the tape, so that
    /// they have adjoints.
    #[inline]
    #[track_caller]
    pub(super) fn show_computed(
        &self,
        rule: &dyn Rule<T>,
        inputs: &[&Var<'_, T>],
        y: &Tensor<T>,
    ) -> Option<Var<'_, T>> {
        if !self.settings.witnessed.get() {
            return None;
        }
        self.show_product(rule, inputs, None);
        self.show_lookup(rule, inputs, y)
    }

    #[cold]
    fn show_product(&self, rule: &dyn Rule<T>, inputs: &[&Var<'_, T>], node: Option<NodeId>) {
        if let (Some(witness), [x, w, ..]) = (self.tensors.witness(), inputs)
            && let Some((x, w)) = rule.rows_and_weight(x.tensor(), w.tensor())
        {
            witness.product(&x, &w, node);
        }
    }

    /// Rows that are looked up, and their node.
    #[cold]
    fn show_rows(&self, rule: &dyn Rule<T>, inputs: &[&Var<'_, T>], node: NodeId) {
        if rule.looks_up()
            && let (Some(witness), [w, ..]) = (self.tensors.witness(), inputs)
        {
            witness.lookup(w.tensor(), Some(node));
        }
    }

    #[cold]
    #[track_caller]
    fn show_lookup(&self, rule: &dyn Rule<T>, inputs: &[&Var<'_, T>], y: &Tensor<T>) -> Option<Var<'_, T>> {
        if !rule.looks_up() {
            return None;
        }
        let (witness, w) = (self.tensors.witness()?, inputs.first()?.tensor());
        if !witness.knows(w) {
            return None;
        }
        if !self.is_recording() {
            witness.lookup(w, None);
            return None;
        }
        let leaf = self.leaf(Op::Input, y.clone());
        witness.lookup(w, Some(leaf.node()?));
        Some(leaf)
    }

    #[inline]
    pub(super) fn show_adjoint(&self, node: NodeId, grad: &Tensor<T>) {
        if self.settings.witnessed.get()
            && let Some(witness) = self.tensors.witness()
        {
            witness.adjoint(node, grad);
        }
    }
}
