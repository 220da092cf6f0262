//! Likeness of lines by a BERT that others trained to tell it (MiniLM): the pairs of a text that say most
//! nearly the same, or the lines that are nearest to a query; also of a model in fewer bits.
mod compress;
#[path = "../common/curve.rs"]
mod curve;
#[path = "../common/fit.rs"]
mod fit;
#[path = "../common/folder.rs"]
mod folder;
#[path = "../common/goal.rs"]
mod goal;
mod model;
mod prune;
#[path = "../common/prune.rs"]
mod pruning;
#[cfg(test)]
mod tests;
#[path = "../common/train.rs"]
mod train;

use clap::Parser;
use folder::Fails;
use kolmo::{Tape, Tensor, compress::pack, data::write_npy, nn::named_params};
use model::Sentences;
use std::{fs, path::PathBuf, time::Instant};

#[derive(Parser)]
struct Options {
    /// A folder with config.json, tokenizer.json and model.safetensors.
    #[arg(long)]
    model: PathBuf,
    /// A text; its lines are compared, but for those that are empty or there twice.
    #[arg(long)]
    lines: PathBuf,
    /// The lines nearest to this one, instead of the most similar pairs.
    #[arg(long)]
    query: Option<String>,
    /// How many are shown.
    #[arg(long, default_value_t = 10)]
    count: usize,
    /// Lines that go through the model at once.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    #[command(flatten)]
    compressing: compress::Compressing,
    #[command(flatten)]
    curve: curve::Curve,
    /// Writes the vectors to a safetensors file, as `vectors` [lines, width].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Writes the model as an ONNX file, beside which the tokens of the first line and its vector go, which
    /// `examples/onnx/check.py` reads.
    #[arg(long)]
    onnx: Option<PathBuf>,
}

fn main() -> Fails<()> {
    run(&Options::parse())
}

fn run(options: &Options) -> Fails<()> {
    let text = fs::read_to_string(&options.lines).map_err(|e| format!("{}: {e}", options.lines.display()))?;
    let lines = compress::lines(&text);
    if lines.is_empty() {
        return Err(format!("{}: no lines", options.lines.display()).into());
    }
    let mut model = folder::busy("loading", || Sentences::open(&options.model))?;
    if !options.curve.sizes.is_empty() {
        return sizes(options, &mut model, &lines);
    }
    let before = if options.compressing.changes() { Some(model.embed(&lines, options.batch)?) } else { None };
    options.compressing.apply(&mut model, options.batch)?;
    if let Some(path) = &options.onnx {
        model.export(path)?;
        write_npy(model.tokens(lines[0])?.cast::<i64>(), path.with_extension("input_0.npy"))?;
        write_npy(model.embed(&lines[..1], 1)?, path.with_extension("output_0.npy"))?;
    }
    let began = Instant::now();
    let vectors = model.embed(&lines, options.batch)?;
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("{} lines in {seconds:.2} s, {:.0} a second", lines.len(), lines.len() as f64 / seconds);
    if let Some(before) = before {
        let (mean, least) = compress::likeness(&before, &vectors)?;
        println!("likeness to the vectors before: {mean:.5} in the mean, {least:.5} at least");
    }
    if let Some(path) = &options.out {
        let all = std::collections::BTreeMap::from([("vectors", kolmo::nn::Param::new(vectors.clone()))]);
        kolmo::train::save_safetensors(&all, path)?;
    }
    match &options.query {
        Some(query) => {
            for (likeness, i, _) in nearest(&model.embed(&[query], 1)?, &vectors, options.count, |_, _| true)?
            {
                println!("{likeness:.4}  {}", lines[i]);
            }
        }
        None => {
            for (likeness, i, j) in nearest(&vectors, &vectors, options.count, |i, j| i < j)? {
                println!("{likeness:.4}  {}\n        {}", lines[j], lines[i]);
            }
        }
    }
    Ok(())
}

/// How near the lines' vectors stay to what they were, by the model in several sizes.
fn sizes(options: &Options, model: &mut Sentences, lines: &[&str]) -> Fails<()> {
    let (batch, how) = (options.batch, &options.compressing);
    let whole = model.embed(lines, batch)?;
    how.apply(model, batch)?;
    let weights: Vec<_> =
        named_params::<f32>(model.weights()).into_iter().map(|(_, p)| (p.state(), p)).collect();
    options.curve.run(["A model of sentences in few bytes", "1 - mean cosine"], &[], |goal| {
        for (state, p) in &weights {
            p.set_state(state.clone())?;
        }
        how.put(model, goal, batch)?;
        let bytes = pack(model.weights(), &[])?.to_bytes()?.len();
        Ok((bytes, 1.0 - compress::likeness(&whole, &model.embed(lines, batch)?)?.0))
    })
}

/// The largest products of vectors `a` `[n, width]` and `b` `[m, width]` among pairs that are asked for: what
/// they are, and the places in `b` and `a`.
fn nearest(
    a: &Tensor,
    b: &Tensor,
    count: usize,
    asked: impl Fn(usize, usize) -> bool,
) -> Fails<Vec<(f32, usize, usize)>> {
    let (mut best, mut tape) = (Vec::new(), Tape::inference());
    // So many at a time that the products of long texts fit into memory.
    for start in (0..a.dim(0)).step_by(256) {
        tape.reset();
        let some = a.narrow(0, start, (a.dim(0) - start).min(256))?;
        let products = tape.constant(some).linear(&tape.constant(b), None).to_vec()?;
        let pairs = products.iter().enumerate();
        let pairs = pairs.map(|(at, product)| (*product, at % b.dim(0), start + at / b.dim(0)));
        best.extend(pairs.filter(|&(_, i, j)| asked(j, i)));
        best.sort_by(|a, b| b.0.total_cmp(&a.0));
        best.truncate(count);
    }
    Ok(best)
}
