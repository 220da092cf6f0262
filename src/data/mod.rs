//! Data for training: the digits inside the crate, IDX and CSV files, text, splits and folds, scaling, shuffled batches that are
//! made ahead, augmentation.
mod augment;
mod digits;
mod folds;
mod idx;
mod loader;
mod split;
mod table;
mod text;

pub use augment::{Augment, mixup};
pub use digits::digits;
pub use folds::{k_fold, stratified_k_fold, stratified_split};
pub use idx::{mnist, read_idx};
pub use loader::{Batches, Loader};
pub use split::{MinMax, Standardize, batches, one_hot, train_test_split};
pub use table::Table;
pub use text::{Characters, random_blocks};
