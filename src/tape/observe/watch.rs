//! What is noted of tensor statements while a tape is observed.
use crate::{
    clock::Clock,
    tape::{
        Float, Tape, Var,
        node::{NONE, Node},
        observe::{Flow, memory},
    },
    tensor::Tensor,
};
use smallvec::SmallVec;
use std::panic::Location;

/// The notes of one tape.
pub(in crate::tape) struct Watch<T: Float> {
    /// By node.
    pub seen: Vec<Seen<T>>,
    /// Contributions to adjoints: nodes or scalar statements, and what was added.
    flows: Vec<(Place, Place, Option<usize>, Tensor<T>)>,
    /// Adjoints of all statements that are scalars.
    pub scalars: Vec<T>,
    pub seed: Option<u32>,
    /// Nodes from whose values something was found that stays as it is, and where.
    pub found: Vec<(u32, &'static Location<'static>)>,
    /// Names of the scopes that are open.
    open: Vec<String>,
    /// From which statement on which scope is in force.
    scopes: Vec<(u32, Option<String>)>,
}

/// Where a contribution comes from or goes to.
#[derive(Clone, Copy)]
pub(in crate::tape) enum Place {
    Node(u32),
    Statement(u32),
}

/// What is noted of a node.
pub(in crate::tape) struct Seen<T: Float> {
    pub value: Option<Tensor<T>>,
    /// Operands that are constants, by position.
    pub constants: SmallVec<[(u8, Tensor<T>); 2]>,
    /// What the rule reads: slot, buffer, bytes.
    pub kept: SmallVec<[(u8, usize, usize); 2]>,
    pub adjoint: Option<Tensor<T>>,
    pub nanos: u64,
    pub nanos_swept: u64,
}

impl<T: Float> Default for Watch<T> {
    fn default() -> Self {
        Watch {
            seen: Vec::new(),
            flows: Vec::new(),
            scalars: Vec::new(),
            seed: None,
            found: Vec::new(),
            open: Vec::new(),
            scopes: Vec::new(),
        }
    }
}

impl<T: Float> Default for Seen<T> {
    fn default() -> Self {
        Seen {
            value: None,
            constants: SmallVec::new(),
            kept: SmallVec::new(),
            adjoint: None,
            nanos: 0,
            nanos_swept: 0,
        }
    }
}

impl<T: Float> Watch<T> {
    /// A place for each node.
    pub fn complete(&mut self, nodes: usize) {
        self.seen.resize_with(nodes.max(self.seen.len()), Seen::default);
    }

    /// Opens a scope at a statement, or closes the last one.
    pub fn enter(&mut self, statement: u32, name: Option<&str>) {
        match name {
            Some(name) => self.open.push(name.to_string()),
            None => drop(self.open.pop()),
        }
        let path = (!self.open.is_empty()).then(|| self.open.join("."));
        self.scopes.push((statement, path));
    }

    /// The scope that a statement was recorded in.
    pub fn layer(&self, statement: u32) -> Option<String> {
        let next = self.scopes.partition_point(|(from, _)| *from <= statement);
        self.scopes.get(next.checked_sub(1)?)?.1.clone()
    }

    /// The value of an operand of a node.
    pub fn operand(&self, inputs: &[u32], node: usize, i: usize) -> Option<&Tensor<T>> {
        match inputs.get(i) {
            Some(&n) if n != NONE => self.seen.get(n as usize)?.value.as_ref(),
            _ => self.seen[node].constants.iter().find(|(k, _)| *k as usize == i).map(|(_, v)| v),
        }
    }

    /// The contributions, by statement.
    pub fn flows(&self, nodes: &[Node<T>]) -> Vec<Flow> {
        let statement = |place: &Place| match place {
            Place::Node(n) => nodes.get(*n as usize).map_or(0, |n| n.statement),
            Place::Statement(id) => *id,
        };
        let flow = |(from, to, element, value): &(Place, Place, Option<usize>, Tensor<T>)| Flow {
            from: statement(from),
            to: statement(to),
            element: *element,
            value: value.cast(),
        };
        self.flows.iter().map(flow).collect()
    }

    /// Forgets everything but the scopes that are open.
    pub fn clear(&mut self) {
        let open = std::mem::take(&mut self.open);
        *self = Watch { open, ..Watch::default() };
        if !self.open.is_empty() {
            self.scopes.push((0, Some(self.open.join("."))));
        }
    }
}

impl<T: Float> Tape<T> {
    /// When a computation began, if its time is wanted.
    #[inline]
    pub(in crate::tape) fn clock(&self) -> Option<Clock> {
        self.settings.observed.get().then(Clock::now)
    }

    /// Notes a node, if the tape is observed.
    #[inline]
    pub(in crate::tape) fn note(
        &self,
        node: u32,
        value: &Tensor<T>,
        inputs: &[&Var<'_, T>],
        began: Option<Clock>,
    ) {
        if self.settings.observed.get() {
            self.note_observed(node, value, inputs, began.map_or(0, elapsed));
        }
    }

    #[cold]
    fn note_observed(&self, node: u32, value: &Tensor<T>, inputs: &[&Var<'_, T>], nanos: u64) {
        let Some(watch) = &mut *self.tensors.watch.borrow_mut() else { return };
        watch.complete(node as usize + 1);
        let nodes = self.tensors.nodes.borrow();
        let kept = self.tensors.kept.borrow();
        let range = nodes.get(node as usize).map_or(0..0, Node::kept_range);
        let kept = kept.get(range).unwrap_or_default();
        let kept = kept.iter().filter_map(|(slot, tensor)| {
            let tensor = tensor.as_ref()?;
            Some((*slot, memory::buffer(tensor), memory::bytes(tensor)))
        });
        let constants = inputs.iter().enumerate().filter(|(_, v)| v.node().is_none());
        watch.seen[node as usize] = Seen {
            value: Some(value.clone()),
            constants: constants.map(|(i, v)| (i as u8, v.tensor().clone())).collect(),
            kept: kept.collect(),
            nanos,
            ..Seen::default()
        };
    }

    /// A sweep begins: the notes of the last one go.
    pub(in crate::tape) fn note_sweep(&self, seed: Option<u32>) {
        let Some(watch) = &mut *self.tensors.watch.borrow_mut() else { return };
        watch.seed = seed;
        watch.flows.clear();
        watch.scalars.clear();
        for seen in &mut watch.seen {
            (seen.adjoint, seen.nanos_swept) = (None, 0);
        }
    }

    /// The sweep has come to a node: its adjoint is complete.
    #[cold]
    pub(in crate::tape) fn note_adjoint(&self, node: usize, adjoint: Option<&Tensor<T>>) {
        if let Some(watch) = &mut *self.tensors.watch.borrow_mut() {
            watch.complete(node + 1);
            watch.seen[node].adjoint = adjoint.cloned();
        }
    }

    /// The sweep has passed a node.
    #[cold]
    pub(in crate::tape) fn note_swept(&self, node: usize, began: Clock) {
        if let Some(watch) = &mut *self.tensors.watch.borrow_mut() {
            watch.complete(node + 1);
            watch.seen[node].nanos_swept = elapsed(began);
        }
    }

    /// Something is added to an adjoint.
    #[cold]
    pub(in crate::tape) fn note_flow(&self, from: u32, to: Place, element: Option<usize>, value: Tensor<T>) {
        if let Some(watch) = &mut *self.tensors.watch.borrow_mut() {
            watch.flows.push((Place::Statement(from), to, element, value));
        }
    }

    /// The adjoints of scalars at the end of a sweep.
    pub(in crate::tape) fn note_scalars(&self, adjoints: &[T]) {
        if let Some(watch) = &mut *self.tensors.watch.borrow_mut() {
            watch.scalars = adjoints.to_vec();
        }
    }
}

fn elapsed(began: Clock) -> u64 {
    began.elapsed().as_nanos() as u64
}
