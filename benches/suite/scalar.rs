//! A long chain of scalar statements: recording and sweeping against computing alone. And many short runs of
//! one program.
use crate::{
    adbench::compare,
    measure::peak_rss_mb,
    timing::{budget, fill},
};
use kolmo::{Number, Result, Scalar, ScalarProgram, Tape, Tensor, fuse};
use std::{hint::black_box, time::Instant};

/// Turns of the loop, each of twelve operations.
const TURNS: usize = 83_334;

fn plain<R: Number>(mut x: R, mut y: R) -> R {
    let mut s = x;
    for _ in 0..TURNS {
        x = x.sin() * y + x / (y * y + 1.0);
        y = (-(x * x)).exp() + y * 0.5;
        s = s + x;
    }
    s
}

fn fused<'t>(mut x: Scalar<'t>, mut y: Scalar<'t>) -> Scalar<'t> {
    let next_x = fuse!(|x, y| x.sin() * y + x / (y * y + 1.0));
    let next_y = fuse!(|x, y| (-(x * x)).exp() + y * 0.5);
    let mut s = x;
    for _ in 0..TURNS {
        x = next_x.apply([x, y]);
        y = next_y.apply([x, y]);
        s += x;
    }
    s
}

/// Times primal, recording and reverse sweep in turn, and prints the ratio of the last two to the first.
pub fn chain(with_fuse: bool) -> Result<()> {
    let mut tape = Tape::<f64>::new();
    let (mut primal, mut record, mut reverse, mut both) = (vec![], vec![], vec![], vec![]);
    let (mut value, mut gradient) = (0.0, [0.0; 2]);
    let start = Instant::now();
    while both.len() < 9 || start.elapsed().as_secs_f64() < budget() {
        let begin = Instant::now();
        black_box(plain(black_box(0.5), black_box(0.3)));
        let p = begin.elapsed().as_secs_f64();
        tape.reset();
        let begin = Instant::now();
        let (x, y) = (tape.scalar(0.5), tape.scalar(0.3));
        let s = if with_fuse { fused(x, y) } else { plain(x, y) };
        let r = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        let grads = s.backward()?;
        let b = begin.elapsed().as_secs_f64();
        (value, gradient) = (s.value(), [grads.scalar(x), grads.scalar(y)]);
        primal.push(p);
        record.push(r);
        reverse.push(b);
        both.push(r + b);
    }
    let samples = both.iter().map(|v| format!("{v:.9}")).collect::<Vec<_>>().join(",");
    let median = |v: &mut Vec<f64>| {
        v.sort_by(f64::total_cmp);
        v[v.len() / 2]
    };
    let (p, r, b, total) =
        (median(&mut primal), median(&mut record), median(&mut reverse), median(&mut both));
    let ns = 1e9 / (TURNS * 12) as f64;
    println!(
        "{{\"peer\":\"kolmo\",\"workload\":\"scalar_chain{}\",\"threads\":1,\"median_s\":{total},\"min_s\":{},\
         \"repeats\":{},\"checksum\":{value},\"gradient\":[{:e},{:e}],\"primal_ns\":{:.2},\"record_ns\":{:.2},\
         \"reverse_ns\":{:.2},\"ratio\":{:.3},\"peak_rss_mb\":{},\"samples\":[{samples}]}}",
        if with_fuse { "_fused" } else { "" },
        both[0],
        both.len(),
        gradient[0],
        gradient[1],
        p * ns,
        r * ns,
        b * ns,
        total / p,
        peak_rss_mb()
    );
    Ok(())
}

/// Steps of a path, and paths.
const STEPS: usize = 50;
const PATHS: usize = 1000;

/// The payoff of a call on a price whose variance wanders, too (Heston, 1993), by Euler's steps over a year:
/// of price, variance, speed and mean of its return, its own volatility, correlation; and two draws for each
/// step.
fn payoff<R: Number>(x: &[R], draws: &[R]) -> R {
    let (mut price, mut variance, dt) = (x[0], x[1], 1.0 / STEPS as f64);
    let apart = (R::constant(1.0) - x[5] * x[5]).sqrt();
    for draw in draws.chunks_exact(2) {
        let positive = variance.relu();
        let noise = (positive * dt).sqrt();
        price = price * (noise * draw[0] - positive * (0.5 * dt)).exp();
        let second = x[5] * draw[0] + apart * draw[1];
        variance = variance + x[2] * (x[3] - positive) * dt + x[4] * noise * second;
    }
    (price - 100.0).relu()
}

/// Payoffs of many paths and their derivatives, against payoffs alone by plain scalar code.
pub fn paths(threads: usize) -> Result<()> {
    let (width, draws) = (6 + 2 * STEPS, fill(1, PATHS * 2 * STEPS, 1.7));
    let start = [100.0, 0.04, 1.5, 0.04, 0.3, -0.7];
    let row =
        |i: usize| start.into_iter().chain(draws[i * 2 * STEPS..][..2 * STEPS].iter().map(|&d| d as f64));
    let rows: Vec<f64> = (0..PATHS).flat_map(row).collect();
    let program = ScalarProgram::with_data(6, 2 * STEPS, |x, draws| vec![payoff(x, draws)])?;
    let all = Tensor::new([PATHS, width], rows.clone())?;
    compare(
        "scalar_paths",
        threads,
        || rows.chunks_exact(width).map(|row| payoff(&row[..6], &row[6..])).sum(),
        || Ok(program.value_and_grad(&all)?.1.to_vec().iter().sum()),
    )
}

/// The chain recorded once and run again.
pub fn chain_replayed(threads: usize) -> Result<()> {
    let program = ScalarProgram::new(2, |x| vec![plain(x[0], x[1])])?;
    let x = Tensor::from(vec![0.5, 0.3]);
    let primal = || plain(black_box(0.5), black_box(0.3));
    compare("scalar_chain_replayed", threads, primal, || {
        Ok(program.value_and_grad(&x)?.1.to_vec().iter().sum())
    })
}
