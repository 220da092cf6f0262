//! The shortest whole training: handwritten digits, a network of two layers, the `Trainer`, a confusion
//! matrix.
//!
//! ```sh
//! cargo run --release --example digits_mlp -- --out target/digits_mlp
//! ```
use clap::Parser;
use kolmo::{
    Random, Tape,
    data::{self, DataLoader},
    metrics::{ConfusionMatrix, accuracy},
    nn::{Layer, Linear, Relu, Sequential},
    optim::{AdamW, OneCycleLr},
    plot::Heatmap,
    train::Trainer,
};
use std::{fs, path::PathBuf};

#[derive(Parser)]
struct Options {
    /// Where the pictures go
    #[arg(long, default_value = "target/digits_mlp")]
    out: PathBuf,
    /// Few epochs, to see that everything works
    #[arg(long)]
    quick: bool,
}

fn main() -> kolmo::Result<()> {
    let options = Options::parse();
    let epochs = if options.quick { 5 } else { 60 };

    // 1,797 images of 8×8, a quarter of them held out.
    let (x, y) = data::digits();
    let (train, test) = data::train_test_split(y.numel(), 0.25, &mut Random::new(0))?;
    let x = data::StandardScaler::fit(&x.rows(&train)?)?.apply(&x)?;
    let (train, test) = ((x.rows(&train)?, y.rows(&train)?), (x.rows(&test)?, y.rows(&test)?));

    let mut rng = Random::new(0);
    let net = Sequential((Linear::new(64, 128, &mut rng), Relu, Linear::new(128, 10, &mut rng)));
    let scores = || -> kolmo::Result<_> {
        let tape = Tape::inference();
        Ok(net.forward(&tape.constant(&test.0)).value()?.clone())
    };

    let loader = DataLoader::new(train.1.numel(), 64);
    let schedule = OneCycleLr::new(1e-2, epochs * loader.len() as u64);
    let history = Trainer::new(loader, epochs).schedule(&schedule).fit(
        &net,
        &mut AdamW::new(1e-2),
        move |rows, _| Ok((train.0.rows(rows)?, train.1.rows(rows)?)),
        |tape, (x, y)| net.forward(&tape.constant(x)).cross_entropy(y),
        || Ok(vec![("accuracy", accuracy(&scores()?, &test.1)?)]),
    )?;

    let right = accuracy(&scores()?, &test.1)?;
    println!(
        "{:.2} % of {} held-out digits are right; logistic regression has about 97 %",
        100.0 * right,
        test.1.numel()
    );
    fs::create_dir_all(&options.out).ok();
    history.plot(options.out.join("training.svg"))?;
    let matrix = ConfusionMatrix::from_predictions(&scores()?, &test.1)?;
    Heatmap::confusion(&matrix, &[]).save(options.out.join("confusion.svg"))?;
    println!("curves and confusion matrix are in {}", options.out.display());
    Ok(())
}
