//! What tensors are described by: shapes, lists of axes, the types of their elements. The [`Tensor`]
//! itself is in the root.
//!
//! | name | what it is |
//! | --- | --- |
//! | [`Shape`] | the sizes of the axes: what `[2, 3]` converts into |
//! | [`Dims`] | one axis or several: what `1` and `[0, -1]` convert into |
//! | [`Element`] | a type that a tensor can hold |
//! | [`Iter`] | goes through the elements of a tensor |
//! | [`Index`] | an integer that may be an index or a class |
//!
//! ```
//! use kolmo::{Tensor, tensor::{Element, Shape}};
//! fn bytes<T: Element>(x: &Tensor<T>) -> usize {
//!     x.numel() * size_of::<T>()
//! }
//! let shape = Shape::from([2, 3]);
//! assert_eq!(bytes(&Tensor::<u8>::zeros(&shape)), 6);
//! ```
// Plain n-dimensional data: strided, cheap to clone, copied only when a shared buffer is written. Arithmetic is
// recorded on a tape and lives in `ops`.
//
// In the order in which rustdoc shows their methods of `Tensor`.
mod convert;
mod create;
mod join;

pub(crate) mod array;

mod dims;
pub(crate) mod element;
mod layout;
#[cfg(feature = "ndarray")]
mod nd;
#[cfg(feature = "images")]
pub(crate) mod pixels;
mod pool;
mod print;
pub(crate) mod room;
mod serial;
pub(crate) mod shape;
mod short_list;
mod source;
pub(crate) mod storage;
pub(crate) mod strided;
mod sync;

pub(crate) use array::{Tensor, Unfilled};
pub use convert::Iter;
pub use dims::Dims;
pub use element::{Element, Index};
pub(crate) use layout::Layout;
pub use shape::Shape;
pub(crate) use source::Form;
