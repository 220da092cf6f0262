//! What all contexts say of the next bit: each gives a few numbers to the mixer, by what happened in it
//! before.
use super::{
    contexts::{CONTEXTS, mix},
    history::{States, Table},
    maps::Counter,
    numbers::Stretch,
};

/// Numbers that each context gives.
pub const EACH: usize = 5;
/// Situations of a run: which byte is expected, how often it came, the place in the byte, the bit.
const RUNS: usize = 3 * 16 * 8 * 2;
/// A context without an expected byte.
const NO_RUN: usize = usize::MAX;

pub struct Evidence {
    stretch: Stretch,
    states: States,
    table: Table,
    hashes: [u64; CONTEXTS],
    buckets: [usize; CONTEXTS],
    histories: [u16; CONTEXTS],
    /// Probabilities by state, and by the last bits with how sure the state is.
    by_state: Vec<Counter>,
    by_last: Vec<Counter>,
    /// What came last in each context: from the low byte up a count without a break, the byte, the one before
    /// the break, a check.
    runs: Vec<u32>,
    run_at: [usize; CONTEXTS],
    by_run: Vec<Counter>,
    by_run_at: [usize; CONTEXTS],
    /// How sure a state is, in 8 steps; below 4 it has seen bits of one kind only.
    sure: [u8; 256],
}

impl Evidence {
    /// With `2^log2` buckets of histories.
    pub fn new(log2: u32) -> Evidence {
        let states = States::new();
        let p = |zeros: f32, ones: f32, n| Counter::new((ones + 0.4) / (zeros + ones + 0.8), n);
        let state_p = |&[_, _, zeros, ones]: &[u8; 4]| p(zeros.into(), ones.into(), 20);
        let by_state: Vec<Counter> = states.0.iter().map(state_p).collect();
        let last_p = |at: u32| {
            let history = (at >> 3).max(1);
            let ones = history.count_ones() - 1;
            p((history.ilog2() - ones) as f32, ones as f32, 10)
        };
        let by_last: Vec<Counter> = (0..2048).map(last_p).collect();
        let by_run = [Counter::new(1.0 - 0.7, 5), Counter::new(0.7, 5)].repeat(RUNS / 2);
        let mut sure = [0; 256];
        for (to, state) in sure.iter_mut().zip(&states.0) {
            *to = sureness(state[2], state[3]);
        }
        Evidence {
            stretch: Stretch::new(),
            states,
            table: Table::new(log2),
            hashes: [0; CONTEXTS],
            buckets: [0; CONTEXTS],
            histories: [0; CONTEXTS],
            by_state: by_state.repeat(CONTEXTS),
            by_last: by_last.repeat(CONTEXTS),
            runs: vec![0; CONTEXTS << log2.saturating_sub(6).max(8)],
            run_at: [0; CONTEXTS],
            by_run: by_run.repeat(CONTEXTS),
            by_run_at: [NO_RUN; CONTEXTS],
            sure,
        }
    }

    /// Looks the contexts of a new byte up.
    pub fn begin(&mut self, hashes: [u64; CONTEXTS]) {
        self.hashes = hashes;
        let each = self.runs.len() / CONTEXTS;
        for (i, &hash) in hashes.iter().enumerate() {
            self.buckets[i] = self.table.find(hash);
            let at = i * each + ((hash >> 36) as usize & (each - 1));
            let check = (hash >> 12) as u32 & 255;
            if self.runs[at] >> 24 != check {
                self.runs[at] = check << 24;
            }
            self.run_at[i] = at;
        }
    }

    /// The numbers of all contexts, [`EACH`] of each, into `x`, for the place after `bits` bits, which `node`
    /// has under a leading one. Returns how many of the first eight contexts have been there before.
    pub fn predict(&mut self, node: usize, bits: usize, x: &mut [f32]) -> usize {
        let (place, mut known) = (inner(node, bits), 0);
        for (i, x) in x.chunks_exact_mut(EACH).take(CONTEXTS).enumerate() {
            let history = self.table.history(self.buckets[i], place);
            self.histories[i] = history;
            let state = usize::from(history & 255);
            if state == 0 {
                x.fill(0.0);
            } else {
                known += usize::from(i < 8);
                let p = self.by_state[i << 8 | state].probability();
                let odds = self.stretch.of(p);
                x[0] = odds;
                x[1] = (p as f32 / 65_536.0 - 0.5) * 2.0;
                x[2] = self.stretch.of(self.by_last[self.last_at(i, history)].probability());
                x[3] = if self.sure[state] < 4 { odds } else { 0.0 };
            }
            self.by_run_at[i] =
                run_situation(self.runs[self.run_at[i]], node, bits).map_or(NO_RUN, |at| i * RUNS + at);
            x[4] = self
                .by_run
                .get(self.by_run_at[i])
                .map_or(0.0, |counter| self.stretch.of(counter.probability()));
        }
        known
    }

    fn last_at(&self, context: usize, history: u16) -> usize {
        let sure = self.sure[usize::from(history & 255)];
        context << 11 | usize::from(history >> 8) << 3 | usize::from(sure)
    }

    pub fn update(&mut self, node: usize, bits: usize, bit: bool) {
        let place = inner(node, bits);
        for i in 0..CONTEXTS {
            let history = self.histories[i];
            let state = usize::from(history & 255);
            if state != 0 {
                let at = self.last_at(i, history);
                self.by_state[i << 8 | state].update(bit, 255);
                self.by_last[at].update(bit, 1023);
            }
            if let Some(counter) = self.by_run.get_mut(self.by_run_at[i]) {
                counter.update(bit, 1023);
            }
            self.table.set(self.buckets[i], place, self.states.after(history, bit));
        }
        if bits == 3 {
            let half = (node << 1 | usize::from(bit)) as u64;
            for (bucket, &hash) in self.buckets.iter_mut().zip(&self.hashes) {
                *bucket = self.table.find(mix(hash, half));
            }
        }
    }

    /// The byte that came.
    pub fn end(&mut self, byte: u8) {
        for &at in &self.run_at {
            let run = self.runs[at];
            let (count, last) = (run & 255, run >> 8 & 255);
            self.runs[at] = if count > 0 && last == u32::from(byte) {
                run & !255 | (count + 1).min(255)
            } else {
                run & 0xff00_0000 | last << 16 | u32::from(byte) << 8 | 1
            };
        }
    }
}

/// The place of a bit in its bucket.
fn inner(node: usize, bits: usize) -> usize {
    let before = (1 << (bits & 3)) - 1;
    1 + before + (node & before)
}

/// How sure a state is.
fn sureness(zeros: u8, ones: u8) -> u8 {
    let (n, less) = (zeros + ones, zeros.min(ones));
    match (less, n) {
        (0, ..=7) => 0,
        (0, ..=12) => 1,
        (0, ..=24) => 2,
        (0, _) => 3,
        _ if less * 4 < n => {
            if n <= 12 {
                4
            } else {
                5
            }
        }
        _ => {
            if n <= 10 {
                6
            } else {
                7
            }
        }
    }
}

/// Which situation a run is in, if one of its two bytes agrees with the bits so far.
fn run_situation(run: u32, node: usize, bits: usize) -> Option<usize> {
    let agrees = |byte: usize| (byte | 256) >> (8 - bits) == node;
    let (last, other) = ((run >> 8 & 255) as usize, (run >> 16 & 255) as usize);
    let (byte, kind) = match run & 255 {
        0 => return None,
        _ if agrees(last) => (last, usize::from(other != 0)),
        _ if agrees(other) => (other, 2),
        _ => return None,
    };
    let often = match run & 255 {
        few @ 0..=4 => few as usize,
        5..=6 => 5,
        7..=9 => 6,
        10..=15 => 7,
        16..=30 => 8,
        _ => 9,
    };
    Some(((kind * 16 + often) * 8 + bits) * 2 + (byte >> (7 - bits) & 1))
}
