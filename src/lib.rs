//! Tape-based automatic differentiation for scalars and tensors, and models shrunk to their shortest program.
//!
//! A [`Tape`] records what a program does to numbers ([`Scalar`]) and to tensors ([`Var`]); one reverse sweep
//! gives the gradients, as plain [`Tensor`]s. Rules are programs themselves, so gradients have gradients.
//! Layers, losses, optimisers, pruning, quantisation and distillation are ordinary programs over that tape.
//!
//! ```
//! use kolmo::{Random, Tape, Tensor, nn::{Layer, Linear, Sequential, Tanh}, optim::{Adam, Optimizer}};
//!
//! let rng = &mut Random::new(0);
//! let net = Sequential((Linear::new(2, 8, rng), Tanh, Linear::new(8, 2, rng)));
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
//! Layers are of `f32` unless `with_dtype` says otherwise; [`nn`] tells when a type must be written.
//!
//! # Where to go next
//!
//! | for | look at |
//! | --- | --- |
//! | operations on tensors | the methods of [`Var`]; names and conventions are PyTorch's |
//! | options of operations, operands, axes | [`ops`], [`tensor`] |
//! | numbers, generic formulas | [`Scalar`], [`number`]; [`fuse!`] makes one operation of an expression |
//! | derivatives | [`Var::backward`], [`Var::grad`]; [`autodiff`]: Jacobians, Hessians, sparse ones, checks |
//! | memory and speed | [`Tape::reset`], [`Tape::checkpoint`], [`autodiff::MemoryBudget`], [`Program`], [`ScalarProgram`], [`runtime`] |
//! | your own operation | [`autodiff::CustomOp`], [`Tape::custom`] |
//! | models | [`nn`], [`loss`], [`optim`], [`metrics`] |
//! | training | [`data`], [`train`]; by several processes [`distributed`] |
//! | small models | [`compress`]: masks, codebooks, distillation, `.kolmo` files, lengths in bits |
//! | the best settings | [`search`]: random, grid, Parzen estimators; on from where it was broken off |
//! | models of other programs, and for them | `onnx`, with the feature of that name |
//! | what a tape did, and where | [`inspect`]; as a page [`Tape::explore`] |
//! | pictures | `plot`, with the feature of that name |
//!
//! # The methods of `Var`
//!
//! | for | headings |
//! | --- | --- |
//! | results | [value, shape, sweep](Var#value-shape-and-backward-sweep), [gradients on the tape](Var#gradients-as-values-on-the-tape), [one element](Var#one-element-as-a-scalar), [without gradient](Var#without-gradient) |
//! | element by element | [one tensor](Var#functions-of-each-element), [two tensors](Var#functions-of-two-tensors-element-by-element), [powers and choices](Var#powers-angles-remainders-choices), [several operands](Var#functions-of-each-element-with-several-operands), [comparisons](Var#comparisons-and-tests) |
//! | over axes | [reductions](Var#reductions), [extremes and medians](Var#largest-smallest-and-middle-elements), [running sums](Var#sums-and-products-so-far), [sorting](Var#sorting), [softmax](Var#softmax) |
//! | matrices | [products](Var#matrix-products), [more products](Var#more-products-and-norms-of-matrices), [systems of equations](Var#systems-of-equations-inverses-determinants), [diagonals and triangles](Var#diagonals-and-triangles) |
//! | shape | [shape and order](Var#shape-and-order-of-the-axes), [axes joined, added, removed](Var#axes-joined-added-removed-tensors-taken-apart), [repeating and windows](Var#repeating-shifting-windows), [padding](Var#padding); joining is [the tape's](Tape#tensors-joined) |
//! | parts | [index lists](Var#parts-by-an-index-list), [indices and masks](Var#elements-by-tensors-of-indices), [writing into a copy](Var#writing-into-a-copy), [sums by class](Var#sums-by-class), [scalars](Var#to-scalars) |
//! | layers as functions | [normalisation](Var#normalisation), [distances](Var#distances), [attention](Var#attention), [convolution](Var#convolution), [pooling](Var#pooling), [pictures](Var#pictures-resized-and-rearranged), [dropout](Var#dropout), [rotary positions](Var#rotary-positions) |
//! | losses | [classes](Var#losses-classes), [of a target](Var#losses-of-a-target), [distances](Var#losses-distances), [likelihoods](Var#losses-likelihoods), [sequences](Var#losses-sequences) |
//! | small models | [quantisation](Var#quantisation) |
//!
//! # Errors, and what to read next
//!
//! An operation that can't be done neither panics nor returns a `Result`: its value is a *failed* one, and
//! [`Var::backward`], [`Var::value`] and [`Var::item`] tell what happened, with shapes and your source line.
//!
//! The repository has a course of twelve short chapters on how all of this works inside (`docs/course`), a
//! page on the architecture, and tables from PyTorch, JAX, burn and candle.
//!
//! # Features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `progress` (on by default) | a bar on the terminal in [`train::Trainer`] |
//! | `npz` | several arrays in one file of NumPy's |
//! | `ndarray` | arrays of the crate `ndarray` to tensors and back |
//! | `images` | pictures from folders, and tensors from pictures and back |
//! | `plot` | pictures of curves and matrices |
//! | `onnx` | models to ONNX files and from them |
//! | `mpi` | training by processes of MPI, which must be installed |
#![warn(missing_debug_implementations, missing_docs)]
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::disallowed_methods))]

// In the order in which rustdoc shows their methods of one type: those of `Var` that are needed first come
// first.
mod error;
pub mod tensor;

mod tape;

mod param;

pub mod ops;

pub mod nn;

pub mod loss;

pub mod autodiff;
pub mod inspect;

pub mod compress;

mod arithmetic;
mod checked;
mod clock;
pub mod data;
pub mod distributed;
#[cfg(doctest)]
mod documents;
mod files;
mod ids;
mod isa;
#[expect(unsafe_code, reason = "vector instructions, and results written by several threads at once")]
pub(crate) mod kernels;
pub mod metrics;
mod numbers;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod optim;
mod options;
#[cfg(feature = "plot")]
pub mod plot;
mod program;
mod protobuf;
mod real;
pub mod search;
#[expect(unsafe_code, reason = "work is lent to threads that outlive it")]
mod threads;
pub mod train;

pub use error::{Error, OpError, Result};
pub use ops::list::Float;
pub use program::{Program, ScalarProgram};
pub use real::Number;
pub use tape::{Gradients, Random, Scalar, Tape, Var};
pub use tensor::array::Tensor;

/// What a number can do: for formulas that run on floats, on the scalars of a tape and on others alike.
///
/// | name | what it is |
/// | --- | --- |
/// | [`Number`] | what a formula of your own is generic over: it mixes with `f64` |
/// | [`Arithmetic`](number::Arithmetic) | the functions of a number, such as `exp` and `powi` |
/// | [`Dual`](number::Dual) | a number with its derivatives in a few directions, without a tape |
/// | [`Lane`](number::Lane), [`Mask`](number::Mask) | numbers side by side in a vector loop, and what comparing them gives |
/// | [`Traced`](number::Traced) | a number that isn't known yet, to record a [`ScalarProgram`] with |
/// | [`TapeFloat`](number::TapeFloat), [`TapeNumber`](number::TapeNumber) | what a tape of tensors, and one of scalars, can be made of |
///
/// ```
/// use kolmo::{Number, Tape, number::Dual};
/// fn wave<R: Number>(x: R) -> R {
///     x.sin() * 2.0
/// }
/// let tape = Tape::<f64>::new();
/// let x = tape.scalar(0.5);
/// let slope = wave(x).backward()?.scalar(x);
/// assert_eq!(slope, wave(Dual::<f64, 1>::variable(0.5, 0)).eps[0]);
/// assert_eq!(wave(0.5), wave(x).value());
/// # Ok::<(), kolmo::Error>(())
/// ```
pub mod number {
    pub use crate::{
        ops::trace::Traced,
        real::{Arithmetic, Dual, Lane, Mask, Number},
        tape::{TapeFloat, TapeNumber},
    };
}

/// What all computations of the process share: threads, vector instructions, and memory that waits for use.
/// None of it changes a result.
///
/// ```
/// use kolmo::runtime::{instruction_set, num_threads, set_num_threads};
/// set_num_threads(1);
/// assert_eq!(num_threads(), 1);
/// println!("{} on one thread", instruction_set());
/// ```
pub mod runtime {
    pub use crate::{
        isa::instruction_set,
        tensor::element::release_memory,
        threads::{num_threads, set_num_threads},
    };
}

/// The names that most programs use: `use kolmo::prelude::*;`.
///
/// ```
/// use kolmo::prelude::*;
/// let rng = &mut Random::new(0);
/// let layer = kolmo::nn::Linear::new(2, 1, rng);
/// let tape = Tape::new();
/// let y: Var = layer.forward(&tape.constant([[1.0, 2.0]])).sum();
/// let grads: Gradients = y.backward()?;
/// kolmo::optim::Sgd::new(0.1).step(&layer, &grads)?;
/// # Ok::<(), kolmo::Error>(())
/// ```
pub mod prelude {
    pub use crate::{
        fuse, index,
        nn::{Layer, Param},
        ops::list::Float,
        optim::Optimizer,
        real::{Arithmetic, Number},
        tape::{Gradients, Random, Scalar, Tape, Var},
        tensor::array::Tensor,
    };
}

/// What [`fuse!`] expands to; not for direct use.
#[doc(hidden)]
pub mod fusing {
    pub use crate::kernels::map::Expr;
    pub use smallvec::SmallVec;
}
