//! Recording: values come onto the tape, operations run and leave a node, and what can't be done leaves a
//! failure.
use super::{
    ids::{BESIDE, EXTRA, NodeId, OUTPUT, operand_in, slots},
    leaf::{Leaf, Params},
    parts::{
        Gradients, Inputs, Kept, Node, Op, Rule, Stash, Step, Tape, TapeFloat, TapeNumber, TensorPart,
        TensorTape, Var, with_floats,
    },
};
use crate::{
    error::{Checked, Error, Result},
    real::About,
    tensor::{Element, Shape, Tensor, room::more},
};
use smallvec::SmallVec;
use std::{cell::RefCell, fmt, panic::Location};

impl<T: TapeFloat> Default for TensorTape<T> {
    fn default() -> Self {
        TensorTape {
            nodes: RefCell::default(),
            kept: RefCell::default(),
            halved: RefCell::default(),
            failures: RefCell::default(),
            params: Params::default(),
            scalar_failure: RefCell::default(),
            trace: RefCell::default(),
            watch: RefCell::default(),
            witness: RefCell::default(),
            scratch: RefCell::default(),
        }
    }
}

impl<T: TapeFloat> TensorPart<T> for TensorTape<T> {
    type Leaves = Vec<Leaf<T>>;

    fn clear(&self) {
        self.nodes.borrow_mut().clear();
        self.kept.borrow_mut().clear();
        self.halved.borrow_mut().clear();
        self.failures.borrow_mut().clear();
        self.params.clear();
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
                None => write!(f, "input {}, ", leaf.grad.shape())?,
                Some(id) => write!(f, "param {id} {}, ", leaf.grad.shape())?,
            }
        }
        Ok(())
    }

    fn recycle(leaves: &mut Vec<Leaf<T>>, stash: &Stash<T>) {
        leaves.clear();
        stash.leaves.replace(std::mem::take(leaves));
    }
}

/// # Tensors onto the tape
impl<T: TapeFloat> Tape<T> {
    /// A tensor that is not differentiated.
    #[track_caller]
    #[doc(alias("requires_grad", "as_tensor"))]
    pub fn constant(&self, value: impl Into<Tensor<T>>) -> Var<'_, T> {
        let value = value.into();
        match value.lack() {
            Some(why) => self.fail_op("constant", why, &[]),
            None => Var::new(self, value, NodeId::NONE),
        }
    }

    /// A tensor that gradients are taken with respect to.
    #[track_caller]
    #[doc(alias("requires_grad", "requires_grad_"))]
    pub fn input(&self, value: impl Into<Tensor<T>>) -> Var<'_, T> {
        self.leaf(Op::Input, value.into())
    }

    /// Whether a program is being recorded: then frozen parameters are leaves too, since a run reads them
    /// anew.
    pub(crate) fn is_traced(&self) -> bool {
        self.is_recording() && self.tensors.trace.borrow().is_some()
    }

    /// Notes how the positions of a `take` were found.
    #[track_caller]
    pub(crate) fn note_choice(&self, y: &Var<'_, T>, choose: impl Fn(&Tensor<T>) -> Tensor<u32> + 'static) {
        self.note_fixed(y);
        if let (Some(trace), Some(node)) = (&mut *self.tensors.trace.borrow_mut(), y.node()) {
            trace.choices.push((node, Box::new(choose)));
        }
    }

    /// Notes that what is computed in the derivative of a node takes over positions that the node found
    /// from its operand.
    #[track_caller]
    pub(crate) fn note_follower(&self, y: &Var<'_, T>, node: NodeId) {
        let mut trace = self.tensors.trace.borrow_mut();
        let Some(trace) = &mut *trace else { return };
        let known = trace.followers.iter().find(|(follower, _)| *follower == node).map(|(_, first)| *first);
        let found = || trace.choices.iter().any(|(chosen, _)| *chosen == node).then_some(node);
        match (known.or_else(found), y.node()) {
            (Some(first), Some(y)) => trace.followers.push((y, first)),
            (Some(_), None) => {
                let what = "a constant was put at positions that are found from values";
                trace.obstacle.get_or_insert((what, Some(Location::caller())));
            }
            (None, _) => {}
        }
    }

    /// Notes that something is done which a program can't do again.
    #[track_caller]
    pub(crate) fn not_replayable(&self, what: &'static str) {
        if let Some(trace) = &mut *self.tensors.trace.borrow_mut() {
            trace.obstacle.get_or_insert((what, Some(Location::caller())));
        }
    }

    /// Whether a program will compute this value anew, so that what is done with it must not hang on what it
    /// is now.
    pub(crate) fn replays(&self, v: &Var<'_, T>) -> bool {
        v.node().is_some() && self.is_traced()
    }

    /// Whether this value will be computed anew by a program, or may be by a saved tape: then a path that
    /// hangs on it is part of what is computed.
    pub(crate) fn runs_again(&self, v: &Var<'_, T>) -> bool {
        v.node().is_some() && (self.is_traced() || self.is_recording() && self.settings.observed.get())
    }

    /// Notes that positions, or a path, are found from a value and stay as they are: a program can't be
    /// recorded, and a saved tape can't be run on other values.
    #[track_caller]
    pub(crate) fn note_found(&self, v: &Var<'_, T>) {
        self.note_read(v);
        self.note_fixed(v);
    }

    #[track_caller]
    fn note_fixed(&self, v: &Var<'_, T>) {
        if let (Some(watch), Some(node)) = (&mut *self.tensors.watch.borrow_mut(), v.node()) {
            watch.found.push((node, Location::caller()));
        }
    }

    /// Where something was found from a value and stays as it is: nodes and source lines.
    pub(crate) fn found(&self) -> Vec<(NodeId, &'static Location<'static>)> {
        self.tensors.watch.borrow().as_ref().map_or(Vec::new(), |watch| watch.found.clone())
    }

    /// Notes that somebody looks at a value which another run may have otherwise.
    #[track_caller]
    pub(crate) fn note_read(&self, v: &Var<'_, T>) {
        if v.node().is_some() {
            self.not_replayable("a value was read, which may decide what is computed");
        }
    }

    #[track_caller]
    pub(crate) fn leaf(&self, op: Op<T>, value: Tensor<T>) -> Var<'_, T> {
        if !self.is_recording() {
            return self.constant(value);
        }
        if let Some(why) = value.lack() {
            return self.fail_op(op.rule().name(), why, &[]);
        }
        if self.settings.anomalies.get() && matches!(op, Op::Param(_)) && has_anomaly(&value) {
            let message = format!("the parameter of shape {} has NaN or infinity in it", value.shape());
            return self.fail_op(op.rule().name(), message, &[]);
        }
        if let Err(message) = self.room_for_node(0) {
            return self.fail_op(op.rule().name(), message, &[]);
        }
        let id = self.push_node(op, SmallVec::new(), value.shape().clone(), []);
        self.note(id, &value, &[], None);
        Var::new(self, value, id)
    }

    /// The tensors of the parameters that were asked for in this step; what a parametrisation made of one is
    /// a value like others.
    pub(crate) fn each_param(&self, mut f: impl FnMut(&Tensor<T>)) {
        let nodes = self.tensors.nodes.borrow();
        self.tensors.params.each(|node, value| {
            if nodes.get(node.place()).is_some_and(|n| matches!(n.op, Op::Param(_))) {
                f(value);
            }
        });
    }

    /// Room in the tables for one node more, which keeps at most so many values.
    fn room_for_node(&self, kept: usize) -> Checked<()> {
        more(&mut self.tensors.nodes.borrow_mut(), 1)?;
        more(&mut self.tensors.kept.borrow_mut(), kept)
    }

    #[inline]
    #[track_caller]
    pub(crate) fn push_node(
        &self,
        op: Op<T>,
        inputs: Inputs,
        shape: Shape,
        kept: impl IntoIterator<Item = (u8, Tensor<T>)>,
    ) -> NodeId {
        let mut values = self.tensors.kept.borrow_mut();
        let first = values.len();
        for (slot, value) in kept {
            values.push((slot, Some(value)));
        }
        let kept = (first as u32, (values.len() - first) as u32);
        let mut nodes = self.tensors.nodes.borrow_mut();
        let index = NodeId::at(nodes.len());
        if self.settings.halves.get() {
            self.halve(&nodes, &inputs, index, &mut values, first);
        }
        let statement = self.statements.push_tensor(index);
        nodes.push(Node { op, inputs, shape, statement, kept, spent: false, site: Location::caller() });
        index
    }

    /// Makes what a node keeps from `first` on halves, but for leaves; a value that others keep, too, once.
    #[cold]
    fn halve(&self, nodes: &[Node<T>], inputs: &Inputs, own: NodeId, kept: &mut [Kept<T>], first: usize) {
        let mut halved = self.tensors.halved.borrow_mut();
        for i in first..kept.len() {
            let slot = kept[i].0;
            let node = match operand_in(slot) {
                Some(operand) => inputs.get(operand).copied().unwrap_or(NodeId::NONE),
                None => own,
            };
            let is_leaf = |node: &Node<T>| matches!(node.op, Op::Input | Op::Param(_));
            if node == NodeId::NONE || nodes.get(node.place()).is_some_and(is_leaf) {
                continue;
            }
            let known =
                halved.get(&node.place()).and_then(|&place| kept[place].1.clone()).filter(|_| slot != EXTRA);
            let value = known.or_else(|| Some(kept[i].1.as_ref()?.in_halves()));
            kept[i].1 = value;
            if slot != EXTRA {
                halved.entry(node.place()).or_insert(i);
            }
        }
    }

    /// Runs an operation, and records it if an operand is recorded. This is the one way onto the tape.
    #[inline]
    #[track_caller]
    pub(crate) fn apply<'t>(&'t self, op: impl Into<Op<T>>, inputs: &[&Var<'t, T>]) -> Var<'t, T> {
        T::apply(self, op.into(), inputs)
    }

    #[track_caller]
    pub(crate) fn apply_here<'t>(&'t self, op: Op<T>, inputs: &[&Var<'t, T>]) -> Var<'t, T> {
        let rule = op.rule();
        let mut wanted = 0u32;
        for (i, v) in inputs.iter().enumerate() {
            if v.failed_id().is_some() {
                let message = v.failure().map_or_else(String::new, |e| e.to_string());
                return self.fail_op(rule.name(), message, inputs);
            }
            if !std::ptr::eq(v.tape(), self) {
                return self.fail_op(
                    rule.name(),
                    "two tapes: the operands were recorded on different tapes",
                    &[],
                );
            }
            wanted |= (v.node().is_some() as u32) << (i as u32 & 31);
        }
        let recorded = wanted != 0;
        let keep = if recorded && self.is_recording() { rule.keeps(wanted) } else { 0 };
        let began = self.clock();
        let mut beside = None;
        let mut compute = |x: &[&Tensor<T>]| {
            with_floats(rule, x, |x| match keep & BESIDE {
                0 => rule.forward(x),
                _ => rule.forward_beside(x).map(|(value, found)| {
                    beside = found;
                    value
                }),
            })
        };
        let computed = match inputs {
            [x] => compute(&[x.tensor()]),
            [x, y] => compute(&[x.tensor(), y.tensor()]),
            [x, y, z] => compute(&[x.tensor(), y.tensor(), z.tensor()]),
            _ => compute(&inputs.iter().map(|v| v.tensor()).collect::<SmallVec<[&Tensor<T>; 8]>>()),
        };
        let value = match computed {
            Ok(value) => value,
            Err(message) => return self.fail_op(rule.name(), message, inputs),
        };
        if let Some(why) = value.lack() {
            return self.fail_op(rule.name(), why, inputs);
        }
        if self.settings.anomalies.get()
            && has_anomaly(&value)
            && !inputs.iter().any(|v| has_anomaly(v.tensor()))
        {
            let hint = rule.anomaly_hint();
            return self.fail_op(rule.name(), format!("the value has NaN or infinity{hint}"), inputs);
        }
        if !recorded || !self.is_recording() {
            if recorded {
                self.not_replayable("something was computed without being recorded");
            }
            if let Some(seen) = self.show_computed(rule, inputs, &value) {
                return seen;
            }
            return Var::new(self, value, NodeId::NONE);
        }
        if let Err(message) = self.room_for_node(inputs.len() + 2) {
            return self.fail_op(rule.name(), message, inputs);
        }
        let next = NodeId::at(self.tensors.nodes.borrow().len());
        self.show_recorded(rule, inputs, next);
        let nodes = inputs.iter().map(|v| v.node().unwrap_or(NodeId::NONE)).collect();
        let kept = slots(keep, inputs.len()).filter_map(|slot| {
            let kept = match slot {
                OUTPUT => Some(value.clone()),
                EXTRA => beside.take(),
                operand => inputs.get(operand as usize).map(|v| v.tensor().clone()),
            };
            Some((slot, kept?))
        });
        let id = self.push_node(op, nodes, value.shape().clone(), kept);
        self.note(id, &value, inputs, began);
        if let Some(trace) = &mut *self.tensors.trace.borrow_mut() {
            for (i, v) in inputs.iter().enumerate().filter(|(_, v)| v.node().is_none()) {
                trace.constants.push((id, i as u8, v.tensor().clone()));
            }
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
            if let Some(node) = v.node().and_then(|n| nodes.get(n.place())) {
                let sep = if error.operands.is_empty() { "" } else { ", " };
                let text = format!("{sep}{} = {} {}", node.statement, node.op.rule().name(), node.shape);
                error.operands.push_str(&text);
            }
        }
        drop(nodes);
        self.fail_with(Error::Op(Box::new(error)))
    }

    #[cold]
    pub(crate) fn fail_with(&self, error: Error) -> Var<'_, T> {
        let mut failures = self.tensors.failures.borrow_mut();
        // Where there is no room for one more, memory is short, which the last ones tell as well.
        if failures.try_reserve(1).is_ok() {
            failures.push(error);
        }
        let id = NodeId::failure(failures.len().saturating_sub(1));
        Var::new(self, Tensor::full([0], T::default()), id)
    }

    pub(crate) fn failure(&self, id: NodeId) -> Error {
        let failures = self.tensors.failures.borrow();
        let known = id.failed().and_then(|number| failures.get(number));
        known.cloned().unwrap_or_else(|| Error::op("value", "the operation failed", None))
    }
}

pub(crate) fn has_anomaly<T: Element>(t: &Tensor<T>) -> bool {
    t.contiguous().as_slice().unwrap_or_default().iter().any(|v| !v.to_f64().is_finite())
}

impl<T: TapeFloat> Op<T> {
    #[inline]
    pub fn rule(&self) -> &dyn Rule<T> {
        match self {
            Op::Input => &NoRule("input"),
            Op::Param(_) => &NoRule("param"),
            Op::Mixed(op) => op,
            Op::Tensor(op) => T::rule(op),
            Op::Custom(op) => &**op,
        }
    }
}

/// Of inputs and parameters: nothing is computed and nothing flows on.
struct NoRule(&'static str);

impl<T: TapeFloat> Rule<T> for NoRule {
    fn name(&self) -> &str {
        self.0
    }
    fn about(&self) -> About {
        match self.0 {
            "input" => About::formula(
                "",
                &[],
                "A value that gradients are taken with respect to. The sweep ends here.",
            ),
            _ => About::formula(
                "",
                &[],
                "A parameter of the model. The sweep ends here; an optimiser reads the adjoint.",
            ),
        }
        .exact()
    }

    fn forward(&self, _: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        Err("a leaf computes nothing".into())
    }
    fn keeps(&self, _: u32) -> u32 {
        0
    }
    fn backward<'t>(&self, _: &mut Step<'_, 't, T>) {}
}

impl<T: TapeFloat> Node<T> {
    pub(crate) fn kept_range(&self) -> std::ops::Range<usize> {
        self.kept.0 as usize..(self.kept.0 + self.kept.1) as usize
    }

    /// The node itself, out of the table while its rule runs, since the rule records; its shape stays there.
    pub(super) fn lend(&mut self) -> Node<T> {
        Node {
            op: std::mem::replace(&mut self.op, Op::Input),
            inputs: std::mem::take(&mut self.inputs),
            shape: self.shape.clone(),
            statement: self.statement,
            kept: self.kept,
            spent: self.spent,
            site: self.site,
        }
    }
}

impl<T: TapeNumber> Tape<T> {
    pub(crate) fn mark(&self) -> (usize, usize, usize) {
        self.statements.len()
    }
}
