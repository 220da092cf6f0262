//! Heads, hidden units and blocks cut out of a model, which then learns from the whole one.
use crate::{
    folder::{Fails, busy},
    model::Llama,
    pruning::{Pruning, thaw},
};
use kolmo::{
    Random, Tape, Tensor,
    compress::{
        Channels,
        distill::soft_target_loss,
        scores::{ScoreCriterion, Scores},
    },
};

/// Names of the parameters that have hidden units, and heads.
const PARTS: [&str; 2] = [".ffn_gate.", ".attn_k."];

/// Cuts out of a model what these windows of tokens need least.
pub fn prune(model: &mut Llama, how: &Pruning, windows: &[&[u32]]) -> Fails<()> {
    thaw(model);
    if how.prune_blocks > 0 {
        let influence = busy("blocks", || influence(model, windows))?;
        let gone = how.blocks(&influence)?;
        gone.iter().for_each(|&block| model.remove(block));
        eprintln!("without the blocks {gone:?}");
    }
    if how.prunes_channels() {
        let scores = busy("scores", || scores(model, windows))?;
        let tape = Tape::inference();
        let some = &windows[0][..windows[0].len().min(4)];
        let example = model.embedded(&tape, some).value()?.clone();
        let channels = busy("channels", || Channels::trace(model, &example, |x| model.blocks(x, |_, _| {})))?;
        how.cut(model, &channels, &scores, PARTS)?;
    }
    let weights: usize = kolmo::nn::named_params::<f32>(model).iter().map(|(_, p)| p.shape().numel()).sum();
    eprintln!("{weights} weights are left");
    Ok(())
}

/// How much each block changes what goes through it: 1 less the mean cosine of before and after (Men et al.,
/// 2024).
fn influence(model: &Llama, windows: &[&[u32]]) -> Fails<Vec<f64>> {
    let mut sums = Vec::new();
    for window in windows {
        let tape = Tape::inference();
        let mut each = Vec::new();
        let _ = model.blocks(&model.embedded(&tape, *window), |before, after| {
            each.push(1.0 - before.cosine_similarity(after, -1, 1e-8).mean());
        });
        sums.resize(each.len(), 0.0);
        for (sum, change) in sums.iter_mut().zip(&each) {
            *sum += f64::from(change.item()?);
        }
    }
    Ok(sums)
}

fn scores(model: &Llama, windows: &[&[u32]]) -> Fails<Scores> {
    let (mut scores, mut tape) = (Scores::new(ScoreCriterion::Taylor), Tape::new());
    for window in windows {
        tape.reset();
        let n = window.len() - 1;
        let logits = model.forward(&tape, &window[..n], &mut [], false);
        scores.add(model, &logits.cross_entropy(&Tensor::from(&window[1..])).backward()?)?;
    }
    Ok(scores)
}

/// Trains a model on a text towards what the whole one says of each next token.
pub fn distill(model: &Llama, whole: &Llama, how: &Pruning, tokens: &[u32], window: usize) -> Fails<()> {
    if tokens.len() <= window {
        return Err(
            format!("{} tokens to learn from: takes more than a window of {window}", tokens.len()).into()
        );
    }
    let mut inference = Tape::inference();
    how.train(model, |tape, rng: &mut Random| {
        let mut texts = Vec::new();
        for _ in 0..how.distill_batch.max(1) {
            let start = rng.randint(0..tokens.len() - window)?;
            texts.extend_from_slice(&tokens[start..start + window]);
        }
        let texts = Tensor::new([texts.len() / window, window], texts)?;
        inference.reset();
        let wanted = whole.forward(&inference, texts.clone(), &mut [], false).flatten(0, 1).value()?.clone();
        let found = model.forward(tape, texts.clone(), &mut [], false).flatten(0, 1);
        let targets = texts.reshape([-1])?;
        Ok(soft_target_loss(&found, &tape.constant(wanted), &targets, 1.0, 1.0))
    })
}

#[cfg(test)]
mod tests {
    use crate::{
        Options, run,
        tests::{Folder, HEADS, KV_HEADS, TEXT, WIDE, WIDTH, both, near},
    };
    use clap::Parser;
    use kolmo::{compress::Artifact, data::Safetensors};
    use std::{collections::BTreeMap, fs};

    #[test]
    fn a_pruned_model_learns_from_the_whole_and_comes_back_from_both_kinds_of_files() {
        let folder = Folder::new("prune");
        drop(both(&folder));
        let path = |name: &str| folder.0.join(name).to_str().unwrap().to_string();
        let (text, [mapped, packed], outs) =
            (path("text"), ["mapped", "packed"].map(path), ["a", "b", "c"].map(path));
        fs::write(&text, TEXT.repeat(5)).unwrap();
        for model in [path("tiny.gguf"), path("")] {
            let done = |options: &[&str]| {
                run(&Options::parse_from(["llama", "--model", &model].iter().chain(options)))
            };
            let how =
                ["--prune-units", "0.5", "--prune-heads", "0.5", "--prune-blocks", "1", "--calibrate", &text];
            let files = ["--window", "9", "--out", &mapped, "--pack", &packed, "--logits"];
            let more = |steps| [&how[..], &["--distill", steps, "--distill-lr", "0.01"], &files[..]].concat();
            done(&[&more("0")[..], &[&outs[0]]].concat()).unwrap();
            done(&[&more("20")[..], &[&outs[1]]].concat()).unwrap();
            let shapes: BTreeMap<String, Vec<usize>> = Artifact::load(&packed)
                .unwrap()
                .entries
                .into_iter()
                .map(|entry| (entry.name, entry.shape))
                .collect();
            assert!(!shapes.keys().any(|name| name.starts_with("blk.1.")));
            let width = WIDTH / HEADS;
            assert_eq!(shapes["blk.0.attn_q.weight"], [WIDTH / 2, WIDTH]);
            assert_eq!(shapes["blk.0.attn_v.weight"], [width * KV_HEADS / 2, WIDTH]);
            assert_eq!(shapes["blk.0.ffn_down.weight"], [WIDTH, WIDE / 2]);
            let made = |out: &str| Safetensors::open(out).unwrap().tensor::<f32>("logits").unwrap().to_vec();
            for weights in [&mapped, &packed] {
                done(&["--weights", weights, "--logits", &outs[2]]).unwrap();
                assert!(near(&made(&outs[1]), &made(&outs[2]), 1e-6));
            }
            // What it learns is what the whole model says.
            done(&["--logits", &outs[2]]).unwrap();
            let whole = made(&outs[2]);
            let far = |out: &str| made(out).iter().zip(&whole).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
            assert!(far(&outs[1]) < 0.9 * far(&outs[0]), "{} {}", far(&outs[1]), far(&outs[0]));
            let error = done(&["--prune-blocks", "2", "--calibrate", &text, "--window", "9"])
                .unwrap_err()
                .to_string();
            assert!(error.contains("there are 2, and one is to be left"), "{error}");
            let error = done(&["--prune-units", "0.5"]).unwrap_err().to_string();
            assert!(error.contains("--calibrate TEXT is needed"), "{error}");
        }
    }
}
