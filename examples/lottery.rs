//! Lottery tickets (Frankle and Carbin, 2019): a network is trained, a fifth of each layer's weights pruned,
//! the rest set back to where it began, and trained again, in rounds. Beside each ticket the same mask with
//! new random weights, and what SNIP and SynFlow choose before any training.
//!
//! ```sh
//! cargo run --release --example lottery -- --data DIR
//! ```
#[path = "common/images.rs"]
mod images;
#[path = "common/lab.rs"]
mod lab;
#[path = "common/net.rs"]
mod net;

use clap::Parser;
use images::{Images, Set};
use kolmo::{
    Random, Tape, Tensor,
    compress::{
        matrices,
        prune::{self, Amount},
        scores::{ScoreCriterion, Scores, Snapshot, synflow},
    },
    data::Augment,
    nn::{Param, visit_params},
    plot::Plot,
};
use lab::{Common, Fit, errors};
use net::{Net, Shape};
use serde::Serialize;

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[derive(Parser)]
struct Options {
    /// Epochs of each training
    #[arg(long, default_value_t = 8)]
    epochs: usize,
    /// Rounds, each of which leaves 80 % of what there was: 15 leave 3.5 %
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    #[command(flatten)]
    common: Common,
}

/// The share of weights that is left, and errors in percent of what was trained with them.
#[derive(Serialize)]
struct Point {
    density: f64,
    ticket: f64,
    random: f64,
    snip: f64,
    synflow: f64,
}

struct Lab<'a> {
    images: &'a Images,
    fit: Fit,
}

impl Lab<'_> {
    /// Trains a network and gives its errors in percent.
    fn train(&self, net: &Net, rng: &mut Random) -> Result<f64> {
        self.fit.run(net, &self.images.train, rng, |_, b| Ok(net.forward(&b.x).cross_entropy(&b.labels)))?;
        Ok(100.0 * errors(net, &self.images.test)? as f64 / self.images.test.len() as f64)
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let common = &options.common;
    let images = common.images()?;
    let folder = common.folder("lottery")?;
    let epochs = common.epochs(options.epochs);
    let rounds = if common.quick { 2 } else { options.rounds };
    let lab =
        Lab { images: &images, fit: Fit { epochs, batch: 64, lr: 1.2e-3, augment: Augment::default() } };
    let shape = || Shape::mlp(&[784, 300, 100, 10]);
    let net = Net::new(shape(), &mut Random::new(common.seed));
    let start: Snapshot = Snapshot::new(&net);
    // The order of the images is each training's own, the same for all that are compared.
    let order = |round: usize| Random::new(1000 * (common.seed + 1) + round as u64);
    let dense = lab.train(&net, &mut order(0))?;
    let mut points = vec![Point { density: 1.0, ticket: dense, random: dense, snip: dense, synflow: dense }];
    println!("{}; seed {}, {epochs} epochs each; errors in %", images.name, common.seed);
    println!("{:>8}{:>9}{:>9}{:>9}{:>9}", "weights", "ticket", "random", "SNIP", "SynFlow");
    for round in 1..=rounds {
        prune::layerwise(&net, Amount::Fraction(0.2), matrices)?;
        let density = prune::count(&net, matrices).density();
        let masks = masks(&net);
        start.restore(&net)?;
        let ticket = lab.train(&net, &mut order(round))?;

        let other = |seed: u64| Net::new(shape(), &mut Random::new(common.seed + seed));
        let random = other(77);
        give(&random, &masks)?;
        let random = lab.train(&random, &mut order(round))?;
        let fresh = other(0);
        snip(&fresh, &images.train, density)?;
        let snip = lab.train(&fresh, &mut order(round))?;
        let fresh = other(0);
        synflow(&fresh, density, 100, matrices, |tape: &Tape| {
            fresh.forward(&tape.constant(Tensor::ones([1, 784])))
        })?;
        let synflow = lab.train(&fresh, &mut order(round))?;
        println!("{:>7.1}%{ticket:>9.2}{random:>9.2}{snip:>9.2}{synflow:>9.2}", 100.0 * density);
        points.push(Point { density, ticket, random, snip, synflow });
    }
    kolmo::data::write_file(serde_json::to_string_pretty(&points)? + "\n", folder.join("report.json"))?;
    let line =
        |f: fn(&Point) -> f64| points.iter().map(move |p| (-p.density.log2(), f(p))).collect::<Vec<_>>();
    let plot = Plot::new("Networks of few weights, 784-300-100-10 on MNIST")
        .axes("halvings of the number of weights", "test error, %")
        .line("winning ticket", line(|p| p.ticket))
        .line("its mask, new weights", line(|p| p.random))
        .line("SNIP", line(|p| p.snip))
        .line("SynFlow", line(|p| p.synflow));
    plot.save(folder.join("lottery.svg"))?;
    plot.save(folder.join("lottery.png"))?;
    println!("report.json and lottery.svg are in {}", folder.display());
    Ok(())
}

fn masks(net: &Net) -> Vec<Option<Tensor<bool>>> {
    let mut masks = Vec::new();
    visit_params(net, |_, p: &Param| masks.push(p.mask()));
    masks
}

fn give(net: &Net, masks: &[Option<Tensor<bool>>]) -> Result<()> {
    let (mut masks, mut result) = (masks.iter(), Ok(()));
    visit_params(net, |_, p: &Param| {
        if let (Some(Some(mask)), Ok(())) = (masks.next(), &result) {
            result = p.set_mask(Some(mask));
        }
    });
    Ok(result?)
}

/// Prunes by what a batch of a thousand images says about the connections before any training.
fn snip(net: &Net, set: &Set, density: f64) -> Result<()> {
    let batch = set.rows(&(0..1000).collect::<Vec<_>>())?;
    let tape = Tape::new();
    let loss = net.forward(&tape.constant(&batch.images)).cross_entropy(&batch.labels);
    let mut scores = Scores::new(ScoreCriterion::Snip);
    scores.add(net, &loss.backward()?)?;
    prune::by_scores(net, &scores, Amount::Density(density), matrices)?;
    Ok(())
}
