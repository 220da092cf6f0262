//! Size against error: one network at several densities and bits for its weights, each written to a file,
//! loaded again and measured. What nothing smaller beats is the front. Beside it, how many bits the file and
//! the training labels take together.
//!
//! ```sh
//! cargo run --release --example pareto                  # digits inside the crate
//! cargo run --release --example pareto -- --data DIR    # MNIST
//! ```
#[path = "common/images.rs"]
mod images;

use clap::Parser;
use images::{Images, Set};
use kolmo::{
    Random, Tape, Tensor, Var,
    compress::{
        Artifact, CostReport, data_bits, matrices, pack,
        prune::{self, Amount},
        quantize::{Quantizer, convert, to_half},
        unpack,
    },
    data::{self, Augment},
    nn::{Layer, Linear},
    number::Arithmetic,
    optim::{Adam, Optimizer},
    plot::Plot,
};
use serde::{Deserialize, Serialize};
use std::{
    f64::consts::PI,
    fs,
    path::{Path, PathBuf},
};

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const DENSITIES: [f64; 6] = [0.4, 0.2, 0.1, 0.06, 0.035, 0.02];
const BITS: [u32; 4] = [8, 4, 3, 2];

#[derive(Parser)]
struct Options {
    /// MNIST, or a set of the same form; without it the digits inside the crate
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A small share of the training, to see that everything works
    #[arg(long)]
    quick: bool,
    /// Where files, report and plots go
    #[arg(long, value_name = "DIR", default_value = "target/pareto")]
    out: PathBuf,
}

/// Linear layers with ReLU between them.
#[derive(Serialize, Deserialize)]
struct Net {
    layers: Vec<Linear>,
}

impl Net {
    fn new(widths: &[usize], rng: &mut Random) -> Net {
        Net { layers: widths.windows(2).map(|w| Linear::new(w[0], w[1], rng)).collect() }
    }

    fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&if i == 0 { x } else { x.relu() });
        }
        x
    }

    fn scores(&self, images: &Tensor) -> Result<Tensor> {
        Ok(self.forward(&Tape::inference().constant(images)).value()?.clone())
    }

    /// The same again, with masks and all.
    fn copy(&self) -> Result<Net> {
        Ok(serde_json::from_str(&serde_json::to_string(self)?)?)
    }
}

struct Training {
    images: Images,
    widths: Vec<usize>,
    /// Of the first training, of each density, and of the bits.
    epochs: [usize; 3],
    augment: Augment,
    rng: Random,
}

impl Training {
    fn run(&mut self, net: &Net, epochs: usize) -> Result<()> {
        let set = &self.images.train;
        let mut adam = Adam::new(2e-3);
        let mut tape = Tape::new();
        for epoch in 0..epochs {
            adam.set_lr(1e-3 * (1.0 + Arithmetic::cos(PI * epoch as f64 / epochs as f64)));
            for rows in data::batches(set.len(), 64, &mut self.rng) {
                let part = set.rows(&rows)?;
                let x = tape.constant(part.varied(&self.augment, &mut self.rng)?);
                adam.step(net, &net.forward(&x).cross_entropy(&part.labels).backward()?)?;
                tape.reset();
            }
        }
        Ok(())
    }

    /// Writes the network to a file and measures what is in it.
    fn measure(&self, net: &Net, path: &Path, density: f64, bits: u32) -> Result<Point> {
        pack(net, &[])?.save(path)?;
        let loaded = Net::new(&self.widths, &mut Random::new(0));
        unpack(&Artifact::load(path)?, &loaded)?;
        let errors = |set: &Set| -> Result<usize> {
            let found = loaded.scores(&set.images)?.argmax(1, false)?.to_vec();
            Ok(found.iter().zip(set.labels.to_vec()).filter(|(f, l)| **f != *l).count())
        };
        let errors = errors(&self.images.test)?;
        let bytes = fs::metadata(path)?.len() as usize;
        let train = &self.images.train;
        let data_bits = data_bits(&loaded.scores(&train.images)?, &train.labels)?;
        let error_percent = 100.0 * errors as f64 / self.images.test.len() as f64;
        Ok(Point { density, bits, bytes, errors, error_percent, data_bits, front: false })
    }
}

#[derive(Clone, Serialize)]
struct Point {
    density: f64,
    /// Of a weight; 32 for the network before it was pruned.
    bits: u32,
    bytes: usize,
    errors: usize,
    error_percent: f64,
    /// Bits of the training labels, coded with the model's probabilities.
    data_bits: f64,
    /// Whether nothing is smaller and no worse, or better and no larger.
    front: bool,
}

impl Point {
    fn beats(&self, other: &Point) -> bool {
        self.bytes <= other.bytes
            && self.errors <= other.errors
            && (self.bytes < other.bytes || self.errors < other.errors)
    }

    /// Bits of the file and of the labels.
    fn description(&self) -> f64 {
        8.0 * self.bytes as f64 + self.data_bits
    }
}

#[derive(Serialize)]
struct Report {
    data: String,
    seed: u64,
    quick: bool,
    points: Vec<Point>,
    /// Of the smallest file whose error is at most half a percent above that of the dense network.
    ledger: Option<CostReport>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let (images, widths, epochs, shift) = match &options.data {
        Some(dir) => (Images::mnist(Some(dir))?, vec![784, 300, 100, 10], [10, 4, 2], 1.0),
        None => (Images::digits()?, vec![64, 100, 50, 10], [100, 60, 40], 0.5),
    };
    let epochs = if options.quick { epochs.map(|n: usize| n.div_ceil(20)) } else { epochs };
    fs::create_dir_all(&options.out)?;
    let augment = Augment::new().translate(shift);
    let mut rng = Random::new(options.seed);
    let net = Net::new(&widths, &mut rng);
    let mut training = Training { images, widths, epochs, augment, rng };
    let [first, each, bits_epochs] = training.epochs;

    println!("{}; seed {}", training.images.name, options.seed);
    println!("{:>8}{:>6}{:>10}{:>9}{:>9}{:>12}", "density", "bits", "bytes", "errors", "%", "bits of all");
    let mut points = Vec::new();
    let mut add = |point: Point| {
        let Point { density, bits, bytes, errors, error_percent, .. } = point;
        let all = point.description();
        println!("{density:>8}{bits:>6}{bytes:>10}{errors:>9}{error_percent:>9.2}{all:>12.0}");
        points.push(point);
    };
    training.run(&net, first)?;
    let dense = training.measure(&net, &options.out.join("dense.kolmo"), 1.0, 32)?;
    let bound = dense.error_percent + 0.5;
    add(dense);
    let mut best: Option<(usize, Net)> = None;
    for density in DENSITIES {
        let from = prune::count(&net, matrices).density();
        for round in 1..=2 {
            prune::global(&net, Amount::Density(prune::cubic_density(from, density, round, 2)), matrices)?;
            training.run(&net, each.div_ceil(2))?;
        }
        for bits in BITS {
            let net = net.copy()?;
            Quantizer::new(bits).channels().attach(&net, matrices)?;
            training.run(&net, bits_epochs)?;
            convert(&net)?;
            to_half(&net);
            let path = options.out.join(format!("{density}-{bits}.kolmo"));
            let point = training.measure(&net, &path, density, bits)?;
            let smaller = best.as_ref().is_none_or(|(bytes, _)| point.bytes < *bytes);
            if smaller && point.error_percent <= bound {
                best = Some((point.bytes, net));
            }
            add(point);
        }
    }
    for i in 0..points.len() {
        points[i].front = !points.iter().any(|other| other.beats(&points[i]));
    }
    draw(&points, &options.out)?;
    let ledger = best.map(|(_, net)| ledger(&net, &training.images.test)).transpose()?;
    if let Some(ledger) = &ledger {
        println!("\nthe smallest within half a percent of the dense network:\n{ledger}");
    }
    let report = Report {
        data: training.images.name.clone(),
        seed: options.seed,
        quick: options.quick,
        points,
        ledger,
    };
    kolmo::data::write_file(serde_json::to_string_pretty(&report)? + "\n", options.out.join("report.json"))?;
    println!("files, report.json and plots are in {}", options.out.display());
    Ok(())
}

/// Bytes, multiply-adds and the time of one image, on one thread.
fn ledger(net: &Net, test: &Set) -> Result<CostReport> {
    kolmo::runtime::set_num_threads(1);
    let image = test.images.rows(&[0])?;
    let stored = net.copy()?;
    unpack(&pack(net, &[])?, &stored)?;
    // Dense layers as if nobody had made them small.
    let plain = net.copy()?;
    plain.layers.iter().try_for_each(|layer| layer.weight.bake())?;
    let tape = Tape::inference();
    let dense = || plain.forward(&tape.constant(&image)).value().map(|_| ());
    Ok(CostReport::measure(net, &image, |x| net.forward(x))?
        .timed(dense, || stored.forward(&tape.constant(&image)).value().map(|_| ()))?)
}

fn draw(points: &[Point], out: &Path) -> Result<()> {
    let (dense, small): (Vec<&Point>, Vec<&Point>) = points.iter().partition(|p| p.bits == 32);
    let mut front: Vec<&Point> = small.iter().copied().filter(|p| p.front).collect();
    front.sort_by_key(|p| p.bytes);
    type Size = fn(&Point) -> f64;
    let plots: [(&str, &str, Size); 2] = [
        ("pareto", "kilobytes on disk", |p| p.bytes as f64 / 1000.0),
        ("description", "kilobits of the file and of the training labels under it", |p| {
            p.description() / 1000.0
        }),
    ];
    for (name, x, size) in plots {
        let mut plot = Plot::new("Size and error").axes(x, "test error, %");
        for bits in BITS {
            let line = small.iter().filter(|p| p.bits == bits).map(|p| (size(p), p.error_percent));
            let line: Vec<(f64, f64)> = line.collect();
            let label = format!("{bits} bits");
            plot = plot.line(&label, line.iter().copied()).points(&label, line);
        }
        plot = plot.dashed("front of bytes and error", front.iter().map(|p| (size(p), p.error_percent)));
        let most = small.iter().map(|p| size(p)).fold(0.0, f64::max);
        for dense in &dense {
            plot = plot.dashed("dense", [(0.0, dense.error_percent), (most, dense.error_percent)]);
        }
        plot.save(out.join(format!("{name}.svg")))?;
        plot.save(out.join(format!("{name}.png")))?;
    }
    Ok(())
}
