//! A computation of fixed shapes, run again on other values.
use super::{
    derivative::Derivative,
    operand::Operand,
    plan::{Part, Plan, Stage},
};
use crate::{
    error::{Error, Result},
    ops::{Float, list::TensorOp},
    tape::{Choice, EXTRA, Gradients, Leaf, Node, NodeId, Op, Parts, Stored, Tape, operand_in, with_floats},
    tensor::{Shape, Tensor},
};
use smallvec::SmallVec;
use std::{collections::HashMap, fmt, ops::Range, sync::Arc};

/// A recorded computation that runs again on other inputs of the same shapes.
///
/// Parameters are read at each run, so that optimisers can change them in between. Everything else that the
/// function used is as it was when it was recorded: the shapes, the mode, masks and codebooks of parameters,
/// which parameters were frozen.
///
/// ```
/// use kolmo::{Program, Random, Tensor, nn::{Layer, Linear}, optim::{Optimizer, Sgd}};
/// let net = Linear::new(2, 3, &mut Random::new(0));
/// let x = Tensor::from([[1.0, -1.0], [0.5, 2.0]]);
/// let labels = Tensor::from([2u32, 0]);
/// let mut program = Program::new(&[&x], &[&labels], |_, x, labels| {
///     vec![net.forward(&x[0]).cross_entropy(&labels[0])]
/// })?;
/// let mut sgd = Sgd::new(0.1);
/// let mut losses = Vec::new();
/// for _ in 0..20 {
///     let (values, grads) = program.value_and_grad(&[&x], &[&labels])?; // other batches, as a rule
///     sgd.step(&net, &grads)?;
///     losses.push(values[0].item()?);
/// }
/// assert!(losses[19] < losses[0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// Values are those of the tape, to the bit. Gradients are too, unless an expression that the function
/// computes twice is computed once here: then its gradient is summed in another order.
#[doc(alias("compile", "torch.compile", "jit", "CUDA graph"))]
pub struct Program<T: Float = f32> {
    pub(super) tape: Tape<T>,
    /// The operands of each node.
    pub(super) operands: Vec<SmallVec<[Operand<T>; 4]>>,
    pub(super) inputs: Vec<(Option<NodeId>, Shape)>,
    pub(super) indices: Vec<(SmallVec<[NodeId; 2]>, Shape)>,
    pub(super) params: Vec<(NodeId, Arc<dyn Stored<T>>)>,
    /// How the positions of some nodes are found.
    pub(super) choices: HashMap<NodeId, Choice<T>>,
    /// Nodes, and those whose positions they take over.
    pub(super) followers: Vec<(NodeId, NodeId)>,
    pub(super) outputs: Vec<Operand<T>>,
    /// Nodes whose gradient somebody wants.
    pub(super) needed: Vec<bool>,
    /// For values alone, and for values with gradients.
    pub(super) plans: [Plan; 2],
    pub(super) values: Vec<Option<Tensor<T>>>,
    /// Of each part that is done again what it reads.
    pub(super) held: Vec<Vec<Tensor<T>>>,
    /// What is done for the gradients of many examples.
    pub(super) derivative: Derivative<T>,
}

/// What there is of what, not the recording itself.
impl<T: Float> fmt::Debug for Program<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inputs = self.inputs.iter().map(|(_, shape)| shape);
        let indices = self.indices.iter().map(|(_, shape)| shape);
        f.debug_struct("Program")
            .field("nodes", &self.operands.len())
            .field("passes", &self.plans[0].stages.len())
            .field("parameters", &self.params.len())
            .field("inputs", &inputs.collect::<Vec<_>>())
            .field("indices", &indices.collect::<Vec<_>>())
            .field("results", &self.outputs.len())
            .finish()
    }
}

impl<T: Float> Program<T> {
    /// The results for other inputs and indices, of the shapes of those that were recorded.
    pub fn run(&mut self, inputs: &[&Tensor<T>], indices: &[&Tensor<u32>]) -> Result<Vec<Tensor<T>>> {
        let results = self.forward(inputs, indices, 0);
        self.release();
        results
    }

    /// The results, and the gradients of the first, a single element, with respect to all parameters that
    /// were trainable.
    #[doc(alias("step", "backward"))]
    pub fn value_and_grad(
        &mut self,
        inputs: &[&Tensor<T>],
        indices: &[&Tensor<u32>],
    ) -> Result<(Vec<Tensor<T>>, Gradients<T>)> {
        let results = self.forward(inputs, indices, 1);
        self.values.iter_mut().for_each(|v| *v = None);
        let swept = results.and_then(|results| {
            let y = self.differentiated(results.first().map_or(0, Tensor::numel))?;
            Ok((results, self.sweep(y)?))
        });
        self.release();
        swept
    }

    /// Number of operations that a run does; inputs and parameters not counted.
    pub fn len(&self) -> usize {
        self.plans[0].stages.iter().map(Stage::len).sum()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn forward(
        &mut self,
        inputs: &[&Tensor<T>],
        indices: &[&Tensor<u32>],
        plan: usize,
    ) -> Result<Vec<Tensor<T>>> {
        self.set_inputs(inputs)?;
        self.set_indices(indices)?;
        self.set_params()?;
        let (mut nodes, mut values) = (self.tape.tensors.nodes.take(), std::mem::take(&mut self.values));
        let mut held = Vec::new();
        let done = self.plans[plan].parts.iter().try_for_each(|part| {
            if part.again {
                held.push(part.reads.iter().filter_map(|i| values[i.place()].clone()).collect());
            }
            self.compute(&mut nodes, &mut values, plan, part.stages.clone(), !part.again)
        });
        self.held = held;
        self.tape.tensors.nodes.replace(nodes);
        self.values = values;
        done?;
        Ok(self.outputs.iter().filter_map(|o| o.value(&self.values).cloned()).collect())
    }

    /// Reads the parameters.
    pub(super) fn set_params(&mut self) -> Result<()> {
        for (node, p) in &self.params {
            let value = p.tensor();
            let nodes = self.tape.tensors.nodes.borrow();
            if nodes.get(node.place()).is_some_and(|n| n.shape != *value.shape()) {
                let message = format!(
                    "a parameter has shape {}, it had another when the program was recorded",
                    value.shape()
                );
                return Err(Error::invalid("run", message));
            }
            self.values[node.place()] = Some(value);
        }
        Ok(())
    }

    /// Does these stages of a plan. `keep`: what derivatives will read is kept for them.
    fn compute(
        &self,
        nodes: &mut [Node<T>],
        values: &mut [Option<Tensor<T>>],
        plan: usize,
        stages: Range<usize>,
        keep: bool,
    ) -> Result<()> {
        let plan = &self.plans[plan];
        for (stage, free) in plan.stages[stages.clone()].iter().zip(&plan.free[stages]) {
            match stage {
                Stage::One(i) => {
                    let operands = &self.operands[i.place()];
                    let first = operands.first().and_then(|o| o.value(values));
                    if let (Some(choose), Some(x), Op::Tensor(TensorOp::Take(op))) =
                        (self.choices.get(i), first, &mut nodes[i.place()].op)
                    {
                        let positions = choose(x);
                        op.set_index(&positions);
                        for (follower, _) in self.followers.iter().filter(|(_, first)| first == i) {
                            if let Op::Tensor(TensorOp::Take(op)) = &mut nodes[follower.place()].op {
                                op.set_index(&positions);
                            }
                        }
                    }
                    let rule = nodes[i.place()].op.rule();
                    let x: SmallVec<[&Tensor<T>; 4]> =
                        operands.iter().filter_map(|o| o.value(values)).collect();
                    let mut kept = self.tape.tensors.kept.borrow_mut();
                    let kept = kept.get_mut(nodes[i.place()].kept_range()).unwrap_or_default();
                    let y = match kept.iter_mut().find(|(slot, _)| plan.gradients && keep && *slot == EXTRA) {
                        None => with_floats(rule, &x, |x| rule.forward(x)),
                        Some((_, extra)) => {
                            with_floats(rule, &x, |x| rule.forward_beside(x)).map(|(y, beside)| {
                                *extra = beside;
                                y
                            })
                        }
                    };
                    drop(x);
                    let site = Some(nodes[i.place()].site);
                    values[i.place()] = Some(y.map_err(|message| Error::op(rule.name(), message, site))?);
                }
                Stage::Chain(chain) => chain
                    .run(values, &self.operands)
                    .map_err(|message| Error::op("program", message, None))?,
            }
            if plan.gradients && keep {
                stage.each(|i| self.keep(&nodes[i.place()], i.place(), values));
            }
            free.iter().for_each(|&i| values[i.place()] = None);
        }
        Ok(())
    }

    /// Gives a node the values that its derivative reads.
    fn keep(&self, node: &Node<T>, index: usize, values: &[Option<Tensor<T>>]) {
        let mut kept = self.tape.tensors.kept.borrow_mut();
        for (slot, value) in kept.get_mut(node.kept_range()).unwrap_or_default() {
            *value = match (*slot, operand_in(*slot)) {
                (EXTRA, _) => continue,
                (_, Some(operand)) => {
                    self.operands[index].get(operand).and_then(|o| o.value(values)).cloned()
                }
                (_, None) => values[index].clone(),
            };
        }
    }

    /// The gradients of a result, from its last part to the first; what wasn't kept of a part is computed again.
    fn sweep(&mut self, y: NodeId) -> Result<Gradients<T>> {
        let parts = &self.plans[1].parts;
        let first = |part: &Part| match &self.plans[1].stages[part.stages.start] {
            Stage::One(i) => *i,
            Stage::Chain(chain) => chain.nodes().next().unwrap_or(NodeId::NONE),
        };
        let nodes = self.tape.tensors.nodes.borrow();
        let statement = |part| nodes.get(first(part).place()).map_or(0, |n| n.statement.place());
        let mut floors: Vec<usize> = parts.iter().skip(1).rev().map(statement).collect();
        floors.push(0);
        drop(nodes);
        let (mut held, mut values) = (std::mem::take(&mut self.held), std::mem::take(&mut self.values));
        let mut before = |number: usize, _: &[Leaf<T>]| {
            let Some(part) = parts.iter().rev().nth(number).filter(|part| part.again) else { return Ok(()) };
            let reads = held.pop().unwrap_or_default();
            part.reads.iter().zip(reads).for_each(|(i, value)| values[i.place()] = Some(value));
            let mut nodes = self.tape.tensors.nodes.take();
            let done = self.compute(&mut nodes, &mut values, 1, part.stages.clone(), true);
            self.tape.tensors.nodes.replace(nodes);
            values.iter_mut().for_each(|v| *v = None);
            done
        };
        let swept = self.tape.backward_to(y, &self.needed, Parts { floors: &floors, before: &mut before });
        self.values = values;
        swept
    }

    /// Lets go of everything but the results, so that an optimiser can write parameters in place.
    pub(super) fn release(&mut self) {
        self.held.clear();
        self.values.iter_mut().for_each(|v| *v = None);
        self.tape.tensors.kept.borrow_mut().iter_mut().for_each(|(_, v)| *v = None);
        self.tape.tensors.nodes.borrow_mut().iter_mut().for_each(|n| n.spent = false);
    }

    fn set_inputs(&mut self, inputs: &[&Tensor<T>]) -> Result<()> {
        same_number("inputs", self.inputs.len(), inputs.len())?;
        for (i, ((node, shape), x)) in self.inputs.iter().zip(inputs).enumerate() {
            same_shape("input", i, shape, x.shape())?;
            if let Some(node) = node {
                self.values[node.place()] = Some((*x).clone());
            }
        }
        Ok(())
    }

    fn set_indices(&mut self, indices: &[&Tensor<u32>]) -> Result<()> {
        same_number("indices", self.indices.len(), indices.len())?;
        let mut nodes = self.tape.tensors.nodes.take();
        let set =
            self.indices.iter().zip(indices).enumerate().try_for_each(|(i, ((users, shape), index))| {
                same_shape("index", i, shape, index.shape())?;
                users.iter().try_for_each(|&user| {
                    let operand = nodes[user.place()].inputs.first().and_then(|&x| nodes.get(x.place()));
                    let shape = operand.map(|n| n.shape.clone()).unwrap_or_default();
                    let node = &mut nodes[user.place()];
                    let set = match &mut node.op {
                        Op::Tensor(TensorOp::Take(op)) => {
                            op.set_index(index);
                            Ok(())
                        }
                        Op::Tensor(TensorOp::CrossEntropy(op)) => {
                            op.retarget((*index).clone(), shape.get(1).copied().unwrap_or(0))
                        }
                        _ => Ok(()),
                    };
                    set.map_err(|message| Error::op(node.op.rule().name(), message, Some(node.site)))
                })
            });
        self.tape.tensors.nodes.replace(nodes);
        set
    }
}

pub(super) fn same_number(what: &str, expected: usize, given: usize) -> Result<()> {
    if expected == given {
        return Ok(());
    }
    Err(Error::invalid("run", format!("the program was recorded with {expected} {what}, not {given}")))
}

fn same_shape(what: &str, i: usize, expected: &Shape, given: &Shape) -> Result<()> {
    if expected == given {
        return Ok(());
    }
    Err(Error::invalid("run", format!("{what} {i} had shape {expected} when it was recorded, not {given}")))
}
