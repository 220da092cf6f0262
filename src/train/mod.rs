//! Around a training loop: weights to files and back.
mod weights;

pub use weights::{load_safetensors, save_safetensors};
