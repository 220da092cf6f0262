//! Around a training loop: the loop itself, its history, also for TensorBoard, checkpoints, when to stop,
//! weights to files and back.
//!
//! ```
//! use kolmo::{Random, data::{DataLoader, digits}, nn::{Layer, Linear}, optim::Adam, train::{Trainer, save_safetensors}};
//! let (x, y) = digits();
//! let net = Linear::new(64, 10, &mut Random::new(0));
//! let mut adam = Adam::new(1e-2);
//! let history = Trainer::new(DataLoader::new(500, 50), 2).progress(false).fit(
//!     &net,
//!     &mut adam,
//!     move |rows, _| Ok((x.rows(rows)?, y.rows(rows)?)),
//!     |tape, (x, y)| net.forward(&tape.constant(x)).cross_entropy(y),
//!     || Ok(Vec::<(String, f64)>::new()),
//! )?;
//! assert!(history.records[1].loss < history.records[0].loss);
//! # let path = std::env::temp_dir().join(format!("kolmo-train-{}.safetensors", std::process::id()));
//! save_safetensors(&net, &path)?;
//! # std::fs::remove_file(path).ok();
//! # Ok::<(), kolmo::Error>(())
//! ```
mod checkpoint;
mod history;
mod joint;
mod loading;
mod restore;
mod stopping;
mod tensorboard;
mod torchao;
mod trainer;
mod weights;

pub use checkpoint::{load_checkpoint, save_checkpoint};
pub use history::{History, Record};
pub use loading::{LoadOptions, LoadReport};
pub use stopping::EarlyStopping;
pub use tensorboard::SummaryWriter;
pub use torchao::save_torchao;
pub use trainer::{Control, StepInfo, Trainer};
pub use weights::{load_gguf, load_safetensors, load_safetensors_with, save_safetensors};
#[cfg(feature = "npz")]
pub use weights::{load_npz, save_npz};
