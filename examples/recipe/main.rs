//! An experiment as a file: what is done to a network stands in `digits.json` beside this program, which only
//! knows how to train. After each stage the network is written, loaded again, and measured.
//!
//! ```sh
//! cargo run --release --example recipe
//! cargo run --release --example recipe -- --file my.json
//! ```
#[path = "../common/images.rs"]
mod images;

use clap::Parser;
use images::{Images, Set};
use kolmo::{
    Random, Tape, Tensor,
    compress::{
        Artifact, Channels,
        distill::soft_target_loss,
        pack,
        recipe::{Done, Recipe, Task, Work},
        scores::Scores,
        unpack,
    },
    data::{self, Augment},
    metrics::accuracy,
    nn::{Layer, Linear, Relu, Sequential, named_params},
    number::Arithmetic,
    optim::{Adam, Optimizer},
};
use std::{
    f64::consts::PI,
    fs,
    path::{Path, PathBuf},
};

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

type Net = Sequential<(Linear, Relu, Linear, Relu, Linear)>;

#[derive(Parser)]
struct Options {
    /// The recipe; digits.json beside the source of this program by default
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Where the network goes
    #[arg(long, value_name = "DIR", default_value = "target/recipe")]
    out: PathBuf,
}

fn net(rng: &mut Random) -> Net {
    Sequential((Linear::new(64, 100, rng), Relu, Linear::new(100, 50, rng), Relu, Linear::new(50, 10, rng)))
}

/// How the network is trained: Adam, whose learning rate falls to zero by half a cosine each time.
struct Digits {
    images: Images,
    rng: Random,
    /// What the network was before it followed a teacher.
    teacher: Net,
    following: bool,
    out: PathBuf,
}

impl Work<Net> for Digits {
    fn train(&mut self, net: &Net, task: &Task) -> kolmo::Result<()> {
        self.following |= task.teacher.is_some();
        let Set { images, labels } = &self.images.train;
        let mut adam = Adam::new(3e-3);
        let mut tape = Tape::new();
        let augment = Augment::new().translate(0.5);
        for epoch in 0..task.epochs {
            adam.set_lr(1.5e-3 * (1.0 + Arithmetic::cos(PI * epoch as f64 / task.epochs as f64)));
            for rows in data::batches(labels.numel(), 64, &mut self.rng) {
                let x = images.rows(&rows)?.reshape([-1, 1, 8, 8])?;
                let x = tape.constant(augment.apply(&x, &mut self.rng)?.reshape([-1, 64])?);
                let (scores, labels) = (net.forward(&x), labels.rows(&rows)?);
                let loss = match task.teacher {
                    None => scores.cross_entropy(&labels),
                    Some((temperature, alpha)) => {
                        let answer = tape.no_grad(|| self.teacher.forward(&x));
                        soft_target_loss(&scores, &answer, &labels, temperature, alpha)
                    }
                };
                adam.step(net, &loss.backward()?)?;
                tape.reset();
            }
        }
        Ok(())
    }

    fn score(&mut self, net: &Net, scores: &mut Scores) -> kolmo::Result<()> {
        let Set { images, labels } = &self.images.train;
        let tape = Tape::new();
        scores.add(net, &net.forward(&tape.constant(images)).cross_entropy(labels).backward()?)
    }

    fn channels(&mut self, net: &Net) -> kolmo::Result<Channels> {
        Channels::trace(net, &self.images.train.images, |x| net.forward(x))
    }

    fn done(&mut self, net: &Net, done: &Done) -> kolmo::Result<()> {
        let path = self.out.join("digits.kolmo");
        pack(net, &[])?.save(&path)?;
        let loaded = load(&path)?;
        let Set { images, labels } = &self.images.test;
        let right = accuracy(loaded.forward(&Tape::inference().constant(images)).value()?, labels)?;
        println!("{:<10}{:>12}{:>10}{:>14.2} %", done.stage, done.weights.kept, done.bytes, 100.0 * right);
        if !self.following {
            self.teacher = loaded;
        }
        Ok(())
    }
}

/// The network in a file. Channels that were cut out make tensors smaller: shapes are those of the file.
fn load(path: &Path) -> kolmo::Result<Net> {
    let artifact = Artifact::load(path)?;
    let net = net(&mut Random::new(0));
    for ((_, p), entry) in named_params::<f32>(&net).iter().zip(&artifact.entries) {
        p.set(Tensor::zeros(&entry.shape[..]));
    }
    unpack(&artifact, &net)?;
    Ok(net)
}

fn main() -> Result<()> {
    let options = Options::parse();
    let recipe = match &options.file {
        Some(path) => Recipe::load(path)?,
        None => Recipe::from_json(include_str!("digits.json"))?,
    };
    fs::create_dir_all(&options.out)?;
    let mut rng = Random::new(0);
    let net = net(&mut rng);
    let teacher = self::net(&mut rng);
    let mut digits = Digits { images: Images::digits()?, rng, teacher, following: false, out: options.out };
    println!("{}\n{:<10}{:>12}{:>10}{:>16}", recipe.about, "stage", "parameters", "bytes", "test accuracy");
    recipe.run(&net, &mut digits)?;
    Ok(())
}
