//! Tape-based automatic differentiation for scalars and tensors, and models shrunk to their shortest program.
pub mod compress;
pub mod data;
#[cfg(doctest)]
mod documents;
mod error;
mod files;
mod ids;
pub(crate) mod kernels;
pub mod loss;
pub mod metrics;
pub mod nn;
mod ops;
pub mod optim;
#[cfg(feature = "plot")]
pub mod plot;
mod real;
mod tape;
mod tensor;
pub mod train;

pub use error::{Error, OpError, Result};
pub use kernels::threads::{set_threads, threads};
pub use ops::{
    Attention, AttentionMask, Close, ConvOptions, Fuse, FuseInput, Fused, Indexing, Interpolation,
    MatrixNorm, Operand, Pad, Padding, PoolOptions, Resize, Scatter, Select, Sizes, Unique,
};
pub use real::{Dual, Lane, Mask, Number, Real};
pub use tape::{
    Argument, Block, Budget, Constant, CustomOp, Float, Flow, GradCheck, Gradients, Kept, Listing,
    Observation, Observed, Pattern, Program, Random, Row, Scalar, Sparse, Tape, TapeNumber, Var, gradcheck,
    hessian, hvp, jacobian, jvp, sparse_hessian, sparse_jacobian,
};
pub use tensor::{Element, Index, Shape, Tensor, trim_pool};

/// What [`fuse!`] expands to; not for direct use.
#[doc(hidden)]
pub mod fusing {
    pub use crate::kernels::map::Expr;
    pub use smallvec::SmallVec;
}
