//! What a weight is worth, by more than its magnitude: how much the loss would change without it, or where
//! training takes it.
mod criterion;
mod snapshot;
mod synflow;

pub use criterion::{ScoreCriterion, Scores};
pub use snapshot::Snapshot;
pub use synflow::synflow;
