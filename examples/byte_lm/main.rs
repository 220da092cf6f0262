//! A language model by bytes, without a tokenizer, in few of them: a recurrent network that foretells the next byte
//! of a text is trained with the bits of its file in the loss, weighed so that the file comes to a given size. The
//! file is loaded again and told a text that it has never seen: bits a byte of that, beside the bytes of all that
//! is needed to foretell it.
//!
//! ```sh
//! cargo run --release --example byte_lm                     # the source of this crate
//! cargo run --release --example byte_lm -- --text FILE --bytes 20000 60000
//! cd target/byte_lm && squeeze --prime training rest rest.sqz   # the line to beat
//! cargo run --release --example byte_lm -- --measure --bytes 20000 60000   # files that are there, beside it
//! ```
mod model;
mod report;
#[cfg(test)]
mod tests;
#[path = "../common/text.rs"]
mod text;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use kolmo::{
    Random, Tape, Tensor,
    compress::{
        all_params, description_length,
        quantize::{self, Quantizer},
        rate,
    },
    data::write_file,
    number::Arithmetic,
    optim::{Adam, Optimizer},
};
use model::ByteLm;
use report::{Point, Report};
use std::{
    f64::consts::{LN_2, PI},
    fs,
    path::PathBuf,
    time::Instant,
};

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Readers side by side, each with its own part of the text, and how many bytes they read in a step.
const READERS: usize = 32;
const LENGTH: usize = 64;
/// Shares of all steps after which weights are whole numbers, and after which these are settled.
const ROUNDED: f64 = 0.4;
const SETTLED: f64 = 0.95;
/// Steps between two looks at how far the estimate of the bits is from the file.
const LOOK: usize = 100;
/// How quickly the weight of a bit follows how far the bits are from those that are wanted.
const PULL: f64 = 0.05;

#[derive(Parser)]
struct Options {
    /// A text instead of the crate's source; its last tenth is never seen in training
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// What the file is to come to; one network for each
    #[arg(long, num_args = 1.., default_values_t = [20_000])]
    #[arg(value_parser = clap::value_parser!(u64).range(500..=100_000_000))]
    bytes: Vec<u64>,
    /// Length of the network's state; else such that a weight has 2.5 bits
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=8192))]
    width: Option<u16>,
    /// Bits of a weight at most
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=8))]
    bits: u32,
    /// How often the text is read
    #[arg(long, default_value_t = 20.0)]
    epochs: f64,
    #[arg(long, default_value_t = 4e-3)]
    lr: f64,
    #[arg(long, default_value_t = 0.1)]
    dropout: f64,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Measure on the last tenth of what is trained on, and leave the rest alone: for choosing settings
    #[arg(long)]
    held_out: bool,
    /// A little of the text, to see that everything works
    #[arg(long)]
    quick: bool,
    /// Train nothing: measure the files of an earlier run
    #[arg(long)]
    measure: bool,
    /// Where files, report and plot go
    #[arg(long, value_name = "DIR", default_value = "target/byte_lm")]
    out: PathBuf,
}

fn main() -> Result<()> {
    run(&Options::parse())
}

fn run(options: &Options) -> Result<()> {
    fs::create_dir_all(&options.out).map_err(|e| format!("{}: {e}", options.out.display()))?;
    let mut report = Report::default();
    let (training, rest) = texts(options)?;
    println!("{} bytes to learn, {} to be foretold; seed {}", training.len(), rest.len(), options.seed);
    write_file(&training, options.out.join("training"))?;
    write_file(&rest, options.out.join("rest"))?;
    println!("{}", Point::HEAD);
    for &bytes in &options.bytes {
        let (begun, path) = (Instant::now(), options.out.join(format!("{bytes}.kolmo")));
        if !options.measure {
            trained(options, &training, 8.0 * bytes as f64)?.save(&path)?;
        }
        let point = Point::of(&path, &rest, begun.elapsed())?;
        println!("{point}");
        report.points.push(point);
    }
    report.finish(&options.out)
}

/// What is trained on, and what follows it.
fn texts(options: &Options) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut text = match &options.text {
        Some(path) => fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?,
        None => text::source()?.into_bytes(),
    };
    if options.quick {
        text.truncate(20 * READERS * LENGTH);
    }
    let least = 2 * READERS * LENGTH;
    if text.len() < least {
        return Err(format!("the text has {} bytes: {least} are the fewest", text.len()).into());
    }
    if options.held_out {
        text.truncate(text.len() - text.len() / 10);
    }
    let rest = text.split_off(text.len() - text.len() / 10);
    Ok((text, rest))
}

/// A network whose file has about so many bits.
fn trained(options: &Options, text: &[u8], wanted: f64) -> Result<ByteLm> {
    let guess = || (1..8192).find(|&w| 2.5 * ByteLm::weights(w) as f64 > wanted).unwrap_or(8192);
    let net = ByteLm::new(options.width.map_or_else(guess, usize::from), &mut Random::new(options.seed));
    let mut tape = Tape::new();
    tape.set_random(Random::new(options.seed));
    let mut adam = Adam::new(options.lr);
    let part = (text.len() - 1) / READERS;
    let steps = ((part / LENGTH) as f64 * if options.quick { 2.0 } else { options.epochs }).ceil();
    let bar = bar(steps as u64);
    // What a bit weighs against a nat of a byte; at first a third of what it would weigh if the file and the
    // text under it were to be shortest together.
    let (mut weight, mut first, mut looks) = (LN_2 / text.len() as f64 / 3.0, 0.0, 0);
    let mut ratio = 1.0;
    let (mut at, mut state, mut mean) = (part, None::<Tensor>, 0.0);
    let mut stage = 0;
    for step in 0..steps as usize {
        let progress = step as f64 / steps;
        if stage == 0 && progress >= ROUNDED {
            Quantizer::new(options.bits).attach(&net, all_params)?;
            stage = 1;
        }
        if stage == 1 && progress >= SETTLED {
            quantize::convert(&net)?;
            stage = 2;
        }
        if at + LENGTH > part {
            (at, state) = (0, None);
        }
        let side = |shift: usize| {
            let place = |i: usize| i % READERS * part + at + i / READERS + shift;
            Tensor::from_fn([LENGTH, READERS], |i| u32::from(text[place(i)]))
        };
        let (scores, end) = net.forward(&tape, &side(0), state.as_ref(), options.dropout);
        let mut loss = scores.cross_entropy(&side(1).reshape([-1])?);
        mean += 0.01 * (f64::from(loss.item()?) / LN_2 - mean);
        let mut message = format!("{mean:.3} bits a byte");
        state = Some(end.hidden.value()?.clone());
        if stage == 1 {
            let bits = rate(&net, &tape);
            let estimate = f64::from(bits.item()?);
            if looks % LOOK == 0 {
                ratio = description_length(&net)? as f64 / estimate.max(1.0);
            }
            looks += 1;
            let now = estimate * ratio;
            if first == 0.0 {
                first = now;
            }
            // What goes in haste is missed later.
            let done = (2.0 * (progress - ROUNDED) / (SETTLED - ROUNDED)).min(1.0);
            let goal = first * Arithmetic::pow((wanted / first).min(1.0), done);
            weight *= Arithmetic::pow(now / goal, PULL);
            loss = loss + bits * weight;
            message += &format!(", {:.0} bytes, of which a bit weighs {:.2e}", now / 8.0, weight);
        }
        let mut grads = loss.backward()?;
        grads.clip_norm(1.0, 2.0)?;
        adam.set_lr(options.lr * 0.5 * (1.0 + Arithmetic::cos(PI * progress)));
        adam.step(&net, &grads)?;
        drop((scores, end, loss));
        tape.reset();
        at += LENGTH;
        bar.set_message(message);
        bar.inc(1);
    }
    bar.finish_and_clear();
    quantize::to_half(&net);
    Ok(net)
}

fn bar(steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    match ProgressStyle::with_template("{elapsed:>5} {bar:30} {pos}/{len} steps, {msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
