//! Parts of large tensors as streams of symbols: few contexts, all of 16 symbols, so that a weight takes some
//! twenty nanoseconds. Each model is written once over [`Coder`] and works in place: with a [`Writer`] it
//! reads the numbers, with a [`Reader`] it writes them. `docs/format.md` says the same in words.
mod codes;
mod mask;
mod numbers;
mod stream;
#[cfg(test)]
mod tests;
mod tracker;

pub(super) use codes::{Scheme, Way, code_codes};
pub(super) use mask::code_mask;
pub(super) use numbers::{read_numbers, write_numbers};
pub(super) use stream::{Reader, Unsound, Writer};
