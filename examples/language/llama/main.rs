//! A language model of Llama's kind, from a GGUF file: goes on with a text, or tells how well it predicts
//! one.
mod model;
mod quantise;

use clap::Parser;
use kolmo::{
    Random, Tape, Tensor,
    compress::{MappedModel, save_mapped},
    data::Gguf,
    nn::Sampling,
};
use model::Llama;
use std::{error::Error, io::Write, path::PathBuf, time::Instant};
use tokenizers::{
    Tokenizer, decoders,
    models::bpe::{BPE, Vocab},
    pre_tokenizers,
};

#[derive(Parser)]
struct Options {
    /// A GGUF file, whose tokens and sizes are used in any case.
    #[arg(long)]
    model: PathBuf,
    /// Its weights, as `--out` wrote them, instead of those in the GGUF file.
    #[arg(long)]
    weights: Option<PathBuf>,
    /// Rounds the weights to so many bits, 1 to 8, `--group` neighbours with a scale and a zero point.
    #[arg(long)]
    bits: Option<u32>,
    #[arg(long, default_value_t = 32)]
    group: usize,
    #[command(flatten)]
    quantise: quantise::Options,
    /// Writes the weights as they are then to a file that is mapped.
    #[arg(long)]
    out: Option<PathBuf>,
    /// What the text begins with.
    #[arg(long, default_value = "The essence of a model is")]
    prompt: String,
    /// How many tokens to add.
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
}

type Fails<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The tokenizer that a file of a model with byte pairs describes.
fn tokenizer(file: &Gguf) -> Fails<Tokenizer> {
    let vocabulary = file.value::<Vec<&str>>("tokenizer.ggml.tokens")?;
    let vocabulary = (0..).zip(vocabulary).map(|(i, token)| (token.to_string(), i)).collect();
    let pair = |pair: &str| pair.split_once(' ').map(|(a, b)| (a.to_string(), b.to_string()));
    let merges = file.value::<Vec<&str>>("tokenizer.ggml.merges")?.into_iter().filter_map(pair).collect();
    let bpe = BPE::builder().vocab_and_merges::<Vocab>(vocabulary, merges).build()?;
    let mut tokenizer = Tokenizer::new(bpe);
    let digits = pre_tokenizers::digits::Digits::new(true);
    let bytes = pre_tokenizers::byte_level::ByteLevel::new(false, true, true);
    tokenizer
        .with_pre_tokenizer(Some(pre_tokenizers::sequence::Sequence::new(vec![digits.into(), bytes.into()])));
    tokenizer.with_decoder(Some(decoders::byte_level::ByteLevel::default()));
    Ok(tokenizer)
}

fn main() -> Fails<()> {
    let options = Options::parse();
    let began = Instant::now();
    let file = Gguf::open(&options.model)?;
    let model = Llama::blank(&file)?;
    match &options.weights {
        Some(path) => MappedModel::open(path)?.load(&model)?,
        None => model.load(&file)?,
    }
    eprintln!("loaded in {:.3} s", began.elapsed().as_secs_f64());
    let tokenizer = tokenizer(&file)?;
    quantise::quantise(&model, &tokenizer, &options)?;
    if let Some(path) = &options.out {
        save_mapped(&model, &[], path)?;
        println!("{}: {} bytes", path.display(), std::fs::metadata(path)?.len());
    }
    let mut tape = Tape::inference();
    if let Some(path) = &options.perplexity {
        let text = std::fs::read_to_string(path)?;
        let tokens = tokenizer.encode(text, false)?;
        let (mut loss, mut count) = (0.0, 0);
        let began = Instant::now();
        for window in tokens.get_ids().chunks_exact(options.window).take(options.windows) {
            tape.reset();
            let logits = model.forward(&tape, &window[..window.len() - 1], &mut model.caches(), false);
            let n = window.len() - 1;
            loss += f64::from(logits.cross_entropy(&Tensor::from(&window[1..])).item()?) * n as f64;
            count += n;
        }
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "perplexity {:.4} of {count} tokens, {:.0} a second",
            (loss / count as f64).exp(),
            count as f64 / seconds
        );
        return Ok(());
    }
    let mut caches = model.caches();
    let mut next = tokenizer.encode(options.prompt.as_str(), false)?.get_ids().to_vec();
    let sampling = Sampling::new().temperature(options.temperature);
    let rng = &mut Random::new(options.seed);
    print!("{}", options.prompt);
    let (began, prompt) = (Instant::now(), next.len());
    let mut first = 0.0;
    for i in 0..options.tokens {
        tape.reset();
        let logits = model.forward(&tape, &next, &mut caches, true);
        next = sampling.sample(logits.value()?, rng)?;
        print!("{}", tokenizer.decode(&next, false)?);
        std::io::stdout().flush()?;
        if i == 0 {
            first = began.elapsed().as_secs_f64();
        }
    }
    println!();
    let each = (began.elapsed().as_secs_f64() - first) / (options.tokens - 1).max(1) as f64;
    eprintln!("{prompt} tokens in {:.1} ms, then {:.2} ms each", 1e3 * first, 1e3 * each);
    Ok(())
}
