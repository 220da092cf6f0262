//! A search over recipes and hyper-parameters: `recipe.json` beside this program has holes, which each trial
//! fills with settings of its own. What is to be small is the error on held-out images and the file.
//!
//! ```sh
//! cargo run --release --example search                             # 40 trials, chosen by what was learnt
//! cargo run --release --example search -- --method random --trials 100
//! ```
//!
//! It can be stopped at any time: `trials.jsonl` has what was measured, and the next call goes on with it.
#[path = "../common/images.rs"]
mod images;

use clap::{Parser, ValueEnum};
use images::{Images, Set};
use kolmo::{
    Tape,
    compress::{Recipe, Task, pack},
    data,
    metrics::accuracy,
    nn::{Layer, Linear, Relu, Sequential},
    number::Arithmetic,
    optim::{Adam, Optimizer},
    search::{Method, Search, Space, Trial},
};
use std::{f64::consts::PI, fs, path::PathBuf};

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[derive(Parser)]
struct Options {
    #[arg(long, default_value_t = 40)]
    trials: usize,
    #[arg(long, value_enum, default_value = "tpe")]
    method: By,
    /// The same seed gives the same trials
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Few trials of little training, to see that everything works
    #[arg(long)]
    quick: bool,
    /// Where trials and plot go
    #[arg(long, value_name = "DIR", default_value = "target/search")]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum By {
    Random,
    Grid,
    Tpe,
}

/// Trains and shrinks a network as a trial says, and measures what is left.
fn measure(trial: &Trial, images: &Images, quick: bool) -> kolmo::Result<[(&'static str, f64); 2]> {
    let (settings, mut rng) = (&trial.settings, trial.random());
    let width = settings.size("width")?;
    let net = Sequential((Linear::new(64, width, &mut rng), Relu, Linear::new(width, 10, &mut rng)));
    let recipe = Recipe::from_json(&settings.fill(include_str!("recipe.json"))?)?;
    let lr = settings.float("lr")?;
    let Set { images: pixels, labels } = &images.train;
    recipe.run(&net, &mut |net: &_, task: &Task| {
        let (mut adam, mut tape) = (Adam::new(lr), Tape::new());
        let epochs = if quick { 1 } else { task.epochs };
        for epoch in 0..epochs {
            adam.set_lr(0.5 * lr * (1.0 + Arithmetic::cos(PI * epoch as f64 / epochs as f64)));
            for rows in data::batches(labels.numel(), 64, &mut rng) {
                let x = tape.constant(pixels.rows(&rows)?);
                let loss = Layer::forward(net, &x).cross_entropy(&labels.rows(&rows)?);
                adam.step(net, &loss.backward()?)?;
                tape.reset();
            }
        }
        Ok(())
    })?;
    let Set { images: pixels, labels } = &images.test;
    let right = accuracy(net.forward(&Tape::inference().constant(pixels)).value()?, labels)?;
    Ok([("error", 100.0 * (1.0 - right)), ("bytes", pack(&net, &[])?.to_bytes()?.len() as f64)])
}

fn main() -> Result<()> {
    let options = Options::parse();
    fs::create_dir_all(&options.out)?;
    let images = Images::digits()?;
    let space = Space::new()
        .log_float("lr", 3e-4, 3e-2)
        .log_integer("width", 16, 128)
        .float("density", 0.02, 0.5)
        .integer("rounds", 1, 4)
        .choice("values", [2, 4, 8, 16])
        .integer("epochs", 2, 10);
    let method = match options.method {
        By::Random => Method::Random,
        By::Grid => Method::Grid(2),
        By::Tpe => Method::Tpe,
    };
    let trials = if options.quick { 4 } else { options.trials };
    let search = Search::new(space, ["error", "bytes"]).method(method).trials(trials).seed(options.seed);
    let file = options.out.join(if options.quick { "quick.jsonl" } else { "trials.jsonl" });
    let found = search.file(&file).run(|trial| measure(trial, &images, options.quick))?;
    println!("{:>6}{:>9}{:>8}  settings", "trial", "error, %", "bytes");
    for trial in found.front() {
        let shown = |v: &serde_json::Value| {
            if v.is_f64() { format!("{:.4}", v.as_f64().unwrap_or(0.0)) } else { v.to_string() }
        };
        let settings: Vec<String> =
            trial.settings.iter().map(|(name, v)| format!("{name} {}", shown(v))).collect();
        let [error, bytes] = ["error", "bytes"].map(|name| trial.measured[name]);
        println!("{:>6}{error:>9.2}{bytes:>8}  {}", trial.trial, settings.join(", "));
    }
    let plot = options.out.join("frontier.svg");
    found.frontier("bytes", "error").log_x(true).save(&plot)?;
    println!("{} trials are in {}, their front in {}", found.trials.len(), file.display(), plot.display());
    Ok(())
}
