//! Around a training loop: the loop itself, its history, also for TensorBoard, checkpoints, when to stop,
//! weights to files and back.
mod checkpoint;
mod history;
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
