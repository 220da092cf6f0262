//! Hand tracking: the pose of a hand, 26 numbers, from where points of its skin were measured. Jacobian in
//! three ways: dual numbers from beginning to end, a tape with one sweep for each row, and dual numbers for
//! the 22 bones with one matrix product for the skin. With few inputs and many results forward is the way.
//! Then steps of Levenberg and Marquardt find the pose.
//!
//! ```sh
//! cargo run --release --example hand_tracking                      # a made-up hand
//! cargo run --release --example hand_tracking -- --on-triangles    # with points that lie anywhere on the skin
//! cargo run --release --example hand_tracking -- --data FILE       # an input of ADBench, with its folder "model" beside it
//! ```
#[path = "adbench/clock.rs"]
mod clock;
#[path = "adbench/hand_model.rs"]
mod hand_model;
#[path = "adbench/least_squares.rs"]
mod least_squares;
#[path = "adbench/numbers.rs"]
mod numbers;
#[path = "adbench/hand.rs"]
mod objective;
#[path = "adbench/rotation.rs"]
mod rotation;

use clap::Parser;
use clock::seconds;
use hand_model::Model;
use kolmo::{Random, Result, Tape};
use least_squares::{Levenberg, Rows, half_square};
use objective::{Derivatives, Input, POSE, Point};
use std::path::{Path, PathBuf};

#[derive(Parser)]
struct Options {
    /// An input of ADBench instead of a made-up hand
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Where bones.txt, vertices.txt and triangles.txt are; without it, the folder "model" beside the file
    /// or one level up
    #[arg(long, value_name = "DIR", requires = "data")]
    model: Option<PathBuf>,
    /// Made-up points lie anywhere on triangles, not on vertices; where, is found as well
    #[arg(long, conflicts_with = "data")]
    on_triangles: bool,
    /// Of the made-up points
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Of Levenberg and Marquardt
    #[arg(long, default_value_t = 12)]
    steps: usize,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let (mut input, truth) = match &options.data {
        Some(path) => {
            let model = Model::read(&options.model.clone().unwrap_or_else(|| model_beside(path)))?;
            (objective::read(model, &path.display().to_string(), &numbers::text(path)?)?, None)
        }
        None => {
            let (input, truth) = made_up(options.on_triangles, &mut Random::new(options.seed))?;
            (input, Some(truth))
        }
    };
    let on = if input.on_triangles { "somewhere on triangles" } else { "on vertices" };
    println!("a hand of {} vertices, {} points {on}", input.model.vertices.len(), input.points.len());
    three_ways(&input)?;
    minimize(&mut input, options.steps)?;
    if let Some(truth) = truth {
        report(&input, &truth);
    }
    Ok(())
}

fn model_beside(file: &Path) -> PathBuf {
    let beside = file.with_file_name("model");
    let above = file.parent().unwrap_or(Path::new(".")).join("../model");
    if !beside.exists() && above.exists() { above } else { beside }
}

/// One Jacobian, three programs.
fn three_ways(input: &Input) -> Result<()> {
    println!("\n                                               milliseconds");
    let (time, _) = seconds(|| Ok(objective::errors(input, &input.variables)))?;
    println!("  errors alone, as plain numbers            {:14.3}", 1e3 * time);
    let (time, forward) = seconds(|| Ok(objective::forward(input)))?;
    println!("  Jacobian, by dual numbers                 {:14.3}", 1e3 * time);
    let skin = objective::skin(&input.model)?;
    let (time, both) = seconds(|| objective::both(input, &skin))?;
    println!("  bones by dual numbers, skin by tensors    {:14.3}", 1e3 * time);
    let mut tape = Tape::new();
    let (time, reverse) = seconds(|| objective::reverse(&mut tape, input))?;
    println!("  a tape of scalars, a sweep for each row   {:14.3}", 1e3 * time);
    let off = |other: &Derivatives| {
        let pairs = forward.jacobian.iter().zip(&other.jacobian);
        pairs.map(|(a, b)| (a - b).abs() / a.abs().max(1.0)).fold(0.0, f64::max)
    };
    let norm = (2.0 * half_square(&forward.jacobian)).sqrt();
    println!("  it is {} x {}, its norm {norm:.9}", forward.errors.len(), forward.columns);
    println!(
        "  the second is off the first by at most {:.1e}, the third by {:.1e}",
        off(&both),
        off(&reverse)
    );
    Ok(())
}

/// Steps of Levenberg and Marquardt for the pose and where the points are on their triangles.
fn minimize(input: &mut Input, steps: usize) -> Result<()> {
    println!("\nstep       λ    ½ Σ errors²");
    let (mut levenberg, skin) = (Levenberg::new(), objective::skin(&input.model)?);
    for step in 0..=steps {
        let Derivatives { errors, jacobian, columns } = objective::both(input, &skin)?;
        println!("{step:4} {:8.0e} {:14.6e}", levenberg.lambda, half_square(&errors));
        // Of each row: the coordinates of its own point, then the pose.
        let (own, first) = (columns - POSE, input.variables.len() - POSE);
        let places = (0..errors.len()).flat_map(|row| {
            let own = (0..own).map(move |k| row / 3 * 2 + k);
            own.chain(first..first + POSE).map(|place| place as u32)
        });
        let starts: Vec<usize> = (0..=errors.len()).map(|i| i * columns).collect();
        let rows = Rows { starts: &starts, columns: &places.collect::<Vec<_>>(), values: &jacobian };
        let mut variables = input.variables.clone();
        let of = |v: &[f64]| Ok(objective::errors(input, v));
        let more = step < steps && levenberg.step(&mut variables, (&errors, &rows), of)?;
        input.variables = variables;
        if !more {
            break;
        }
    }
    Ok(())
}

/// A grasping hand, 240 points of its skin measured with an error of 0.005 (the middle finger is 1.9 long),
/// and a flat hand to start from. The pose comes with it.
fn made_up(on_triangles: bool, rng: &mut Random) -> Result<(Input, Vec<f64>)> {
    let mut truth = vec![0.3, -0.5, 0.4, 0.2, -0.1, 0.5];
    for _ in 0..5 {
        truth.extend([rng.uniform_range(0.3..0.9), rng.uniform_range(-0.1..0.1)]);
        truth.extend([rng.uniform_range(0.3..0.9), rng.uniform_range(0.2..0.6)]);
    }
    let model = Model::made_up();
    let most = if on_triangles { model.triangles.len() } else { model.vertices.len() };
    let points: Vec<Point> =
        (0..240).map(|_| Ok(Point { on: rng.randint(0..most)?, place: [0.0; 3] })).collect::<Result<_>>()?;
    let mut variables = Vec::new();
    if on_triangles {
        variables.extend(
            (0..points.len()).flat_map(|_| [rng.uniform_range(0.1..0.5), rng.uniform_range(0.1..0.5)]),
        );
    }
    let mut start = vec![1.0 / 3.0; variables.len()];
    start.extend([0.1, -0.1, 0.1, 0.0, 0.0, 0.0]);
    start.extend([0.1; POSE - 6]);
    variables.extend(&truth);
    let mut input = Input { model, points, on_triangles, variables };
    // With all points at zero, the errors are the places of the skin, times -1.
    let skin = objective::errors(&input, &input.variables);
    for (point, place) in input.points.iter_mut().zip(skin.chunks(3)) {
        for (measured, v) in point.place.iter_mut().zip(place) {
            *measured = rng.normal(-v, 0.005);
        }
    }
    input.variables = start;
    Ok((input, truth))
}

/// The pose beside the one that the points were made with.
fn report(input: &Input, truth: &[f64]) {
    let pose = &input.variables[input.variables.len() - POSE..];
    println!("\n                    found                           made with");
    let names = ["turned by", "at", "thumb", "index", "middle", "ring", "little"];
    let starts = [0, 3, 6, 10, 14, 18, 22, POSE];
    for (name, range) in names.into_iter().zip(starts.windows(2)) {
        let show = |pose: &[f64]| -> String {
            pose[range[0]..range[1]].iter().map(|v| format!("{v:7.3}")).collect::<Vec<_>>().join(" ")
        };
        println!("  {name:14}  {:32}{}", show(pose), show(truth));
    }
}
