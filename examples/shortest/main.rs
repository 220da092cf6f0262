//! The shortest program that still reads digits: a small network is trained, then trained on in stages in which
//! a bit of it weighs more and more, so that one run gives a curve of files from kilobytes down to a few
//! hundred bytes. Each is loaded again before it is measured.
//!
//! ```sh
//! cargo run --release --example shortest -- --data DIR                     # MNIST, a set of its form, or CIFAR-10
//! cargo run --release --example shortest -- --data DIR --program FILE      # a file of these, counted in each way
//! cargo run --release --example shortest -- --data DIR --program FILE --page   # docs/play/shortest.html
//! ```
//!
//! The second prints the network as a program of its own, the third a page with that program. They use `xz`, Node.js, and of Debian's packages
//! `gcc-arm-none-eabi` and `qemu-system-arm`; what is missing is said.
mod assemble;
#[path = "../common/images.rs"]
mod images;
#[path = "../common/lab.rs"]
mod lab;
#[path = "../common/net.rs"]
mod net;
mod reader;
mod sizes;
mod views;

use clap::Parser;
use images::Set;
use kolmo::{
    Random,
    compress::{
        Standalone, all_params,
        quantize::{self, Quantizer},
        rate,
    },
    data::Augment,
};
use lab::{Common, Fit};
use reader::{Reader, plan_for};
use sizes::Sizes;
use std::{
    f64::consts::LN_2,
    path::{Path, PathBuf},
    time::Instant,
};
use views::Views;

pub type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[derive(Parser)]
struct Options {
    /// Layers: 5x8 is a convolution of 5 × 5 to 8 channels, d3 one of 3 × 3 of each channel by itself, r ReLU, p
    /// the largest of 2 × 2, m the mean of a channel
    #[arg(long, default_value = "5x10 p r 3x16 p r 3x20 r")]
    plan: String,
    /// A file of an earlier run's first training, which isn't done again
    #[arg(long, value_name = "FILE")]
    dense: Option<PathBuf>,
    /// Bits of a weight
    #[arg(long, default_value_t = 4)]
    bits: u32,
    /// Epochs of the first training, without a file in mind
    #[arg(long, default_value_t = 10)]
    epochs: usize,
    /// How much a bit of the file weighs in the loss, and for how many epochs, stage by stage
    #[arg(long, num_args = 1.., value_parser = stage, value_name = "WEIGHT:EPOCHS",
          default_values = ["6:26", "25:20", "80:15", "200:15"])]
    stages: Vec<(f64, usize)>,
    #[arg(long, default_value_t = 3e-3)]
    lr: f64,
    /// By how much probabilities are evened out before they are compared
    #[arg(long, default_value_t = 4.0)]
    temperature: f64,
    /// A file of these networks: printed as a program of its own and counted in each way
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// A compiler that makes modules of WebAssembly of its library's sources, where the usual one has no library
    #[arg(long, value_name = "RUSTC")]
    wasm_compiler: Option<PathBuf>,
    /// Writes the page of docs/play/shortest.html, with that file's network in it
    #[arg(long, requires = "program")]
    page: bool,
    #[command(flatten)]
    common: Common,
}

fn stage(text: &str) -> Result<(f64, usize), String> {
    let read = || {
        let (weight, epochs) = text.split_once(':')?;
        Some((weight.parse().ok().filter(|w: &f64| *w >= 0.0)?, epochs.parse().ok()?))
    };
    read().ok_or_else(|| "takes a weight of at least 0 and a number of epochs, as in 5:12".into())
}

/// Epochs at the end of each stage in which only step sizes are trained.
const SETTLED: usize = 3;

fn main() -> Result<()> {
    run(&Options::parse())
}

fn run(options: &Options) -> Result<()> {
    let common = &options.common;
    let images = common.any_images()?;
    let plan = plan_for(&options.plan, images.train.form());
    if let Some(file) = &options.program {
        let folder = std::path::absolute(common.folder("shortest")?.join("program"))?;
        let sizes = Sizes { folder, test: &images.test, wasm_compiler: options.wasm_compiler.as_deref() };
        let net = Reader::load(file)?;
        if options.page {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/play/shortest.html");
            kolmo::data::write_file(sizes.page(&net)?, path)?;
        } else {
            print!("{}", sizes.table(&net)?);
        }
        return Ok(());
    }
    let start = Instant::now();
    println!("{}; seed {}; {}", images.name, common.seed, plan);
    println!(
        "{:<12}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "stage", "weights", "not 0", "file", "data", "%", "seconds"
    );
    let measure = |net: &Reader, stage: &str| -> Result<Reader> {
        let path = common.folder("shortest")?.join(format!("{stage}.kolmo"));
        net.save(&path)?;
        let net = Reader::load(&path)?;
        let program = Standalone::new(&images.test.images.narrow(0, 0, 1)?, |x| net.forward(x))?;
        let [all, kept] = net.count()?;
        let (file, data) = (std::fs::metadata(&path)?.len(), program.data().len());
        let wrong = 100.0 * errors(&net, &images.test)? as f64 / images.test.len() as f64;
        let seconds = start.elapsed().as_secs_f64();
        println!("{stage:<12}{all:>9}{kept:>9}{file:>9}{data:>9}{wrong:>9.2}{seconds:>9.0}");
        Ok(net)
    };

    let mut rng = Random::new(common.seed);
    let augment = Augment::new().translate(1.5).degrees(8.0).scale(0.08);
    let fit = Fit { epochs: common.epochs(options.epochs), batch: 128, lr: options.lr, augment };
    let mut net = match &options.dense {
        Some(file) => Reader::load(file)?,
        None => {
            let net = Reader::new(&plan, &mut rng)?;
            fit.run(&net, &images.train, &mut rng, |_, b| Ok(net.forward(&b.x).cross_entropy(&b.labels)))?;
            net
        }
    };
    let guide = measure(&net, "dense")?;

    // What the dense network answers to images moved in some ways is worked out once.
    let views = Views::new(&images.train, &guide, &augment, &mut rng)?;
    Quantizer::new(options.bits).attach(&net, all_params)?;
    let mut before = 0.0;
    for &(weight, epochs) in &options.stages {
        let [moving, settled] =
            [epochs, SETTLED].map(|e| Fit { epochs: common.epochs(e), augment: Augment::new(), ..fit });
        // What goes in haste is missed later.
        let weighs = |progress: f64| before + (weight - before) * (3.0 * progress).min(1.0);
        moving.run(&net, &images.train, &mut rng, |tape, batch| {
            let bits = rate(&net, tape) * (weighs(batch.progress) * LN_2 / images.train.len() as f64);
            Ok(views.loss(&net, batch, &moving, options.temperature)? + bits)
        })?;
        quantize::convert(&net)?;
        settled.run(&net, &images.train, &mut rng, |_, batch| {
            views.loss(&net, batch, &settled, options.temperature)
        })?;
        quantize::to_half(&net);
        net = measure(&net, &format!("{weight}"))?.freed()?;
        before = weight;
    }
    Ok(())
}

fn errors(net: &Reader, set: &Set) -> Result<usize> {
    let found = net.scores(&set.images)?.argmax(1, false)?.to_vec();
    Ok(found.iter().zip(set.labels.to_vec()).filter(|(found, label)| **found != *label).count())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kolmo::Tensor;
    use std::fs;

    #[test]
    fn the_same_command_learns_images_in_colour() -> Result<()> {
        let folder = std::env::temp_dir().join(format!("kolmo-colour-{}", std::process::id()));
        let out = folder.join("out");
        fs::create_dir_all(&out)?;
        let image =
            |i: u8| [vec![i % 10], (0..3072u32).map(|k| (k as u8).wrapping_mul(i)).collect()].concat();
        let file: Vec<u8> = (0..8).flat_map(image).collect();
        for name in
            ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"]
        {
            fs::write(folder.join(name).with_extension("bin"), &file)?;
        }
        let [data, out] = [&folder, &out].map(|path| path.display().to_string());
        let words = ["shortest", "--quick", "--data", &data, "--out", &out, "--plan", "5x2 p r 3x4 p r"];
        run(&Options::try_parse_from([&words[..], &["--epochs", "1", "--stages", "5:1"]].concat())?)?;
        let net = Reader::load(&Path::new(&out).join("5.kolmo"))?;
        assert_eq!(net.count()?[0], 152 + 76 + 1450);
        assert_eq!(net.scores(&Tensor::ones([2, 3072]))?.shape().to_vec(), [2, 10]);
        fs::remove_dir_all(folder)?;
        Ok(())
    }
}
