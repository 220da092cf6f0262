//! LeNet-5 (LeCun et al., 1998) on MNIST, with augmentation on a second thread, and a run that
//! may be broken off at any time: started again with the same `--out`, it goes on where it was.
//!
//! ```sh
//! cargo run --release --example mnist_lenet -- --data DIR    # or $KOLMO_DATA, or ../shared/data
//! cargo run --release --example mnist_lenet                  # the digits inside the crate, enlarged
//! ```
#[path = "common/images.rs"]
mod images;

use clap::Parser;
use images::{Images, Set};
use kolmo::{
    Random, Tape, Tensor,
    data::{Augment, DataLoader},
    metrics::{ConfusionMatrix, accuracy},
    nn::{Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Relu, Sequential},
    optim::{AdamW, OneCycleLr},
    plot::Heatmap,
    train::{Trainer, save_safetensors},
};
use std::{fs, path::PathBuf, time::Instant};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

#[derive(Parser)]
struct Options {
    /// MNIST instead of the digits inside the crate. Without DIR: $KOLMO_DATA, then ../shared/data
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    data: Option<Option<PathBuf>>,
    /// Times that every image is seen
    #[arg(long)]
    epochs: Option<u64>,
    /// Of the weights, the order and the augmentation
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where checkpoint, history, weights and pictures go
    #[arg(long, default_value = "target/mnist_lenet")]
    out: PathBuf,
    /// An epoch, to see that everything works
    #[arg(long)]
    quick: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let images = match &options.data {
        Some(folder) => Images::mnist(folder.as_deref())?,
        None => Images::digits()?,
    };
    let epochs = options.epochs.unwrap_or(if options.quick { 1 } else { 15 });
    // Runs that aren't the same must not go on from each other's checkpoints.
    let kind = if options.quick { "quick" } else { "full" };
    let out = options.out.join(if options.data.is_some() { "mnist" } else { "digits" }).join(kind);
    fs::create_dir_all(&out)?;
    println!("{} training and {} test images: {}", images.train.len(), images.test.len(), images.name);

    let mut rng = Random::new(options.seed);
    let net = Sequential((
        Conv2d::new(1, 20, 5, &mut rng),
        MaxPool2d::new(2),
        Conv2d::new(20, 50, 5, &mut rng),
        MaxPool2d::new(2),
        Flatten,
        Linear::new(800, 500, &mut rng),
        Relu,
        Dropout::new(0.3),
        Linear::new(500, 10, &mut rng),
    ));
    let scores = |x: &Tensor| -> kolmo::Result<Tensor> {
        // A thousand at a time: activations of all at once would be large.
        let parts = (0..x.dim(0)).step_by(1000).map(|start| {
            let part = x.narrow(0, start, 1000.min(x.dim(0) - start))?;
            let tape = Tape::inference();
            Ok(net.forward(&tape.constant(part)).value()?.clone())
        });
        let parts = parts.collect::<kolmo::Result<Vec<Tensor>>>()?;
        let rows: Vec<f32> = parts.iter().flat_map(Tensor::to_vec).collect();
        Tensor::new([x.dim(0), 10], rows)
    };

    let train = large(&images.train)?;
    let test = large(&images.test)?;
    let augment = Augment::new().translate(2.0).degrees(10.0).scale(0.1);
    let loader = DataLoader::new(images.train.len(), 64).seed(options.seed);
    let schedule = OneCycleLr::new(3e-3, epochs * loader.len() as u64);
    let labels = images.train.labels.clone();
    let begin = Instant::now();
    let history = Trainer::new(loader, epochs)
        .seed(options.seed)
        .schedule(&schedule)
        .save_history(out.join("history.jsonl"))
        .checkpoint(out.join("run.checkpoint"), 200)
        .fit(
            &net,
            &mut AdamW::new(3e-3),
            move |rows, rng| Ok((augment.apply(&train.rows(rows)?, rng)?, labels.rows(rows)?)),
            |tape, (x, y)| net.forward(&tape.constant(x)).cross_entropy(y),
            || Ok(vec![("accuracy", accuracy(&scores(&test)?, &images.test.labels)?)]),
        )?;

    let all = scores(&test)?;
    let right = accuracy(&all, &images.test.labels)?;
    println!(
        "{:.2} % of the test images are right, after {epochs} epoch{} and {:.0} s",
        100.0 * right,
        if epochs == 1 { "" } else { "s" },
        begin.elapsed().as_secs_f64()
    );
    save_safetensors(&net, out.join("weights.safetensors"))?;
    history.plot(out.join("training.svg"))?;
    let matrix = ConfusionMatrix::from_predictions(&all, &images.test.labels)?;
    Heatmap::confusion(&matrix, &[]).save(out.join("confusion.svg"))?;
    println!("checkpoint, history, weights and pictures are in {}", out.display());
    Ok(())
}

/// `[n, 1, 28, 28]`; smaller images are enlarged.
fn large(set: &Set) -> Result<Tensor> {
    let (n, side) = (set.len(), set.images.dim(1).isqrt());
    if side == 28 {
        return Ok(set.images.reshape([-1, 1, 28, 28])?);
    }
    let pixels = set.images.to_vec();
    let near = |i: usize| {
        let (image, y, x) = (i / 784, i / 28 % 28 * side / 28, i % 28 * side / 28);
        pixels[(image * side + y) * side + x]
    };
    Ok(Tensor::from_fn([n, 1, 28, 28], near))
}
