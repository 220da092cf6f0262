//! Pruning of whole models at once, each weight that goes made up for by those that are settled after it (Frantar
//! and Alistarh, 2023).
use super::{
    calibration::Calibration,
    feedback::{BLOCK, Feedback, LANES, Settle},
    kept::Weights,
    targets::targets,
};
use crate::error::{Error, Result};
use serde::Serialize;

/// SparseGPT (Frantar and Alistarh, 2023): which weights go is chosen for a row of a matrix and 128 neighbouring inputs
/// at a time, by what the outputs lose by it on the inputs that a [`Calibration`] saw; the weights that are left make up for
/// that. No training follows.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, compress::{Calibration, matrices, prune::SparseGpt}, nn::{Layer, Linear}};
/// let net = Linear::new(64, 32, &mut Random::new(0));
/// let calibration = Calibration::new(&net, matrices)?;
/// let tape = Tape::inference();
/// let x = tape.constant(Tensor::<f32>::from_fn([200, 64], |i| (i as f32).sin()));
/// calibration.observe(&tape, || net.forward(&x));
/// let weights = SparseGpt::n_of_m(2, 4).apply(&net, &calibration)?;
/// assert_eq!((weights.kept, weights.total), (1024, 2048));
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "it does nothing until it is applied to a model"]
#[doc(alias("SparseGPTModifier", "WandaPruningModifier"))]
pub struct SparseGpt {
    pattern: Pattern,
    damping: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Pattern {
    Sparsity(f64),
    Neighbours(usize, usize),
}

impl SparseGpt {
    /// Lets this share of the weights go, of each row and 128 inputs.
    pub fn new(sparsity: f64) -> SparseGpt {
        SparseGpt { pattern: Pattern::Sparsity(sparsity), damping: 0.01 }
    }

    /// Keeps `n` weights of every `m` neighbouring inputs of an output, the pattern of [`n_of_m`](super::prune::n_of_m).
    pub fn n_of_m(n: usize, m: usize) -> SparseGpt {
        SparseGpt { pattern: Pattern::Neighbours(n, m), damping: 0.01 }
    }

    /// How much of the mean of the diagonal of the second moments is added to it; 0.01 if it isn't said.
    #[doc(alias("dampening_frac", "percdamp"))]
    pub fn damping(self, damping: f64) -> SparseGpt {
        SparseGpt { damping, ..self }
    }

    /// Prunes the weights that the calibration is for, which become floats with a mask. What a weight's inputs are
    /// isn't known where nothing was multiplied with it, or rows are looked up as well (embeddings): there the
    /// smallest go.
    ///
    /// # Errors
    /// A sparsity outside of 0 to 1; `n` above `m`, an `m` that doesn't divide 128 or the inputs; inputs that are
    /// all 0 or not finite; a damping too small for a matrix of moments that can't be inverted. Nothing has changed then.
    pub fn apply<M: Serialize + ?Sized>(self, model: &M, calibration: &Calibration) -> Result<Weights> {
        let fail = |why: String| Error::invalid("SparseGpt", why);
        match self.pattern {
            Pattern::Sparsity(share) if !(0.0..=1.0).contains(&share) => {
                return Err(fail(format!("sparsity {share} is not between 0 and 1")));
            }
            Pattern::Neighbours(n, m) if m == 0 || n > m || !BLOCK.is_multiple_of(m) => {
                return Err(fail(format!("{n} of {m}: n is at most m, and m divides {BLOCK}")));
            }
            _ => {}
        }
        if !(self.damping >= 0.0 && self.damping.is_finite()) {
            return Err(fail(format!("damping {}: takes 0 or more", self.damping)));
        }
        let (targets, seen) = targets("SparseGpt", model, calibration)?;
        let (mut last, mut weights, mut jobs) = (None, Weights::default(), Vec::new());
        for target in &targets {
            let named = |why: String| target.named("SparseGpt", why);
            let turned = target.turned(&seen);
            let inputs = if turned { target.rows } else { target.cols };
            if let Pattern::Neighbours(n, m) = self.pattern
                && !inputs.is_multiple_of(m)
            {
                return Err(named(format!("{n} of {m} doesn't fit {inputs} inputs: m divides them")));
            }
            let feedback = Feedback::of((target.id, target.cols), &seen, (self.damping, false), &mut last);
            let settled = feedback.and_then(|feedback| {
                feedback.run(&target.by_outputs(target.read()?, turned)?, &Pruning(self.pattern))
            });
            let (job, kept) = target.sparse(&settled.map_err(named)?, turned)?;
            jobs.push(job);
            weights.kept += kept;
            weights.total += target.rows * target.cols;
        }
        jobs.into_iter().try_for_each(|job| job())?;
        Ok(weights)
    }
}

struct Pruning(Pattern);

impl Settle for Pruning {
    fn width(&self) -> usize {
        match self.0 {
            Pattern::Sparsity(_) => BLOCK,
            Pattern::Neighbours(_, m) => m,
        }
    }

    fn keeps(&self) -> bool {
        true
    }

    /// 1 for what is kept.
    fn choose(&self, costs: &[f32], targets: &[f32], codes: &mut [u8]) {
        let n = costs.len();
        let gone = match self.0 {
            Pattern::Sparsity(share) => (share * n as f64).round_ties_even() as usize,
            Pattern::Neighbours(kept, m) => m - kept,
        };
        codes.fill(1);
        let mut order = [0; BLOCK];
        for lane in 0..LANES {
            let loss = |k: usize| targets[k * LANES + lane] * targets[k * LANES + lane] * costs[k];
            let order = &mut order[..n];
            order.iter_mut().enumerate().for_each(|(k, at)| *at = k);
            order.sort_unstable_by(|&a, &b| loss(a).total_cmp(&loss(b)).then(a.cmp(&b)));
            order.iter().take(gone).for_each(|&k| codes[k * LANES + lane] = 0);
        }
    }

    fn settle(&self, _first_row: usize, _column: usize, targets: &mut [f32], codes: &mut [u8]) {
        targets.iter_mut().zip(codes).filter(|(_, code)| **code == 0).for_each(|(target, _)| *target = 0.0);
    }
}
