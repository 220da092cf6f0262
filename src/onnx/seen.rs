//! An operation as the recordings have it.
use super::emit::{Arg, Dim};
use crate::{
    ops::list::TensorOp,
    tape::Choice,
    tensor::{Shape, Tensor},
};

/// An operation as it was recorded, in each recording.
pub(super) struct Seen<'a> {
    pub ops: Vec<&'a TensorOp<f32>>,
    pub x: Vec<Arg>,
    pub shape: Vec<Dim>,
    /// The result's sizes in the first recording.
    pub sizes: &'a Shape,
    pub choice: Option<&'a Choice<f32>>,
    /// The indices that are inputs, in each recording, and their names.
    pub indices: &'a [(Vec<Tensor<u32>>, String)],
}
