//! Programs over the tape: derivatives of functions, sparse ones, checks against differences, and less memory
//! for more time.
// In the order in which rustdoc shows their methods of `Tape`.
mod checkpoint;

mod budget;
mod sparse;

mod clip;
mod functional;
mod gradcheck;

pub use budget::MemoryBudget;
pub use checkpoint::Block;
pub use functional::{hessian, hvp, jacobian, jvp};
pub use gradcheck::{GradCheck, gradcheck};
pub use sparse::{Sparse, SparsityPattern, sparse_hessian, sparse_jacobian};
