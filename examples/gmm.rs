//! A mixture of Gaussians, once as a program of scalars and once of tensors: the same value and gradient from
//! both, and the time of each. Then the mixture is fitted to points by its gradient, with L-BFGS.
//!
//! ```sh
//! cargo run --release --example gmm                  # made-up points
//! cargo run --release --example gmm -- --data FILE   # an input of ADBench, such as tests/data/adbench/gmm_d10_K25.txt
//! ```
#[path = "adbench/clock.rs"]
mod clock;
#[path = "adbench/numbers.rs"]
mod numbers;
#[path = "adbench/gmm.rs"]
mod objective;

use clap::Parser;
use clock::seconds;
use kolmo::{Random, Result, Tape, Tensor, nn::Param, optim::Lbfgs};
use objective::{Input, Prior, Program};
use serde::Serialize;
use std::path::PathBuf;

#[derive(Parser)]
struct Options {
    /// An input of ADBench instead of made-up points
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Of the made-up points and where the fit begins
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let mut input = match &options.data {
        Some(path) => objective::read(&path.display().to_string(), &numbers::text(path)?)?,
        None => made_up(&mut Random::new(options.seed))?,
    };
    println!("{} points of {} numbers, {} components", input.n, input.d, input.k);
    side_by_side(&input)?;
    // Only with this sign is the sum the logarithm of a probability, and has a maximum.
    input.prior = Prior::Added;
    fit(&input, options.data.is_none())
}

/// One gradient, four programs.
fn side_by_side(input: &Input) -> Result<()> {
    let sign = if input.prior == Prior::Added { "" } else { ", with ADBench's sign of the prior" };
    println!("\nlogarithm of the likelihood{sign}");
    println!("                           value      |gradient|   off scalars'   milliseconds");
    let (time, value) = seconds(|| Ok(objective::value(input)))?;
    println!("  plain numbers {value:18.9} {:>15} {:>14} {:14.3}", "none", "", 1e3 * time);
    let programs: [(&str, Program); 3] =
        [("scalars", objective::scalars), ("tensors", objective::tensors), ("both", objective::mixed)];
    let (mut tape, mut first) = (Tape::new(), Vec::new());
    for (name, run) in programs {
        let (time, (value, gradient)) = seconds(|| run(&mut tape, input))?;
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        if first.is_empty() {
            first.clone_from(&gradient);
        }
        let off = first.iter().zip(&gradient).map(|(a, b)| (a - b).abs() / a.abs().max(1.0));
        let off = off.fold(0.0, f64::max);
        println!("  {name:13} {value:18.9} {norm:15.6} {off:14.0e} {:14.3}", 1e3 * time);
    }
    Ok(())
}

/// Serde's derive is all that an optimiser needs to find the parameters.
#[derive(Serialize)]
struct Mixture {
    alphas: Param<f64>,
    means: Param<f64>,
    icf: Param<f64>,
}

/// Raises the likelihood per point from where the input has the parameters.
fn fit(input: &Input, made_up: bool) -> Result<()> {
    let [alphas, means, icf] = objective::parameters(input)?.map(Param::new);
    let mixture = Mixture { alphas, means, icf };
    let mut lbfgs = Lbfgs::new(1.0).strong_wolfe(true).max_iter(10);
    let of_point = |tape: &Tape<f64>| -> Result<f64> {
        let parameters = [&mixture.alphas, &mixture.means, &mixture.icf].map(|p| tape.param(p));
        Ok(objective::of_tensors(input, parameters.each_ref())?.item()? / input.n as f64)
    };
    println!("\nfitted by L-BFGS: logarithm of the likelihood per point");
    for iterations in [0, 10, 20, 30, 40, 50, 60] {
        if iterations > 0 {
            lbfgs.minimize(&mixture, |tape| {
                let parameters = [&mixture.alphas, &mixture.means, &mixture.icf].map(|p| tape.param(p));
                match objective::of_tensors(input, parameters.each_ref()) {
                    Ok(value) => value * (-1.0 / input.n as f64),
                    Err(_) => tape.constant(f64::NAN),
                }
            })?;
        }
        println!("  after {iterations:2} iterations {:12.6}", of_point(&Tape::inference())?);
    }
    if made_up {
        println!("\ncomponent       weight   mean              standard deviations, correlation");
        for (name, c) in
            found(&mixture)?.into_iter().map(|c| ("found", c)).chain(TRUE.map(|c| ("made with", c)))
        {
            println!(
                "  {name:10} {:9.3}   ({:5.2}, {:5.2})    {:.2}, {:.2}, {:5.2}",
                c.weight, c.mean[0], c.mean[1], c.deviations[0], c.deviations[1], c.correlation
            );
        }
    }
    Ok(())
}

/// One Gaussian of the plane.
struct Component {
    weight: f64,
    mean: [f64; 2],
    deviations: [f64; 2],
    correlation: f64,
}

/// What the points are made with.
const TRUE: [Component; 3] = [
    Component { weight: 0.5, mean: [-2.0, 0.0], deviations: [1.0, 0.5], correlation: 0.8 },
    Component { weight: 0.3, mean: [2.0, 1.0], deviations: [0.5, 1.0], correlation: 0.0 },
    Component { weight: 0.2, mean: [1.0, -2.0], deviations: [0.8, 0.4], correlation: -0.5 },
];

/// A thousand points, and a start for the fit: equal weights, points as means, circles of radius 1.
fn made_up(rng: &mut Random) -> Result<Input> {
    let (n, k) = (1000, TRUE.len());
    let mut x = Vec::with_capacity(2 * n);
    for _ in 0..n {
        let c = &TRUE[rng.categorical(&TRUE.map(|c| c.weight))?];
        let [a, b]: [f64; 2] = [0, 1].map(|_| rng.normal(0.0, 1.0));
        let along = c.correlation * a + (1.0 - c.correlation * c.correlation).sqrt() * b;
        x.extend([c.mean[0] + c.deviations[0] * a, c.mean[1] + c.deviations[1] * along]);
    }
    // A point is the likelier as a start, the farther it lies from those that are one already (Arthur and
    // Vassilvitskii, 2007).
    let mut means: Vec<f64> = x[..2].to_vec();
    while means.len() < 2 * k {
        let far = |p: &[f64]| {
            let squares = means.chunks(2).map(|m| (p[0] - m[0]).powi(2) + (p[1] - m[1]).powi(2));
            squares.fold(f64::INFINITY, f64::min)
        };
        let squares: Vec<f64> = x.chunks(2).map(far).collect();
        let i = rng.categorical(&squares)?;
        means.extend([x[2 * i], x[2 * i + 1]]);
    }
    let icf = vec![0.0; 3 * k];
    Ok(Input { d: 2, k, n, alphas: vec![0.0; k], means, icf, x, gamma: 1.0, m: 0.0, prior: Prior::Added })
}

/// The components in words of the plane, the heaviest first. With Q = [[a, 0], [l, b]] the covariance is
/// (QᵀQ)⁻¹.
fn found(mixture: &Mixture) -> Result<Vec<Component>> {
    let tape = Tape::inference();
    let weights = tape.param(&mixture.alphas).softmax(0).value()?.to_vec();
    let rows = |p: &Param<f64>| -> Vec<Vec<f64>> {
        let value: Tensor<f64> = p.value();
        value.to_vec().chunks(value.dim(1).max(1)).map(<[f64]>::to_vec).collect()
    };
    let mut all = Vec::new();
    for ((weight, mean), icf) in weights.into_iter().zip(rows(&mixture.means)).zip(rows(&mixture.icf)) {
        let (a, b, l) = (icf[0].exp(), icf[1].exp(), icf[2]);
        let deviations = [1.0 / a, l.hypot(a) / (a * b)];
        all.push(Component { weight, mean: [mean[0], mean[1]], deviations, correlation: -l / l.hypot(a) });
    }
    all.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    Ok(all)
}
