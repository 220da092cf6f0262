//! Learning to learn (MAML; Finn et al., 2017): a network whose weights are good to begin with, so that one
//! step of gradient descent on ten points fits a new sine. The gradient goes through that step: a gradient of
//! a gradient.
//!
//! ```sh
//! cargo run --release --example maml
//! ```
use clap::Parser;
use kolmo::{
    Random, Result, Tape, Tensor, Var,
    nn::{Layer, Linear, Relu, Sequential, named_params},
    optim::{Adam, Optimizer},
};
use std::f64::consts::PI;

/// The rate of the inner step, and the points that a task is learnt from.
const INNER: f64 = 0.01;
const POINTS: usize = 10;
/// Tasks for each outer step.
const TASKS: usize = 8;

#[derive(Parser)]
struct Options {
    #[arg(long, default_value_t = 6000)]
    steps: usize,
    /// A few steps, to see that everything works
    #[arg(long)]
    quick: bool,
}

type Net = Sequential<(Linear, Relu, Linear, Relu, Linear)>;

/// A sine of its own height and shift.
struct Task {
    height: f32,
    shift: f32,
}

impl Task {
    fn random(rng: &mut Random) -> Task {
        Task { height: rng.uniform_range(0.1..5.0) as f32, shift: rng.uniform_range(0.0..PI) as f32 }
    }

    fn points(&self, n: usize, rng: &mut Random) -> (Tensor, Tensor) {
        let x = Tensor::from_fn([n, 1], |_| rng.uniform_range(-5.0..5.0) as f32);
        let values = x.to_vec();
        (x, Tensor::from_fn([n, 1], |i| self.height * (values[i] + self.shift).sin()))
    }
}

fn error<'t>(tape: &'t Tape, net: &Net, (x, y): &(Tensor, Tensor)) -> Var<'t> {
    net.forward(&tape.constant(x)).mse_loss(y)
}

/// One step of gradient descent on the points: from now on the tape has the new weights for the old ones, as
/// values that can be differentiated.
fn adapt(tape: &Tape, net: &Net, points: &(Tensor, Tensor)) -> Result<()> {
    let params = named_params::<f32>(net);
    let weights: Vec<Var> = params.iter().map(|(_, p)| tape.param(p)).collect();
    let grads = error(tape, net, points).grad(&weights.iter().collect::<Vec<_>>())?;
    for (((_, p), w), g) in params.iter().zip(&weights).zip(grads) {
        tape.substitute(p, &(w - g * INNER));
    }
    Ok(())
}

fn train(through: bool, steps: usize) -> Result<Net> {
    let rng = &mut Random::new(0);
    let net =
        Sequential((Linear::new(1, 40, rng), Relu, Linear::new(40, 40, rng), Relu, Linear::new(40, 1, rng)));
    let mut adam = Adam::new(1e-3);
    let mut tape = Tape::new();
    for _ in 0..steps {
        let mut sum: Option<kolmo::Gradients> = None;
        for _ in 0..TASKS {
            let task = Task::random(rng);
            if through {
                adapt(&tape, &net, &task.points(POINTS, rng))?;
            }
            let grads = (error(&tape, &net, &task.points(POINTS, rng)) / TASKS as f64).backward()?;
            match &mut sum {
                Some(sum) => sum.accumulate(&grads)?,
                None => sum = Some(grads),
            }
            tape.reset();
        }
        if let Some(grads) = sum {
            adam.step(&net, &grads)?;
        }
    }
    Ok(net)
}

/// The mean error on new tasks, before and after the step.
fn test(net: &Net) -> Result<[f32; 2]> {
    let rng = &mut Random::new(99);
    let (mut tape, mut sums) = (Tape::new(), [0.0; 2]);
    for _ in 0..200 {
        let task = Task::random(rng);
        let (few, many) = (task.points(POINTS, rng), task.points(100, rng));
        sums[0] += error(&tape, net, &many).item()? / 200.0;
        adapt(&tape, net, &few)?;
        sums[1] += error(&tape, net, &many).item()? / 200.0;
        tape.reset();
    }
    Ok(sums)
}

fn main() -> Result<()> {
    let options = Options::parse();
    let steps = if options.quick { 30 } else { options.steps };
    println!("mean squared error on 200 new sines    before    after one step on {POINTS} points");
    for (name, through) in
        [("trained on all sines together", false), ("trained through the step (MAML)", true)]
    {
        let [before, after] = test(&train(through, steps)?)?;
        println!("{name:37}  {before:7.3}  {after:7.3}");
    }
    Ok(())
}
