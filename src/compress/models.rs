//! What the parts of a file are predicted from. Each is one function over
//! [`BitCoder`](super::coding::BitCoder) that writes with an encoder and reads with a decoder; a reader
//! passes a source of dummies. `docs/format.md` says the same in words.
mod bytes;
mod symbols;
mod weights;

pub(crate) use bytes::{IntModel, TextModel, code_values};
pub(crate) use symbols::{Exhausted, code_bits};
pub(crate) use weights::{Grid, code_codes, code_mask};
