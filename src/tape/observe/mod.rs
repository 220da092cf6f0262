//! What really happened on a tape: every value, adjoint, contribution, byte and nanosecond, kept on request.
//!
//! A tape as such keeps what derivative rules read and nothing else. While it is observed, `watch` notes the rest; an
//! [`Observation`] is put together from that and the [`Listing`](super::Listing). `memory` works out what is in use at
//! each step, `layers` to which layer a statement belongs.
mod layers;
mod memory;
mod replay;
mod watch;

pub(crate) use layers::layers;
pub(crate) use replay::Difference;
pub(super) use watch::{Place, Watch};

use super::{Argument, Float, Row, Tape, node::OUTPUT};
use crate::{
    ops::{Op, kinks},
    tensor::Tensor,
};
use serde::{Deserialize, Serialize};
use watch::Seen;

/// Everything that a tape recorded while it was [observed](Tape::observe), and the last reverse sweep over it.
///
/// It doesn't borrow the tape and goes through serde: numbers that are not finite are the strings `"NaN"`, `"inf"` and `"-inf"`
/// in it. Elements of `f32` are held as `f64`, which is exact.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Observation {
    /// One row per statement, in recording order.
    pub rows: Vec<Observed>,
    /// What the sweep added to the adjoints of tensors, and of scalars and tensors where they meet, in the order in which it
    /// did. What a scalar statement adds to the adjoint of an argument is its own adjoint times the partial derivative.
    pub flows: Vec<Flow>,
    /// The statement whose gradients were taken; `None` without a sweep.
    pub seed: Option<u32>,
}

/// One statement with its numbers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Observed {
    /// The statement as the listing has it. Scalar statements have their names and source lines too.
    #[serde(flatten)]
    pub row: Row,
    /// The [scope](Tape::scope) in which it was recorded, or the layer that its parameters belong to.
    pub layer: Option<String>,
    /// The value, of rank 0 for scalars; `None` if it was recorded before the tape was observed.
    pub value: Option<Tensor<f64>>,
    /// The operands that are not on the tape.
    pub constants: Vec<Constant>,
    /// The derivative of the seed with respect to the value; `None` if the sweep didn't come here.
    pub adjoint: Option<Tensor<f64>>,
    /// The tensors that the rule reads in the sweep.
    pub kept: Vec<Kept>,
    /// Bytes that this statement adds to what is kept for the sweep; of a scalar statement, its arguments and partials.
    pub bytes: usize,
    /// Bytes kept for the sweep when the statement had been recorded.
    pub memory: usize,
    /// Bytes of what is still kept and of adjoints when the sweep had passed the statement; `None` without a sweep.
    pub memory_swept: Option<usize>,
    /// Time to compute the value, in nanoseconds; 0 for scalars, whose time is that of the program around them.
    pub nanos: u64,
    /// Time of the rule in the sweep, in nanoseconds.
    pub nanos_swept: u64,
    /// At how many elements the derivative is one of several possible ones: `relu` at 0, a tie of `maximum`.
    pub kinks: usize,
}

/// An operand that is not on the tape.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Constant {
    /// Its position among the arguments.
    pub operand: usize,
    /// Its value.
    pub value: Tensor<f64>,
}

/// A tensor that is kept for the sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The position of the operand; `None` for the result.
    pub operand: Option<usize>,
    /// Its size.
    pub bytes: usize,
    /// Whether it would be free otherwise: no statement before this one keeps it, and it is no parameter.
    pub new: bool,
}

/// A contribution to an adjoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Flow {
    /// The statement whose rule gave it.
    pub from: u32,
    /// The statement whose adjoint it was added to.
    pub to: u32,
    /// The element of the adjoint, in row-major order, if it went to one only.
    pub element: Option<usize>,
    /// What was added.
    pub value: Tensor<f64>,
}

impl<T: Float> Tape<T> {
    /// From now on keeps every statement's value, time and source line, those of scalars included, and in `backward` every
    /// statement's adjoint: see [`observation`](Tape::observation). With `false`, stops and forgets them.
    ///
    /// For looking at a program, not for training: nothing is freed before [`reset`](Tape::reset), which starts anew. While
    /// it is off it costs nothing.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::new();
    /// tape.observe(true);
    /// let x = tape.scalar(3.0);
    /// let y = x * x + 1.0;
    /// y.backward()?;
    /// let seen = tape.observation();
    /// let [x, square, y] = &seen.rows[..] else { unreachable!() };
    /// assert_eq!((square.row.op.as_str(), square.value.as_ref().unwrap().item()?), ("mul", 9.0));
    /// assert_eq!(x.adjoint.as_ref().unwrap().item()?, 6.0);
    /// assert_eq!(y.constants[0].value.item()?, 1.0);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn observe(&self, on: bool) {
        self.settings.observed.set(on);
        self.statements.observe(on);
        self.tensors.watch.replace(on.then(Watch::default));
    }

    /// Runs `f` and puts what it records under a name in an [observation](Tape::observation); names of scopes inside each
    /// other are joined by points. Of layers with parameters the names are found without it, by
    /// [`Observation::with_names`].
    pub fn scope<R>(&self, name: &str, f: impl FnOnce() -> R) -> R {
        self.enter(Some(name));
        let result = f();
        self.enter(None);
        result
    }

    fn enter(&self, name: Option<&str>) {
        if let Some(watch) = &mut *self.tensors.watch.borrow_mut() {
            watch.enter(self.statements.len().0 as u32, name);
        }
    }

    /// What has been recorded since the last [`reset`](Tape::reset), and the last `backward`. Without
    /// [`observe`](Tape::observe) it is the listing, and no numbers.
    pub fn observation(&self) -> Observation {
        let mut none = Watch::default();
        let mut watch = self.tensors.watch.borrow_mut();
        let watch = watch.as_mut().unwrap_or(&mut none);
        let nodes = self.tensors.nodes.borrow();
        watch.complete(nodes.len());
        let mut by_statement = vec![None; self.statements.len().0];
        for (i, node) in nodes.iter().enumerate() {
            if let Some(place) = by_statement.get_mut(node.statement as usize) {
                *place = Some(i);
            }
        }
        let params: Vec<usize> = nodes
            .iter()
            .zip(&watch.seen)
            .filter(|(node, _)| matches!(node.op, Op::Param(_)))
            .filter_map(|(_, seen)| seen.value.as_ref().map(memory::buffer))
            .collect();
        let mut known = memory::Known::new(params);
        let mut rows = Vec::new();
        for row in self.listing().rows {
            let node = by_statement.get(row.id as usize).copied().flatten();
            let mut seen = Observed::of(row);
            seen.layer = watch.layer(seen.row.id);
            match node {
                Some(i) => {
                    seen.fill(&watch.seen[i], &mut known);
                    let operands: Option<Vec<&Tensor<T>>> =
                        (0..nodes[i].inputs.len()).map(|k| watch.operand(&nodes[i].inputs, i, k)).collect();
                    if let (Some(x), Some(y)) = (operands, &watch.seen[i].value) {
                        seen.kinks = nodes[i].op.rule().kinks(&x, y);
                    }
                }
                None => self.fill_scalar(&mut seen, &rows),
            }
            if seen.row.shape.is_none() {
                let adjoint = watch.scalars.get(seen.row.id as usize);
                seen.adjoint = adjoint.map(|a| Tensor::scalar(a.to_f64()));
            }
            rows.push(seen);
        }
        let flows = watch.flows(&nodes);
        memory::curve(&mut rows, &flows, watch.seed, size_of::<T>());
        Observation { rows, flows, seed: watch.seed }
    }

    fn fill_scalar(&self, seen: &mut Observed, before: &[Observed]) {
        let arguments = seen.row.arguments.iter().filter(|a| matches!(a, Argument::Partial(..))).count();
        seen.bytes = 1 + arguments.max(1) * (4 + size_of::<T>());
        let Some(note) = self.statements.note(seen.row.id) else { return };
        seen.value = Some(Tensor::scalar(note.value));
        seen.constants = note
            .constants
            .iter()
            .map(|&(operand, v)| Constant { operand: operand as usize, value: Tensor::scalar(v) })
            .collect();
        let mut constants = note.constants.iter();
        let operands: Option<Vec<f64>> = seen
            .row
            .arguments
            .iter()
            .map(|argument| match argument {
                Argument::Value(id) | Argument::Partial(id, _) => {
                    before.get((*id as usize).wrapping_sub(1))?.value.as_ref()?.item().ok()
                }
                Argument::Constant => constants.next().map(|(_, v)| *v),
            })
            .collect();
        let options: Vec<f64> = note.options.iter().map(|(_, v)| *v).collect();
        seen.kinks = operands.is_some_and(|x| kinks::is_kink(note.name, &options, &x)) as usize;
    }
}

impl Observed {
    fn of(row: Row) -> Observed {
        Observed {
            row,
            layer: None,
            value: None,
            constants: Vec::new(),
            adjoint: None,
            kept: Vec::new(),
            bytes: 0,
            memory: 0,
            memory_swept: None,
            nanos: 0,
            nanos_swept: 0,
            kinks: 0,
        }
    }

    /// A statement on tensors.
    fn fill<T: Float>(&mut self, seen: &Seen<T>, known: &mut memory::Known) {
        self.value = seen.value.as_ref().map(Tensor::cast);
        self.constants = seen
            .constants
            .iter()
            .map(|(operand, value)| Constant { operand: *operand as usize, value: value.cast() })
            .collect();
        self.adjoint = seen.adjoint.as_ref().map(Tensor::cast);
        (self.nanos, self.nanos_swept) = (seen.nanos, seen.nanos_swept);
        self.kept = seen
            .kept
            .iter()
            .map(|&(slot, buffer, bytes)| Kept {
                operand: (slot != OUTPUT).then_some(slot as usize),
                bytes,
                new: known.add(buffer),
            })
            .collect();
        self.bytes = self.kept.iter().filter(|k| k.new).map(|k| k.bytes).sum();
    }
}
