//! The first statement at which two runs of a program differ.
use super::{
    Origin,
    listing::{Argument, Row},
    numbers::Numbers,
    observation::{Observation, Observed},
    table::{count, short},
};
use crate::{ops::Float, tape::Tape};
use serde::Serialize;
use std::fmt;

/// Where two runs part; see [`Tape::diff`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// The statement; in the run that goes on if the other ended before it.
    pub id: u32,
    /// Where it comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// Name of the parameter.
    pub name: Option<String>,
    /// In what they differ.
    pub what: DifferenceKind,
    /// Both sides in words.
    pub message: String,
}

/// In what two runs differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// One has a statement that the other doesn't have.
    Length,
    /// Operation, options or operands.
    Operation,
    /// The sizes of the result.
    Shape,
    /// An operand that is not on the tape.
    Constant,
    /// The result.
    Value,
    /// The gradient with respect to the result, all values being equal.
    Gradient,
}

/// # Reports: differences of two runs
impl<T: Float> Tape<T> {
    /// The first statement at which two [observed](Tape::set_observing) tapes differ in operation, shape or
    /// value; if there is none, the first that the sweep comes to whose gradient differs. `None` if both
    /// are equal, bit by bit.
    ///
    /// ```
    /// use kolmo::{Tape, inspect::DifferenceKind};
    /// let run = |bias: f32| {
    ///     let tape = Tape::new();
    ///     tape.set_observing(true);
    ///     let x = tape.input([1.0, 2.0]);
    ///     (x.tanh() + tape.constant([bias])).sum();
    ///     tape
    /// };
    /// assert!(run(0.5).diff(&run(0.5)).is_none());
    /// let difference = run(0.5).diff(&run(0.25)).unwrap();
    /// assert_eq!((difference.origin.op.as_str(), difference.what), ("add", DifferenceKind::Constant));
    /// println!("{difference}");
    /// ```
    pub fn diff(&self, other: &Tape<T>) -> Option<Difference> {
        self.observation().diff(&other.observation(), 0.0)
    }
}

impl Observation {
    /// The first difference of two observations of one program, as [`Tape::diff`] finds it of tapes; elements may
    /// differ by `tolerance` times the larger of both.
    pub fn diff(&self, other: &Observation, tolerance: f64) -> Option<Difference> {
        let pairs = || self.rows.iter().zip(&other.rows);
        let found = |seen: &Observed, (what, message)| Difference {
            id: seen.row.id,
            origin: Origin::of(seen),
            name: seen.row.name.clone().filter(|name| !name.starts_with('#')),
            what,
            message,
        };
        if let Some(difference) = pairs().find_map(|(a, b)| Some(found(a, forward(a, b, tolerance)?))) {
            return Some(difference);
        }
        let (n, m) = (self.rows.len(), other.rows.len());
        if let Some(next) = self.rows.get(m).or(other.rows.get(n)) {
            let message = format!("the first run has {n} statements, the second {m}");
            return Some(found(next, (DifferenceKind::Length, message)));
        }
        let mut back: Vec<_> = pairs().collect();
        back.reverse();
        back.into_iter().find_map(|(a, b)| {
            let message = match (&a.adjoint, &b.adjoint) {
                (Some(x), Some(y)) => unequal(x, y, tolerance, &a.row)?,
                (None, None) => return None,
                (x, _) => format!(
                    "the sweep came here in the {} run only",
                    if x.is_some() { "first" } else { "second" }
                ),
            };
            Some(found(a, (DifferenceKind::Gradient, message)))
        })
    }
}

/// In what two statements differ, gradients aside.
fn forward(a: &Observed, b: &Observed, tolerance: f64) -> Option<(DifferenceKind, String)> {
    let text =
        |seen: &Observed| format!("{}({}) {}", seen.row.op, operands(seen).join(", "), seen.row.options);
    let (first, second) = (text(a), text(b));
    if first != second {
        return Some((
            DifferenceKind::Operation,
            format!("it is {} in the first run, {} in the second", first.trim(), second.trim()),
        ));
    }
    if a.row.shape != b.row.shape || a.row.dtype != b.row.dtype {
        let shape =
            |seen: &Observed| format!("{}{:?}", seen.row.dtype, seen.row.shape.clone().unwrap_or_default());
        return Some((
            DifferenceKind::Shape,
            format!("it is {} in the first run, {} in the second", shape(a), shape(b)),
        ));
    }
    for (x, y) in a.constants.iter().zip(&b.constants) {
        if let Some(message) = unequal(&x.value, &y.value, tolerance, &a.row) {
            return Some((DifferenceKind::Constant, format!("operand {}: {message}", x.operand)));
        }
    }
    let message = unequal(a.value.as_ref()?, b.value.as_ref()?, tolerance, &a.row)?;
    Some((DifferenceKind::Value, message))
}

fn operands(seen: &Observed) -> Vec<String> {
    let name = |argument: &Argument| match argument {
        Argument::Value(id) | Argument::Partial(id, _) => format!("%{id}"),
        Argument::Constant => "const".into(),
    };
    seen.row.arguments.iter().map(name).collect()
}

/// How two tensors differ, if they do. NaN equals NaN, but 0 is not -0 without a tolerance.
fn unequal(a: &Numbers, b: &Numbers, tolerance: f64, row: &Row) -> Option<String> {
    if a.shape() != b.shape() {
        return Some(format!("shape {} in the first run, {} in the second", a.shape(), b.shape()));
    }
    let differs = |x: f64, y: f64| {
        let equal = x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan());
        !(equal || tolerance > 0.0 && (x - y).abs() <= tolerance * x.abs().max(y.abs()))
    };
    let (x, y) = (a.to_vec(), b.to_vec());
    let all: Vec<usize> = (0..x.len().min(y.len())).filter(|&i| differs(x[i], y[i])).collect();
    let &first = all.first()?;
    let index = a.shape().index_of(first).unwrap_or_default();
    let most = all.iter().map(|&i| (x[i] - y[i]).abs()).fold(0.0, f64::max);
    let place = if index.is_empty() { String::from("it is") } else { format!("element {index:?} is") };
    let exact = |v: f64| if row.dtype == "f32" { (v as f32).to_string() } else { v.to_string() };
    let mut text = format!("{place} {} in the first run, {} in the second", exact(x[first]), exact(y[first]));
    if x.len() > 1 {
        text += &format!(
            "; {} of {} elements differ, by up to {}",
            count(all.len()),
            count(x.len()),
            short(most)
        );
    }
    Some(text)
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            DifferenceKind::Length => "is in one run only",
            DifferenceKind::Operation => "differs in what is done",
            DifferenceKind::Shape => "differs in shape",
            DifferenceKind::Constant => "differs in an operand that is not on the tape",
            DifferenceKind::Value => "differs in value",
            DifferenceKind::Gradient => "differs in gradient, all values being equal",
        };
        write!(f, "%{} = {}", self.id, self.origin.op)?;
        if let Some(name) = &self.name {
            write!(f, " {name}")?;
        }
        if let Some(line) = self.origin.line() {
            write!(f, " ({line})")?;
        }
        write!(f, " {what}: {}", self.message)
    }
}
