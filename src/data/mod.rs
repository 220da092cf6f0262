//! Data for training: the digits inside the crate, IDX files, splits, standardisation, shuffled batches.
mod digits;
mod idx;
mod split;

pub use digits::digits;
pub use idx::{mnist, read_idx};
pub use split::{Standardize, batches, train_test_split};
