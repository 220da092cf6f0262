//! Data for training: the digits inside the crate, IDX, CIFAR-10's, CSV and NumPy's files, pictures from
//! folders, text, splits and folds, scaling, shuffled batches that are made ahead, augmentation; and weights
//! in GGUF and safetensors files.
mod augment;
mod cifar;
mod digits;
#[cfg(feature = "images")]
mod folder;
mod folds;
mod gguf;
mod idx;
mod loader;
mod npy;
#[cfg(feature = "npz")]
mod npz;
#[cfg(feature = "images")]
mod picture;
pub(crate) mod png;
mod shards;
mod split;
mod table;
mod text;

pub use augment::{Augment, mixup};
pub use cifar::{cifar10, read_cifar10};
pub use digits::digits;
#[cfg(feature = "images")]
pub use folder::{ImageFolder, ImageOptions};
pub use folds::{class_weights, group_k_fold, group_split, k_fold, stratified_k_fold, stratified_split};
pub use gguf::{Gguf, GgufField, GgufTensor, GgufValue};
pub use idx::{mnist, read_idx};
pub(crate) use loader::share;
pub use loader::{Batches, DataLoader};
pub use npy::{NpyArray, read_npy, write_npy};
#[cfg(feature = "npz")]
pub use npz::{read_npz, write_npz};
pub use shards::{Safetensors, SafetensorsTensor};
pub(crate) use shards::{opened, values};
pub use split::{MinMaxScaler, StandardScaler, batches, train_test_split};
pub use table::{CsvOptions, Table};
pub use text::{CharTokenizer, random_windows};

use crate::error::{Error, Result};

/// Writes a file, whole or not at all, as all functions here do that write one: under a temporary name beside
/// it, `.kolmo-<16 hex digits>.tmp`, flushed to the disk, renamed. A crash leaves the old file or the new
/// one; what a killed writer left is removed by the next one in the folder. Through a symbolic link the file
/// that it points to is written.
///
/// ```
/// let path = std::env::temp_dir().join(format!("kolmo-report-{}.txt", std::process::id()));
/// kolmo::data::write_file("97.3 %\n", &path)?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "97.3 %\n");
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), kolmo::Error>(())
/// ```
pub fn write_file(contents: impl AsRef<[u8]>, path: impl AsRef<std::path::Path>) -> Result<()> {
    let path = path.as_ref();
    crate::files::write_atomically(path, contents.as_ref()).map_err(|e| Error::io(path, e))
}
