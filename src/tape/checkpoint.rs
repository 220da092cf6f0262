//! Less memory for more time: a block whose inner values are not kept but computed again in the reverse sweep.
use super::{Float, Random, Tape, Var, node::NONE, sweep::Step};
use crate::{
    error::Checked,
    nn::Param,
    ops::{Op, Rule},
    tensor::Tensor,
};
use std::sync::Arc;

/// A part of a model that [`Tape::checkpoint`] can run again: its parameters, and its value.
pub trait Block<T: Float>: Send + Sync {
    /// The parameters that the block uses: their gradients are computed with the block's.
    fn params(&self) -> Vec<Param<T>>;
    /// The value of the block. Must give the same each time it is run.
    fn forward<'t>(&self, x: &[Var<'t, T>]) -> Var<'t, T>;
}

struct Checkpoint<B> {
    block: B,
    random: Random,
    params: usize,
}

impl<T: Float> Tape<T> {
    /// The block's value, recorded as one operation that keeps only the block's inputs. In the reverse sweep the
    /// block is run again, with the same random numbers. Gradients of any order work.
    #[track_caller]
    pub fn checkpoint<'t>(&'t self, block: impl Block<T> + 'static, inputs: &[&Var<'t, T>]) -> Var<'t, T> {
        let params = block.params();
        let leaves: Vec<Var<'t, T>> = params.iter().map(|p| self.param(p)).collect();
        let all: Vec<&Var<'t, T>> = inputs.iter().copied().chain(&leaves).collect();
        if let Some(failed) = all.iter().find(|v| v.failed_id().is_some()) {
            return (*failed).clone();
        }
        let random = self.random();
        let own: Vec<Var<'t, T>> = inputs.iter().map(|v| v.detach()).collect();
        let value = self.no_grad(|| block.forward(&own));
        if value.failed_id().is_some() || !self.is_recording() || all.iter().all(|v| v.node().is_none()) {
            return value;
        }
        let nodes = all.iter().map(|v| v.node().unwrap_or(NONE)).collect();
        let kept = inputs.iter().enumerate().map(|(i, v)| (i as u8, v.tensor().clone())).collect();
        let rule = Checkpoint { block, random, params: params.len() };
        let id = self.push_node(Op::Custom(Arc::new(rule)), nodes, value.shape().clone(), kept);
        Var::new(self, value.into_tensor(), id)
    }
}

impl<T: Float, B: Block<T>> Rule<T> for Checkpoint<B> {
    fn name(&self) -> &str {
        "checkpoint"
    }

    fn forward(&self, _: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        Err("is recorded together with its value".into())
    }

    fn keeps(&self, _: u32) -> u32 {
        0
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let tape = step.tape();
        let n = step.inputs() - self.params;
        let inputs: Vec<Var<'t, T>> = (0..n).map(|i| step.input(i)).collect();
        let before = tape.random();
        let recording = tape.settings.recording.replace(true);
        tape.set_random(self.random);
        let grads = if step.graph() {
            // The parameters are on the tape already, so the block finds the same leaves.
            let floor = tape.mark().0;
            let inputs: Vec<Var<'t, T>> = inputs.iter().map(Var::alias).collect();
            let y = self.block.forward(&inputs);
            let leaves: Vec<Var<'t, T>> = self.block.params().iter().map(|p| tape.param(p)).collect();
            let all: Vec<&Var<'t, T>> = inputs.iter().chain(&leaves).collect();
            tape.vjp(&[&y], &[step.grad()], &all, true, Some(floor))
        } else {
            // A piece of tape of its own, swept and taken off again.
            let (floor, nodes) = (tape.mark(), tape.tensors.nodes.borrow().len());
            tape.forget_params();
            let fresh: Vec<Var<'t, T>> = inputs.iter().map(|v| tape.input(v.tensor())).collect();
            let leaves: Vec<Var<'t, T>> = self.block.params().iter().map(|p| tape.param(p)).collect();
            let y = self.block.forward(&fresh);
            let all: Vec<&Var<'t, T>> = fresh.iter().chain(&leaves).collect();
            let grads = tape.vjp(&[&y], &[step.grad()], &all, false, Some(floor.0));
            tape.forget_params();
            tape.tensors.nodes.borrow_mut().truncate(nodes);
            tape.statements.truncate(floor.0, floor.1, floor.2);
            grads
        };
        tape.settings.recording.set(recording);
        tape.set_random(before);
        match grads {
            Ok(grads) => {
                for (i, g) in grads.into_iter().enumerate() {
                    step.give(i, g);
                }
            }
            Err(error) => step.fail(error),
        }
    }
}
