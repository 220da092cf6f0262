//! Where an operation of a program finds what it works on.
use crate::{ops::Float, tape::NodeId, tensor::Tensor};

/// An operand of a node, or a result.
#[derive(Clone)]
pub(crate) enum Operand<T: Float> {
    Node(NodeId),
    Constant(Tensor<T>),
}

impl<T: Float> Operand<T> {
    pub(super) fn value<'a>(&'a self, values: &'a [Option<Tensor<T>>]) -> Option<&'a Tensor<T>> {
        match self {
            Operand::Node(i) => values.get(i.place()).and_then(Option::as_ref),
            Operand::Constant(value) => Some(value),
        }
    }
}

impl<T: Float> Operand<T> {
    pub(crate) fn node(&self) -> Option<NodeId> {
        match self {
            Operand::Node(i) => Some(*i),
            Operand::Constant(_) => None,
        }
    }

    pub(super) fn rename(&mut self, to: impl Fn(NodeId) -> NodeId) {
        if let Operand::Node(i) = self {
            *i = to(*i);
        }
    }

    pub(super) fn same(&self, other: &Operand<T>) -> bool {
        match (self, other) {
            (Operand::Node(a), Operand::Node(b)) => a == b,
            (Operand::Constant(a), Operand::Constant(b)) => {
                let bits = |t: &Tensor<T>| t.item().ok().map(|v| v.to_f64().to_bits());
                let view = |t: &Tensor<T>| (t.shape().clone(), t.strides().to_vec(), t.layout().offset);
                let one = a.numel() == 1 && a.shape() == b.shape() && bits(a) == bits(b);
                one || (a.shares_data(b) && view(a) == view(b))
            }
            _ => false,
        }
    }
}
