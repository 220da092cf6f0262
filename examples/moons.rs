//! Two half moons, a small network, and the boundary that it draws between them.
//!
//! ```sh
//! cargo run --release --example moons -- --out target/moons.png
//! ```
use clap::Parser;
use kolmo::{
    Random, Result, Tape, Tensor,
    metrics::accuracy,
    nn::{Layer, Linear, Sequential, Tanh},
    optim::{Adam, Optimizer},
    plot::Heatmap,
};
use serde::Serialize;
use std::{f32::consts::PI, path::PathBuf};

#[derive(Parser)]
struct Options {
    /// The picture, .png or .svg
    #[arg(long, default_value = "target/moons.png")]
    out: PathBuf,
}

/// `n` points of two moons that reach into each other, and which moon each is of.
fn moons(n: usize, noise: f32, rng: &mut Random) -> (Tensor, Tensor<u32>) {
    let mut points = Vec::with_capacity(2 * n);
    for i in 0..n {
        let angle = PI * rng.uniform() as f32;
        let (x, y) = match i % 2 {
            0 => (angle.cos(), angle.sin()),
            _ => (1.0 - angle.cos(), 0.5 - angle.sin()),
        };
        points.extend([x, y].map(|v| v + noise * rng.uniform_range(-1.0..1.0) as f32));
    }
    (Tensor::from_fn([n, 2], |i| points[i]), Tensor::from_fn([n], |i| i as u32 % 2))
}

/// Trains on some points; the share of others that is right then.
fn fit(
    net: &(impl Layer + Serialize),
    (x, y): (&Tensor, &Tensor<u32>),
    (new_x, new_y): (&Tensor, &Tensor<u32>),
) -> Result<f64> {
    let (mut adam, mut tape) = (Adam::new(1e-2), Tape::new());
    for _ in 0..500 {
        let loss = net.forward(&tape.constant(x)).cross_entropy(y);
        adam.step(net, &loss.backward()?)?;
        tape.reset();
    }
    accuracy(net.forward(&Tape::inference().constant(new_x)).value()?, new_y)
}

fn main() -> Result<()> {
    let options = Options::parse();
    let rng = &mut Random::new(0);
    let (x, y) = moons(400, 0.25, rng);
    let (new_x, new_y) = moons(2000, 0.25, rng);

    let net =
        Sequential((Linear::new(2, 16, rng), Tanh, Linear::new(16, 16, rng), Tanh, Linear::new(16, 2, rng)));
    let line = Linear::new(2, 2, rng);
    println!("of 2,000 new points are right:");
    println!("  a straight line   {:.2} %", 100.0 * fit(&line, (&x, &y), (&new_x, &new_y))?);
    println!("  a small network   {:.2} %", 100.0 * fit(&net, (&x, &y), (&new_x, &new_y))?);

    let tape = Tape::inference();
    // The network's probability of the second moon on a grid over [-1.5, 2.5] × [-1, 1.5].
    let (columns, rows) = (160, 100);
    let grid = Tensor::from_fn([columns * rows, 2], |i| match (i / 2, i % 2) {
        (p, 0) => -1.5 + 4.0 * ((p % columns) as f32 + 0.5) / columns as f32,
        (p, _) => 1.5 - 2.5 * ((p / columns) as f32 + 0.5) / rows as f32,
    });
    let chances = net.forward(&tape.constant(grid)).softmax(-1).select(1, 1).value()?.cast::<f64>();
    let place = |v: f32, start: f32, size: f32, n: usize| f64::from((v - start) / size) * n as f64;
    let (values, classes) = (x.to_vec(), y.to_vec());
    let points = (0..classes.len()).map(|i| {
        let (px, py) = (values[2 * i], values[2 * i + 1]);
        (place(px, -1.5, 4.0, columns), place(py, 1.5, -2.5, rows), classes[i] as usize)
    });
    if let Some(folder) = options.out.parent() {
        std::fs::create_dir_all(folder).ok();
    }
    Heatmap::new(
        "Probability of the second moon; dots: training points, by class",
        &chances.reshape([rows as isize, columns as isize])?,
    )
    .axes("x: 160 columns from -1.5 to 2.5", "y: 100 rows from 1.5 to -1")
    .range(0.0, 1.0)
    .points(points)
    .save(&options.out)?;
    println!("the boundary is in {}", options.out.display());
    Ok(())
}
