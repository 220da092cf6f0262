//! Inputs that every peer computes alike, and the timing loop.
use kolmo::Result;
use std::time::Instant;

/// Uniform in [-scale, scale) from an integer hash of seed and position: the same bits in every language.
pub fn fill(seed: u32, n: usize, scale: f32) -> Vec<f32> {
    let hash = |i: u32| {
        let mut x = i.wrapping_mul(2_654_435_761) ^ seed.wrapping_mul(40_503).wrapping_add(12_345);
        x ^= x >> 16;
        x = x.wrapping_mul(0x85EB_CA6B);
        x ^= x >> 13;
        x = x.wrapping_mul(0xC2B2_AE35);
        x ^ x >> 16
    };
    (0..n as u32).map(|i| ((hash(i) >> 8) as f32 / 16_777_216.0 * 2.0 - 1.0) * scale).collect()
}

pub fn labels(n: usize, classes: usize, a: usize, b: usize) -> Vec<u32> {
    (0..n).map(|i| ((i * a + b) % classes) as u32).collect()
}

/// Seconds to spend on a workload.
pub fn budget() -> f64 {
    budget_or(1.0)
}

/// The same, with another default.
pub fn budget_or(seconds: f64) -> f64 {
    std::env::var("BENCH_BUDGET").ok().and_then(|v| v.parse().ok()).unwrap_or(seconds)
}

/// Times of one step in seconds, from the least to the most in `sorted`.
pub struct Times<R> {
    pub first: f64,
    pub samples: Vec<f64>,
    pub sorted: Vec<f64>,
    /// The result of the last call before the timed ones.
    pub value: R,
}

/// How long a step is timed.
#[derive(Clone, Copy)]
pub struct Plan {
    pub budget: f64,
    /// Calls before it is timed.
    pub warmup: usize,
    /// The least number of repeats.
    pub repeats: usize,
    /// The most timed calls.
    pub most: usize,
}

impl<R> Times<R> {
    pub fn median(&self) -> f64 {
        self.sorted[self.sorted.len() / 2]
    }

    /// Calls `step` to warm up, then for about the budget; a repeat is of as many calls as take a twentieth.
    pub fn take(plan: Plan, mut step: impl FnMut() -> Result<R>) -> Result<Times<R>> {
        let begin = Instant::now();
        let mut value = step()?;
        let first = begin.elapsed().as_secs_f64();
        for _ in 1..plan.warmup {
            value = step()?;
        }
        let begin = Instant::now();
        step()?;
        step()?;
        let one = (begin.elapsed().as_secs_f64() / 2.0).max(1e-8);
        let inner = ((plan.budget / 20.0 / one) as usize).min(plan.most / 20).max(1);
        let (mut samples, start, mut done) = (Vec::new(), Instant::now(), 0);
        while samples.len() < plan.repeats
            || (start.elapsed().as_secs_f64() < plan.budget && done < plan.most)
        {
            let begin = Instant::now();
            for _ in 0..inner {
                step()?;
            }
            samples.push(begin.elapsed().as_secs_f64() / inner as f64);
            done += inner;
        }
        let mut sorted = samples.clone();
        sorted.sort_by(f64::total_cmp);
        Ok(Times { first, samples, sorted, value })
    }
}
