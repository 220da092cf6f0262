//! A long chain of scalar statements: recording and sweeping against computing alone.
use crate::{measure::peak_rss_mb, timing::budget};
use kolmo::{Number, Result, Scalar, Tape, fuse};
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
