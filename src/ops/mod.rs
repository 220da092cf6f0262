//! The operations, one file per family: what each computes, which shapes it takes, and its derivative, side by side.
//!
//! A derivative is a program over [`Var`](crate::Var)s. Run on constants it is eager and fast; run on recorded
//! values it is itself recorded, which is all that higher derivatives need.
mod arith;
mod attend;
mod attention;
pub(crate) mod binary;
pub(crate) mod binary_cross_entropy;
#[cfg(test)]
mod centre;
mod checks;
mod compare;
mod conv;
mod conv_options;
pub(crate) mod cross_entropy;
mod diagonals;
mod dispatch;
mod einsum;
mod extremum;
mod fused;
mod getitem;
pub(crate) mod index;
pub(crate) mod kinks;
pub(crate) mod linalg;
pub(crate) mod list;
mod norm;
mod pad;
mod parts;
mod pointwise;
mod pool;
mod products;
pub(crate) mod reduce;
mod repeats;
mod resize;
pub(crate) mod saved;
mod scan;
mod scatter;
pub(crate) mod shape;
pub(crate) mod softmax;
mod solve;
mod sort;
mod standardize;
#[cfg(test)]
mod table_tests;
pub(crate) mod take;
pub(crate) mod traced;
pub(crate) mod unary;
mod views;
mod windows;

pub use attention::{Attention, AttentionMask};
pub(crate) use checks::operands;
pub use compare::{Close, Operand};
pub use conv_options::{ConvOptions, Padding, Sizes};
pub use fused::{Fuse, FuseInput, Fused};
pub use getitem::Select;
pub use list::Float;
pub(crate) use list::FusedOp;
pub use pad::Pad;
pub use parts::Parts;
pub use pool::PoolOptions;
pub use products::MatrixNorm;
pub use resize::{Interpolation, Resize};
pub use scatter::Scatter;
pub use sort::Unique;
pub(crate) use take::NOWHERE;
pub use views::Indexing;
