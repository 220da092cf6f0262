//! One node's turn in a sweep, as its rule sees it.
use super::{
    ids::{EXTRA, NodeId, OUTPUT, StatementId},
    parts::{Node, Step, Tape, TapeFloat, Var},
    watch::Place,
};
use crate::{
    error::{Checked, Error},
    tensor::{Shape, Tensor},
};
use std::borrow::Cow;

impl<'t, T: TapeFloat> Step<'_, 't, T> {
    /// The tape.
    pub fn tape(&self) -> &'t Tape<T> {
        self.tape
    }

    /// The gradient of the result.
    pub fn grad(&self) -> &Var<'t, T> {
        &self.grad
    }

    /// The gradient of the result, for rules that need it once: afterwards it is gone.
    #[inline]
    pub(crate) fn take_grad(&mut self) -> Var<'t, T> {
        let gone = Var::new(self.tape, Tensor::full([0], T::default()), NodeId::NONE);
        std::mem::replace(&mut self.grad, gone)
    }

    /// Whether the gradient of an operand is wanted.
    #[inline]
    pub fn wants(&self, input: usize) -> bool {
        match self.node.inputs.get(input) {
            Some(&n) => n != NodeId::NONE && (self.sweep.needed.is_empty() || self.sweep.needed[n.place()]),
            None => false,
        }
    }

    /// Whether two operands are one value.
    pub(crate) fn same(&self, a: usize, b: usize) -> bool {
        let node = |i: usize| self.node.inputs.get(i).filter(|&&n| n != NodeId::NONE);
        node(a).is_some_and(|n| node(b) == Some(n))
    }

    /// Says that the rule holds so many bytes for a while.
    pub(crate) fn note_again(&self, bytes: impl FnOnce() -> usize) {
        if self.sweep.observed {
            self.tape.note_again(self.index, bytes());
        }
    }

    /// Whether the rule's own operations are recorded, to be differentiated again.
    pub(crate) fn graph(&self) -> bool {
        self.sweep.graph
    }

    /// Gives an operand the gradient that reads the positions of this node; a program that finds these anew
    /// finds them for both.
    pub(crate) fn give_by_positions(&mut self, input: usize, grad: Var<'t, T>) {
        if self.sweep.graph {
            self.tape.note_follower(&grad, self.index);
        }
        self.give(input, grad);
    }

    /// An operand that the rule said it keeps.
    pub fn input(&self, input: usize) -> Var<'t, T> {
        self.kept(input as u8, self.node.inputs.get(input).copied().unwrap_or(NodeId::NONE))
    }

    /// The result, if the rule said it keeps it.
    pub fn output(&self) -> Var<'t, T> {
        self.kept(OUTPUT, self.index)
    }

    /// What the rule kept beside operands and result, to be written over: no copy, if it is freed now anyway.
    pub(crate) fn take_beside(&mut self) -> Option<Tensor<T>> {
        let mut kept = self.tape.tensors.kept.borrow_mut();
        let values = kept.get_mut(self.node.kept_range()).unwrap_or_default();
        let (_, value) = values.iter_mut().find(|(slot, _)| *slot == EXTRA)?;
        let value = if self.sweep.free { value.take() } else { value.clone() };
        value.map(whole)
    }

    /// The gradient of an operand so far, for a rule that goes on with the sum and gives the whole.
    pub(crate) fn take_sum(&mut self, input: usize) -> Option<Tensor<T>> {
        if !self.wants(input) || self.sweep.graph || self.sweep.observed {
            return None;
        }
        let target = self.node.inputs.get(input)?;
        let adjoint = self.sweep.adjoints.get_mut(target.place()).and_then(Option::take)?;
        self.sweep.pending -= 1;
        Some(adjoint.value)
    }

    #[inline]
    fn kept(&self, slot: u8, node: NodeId) -> Var<'t, T> {
        let kept = self.tape.tensors.kept.borrow();
        let values = kept.get(self.node.kept_range()).unwrap_or_default();
        match values.iter().find(|(s, _)| *s == slot) {
            Some((_, Some(value))) => {
                let id = if self.sweep.graph { node } else { NodeId::NONE };
                Var::new(self.tape, whole(value.clone()), id)
            }
            _ => self.tape.fail_op("backward", "a value that the rule reads was not kept", &[]),
        }
    }

    /// The shape of an operand that is recorded.
    pub(crate) fn input_shape(&self, input: usize) -> Shape {
        let node = self.node.inputs.get(input).copied().unwrap_or(NodeId::NONE);
        with_node(self.tape, self.before, node, |n| n.shape.clone()).unwrap_or_default()
    }

    /// Whether this is the shape of an operand that is recorded.
    pub(crate) fn has_shape(&self, input: usize, shape: &Shape) -> bool {
        let node = self.node.inputs.get(input).copied().unwrap_or(NodeId::NONE);
        with_node(self.tape, self.before, node, |n| n.shape == *shape).unwrap_or(false)
    }

    /// The number of operands.
    pub(crate) fn inputs(&self) -> usize {
        self.node.inputs.len()
    }

    /// Adds to the gradient of an operand. Ignored if it is not wanted.
    #[inline]
    pub fn give(&mut self, input: usize, grad: Var<'t, T>) {
        if self.wants(input) {
            let target = self.node.inputs[input];
            self.sweep.add(self.tape, target, grad, self.before, self.node);
        }
    }

    /// Adds to the gradient of an operand in place: many slices of one tensor don't cost a whole gradient
    /// each. False if the gradient must be a value of its own, and nothing was done.
    #[must_use]
    pub(crate) fn give_in_place(
        &mut self,
        input: usize,
        grad: &Var<'t, T>,
        add: impl FnOnce(&Tensor<T>, &mut Tensor<T>) -> Checked<()>,
    ) -> bool {
        let apart = self.sweep.graph || self.sweep.observed || self.tape.settings.anomalies.get();
        if apart || grad.failed_id().is_some() {
            return false;
        }
        if !self.wants(input) {
            return true;
        }
        let shape = self.input_shape(input);
        match self.sweep.in_place(self.node.inputs[input], shape) {
            Some(adjoint) => add(grad.tensor(), adjoint).is_ok(),
            None => false,
        }
    }

    /// Adds to the adjoint of a scalar statement.
    pub(crate) fn give_scalar(&mut self, id: StatementId, grad: T) {
        if self.sweep.observed {
            self.tape.note_flow(self.node.statement, Place::Statement(id), None, Tensor::scalar(grad));
        }
        if let Some(slot) = self.sweep.scalars.get_mut(id.place()) {
            *slot = *slot + grad;
        }
    }

    /// The adjoint of this node's own statement, for nodes whose result is a scalar.
    pub(crate) fn scalar_grad(&self) -> T {
        self.sweep.scalars.get(self.node.statement.place()).copied().unwrap_or(T::constant(0.0))
    }

    /// Adds to one element of the gradient of an operand.
    pub(crate) fn give_element(&mut self, input: usize, position: usize, grad: T) {
        if !self.wants(input) {
            return;
        }
        let target = self.node.inputs[input];
        if self.sweep.observed {
            let to = Place::Node(target);
            self.tape.note_flow(self.node.statement, to, Some(position), Tensor::scalar(grad));
        }
        let shape = self.input_shape(input);
        let adjoint = self.sweep.in_place(target, shape);
        if let Some(element) = adjoint.and_then(|adjoint| adjoint.as_mut_slice().get_mut(position)) {
            *element = *element + grad;
        }
    }

    /// Ends the sweep with an error.
    pub(crate) fn fail(&mut self, error: Error) {
        self.sweep.error.get_or_insert(error);
    }
}

/// Looks at a node, in the part of the table that is at hand or in the tape's.
pub(super) fn with_node<T: TapeFloat, R>(
    tape: &Tape<T>,
    at_hand: &[Node<T>],
    node: NodeId,
    f: impl Fn(&Node<T>) -> R,
) -> Option<R> {
    match at_hand.get(node.place()) {
        Some(n) => Some(f(n)),
        None => tape.tensors.nodes.borrow().get(node.place()).map(f),
    }
}

/// A value as numbers in memory, if it was kept in halves.
#[inline]
fn whole<T: TapeFloat>(value: Tensor<T>) -> Tensor<T> {
    if value.is_in_halves() { spread(&value) } else { value }
}

#[cold]
fn spread<T: TapeFloat>(halves: &Tensor<T>) -> Tensor<T> {
    halves.in_memory().map_or_else(Tensor::lacking, Cow::into_owned)
}
