//! How the losses of single elements become one.
use crate::{ops::Float, tape::Var};

/// What becomes of the losses of single elements.
///
/// ```
/// use kolmo::{Tape, loss::{MseLoss, Reduction}};
/// let tape = Tape::<f64>::new();
/// let x = tape.input([1.0, 2.0]);
/// assert_eq!(x.mse_loss(0.0).item()?, 2.5);
/// assert_eq!(MseLoss::new().reduction(Reduction::None).apply(&x, 0.0).to_vec()?, [1.0, 4.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
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
    pub(super) fn of<'t, T: Float>(self, losses: Var<'t, T>) -> Var<'t, T> {
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
