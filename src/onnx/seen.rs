//! An operation as the recordings have it.
use super::{dim::Dim, emit::Arg};
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

/// What an operation says of itself in each recording.
macro_rules! each {
    ($seen:expr, $pattern:pat => $e:expr) => {
        $seen
            .ops
            .iter()
            .map(|op| if let $pattern = op { Ok($e) } else { Err(String::from("changes with the sizes of the inputs")) })
            .collect::<Checked<Vec<_>>>()
    };
}
pub(super) use each;
