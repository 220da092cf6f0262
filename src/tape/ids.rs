//! How values, nodes and kept tensors are numbered.

/// No node: the operand was a constant.
pub(crate) const NONE: u32 = u32::MAX;
/// The id of values that no tape records.
pub(crate) const CONSTANT: u32 = u32::MAX;
/// Marks the id of a failed value; the other bits are the number of the failure.
pub(crate) const FAILED: u32 = 1 << 31;
/// The slot of the result among the values that a node keeps.
pub(crate) const OUTPUT: u8 = 31;
/// The bit of the result in [`Rule::keeps`](super::Rule::keeps).
pub(crate) const RESULT: u32 = 1 << OUTPUT;
