//! Convolution, batch normalisation and augmentation on the digits inside the crate: what a network that
//! knows of neighbours wins over one that doesn't.
//!
//! ```sh
//! cargo run --release --example digits_cnn
//! ```
use clap::Parser;
use kolmo::{
    Random, Tape, Tensor,
    data::{self, Augment, DataLoader},
    metrics::accuracy,
    nn::{BatchNorm2d, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Relu, Sequential},
    optim::{AdamW, OneCycleLr},
    train::Trainer,
};

#[derive(Parser)]
struct Options {
    /// Few epochs, to see that everything works
    #[arg(long)]
    quick: bool,
    /// Of the weights, the order and the augmentation
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> kolmo::Result<()> {
    let options = Options::parse();
    let epochs = if options.quick { 2 } else { 40 };

    let (x, y) = data::digits();
    let x = data::MinMaxScaler::fit(&x)?.apply(&x)?.reshape([-1, 1, 8, 8])?;
    // The same split for every seed.
    let (train, test) = data::train_test_split(y.numel(), 0.25, &mut Random::new(0))?;
    let (train, test) = ((x.rows(&train)?, y.rows(&train)?), (x.rows(&test)?, y.rows(&test)?));

    let mut rng = Random::new(options.seed);
    let mut block = |inputs, outputs| {
        let conv = Conv2d::new(inputs, outputs, 3, &mut rng).padding(1);
        Sequential((conv, BatchNorm2d::new(outputs), Relu))
    };
    let body = (block(1, 32), block(32, 32), MaxPool2d::new(2), block(32, 64), MaxPool2d::new(2), Flatten);
    let net = Sequential((Sequential(body), Dropout::new(0.3), Linear::new(64 * 4, 10, &mut rng)));
    let scores = |x: &Tensor| -> kolmo::Result<_> {
        let tape = Tape::inference();
        Ok(net.forward(&tape.constant(x)).value()?.clone())
    };

    let augment = Augment::new().translate(1.0).degrees(8.0).scale(0.1);
    let loader = DataLoader::new(train.1.numel(), 64).seed(options.seed);
    let schedule = OneCycleLr::new(1e-2, epochs * loader.len() as u64);
    Trainer::new(loader, epochs).seed(options.seed).schedule(&schedule).fit(
        &net,
        &mut AdamW::new(1e-2),
        move |rows, rng| Ok((augment.apply(&train.0.rows(rows)?, rng)?, train.1.rows(rows)?)),
        |tape, (x, y)| net.forward(&tape.constant(x)).cross_entropy(y),
        || Ok(vec![("accuracy", accuracy(&scores(&test.0)?, &test.1)?)]),
    )?;
    let wrong = (1.0 - accuracy(&scores(&test.0)?, &test.1)?) * test.1.numel() as f64;
    println!(
        "{:.2} % of {} held-out digits are right, {:.0} are not",
        100.0 * accuracy(&scores(&test.0)?, &test.1)?,
        test.1.numel(),
        wrong
    );
    Ok(())
}
