//! Adaptive probabilities: by a small context, and refined by what they were (secondary estimation).
use super::numbers::Stretch;

/// Counters move by `1 / (n + 1.5)` of their error at the `n`-th bit.
const RATES: [u32; 1024] = {
    let (mut table, mut n) = ([0; 1024], 0);
    while n < table.len() {
        table[n] = (2 * 65_536 / (2 * n + 3)) as u32;
        n += 1;
    }
    table
};

/// A probability in 22 bits and, in 10 bits, how often it was asked.
#[derive(Clone, Copy)]
pub struct Counter(u32);

impl Counter {
    /// The probability `p`, which weighs as much as `n` bits.
    pub fn new(p: f32, n: u32) -> Counter {
        Counter(((p * 4_194_303.0) as u32) << 10 | n & 1023)
    }

    /// The probability of a one in 65536ths.
    #[inline]
    pub fn probability(self) -> u32 {
        self.0 >> 16
    }

    pub fn count(self) -> u32 {
        self.0 & 1023
    }

    #[inline]
    pub fn update(&mut self, bit: bool, limit: u32) {
        let (p, n) = ((self.0 >> 10) as i32, self.0 & 1023);
        let target = if bit { (1 << 22) - 1 } else { 0 };
        let step = (i64::from(target - p) * i64::from(RATES[n as usize])) >> 16;
        self.0 = ((p + step as i32) as u32) << 10 | if n < limit { n + 1 } else { limit };
    }
}

/// Refines a probability by a context: each has a curve over log-odds, of 33 points.
pub struct Refine {
    curves: Vec<Counter>,
    at: usize,
    limit: u32,
}

impl Refine {
    const POINTS: usize = 33;

    pub fn new(contexts: usize, limit: u32) -> Refine {
        let point = |i: usize| Counter::new(super::numbers::squash((i as f32 - 16.0) / 2.0), 6);
        let curve: Vec<Counter> = (0..Self::POINTS).map(point).collect();
        Refine { curves: curve.repeat(contexts), at: 0, limit }
    }

    /// The refined probability of log-odds `x`.
    pub fn refine(&mut self, x: f32, context: usize) -> f32 {
        let place = (x.clamp(-7.999, 7.999) + 8.0) * 2.0;
        let below = place as usize;
        let part = place - below as f32;
        let base = context * Self::POINTS + below;
        self.at = base + usize::from(part > 0.5);
        let p = |i: usize| self.curves[i].probability() as f32 / 65_536.0;
        p(base) * (1.0 - part) + p(base + 1) * part
    }

    pub fn update(&mut self, bit: bool) {
        self.curves[self.at].update(bit, self.limit);
    }
}

/// A probability of the next bit for each of a few situations, which one input of the mixer reads.
pub struct Situations {
    counters: Vec<Counter>,
    at: usize,
}

impl Situations {
    pub fn new(count: usize) -> Situations {
        Situations { counters: vec![Counter::new(0.5, 0); count], at: 0 }
    }

    /// Log-odds and the probability less one half.
    pub fn predict(&mut self, stretch: &Stretch, at: usize) -> (f32, f32) {
        self.at = at;
        let p = self.counters[at].probability();
        (stretch.of(p), p as f32 / 65_536.0 - 0.5)
    }

    pub fn update(&mut self, bit: bool, limit: u32) {
        self.counters[self.at].update(bit, limit);
    }
}
