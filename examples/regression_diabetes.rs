//! Regression on 442 patients: least squares by L-BFGS, whose result is known; then what keeps its promise on
//! patients it has not seen, by cross-validation: least squares, a penalty on weights, a small network.
//!
//! ```sh
//! cargo run --release --example regression_diabetes
//! ```
use kolmo::{
    Random, Result, Tape, Tensor,
    data::{self, StandardScaler, Table},
    loss::l2_penalty,
    metrics::{mean_squared_error, r2_score},
    nn::{Layer, Linear, Sequential, Tanh},
    optim::Lbfgs,
};
use serde::Serialize;

fn main() -> Result<()> {
    let table = Table::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/diabetes.csv"))?;
    let names: Vec<&str> = table.names().iter().map(String::as_str).filter(|n| *n != "progression").collect();
    let (x, y) = (table.numbers(&names)?, table.numbers(&["progression"])?.reshape([-1])?);
    let all: Vec<usize> = (0..y.numel()).collect();

    let linear = || Linear::<f64>::with_dtype(names.len(), 1, &mut Random::new(0));
    let found = predict(&x, &y, &all, &all, linear(), 0.0)?;
    println!(
        "least squares in sample: R² {:.4} (0.5177 is known)\n",
        r2_score(&found, &y.cast::<f64>(), true)?
    );

    println!("mean squared error, 10-fold");
    let folds = data::k_fold(y.numel(), 10, &mut Random::new(0))?;
    let crossed = |name: &str, penalty: f64, deep: bool| -> Result<()> {
        let mut found = vec![0.0; y.numel()];
        for (train, test) in &folds {
            let part = if deep {
                let rng = &mut Random::new(1);
                let (first, last) = (Linear::with_dtype(names.len(), 8, rng), Linear::with_dtype(8, 1, rng));
                let net = Sequential((first, Tanh, last));
                predict(&x, &y, train, test, net, penalty)?
            } else {
                predict(&x, &y, train, test, linear(), penalty)?
            };
            test.iter().zip(part.to_vec()).for_each(|(&i, v)| found[i] = v);
        }
        let error = mean_squared_error(&Tensor::from(found), &y.cast::<f64>())?;
        println!("  {name:38} {error:6.0}");
        Ok(())
    };
    crossed("least squares (about 2,985 is known)", 0.0, false)?;
    crossed("penalty on weights (ridge)", 0.02, false)?;
    crossed("network of 8 tanh units", 0.0, true)?;
    crossed("network of 8 tanh units, penalty", 0.02, true)?;
    Ok(())
}

/// Trains on some patients and predicts others.
fn predict(
    x: &Tensor,
    y: &Tensor,
    train: &[usize],
    test: &[usize],
    net: impl Layer<f64> + Serialize,
    penalty: f64,
) -> Result<Tensor<f64>> {
    let scale = StandardScaler::fit(&x.rows(train)?)?;
    let inputs = |rows: &[usize]| -> Result<Tensor<f64>> { Ok(scale.apply(&x.rows(rows)?)?.cast()) };
    // Targets too are brought near 0 and 1.
    let targets = y.rows(train)?.cast::<f64>().to_vec();
    let n = targets.len() as f64;
    let mean = targets.iter().sum::<f64>() / n;
    let deviation = (targets.iter().map(|t| (t - mean).powi(2)).sum::<f64>() / n).sqrt();
    let targets = Tensor::from_fn([targets.len()], |i| (targets[i] - mean) / deviation);
    let seen = inputs(train)?;
    Lbfgs::new(1.0).strong_wolfe(true).max_iter(300).max_eval(1000).minimize(&net, |tape| {
        let found = net.forward(&tape.constant(&seen)).squeeze(1);
        let loss = found.mse_loss(&targets);
        loss + l2_penalty(&net, tape, |name, _| name.ends_with("weight")) * penalty
    })?;
    let tape = Tape::inference();
    let found = net.forward(&tape.constant(inputs(test)?)).squeeze(1) * deviation + mean;
    Ok(found.value()?.clone())
}
