//! What a tape notes down while a [`Program`](crate::Program) is recorded: nodes don't keep values that they
//! don't differentiate.
use super::{ids::NodeId, leaf::Stored};
use crate::tensor::{Element, Tensor};
use std::{panic::Location, sync::Arc};

/// The notes of one recording.
pub(crate) struct Trace<T: Element> {
    /// Operands that are constants: node, position, value.
    pub constants: Vec<(NodeId, u8, Tensor<T>)>,
    /// The parameters behind leaves.
    pub params: Vec<(NodeId, Arc<dyn Stored<T>>)>,
    /// How the positions of a `take` are found from its operand.
    pub choices: Vec<(NodeId, Choice<T>)>,
    /// Nodes of derivatives with the positions of such a node.
    pub followers: Vec<(NodeId, NodeId)>,
    /// Something was done that a program can't do.
    pub obstacle: Option<(&'static str, Option<&'static Location<'static>>)>,
}

/// Finds positions in a tensor from its values.
pub(crate) type Choice<T> = Box<dyn Fn(&Tensor<T>) -> Tensor<u32>>;

impl<T: Element> Trace<T> {
    pub fn new() -> Trace<T> {
        Trace {
            constants: Vec::new(),
            params: Vec::new(),
            choices: Vec::new(),
            followers: Vec::new(),
            obstacle: None,
        }
    }
}
