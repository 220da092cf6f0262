//! Matrices whose numbers take fewer bits than a float. They lie in panels of 16 rows, the numbers of one
//! column side by side, so that a product with few rows runs over them as they are stored.
mod codes;
mod dots;
mod few;
mod form;
mod held;
mod list;
mod matrix;
mod one;
mod panels;
mod planes;
mod product;
mod rounded;
mod rows;
mod scales;
mod tasks;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod vnni;

pub use codes::Codes;
pub(crate) use codes::{Parts, Values};
pub(crate) use form::Form;
pub(crate) use list::Piece;
pub use list::Plain;
pub use matrix::{Activations, HalfFloat, Packed};
pub(crate) use panels::LANES;
pub(crate) use product::{back, products};
pub(crate) use rows::{Blank, Strip};
