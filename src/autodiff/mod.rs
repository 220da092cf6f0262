//! Programs over the tape: derivatives of functions, sparse ones, checks against differences, operations of
//! your own, and less memory for more time.
//!
//! | for | look at |
//! | --- | --- |
//! | a derivative along a direction | [`jvp()`]; of the gradient, [`hvp()`] |
//! | all derivatives | [`jacobian()`], [`hessian()`] |
//! | those that aren't zero | [`sparse_jacobian()`], [`sparse_hessian()`], by [`SparsityPattern`] and as [`Sparse`] |
//! | checking a derivative | [`gradcheck()`], [`GradCheck`] with options |
//! | an operation with a derivative of your own | [`CustomOp`] |
//! | memory | [`MemoryBudget`] and its [`Block`]s, [`Tape::checkpoint`](crate::Tape::checkpoint) |
//!
//! The gradient itself needs nothing of this module: [`Var::backward`](crate::Var::backward) and
//! [`Var::grad`](crate::Var::grad) give it.
// In the order in which rustdoc shows their methods of `Tape`.
mod checkpoint;

mod budget;
mod sparse;

mod clip;
mod functional;
mod gradcheck;

pub use crate::tape::CustomOp;
pub use budget::MemoryBudget;
pub use checkpoint::Block;
pub use functional::{hessian, hvp, jacobian, jvp};
pub use gradcheck::{GradCheck, gradcheck};
pub use sparse::{Sparse, SparsityPattern, sparse_hessian, sparse_jacobian};
