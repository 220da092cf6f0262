//! Data for training: the digits inside the crate, IDX, CSV and NumPy's files, pictures from folders, text, splits and folds,
//! scaling, shuffled batches that are made ahead, augmentation.
mod augment;
mod digits;
#[cfg(feature = "images")]
mod folder;
mod folds;
mod idx;
mod loader;
mod npy;
#[cfg(feature = "npz")]
mod npz;
mod split;
mod table;
mod text;

pub use augment::{Augment, mixup};
pub use digits::digits;
#[cfg(feature = "images")]
pub use folder::{ImageFolder, ImageOptions, image_folder};
pub use folds::{k_fold, stratified_k_fold, stratified_split};
pub use idx::{mnist, read_idx};
pub use loader::{Batches, Loader};
pub use npy::{NpyArray, read_npy, write_npy};
#[cfg(feature = "npz")]
pub use npz::{read_npz, write_npz};
pub use split::{MinMax, Standardize, batches, one_hot, train_test_split};
pub use table::Table;
pub use text::{Characters, random_blocks};
