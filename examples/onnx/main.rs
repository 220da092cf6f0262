//! Models to ONNX files and from them. Without options it writes some fifty models into a folder, each with inputs and
//! what it gives for them, reads them again and compares; `check.py` beside it does the same with `onnx.checker` and
//! `onnxruntime`.
//!
//! ```sh
//! cargo run --release -p kolmo-onnx --example onnx                     # fifty models into target/onnx, and back
//! python3 examples/onnx/check.py target/onnx                           # the same by onnxruntime
//! cargo run --release -p kolmo-onnx --example onnx -- --model IN.onnx --out OUT.onnx # shrunk: weights of 8 bits
//! cargo run --release -p kolmo-onnx --example onnx -- --check FOLDER                 # models of others, with inputs and outputs
//! ```
mod check;
mod models;
mod networks;
mod shrink;
mod step;

use clap::Parser;
use std::path::PathBuf;

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[derive(Parser)]
struct Options {
    /// Where the models go, or the shrunk one
    #[arg(long)]
    out: Option<PathBuf>,
    /// An ONNX file to shrink
    #[arg(long, requires = "out")]
    model: Option<PathBuf>,
    /// Bits of its weights, 2 to 8
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=8))]
    bits: u32,
    /// Neighbours that share a step size; 0 for each output its own
    #[arg(long, default_value_t = 0)]
    group: usize,
    /// The share of weights that become zero first
    #[arg(long, default_value_t = 0.0)]
    prune: f64,
    /// The size that axes get which the file leaves open, but for the first, which stays open
    #[arg(long, default_value_t = 64)]
    size: usize,
    /// The version of the operators that files are written for
    #[arg(long, default_value_t = 24)]
    opset: u64,
    /// A folder of models with inputs and outputs: NAME.onnx, NAME.input_0.npy, …, NAME.output_0.npy, …
    #[arg(long, conflicts_with = "model")]
    check: Option<PathBuf>,
    /// The largest difference that is taken for the same, of 1 or of the largest element
    #[arg(long, default_value_t = 1e-5)]
    tolerance: f64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(model) = &options.model {
        return shrink::shrink(model, options.out.as_deref().unwrap_or(model), &options);
    }
    let folder = match &options.check {
        Some(folder) => folder.clone(),
        None => {
            let folder = options.out.clone().unwrap_or_else(|| "target/onnx".into());
            models::write(&folder, options.opset)?;
            folder
        }
    };
    check::check(&folder, options.tolerance, options.check.is_some())
}
