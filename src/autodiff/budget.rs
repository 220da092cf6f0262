//! How much the tape keeps for the reverse sweep, and a chain of blocks that stays within a number of bytes:
//! the first blocks are computed again in the sweep, as few as will do.
use super::checkpoint::Block;
use crate::{
    error::{Error, Result},
    ops::Float,
    tape::{Tape, Var},
    tensor::{Shape, Tensor},
};
use std::collections::BTreeSet;

/// # Memory in use
impl<T: Float> Tape<T> {
    /// Bytes of the tensors that are kept for the reverse sweep, each buffer once, parameters not counted.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f32>::new();
    /// let x = tape.input(kolmo::Tensor::zeros([1024]));
    /// let y = x.exp().sin(); // keeps the result of exp, which is the operand of sin
    /// assert_eq!(tape.saved_bytes(), 4096);
    /// # drop(y);
    /// ```
    #[must_use]
    pub fn saved_bytes(&self) -> usize {
        self.kept_beside(&[])
    }

    /// Without the buffers of these tensors.
    pub(super) fn kept_beside(&self, others: &[&Tensor<T>]) -> usize {
        let place = Tensor::buffer_id;
        let mut seen: BTreeSet<usize> = others.iter().map(|t| place(t)).collect();
        self.each_param(|t| {
            seen.insert(place(t));
        });
        let kept = self.tensors.kept.borrow();
        let new = kept.iter().filter_map(|(_, t)| t.as_ref()).filter(|t| seen.insert(place(t)));
        new.map(|t| t.buffer_bytes()).sum()
    }
}

/// What one block costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cost {
    /// Bytes of its input, all that is kept of a block that is computed again.
    input: usize,
    /// Bytes that it keeps otherwise.
    kept: usize,
}

/// A number of bytes that the values kept by a chain of blocks must fit in.
///
/// The blocks are measured when they are first run, and again when the input has another shape. Then the
/// first ones are checkpointed, as few as the budget needs: what is computed again in the sweep comes when
/// later blocks have freed theirs.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, Var, autodiff::{Block, MemoryBudget}, nn::{Layer, Linear, Param, named_params}};
/// #[derive(Clone)]
/// struct Part(Linear);
/// impl Block<f32> for Part {
///     fn params(&self) -> Vec<Param> {
///         named_params(&self.0).into_iter().map(|(_, p)| p).collect()
///     }
///     fn forward<'t>(&self, x: &[Var<'t>]) -> Var<'t> {
///         self.0.forward(&x[0]).tanh().square().exp()
///     }
/// }
/// let parts: Vec<Part> = (0..8).map(|i| Part(Linear::new(64, 64, &mut Random::new(i)))).collect();
/// let mut budget = MemoryBudget::new(800_000);
/// let tape = Tape::new();
/// let y = budget.run(&parts, &tape.input(Tensor::zeros([256, 64])));
/// assert!(y.value().is_ok() && tape.saved_bytes() < 800_000);
/// assert!((1..8).contains(&budget.recomputed()));
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "a budget does nothing until it runs the blocks"]
pub struct MemoryBudget {
    bytes: usize,
    measured: Option<(Shape, Vec<Cost>)>,
    recomputed: usize,
}

impl MemoryBudget {
    /// So many bytes.
    pub fn new(bytes: usize) -> MemoryBudget {
        MemoryBudget { bytes, measured: None, recomputed: 0 }
    }

    /// How many blocks, from the first on, the last run computes again in the sweep.
    pub fn recomputed(&self) -> usize {
        self.recomputed
    }

    /// The most bytes that are kept at one time by the plan of the last run: when the sweep begins, or when
    /// it has just run a block again. 0 before the first run.
    pub fn planned_bytes(&self) -> usize {
        self.measured.as_ref().map_or(0, |(_, costs)| peak(costs, self.recomputed))
    }

    /// The blocks one after the other. Gradients are those of the blocks without a budget, to the bit, if no
    /// parameter is used by two of them. A failed value if even all blocks computed again don't fit.
    #[track_caller]
    pub fn run<'t, T: Float, B: Block<T> + Clone + 'static>(
        &mut self,
        blocks: &[B],
        x: &Var<'t, T>,
    ) -> Var<'t, T> {
        if x.failed_id().is_some() {
            return x.clone();
        }
        let tape = x.tape();
        if tape.is_recording()
            && let Err(error) = self.plan(blocks, x)
        {
            return tape.fail_with(error);
        }
        let mut y = x.clone();
        for (i, block) in blocks.iter().enumerate() {
            y = if i < self.recomputed { tape.checkpoint(block.clone(), &[&y]) } else { block.forward(&[y]) };
        }
        y
    }

    /// Measures the blocks, if that wasn't done, and decides.
    #[track_caller]
    fn plan<T: Float, B: Block<T>>(&mut self, blocks: &[B], x: &Var<'_, T>) -> Result<()> {
        let known =
            |(shape, costs): &(Shape, Vec<Cost>)| shape == x.shape() && costs.len() == blocks.len() + 1;
        if !self.measured.as_ref().is_some_and(known) {
            self.measured = Some((x.shape().clone(), measure(blocks, x)?));
        }
        let costs = self.measured.as_ref().map_or(&[][..], |(_, costs)| costs);
        let fits = (0..=blocks.len()).find(|&n| peak(costs, n) <= self.bytes);
        self.recomputed = fits.unwrap_or(0);
        if fits.is_some() {
            return Ok(());
        }
        let least = (0..=blocks.len()).map(|n| peak(costs, n)).min().unwrap_or(0);
        let message = format!(
            "{} blocks need {least} bytes even if they are computed again in the sweep; the budget is {}",
            blocks.len(),
            self.bytes
        );
        Err(Error::op("budget", message, Some(std::panic::Location::caller())))
    }
}

/// The most that is kept at one time if the first `n` blocks are computed again.
fn peak(costs: &[Cost], n: usize) -> usize {
    let (mut held, mut most) = (0, 0);
    for (i, cost) in costs.iter().enumerate() {
        held += cost.input;
        if i < n {
            most = most.max(held + cost.kept);
        } else {
            held += cost.kept;
        }
    }
    most.max(held)
}

/// Runs each block once on a tape of its own. One more cost than there are blocks: that of the last result.
fn measure<T: Float, B: Block<T>>(blocks: &[B], x: &Var<'_, T>) -> Result<Vec<Cost>> {
    let (mut value, mut costs) = (x.tensor().clone(), Vec::new());
    for block in blocks {
        let tape = Tape::new();
        tape.set_training(x.tape().is_training());
        tape.settings.again.set(true);
        let input = tape.input(&value);
        let y = block.forward(&[input]);
        let next = y.value()?.clone();
        // The result is the next block's input.
        let kept = tape.kept_beside(&[&value, &next]);
        costs.push(Cost { input: value.buffer_bytes(), kept });
        value = next;
    }
    // Whatever follows keeps the last result.
    costs.push(Cost { input: value.buffer_bytes(), kept: 0 });
    Ok(costs)
}
