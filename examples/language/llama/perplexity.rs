//! How well a model predicts a text.
use crate::{
    folder::{Fails, bar},
    model::Llama,
};
use kolmo::{Tape, Tensor};

/// The perplexity of tokens in windows of so many, each by itself, the first of `windows` of them; and how
/// many were predicted.
pub fn perplexity(model: &Llama, tokens: &[u32], window: usize, windows: usize) -> Fails<(f64, usize)> {
    let count = tokens.chunks_exact(window.max(2)).take(windows).count();
    if count == 0 {
        return Err(format!("a text of {} tokens has no window of {window}", tokens.len()).into());
    }
    let (mut loss, mut tape, bar) = (0.0, Tape::inference(), bar(count, "windows"));
    for window in tokens.chunks_exact(window.max(2)).take(windows) {
        tape.reset();
        let n = window.len() - 1;
        let logits = model.forward(&tape, &window[..n], &mut model.caches(), false);
        loss += f64::from(logits.cross_entropy(&Tensor::from(&window[1..])).item()?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(((loss / count as f64).exp(), count * (window.max(2) - 1)))
}
