//! The operations, one file per family: what each computes, which shapes it takes, and its derivative, side
//! by side.
//!
//! A derivative is a program over [`Var`](crate::Var)s. Run on constants it is eager and fast; run on
//! recorded values it is itself recorded, which is all that higher derivatives need.
// In the order in which rustdoc shows their methods of `Var`, `Tape` and `Tensor`.
mod arith;
pub(crate) mod unary;

pub(crate) mod binary;
mod pointwise;

mod compare;
pub(crate) mod reduce;

mod extremum;
mod scan;

pub(crate) mod linalg;
mod products;
mod solve;

pub(crate) mod shape;
mod views;

mod getitem;
pub(crate) mod index;
mod scatter;
mod sort;
mod split;

mod repeats;

mod pad;

mod diagonals;
mod einsum;
pub(crate) mod softmax;

mod norm;

mod attention;
mod conv;
mod pool;
mod resize;

mod parts;

mod attend;
pub(crate) mod binary_cross_entropy;
#[cfg(test)]
mod centre;
mod checks;
mod conv_options;
pub(crate) mod cross_entropy;
mod dispatch;
mod fused;
pub(crate) mod list;
mod operand;
mod random;
pub(crate) mod saved;
mod standardize;
#[cfg(test)]
mod table_tests;
pub(crate) mod take;
pub(crate) mod traced;
mod windows;

pub use attention::{AttentionMask, AttentionOptions};
pub(crate) use checks::operands;
pub use compare::IsCloseOptions;
pub use conv_options::{ConvOptions, Padding, Sizes};
pub use fused::{Fuse, FuseInput, Fused};
pub use getitem::TensorIndex;
pub use list::Float;
pub(crate) use list::FusedOp;
pub use operand::Operand;
pub use pad::Pad;
pub use parts::Parts;
pub use pool::PoolOptions;
pub use products::MatrixNorm;
pub use resize::{InterpolateMode, InterpolateTo};
pub use scatter::Scatter;
pub use solve::SolveTriangularOptions;
pub use sort::Unique;
pub use split::{SplitAt, SplitSizes};
pub(crate) use take::NOWHERE;
pub use views::MeshgridIndexing;
