//! A differential equation solved by a network (Raissi et al., 2019): `-u'' + u = f` on [0, 1] with `u = 0`
//! at both ends. The second derivative in the loss is two sweeps of the tape, and training needs a third.
//!
//! ```sh
//! cargo run --release --example pinn
//! ```
use clap::Parser;
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    nn::{Layer, Linear, Sequential, Tanh},
    optim::Lbfgs,
};
use std::f64::consts::PI;

#[derive(Parser)]
struct Options {
    /// Fewer steps, to see that everything works
    #[arg(long)]
    quick: bool,
}

/// The solution of `-u'' + u = f` with `u(0) = u(1) = 0` that is looked for, and the f that belongs to it.
fn solution(x: f64) -> f64 {
    (PI * x).sin() + 0.3 * (4.0 * PI * x).sin()
}

fn source(x: f64) -> f64 {
    (1.0 + PI * PI) * (PI * x).sin() + 0.3 * (1.0 + 16.0 * PI * PI) * (4.0 * PI * x).sin()
}

type Net = Sequential<(Linear<f64>, Tanh, Linear<f64>, Tanh, Linear<f64>)>;

/// `x·(1 - x)·net(x)` is 0 at both ends, whatever the network says.
fn u<'t>(net: &Net, x: &Var<'t, f64>) -> Var<'t, f64> {
    x * (1.0 - x) * net.forward(x)
}

fn main() -> Result<()> {
    let options = Options::parse();
    let rng = &mut Random::new(0);
    let (first, middle) = (Linear::with_dtype(1, 24, rng), Linear::with_dtype(24, 24, rng));
    let net = Sequential((first, Tanh, middle, Tanh, Linear::with_dtype(24, 1, rng)));
    let points = Tensor::<f64>::linspace(0.0, 1.0, 64).reshape([64, 1])?;
    let forces = Tensor::from_fn([64, 1], |i| source(i as f64 / 63.0));

    let residual = |tape: &Tape<f64>| -> Result<f64> { loss(tape, &net, &points, &forces).item() };
    let before = residual(&Tape::new())?;
    Lbfgs::new(1.0)
        .strong_wolfe(true)
        .max_iter(if options.quick { 20 } else { 600 })
        .max_eval(2000)
        .minimize(&net, |tape| loss(tape, &net, &points, &forces))?;
    let after = residual(&Tape::new())?;

    let (tape, n) = (Tape::inference(), 1001);
    let x = Tensor::<f64>::linspace(0.0, 1.0, n).reshape([n as isize, 1])?;
    let found = u(&net, &tape.constant(x)).to_vec()?;
    let worst = (0..n).map(|i| (found[i] - solution(i as f64 / 1000.0)).abs()).fold(0.0, f64::max);
    println!("-u'' + u = f on [0, 1], u(0) = u(1) = 0");
    println!("mean squared residual   {before:.3e} before, {after:.3e} after training");
    println!("largest error of u      {worst:.2e}, where u reaches 1.2");
    Ok(())
}

/// The mean square of `-u'' + u - f` at the points. Each u depends on its own x alone, so the gradient of the
/// sum is the derivative of each.
fn loss<'t>(tape: &'t Tape<f64>, net: &Net, points: &Tensor<f64>, forces: &Tensor<f64>) -> Var<'t, f64> {
    let x = tape.input(points);
    let y = u(net, &x);
    let derivative = |y: &Var<'t, f64>| y.sum().grad(&[&x]).map(|mut g| g.remove(0));
    match derivative(&y).and_then(|dy| derivative(&dy)) {
        Ok(second) => (y - second).mse_loss(forces),
        // Whatever went wrong is on the tape; the failed value says it again.
        Err(_) => y.sum(),
    }
}
