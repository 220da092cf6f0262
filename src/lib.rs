//! Tape-based automatic differentiation for scalars and tensors.
pub(crate) mod kernels;
pub use kernels::threads::{set_threads, threads};
