//! The shortest description of MNIST's 60,000 training labels, given the images: a tiny network as one file, and as the other
//! the labels, arithmetic-coded with the probabilities that the network gives them. Both files are read again, and must give
//! every label back. Without a network the labels take 199,316 bits (10 equally likely classes).
//!
//! ```sh
//! cargo run --release --example two_part -- --data DIR
//! ```
#[path = "common/images.rs"]
mod images;
#[path = "common/lab.rs"]
mod lab;
#[path = "common/net.rs"]
mod net;
#[path = "common/pipeline.rs"]
mod pipeline;

use clap::Parser;
use kolmo::{
    Random,
    compress::coding::{Decoder, Encoder},
    data::Augment,
};
use lab::{Common, Fit, Report, code_labels};
use net::{Net, Shape};
use pipeline::{Labels, Pipeline};
use std::fs;

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[derive(Parser)]
struct Options {
    /// Channels of the two convolutions
    #[arg(long, num_args = 2, default_values_t = [8, 16])]
    channels: Vec<usize>,
    /// Size of the kernels
    #[arg(long, default_value_t = 5)]
    kernel: usize,
    /// The share of weights that pruning leaves
    #[arg(long, default_value_t = 0.3)]
    density: f64,
    /// Shared values of each parameter
    #[arg(long, default_value_t = 8)]
    values: usize,
    /// Weight of the sum of magnitudes while pruning
    #[arg(long, default_value_t = 1e-4)]
    pull: f64,
    /// Epochs of the first training, of pruning, of training what is left, of each layer's values, and of all values
    #[arg(long, num_args = 5, default_values_t = [30, 40, 40, 15, 40])]
    epochs: Vec<usize>,
    #[command(flatten)]
    common: Common,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let common = &options.common;
    let images = common.images()?;
    let mut report = Report::new("two_part", common, &images)?;
    let mut rng = Random::new(common.seed);
    let net = Net::new(Shape::conv(options.kernel, &options.channels, &[10]), &mut rng);
    let epochs: Vec<usize> = options.epochs.iter().map(|&e| common.epochs(e)).collect();
    let pipeline = Pipeline {
        density: options.density,
        values: options.values,
        pull: options.pull,
        augment: Augment::default(),
        batch: 128,
        lr: 3e-3,
        epochs: [epochs[1], epochs[2], epochs[3], epochs[4]],
    };
    // Only these very labels count, so nothing is done against learning them by heart.
    let set = &images.train;
    let fit = Fit { epochs: epochs[0], batch: 128, lr: 3e-3, augment: Augment::default() };
    fit.run(&net, set, &mut rng, |_, b| Ok(net.forward(&b.x).cross_entropy(&b.labels)))?;
    report.measure(&net, "dense", &images.test)?;
    pipeline.prune(&net, set, &mut rng, &Labels)?;
    report.measure(&net, "pruned", &images.test)?;
    pipeline.quantize(&net, set, &mut rng, &Labels)?;
    let net = report.measure(&net, "compressed", &images.test)?;

    // What is written is what the network in the file says, and what is read comes from the two files and the images.
    let labels = set.labels.to_vec();
    let mut encoder = Encoder::new();
    code_labels(&mut encoder, &net.scores(&set.images)?, |i| labels[i]);
    let path = report.folder().join("labels.bin");
    fs::write(&path, encoder.finish())?;
    let network = Net::load(&report.folder().join("compressed.kolmo"))?;
    let bytes = fs::read(&path)?;
    let read = code_labels(&mut Decoder::new(&bytes), &network.scores(&set.images)?, |_| 0);
    if read != labels {
        return Err("the files don't give the labels back".into());
    }
    let last = report.stages.last().map_or(0, |stage| stage.bytes);
    println!(
        "network {} bits + labels {} bits = {} bits; all {} labels were read back",
        8 * last,
        8 * bytes.len(),
        8 * (last + bytes.len()),
        labels.len()
    );
    report.note("network_bits", 8 * last);
    report.note("label_bits", 8 * bytes.len());
    report.finish()
}
