//! Programs over the tape: derivatives of functions, sparse ones, checks against differences, and less memory for more time.
mod budget;
mod checkpoint;
mod clip;
mod functional;
mod gradcheck;
mod sparse;

pub use budget::MemoryBudget;
pub use checkpoint::Block;
pub use functional::{hessian, hvp, jacobian, jvp};
pub use gradcheck::{GradCheck, gradcheck};
pub use sparse::{Sparse, SparsityPattern, sparse_hessian, sparse_jacobian};
