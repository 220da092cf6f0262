//! Digits through a bottleneck of a few numbers and back: what a curved map keeps that a flat one of the same
//! size (principal components) loses.
//!
//! ```sh
//! cargo run --release --example autoencoder -- --out target/autoencoder.png
//! ```
use clap::Parser;
use kolmo::{
    Random, Result, Tape, Tensor,
    data::{self, DataLoader},
    nn::{Gelu, Layer, Linear, Sequential},
    optim::{AdamW, CosineAnnealingLr},
    plot::Heatmap,
    train::Trainer,
};
use std::path::PathBuf;

#[derive(Parser)]
struct Options {
    /// Numbers that an image of 64 goes through
    #[arg(long, default_value_t = 6)]
    size: usize,
    /// The picture, .png or .svg: digits above, what came back below
    #[arg(long, default_value = "target/autoencoder.png")]
    out: PathBuf,
    /// Few epochs, to see that everything works
    #[arg(long)]
    quick: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let (images, labels) = data::digits();
    let (train, test) = data::train_test_split(labels.numel(), 0.25, &mut Random::new(0))?;
    let pixels = images.to_vec();
    let x = Tensor::from_fn(images.shape(), |i| pixels[i] / 16.0);
    let (train, test) = (x.rows(&train)?, x.rows(&test)?);

    let rng = &mut Random::new(0);
    let encoder = Sequential((Linear::new(64, 128, rng), Gelu, Linear::new(128, options.size, rng)));
    let decoder = Sequential((Linear::new(options.size, 128, rng), Gelu, Linear::new(128, 64, rng)));
    let both = Sequential((encoder, decoder));
    let back = |x: &Tensor| -> Result<Tensor> {
        let tape = Tape::inference();
        Ok(both.forward(&tape.constant(x)).value()?.clone())
    };

    let epochs = if options.quick { 5 } else { 150 };
    let loader = DataLoader::new(train.dim(0), 64);
    let schedule = CosineAnnealingLr::new(3e-3, epochs * loader.len() as u64);
    let source = train.clone();
    Trainer::new(loader, epochs).schedule(&schedule).fit(
        &both,
        &mut AdamW::new(3e-3),
        move |rows, _| source.rows(rows),
        |tape, x| both.forward(&tape.constant(x)).mse_loss(x),
        || Ok(vec![("error", error(&back(&test)?, &test)?)]),
    )?;

    println!("mean squared error of a pixel on held-out digits, through {} numbers of 64", options.size);
    println!("the mean digit          {:.5}", error(&components(&train, &test, 0)?, &test)?);
    println!("principal components    {:.5}", error(&components(&train, &test, options.size)?, &test)?);
    println!("autoencoder             {:.5}", error(&back(&test)?, &test)?);
    if let Some(folder) = options.out.parent() {
        std::fs::create_dir_all(folder).ok();
    }
    let shown = test.narrow(0, 0, 12)?;
    let rows: Vec<f32> = [shown.to_vec(), back(&shown)?.to_vec()].concat();
    let pictures = Tensor::from_fn([24, 8, 8], |i| f64::from(rows[i]).clamp(0.0, 1.0));
    Heatmap::images("digits, and what came back", &pictures, 12).save(&options.out)?;
    println!("digits are in {}", options.out.display());
    Ok(())
}

fn error(a: &Tensor, b: &Tensor) -> Result<f64> {
    let tape = Tape::inference();
    Ok(f64::from(tape.constant(a).mse_loss(b).item()?))
}

/// Images as the mean and so many principal components of others give them back: the directions of largest
/// variance, one after the other, each by power iteration on what those before it left.
fn components(train: &Tensor, test: &Tensor, count: usize) -> Result<Tensor> {
    let tape = Tape::inference();
    let train = tape.constant(train);
    let mean = train.mean_dim(0, true);
    let mut left = train - &mean;
    let centred = test - &mean;
    let mut found = &centred * 0.0 + &mean;
    for _ in 0..count {
        let mut direction = tape.constant(Tensor::ones([64, 1]));
        for _ in 0..100 {
            direction = left.t().matmul(&left.matmul(&direction)).normalize(2.0, 0, 1e-12);
        }
        found = found + centred.matmul(&direction).matmul(&direction.t());
        left = &left - left.matmul(&direction).matmul(&direction.t());
    }
    Ok(found.value()?.clone())
}
