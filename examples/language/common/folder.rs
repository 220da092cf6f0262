//! What models are passed on as: folders with `config.json`, `tokenizer.json` and `model.safetensors`, or an
//! index of several; and layers that wait for weights.
use indicatif::{ProgressBar, ProgressStyle};
use kolmo::{Result, Tensor, nn::Linear};
use serde::de::DeserializeOwned;
use std::{error::Error, path::Path};
use tokenizers::Tokenizer;

pub type Failure = Box<dyn Error + Send + Sync>;
pub type Fails<T> = std::result::Result<T, Failure>;

/// The sizes of a model. Errors have the file's name.
pub fn config<C: DeserializeOwned>(folder: &Path) -> Fails<C> {
    let path = folder.join("config.json");
    let told = |why: String| format!("{}: {why}", path.display());
    let text = std::fs::read_to_string(&path).map_err(|why| told(why.to_string()))?;
    Ok(serde_json::from_str(&text).map_err(|why| told(why.to_string()))?)
}

/// What makes tokens of texts.
pub fn tokenizer(folder: &Path) -> Fails<Tokenizer> {
    let path = folder.join("tokenizer.json");
    Ok(Tokenizer::from_file(&path).map_err(|why| format!("{}: {why}", path.display()))?)
}

/// A layer whose weights are to be loaded: one zero, however large it is.
pub fn blank(inputs: usize, outputs: usize, bias: bool) -> Result<Linear> {
    let bias = bias.then(|| Tensor::zeros([outputs]));
    Linear::from_weights(Tensor::zeros([1, 1]).expand([outputs, inputs])?, bias)
}

/// A bar for what takes longer than a moment, on a terminal.
pub fn bar(steps: usize, what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64);
    let template = "{msg} [{bar:30}] {pos}/{len} ({elapsed}, {eta} to go)";
    ProgressStyle::with_template(template)
        .map_or(bar.clone(), |style| bar.with_style(style.progress_chars("=> ")))
        .with_message(what)
}

/// The same of what has no steps, until the work is done.
pub fn busy<R>(what: &'static str, work: impl FnOnce() -> R) -> R {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(std::time::Duration::from_millis(100));
    let result = work();
    spinner.finish_and_clear();
    result
}
