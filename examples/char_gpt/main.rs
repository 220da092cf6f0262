//! A small GPT that learns to write, character by character: kolmo's own source, or any text. The size and
//! the training are nanoGPT's for a CPU (Karpathy, github.com/karpathy/nanoGPT), where tiny Shakespeare ends
//! at a loss of 1.88 nats.
//!
//! ```sh
//! cargo run --release --example char_gpt                   # the source of this crate
//! cargo run --release --example char_gpt -- --text FILE
//! ```
mod model;
#[path = "../common/text.rs"]
mod text;

use clap::Parser;
use kolmo::{
    Random, Tape, Tensor,
    data::{CharTokenizer, DataLoader, random_windows},
    nn::named_params,
    optim::{AdamW, Group, WarmupCosineLr},
    train::Trainer,
};
use model::{Config, Gpt};
use std::{f64::consts::LN_2, fs, path::PathBuf, time::Instant};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const BATCH: usize = 12;
/// Steps between two looks at the validation loss.
const EPOCH: u64 = 250;

#[derive(Parser)]
struct Options {
    /// A text instead of the crate's source; its last tenth is for validation
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    #[arg(long, default_value_t = 2000)]
    steps: u64,
    /// Of the weights, the blocks and the text that is written
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Characters to write at the end
    #[arg(long, default_value_t = 600)]
    write: usize,
    /// A few steps, to see that everything works
    #[arg(long)]
    quick: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let learnt = match &options.text {
        Some(path) => fs::read_to_string(path)?,
        None => text::source()?,
    };
    let characters = CharTokenizer::fit(&learnt);
    let tokens = characters.encode(&learnt)?;
    let (train, held_out) = tokens.split_at(tokens.len() - tokens.len() / 10);
    let config = Config {
        vocabulary: characters.len(),
        block_size: 64,
        layers: 4,
        heads: 4,
        width: 128,
        dropout: 0.0,
    };
    let net = Gpt::new(config, &mut Random::new(options.seed))?;
    let weights: usize = named_params::<f32>(&net).iter().map(|(_, p)| p.shape().numel()).sum();
    println!("{} characters, {} different ones; {weights} weights", tokens.len(), characters.len());

    let (steps, epoch) = if options.quick { (20, 10) } else { (options.steps, EPOCH) };
    // Weights decay, biases and normalisations don't.
    let plain = Group::new(|name, _| name.ends_with("bias") || name.contains("ln_")).weight_decay(0.0);
    let mut adam = AdamW::new(1e-3).betas(0.9, 0.99).weight_decay(0.1).group(plain);
    let schedule = WarmupCosineLr::new(1e-3, 100.min(steps / 4), steps).eta_min(1e-4);
    let begin = Instant::now();
    let blocks = train.to_vec();
    Trainer::new(DataLoader::new(epoch as usize * BATCH, BATCH).seed(options.seed), steps / epoch)
        .schedule(&schedule)
        .clip_norm(1.0)
        .fit(
            &net,
            &mut adam,
            move |rows, rng| random_windows(&blocks, rows.len(), config.block_size, rng),
            |tape, (x, y)| net.loss(tape, x, y),
            || Ok(vec![("validation", validation(&net, held_out, config.block_size, 20)?)]),
        )?;
    let loss = validation(&net, held_out, config.block_size, usize::MAX)?;
    println!(
        "{steps} steps in {:.0} s; loss on the last tenth: {loss:.3} nats, {:.3} bits a character\n",
        begin.elapsed().as_secs_f64(),
        loss / LN_2
    );
    println!("{}", write(&net, &characters, config.block_size, &options)?);
    Ok(())
}

/// The mean loss of at most so many batches of stretches of the text, one after the other.
fn validation(net: &Gpt, tokens: &[u32], length: usize, batches: usize) -> kolmo::Result<f64> {
    let blocks: Vec<&[u32]> = tokens.windows(length + 1).step_by(length).collect();
    // Spread over the whole of it.
    let batches = batches.min(blocks.len().div_ceil(64));
    let every = (blocks.len() / (batches * 64).max(1)).max(1);
    let chosen: Vec<&[u32]> = blocks.into_iter().step_by(every).collect();
    let (mut sum, mut count) = (0.0, 0);
    for part in chosen.chunks(64) {
        let side =
            |shift: usize| Tensor::from_fn([part.len(), length], |i| part[i / length][i % length + shift]);
        let tape = Tape::inference();
        sum += f64::from(net.loss(&tape, &side(0), &side(1)).item()?) * part.len() as f64;
        count += part.len();
    }
    Ok(sum / count as f64)
}

/// Text as the model goes on: each next character is drawn with its probability, a little in favour of the
/// likely ones.
fn write(net: &Gpt, characters: &CharTokenizer, length: usize, options: &Options) -> Result<String> {
    let mut random = Random::new(options.seed);
    let mut tokens = characters.encode("\n")?;
    let tape = Tape::inference();
    for _ in 0..if options.quick { 20 } else { options.write } {
        let seen = &tokens[tokens.len().saturating_sub(length)..];
        let scores = net.forward(&tape, &Tensor::from(seen.to_vec()).reshape([1, -1])?);
        let chances = (scores.select(1, -1) / 0.8).softmax(-1);
        tokens.extend(chances.value()?.multinomial(1, true, &mut random)?.to_vec());
    }
    Ok(characters.decode(&tokens[1..])?)
}
