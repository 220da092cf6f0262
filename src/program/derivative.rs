//! What there is of a program's derivative as operations of its own.
use super::operand::Operand;
use crate::{
    ids::ParamId,
    ops::{Float, list::TensorOp},
    tape::{Node, NodeId, Op},
    tensor::Tensor,
};
use smallvec::SmallVec;

/// What the sweep does, numbered behind the program's own nodes. The first stands for the gradient of the
/// result itself, which is 1.
pub(super) struct Slopes<T: Float> {
    pub nodes: Vec<Node<T>>,
    pub operands: Vec<SmallVec<[Operand<T>; 4]>>,
    pub followers: Vec<(NodeId, NodeId)>,
    /// The gradients of the first result.
    pub grads: Vec<(ParamId, Operand<T>)>,
    /// The nodes that take each of the indices.
    pub users: Vec<SmallVec<[NodeId; 2]>>,
}

/// What is known of the derivative.
#[derive(Default)]
pub(super) enum Derivative<T: Float> {
    #[default]
    Unknown,
    Recorded(Box<Slopes<T>>),
    /// A rule can't be recorded for other values than those it was recorded with.
    Swept,
}

/// Whether an operation takes slices or classes by this very index.
pub(super) fn takes<T: Float>(op: &Op<T>, index: &Tensor<u32>) -> bool {
    match op {
        Op::Tensor(TensorOp::Take(op)) => op.index_is(index),
        Op::Tensor(TensorOp::CrossEntropy(op)) => op.targets_are(index),
        _ => false,
    }
}
