//! How much of a model pruning has left.
use serde::Serialize;

/// How many weights there are, and how many of them are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Weights {
    /// Weights that no mask prunes.
    pub kept: usize,
    /// All weights.
    pub total: usize,
}

impl Weights {
    /// The share that is kept; 1 if there are no weights.
    pub fn density(&self) -> f64 {
        if self.total == 0 { 1.0 } else { self.kept as f64 / self.total as f64 }
    }
}
