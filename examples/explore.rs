//! A page that shows a recorded tape statement by statement: open it in a browser.
//!
//! ```sh
//! cargo run --example explore                          # a small network, to explore.html
//! cargo run --example explore -- --program scalar
//! cargo run --example explore -- --program gpt --out gpt.html
//! # One of ten thousand statements; a step beside the one after it.
//! cargo run --release --example explore -- --program gpt --layers 640 --out long.html
//! # Random weights in a language model of SmolLM2-135M's shape, or narrower
//! cargo run --release --example explore -- --program llama --layers 30 --width 576 --context 64 --out llama.html
//! cargo run --release --example explore -- --program gpt --layers 4 --width 128 --context 64 --batch 12 --compare
//! ```
#[path = "language/common/fit.rs"]
mod fit;
#[path = "language/llama/model.rs"]
#[allow(dead_code, reason = "what a model with weights from a file needs")]
mod llama;
#[path = "char_gpt/model.rs"]
mod model;
/// What the language model's example has for all of its models.
mod folder {
    use kolmo::{Result, Tensor, nn::Linear};
    pub type Fails<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

    /// A layer whose weights are to come: one zero, however large it is.
    pub fn blank(inputs: usize, outputs: usize, _bias: bool) -> Result<Linear> {
        Linear::from_weights(Tensor::zeros([1, 1]).expand([outputs, inputs])?, None)
    }
}

use clap::{Parser, ValueEnum};
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    inspect::Explorer,
    nn::{Layer, Linear, Param, init, visit_params},
    optim::{Adam, Optimizer},
};
use llama::{Llama, Sizes};
use model::{Config, Gpt};
use serde::Serialize;
use std::path::PathBuf;

#[derive(Parser)]
struct Options {
    #[arg(long, value_enum, default_value = "mlp")]
    program: Program,
    #[arg(long, value_name = "FILE", default_value = "explore.html")]
    out: PathBuf,
    /// Of the transformers: blocks, size of a token's vector, tokens of a text, texts
    #[arg(long, default_value_t = 9)]
    layers: usize,
    #[arg(long, default_value_t = 32)]
    width: usize,
    #[arg(long, default_value_t = 16)]
    context: usize,
    #[arg(long, default_value_t = 2)]
    batch: usize,
    /// Shows the step after one of Adam, too
    #[arg(long)]
    compare: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Program {
    /// Newton's square root and a few functions, on single numbers
    Scalar,
    /// A training step of a network with two hidden layers
    Mlp,
    /// A training step of a small transformer
    Gpt,
    /// The same of a language model of Llama's kind, with heads of 64 numbers if there is room for one
    Llama,
}

fn main() -> Result<()> {
    let options = Options::parse();
    match options.program {
        Program::Scalar => scalar(&options.out)?,
        Program::Mlp => mlp(&options.out)?,
        Program::Gpt => gpt(&options)?,
        Program::Llama => llama(&options)?,
    }
    println!("open {} in a browser", options.out.display());
    Ok(())
}

/// How far from the root of 2 is what Newton finds, and how does that depend on where it starts?
fn scalar(out: &PathBuf) -> Result<()> {
    let tape = Tape::<f64>::new();
    tape.set_observing(true);
    let [number, start, angle] = [2.0, 1.0, 0.7].map(|v| tape.scalar(v));
    let mut root = start;
    for _ in 0..4 {
        root = (root + number / root) * 0.5;
    }
    let wave = (angle * root).sin() + (angle * angle).exp();
    let gate = (wave - root).relu() + (root - wave).relu();
    let unused = (start * 3.0).cos();
    let loss = (gate * wave).log() + root.square() * angle.tanh();
    let _ = loss.backward()?;
    println!("loss {:.6}; {:.6} is not part of it", loss.value(), unused.value());
    Explorer::new(&tape).title("Newton's square root and a few functions").save(out)
}

#[derive(Serialize)]
struct Mlp {
    first: Linear,
    second: Linear,
    scores: Linear,
}

impl Mlp {
    fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
        let x = self.first.forward(x).relu();
        let x = self.second.forward(&x).relu();
        self.scores.forward(&x)
    }
}

fn mlp(out: &PathBuf) -> Result<()> {
    let rng = &mut Random::new(0);
    let net = Mlp {
        first: Linear::new(8, 32, rng),
        second: Linear::new(32, 16, rng),
        scores: Linear::new(16, 3, rng),
    };
    let x = Tensor::from_fn([64, 8], |i| ((i * i) as f32 * 0.37).sin());
    let labels = Tensor::from_fn([64], |i| (i % 3) as u32);
    let tape = Tape::new();
    tape.set_observing(true);
    let scores = net.forward(&tape.constant(x));
    let loss = scores.cross_entropy(&labels);
    let _ = loss.backward()?;
    println!("loss {:.6}", loss.item()?);
    Explorer::new(&tape).title("A training step of a small network").with_names(&net).save(out)
}

fn gpt(options: &Options) -> Result<()> {
    let Options { layers, width, context, batch, .. } = *options;
    let config = Config { vocabulary: 40, block_size: context, layers, heads: 4, width, dropout: 0.0 };
    let net = Gpt::new(config, &mut Random::new(0))?;
    let (tokens, next) = (text(batch, context, 0), text(batch, context, 1));
    steps(options, &net, "a small transformer", |tape| net.loss(tape, &tokens, &next))
}

/// Tokens that follow a rule, from a place on.
fn text(batch: usize, context: usize, start: usize) -> Tensor<u32> {
    Tensor::from_fn([batch, context], |i| ((i + start) * 7 % 40) as u32)
}

fn llama(options: &Options) -> Result<()> {
    let Options { layers, width, context, batch, .. } = *options;
    let (heads, kv_heads) = (width.div_ceil(64), width.div_ceil(192));
    let heads = heads.next_multiple_of(kv_heads);
    let net = Llama::blank(Sizes {
        vocabulary: 40,
        width,
        wide: width * 8 / 3,
        blocks: layers,
        heads,
        kv_heads,
        head_width: (width / heads).next_multiple_of(2),
        eps: 1e-5,
        rope_base: 1e5,
        interleaved: false,
        tied: true,
    })?;
    let mut rng = Random::new(0);
    visit_params(&net, |_, p: &Param| {
        if let &[rows, cols] = &p.shape()[..] {
            p.set(init::normal([rows, cols], 0.0, 1.0 / (cols as f64).sqrt(), &mut rng));
        }
    });
    let (tokens, next) = (text(batch, context, 0), text(batch, context, 1).reshape([-1])?);
    steps(options, &net, "a language model", |tape| {
        net.forward(tape, &tokens, &mut [], false).reshape([-1, 40]).cross_entropy(&next)
    })
}

/// A training step, or one and the one after it.
fn steps(
    options: &Options,
    net: &impl Serialize,
    what: &str,
    loss: impl for<'t> Fn(&'t Tape) -> Var<'t>,
) -> Result<()> {
    let step = |tape: &Tape| {
        tape.set_observing(true);
        let loss = loss(tape);
        let grads = loss.backward()?;
        println!("loss {:.6}, {} statements", loss.item()?, tape.len());
        Ok(grads)
    };
    let (first, second) = (Tape::new(), Tape::new());
    let grads = step(&first)?;
    let page = Explorer::new(&first).title(format!("A training step of {what}")).with_names(net);
    if !options.compare {
        return page.save(&options.out);
    }
    Adam::new(1e-3).step(net, &grads)?;
    let _ = step(&second)?;
    let later = Explorer::new(&second).title("The step after it").with_names(net);
    page.compare(&later).save(&options.out)
}
