//! Deep compression (Han et al., 2016): a trained network is pruned in rounds, its weights tied to a few shared values layer by
//! layer, both with training in between, and written as an entropy-coded file. The file is loaded again and measured.
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
#[path = "common/pipeline.rs"]
mod pipeline;

use clap::{Parser, ValueEnum};
use kolmo::{Random, Var, compress::distill::soft_target, data::Augment};
use lab::{Batch, Common, Fit, Report};
use net::{Net, Shape};
use pipeline::{Goal, Pipeline};

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[derive(Parser)]
struct Options {
    #[arg(long, value_enum, default_value = "lenet300")]
    net: Kind,
    /// The share of weights that pruning leaves (default: chosen on held-out images)
    #[arg(long)]
    density: Option<f64>,
    /// Shared values of each layer
    #[arg(long)]
    values: Option<usize>,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Lenet300,
    Lenet5,
}

/// Sizes, amounts and epochs of the first training and of what follows; chosen on held-out training images.
fn recipe(kind: Kind) -> (Shape, usize, Pipeline) {
    match kind {
        Kind::Lenet300 => {
            let augment = Augment { translate: 1.0, noise: 0.1, ..Augment::default() };
            let epochs = [60, 60, 20, 30];
            let pipeline =
                Pipeline { density: 0.03, values: 8, pull: 1e-4, augment, batch: 128, lr: 2e-3, epochs };
            (Shape::mlp(&[784, 300, 100, 10]), 60, pipeline)
        }
        Kind::Lenet5 => {
            let augment = Augment { translate: 1.0, ..Augment::default() };
            let epochs = [20, 15, 3, 6];
            let pipeline =
                Pipeline { density: 0.01, values: 8, pull: 1e-4, augment, batch: 128, lr: 2e-3, epochs };
            (Shape::conv(5, &[20, 50], &[500, 10]), 15, pipeline)
        }
    }
}

/// The answers that the network gave when it was dense, their probabilities evened out by a temperature.
struct Follow<'a>(&'a Net);

impl Goal for Follow<'_> {
    fn loss<'t>(&self, net: &Net, batch: &Batch<'t>) -> Var<'t> {
        let answer = batch.x.tape().no_grad(|| self.0.forward(&batch.x));
        soft_target(&net.forward(&batch.x), &answer, &batch.labels, 4.0, 1.0)
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let common = &options.common;
    let (shape, first, pipeline) = recipe(options.net);
    let pipeline = Pipeline {
        density: options.density.unwrap_or(pipeline.density),
        values: options.values.unwrap_or(pipeline.values),
        epochs: pipeline.epochs.map(|epochs| common.epochs(epochs)),
        ..pipeline
    };
    let name = match options.net {
        Kind::Lenet300 => "deep_compression-lenet300",
        Kind::Lenet5 => "deep_compression-lenet5",
    };
    let images = common.images()?;
    let mut report = Report::new(name, common, &images)?;
    let mut rng = Random::new(common.seed);
    let net = Net::new(shape, &mut rng);
    let Pipeline { batch, lr, augment, .. } = pipeline;
    let fit = Fit { epochs: common.epochs(first), batch, lr, augment };
    fit.run(&net, &images.train, &mut rng, |_, b| Ok(net.forward(&b.x).cross_entropy(&b.labels)))?;
    let guide = report.measure(&net, "dense", &images.test)?;
    pipeline.prune(&net, &images.train, &mut rng, &Follow(&guide))?;
    report.measure(&net, "pruned", &images.test)?;
    pipeline.quantize(&net, &images.train, &mut rng, &Follow(&guide))?;
    report.measure(&net, "compressed", &images.test)?;
    report.finish()
}
