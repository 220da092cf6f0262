//! What really happened on a tape: every value, adjoint, contribution, byte and nanosecond, kept on request.
use super::{listing::Row, numbers::Numbers};
use serde::{Deserialize, Serialize};

/// Everything that a tape recorded while it was [observed](crate::Tape::set_observing), and the last reverse
/// sweep over it.
///
/// It doesn't borrow the tape, but shares its tensors, and goes through serde: numbers that are not finite are the
/// strings `"NaN"`, `"inf"` and `"-inf"` in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[must_use = "a report is made to be read"]
#[non_exhaustive]
pub struct Observation {
    /// One row per statement, in recording order.
    pub rows: Vec<Observed>,
    /// What the sweep added to the adjoints of tensors, and of scalars and tensors where they meet, in the
    /// order in which it did. What a scalar statement adds to the adjoint of an argument is its own
    /// adjoint times the partial derivative.
    pub flows: Vec<Flow>,
    /// The statement whose gradients were taken; `None` without a sweep.
    pub seed: Option<u32>,
}

/// One statement with its numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Observed {
    /// The statement as the listing has it. Scalar statements have their names and source lines too.
    #[serde(flatten)]
    pub row: Row,
    /// The [scope](crate::Tape::scope) in which it was recorded, or the layer that its parameters belong to.
    pub layer: Option<String>,
    /// The value, of rank 0 for scalars; `None` if it was recorded before the tape was observed.
    pub value: Option<Numbers>,
    /// The operands that are not on the tape.
    pub constants: Vec<Constant>,
    /// The derivative of the seed with respect to the value; `None` if the sweep didn't come here.
    pub adjoint: Option<Numbers>,
    /// The tensors that the rule reads in the sweep.
    pub kept: Vec<Kept>,
    /// Bytes that this statement adds to what is kept for the sweep; of a scalar statement, its arguments
    /// and partials.
    pub bytes: usize,
    /// Bytes kept for the sweep when the statement had been recorded.
    pub memory: usize,
    /// Bytes of what is still kept and of adjoints when the sweep had passed the statement; `None` without a
    /// sweep.
    #[serde(alias = "memory_swept")]
    pub backward_memory: Option<usize>,
    /// Bytes that its rule holds beside these while it runs a block again, as that of a checkpoint does.
    #[serde(default)]
    pub again: usize,
    /// Time to compute the value, in nanoseconds; 0 for scalars, whose time is that of the program around
    /// them.
    pub nanos: u64,
    /// Time of the rule in the sweep, in nanoseconds.
    #[serde(alias = "nanos_swept")]
    pub backward_nanos: u64,
    /// At how many elements the derivative is one of several possible ones: `relu` at 0, a tie of `maximum`.
    pub kinks: usize,
    /// Where such elements lie: `at 0`, `at a tie`.
    #[serde(default)]
    pub kinks_at: String,
    /// Whether the value is computed without rounding: elements are moved or chosen, signs change.
    #[serde(default)]
    pub exact: bool,
}

/// An operand that is not on the tape.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Constant {
    /// Its position among the arguments.
    pub operand: usize,
    /// Its value.
    pub value: Numbers,
}

/// A tensor that is kept for the sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Kept {
    /// The position of the operand; `None` for the result and what was found beside it.
    pub operand: Option<usize>,
    /// Its size.
    pub bytes: usize,
    /// Whether it would be free otherwise: no statement before this one keeps it, and it is no parameter.
    pub new: bool,
}

/// A contribution to an adjoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Flow {
    /// The statement whose rule gave it.
    pub from: u32,
    /// The statement whose adjoint it was added to.
    pub to: u32,
    /// The element of the adjoint, in row-major order, if it went to one only.
    pub element: Option<usize>,
    /// What was added.
    pub value: Numbers,
}
