//! The way from a trained network to a file 1/40 its size and less: train a teacher, prune it in rounds, tie
//! what is left to a few shared values, and do the same with a smaller student that learns from the teacher.
//! Each stage's model is written to a `.kolmo` file and loaded again before it is measured.
//!
//! ```sh
//! cargo run --release --example shrink                     # handwritten digits that are part of the crate
//! cargo run --release --example shrink -- --data           # MNIST, from $KOLMO_DATA or ../shared/data
//! cargo run --release --example shrink -- --data DIR       # MNIST, or a set of the same form, from a folder
//! cargo run --release --example shrink -- --program        # the last student as a source of its own, too
//! ```
#[path = "../common/images.rs"]
mod images;
mod model;
mod plot;
mod program;
mod report;
mod train;

use clap::Parser;
use images::Images;
use kolmo::{
    Random,
    compress::{
        all_params,
        prune::{self, Amount},
        quantize,
    },
    nn::{Param, visit_params},
};
use model::Mlp;
use report::Report;
use std::{fs, path::PathBuf, process::ExitCode, time::Instant};
use train::{Goal, Recipe, Training};

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

/// Trains a network, prunes, quantises and distils it, and writes what comes of it to small files.
#[derive(Parser)]
pub struct Options {
    /// MNIST instead of the digits inside the crate. Without DIR: $KOLMO_DATA, then ../shared/data
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    pub data: Option<Option<PathBuf>>,
    /// The same seed gives the same files, byte for byte, on every processor with fused multiply-adds
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// A few seconds of training, to see that everything works
    #[arg(long)]
    pub quick: bool,
    /// Where files, report and plots go
    #[arg(long, value_name = "DIR", default_value = "target/shrink")]
    pub out: PathBuf,
    /// Measure on a quarter of the training images, held out, and leave the test images alone: for choosing
    /// settings
    #[arg(long)]
    pub held_out: bool,
    /// Print the smallest student as a program of its own, too: model.rs and model.c
    #[arg(long)]
    pub program: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("shrink: {error}");
            ExitCode::FAILURE
        }
    }
}

pub fn run(options: &Options) -> Result<Report> {
    let start = Instant::now();
    let (mut images, mut recipe) = match &options.data {
        None => (Images::digits()?, Recipe::digits()),
        Some(folder) => (Images::mnist(folder.as_deref())?, Recipe::mnist()),
    };
    if options.held_out {
        let quarter = images.train.len() / 4;
        images = images.hold_out(quarter)?;
    }
    if options.quick {
        recipe = recipe.quick();
    }
    fs::create_dir_all(&options.out).map_err(|e| format!("{}: {e}", options.out.display()))?;
    let mut rng = Random::new(options.seed);
    let teacher = Mlp::new(&recipe.teacher, &mut rng);
    let student = Mlp::new(&recipe.student, &mut rng);
    let mut report = Report::new(options, &images);
    let mut training = Training::new(&images.train, recipe, rng);

    // What is measured is what was loaded from the file; the teacher that others learn from is that one too.
    training.stage("train the teacher");
    training.run(&teacher, Goal::Labels, training.recipe.train)?;
    let guide = report.measure(&teacher, "teacher", "dense", &images)?;
    shrink(
        &teacher,
        "teacher",
        training.recipe.teacher_density,
        &guide,
        &mut training,
        &mut report,
        &images,
    )?;

    training.stage("distil the student");
    training.run(&student, Goal::Teacher(&guide), training.recipe.train)?;
    report.measure(&student, "student", "dense", &images)?;
    shrink(
        &student,
        "student",
        training.recipe.student_density,
        &guide,
        &mut training,
        &mut report,
        &images,
    )?;

    training.finish();
    if options.program {
        println!("{}", program::write(&student, &images.test, &options.out)?);
    }
    report.finish(start.elapsed())?;
    Ok(report)
}

/// Rounds of pruning.
const ROUNDS: usize = 8;
/// Shared values of each parameter.
const VALUES: usize = 8;

/// Prunes, quantises and retrains. In all of it the network learns to answer as the dense teacher does.
fn shrink(
    net: &Mlp,
    name: &'static str,
    density: f64,
    guide: &Mlp,
    training: &mut Training,
    report: &mut Report,
    images: &Images,
) -> Result<()> {
    // The smallest weights of the whole network go, many in the first rounds and few in the last; a pull
    // to zero makes more of them small. Those that went stay zero from here on.
    training.stage(&format!("prune the {name}"));
    for round in 1..=ROUNDS {
        prune::global(net, Amount::Density(prune::cubic_density(1.0, density, round, ROUNDS)), all_params)?;
        training.run(net, Goal::Sparse(guide), training.recipe.round)?;
    }
    training.run(net, Goal::Sparse(guide), training.recipe.prune)?;
    report.measure(net, name, "pruned", images)?;

    // All weights at once get the nearest of a few shared values.
    training.stage(&format!("quantise the {name}"));
    quantize::codebooks(net, VALUES, all_params)?;
    quantize::to_half(net);
    report.measure(net, name, "quantised", images)?;

    // Again, layer by layer, with training in between: the shared values learn, and the layers that are still
    // free make up for what the others lost. At the end there are only shared values to train.
    training.stage(&format!("retrain the {name}"));
    visit_params(net, |_, p: &Param| p.remove_codebook());
    for layer in &net.layers {
        quantize::share_values(&layer.weight, VALUES)?;
        training.run(net, Goal::Teacher(guide), training.recipe.layer)?;
    }
    quantize::codebooks(net, VALUES, |_, shape| shape.rank() == 1)?;
    training.run(net, Goal::Teacher(guide), training.recipe.codebooks)?;
    quantize::to_half(net);
    report.measure(net, name, "retrained", images)?;
    Ok(())
}
