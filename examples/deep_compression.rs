//! Deep compression: which weights are pruned and which values the others share, as in Han et al. (2016), is
//! left to training, with the bits of the file in the loss (`rate`). After each stage, in which a bit weighs
//! so much, what is dead is cut out. Files are entropy-coded, loaded again and measured.
//!
//! ```sh
//! cargo run --release --example deep_compression -- --data DIR                 # 784-300-100-10
//! cargo run --release --example deep_compression -- --net lenet5 --data DIR    # 20@5×5, 50@5×5, 500, 10
//! ```
#[path = "common/images.rs"]
mod images;
#[path = "common/lab.rs"]
mod lab;
#[path = "common/net.rs"]
mod net;
#[path = "common/shorten.rs"]
mod shorten;

use clap::{Parser, ValueEnum};
use kolmo::{
    Random,
    compress::{all_params, distill::soft_target_loss, quantize::Quantizer},
    data::Augment,
};
use lab::{Common, Fit, Report};
use net::{Net, Shape};
use shorten::Stage;

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[derive(Parser)]
struct Options {
    #[arg(long, value_enum, default_value = "lenet300")]
    net: Kind,
    /// How much a bit of the file weighs in the loss, and for how many epochs, stage by stage: 5:12 15:30
    #[arg(long, num_args = 1.., value_parser = stage, value_name = "WEIGHT:EPOCHS")]
    stages: Vec<(f64, usize)>,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Lenet300,
    Lenet5,
}

fn stage(text: &str) -> Result<(f64, usize), String> {
    let read = || {
        let (weight, epochs) = text.split_once(':')?;
        Some((weight.parse().ok().filter(|w: &f64| *w >= 0.0)?, epochs.parse().ok()?))
    };
    read().ok_or_else(|| "takes a weight of at least 0 and a number of epochs, as in 5:12".into())
}

/// How a network is trained and made short.
struct Plan {
    shape: Shape,
    fit: Fit,
    /// Of each stage, what a bit weighs and how many epochs there are.
    stages: Vec<(f64, usize)>,
}

fn plan(kind: Kind) -> Plan {
    let augment = Augment::new().translate(1.0);
    match kind {
        Kind::Lenet300 => Plan {
            shape: Shape::mlp(&[784, 300, 100, 10]),
            fit: Fit { epochs: 40, batch: 128, lr: 2e-3, augment: augment.noise(0.1) },
            stages: vec![(2.0, 20), (2.0, 60)],
        },
        Kind::Lenet5 => Plan {
            shape: Shape::conv(5, &[20, 50], &[500, 10]),
            fit: Fit { epochs: 15, batch: 128, lr: 2e-3, augment },
            stages: vec![(5.0, 10), (3.0, 25), (12.0, 25)],
        },
    }
}

/// By how much probabilities are evened out before they are compared.
const TEMPERATURE: f64 = 4.0;
/// Epochs at the end of each stage in which only step sizes are trained.
const SETTLED: usize = 5;

fn main() -> Result<()> {
    let options = Options::parse();
    let common = &options.common;
    let Plan { shape, fit, mut stages } = plan(options.net);
    if !options.stages.is_empty() {
        stages = options.stages;
    }
    let fit = Fit { epochs: common.epochs(fit.epochs), ..fit };
    let name = match options.net {
        Kind::Lenet300 => "deep_compression-lenet300",
        Kind::Lenet5 => "deep_compression-lenet5",
    };
    let images = common.images()?;
    let mut report = Report::new(name, common, &images)?;
    let mut rng = Random::new(common.seed);
    let mut net = Net::new(shape, &mut rng);
    fit.run(&net, &images.train, &mut rng, |_, b| Ok(net.forward(&b.x).cross_entropy(&b.labels)))?;
    let guide = report.measure(&net, "dense", &images.test)?;

    Quantizer::new(4).attach(&net, all_params)?;
    let mut before = 0.0;
    for (number, &(weight, epochs)) in stages.iter().enumerate() {
        let stage = Stage { weight: [before, weight], epochs: [epochs, SETTLED].map(|e| common.epochs(e)) };
        // Trained towards the answers of the dense network.
        net = stage.run(&net.trimmed()?, &images.train, &fit, &mut rng, |net, batch| {
            let answer = batch.x.tape().no_grad(|| guide.forward(&batch.x));
            soft_target_loss(&net.forward(&batch.x), &answer, &batch.labels, TEMPERATURE, 1.0)
        })?;
        report.measure(&net, &format!("stage {}", number + 1), &images.test)?;
        before = weight;
    }
    report.finish()
}
