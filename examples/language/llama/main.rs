//! A language model of Llama's kind, from a GGUF file or a folder of Hugging Face's: goes on with a text,
//! talks, tells how well it predicts a text, or squeezes it; rounded to few bits, or fine-tuned beside its
//! weights.
mod chat;
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
mod onnx;
mod open;
mod perplexity;
mod prune;
#[path = "../common/prune.rs"]
mod pruning;
mod squeeze;
#[cfg(test)]
mod tests;
#[path = "../common/train.rs"]
mod train;
mod tune;

use chat::{ChatMl, Talk};
use clap::{Parser, ValueEnum};
use folder::{Fails, Failure, busy};
use kolmo::{
    Tape,
    compress::{
        Activations, Artifact, MappedModel, matrices, pack, quantize::set_activations, save_mapped, unpack,
    },
    nn::{Param, Sampling, named_params},
    train::{save_safetensors, save_torchao},
};
use model::Llama;
use open::{Source, hugging_face_name};
use perplexity::perplexity;
use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

#[derive(Parser)]
struct Options {
    /// A GGUF file, or a folder with config.json, tokenizer.json and model.safetensors, or its index.
    #[arg(long)]
    model: PathBuf,
    /// The weights, as `--out` or `--pack` wrote them, instead of those in the file.
    #[arg(long)]
    weights: Option<PathBuf>,
    #[command(flatten)]
    pruning: pruning::Pruning,
    #[command(flatten)]
    compressing: compress::Compressing,
    #[command(flatten)]
    curve: curve::Curve,
    /// Other files of the same model, GGUF's or `--pack`'s, measured as they are beside `--sizes`.
    #[arg(long, value_delimiter = ',')]
    beside: Vec<PathBuf>,
    /// How products take what they multiply with weights that are integers.
    #[arg(long, value_enum, default_value_t = Inputs::Float)]
    activations: Inputs,
    /// Writes the weights as they are then to a file that is mapped.
    #[arg(long)]
    out: Option<PathBuf>,
    /// The same to a smaller file, whose codes are coded, which takes its time.
    #[arg(long)]
    pack: Option<PathBuf>,
    /// The same for PyTorch with torchao, under Hugging Face's names: of a model from a folder.
    #[arg(long)]
    torchao: Option<PathBuf>,
    /// What the text begins with.
    #[arg(long, default_value = "The essence of a model is")]
    prompt: String,
    /// Writes what the model makes of each token of the prompt instead, `logits` [tokens, vocabulary] in a
    /// safetensors file, to be compared with other programs.
    #[arg(long)]
    logits: Option<PathBuf>,
    /// Answers each line of the input instead, with ChatML's turns.
    #[arg(long)]
    chat: bool,
    /// What stands before the first turn, instead of the words in the model's template.
    #[arg(long)]
    system: Option<String>,
    /// How many tokens to add, or to answer with, at most.
    #[arg(long, default_value_t = 64)]
    tokens: usize,
    /// 0 for the likeliest token each time.
    #[arg(long, default_value_t = 0.0)]
    temperature: f64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The perplexity of a text instead, in windows of `--window` tokens.
    #[arg(long)]
    perplexity: Option<PathBuf>,
    #[arg(long, default_value_t = 512)]
    window: usize,
    /// Windows at most.
    #[arg(long, default_value_t = usize::MAX)]
    windows: usize,
    #[command(flatten)]
    tuning: tune::Tuning,
    #[command(flatten)]
    squeezing: squeeze::Squeezing,
    #[command(flatten)]
    exporting: onnx::Exporting,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Inputs {
    /// As they are.
    Float,
    /// Rounded to bytes, each 32 with a step of their own: faster for one token after the other.
    Int8,
}

fn main() -> Fails<()> {
    run(&Options::parse())
}

fn run(options: &Options) -> Fails<()> {
    let (mut source, began) = opened(options)?;
    eprintln!("loaded in {:.3} s", began.elapsed().as_secs_f64());
    let tokens = |path: &Path| -> Fails<Vec<u32>> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(busy("tokens", || source.tokenizer.encode(text, true))?.get_ids().to_vec())
    };
    if options.pruning.changes() {
        let (how, window, text) = (&options.pruning, options.window, options.compressing.text(tokens)?);
        prune::prune(&mut source.model, how, &options.compressing.windows(&text, window)?)?;
        if how.distill > 0 {
            prune::distill(&source.model, &opened(options)?.0.model, how, &text, window)?;
        }
    }
    if !options.curve.sizes.is_empty() || !options.beside.is_empty() {
        return sizes(options, &source, tokens);
    }
    let model = &source.model;
    match (&options.tuning.tune, &options.tuning.adapters) {
        (Some(path), _) => {
            tune::tune(model, &tokens(path)?, options.window, options.seed, &options.tuning)?;
        }
        (None, Some(folder)) => tune::load(model, folder)?,
        (None, None) => {}
    }
    options.compressing.apply(model, options.window, tokens)?;
    if options.activations == Inputs::Int8 {
        set_activations(model, Activations::Int8, matrices)?;
    }
    let written = |path: &Path| -> Fails<()> {
        println!("{}: {} bytes", path.display(), std::fs::metadata(path)?.len());
        Ok(())
    };
    if let Some(path) = &options.out {
        busy("writing", || save_mapped(model, &[], path))?;
        written(path)?;
    }
    if let Some(path) = &options.pack {
        busy("packing", || pack(model, &[])?.save(path))?;
        written(path)?;
    }
    if let Some(path) = &options.torchao {
        save_torchao(&hugging_face(model)?, path)?;
        written(path)?;
    }
    if options.squeezing.run(&source)? {
        return Ok(());
    }
    if let Some(path) = &options.perplexity {
        let (tokens, began) = (tokens(path)?, Instant::now());
        let (perplexity, count) = perplexity(model, &tokens, options.window, options.windows)?;
        let speed = count as f64 / began.elapsed().as_secs_f64();
        println!("perplexity {perplexity:.4} of {count} tokens, {speed:.0} a second");
        return Ok(());
    }
    let mut talk = Talk::new(&source, Sampling::new().temperature(options.temperature), options.seed);
    if options.chat {
        let form = ChatMl::of(source.template.as_deref(), &source.tokenizer)?;
        let (input, system) = (std::io::stdin().lock(), options.system.as_deref());
        return form.talk(&mut talk, system, options.tokens, input, &mut std::io::stdout());
    }
    let prompt = source.tokenizer.encode(options.prompt.as_str(), true)?;
    if options.exporting.run(model, prompt.get_ids())? {
        return Ok(());
    }
    if let Some(path) = &options.logits {
        let tape = Tape::inference();
        let logits = model.forward(&tape, prompt.get_ids(), &mut model.caches(), false);
        save_safetensors(&BTreeMap::from([("logits", Param::new(logits.value()?.clone()))]), path)?;
        return written(path);
    }
    print!("{}", options.prompt);
    let made = talk.go_on(prompt.get_ids(), options.tokens, &source.ends, |piece| {
        print!("{piece}");
        std::io::stdout().flush()
    })?;
    println!();
    let each = 1e3 * made.rest / made.tokens.len().saturating_sub(1).max(1) as f64;
    eprintln!("{} tokens in {:.1} ms, then {each:.2} ms each", prompt.len(), 1e3 * made.first);
    Ok(())
}

/// The model with the weights that are asked for, and when their loading began.
fn opened(options: &Options) -> Fails<(Source, Instant)> {
    let mut source = busy("opening", || Source::open(&options.model))?;
    let began = Instant::now();
    match &options.weights {
        Some(path) => stored(&mut source.model, path)?,
        None => busy("loading", || source.load())?,
    }
    Ok((source, began))
}

/// The perplexity of a text by the model in several sizes, and by other files of it.
fn sizes(options: &Options, source: &Source, tokens: impl Fn(&Path) -> Fails<Vec<u32>>) -> Fails<()> {
    if options.weights.is_some() || options.pruning.changes() || options.tuning.adapters.is_some() {
        return Err("--sizes and --beside take the model's own weights: --compress takes others".into());
    }
    let text = tokens(options.perplexity.as_ref().ok_or("--sizes and --beside take --perplexity TEXT")?)?;
    let measured =
        |model: &Llama| Ok::<_, Failure>(perplexity(model, &text, options.window, options.windows)?.0);
    let mut beside = Vec::new();
    for path in &options.beside {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let other = match path.extension().is_some_and(|end| end == "gguf") {
            true => {
                let other = Source::open(path)?;
                other.load()?;
                other
            }
            false => {
                let mut other = Source::open(&options.model)?;
                stored(&mut other.model, path)?;
                other
            }
        };
        beside.push((name, std::fs::metadata(path)?.len(), measured(&other.model)?));
    }
    let how = &options.compressing;
    let by_bytes = options.curve.sizes.iter().any(|goal| matches!(goal, goal::Goal::Bytes(_)));
    let seen = by_bytes.then(|| how.calibrated(&source.model, options.window, &tokens, true)).transpose()?;
    options.curve.run(["A language model in few bytes", "perplexity"], &beside, |goal| {
        source.load()?;
        how.put(&source.model, goal, seen.as_ref())?;
        Ok((pack(&source.model, &[])?.to_bytes()?.len(), measured(&source.model)?))
    })
}

/// The parameters under Hugging Face's names.
fn hugging_face(model: &Llama) -> Fails<BTreeMap<String, Param>> {
    if model.is_interleaved() {
        let why = "the rows of queries and keys of a GGUF file have another order than Hugging Face's";
        return Err(format!("{why}: --torchao takes a model from a folder").into());
    }
    Ok(named_params(model).into_iter().map(|(name, p)| (hugging_face_name(&name), p)).collect())
}

/// Puts the weights of a file of ours into the model: mapped, or coded.
fn stored(model: &mut Llama, path: &Path) -> Fails<()> {
    let mut start = [0; 5];
    std::io::Read::read_exact(&mut std::fs::File::open(path)?, &mut start)?;
    match start {
        [b'k', b'l', b'm', b'o', 2] => {
            let file = MappedModel::open(path)?;
            model.fit(&file.tensors().map(|(name, shape)| (name.to_string(), shape)).collect())?;
            file.load(model)?;
        }
        _ => busy("unpacking", || -> Fails<()> {
            let file = Artifact::load(path)?;
            model.fit(&file.entries.iter().map(|e| (e.name.clone(), e.shape.clone().into())).collect())?;
            Ok(unpack(&file, model)?)
        })?,
    }
    Ok(())
}
