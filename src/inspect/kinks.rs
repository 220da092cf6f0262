//! Gradients that are one of several possible ones: values that lie on a kink.
use super::{
    Origin,
    observation::{Observation, Observed},
    table::count,
};
use crate::{ops::Float, tape::Tape};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The statements of an [observed](Tape::set_observing) tape whose values lie on a kink; see
/// [`Observation::kinks`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[must_use = "a report is made to be read"]
#[non_exhaustive]
pub struct Kinks {
    /// In the order of the statements.
    pub statements: Vec<Kink>,
}

/// A statement with values on a kink.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Kink {
    /// The statement.
    pub id: u32,
    /// Where it comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// Where on the operands: `at 0`, `at a tie`.
    #[serde(default)]
    pub place: String,
    /// How many elements lie on a kink.
    pub elements: usize,
    /// How many elements there are.
    pub of: usize,
}

/// # Reports: kinks
impl<T: Float> Tape<T> {
    /// [`Observation::kinks`] of what was recorded so far.
    pub fn kinks(&self) -> Kinks {
        self.observation().kinks()
    }
}

impl Observation {
    /// Where the gradient is a subgradient: `relu` at 0, `maximum` at a tie. There a rule gives one of
    /// several slopes, by PyTorch's conventions, and finite differences give another. After a sweep,
    /// statements that it didn't come to are left out.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f32>::new();
    /// tape.set_observing(true);
    /// let y = tape.input([-1.0, 0.0, 2.0, 0.0]).relu().sum();
    /// let _ = y.backward()?;
    /// let kinks = tape.kinks();
    /// assert_eq!((kinks.statements[0].elements, kinks.statements[0].of), (2, 4));
    /// assert!(kinks.to_string().starts_with("this gradient is a subgradient: relu at 0 in "));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn kinks(&self) -> Kinks {
        let reached = |seen: &&Observed| self.seed.is_none() || seen.adjoint.is_some();
        let found = self.rows.iter().filter(|seen| seen.kinks > 0).filter(reached);
        let kink = |seen: &Observed| Kink {
            id: seen.row.id,
            origin: Origin::of(seen),
            place: seen.kinks_at.clone(),
            elements: seen.kinks,
            of: seen.value.as_ref().map_or(seen.kinks, |v| v.numel()).max(seen.kinks),
        };
        Kinks { statements: found.map(kink).collect() }
    }
}

impl fmt::Display for Kinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.statements.is_empty() {
            return writeln!(f, "no value lies on a kink: the gradient is the only one");
        }
        for k in &self.statements {
            write!(f, "this gradient is a subgradient: {} {}", k.origin.op, k.place)?;
            match k.origin.line() {
                Some(line) => write!(f, " in {line}")?,
                None => write!(f, ", statement %{}", k.id)?,
            }
            writeln!(f, ", {} of {}", count(k.elements), count(k.of))?;
        }
        Ok(())
    }
}
