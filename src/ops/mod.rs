//! What operations take beside their operands: options with PyTorch's names, and the types that arguments of
//! several forms convert into. The operations themselves are methods of [`Var`](crate::Var) and
//! [`Tape`](crate::Tape).
//!
//! | of | types |
//! | --- | --- |
//! | two operands | [`Operand`]: a value of the tape, a tensor or a number; [`IsCloseOptions`] |
//! | parts | [`TensorIndex`], which [`index!`](crate::index) makes; [`SplitAt`], [`SplitSizes`], [`Scatter`] |
//! | shapes | [`Pad`], [`MeshgridIndexing`], [`Unique`], and [`Parts`], into which a tape takes apart and joins |
//! | matrices | [`MatrixNorm`], [`SolveTriangularOptions`] |
//! | layers as functions | [`ConvOptions`], [`Padding`], [`PoolOptions`], [`Sizes`], [`InterpolateTo`], [`InterpolateMode`], [`AttentionOptions`], [`AttentionMask`] |
//! | expressions | [`Fused`], which [`fuse!`](crate::fuse) makes, [`Fuse`], [`FuseInput`] |
//!
//! ```
//! use kolmo::{Tape, Tensor, ops::ConvOptions};
//! let tape = Tape::<f32>::new();
//! let (x, w) = (tape.constant(Tensor::ones([1, 1, 4, 4])), tape.constant(Tensor::ones([1, 1, 3, 3])));
//! let y = x.conv2d(&w, None, &ConvOptions::new().stride(2).padding(1));
//! assert_eq!(y.shape(), &[1, 1, 2, 2]);
//! # Ok::<(), kolmo::Error>(())
//! ```
// One file per family of operations: what each computes, which shapes it takes, and its derivative, side by
// side. A derivative is a program over `Var`s. Run on constants it is eager and fast; run on recorded values it
// is itself recorded, which is all that higher derivatives need.
//
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

mod distance;
mod norm;

mod attention;
mod conv;
mod pool;
mod put;
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
pub(crate) mod example_sums;
pub(crate) mod examples;
mod fused;
pub(crate) mod list;
mod named;
mod operand;
pub(crate) mod random;
pub(crate) mod recurrent;
pub(crate) mod saved;
mod standardize;
#[cfg(test)]
mod table_tests;
pub(crate) mod take;
pub(crate) mod trace;
pub(crate) mod traced;
mod windows;

pub use attention::{AttentionMask, AttentionOptions};
pub(crate) use checks::operands;
pub use compare::IsCloseOptions;
pub use conv_options::{ConvOptions, Padding, Sizes};
pub use fused::{Fuse, FuseInput, Fused};
pub use getitem::TensorIndex;
pub(crate) use list::{Float, FusedOp};
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
