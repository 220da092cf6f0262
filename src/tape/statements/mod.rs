//! Statements of scalars: the buffer, sweeps over a part of it, and what is noted of them on request.
#[expect(unsafe_code, reason = "three vectors that grow together, with one check for all")]
mod buffer;
mod local;
mod notes;
mod told;

pub(crate) use buffer::{Statements, Stop, TENSOR};
pub(crate) use local::Local;
pub(crate) use told::{Note, Told};
