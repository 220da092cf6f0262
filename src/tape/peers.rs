//! Tapes that have parts of one batch, and go in step: what is a number of the whole batch they find out
//! together.
use crate::{error::Checked, kernels::spread::join_spreads};

/// What the numbers of two parts, one after the other, are of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// Their sums.
    Sums,
    /// See [`join_spreads`].
    Spreads,
}

impl Join {
    pub fn of(self, mut a: Vec<f64>, b: Vec<f64>) -> Vec<f64> {
        match self {
            Join::Spreads => return join_spreads(a, b),
            Join::Sums => a.iter_mut().zip(b).for_each(|(a, b)| *a += b),
        }
        a
    }
}

/// The way to the tapes with the other parts.
pub(crate) trait Peers {
    /// The numbers of the whole, of those of this part, once all parts have come here. They are joined in an
    /// order that depends on the parts alone.
    fn join(&self, own: Vec<f64>, join: Join) -> Checked<Vec<f64>>;
}
