//! The model with its cache as an ONNX file, under the names that Hugging Face's exports have: texts, tokens and the places
//! before them are as many as are given.
use crate::{folder::Fails, model::Llama};
use kolmo::{Tape, Tensor, Var, data::write_npy, nn::Param, onnx::Export};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Exporting {
    /// Writes the model with its cache as an ONNX file, beside it what comes of the prompt's second half behind its
    /// first one, which `examples/onnx/check.py` reads.
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,
    /// The most places that the ONNX file knows.
    #[arg(long, default_value_t = 2048)]
    places: usize,
}

impl Exporting {
    /// Writes the file, if one is asked for.
    pub fn run(&self, model: &Llama, prompt: &[u32]) -> Fails<bool> {
        let Some(path) = &self.onnx else { return Ok(false) };
        if prompt.len() < 2 || prompt.len() > self.places {
            return Err(format!("the prompt has {} tokens, not 2 to {}", prompt.len(), self.places).into());
        }
        let angles = model.angles(self.places);
        export(model, &angles, path)?;
        let (before, after) = prompt.split_at(prompt.len() / 2);
        let tape = Tape::inference();
        let step = |past: &[Tensor], tokens: &[u32], from: usize| {
            let past: Vec<Var<'_>> = past.iter().map(|x| tape.constant(x)).collect();
            let tokens = Tensor::new([1, tokens.len()], tokens.to_vec())?;
            let places = Tensor::from_fn([tokens.dim(1)], |i| (from + i) as u32);
            let results = model.step(&tape, &past, [&tokens, &places], &angles);
            let results: Vec<Tensor> =
                results.iter().map(|y| y.value().cloned()).collect::<kolmo::Result<_>>()?;
            Ok::<_, kolmo::Error>((results, tokens, places))
        };
        let none: Vec<Tensor> = model.kept_shapes(1, 0).into_iter().map(Tensor::zeros).collect();
        let past = step(&none, before, 0)?.0.split_off(1);
        let (results, tokens, places) = step(&past, after, before.len())?;
        let beside = |what: &str, i: usize| path.with_extension(format!("{what}_{i}.npy"));
        for (i, x) in past.iter().enumerate() {
            write_npy(x.clone(), beside("input", i))?;
        }
        for (i, x) in [tokens, places].iter().enumerate() {
            write_npy(x.cast::<i64>(), beside("input", past.len() + i))?;
        }
        for (i, y) in results.iter().enumerate() {
            write_npy(y.clone(), beside("output", i))?;
        }
        Ok(true)
    }
}

/// Keys and values of each block, tokens and their places go in; logits, keys and values come out.
pub fn export(model: &Llama, angles: &[Param; 2], path: &Path) -> Fails<()> {
    let parts = |what: &str| -> Vec<String> {
        (0..model.depth()).flat_map(|i| ["key", "value"].map(|part| format!("{what}.{i}.{part}"))).collect()
    };
    let (past, kept) = (parts("past_key_values"), parts("present"));
    // Sizes that differ: what grows with which is told apart.
    let (texts, tokens, before) = (2, 3, 4);
    let axes = |axis: usize| -> Vec<(usize, usize)> { (0..past.len()).map(|i| (i, axis)).collect() };
    let (ids, places) = (past.len(), past.len() + 1);
    let examples: Vec<Tensor> = model.kept_shapes(texts, before).into_iter().map(Tensor::zeros).collect();
    let words = Tensor::zeros([texts, tokens]);
    let at = Tensor::from_fn([tokens], |i| i as u32);
    Export::new()
        .input_names(past.iter().cloned().chain(["input_ids".into(), "position_ids".into()]))
        .output_names(["logits".to_string()].into_iter().chain(kept))
        .dynamic_axes("batch_size", &[axes(0), vec![(ids, 0)]].concat())
        .dynamic_axes("sequence_length", &[(ids, 1), (places, 0)])
        .dynamic_axes("past_sequence_length", &axes(2))
        .save(
            model,
            &examples.iter().collect::<Vec<_>>(),
            &[&words, &at],
            |tape, past, indices| model.step(tape, past, [&indices[0], &indices[1]], angles),
            path,
        )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{Folder, both};

    /// Seven tokens of two texts, all at once, and the last four by the file behind what three left.
    #[test]
    fn the_file_goes_on_as_the_model_does() {
        let folder = Folder::new("onnx");
        for source in both(&folder) {
            let model = &source.model;
            let (angles, path) = (model.angles(16), folder.0.join("model.onnx"));
            export(model, &angles, &path).unwrap();
            let file = kolmo::onnx::Model::load(&path).unwrap();
            let tape = Tape::inference();
            let text = Tensor::from([[40u32, 9, 77, 5, 30, 2, 11], [3, 60, 60, 8, 90, 21, 4]]);
            let whole = model.forward(&tape, text.clone(), &mut model.caches(), false);
            let none = model.kept_shapes(2, 0).into_iter().map(|shape| tape.constant(Tensor::zeros(shape)));
            let mut kept: Vec<_> = none.collect();
            for (from, count) in [(0, 3), (3, 4)] {
                let tokens = text.narrow(1, from, count).unwrap().contiguous();
                let places = Tensor::from_fn([count], |i| (from + i) as u32);
                let own = model.step(&tape, &kept, [&tokens, &places], &angles);
                let theirs = file.forward(&tape, &kept, &[tokens, places]);
                let wanted = [vec![whole.narrow(1, from, count)], own[1..].to_vec()].concat();
                for (i, wanted) in wanted.iter().enumerate() {
                    for found in [&own[i], &theirs[i]] {
                        let far = (found - wanted).abs().max().item().unwrap();
                        assert!(far < 1e-4 * wanted.abs().max().item().unwrap(), "result {i}: {far} apart");
                    }
                }
                kept = theirs[1..].to_vec();
            }
        }
    }
}
