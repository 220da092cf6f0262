//! Factorisations of dense matrices, each row after row in a slice: LU with partial pivoting, Cholesky,
//! triangular systems, singular values. A few columns or rows are computed at a time; what those before them
//! contribute is one matrix product (Golub and Van Loan, Matrix Computations, §3.2, §4.2). Blocks have one size
//! everywhere, so that the bits are the same on every machine.
mod cholesky;
mod lu;
mod panel;
mod qd;
mod qr;
mod reflect;
mod singular;
mod triangle;

#[cfg(test)]
mod tests;

pub(crate) use cholesky::cholesky;
pub(crate) use lu::Lu;
pub(crate) use panel::panel;
pub(crate) use singular::{singular_values, svd};
pub(crate) use triangle::Triangle;
