//! Losses: how far a model's answer is from what it should be. Each is a method of the answer, takes the target and
//! PyTorch's options, and is folded by a [`Reduction`].
pub(crate) mod binary;
pub(crate) mod classes;
mod ctc;
mod distance;
mod likelihood;
mod penalty;

pub use classes::CrossEntropy;
pub use distance::TripletMargin;
pub use penalty::{elastic_net_penalty, l1_penalty, l2_penalty};

use crate::{
    error::Checked,
    ops::Float,
    tape::Var,
    tensor::{Shape, shape::broadcast},
};

/// What becomes of the losses of single elements.
///
/// ```
/// use kolmo::{Tape, loss::Reduction};
/// let tape = Tape::<f64>::new();
/// let (x, y) = (tape.input([1.0, 2.0]), tape.constant([0.0, 0.0]));
/// assert_eq!(x.mse_loss(&y, Reduction::Mean).item()?, 2.5);
/// assert_eq!(x.mse_loss(&y, Reduction::None).to_vec()?, [1.0, 4.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean.
    #[default]
    Mean,
    /// Their sum.
    Sum,
    /// Their sum divided by the size of the first axis.
    BatchMean,
    /// They stay as they are.
    None,
}

impl Reduction {
    #[track_caller]
    fn of<'t, T: Float>(self, losses: Var<'t, T>) -> Var<'t, T> {
        match self {
            Reduction::Mean => losses.mean(),
            Reduction::Sum => losses.sum(),
            Reduction::BatchMean => {
                let n = losses.shape().first().copied().unwrap_or(1);
                losses.sum() / n as f64
            }
            Reduction::None => losses,
        }
    }
}

/// That answer and target have one shape, for losses where it is nearly always an oversight if they haven't: `[6, 1]` and `[6]`
/// would make 36 losses.
fn one_shape<T: Float>(answer: &Var<'_, T>, target: &Var<'_, T>) -> Checked<()> {
    if answer.shape() == target.shape() || target.failed_id().is_some() {
        return Ok(());
    }
    let shapes = format!("answers {} and targets {} must have one shape", answer.shape(), target.shape());
    Err(match common(answer, target) {
        Ok(shape) => format!(
            "{shapes}: reshape one of them; if every answer is to meet every target it broadcasts to, expand both to {shape}"
        ),
        Err(_) => shapes,
    })
}

/// That two operands broadcast to each other, and to what.
fn common<T: Float>(a: &Var<'_, T>, b: &Var<'_, T>) -> Checked<Shape> {
    broadcast(a.shape(), b.shape())
}

/// That an option is in its range.
fn accepted(ok: bool, message: impl FnOnce() -> String) -> Checked<()> {
    if ok { Ok(()) } else { Err(message()) }
}
