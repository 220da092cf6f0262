//! The price of a call on a share whose volatility wanders, too (Heston, 1993), by many random paths, and how
//! it depends on each number of the model: one path is recorded as a program, and the program is run for all
//! of them.
//!
//! ```sh
//! cargo run --release --example heston
//! cargo run --release --example heston -- --paths 1000000
//! ```
#[path = "adbench/clock.rs"]
mod clock;

use clap::Parser;
use clock::seconds;
use kolmo::{Number, Random, Result, ScalarProgram, Tensor};

#[derive(Parser)]
struct Options {
    /// Random paths
    #[arg(long, default_value_t = 20_000)]
    paths: usize,
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Steps of a year.
const STEPS: usize = 100;
const STRIKE: f64 = 100.0;

const NAMES: [&str; 6] = [
    "price of the share",
    "variance at first",
    "how fast it returns",
    "to which mean",
    "its own volatility",
    "correlation of both",
];
const MODEL: [f64; 6] = [100.0, 0.04, 1.5, 0.05, 0.4, -0.6];

/// What the call pays at the end of a path, without interest: of the model, and two draws of the normal
/// distribution for each step. A variance below 0 counts as 0.
fn payoff<R: Number>(model: &[R], draws: &[R]) -> R {
    let &[mut price, mut variance, speed, mean, wander, correlation] = model else { return R::constant(0.0) };
    let (dt, one) = (1.0 / STEPS as f64, R::constant(1.0));
    let apart = (one - correlation * correlation).sqrt();
    for draw in draws.chunks_exact(2) {
        let positive = variance.clamp_min(1e-12);
        let noise = (positive * dt).sqrt();
        price = price * (noise * draw[0] - positive * (0.5 * dt)).exp();
        variance = variance
            + speed * (mean - positive) * dt
            + wander * noise * (correlation * draw[0] + apart * draw[1]);
    }
    (price - STRIKE).relu()
}

fn main() -> Result<()> {
    let Options { paths, seed } = Options::parse();
    let (rng, width) = (Random::new(seed), 6 + 2 * STEPS);
    // A row for each path: the model, which is the same for all, then the draws.
    let rows = |model: [f64; 6]| {
        Tensor::from_fn([paths, width], |i| match i % width {
            k @ 0..6 => model[k],
            _ => rng.normal_at(i as u64),
        })
    };
    let all = rows(MODEL);
    let program = ScalarProgram::with_data(6, 2 * STEPS, |model, draws| vec![payoff(model, draws)])?;
    println!("{paths} paths of {STEPS} steps; of one path {program:?}");

    let data = all.to_vec();
    let (plain, direct) = seconds(|| {
        Ok(data.chunks_exact(width).map(|row| payoff(&row[..6], &row[6..])).sum::<f64>() / paths as f64)
    })?;
    let (time, (values, slopes)) = seconds(|| program.value_and_grad(&all))?;
    let mean = |values: &Tensor<f64>| values.to_vec().iter().sum::<f64>() / paths as f64;
    println!("\nprice of the call       {:10.6}, by plain numbers {direct:.6}", mean(&values));
    println!(
        "microseconds per path   {:10.2} with derivatives, {:.2} without, by plain numbers",
        1e6 * time / paths as f64,
        1e6 * plain / paths as f64
    );

    println!("\nderivative by                of the paths    by differences");
    for (k, name) in NAMES.iter().enumerate() {
        let slope = slopes.to_vec().iter().skip(k).step_by(6).sum::<f64>() / paths as f64;
        let moved = |by: f64| {
            let mut model = MODEL;
            model[k] += by;
            program.run(&rows(model)).map(|values| mean(&values))
        };
        let step = 1e-4 * MODEL[k].abs();
        let difference = (moved(step)? - moved(-step)?) / (2.0 * step);
        println!("  {name:<24} {slope:14.6} {difference:17.6}");
    }
    Ok(())
}
