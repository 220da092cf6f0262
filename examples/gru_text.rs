//! A recurrent network that reads a text from its beginning to its end, in many places at once: its state
//! goes from one batch to the next, while gradients go back only to the beginning of a batch. What it has
//! learnt is compared with gzip.
//!
//! ```sh
//! cargo run --release --example gru_text                   # the source of this crate
//! cargo run --release --example gru_text -- --text FILE
//! ```
#[path = "common/text.rs"]
mod text;

use clap::Parser;
use flate2::{Compression, write::GzEncoder};
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    data::CharTokenizer,
    nn::{Embedding, Layer, Linear, Recurrent, State},
    optim::{Adam, CosineAnnealingLr, Optimizer, Schedule},
};
use serde::{Deserialize, Serialize};
use std::{f64::consts::LN_2, io::Write, path::PathBuf};

/// Readers side by side, each with its own part of the text, and how many characters they read in a step.
const READERS: usize = 16;
const LENGTH: usize = 48;

#[derive(Parser)]
struct Options {
    /// A text instead of the crate's source; its last tenth is for validation
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    #[arg(long, default_value_t = 4)]
    epochs: u64,
    /// A little of the text, to see that everything works
    #[arg(long)]
    quick: bool,
}

#[derive(Serialize, Deserialize)]
struct Net {
    embedding: Embedding,
    gru: Recurrent,
    scores: Linear,
}

impl Net {
    fn new(vocabulary: usize, width: usize, rng: &mut Random) -> Net {
        Net {
            embedding: Embedding::new(vocabulary, 32, rng),
            gru: Recurrent::gru(32, width, rng),
            scores: Linear::new(width, vocabulary, rng),
        }
    }

    /// Scores `[steps · n, vocabulary]` of the next character after each of `[steps, n]`, and the state at
    /// the end.
    fn forward<'t>(
        &self,
        tape: &'t Tape,
        tokens: &Tensor<u32>,
        state: Option<&Tensor>,
    ) -> (Var<'t>, State<'t>) {
        // From the last batch only a value comes: no gradient flows there.
        let state = state.map(|s| State { hidden: tape.constant(s), cell: None });
        let (y, end) = self.gru.forward(&self.embedding.forward(tokens, tape), state.as_ref());
        let width = y.dim(-1) as isize;
        (self.scores.forward(&y.dropout(0.2).reshape([-1, width])), end)
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let options = Options::parse();
    let text = match &options.text {
        Some(path) => std::fs::read_to_string(path)?,
        None => text::source()?,
    };
    let characters = CharTokenizer::fit(&text);
    let tokens = characters.encode(&text)?;
    let (train, held_out) = tokens.split_at(tokens.len() - tokens.len() / 10);
    let net = Net::new(characters.len(), 256, &mut Random::new(0));
    println!("{} characters, {} different ones", tokens.len(), characters.len());

    let epochs = if options.quick { 1 } else { options.epochs };
    let part = (train.len() - 1) / READERS / if options.quick { 20 } else { 1 };
    let steps = part / LENGTH;
    let schedule = CosineAnnealingLr::new(4e-3, epochs * steps as u64);
    let mut adam = Adam::new(4e-3);
    let mut tape = Tape::new();
    for epoch in 0..epochs {
        let (mut state, mut sum) = (None::<Tensor>, 0.0);
        for step in 0..steps {
            let side = |shift: usize| {
                let at = |i: usize| i % READERS * part + step * LENGTH + i / READERS + shift;
                Tensor::from_fn([LENGTH, READERS], |i| train[at(i)])
            };
            let (scores, end) = net.forward(&tape, &side(0), state.as_ref());
            let loss = scores.cross_entropy(&side(1).reshape([-1])?);
            state = Some(end.hidden.value()?.clone());
            sum += f64::from(loss.item()?);
            let mut grads = loss.backward()?;
            grads.clip_norm(1.0, 2.0)?;
            adam.set_lr(schedule.lr(epoch * steps as u64 + step as u64)?);
            adam.step(&net, &grads)?;
            tape.reset();
        }
        let bits = validation(&net, held_out)? / LN_2;
        let mean = sum / steps as f64 / LN_2;
        println!("epoch {}: {mean:.3} bits a character, {bits:.3} on the last tenth", epoch + 1);
    }

    let packed = |text: &str| -> std::io::Result<f64> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(text.as_bytes())?;
        Ok(8.0 * gzip.finish()?.len() as f64)
    };
    // What gzip needs for the last tenth when it has seen the rest.
    let more = packed(&text)? - packed(&characters.decode(train)?)?;
    println!("gzip needs {:.3} bits for each character of the last tenth", more / held_out.len() as f64);
    Ok(())
}

/// The mean loss over a text read in one go.
fn validation(net: &Net, tokens: &[u32]) -> Result<f64> {
    let (tape, mut state) = (Tape::inference(), None::<Tensor>);
    let (mut sum, mut count) = (0.0, 0);
    for part in tokens.windows(257).step_by(256) {
        let side = |shift: usize| Tensor::from_fn([256, 1], |i| part[i + shift]);
        let (scores, end) = net.forward(&tape, &side(0), state.as_ref());
        sum += f64::from(scores.cross_entropy(&side(1).reshape([-1])?).item()?);
        count += 1;
        state = Some(end.hidden.value()?.clone());
    }
    Ok(sum / f64::from(count))
}
