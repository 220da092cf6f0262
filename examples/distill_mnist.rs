//! Distillation as in Hinton, Vinyals and Dean (2015): a large network, trained with dropout on moved images,
//! teaches a smaller one that sees neither. Beside it the same student learns alone, one learns from a
//! transfer set without a single "3", and one begins not with random weights but as the teacher without a
//! third of its units.
//!
//! ```sh
//! cargo run --release --example distill_mnist -- --data DIR
//! ```
#[path = "common/images.rs"]
mod images;
#[path = "common/lab.rs"]
mod lab;
#[path = "common/net.rs"]
mod net;

use clap::Parser;
use images::{Images, Set};
use kolmo::{Random, Tensor, compress::distill::soft_target_loss, data::Augment};
use lab::{Common, Fit, Report};
use net::{Net, Shape};

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[derive(Parser)]
struct Options {
    /// Epochs of the teacher, of the student alone, of each that is taught from the start, and of the one
    /// cut out of the teacher
    #[arg(long, num_args = 4, default_values_t = [70, 15, 35, 15])]
    epochs: Vec<usize>,
    #[command(flatten)]
    common: Common,
}

/// Of the teacher's hidden units.
const DROPOUT: f64 = 0.4;
/// How far probabilities are evened out, and what share the soft targets have in the loss.
const TEMPERATURE: f64 = 20.0;
const SOFT: f64 = 0.9;

fn main() -> Result<()> {
    let options = Options::parse();
    let common = &options.common;
    let images = common.images()?;
    let mut report = Report::new("distill_mnist", common, &images)?;
    let mut rng = Random::new(common.seed);
    let epochs: Vec<usize> = options.epochs.iter().map(|&e| common.epochs(e)).collect();
    let plain = Fit { epochs: epochs[1], batch: 128, lr: 1e-3, augment: Augment::default() };

    let teacher = Net::new(Shape::mlp(&[784, 1200, 1200, 10]), &mut rng);
    let moved = Augment::new().crop(2);
    Fit { epochs: epochs[0], augment: moved, ..plain }.run(&teacher, &images.train, &mut rng, |_, b| {
        Ok(teacher.forward_dropping(&b.x, 0.0, DROPOUT).cross_entropy(&b.labels))
    })?;
    let teacher = report.measure(&teacher, "teacher", &images.test)?;

    let student = || Net::new(Shape::mlp(&[784, 800, 800, 10]), &mut Random::new(common.seed + 1));
    let alone = student();
    plain.run(&alone, &images.train, &mut rng, |_, b| Ok(alone.forward(&b.x).cross_entropy(&b.labels)))?;
    report.measure(&alone, "student alone", &images.test)?;

    let longer = Fit { epochs: epochs[2], ..plain };
    let distilled = student();
    distil(&distilled, &teacher, &images.train, &longer, SOFT, &mut rng)?;
    report.measure(&distilled, "student distilled", &images.test)?;

    let cut = teacher.narrowed(1.0 / 3.0)?;
    let shorter = Fit { epochs: epochs[3], lr: 5e-4, ..plain };
    distil(&cut, &teacher, &images.train, &shorter, SOFT, &mut rng)?;
    report.measure(&cut, "student cut out of the teacher", &images.test)?;

    // Without a single 3, and without labels: what a 3 is, the student can only know from the teacher's
    // doubts.
    let labels = images.train.labels.to_vec();
    let rows: Vec<usize> = (0..labels.len()).filter(|&i| labels[i] != 3).collect();
    let others = images.train.rows(&rows)?;
    let without = student();
    distil(&without, &teacher, &others, &longer, 1.0, &mut rng)?;
    report.measure(&without, "student without 3", &images.test)?;
    raise(&without, &teacher, &images)?;
    report.measure(&without, "student without 3, bias raised", &images.test)?;
    report.finish()
}

/// Trains a student towards what the teacher says about the images.
fn distil(net: &Net, teacher: &Net, set: &Set, fit: &Fit, soft: f64, rng: &mut Random) -> Result<()> {
    // The images are always the same, so the teacher is asked once.
    let answers = teacher.scores(&set.images)?;
    fit.run(net, set, rng, |tape, b| {
        let answer = tape.constant(answers.rows(&b.rows)?);
        Ok(soft_target_loss(&net.forward(&b.x), &answer, &b.labels, TEMPERATURE, soft))
    })
}

/// Raises the bias of 3 until the student finds as many of them among the training images as the teacher
/// does: this takes the teacher's answers, no labels.
fn raise(net: &Net, teacher: &Net, images: &Images) -> Result<()> {
    let threes = |scores: &Tensor, by: f32| -> Result<usize> {
        let rows = scores.to_vec();
        let best = |row: &[f32]| (0..10).all(|k| k == 3 || row[3] + by > row[k]);
        Ok(rows.chunks_exact(10).filter(|row| best(row)).count())
    };
    let expected = threes(&teacher.scores(&images.train.images)?, 0.0)?;
    let scores = net.scores(&images.train.images)?;
    let (mut low, mut high) = (0.0f32, 64.0);
    for _ in 0..20 {
        let middle = (low + high) / 2.0;
        if threes(&scores, middle)? < expected { low = middle } else { high = middle }
    }
    if let Some(bias) = net.layers.last().and_then(|layer| layer.bias.as_ref()) {
        bias.update(|b| b.as_mut_slice()[3] += high);
    }
    Ok(())
}
