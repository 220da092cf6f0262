//! Models made small: entropy coding and the `.kolmo` file.
//!
//! What a model is and how it is pruned or quantised is said elsewhere; here are numbers, bits and bytes.

pub mod coding;
pub mod format;
mod half;
mod models;

pub use format::{Artifact, Entry, EntryData, FormatError, Part, PartSize, Sizes};
pub use half::{f16_bits, f16_to_f32, round_to_f16};
