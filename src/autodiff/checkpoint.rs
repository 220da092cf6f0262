//! Less memory for more time: a block whose inner values are not kept but computed again in the reverse
//! sweep.
use crate::{
    error::{Checked, Error, Result},
    ops::Float,
    param::Param,
    real::About,
    tape::{NodeId, Op, Random, Restore, Rule, Step, Tape, Var},
    tensor::{Shape, Tensor},
};
use std::sync::Arc;

/// A part of a model that [`Tape::checkpoint`] can run again: its parameters, and its value.
///
/// ```
/// use kolmo::{Tape, Tensor, Var, autodiff::Block, nn::Param};
/// struct Half(Param<f64>);
/// impl Block<f64> for Half {
///     fn params(&self) -> Vec<Param<f64>> {
///         vec![self.0.clone()]
///     }
///     fn forward<'t>(&self, x: &[Var<'t, f64>]) -> Var<'t, f64> {
///         (&x[0] * x[0].tape().param(&self.0)).sin().exp()
///     }
/// }
/// let p = Param::new(Tensor::from([2.0]));
/// let tape = Tape::new();
/// let x = tape.input([1.0, 3.0]);
/// let grads = tape.checkpoint(Half(p.clone()), &[&x]).sum().backward()?;
/// let plain = (&x * tape.param(&p)).sin().exp().sum().backward()?;
/// assert_eq!(grads.get(&x).unwrap(), plain.get(&x).unwrap());
/// # Ok::<(), kolmo::Error>(())
/// ```
pub trait Block<T: Float>: Send + Sync {
    /// The parameters that the block uses: their gradients are computed with the block's. Using another one
    /// that can be trained is an error of the sweep.
    fn params(&self) -> Vec<Param<T>>;
    /// The value of the block. Must give the same each time it is run; what it does beside that, it does
    /// where [`Tape::is_recomputing`] is false.
    fn forward<'t>(&self, x: &[Var<'t, T>]) -> Var<'t, T>;
}

struct Checkpoint<B> {
    block: B,
    random: Random,
    training: bool,
    params: usize,
}

/// # Less memory: checkpoints
impl<T: Float> Tape<T> {
    /// The block's value, recorded as one operation that keeps only the block's inputs. In the reverse sweep
    /// the block is run again, with the same random numbers and in the same mode. Gradients of any order
    /// work.
    #[track_caller]
    pub fn checkpoint<'t>(&'t self, block: impl Block<T> + 'static, inputs: &[&Var<'t, T>]) -> Var<'t, T> {
        self.not_replayable("a block was checkpointed");
        let params = block.params();
        let leaves: Vec<Var<'t, T>> = params.iter().map(|p| self.param(p)).collect();
        let all: Vec<&Var<'t, T>> = inputs.iter().copied().chain(&leaves).collect();
        if let Some(failed) = all.iter().find(|v| v.failed_id().is_some()) {
            return (*failed).clone();
        }
        let (random, began) = (self.random(), self.clock());
        let own: Vec<Var<'t, T>> = inputs.iter().map(|v| self.constant(v.tensor())).collect();
        let value = self.no_grad(|| block.forward(&own));
        if value.failed_id().is_some() || !self.is_recording() || all.iter().all(|v| v.node().is_none()) {
            return value;
        }
        let nodes = all.iter().map(|v| v.node().unwrap_or(NodeId::NONE)).collect();
        let kept = inputs.iter().enumerate().map(|(i, v)| (i as u8, v.tensor().clone()));
        let rule = Checkpoint { block, random, training: self.is_training(), params: params.len() };
        let id = self.push_node(Op::Custom(Arc::new(rule)), nodes, value.shape().clone(), kept);
        self.note(id, value.tensor(), &all, began);
        Var::new(self, value.into_tensor(), id)
    }
}

impl<T: Float> Tape<T> {
    /// The number of leaves that are parameters.
    fn param_leaves(&self) -> usize {
        self.tensors.nodes.borrow().iter().filter(|n| matches!(n.op, Op::Param(_))).count()
    }

    /// That a block has used no other parameters than it names, whose leaves were there before.
    fn check_params(&self, known: usize) -> Result<()> {
        let nodes = self.tensors.nodes.borrow();
        match nodes.iter().filter(|n| matches!(n.op, Op::Param(_))).nth(known) {
            None => Ok(()),
            Some(other) => {
                let message = format!(
                    "the block uses a parameter of shape {} that Block::params doesn't name: it would get no gradient",
                    other.shape
                );
                Err(Error::op("checkpoint", message, Some(other.site)))
            }
        }
    }
}

impl<T: Float, B: Block<T>> Rule<T> for Checkpoint<B> {
    fn name(&self) -> &str {
        "checkpoint"
    }

    fn about(&self) -> About {
        About::formula(
            "one block of the program",
            &["the block run again, and swept"],
            "Nothing inside the block is kept: less memory for more time.",
        )
    }

    fn forward(&self, _: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        Err("is recorded together with its value".into())
    }

    fn keeps(&self, _: u32) -> u32 {
        0
    }

    fn multiply_adds(&self, _: &[Option<Shape>], _: &Shape) -> Option<usize> {
        None
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let n = step.inputs() - self.params;
        let inputs: Vec<Var<'t, T>> = (0..n).map(|i| step.input(i)).collect();
        let grads = if step.graph() { self.recorded(step, &inputs) } else { self.apart(step, &inputs) };
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

impl<B> Checkpoint<B> {
    /// The block again on the tape itself, for gradients that are differentiated again. Its parameters are
    /// there already, so it finds the same leaves.
    fn recorded<'t, T: Float>(&self, step: &Step<'_, 't, T>, inputs: &[Var<'t, T>]) -> Result<Vec<Var<'t, T>>>
    where
        B: Block<T>,
    {
        let (tape, floor) = (step.tape(), step.tape().mark().0);
        let settings = &tape.settings;
        let _again = Restore { setting: &settings.again, before: settings.again.replace(true) };
        let _mode = Restore { setting: &settings.training, before: settings.training.replace(self.training) };
        let _random = Restore { setting: &settings.random, before: settings.random.replace(self.random) };
        let leaves: Vec<Var<'t, T>> = self.block.params().iter().map(|p| tape.param(p)).collect();
        let known = tape.param_leaves();
        let inputs: Vec<Var<'t, T>> = inputs.iter().map(Var::alias).collect();
        let y = self.block.forward(&inputs);
        tape.check_params(known)?;
        let all: Vec<&Var<'t, T>> = inputs.iter().chain(&leaves).collect();
        tape.vjp(&[&y], &[step.grad()], &all, true, Some(floor))
    }

    /// The block on a tape of its own, which is gone afterwards.
    fn apart<'t, T: Float>(&self, step: &Step<'_, 't, T>, inputs: &[Var<'t, T>]) -> Result<Vec<Var<'t, T>>>
    where
        B: Block<T>,
    {
        let inner = Tape::new();
        inner.set_random(self.random);
        inner.set_training(self.training);
        inner.settings.again.set(true);
        inner.set_detect_anomaly(step.tape().settings.anomalies.get());
        let fresh: Vec<Var<'_, T>> = inputs.iter().map(|v| inner.input(v.tensor())).collect();
        let leaves: Vec<Var<'_, T>> = self.block.params().iter().map(|p| inner.param(p)).collect();
        let known = inner.param_leaves();
        let y = self.block.forward(&fresh);
        inner.check_params(known)?;
        let outside: Vec<&Tensor<T>> = inputs.iter().map(Var::tensor).collect();
        step.note_again(|| inner.kept_beside(&outside));
        let all: Vec<&Var<'_, T>> = fresh.iter().chain(&leaves).collect();
        let seed = inner.constant(step.grad().tensor());
        let grads = inner.vjp(&[&y], &[&seed], &all, false, None)?;
        Ok(grads.into_iter().map(|g| step.tape().constant(g.into_tensor())).collect())
    }
}
