//! Whoever looks on while a tape computes, without that the program knows: at parameters as they come onto
//! it, at what is multiplied by matrices and which rows of them are looked up, and at the adjoints of that.
use super::ids::NodeId;
use crate::{
    ids::ParamId,
    tensor::{Element, Tensor},
};

/// What is shown while a tape computes.
pub(crate) trait Witness<T: Element> {
    /// A parameter, as it is used.
    fn param(&self, id: ParamId, value: &Tensor<T>);
    /// A product `x·wᵀ`, `[rows, in]` and `[out, in]`, and its node if it is recorded.
    fn product(&self, x: &Tensor<T>, w: &Tensor<T>, node: Option<NodeId>);
    /// Whether a tensor is a parameter that is looked at.
    fn knows(&self, w: &Tensor<T>) -> bool;
    /// Rows `[…, cols]` of a matrix, and their node if they are recorded.
    fn lookup(&self, w: &Tensor<T>, node: Option<NodeId>);
    /// The derivative of what a sweep began with, with respect to a node.
    fn adjoint(&self, node: NodeId, grad: &Tensor<T>);
}
