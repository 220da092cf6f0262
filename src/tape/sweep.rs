//! The reverse sweep: walks the tape backwards and lets every operation's rule turn the adjoint of its result
//! into adjoints of its operands.
use super::{
    ids::{NodeId, StatementId},
    leaf::Leaf,
    node::has_anomaly,
    parts::{Flows, Gradients, Node, Op, Step, Tape, TapeFloat, Var},
    statements::Stop,
    step::with_node,
    sweep_state::{Adjoint, Parts, Sweep},
    watch::Place,
};
use crate::{
    error::{Error, Result},
    ids::IdMap,
    kernels::accumulate,
    tensor::Tensor,
};

/// The table of nodes while a sweep has it: it goes back to the tape, even if a user's rule panics.
struct Lent<'t, T: TapeFloat> {
    tape: &'t Tape<T>,
    nodes: Vec<Node<T>>,
}

impl<T: TapeFloat> Drop for Lent<'_, T> {
    fn drop(&mut self) {
        if !self.nodes.is_empty() {
            self.tape.tensors.nodes.replace(std::mem::take(&mut self.nodes));
        }
    }
}

impl<T: TapeFloat> Sweep<T> {
    pub fn add(&mut self, tape: &Tape<T>, target: NodeId, grad: Var<'_, T>, nodes: &[Node<T>], by: &Node<T>) {
        if let Some(failure) = grad.failure() {
            // What failed is an operation of the rule's, at a line of the crate's: it is told as this one, at
            // the user's.
            let why =
                if let Error::Op(inner) = &failure { inner.message.clone() } else { failure.to_string() };
            let message = format!("its gradient can't be computed: {why}");
            self.error.get_or_insert(Error::op(by.op.rule().name(), message, Some(by.site)));
            return;
        }
        let fits = with_node(tape, nodes, target, |n| n.shape == *grad.shape());
        if fits == Some(false) {
            let expected = with_node(tape, nodes, target, |n| n.shape.clone()).unwrap_or_default();
            let message = format!("the gradient has shape {}, but the operand has {expected}", grad.shape());
            self.error.get_or_insert(Error::op(by.op.rule().name(), message, Some(by.site)));
            return;
        }
        if tape.settings.anomalies.get() && has_anomaly(grad.tensor()) {
            let message = "the gradient of an operand has NaN or infinity";
            self.error.get_or_insert(Error::op(by.op.rule().name(), message, Some(by.site)));
            return;
        }
        if self.observed {
            tape.note_flow(by.statement, Place::Node(target), None, grad.tensor().clone());
        }
        self.collect(tape, target, grad);
    }

    /// Adds a gradient of the right shape to what is there.
    fn collect(&mut self, tape: &Tape<T>, target: NodeId, grad: Var<'_, T>) {
        let Some(slot) = self.adjoints.get_mut(target.place()) else { return };
        *slot = Some(match slot.take() {
            None => {
                self.pending += 1;
                Adjoint { id: grad.raw_id(), value: grad.into_tensor() }
            }
            Some(a) if self.graph => {
                let sum = T::sum(&Var::new(tape, a.value, a.id), &grad);
                Adjoint { id: sum.raw_id(), value: sum.into_tensor() }
            }
            Some(a) => Adjoint { value: accumulate::add(a.value, grad.tensor()), id: NodeId::NONE },
        });
    }

    /// Marks what depends on the wanted nodes, so that no other gradient is computed.
    fn mark(&mut self, nodes: &[Node<T>], wanted: &[NodeId]) {
        self.needed.resize(nodes.len(), false);
        for &w in wanted {
            if let Some(mark) = self.needed.get_mut(w.place()) {
                *mark = true;
            }
        }
        for (i, node) in nodes.iter().enumerate() {
            let reached = |&n: &NodeId| n != NodeId::NONE && self.needed[n.place()];
            if matches!(node.op, Op::Mixed(_)) || node.inputs.iter().any(reached) {
                self.needed[i] = true;
            }
        }
    }

    /// Walks from `stop` down to the floor. Gradients of inputs and parameters go to `leaves`.
    fn run(&mut self, tape: &Tape<T>, stop: &mut Stop, mut leaves: Option<&mut Vec<Leaf<T>>>) -> Result<()> {
        // Where nothing is recorded, the nodes are taken out of the table as a whole; else one by one.
        let mut nodes = Lent { tape, nodes: if self.graph { Vec::new() } else { tape.tensors.nodes.take() } };
        let mut scalars = std::mem::take(&mut self.scalars);
        let over = |sweep: &Self, scalars: &[T]| {
            sweep.error.is_some() || sweep.pending == 0 && scalars.is_empty() && !sweep.observed
        };
        while !over(self, &scalars) && tape.statements.sweep(&mut scalars, stop, self.floor) {
            std::mem::swap(&mut self.scalars, &mut scalars);
            if self.graph {
                let lent = tape.tensors.nodes.borrow_mut().get_mut(stop.node).map(Node::lend);
                if let Some(mut node) = lent {
                    self.step(tape, &mut node, &[], stop.node, leaves.as_deref_mut());
                    if let Some(place) = tape.tensors.nodes.borrow_mut().get_mut(stop.node) {
                        *place = node;
                    }
                }
            } else if let Some((node, before)) =
                nodes.nodes.get_mut(..=stop.node).and_then(<[_]>::split_last_mut)
            {
                self.step(tape, node, before, stop.node, leaves.as_deref_mut());
            }
            std::mem::swap(&mut self.scalars, &mut scalars);
        }
        self.scalars = scalars;
        drop(nodes);
        self.error.take().map_or(Ok(()), Err)
    }

    fn step(
        &mut self,
        tape: &Tape<T>,
        node: &mut Node<T>,
        before: &[Node<T>],
        index: usize,
        leaves: Option<&mut Vec<Leaf<T>>>,
    ) {
        if self.cut.contains(&NodeId::at(index)) {
            return;
        }
        let adjoint = self.adjoints.get_mut(index).and_then(Option::take);
        self.pending -= usize::from(adjoint.is_some());
        if self.observed {
            tape.note_adjoint(index, adjoint.as_ref().map(|a| &a.value));
        }
        if let Some(adjoint) = &adjoint {
            tape.show_adjoint(NodeId::at(index), &adjoint.value);
        }
        let gives_scalar = matches!(&node.op, Op::Mixed(m) if m.gives_scalar());
        let grad = match (adjoint, &node.op) {
            (Some(a), Op::Input | Op::Param(_)) => {
                match leaves {
                    Some(leaves) => {
                        let param = if let Op::Param(id) = node.op { Some(id) } else { None };
                        // Of a parameter that was changed between two uses the later one came first.
                        let later = leaves.iter_mut().find(|leaf| {
                            tape.tensors.params.renewed.get() && param.is_some() && leaf.param == param
                        });
                        match later {
                            Some(leaf) if leaf.grad.shape() == a.value.shape() => {
                                let sum = std::mem::replace(&mut leaf.grad, Tensor::full([0], T::default()));
                                leaf.grad = accumulate::add(sum, &a.value);
                            }
                            Some(_) => {}
                            None => leaves.push(Leaf { node: NodeId::at(index), param, grad: a.value }),
                        }
                    }
                    None => self.adjoints[index] = Some(a),
                }
                return;
            }
            (Some(a), _) => {
                // What is asked for by `grad` must survive its own turn.
                if leaves.is_none() && self.needed.len() > index {
                    self.adjoints[index] = Some(Adjoint { value: a.value.clone(), id: a.id });
                }
                Var::new(tape, a.value, a.id)
            }
            (None, _) if gives_scalar => tape.constant(Tensor::full([0], T::default())),
            (None, _) => return,
        };
        if node.spent {
            self.error = Some(Error::op(
                "backward",
                format!(
                    "{} = {} was swept before and its values were freed; use backward_retain_graph() for the first sweep",
                    node.statement,
                    node.op.rule().name()
                ),
                Some(node.site),
            ));
            return;
        }
        let began = if self.observed { tape.clock() } else { None };
        let mut step = Step { tape, node, before, index: NodeId::at(index), grad, sweep: self };
        // What rules compute is no use of a parameter.
        let witnessed = tape.settings.witnessed.replace(false);
        node.op.rule().backward(&mut step);
        tape.settings.witnessed.set(witnessed);
        if let Some(began) = began {
            tape.note_swept(index, began);
        }
        if self.free && node.kept.1 > 0 {
            let mut kept = tape.tensors.kept.borrow_mut();
            kept.get_mut(node.kept_range())
                .unwrap_or_default()
                .iter_mut()
                .for_each(|(_, value)| *value = None);
            node.spent = true;
        }
    }
}

impl<T: TapeFloat> Tape<T> {
    fn end(&self) -> Stop {
        let (statement, argument, _) = self.statements.len();
        Stop { statement, argument, node: 0 }
    }

    fn check_room(&self) -> Result<()> {
        if self.statements.is_full() {
            return Err(Error::op(
                "backward",
                "the tape has more than 2³² arguments; reset it more often",
                None,
            ));
        }
        Ok(())
    }

    pub(crate) fn backward_from(
        &self,
        y: &Var<'_, T>,
        free: bool,
        parts: Parts<'_, T>,
    ) -> Result<Gradients<T>> {
        self.check_room()?;
        if y.numel() != 1 {
            let message = format!("needs a single element, not shape {}; sum() or mean() first", y.shape());
            return Err(Error::op("backward", message, None));
        }
        self.not_replayable("gradients were taken as plain tensors (`grad` records them)");
        let Some(node) = y.node() else {
            let why = if self.is_recording() { "" } else { ", since this tape records nothing" };
            let message = format!("a constant has no gradients: nothing recorded it{why}");
            return Err(Error::op("backward", message, None));
        };
        let n = if self.statements.len().2 > 0 { self.statements.adjoints() } else { 0 };
        let mut sweep = self.tensors.scratch.take();
        sweep.reset(self.tensors.nodes.borrow().len(), false, free, 0)?;
        sweep.collect(self, node, self.constant(Tensor::ones(y.shape())));
        if self.settings.observed.get() {
            self.note_sweep(self.tensors.nodes.borrow().get(node.place()).map(|n| n.statement));
        }
        T::sweep(self, sweep, self.stash.scalars(n), parts)
    }

    /// The first statement of each parameter that was used: a sweep that has come down to it has its gradient.
    pub(crate) fn first_uses(&self) -> IdMap<usize> {
        let mut first = IdMap::default();
        for node in self.tensors.nodes.borrow().iter().rev() {
            if let Op::Param(id) = node.op {
                first.insert(id, node.statement.place());
            }
        }
        first
    }

    /// The gradients of a single element with respect to the leaves among the nodes that are `needed`, part by
    /// part.
    pub(crate) fn backward_to(
        &self,
        node: NodeId,
        needed: &[bool],
        parts: Parts<'_, T>,
    ) -> Result<Gradients<T>> {
        let mut sweep = self.tensors.scratch.take();
        let nodes = self.tensors.nodes.borrow();
        sweep.reset(nodes.len(), false, true, 0)?;
        sweep.needed.extend_from_slice(needed);
        let seed = nodes.get(node.place()).map(|y| self.constant(Tensor::ones(&y.shape)));
        drop(nodes);
        if let Some(seed) = seed {
            sweep.collect(self, node, seed);
        }
        T::sweep(self, sweep, Vec::new(), parts)
    }

    /// A sweep from scalar adjoints that are already seeded.
    pub(crate) fn sweep_all(&self, adjoints: Vec<T>) -> Result<Gradients<T>> {
        let mut sweep = self.tensors.scratch.take();
        sweep.reset(self.tensors.nodes.borrow().len(), false, false, 0)?;
        if self.settings.observed.get() {
            self.note_sweep(adjoints.iter().rposition(|a| *a != T::default()).map(StatementId::at));
        }
        T::sweep(self, sweep, adjoints, Parts::one(&mut |_, _| Ok(())))
    }

    /// A sweep that is set up, and what it leaves.
    pub(crate) fn sweep_here(
        &self,
        mut sweep: Sweep<T>,
        scalars: Vec<T>,
        parts: Parts<'_, T>,
    ) -> Result<Gradients<T>> {
        sweep.scalars = scalars;
        sweep.observed = self.settings.observed.get();
        let mut leaves = self.stash.leaves.take();
        leaves.clear();
        if sweep.free {
            self.tensors.params.forget();
        }
        let mut stop = self.end();
        let mut part = |(i, &floor): (usize, &usize)| {
            if i > 0 && sweep.pending == 0 && sweep.scalars.is_empty() {
                return Ok(());
            }
            (parts.before)(i, &leaves)?;
            sweep.floor = floor;
            sweep.run(self, &mut stop, Some(&mut leaves))
        };
        let swept = self.no_grad(|| parts.floors.iter().enumerate().try_for_each(&mut part));
        let scalars = std::mem::take(&mut sweep.scalars);
        if sweep.observed {
            self.note_scalars(&scalars);
        }
        self.tensors.scratch.replace(sweep);
        swept?;
        Ok(Gradients::new(self, scalars, leaves))
    }

    /// Vector-Jacobian products: the gradients of Σ ys·seeds with respect to `xs`, zeros where there is no
    /// dependence. With `graph` they are recorded themselves. With a `floor`, the sweep ends at that
    /// statement and at `xs`.
    pub(crate) fn vjp<'t>(
        &'t self,
        ys: &[&Var<'t, T>],
        seeds: &[&Var<'t, T>],
        xs: &[&Var<'t, T>],
        graph: bool,
        floor: Option<usize>,
    ) -> Result<Vec<Var<'t, T>>> {
        T::vjp(self, Flows { ys, seeds, xs, graph, floor })
    }

    pub(crate) fn vjp_here<'t>(&'t self, flows: Flows<'_, 't, T>) -> Result<Vec<Var<'t, T>>> {
        let Flows { ys, seeds, xs, graph, floor } = flows;
        self.check_room()?;
        for v in ys.iter().chain(seeds).chain(xs) {
            v.ok()?;
        }
        let mut sweep = Sweep::default();
        sweep.reset(self.tensors.nodes.borrow().len(), graph, false, floor.unwrap_or(0))?;
        let wanted: Vec<NodeId> = xs.iter().filter_map(|x| x.node()).collect();
        sweep.mark(&self.tensors.nodes.borrow(), &wanted);
        if floor.is_some() {
            sweep.cut = wanted;
        }
        if self.statements.len().2 > 0 {
            sweep.scalars = self.stash.scalars(self.statements.adjoints());
        }
        let _before = self.recording(graph);
        for (y, seed) in ys.iter().zip(seeds) {
            if y.shape() != seed.shape() {
                let message = format!("the seed has shape {}, the value {}", seed.shape(), y.shape());
                return Err(Error::op("vjp", message, None));
            }
            if let Some(node) = y.node() {
                sweep.collect(self, node, (*seed).clone());
            }
        }
        sweep.run(self, &mut self.end(), None)?;
        Ok(xs
            .iter()
            .map(|x| match x.node().and_then(|n| sweep.adjoints.get(n.place())) {
                Some(Some(a)) => Var::new(self, a.value.clone(), a.id),
                _ => self.constant(Tensor::zeros(x.shape())),
            })
            .collect())
    }
}

/// # Gradients as values on the tape
impl<'t, T: TapeFloat> Var<'t, T> {
    /// The gradients of this single element with respect to the given values (inputs or intermediate ones),
    /// as values that are recorded themselves and can be differentiated again. Zeros where there is no
    /// dependence.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::new();
    /// let x = tape.input(2.0);
    /// let y = &x * &x * &x;
    /// let dy = y.grad(&[&x])?.remove(0); // 3x²
    /// let ddy = dy.grad(&[&x])?.remove(0); // 6x
    /// assert_eq!((dy.item()?, ddy.item()?), (12.0, 12.0));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[doc(alias("create_graph", "retain_grad", "autograd.grad"))]
    pub fn grad(&self, xs: &[&Var<'t, T>]) -> Result<Vec<Var<'t, T>>> {
        self.ok()?;
        if self.numel() != 1 {
            let message =
                format!("needs a single element, not shape {}; sum() or mean() first", self.shape());
            return Err(Error::op("grad", message, None));
        }
        self.vjp(&self.tape().constant(Tensor::ones(self.shape())), xs)
    }

    /// The vector-Jacobian product: gradients of `Σ self · seed`, recorded themselves.
    #[doc(alias = "grad_outputs")]
    pub fn vjp(&self, seed: &Var<'t, T>, xs: &[&Var<'t, T>]) -> Result<Vec<Var<'t, T>>> {
        self.tape().vjp(&[self], &[seed], xs, true, None)
    }
}
