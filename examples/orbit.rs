//! A planet's orbit, and how its place and speed at the end depend on those at the beginning: the derivatives of
//! many steps of an integrator by a tape, beside differences and what Kepler's laws say.
//!
//! ```sh
//! cargo run --release --example orbit
//! cargo run --release --example orbit -- --eccentricity 0.8 --steps 20000
//! ```
#[path = "adbench/clock.rs"]
mod clock;

use clap::Parser;
use clock::seconds;
use kolmo::{Number, Result, Scalar, Tape};
use std::{array::from_fn, f64::consts::PI};

#[derive(Parser)]
struct Options {
    /// Steps of one turn
    #[arg(long, default_value_t = 2000)]
    steps: usize,
    /// From 0, a circle, to below 1
    #[arg(long, default_value_t = 0.4)]
    eccentricity: f64,
}

/// Place and speed after so many steps of the time `dt`, around a sun in the middle that pulls with 1 / r². Steps
/// of fourth order that keep areas as the true orbit does (Forest and Ruth, 1990).
fn end<R: Number>(start: [R; 4], dt: f64, steps: usize) -> [R; 4] {
    let root = 1.259_921_049_894_873_2; // 2^(1/3)
    let [outer, inner] = [1.0 / (2.0 - root), -root / (2.0 - root)];
    let drifts = [outer / 2.0, (outer + inner) / 2.0, (outer + inner) / 2.0, outer / 2.0];
    let [mut x, mut y, mut u, mut v] = start;
    for _ in 0..steps {
        for (drift, pull) in drifts.into_iter().zip([outer, inner, outer, 0.0]) {
            (x, y) = (x + u * (drift * dt), y + v * (drift * dt));
            if pull != 0.0 {
                let square = x * x + y * y;
                let fall = R::constant(pull * dt) / (square * square.sqrt());
                (u, v) = (u - x * fall, v - y * fall);
            }
        }
    }
    [x, y, u, v]
}

/// The derivatives after exactly one turn. A planet that begins a little elsewhere has another time T of a turn, and
/// is then so much behind: `I - (speed, pull) ∇T`, where `T = 2π a^(3/2)` and `1 / a = 2 / r - v²`.
fn by_kepler([x, y, u, v]: [f64; 4]) -> [[f64; 4]; 4] {
    let r = (x * x + y * y).sqrt();
    let (cube, axis) = (r * r * r, 1.0 / (2.0 / r - u * u - v * v));
    let slope = [x / cube, y / cube, u, v].map(|s| 6.0 * PI * axis * axis * axis.sqrt() * s);
    let flow = [u, v, -x / cube, -y / cube];
    from_fn(|i| from_fn(|k| f64::from(i == k) - flow[i] * slope[k]))
}

fn main() -> Result<()> {
    let Options { steps, eccentricity } = Options::parse();
    let dt = 2.0 * PI / steps as f64;
    // Where it is nearest to the sun, with a mean distance of 1.
    let start = [1.0 - eccentricity, 0.0, 0.0, ((1.0 + eccentricity) / (1.0 - eccentricity)).sqrt()];
    let (plain, direct) = seconds(|| Ok(end(start, dt, steps)))?;
    let mut tape = Tape::<f64>::new();
    let (time, slopes) = seconds(|| {
        tape.reset();
        let x = start.map(|v| tape.scalar(v));
        let row = |y: Scalar| y.backward().map(|grads| x.map(|x| grads.scalar(x)));
        end(x, dt, steps).into_iter().map(row).collect::<Result<Vec<_>>>()
    })?;
    println!("{steps} steps of one turn, {} statements", tape.len());
    println!("begins at {start:.6?}");
    println!("ends at   {direct:.6?}");
    println!("milliseconds: {:.2} by plain numbers, {:.2} with all derivatives", 1e3 * plain, 1e3 * time);

    let (exact, names) = (by_kepler(start), ["x", "y", "speed x", "speed y"]);
    println!("\nderivative of       by              of the tape    by differences         by Kepler");
    for (i, of) in names.iter().enumerate() {
        for (k, by) in names.iter().enumerate() {
            let moved =
                |step: f64| end(from_fn(|j| start[j] + if j == k { step } else { 0.0 }), dt, steps)[i];
            let difference = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            println!("  {of:<16}  {by:<12} {:14.6} {difference:17.6} {:17.6}", slopes[i][k], exact[i][k]);
        }
    }
    Ok(())
}
