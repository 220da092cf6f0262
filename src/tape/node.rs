//! The table of tensor operations: what each was, what it was given, and the values its derivative will read.
use super::{
    Float, Gradients, Tape, TapeNumber, TensorPart,
    gradients::{Leaf, Stash},
    observe::Watch,
    program::Trace,
    sweep::Sweep,
    var::{CONSTANT, FAILED, Var},
};
use crate::{
    error::{Checked, Error, Result},
    ids::IdMap,
    nn::Param,
    ops::Op,
    tensor::{Element, Shape, Tensor, room::more},
};
use smallvec::SmallVec;
use std::{
    cell::{Cell, RefCell},
    fmt,
    panic::Location,
};

/// No node: the operand was a constant.
pub(crate) const NONE: u32 = u32::MAX;
/// The slot of the result among the values that a node keeps.
pub(crate) const OUTPUT: u8 = 31;

/// A recorded operation.
pub(crate) struct Node<T: Float> {
    pub op: Op<T>,
    /// The operands' nodes, [`NONE`] for constants.
    pub inputs: SmallVec<[u32; 4]>,
    /// Shape of the result.
    pub shape: Shape,
    pub statement: u32,
    /// Where the values that the derivative reads begin in the tape's list of them, and how many there are.
    pub kept: (u32, u32),
    /// Whether a sweep has freed what was kept.
    pub spent: bool,
    pub site: &'static Location<'static>,
}

/// A value that a derivative reads: of an operand (by position) or the result ([`OUTPUT`]). A sweep may free it.
pub(crate) type Kept<T> = (u8, Option<Tensor<T>>);

/// The value of a parameter, and which versions of which parameters it was made of: the parameter itself, its codebook, …
struct Known<T: Float> {
    node: u32,
    value: Tensor<T>,
    made_of: SmallVec<[(Param<T>, u64); 2]>,
}

/// The tensors' part of a tape.
#[doc(hidden)]
pub struct TensorTape<T: Float> {
    pub(crate) nodes: RefCell<Vec<Node<T>>>,
    pub(crate) kept: RefCell<Vec<Kept<T>>>,
    failures: RefCell<Vec<Error>>,
    /// The values of parameters that were asked for in this step.
    params: RefCell<IdMap<Known<T>>>,
    /// The parameters that are being asked for, and those that they ask for, with their versions.
    asked: RefCell<Vec<(Param<T>, u64)>>,
    /// Whether a parameter was changed in this step, and asked for again: then it has several leaves.
    pub(super) renewed: Cell<bool>,
    /// The values that stand for parameters in this step.
    substitutes: RefCell<IdMap<(u32, Tensor<T>)>>,
    /// The first failure of a scalar.
    scalar_failure: RefCell<Option<Error>>,
    /// What a [`Program`](crate::Program) needs to know beyond the nodes, while one is recorded.
    pub(crate) trace: RefCell<Option<Trace<T>>>,
    /// What is noted while the tape is observed.
    pub(super) watch: RefCell<Option<Watch<T>>>,
    pub(crate) scratch: RefCell<Sweep<T>>,
}

impl<T: Float> Default for TensorTape<T> {
    fn default() -> Self {
        TensorTape {
            nodes: RefCell::default(),
            kept: RefCell::default(),
            failures: RefCell::default(),
            params: RefCell::default(),
            asked: RefCell::default(),
            renewed: Cell::new(false),
            substitutes: RefCell::default(),
            scalar_failure: RefCell::default(),
            trace: RefCell::default(),
            watch: RefCell::default(),
            scratch: RefCell::default(),
        }
    }
}

impl<T: Float> TensorPart<T> for TensorTape<T> {
    type Leaves = Vec<Leaf<T>>;

    fn clear(&self) {
        self.nodes.borrow_mut().clear();
        self.kept.borrow_mut().clear();
        self.failures.borrow_mut().clear();
        self.params.borrow_mut().clear();
        self.asked.borrow_mut().clear();
        self.renewed.set(false);
        self.substitutes.borrow_mut().clear();
        self.scalar_failure.replace(None);
        if let Some(watch) = &mut *self.watch.borrow_mut() {
            watch.clear();
        }
    }

    fn backward(tape: &Tape<T>, adjoints: Vec<T>) -> Result<Gradients<T>> {
        tape.sweep_all(adjoints)
    }

    fn failure(&self) -> Option<Error> {
        self.scalar_failure.borrow().clone()
    }

    fn fail(&self, error: Error) {
        self.scalar_failure.borrow_mut().get_or_insert(error);
    }

    fn describe(leaves: &Vec<Leaf<T>>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for leaf in leaves {
            match leaf.param {
                0 => write!(f, "input {}, ", leaf.grad.shape())?,
                id => write!(f, "param #{id} {}, ", leaf.grad.shape())?,
            }
        }
        Ok(())
    }

    fn recycle(leaves: &mut Vec<Leaf<T>>, stash: &Stash<T>) {
        leaves.clear();
        stash.leaves.replace(std::mem::take(leaves));
    }
}

impl<T: Float> Tape<T> {
    /// A tensor that is not differentiated.
    #[track_caller]
    pub fn constant(&self, value: impl Into<Tensor<T>>) -> Var<'_, T> {
        let value = value.into();
        match value.lack() {
            Some(why) => self.fail_op("constant", why, &[]),
            None => Var::new(self, value, CONSTANT),
        }
    }

    /// A tensor that gradients are taken with respect to.
    #[track_caller]
    pub fn input(&self, value: impl Into<Tensor<T>>) -> Var<'_, T> {
        self.leaf(Op::Input, value.into())
    }

    /// A parameter of a model as the model uses it: its tensor, through its parametrisation if it has one.
    /// Asked for twice in a step, it is the same value.
    #[track_caller]
    pub fn param(&self, p: &Param<T>) -> Var<'_, T> {
        p.on(self)
    }

    /// The same of a parameter that a layer may not have.
    // Not `map`: the caller's line would be that of a closure.
    #[track_caller]
    pub(crate) fn optional_param(&self, p: &Option<Param<T>>) -> Option<Var<'_, T>> {
        match p {
            Some(p) => Some(self.param(p)),
            None => None,
        }
    }

    /// Lets a value of this tape stand for a parameter until the next [`reset`](Tape::reset): a model's layers then compute with
    /// it, and gradients go to what it was computed from. Masks and codebooks of the parameter are passed over.
    ///
    /// ```
    /// use kolmo::{Random, Tape, Tensor, nn::{Layer, Linear}};
    /// let layer = Linear::<f64>::new(2, 1, &mut Random::new(0)).without_bias();
    /// let tape = Tape::new();
    /// let w = tape.input([[3.0, 4.0]]);
    /// tape.substitute(&layer.weight, &(&w * 2.0));
    /// let y = layer.forward(&tape.constant([[1.0, 10.0]])).sum();
    /// assert_eq!(y.item()?, 86.0);
    /// assert_eq!(y.backward()?.get(&w).unwrap().to_vec(), [2.0, 20.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// What it is good for: gradients through a step of an optimiser (MAML), networks whose weights another network makes.
    /// With a shape that is not the parameter's, the parameter is a failed value.
    #[track_caller]
    pub fn substitute<'t>(&'t self, p: &Param<T>, value: &Var<'t, T>) {
        let shape = p.shape();
        let fits = value.failed_id().is_some() || *value.shape() == shape;
        let failed = (!fits).then(|| {
            let message =
                format!("a value of shape {} can't stand for a parameter of {shape}", value.shape());
            self.fail_op("substitute", message, &[value])
        });
        let value = failed.as_ref().unwrap_or(value);
        self.tensors.substitutes.borrow_mut().insert(p.id(), (value.raw_id(), value.tensor().clone()));
    }

    /// The tensors of the parameters that were asked for in this step; what a parametrisation made of one is a value like
    /// others.
    pub(crate) fn each_param(&self, f: impl FnMut(&Tensor<T>)) {
        let nodes = self.tensors.nodes.borrow();
        let own = |node: u32| nodes.get(node as usize).is_some_and(|n| matches!(n.op, Op::Param(_)));
        let params = self.tensors.params.borrow();
        params.values().filter(|known| own(known.node)).map(|known| &known.value).for_each(f);
    }

    /// The parameter's own tensor as a leaf of the tape.
    #[track_caller]
    pub(crate) fn param_leaf(&self, p: &Param<T>, value: Tensor<T>) -> Var<'_, T> {
        let leaf = self.leaf(Op::Param(p.id()), value);
        if let (Some(trace), Some(node)) = (&mut *self.tensors.trace.borrow_mut(), leaf.node()) {
            trace.params.push((node, p.clone()));
        }
        leaf
    }

    /// Whether a program is being recorded: then frozen parameters are leaves too, since a run reads them anew.
    pub(crate) fn is_traced(&self) -> bool {
        self.is_recording() && self.tensors.trace.borrow().is_some()
    }

    /// Notes how the positions of a `take` were found.
    pub(crate) fn note_choice(&self, y: &Var<'_, T>, choose: impl Fn(&Tensor<T>) -> Tensor<u32> + 'static) {
        if let (Some(trace), Some(node)) = (&mut *self.tensors.trace.borrow_mut(), y.node()) {
            trace.choices.push((node, Box::new(choose)));
        }
    }

    /// Notes that something is done which a program can't do again.
    #[track_caller]
    pub(crate) fn not_replayable(&self, what: &'static str) {
        if let Some(trace) = &mut *self.tensors.trace.borrow_mut() {
            trace.obstacle.get_or_insert((what, Some(Location::caller())));
        }
    }

    /// Notes that somebody looks at a value which another run may have otherwise.
    #[track_caller]
    pub(crate) fn note_read(&self, v: &Var<'_, T>) {
        if v.node().is_some() {
            self.not_replayable("a value was read, which may decide what is computed");
        }
    }

    /// The value of a parameter that was asked for before in this step.
    pub(crate) fn known_param(&self, id: u64) -> Option<Var<'_, T>> {
        if let Some((node, value)) = self.tensors.substitutes.borrow().get(&id) {
            return Some(Var::new(self, value.clone(), *node));
        }
        let params = self.tensors.params.borrow();
        let known = params.get(&id).filter(|_| self.is_recording())?;
        if known.made_of.iter().any(|(p, version)| p.version() != *version) {
            self.tensors.renewed.set(true);
            return None;
        }
        // What is being asked for depends on these, too.
        let mut asked = self.tensors.asked.borrow_mut();
        if !asked.is_empty() {
            asked.extend_from_slice(&known.made_of);
        }
        Some(Var::new(self, known.value.clone(), known.node))
    }

    /// Begins to work out the value of a parameter.
    pub(crate) fn ask(&self, p: &Param<T>) -> usize {
        let mut asked = self.tensors.asked.borrow_mut();
        asked.push((p.clone(), p.version()));
        asked.len() - 1
    }

    /// Ends it.
    pub(crate) fn answered(&self, asked: usize) {
        if asked == 0 {
            self.tensors.asked.borrow_mut().clear();
        }
    }

    /// Keeps the value that was worked out of what was asked for from `asked` on.
    pub(crate) fn remember_param(&self, id: u64, value: &Var<'_, T>, asked: usize) {
        if let Some(node) = value.node() {
            let made_of =
                self.tensors.asked.borrow().get(asked..).unwrap_or_default().iter().cloned().collect();
            let known = Known { node, value: value.tensor().clone(), made_of };
            self.tensors.params.borrow_mut().insert(id, known);
        }
    }

    #[track_caller]
    fn leaf(&self, op: Op<T>, value: Tensor<T>) -> Var<'_, T> {
        if !self.is_recording() {
            return self.constant(value);
        }
        if let Some(why) = value.lack() {
            return self.fail_op(op.rule().name(), why, &[]);
        }
        if let Err(message) = self.room_for_node(0) {
            return self.fail_op(op.rule().name(), message, &[]);
        }
        let id = self.push_node(op, SmallVec::new(), value.shape().clone(), []);
        self.note(id, &value, &[], None);
        Var::new(self, value, id)
    }

    /// The values of parameters are let go, so that an optimiser can write them in place.
    pub(crate) fn forget_params(&self) {
        self.tensors.params.borrow_mut().clear();
    }

    /// Room in the tables for one node more, which keeps at most so many values.
    fn room_for_node(&self, kept: usize) -> Checked<()> {
        more(&mut self.tensors.nodes.borrow_mut(), 1)?;
        more(&mut self.tensors.kept.borrow_mut(), kept)
    }

    #[track_caller]
    pub(crate) fn push_node(
        &self,
        op: Op<T>,
        inputs: SmallVec<[u32; 4]>,
        shape: Shape,
        kept: impl IntoIterator<Item = (u8, Tensor<T>)>,
    ) -> u32 {
        let mut values = self.tensors.kept.borrow_mut();
        let first = values.len();
        for (slot, value) in kept {
            values.push((slot, Some(value)));
        }
        let kept = (first as u32, (values.len() - first) as u32);
        let mut nodes = self.tensors.nodes.borrow_mut();
        let index = nodes.len() as u32;
        let statement = self.statements.push_tensor(index);
        nodes.push(Node { op, inputs, shape, statement, kept, spent: false, site: Location::caller() });
        index
    }

    /// Runs an operation, and records it if an operand is recorded. This is the one way onto the tape.
    #[inline]
    #[track_caller]
    pub(crate) fn apply<'t>(&'t self, op: impl Into<Op<T>>, inputs: &[&Var<'t, T>]) -> Var<'t, T> {
        self.apply_op(op.into(), inputs)
    }

    // Apart, so that it is not compiled anew for every kind of operation.
    #[track_caller]
    fn apply_op<'t>(&'t self, op: Op<T>, inputs: &[&Var<'t, T>]) -> Var<'t, T> {
        let mut recorded = false;
        for v in inputs {
            if v.failed_id().is_some() {
                let message = v.failure().map_or_else(String::new, |e| e.to_string());
                return self.fail_op(op.rule().name(), message, inputs);
            }
            if !std::ptr::eq(v.tape(), self) {
                return self.fail_op(
                    op.rule().name(),
                    "two tapes: the operands were recorded on different tapes",
                    &[],
                );
            }
            recorded |= v.node().is_some();
        }
        let began = self.clock();
        let computed = match inputs {
            [x] => op.rule().forward(&[x.tensor()]),
            [x, y] => op.rule().forward(&[x.tensor(), y.tensor()]),
            [x, y, z] => op.rule().forward(&[x.tensor(), y.tensor(), z.tensor()]),
            _ => op.rule().forward(&inputs.iter().map(|v| v.tensor()).collect::<SmallVec<[&Tensor<T>; 8]>>()),
        };
        let value = match computed.and_then(Tensor::made) {
            Ok(value) => value,
            Err(message) => return self.fail_op(op.rule().name(), message, inputs),
        };
        if self.settings.anomalies.get()
            && has_anomaly(&value)
            && !inputs.iter().any(|v| has_anomaly(v.tensor()))
        {
            let hint = anomaly_hint(op.rule().name());
            return self.fail_op(op.rule().name(), format!("the value has NaN or infinity{hint}"), inputs);
        }
        if !recorded || !self.is_recording() {
            if recorded {
                self.not_replayable("something was computed without being recorded");
            }
            return Var::new(self, value, CONSTANT);
        }
        if let Err(message) = self.room_for_node(inputs.len() + 1) {
            return self.fail_op(op.rule().name(), message, inputs);
        }
        let (mut nodes, mut wanted) = (SmallVec::new(), 0u32);
        for (i, v) in inputs.iter().enumerate() {
            nodes.push(v.node().unwrap_or(NONE));
            wanted |= (v.node().is_some() as u32) << (i as u32 & 31);
        }
        let keep = op.rule().keeps(wanted);
        let kept = inputs.iter().enumerate().filter(|(i, _)| *i < OUTPUT as usize && keep >> i & 1 == 1);
        let kept = kept.map(|(i, v)| (i as u8, v.tensor().clone()));
        let result = (keep >> OUTPUT & 1 == 1).then(|| (OUTPUT, value.clone()));
        let id = self.push_node(op, nodes, value.shape().clone(), kept.chain(result));
        self.note(id, &value, inputs, began);
        if let Some(trace) = &mut *self.tensors.trace.borrow_mut() {
            trace.operands(id, inputs);
        }
        Var::new(self, value, id)
    }

    /// A failed value: the error stays on the tape, and whatever is computed from the value fails with it.
    #[cold]
    #[track_caller]
    pub(crate) fn fail_op(
        &self,
        op: &str,
        message: impl Into<String>,
        operands: &[&Var<'_, T>],
    ) -> Var<'_, T> {
        // Whatever else is wrong with a failed value, what made it fail comes first.
        if let Some(failed) =
            operands.iter().find_map(|v| v.failed_id().filter(|_| std::ptr::eq(v.tape(), self)))
        {
            return Var::new(self, Tensor::full([0], T::default()), failed);
        }
        let mut error = crate::error::OpError {
            op: op.to_string(),
            message: message.into(),
            site: Some(Location::caller()),
            operands: String::new(),
        };
        let nodes = self.tensors.nodes.borrow();
        for v in operands {
            if let Some(node) = v.node().and_then(|n| nodes.get(n as usize)) {
                let sep = if error.operands.is_empty() { "" } else { ", " };
                let text = format!("{sep}%{} = {} {}", node.statement, node.op.rule().name(), node.shape);
                error.operands.push_str(&text);
            }
        }
        drop(nodes);
        self.fail_with(Error::Op(Box::new(error)))
    }

    #[cold]
    pub(crate) fn fail_with(&self, error: Error) -> Var<'_, T> {
        let mut failures = self.tensors.failures.borrow_mut();
        let id = FAILED | (failures.len() as u32).min(FAILED - 2);
        failures.push(error);
        Var::new(self, Tensor::full([0], T::default()), id)
    }

    pub(crate) fn failure(&self, id: u32) -> Error {
        let failures = self.tensors.failures.borrow();
        let known = failures.get((id & !FAILED) as usize);
        known.cloned().unwrap_or_else(|| Error::op("value", "the operation failed", None))
    }
}

pub(crate) fn has_anomaly<T: Element>(t: &Tensor<T>) -> bool {
    t.contiguous().as_slice().unwrap_or_default().iter().any(|v| !v.to_f64().is_finite())
}

/// The usual cause, where an operation has one.
fn anomaly_hint(op: &str) -> &'static str {
    match op {
        "sqrt" | "rsqrt" | "pow" => "; guard the input (sqrt of 0 has an infinite derivative)",
        "log" | "log2" | "log10" | "div" => "; guard the input against 0",
        "softmax" | "log_softmax" | "logsumexp" => "; is a whole row masked with -inf?",
        _ => "",
    }
}

impl<T: TapeNumber> Tape<T> {
    pub(crate) fn mark(&self) -> (usize, usize, usize) {
        self.statements.len()
    }
}
