//! What a function does, as a tape records it, and which of that is computed twice.
use super::operand::Operand;
use crate::{
    error::{Error, Result},
    ops::Float,
    tape::{Choice, Node, NodeId, Op, Stored, Tape, Trace, Var},
    tensor::{Shape, Tensor},
};
use smallvec::SmallVec;
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

/// What is recorded.
pub(super) type Function<'f, T> =
    &'f dyn for<'t> Fn(&'t Tape<T>, &[Var<'t, T>], &[Tensor<u32>]) -> Vec<Var<'t, T>>;

impl<T: Float> Recorded<T> {
    /// What a function does, as it was recorded.
    pub fn of(inputs: &[&Tensor<T>], indices: &[Tensor<u32>], f: Function<'_, T>) -> Result<Recorded<T>> {
        let tape = Tape::<T>::new();
        tape.settings.again.set(true);
        tape.tensors.trace.replace(Some(Trace::new()));
        let random = tape.random();
        let x: Vec<Var<'_, T>> = inputs.iter().map(|&x| tape.input(x)).collect();
        let results = f(&tape, &x, indices);
        results.iter().try_for_each(Var::ok)?;
        let trace = tape.tensors.trace.take();
        let Some(Trace { constants, params, choices, followers, obstacle }) = trace else {
            return Err(Error::invalid("program", "the function recorded a program itself"));
        };
        let nodes = tape.tensors.nodes.take();
        let mixed = || nodes.iter().find(|n| matches!(n.op, Op::Mixed(_))).map(|n| n.site);
        let obstacle = match obstacle {
            None if tape.random() != random => Some(("random numbers were drawn", None)),
            None => mixed().map(|site| ("tensors were made of scalars, or scalars of tensors", Some(site))),
            other => other,
        };
        if let Some((obstacle, site)) = obstacle {
            return Err(Error::op("program", format!("{obstacle}: a program can't do that again"), site));
        }
        let operands = operands_of(&nodes, 0, constants);
        let results: Vec<Operand<T>> = results
            .iter()
            .map(|y| y.node().map_or_else(|| Operand::Constant(y.tensor().clone()), Operand::Node))
            .collect();
        let inputs = x.iter().map(|x| (x.node().unwrap_or(NodeId::NONE), x.shape().clone())).collect();
        Ok(Recorded { nodes, operands, params, choices, followers, results, inputs })
    }
}

/// A tape as it was recorded.
pub(crate) struct Recorded<T: Float> {
    pub nodes: Vec<Node<T>>,
    pub operands: Vec<SmallVec<[Operand<T>; 4]>>,
    pub params: Vec<(NodeId, Arc<dyn Stored<T>>)>,
    pub choices: Vec<(NodeId, Choice<T>)>,
    pub followers: Vec<(NodeId, NodeId)>,
    pub results: Vec<Operand<T>>,
    pub inputs: Vec<(NodeId, Shape)>,
}

/// The operands of recorded nodes, of which the first is the one of this number.
pub(super) fn operands_of<T: Float>(
    nodes: &[Node<T>],
    first: usize,
    constants: Vec<(NodeId, u8, Tensor<T>)>,
) -> Vec<SmallVec<[Operand<T>; 4]>> {
    let mut operands: Vec<SmallVec<[Operand<T>; 4]>> =
        nodes.iter().map(|n| n.inputs.iter().map(|&i| Operand::Node(i)).collect()).collect();
    for (node, i, value) in constants {
        let own = node.place().checked_sub(first).and_then(|place| operands.get_mut(place));
        if let Some(operand) = own.and_then(|own| own.get_mut(i as usize)) {
            *operand = Operand::Constant(value);
        }
    }
    operands
}

/// For each node the first that computes the same. Operands are renamed accordingly.
pub(super) fn merge<T: Float>(nodes: &[Node<T>], operands: &mut [SmallVec<[Operand<T>; 4]>]) -> Vec<NodeId> {
    type Key = (u64, SmallVec<[NodeId; 4]>);
    let mut known: HashMap<Key, SmallVec<[NodeId; 2]>> = HashMap::new();
    let mut first: Vec<NodeId> = Vec::with_capacity(nodes.len());
    for i in 0..nodes.len() {
        operands[i].iter_mut().for_each(|o| o.rename(|j| first[j.place()]));
        let own = &operands[i];
        // Thousands of slices of one tensor differ in their options only.
        let mut what = DefaultHasher::new();
        (nodes[i].op.rule().name(), nodes[i].op.rule().options()).hash(&mut what);
        let key = (what.finish(), own.iter().map(|o| o.node().unwrap_or(NodeId::NONE)).collect());
        let alike = known.entry(key).or_default();
        let same = |&&j: &&NodeId| {
            same(&nodes[i].op, &nodes[j.place()].op)
                && own.iter().zip(&operands[j.place()]).all(|(a, b)| a.same(b))
        };
        first.push(alike.iter().find(same).copied().unwrap_or(NodeId::at(i)));
        if first[i].place() == i {
            alike.push(NodeId::at(i));
        }
    }
    first
}

/// Whether both compute the same of the same operands, as far as that is known.
fn same<T: Float>(a: &Op<T>, b: &Op<T>) -> bool {
    matches!((a, b), (Op::Tensor(a), Op::Tensor(b)) if a.same(b))
}
