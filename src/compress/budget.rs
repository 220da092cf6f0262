//! How finely each weight is held so that a model's file comes to so many bytes: one number decides all
//! steps.
use super::{
    Artifact,
    calibration::{Calibration, State, Weight},
    feedback::{Feedback, Settle},
    pack::entries,
    round_to_f16,
    targets::{Coded, Job, Target, targets},
};
use crate::{
    error::{Checked, Error, Result},
    ids::IdMap,
    kernels::packed::Codes,
    real::Arithmetic,
};
use serde::Serialize;

/// Weights in steps that are as wide as their errors are harmless, so that a file that is entropy coded comes
/// to so many bytes: what counts is not how many codes there are but how often each occurs.
///
/// With `c` for all of the model, an output of a weight has the step `c / √(g d)`: `g` is how much the loss
/// hangs on that output, from its derivatives, and `d` what an error costs beside those that the columns
/// after it make up for (as [`Gptq`](super::quantize::Gptq)'s do). That is where a bit saves the same error everywhere
/// (reverse water-filling). A weight is rounded to the code with the least `g d e² + λ bits`, with the λ that
/// such steps have at a high rate, `c² ln 2 / 6`; bits are those of the codes' frequencies (Lagrangian
/// rate-distortion, as in EntQuant and CERWU). Weights that are held in codes already stay as they are where
/// that is worth its bits. What is searched for is c.
///
/// The calibration should have seen gradients; without them all outputs count alike. Of weights whose rows
/// are looked up as well (tied embeddings), derivatives by these rows count, too.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, compress::{Calibration, matrices, quantize::Budget}, nn::{Layer, Linear}};
/// let net = Linear::new(64, 32, &mut Random::new(0));
/// let calibration = Calibration::new(&net, matrices)?;
/// let tape = Tape::new();
/// let x = tape.constant(Tensor::<f32>::from_fn([200, 64], |i| (i as f32).sin()));
/// calibration.observe(&tape, || net.forward(&x).square().mean().backward())?;
/// let spent = Budget::bytes(900).apply(&net, &calibration)?; // 3.5 bits each
/// assert!(spent.file <= 900);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "it does nothing until it is applied to a model"]
pub struct Budget {
    bytes: usize,
    damping: f64,
}

/// What a [`Budget`] was spent on.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Spent {
    /// Names of weights, and the bytes that they take in the file.
    pub weights: Vec<(String, usize)>,
    /// All bytes of the file that [`pack`](crate::compress::pack) makes of the model, without text.
    pub file: usize,
    /// The step c.
    pub step: f64,
}

/// Codes are from `-MOST` to `MOST`.
const MOST: i32 = 127;
const VALUES: usize = 2 * MOST as usize + 1;
/// Bits of each code.
type Lengths = [f32; VALUES];
/// What a coder takes beyond the codes' entropy.
const OVERHEAD: f64 = 1.005;
/// What a bit is worth in squared steps: the derivative of `1/12 · 2⁻²ᵇ` by b.
const BIT: f32 = std::f32::consts::LN_2 / 6.0;
/// How much of the budget may be left, and rounds in search of that.
const LEFT: f64 = 0.003;
const ROUNDS: usize = 16;
/// After so many files that are too small the next is taken; after twice as many there is none.
const MEASURED: usize = 4;
/// Each output's own derivatives are an estimate from few examples: they count by this power of their share.
const POWER: f64 = 0.5;

impl Budget {
    /// So many bytes for the file that [`pack`](crate::compress::pack) makes of the model, without text about
    /// it.
    pub fn bytes(bytes: usize) -> Budget {
        Budget { bytes, damping: 0.1 }
    }

    /// How much of the mean of the diagonal of the second moments is added to it; 0.1 if it isn't said.
    pub fn damping(self, damping: f64) -> Budget {
        Budget { damping, ..self }
    }

    /// Stores the weights that the calibration is for as integers with a step for each row, or leaves them as
    /// they are. They aren't trained any more.
    ///
    /// # Errors
    /// A budget that isn't enough for a tenth of a bit for each weight; inputs that are all 0 or not finite;
    /// a weight that isn't finite. Nothing has changed then.
    pub fn apply<M: Serialize + ?Sized>(self, model: &M, calibration: &Calibration) -> Result<Spent> {
        let fail = |why: String| Error::invalid("Budget", why);
        if !(self.damping >= 0.0 && self.damping.is_finite()) {
            return Err(fail(format!("damping {}: takes 0 or more", self.damping)));
        }
        let (targets, seen) = targets("Budget", model, calibration)?;
        let count: f64 = targets.iter().map(|target| (target.rows * target.cols) as f64).sum();
        let scales: f64 = targets.iter().map(|target| 2.0 * target.rows as f64).sum();
        let (bits, least) = ((8.0 * (self.bytes as f64 - scales)) / count, (count / 80.0 + scales).ceil());
        if bits < 0.1 {
            let bytes = self.bytes;
            return Err(fail(format!("{bytes} bytes for {count} weights: takes {least} or more")));
        }
        let mut works = Vec::new();
        let mut first = 0.0;
        let mut last = None;
        for target in &targets {
            let named = |why| target.named("Budget", why);
            let work = self.prepare(target, &seen, &mut last).map_err(named)?;
            first += work.level * (target.rows * target.cols) as f64 / count;
            works.push(work);
        }
        // A bell takes log₂(σ / step) + 2.05 bits.
        let mut guess = first + 2.05 - bits;
        let (mut enough, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        let (mut aim, mut round, mut measured) = (self.bytes as f64, 0, 0);
        let mut smallest = None;
        loop {
            let step = Arithmetic::exp2(guess);
            let (mut bytes, mut stored) = (0.0, IdMap::default());
            for (target, work) in targets.iter().zip(&mut works) {
                let done = Feedback::of((target.id, target.cols), &seen, (self.damping, false), &mut last);
                let done = done.and_then(|feedback| work.run(target, feedback, step));
                let (own, job) = done.map_err(|why| target.named("Budget", why))?;
                bytes += own;
                stored.extend(job.map(|job| (target.id, job)));
            }
            let over = bytes / aim - 1.0;
            let fits = over <= 0.0;
            if fits && (over > -LEFT || round >= ROUNDS || guess <= most + 1e-4) {
                let spent = measure(model, &targets, &stored, step)?;
                let over = spent.file as f64 / self.bytes as f64 - 1.0;
                if over <= 0.0 && (over > -LEFT || measured >= MEASURED) {
                    drop(seen);
                    stored.values().for_each(|job| job.put());
                    return Ok(spent);
                }
                measured += 1;
                smallest = Some(smallest.map_or(spent.file, |least: usize| least.min(spent.file)));
                // What the estimate tells too much or too little, and more to be sure each time.
                let sure = 1.0 - LEFT / 6.0 * f64::from(1u32 << measured);
                aim = bytes * self.bytes as f64 / spent.file.max(1) as f64 * sure;
                (enough, most, round) = (f64::INFINITY, f64::NEG_INFINITY, 0);
                guess += (bytes - aim) * 8.0 / count;
                if measured < 2 * MEASURED {
                    continue;
                }
            }
            if round >= 2 * ROUNDS || measured >= 2 * MEASURED {
                let found = match smallest {
                    Some(file) => format!("the smallest file that was found has {file}"),
                    None => format!("about {bytes:.0} are the fewest that were found"),
                };
                return Err(fail(format!("{} bytes: {found}", self.bytes)));
            }
            if fits {
                enough = enough.min(guess)
            } else {
                most = most.max(guess)
            }
            let next = guess + (over + LEFT / 3.0) * 8.0 * aim / count;
            let inside = next > most && next < enough && round < ROUNDS / 2;
            guess = match (inside, enough.is_finite() && most.is_finite()) {
                (false, true) if round < ROUNDS => (enough + most) / 2.0,
                (false, true) => enough,
                _ => next,
            };
            round += 1;
        }
    }

    fn prepare(
        &self,
        target: &Target,
        seen: &State,
        last: &mut Option<(Option<usize>, Feedback)>,
    ) -> Checked<Work> {
        let (weight, turned) = (target.read()?, target.turned(seen));
        let feedback = Feedback::of((target.id, target.cols), seen, (self.damping, false), last)?;
        let steps = steps(target, seen.weights.get(&target.id), feedback, turned);
        let square = weight.iter().map(|v| f64::from(v * v)).sum::<f64>() / weight.len().max(1) as f64;
        let mean = steps.iter().map(|step| Arithmetic::log2(*step)).sum::<f64>() / steps.len().max(1) as f64;
        let level = if square > 0.0 { Arithmetic::log2(square) / 2.0 - mean } else { 0.0 };
        let kept = target.held().and_then(|held| held.codes().map(held_bytes));
        Ok(Work { steps, turned, level, kept, lengths: None })
    }
}

/// What a file takes with these weights in it.
fn measure<M: Serialize + ?Sized>(
    model: &M,
    targets: &[Target],
    stored: &IdMap<Box<dyn Job>>,
    step: f64,
) -> Result<Spent> {
    let entries = entries(model, &|id, name, large| Some(stored.get(&id)?.entry(name.to_string(), large)))?;
    let sizes = Artifact { entries, ..Artifact::default() }.sizes()?;
    let of = |target: &Target| (target.name.clone(), sizes.entry(&target.name));
    Ok(Spent { weights: targets.iter().map(of).collect(), file: sizes.total(), step })
}

/// The step of each row for c = 1.
fn steps(target: &Target, weight: Option<&Weight>, feedback: &Feedback, turned: bool) -> Vec<f64> {
    let costs = feedback.costs.iter().map(|&cost| f64::from(cost));
    let mean = costs.clone().sum::<f64>() / feedback.n.max(1) as f64;
    let slopes = weight.map_or(&[][..], |weight| &weight.slopes);
    // Shares are of outputs as they were before any was divided.
    let divided = |row: usize| weight.and_then(|weight| weight.divided.get(row)).copied().unwrap_or(1.0);
    let slope = |row: usize| slopes.get(row).map(|slope| slope / (divided(row) * divided(row)));
    let all = (0..slopes.len()).filter_map(slope).sum::<f64>();
    let count = weight.map_or(1, |weight| weight.sloped.max(1)) as f64;
    let lookups = weight.is_some_and(|weight| weight.lookups.is_some());
    // Of rows that are looked up, the costs have the derivatives of all rows in them.
    let each = match (lookups, all > 0.0) {
        (true, _) => 1.0 / target.rows.max(1) as f64,
        (false, true) => all / count / slopes.len().max(1) as f64,
        (false, false) => 1.0,
    };
    if turned {
        return costs.map(|cost| 1.0 / Arithmetic::sqrt(each * cost)).collect();
    }
    let own = |row: usize| match slope(row) {
        Some(slope) if all > 0.0 => {
            let share = slope / all * slopes.len() as f64;
            Arithmetic::exp2(POWER * Arithmetic::log2(0.9 * share + 0.1))
        }
        _ => 1.0,
    };
    (0..target.rows).map(|row| 1.0 / Arithmetic::sqrt(each * own(row) * mean) / divided(row)).collect()
}

/// What is known of a weight from round to round.
struct Work {
    /// The step of each row for c = 1.
    steps: Vec<f64>,
    turned: bool,
    /// How many bits it takes beside others.
    level: f64,
    /// Bytes of the codes that hold it.
    kept: Option<f64>,
    lengths: Option<Lengths>,
}

impl Work {
    /// Bytes, and what stores the codes; nothing is to be stored if it stays as it is.
    fn run(
        &mut self,
        target: &Target,
        feedback: &Feedback,
        step: f64,
    ) -> Checked<(f64, Option<Box<dyn Job>>)> {
        let (weight, cols) = (target.read()?, target.cols.max(1));
        let rows = weight.chunks_exact(cols).zip(&self.steps);
        let steps: Vec<f32> = rows
            .map(|(row, own)| {
                let most = row.iter().fold(0.0f32, |most, v| most.max(v.abs()));
                let own = ((step * own) as f32).max(most / MOST as f32);
                let half = round_to_f16(own);
                match (half > 1e-4 && half.is_finite(), own > 0.0 && own.is_finite()) {
                    (true, _) => half,
                    (false, true) => own,
                    (false, false) => 1.0,
                }
            })
            .collect();
        let lengths = self.lengths.unwrap_or_else(|| {
            let mut counts = [0; VALUES];
            for (row, step) in weight.chunks_exact(cols).zip(&steps) {
                row.iter().for_each(|v| counts[(nearest(v / step) + MOST) as usize] += 1);
            }
            lengths(&counts)
        });
        let mean = feedback.costs.iter().sum::<f32>() / feedback.n.max(1) as f32;
        let rounding = Rounding {
            steps: &steps,
            lengths: lengths.map(|bits| BIT * bits),
            costs: &feedback.costs,
            mean,
            turned: self.turned,
        };
        let rows = feedback.run(&target.by_outputs(weight, self.turned)?, &rounding)?;
        let mut codes = target.codes(&rows, self.turned)?;
        drop(rows);
        let mut counts = [0; VALUES];
        codes.iter().for_each(|&code| counts[usize::from(code).min(VALUES - 1)] += 1);
        self.lengths = Some(self::lengths(&counts));
        let bytes = OVERHEAD * entropy(&counts) / 8.0 + 2.0 * steps.len() as f64;
        // What stays has no error, where steps have one of 1/12.
        let worth = codes.len() as f64 / 12.0 / f64::from(BIT) / 8.0;
        if let Some(kept) = self.kept.filter(|kept| *kept < bytes + worth) {
            return Ok((kept, None));
        }
        let used = (0..VALUES).filter(|&i| counts[i] > 0).map(|i| (i as i32 - MOST).unsigned_abs());
        let bits = used.max().unwrap_or(1).max(1).ilog2() + 2;
        let low = 1 - (1i32 << (bits - 1));
        codes.iter_mut().for_each(|code| *code = (i32::from(*code) - MOST - low) as u8);
        let coded = Coded { bits, low, codes, group: cols, scales: steps, zeros: None };
        Ok((bytes, Some(target.store(&coded)?)))
    }
}

/// The nearest code.
fn nearest(x: f32) -> i32 {
    x.round_ties_even().clamp(-MOST as f32, MOST as f32) as i32
}

/// Bits by frequency, of what didn't occur as of half a time.
fn lengths(counts: &[u64; VALUES]) -> Lengths {
    let all = counts.iter().sum::<u64>() as f64 + 0.5 * VALUES as f64;
    counts.map(|count| Arithmetic::log2(all / (count as f64 + 0.5)) as f32)
}

/// Bits of all that was counted.
fn entropy(counts: &[u64]) -> f64 {
    let all = counts.iter().sum::<u64>() as f64;
    let some = counts.iter().filter(|count| **count > 0).map(|&count| count as f64);
    some.map(|count| count * Arithmetic::log2(all / count)).sum()
}

/// Bytes of codes, scales, offsets and zero points by their frequencies.
fn held_bytes(codes: &Codes<f32>) -> f64 {
    let of = |values: &mut dyn Iterator<Item = u8>| {
        let mut counts = [0u64; 256];
        values.for_each(|value| counts[usize::from(value)] += 1);
        entropy(&counts)
    };
    // Of floats the upper half tells something; the rest is noise.
    let floats = |list: Option<Vec<f32>>| {
        let list = list.unwrap_or_default();
        let half = list.iter().all(|&v| round_to_f16(v) == v);
        let upper = of(&mut list.iter().map(|v| (v.to_bits() >> 23) as u8));
        upper + list.len() as f64 * if half { 11.0 } else { 24.0 }
    };
    let zeros = of(&mut codes.zero_points().unwrap_or_default().into_iter());
    let own = of(&mut codes.to_vec().into_iter());
    OVERHEAD * (own + zeros + floats(codes.scales()) + floats(codes.offsets())) / 8.0
}

struct Rounding<'a> {
    steps: &'a [f32],
    /// Bits of each code, in squared steps.
    lengths: Lengths,
    costs: &'a [f32],
    mean: f32,
    turned: bool,
}

impl Settle for Rounding<'_> {
    fn settle(&self, first_row: usize, column: usize, targets: &mut [f32], codes: &mut [u8]) {
        let weight = if self.turned { 1.0 } else { self.costs[column] / self.mean };
        for (row, (target, code)) in (first_row..).zip(targets.iter_mut().zip(codes)) {
            let step = self.steps[if self.turned { column } else { row }];
            let x = *target / step;
            let cost = |q: i32| {
                let error = x - q as f32;
                weight * error * error + self.lengths[(q + MOST) as usize]
            };
            let nearest = nearest(x);
            let mut best = nearest;
            if nearest != 0 {
                let inner = nearest - nearest.signum();
                best = if cost(inner) < cost(best) { inner } else { best };
                best = if cost(0) < cost(best) { 0 } else { best };
            }
            *code = (best + MOST) as u8;
            *target = best as f32 * step;
        }
    }
}
