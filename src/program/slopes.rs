//! The derivative of a program as operations of its own: the sweep of one example, recorded behind the
//! program, so that it can be run for many examples at once.
use super::{
    derivative::{Derivative, Slopes, takes},
    operand::Operand,
    plan::Part,
    record::operands_of,
    run::Program,
};
use crate::{
    error::{Error, Result},
    ids::ParamId,
    ops::{
        Float,
        list::{ShapeOp, TensorOp},
    },
    tape::{Choice, Node, NodeId, Op, Trace, Var},
    tensor::Tensor,
};

impl<T: Float> Program<T> {
    /// The first result, which gradients are taken of.
    pub(super) fn differentiated(&self, numel: usize) -> Result<NodeId> {
        match self.outputs.first() {
            Some(Operand::Node(y)) if numel == 1 => Ok(*y),
            Some(Operand::Node(_)) => {
                let message = "the first result must be a single element; sum() or mean() it";
                Err(Error::invalid("value_and_grad", message))
            }
            _ => Err(Error::invalid(
                "value_and_grad",
                "the first result doesn't depend on inputs or parameters",
            )),
        }
    }

    /// Records the sweep of one example.
    pub(super) fn derive(&mut self, inputs: &[&Tensor<T>], indices: &[&Tensor<u32>]) -> Result<()> {
        // All is kept for once.
        let all = vec![Part::all(self.plans[1].stages.len())];
        let parts = std::mem::replace(&mut self.plans[1].parts, all);
        let results = self.forward(inputs, indices, 1);
        self.plans[1].parts = parts;
        let recorded = results.and_then(|results| {
            let y = results.first().map_or(0, Tensor::numel);
            self.differentiated(y).map(|y| self.recorded(y, &results[0], indices))
        });
        self.release();
        self.derivative =
            recorded?.map_or(Derivative::Swept, |slopes| Derivative::Recorded(Box::new(slopes)));
        Ok(())
    }

    /// The sweep; `None` if a rule can't be recorded for other values, or not at all.
    fn recorded(&mut self, y: NodeId, value: &Tensor<T>, indices: &[&Tensor<u32>]) -> Option<Slopes<T>> {
        let tape = &self.tape;
        let (count, mark) = (self.operands.len(), tape.mark());
        let kept = tape.tensors.kept.borrow().len();
        let choices: Vec<(NodeId, Choice<T>)> = self.choices.drain().collect();
        tape.settings.again.set(true);
        tape.tensors.trace.replace(Some(Trace { choices, ..Trace::new() }));
        let reached = self.reached(y);
        let params = self.params.iter().filter(|(i, p)| p.is_trainable() && reached[i.place()]);
        let x: Vec<Var<'_, T>> = params.map(|(i, p)| Var::new(tape, p.tensor(), *i)).collect();
        let ids: Vec<ParamId> = {
            let nodes = tape.tensors.nodes.borrow();
            let id = |x: &Var<'_, T>| match nodes.get(x.node()?.place())?.op {
                Op::Param(id) => Some(id),
                _ => None,
            };
            x.iter().filter_map(id).collect()
        };
        let random = tape.random();
        // Recorded as well, so that nothing is computed once for all examples that reads positions of each.
        let (y, one) = (Var::new(tape, value.clone(), y), tape.input(Tensor::ones(value.shape())));
        let grads = tape.vjp(&[&y], &[&one], &x.iter().collect::<Vec<_>>(), true, None);
        let operand =
            |g: &Var<'_, T>| g.node().map_or_else(|| Operand::Constant(g.tensor().clone()), Operand::Node);
        let grads = grads.and_then(|grads| {
            grads.iter().try_for_each(Var::ok)?;
            Ok(ids.into_iter().zip(grads.iter().map(operand)).collect())
        });
        let trace = tape.tensors.trace.take().unwrap_or_else(Trace::new);
        let nodes = tape.tensors.nodes.borrow_mut().split_off(count);
        tape.tensors.kept.borrow_mut().truncate(kept);
        tape.statements.truncate(mark.0, mark.1, mark.2);
        let (moved, mixed) = (tape.random() != random, nodes.iter().any(|n| matches!(n.op, Op::Mixed(_))));
        // Positions that are found in the sweep itself.
        let (known, found): (Vec<_>, Vec<_>) =
            trace.choices.into_iter().partition(|(i, _)| i.place() < count);
        self.choices = known.into_iter().collect();
        if trace.obstacle.is_some() || moved || mixed || !found.is_empty() {
            return None;
        }
        let users = indices.iter().map(|index| {
            let taking = |(_, node): &(usize, &Node<T>)| takes(&node.op, index);
            nodes.iter().enumerate().filter(taking).map(|(i, _)| NodeId::at(count + i)).collect()
        });
        let users = users.collect();
        let operands = operands_of(&nodes, count, trace.constants);
        Some(Slopes { users, operands, nodes, followers: trace.followers, grads: grads.ok()? })
    }

    /// Which nodes have a share in the gradients of one.
    pub(super) fn reached(&self, y: NodeId) -> Vec<bool> {
        let nodes = self.tape.tensors.nodes.borrow();
        let mut reached = vec![false; self.operands.len()];
        reached[y.place()] = true;
        for i in (0..self.operands.len()).rev() {
            let ends =
                matches!(nodes[i].op, Op::Tensor(TensorOp::Shape(ShapeOp::Detach) | TensorOp::Test(_)));
            if reached[i] && !ends {
                self.operands[i].iter().filter_map(Operand::node).for_each(|j| reached[j.place()] = true);
            }
        }
        reached
    }
}
