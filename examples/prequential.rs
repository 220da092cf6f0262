//! The prequential code of MNIST's training labels: each label is coded with what a network has learnt from
//! those before it (Dawid, 1984; Blier and Ollivier, 2018), so that no network has to be sent. After each
//! batch is coded the network learns from it, and again from batches of what it has seen so far (replay, as
//! in Bornschein, Li and Hutter, 2022). The bits go to a file, from which the labels can be read by going
//! through the same training. Without any network it would be 199,316 bits.
//!
//! ```sh
//! cargo run --release --example prequential -- --data DIR
//! cargo run --release --example prequential -- --data DIR --decode     # reads the file that the first command wrote
//! ```
#[path = "common/images.rs"]
mod images;
#[path = "common/lab.rs"]
mod lab;
#[path = "common/net.rs"]
mod net;

use clap::Parser;
use images::Set;
use kolmo::{
    Random, Tape, Tensor,
    compress::coding::{ArithmeticVersion, BitCoder, Decoder, Encoder},
    data::Augment,
    optim::{AdamW, Ema, Optimizer},
    plot::Plot,
};
use lab::{Common, Report, code_labels};
use net::{Net, Shape};

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[derive(Parser)]
struct Options {
    /// Batches of 64 of what was seen that are learnt from after each batch of 64 that was coded
    #[arg(long, default_value_t = 30)]
    replay: usize,
    /// Channels of the two convolutions and units of the hidden layer
    #[arg(long, num_args = 3, default_values_t = [32, 64, 128])]
    sizes: Vec<usize>,
    #[arg(long, default_value_t = 1e-3)]
    lr: f64,
    #[arg(long, default_value_t = 0.3)]
    dropout: f64,
    /// Reads the labels back from the file
    #[arg(long)]
    decode: bool,
    #[command(flatten)]
    common: Common,
}

/// Labels that are coded before the network learns again: few at first, when each teaches much.
fn block(seen: usize) -> usize {
    (seen / 8).clamp(8, 64)
}

/// Steps after each of the first blocks, which are short of labels and not of time.
const EARLY: usize = 32;

fn main() -> Result<()> {
    let options = Options::parse();
    let common = &options.common;
    let images = common.images()?;
    let mut report = Report::new("prequential", common, &images)?;
    let net =
        Net::new(Shape::conv(5, &options.sizes[..2], &[options.sizes[2], 10]), &mut Random::new(common.seed));
    let total = if common.quick { 2_000 } else { images.train.len() };
    let labels = images.train.labels.to_vec();
    let path = report.folder().join("labels.bin");
    let mut curve = Vec::new();
    if options.decode {
        let bytes = std::fs::read(&path)?;
        let (first, code) = bytes.split_first().ok_or("the file is empty")?;
        ArithmeticVersion::check(*first)?;
        let read =
            learn(&options, &net, &images.train.images, total, &mut Decoder::new(code), |_| 0, |_, _| ())?;
        let wrong = read.iter().zip(&labels).filter(|(a, b)| a != b).count();
        println!(
            "{total} labels read from {} bytes, {wrong} of them wrong, {:.0} s",
            bytes.len(),
            report.seconds()
        );
        return if wrong == 0 { Ok(()) } else { Err("the file doesn't give the labels back".into()) };
    }
    let mut encoder = Encoder::new();
    learn(
        &options,
        &net,
        &images.train.images,
        total,
        &mut encoder,
        |i| labels[i],
        |seen, coder| {
            curve.push((seen as f64, 8.0 * coder.written() as f64));
            if curve.len() % 100 == 0 {
                println!("{seen:>7} labels in {:>6} bits, {:.0} s", 8 * coder.written(), report.seconds());
            }
        },
    )?;
    // What the labels are decoded by is trained anew: that must come to the same bits.
    let bytes = [vec![ArithmeticVersion::here().byte()], encoder.finish()].concat();
    println!("{total} labels in {} bits, {:.0} s", 8 * bytes.len(), report.seconds());
    kolmo::data::write_file(&bytes, &path)?;
    report.measure(&net, "network at the end", &images.test)?;
    report.note("bits", 8 * bytes.len());
    let plot = Plot::new("Prequential code of the labels").axes("labels", "bits").line("bits so far", curve);
    plot.save(report.folder().join("prequential.svg"))?;
    report.finish()
}

/// Codes label after label and learns from those that are known by then. The order of the images is as it is:
/// a data set's order may not tell anything, and MNIST's is random.
fn learn<C: BitCoder>(
    options: &Options,
    net: &Net,
    images: &Tensor,
    total: usize,
    coder: &mut C,
    label: impl Fn(usize) -> u32,
    mut watch: impl FnMut(usize, &C),
) -> Result<Vec<u32>> {
    let augment = Augment::new().translate(2.0).degrees(10.0).scale(0.1);
    let mut rng = Random::new(options.common.seed + 1);
    let mut optimizer = AdamW::new(options.lr);
    let mut average: Ema = Ema::new(0.99);
    let mut tape = Tape::new();
    tape.set_random(rng);
    let mut known: Vec<u32> = Vec::new();
    while known.len() < total {
        let seen = known.len();
        let rows: Vec<usize> = (seen..(seen + block(seen)).min(total)).collect();
        let next = images.rows(&rows)?;
        let scores = if seen == 0 {
            Tensor::zeros([rows.len(), 10])
        } else {
            average.swap(net)?;
            let scores = net.scores(&next)?;
            average.swap(net)?;
            scores
        };
        known.extend(code_labels(coder, &scores, |i| label(seen + i)));
        watch(known.len(), coder);
        let least = if seen < 4_000 { EARLY } else { 1 };
        let steps = (options.replay * rows.len()).div_ceil(64).max(least);
        for step in 0..steps {
            let rows: Vec<usize> = match step {
                0 => rows.clone(),
                _ => (0..64.min(known.len()))
                    .map(|_| rng.randint(0..known.len()))
                    .collect::<kolmo::Result<_>>()?,
            };
            let labels = Tensor::from_fn([rows.len()], |i| known[rows[i]]);
            let part = Set { images: images.rows(&rows)?, labels };
            let x = tape.constant(part.varied(&augment, &mut rng)?);
            let loss = net.forward_dropping(&x, 0.0, options.dropout).cross_entropy(&part.labels);
            optimizer.step(net, &loss.backward()?)?;
            average.update(net)?;
            tape.reset();
        }
    }
    Ok(known)
}
