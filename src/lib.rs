//! Tape-based automatic differentiation for scalars and tensors, and models shrunk to their shortest program.
//!
//! A [`Tape`] records what a program does to numbers ([`Scalar`]) and to tensors ([`Var`]); one reverse sweep gives the
//! gradients, as plain [`Tensor`]s. Rules are programs themselves, so gradients have gradients. Layers, losses, optimisers,
//! pruning, quantisation and distillation are ordinary programs over that tape.
//!
//! ```
//! use kolmo::{Random, Tape, Tensor, nn::{Layer, Linear, Sequential, Tanh}, optim::{Adam, Optimizer}};
//!
//! let rng = &mut Random::new(0);
//! let net = Sequential((Linear::<f32>::new(2, 8, rng), Tanh, Linear::new(8, 2, rng)));
//! let x = Tensor::from([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]);
//! let y = Tensor::from([0u32, 1, 1, 0]); // exclusive or
//! let (mut adam, mut tape) = (Adam::new(0.05), Tape::new());
//! for _ in 0..200 {
//!     let loss = net.forward(&tape.constant(&x)).cross_entropy(&y); // recorded
//!     let grads = loss.backward()?; // swept
//!     adam.step(&net, &grads)?; // any struct that serde can walk is a model
//!     tape.reset(); // the memory stays
//! }
//! let eval = Tape::inference();
//! let answer = net.forward(&eval.constant(&x)).value()?.argmax(1, false)?;
//! assert_eq!(answer.to_vec(), [0, 1, 1, 0]);
//! # Ok::<(), kolmo::Error>(())
//! ```
//!
//! # Where to go next
//!
//! | for | look at |
//! | --- | --- |
//! | operations on tensors | the methods of [`Var`]; names and conventions are PyTorch's |
//! | numbers, generic formulas | [`Scalar`], [`Number`], [`Real`], [`Dual`]; [`fuse!`] makes one operation of an expression |
//! | derivatives | [`Var::backward`], [`Var::grad`], [`jvp()`], [`hvp()`], [`jacobian()`], [`hessian()`], [`sparse_jacobian()`], [`gradcheck()`] |
//! | memory and speed | [`Tape::reset`], [`Tape::checkpoint`], [`Budget`], [`Program`], [`set_threads`] |
//! | your own operation | [`CustomOp`], [`Tape::custom`] |
//! | models | [`nn`], [`loss`], [`optim`], [`metrics`] |
//! | training | [`data`], [`train`] |
//! | small models | [`compress`]: masks, codebooks, distillation, `.kolmo` files, lengths in bits |
//!
//! An operation that can't be done neither panics nor returns a `Result`: its value is a *failed* one, and [`Var::backward`],
//! [`Var::value`] and [`Var::item`] tell what happened, with shapes and your source line.
//!
//! The repository has a course of twelve short chapters on how all of this works inside (`docs/course`), a page on the
//! architecture, and a table from PyTorch.
//!
//! # Features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `progress` (on by default) | a bar on the terminal in [`train::Trainer`] |
//! | `npz` | several arrays in one file of NumPy's |
//! | `images` | pictures from folders |
//! | `plot` | pictures of curves and matrices |
#![warn(missing_debug_implementations, missing_docs)]

mod autodiff;
mod checked;
mod clock;
pub mod compress;
pub mod data;
#[cfg(doctest)]
mod documents;
mod error;
mod explore;
mod files;
mod ids;
pub mod inspect;
pub(crate) mod kernels;
pub mod loss;
pub mod metrics;
pub mod nn;
mod numbers;
mod ops;
pub mod optim;
mod param;
#[cfg(feature = "plot")]
pub mod plot;
mod program;
mod real;
mod tape;
mod tensor;
mod threads;
pub mod train;

pub use autodiff::{
    Block, Budget, GradCheck, Pattern, Sparse, gradcheck, hessian, hvp, jacobian, jvp, sparse_hessian,
    sparse_jacobian,
};
pub use error::{Error, OpError, Result};
pub use explore::Explorer;
pub use inspect::{Argument, Constant, Flow, Kept, Listing, Observation, Observed, Row};
pub use kernels::isa::instruction_set;
pub use ops::{
    Attention, AttentionMask, Close, ConvOptions, Float, Fuse, FuseInput, Fused, Indexing, Interpolation,
    MatrixNorm, Operand, Pad, Padding, Parts, PoolOptions, Resize, Scatter, Select, Sizes, Unique,
};
pub use program::Program;
pub use real::{Dual, Lane, Mask, Number, Real};
pub use tape::{CustomOp, Gradients, Random, Scalar, Tape, TapeFloat, TapeNumber, Var};
pub use tensor::{Element, Index, Shape, Tensor, trim_pool};
pub use threads::{set_threads, threads};

/// What [`fuse!`] expands to; not for direct use.
#[doc(hidden)]
pub mod fusing {
    pub use crate::kernels::map::Expr;
    pub use smallvec::SmallVec;
}
