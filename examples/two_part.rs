//! The shortest description of MNIST's 60,000 training labels, given the images: a tiny network as one file,
//! and as the other the labels, arithmetic-coded with the probabilities that the network gives them. Both
//! files are read again, and must give every label back. Without a network the labels take 199,316 bits (10
//! equally likely classes).
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
#[path = "common/shorten.rs"]
mod shorten;

use clap::Parser;
use kolmo::{
    Random, Var,
    compress::{
        all_params,
        coding::{ArithmeticVersion, Decoder, Encoder},
        quantize::Quantizer,
    },
    data::Augment,
};
use lab::{Batch, Common, Fit, Report, code_labels};
use net::{Net, Shape};
use shorten::Stage;
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
    /// Epochs of the first training, and of training with the network's bits in the loss
    #[arg(long, num_args = 2, default_values_t = [20, 110])]
    epochs: Vec<usize>,
    #[command(flatten)]
    common: Common,
}

fn loss<'t>(net: &Net, batch: &Batch<'t>) -> Var<'t> {
    net.forward(&batch.x).cross_entropy(&batch.labels)
}

fn main() -> Result<()> {
    let options = Options::parse();
    let common = &options.common;
    let images = common.images()?;
    let mut report = Report::new("two_part", common, &images)?;
    let mut rng = Random::new(common.seed);
    let net = Net::new(Shape::conv(options.kernel, &options.channels, &[10]), &mut rng);
    // Only these very labels count, so nothing is done against learning them by heart.
    let set = &images.train;
    let fit =
        Fit { epochs: common.epochs(options.epochs[0]), batch: 128, lr: 2e-3, augment: Augment::default() };
    fit.run(&net, set, &mut rng, |_, batch| Ok(loss(&net, batch)))?;
    report.measure(&net, "dense", &images.test)?;
    // A bit of the network weighs as much as a bit of the labels: what is looked for is the least sum.
    Quantizer::new(4).attach(&net, all_params)?;
    let stage = Stage { weight: [0.0, 1.0], epochs: [options.epochs[1], 5].map(|e| common.epochs(e)) };
    let net = stage.run(&net, set, &fit, &mut rng, loss)?;
    let net = report.measure(&net, "compressed", &images.test)?;

    // What is written is what the network in the file says, and what is read comes from the two files and the
    // images.
    let labels = set.labels.to_vec();
    let mut encoder = Encoder::new();
    code_labels(&mut encoder, &net.scores(&set.images)?, |i| labels[i]);
    let path = report.folder().join("labels.bin");
    let written = [vec![ArithmeticVersion::here().byte()], encoder.finish()].concat();
    kolmo::data::write_file(written, &path)?;
    let network = Net::load(&report.folder().join("compressed.kolmo"))?;
    let bytes = fs::read(&path)?;
    let (first, code) = bytes.split_first().ok_or("the file is empty")?;
    ArithmeticVersion::check(*first)?;
    let read = code_labels(&mut Decoder::new(code), &network.scores(&set.images)?, |_| 0);
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
