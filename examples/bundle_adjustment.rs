//! Bundle adjustment: where cameras stood and what they saw, from where points appear in their pictures. The
//! Jacobian is sparse, an observation depends on one camera and one point only; it comes from a tape of
//! scalars in three ways. Then steps of Levenberg and Marquardt make the errors small, and find the
//! observations that are wrong.
//!
//! ```sh
//! cargo run --release --example bundle_adjustment                  # a made-up scene
//! cargo run --release --example bundle_adjustment -- --data FILE   # an input of ADBench, such as tests/data/adbench/ba1.txt
//! ```
#[path = "adbench/clock.rs"]
mod clock;
#[path = "adbench/least_squares.rs"]
mod least_squares;
#[path = "adbench/numbers.rs"]
mod numbers;
#[path = "adbench/ba.rs"]
mod objective;
#[path = "adbench/rotation.rs"]
mod rotation;

use clap::Parser;
use clock::seconds;
use kolmo::{Random, Result, Tape, autodiff::Sparse};
use least_squares::{Levenberg, Rows, half_square};
use objective::{Input, Observation, Way};
use std::path::PathBuf;

#[derive(Parser)]
struct Options {
    /// An input of ADBench instead of a made-up scene
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Of the made-up scene
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Of Levenberg and Marquardt
    #[arg(long, default_value_t = 15)]
    steps: usize,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let (mut input, wrong) = match &options.data {
        Some(path) => (objective::read(&path.display().to_string(), &numbers::text(path)?)?, Vec::new()),
        None => made_up(&mut Random::new(options.seed)),
    };
    let (cameras, points, n) = (input.cameras, input.points, input.observations.len());
    println!("{cameras} cameras, {points} points, {n} observations, {} of them wrong", count(&wrong));
    three_ways(&input)?;
    minimize(&mut input, options.steps)?;
    if options.data.is_none() {
        report(&input, &wrong);
    }
    Ok(())
}

/// The same Jacobian, by how the program of an observation gets onto the tape.
fn three_ways(input: &Input) -> Result<()> {
    let (time, _) = seconds(|| Ok(objective::values(input, &input.variables)))?;
    println!("\n                                         milliseconds   statements");
    println!("  errors alone, as plain numbers        {:14.3}", 1e3 * time);
    let (mut tape, mut jacobian) = (Tape::new(), Sparse::default());
    for (what, way) in [
        ("one statement per operation", Way::Plain),
        ("made short by a sweep", Way::Preaccumulated),
        ("by dual numbers, one per error", Way::Forward),
    ] {
        let (time, _) = seconds(|| objective::derivatives(&mut tape, input, way, &mut jacobian))?;
        println!("  Jacobian, {what:30}{:12.3} {:12}", 1e3 * time, tape.len());
    }
    let [rows, columns] = jacobian.shape();
    let size = jacobian.as_csr().2.iter().map(|v| v * v).sum::<f64>().sqrt();
    let share = 1e2 * jacobian.nnz() as f64 / (rows as f64 * columns as f64);
    println!(
        "  it is {rows} x {columns}; {} elements aren't zero, {share:.3} %; its norm is {size:.6e}",
        jacobian.nnz()
    );
    Ok(())
}

/// Steps of Levenberg and Marquardt. A weight w costs (1 - w²)² and spares w² of an observation's squared
/// error, so one that no camera and no place of its point explains is given up: its weight goes to zero.
fn minimize(input: &mut Input, steps: usize) -> Result<()> {
    println!("\nstep       λ    ½ Σ errors²   weights below ½");
    let (mut tape, mut jacobian, mut levenberg) = (Tape::new(), Sparse::default(), Levenberg::new());
    for step in 0..=steps {
        let errors = objective::derivatives(&mut tape, input, Way::Forward, &mut jacobian)?;
        let low = input.parts(&input.variables).2.iter().filter(|w| w.abs() < 0.5).count();
        println!("{step:4} {:8.0e} {:14.6e} {low:17}", levenberg.lambda, half_square(&errors));
        let (starts, columns, values) = jacobian.as_csr();
        let rows = Rows { starts, columns, values };
        let mut variables = input.variables.clone();
        let of = |v: &[f64]| Ok(objective::values(input, v));
        let more = step < steps && levenberg.step(&mut variables, (&errors, &rows), of)?;
        input.variables = variables;
        if !more {
            break;
        }
    }
    Ok(())
}

/// Six cameras in a circle that look at a cloud of points; each sees every point with an error of 0.3 pixels.
/// One observation in fifty is of something else. The start is the truth, shaken. Which observations are
/// wrong comes with it.
fn made_up(rng: &mut Random) -> (Input, Vec<bool>) {
    let (cameras, points) = (6, 60);
    let mut normal = |size: f64| rng.normal(0.0, size);
    let mut truth = Vec::new();
    for i in 0..cameras {
        // Turned about the vertical, from a distance of 10, with a little distortion.
        let angle = 1.0 / (cameras - 1) as f64 * i as f64 - 0.5;
        let centre = [10.0 * angle.sin(), normal(0.3), -10.0 * angle.cos()];
        truth.extend([normal(0.02), angle, normal(0.02), centre[0], centre[1], centre[2]]);
        truth.extend([500.0, 0.0, 0.0, -0.02, 0.001]);
    }
    truth.extend((0..3 * points).map(|_| normal(1.0)));
    let n = cameras * points;
    truth.extend(vec![1.0; n]);
    let place = |i| Observation { camera: i % cameras, point: i / cameras, feature: [0.0; 2] };
    let mut input = Input { cameras, points, observations: (0..n).map(place).collect(), variables: truth };
    // With weights of one and features of zero, the errors are where the cameras see the points.
    let seen = objective::values(&input, &input.variables);
    let mut wrong = vec![false; n];
    for (i, o) in input.observations.iter_mut().enumerate() {
        wrong[i] = i % 50 == 7;
        let noise = if wrong[i] { 60.0 } else { 0.3 };
        o.feature = [seen[2 * i] + normal(noise), seen[2 * i + 1] + normal(noise)];
    }
    let scene = input.variables.len() - n;
    let (camera_values, point_values) = input.variables[..scene].split_at_mut(objective::CAMERA * cameras);
    for camera in camera_values.chunks_mut(objective::CAMERA) {
        camera[..3].iter_mut().for_each(|v| *v += normal(0.01));
        camera[3..6].iter_mut().for_each(|v| *v += normal(0.1));
        camera[6] += normal(10.0);
    }
    point_values.iter_mut().for_each(|v| *v += normal(0.1));
    (input, wrong)
}

/// How far points lie from where they were seen, and which observations were given up.
fn report(input: &Input, wrong: &[bool]) {
    let weights = input.parts(&input.variables).2;
    let given_up: Vec<bool> = weights.iter().map(|w| w.abs() < 0.5).collect();
    let hits = given_up.iter().zip(wrong).filter(|(a, b)| **a && **b).count();
    println!(
        "\n{} observations were given up, {hits} of them among the {} wrong ones",
        count(&given_up),
        count(wrong)
    );
    let scene = &input.variables[..input.variables.len() - weights.len()];
    let unweighted = objective::values(input, &[scene, &vec![1.0; weights.len()]].concat());
    let kept = unweighted.chunks(2).zip(wrong).filter(|(_, wrong)| !**wrong);
    let (sum, n) = kept.fold((0.0, 0), |(sum, n), (e, _)| (sum + e[0] * e[0] + e[1] * e[1], n + 2));
    println!(
        "the others lie {:.3} pixels off in each direction (they were made with 0.3)",
        (sum / f64::from(n)).sqrt()
    );
}

fn count(flags: &[bool]) -> usize {
    flags.iter().filter(|f| **f).count()
}
