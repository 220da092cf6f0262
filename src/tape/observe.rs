//! A tape that is observed: what it notes beside what derivatives read.
use super::{
    ids::{NodeId, StatementId},
    parts::{Node, Tape, TapeFloat, Var},
    watch::{Place, Seen, Watch},
};
use crate::{clock::Clock, tensor::Tensor};

/// # Observing what is recorded
impl<T: TapeFloat> Tape<T> {
    /// From now on keeps every statement's value, time and source line, those of scalars included, and in
    /// `backward` every statement's adjoint: see [`observation`](Tape::observation). With `false`, stops
    /// and forgets them.
    ///
    /// For looking at a program, not for training: nothing is freed before [`reset`](Tape::reset), which
    /// starts anew. While it is off it costs nothing.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::new();
    /// tape.set_observing(true);
    /// let x = tape.scalar(3.0);
    /// let y = x * x + 1.0;
    /// let _ = y.backward()?;
    /// let seen = tape.observation();
    /// let [x, square, y] = &seen.rows[..] else { unreachable!() };
    /// assert_eq!((square.row.op.as_str(), square.value.as_ref().unwrap().item()?), ("mul", 9.0));
    /// assert_eq!(x.adjoint.as_ref().unwrap().item()?, 6.0);
    /// assert_eq!(y.constants[0].value.item()?, 1.0);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn set_observing(&self, on: bool) {
        self.settings.observed.set(on);
        self.statements.set_observing(on);
        self.tensors.watch.replace(on.then(Watch::default));
    }

    /// Runs `f` and puts what it records under a name in an [observation](Tape::observation); names of scopes
    /// inside each other are joined by points. Of layers with parameters the names are found without it,
    /// by [`Observation::with_names`](crate::inspect::Observation::with_names).
    pub fn scope<R>(&self, name: &str, f: impl FnOnce() -> R) -> R {
        self.enter(Some(name));
        let result = f();
        self.enter(None);
        result
    }

    fn enter(&self, name: Option<&str>) {
        if let Some(watch) = &mut *self.tensors.watch.borrow_mut() {
            watch.enter(StatementId::at(self.statements.len().0), name);
        }
    }

    /// When a computation began, if its time is wanted.
    #[inline]
    pub(crate) fn clock(&self) -> Option<Clock> {
        self.settings.observed.get().then(Clock::now)
    }

    /// Notes a node, if the tape is observed.
    #[inline]
    pub(crate) fn note(&self, node: NodeId, value: &Tensor<T>, inputs: &[&Var<'_, T>], began: Option<Clock>) {
        if self.settings.observed.get() {
            self.note_observed(node, value, inputs, began.map_or(0, elapsed));
        }
    }

    #[cold]
    fn note_observed(&self, node: NodeId, value: &Tensor<T>, inputs: &[&Var<'_, T>], nanos: u64) {
        let Some(watch) = &mut *self.tensors.watch.borrow_mut() else { return };
        watch.complete(node.place() + 1);
        let nodes = self.tensors.nodes.borrow();
        let kept = self.tensors.kept.borrow();
        let range = nodes.get(node.place()).map_or(0..0, Node::kept_range);
        let kept = kept.get(range).unwrap_or_default();
        let kept = kept.iter().filter_map(|(slot, tensor)| {
            let tensor = tensor.as_ref()?;
            Some((*slot, tensor.buffer_id(), tensor.used_bytes()))
        });
        let constants = inputs.iter().enumerate().filter(|(_, v)| v.node().is_none());
        watch.seen[node.place()] = Seen {
            value: Some(value.clone()),
            constants: constants.map(|(i, v)| (i as u8, v.tensor().clone())).collect(),
            kept: kept.collect(),
            nanos,
            ..Seen::default()
        };
    }

    /// A sweep begins: the notes of the last one go.
    pub(super) fn note_sweep(&self, seed: Option<StatementId>) {
        let Some(watch) = &mut *self.tensors.watch.borrow_mut() else { return };
        watch.seed = seed;
        watch.flows.clear();
        watch.scalars.clear();
        for seen in &mut watch.seen {
            (seen.adjoint, seen.backward_nanos) = (None, 0);
        }
    }

    /// The sweep has come to a node: its adjoint is complete.
    #[cold]
    pub(super) fn note_adjoint(&self, node: usize, adjoint: Option<&Tensor<T>>) {
        if let Some(watch) = &mut *self.tensors.watch.borrow_mut() {
            watch.complete(node + 1);
            watch.seen[node].adjoint = adjoint.cloned();
        }
    }

    /// The sweep has passed a node.
    #[cold]
    pub(super) fn note_swept(&self, node: usize, began: Clock) {
        if let Some(watch) = &mut *self.tensors.watch.borrow_mut() {
            watch.complete(node + 1);
            watch.seen[node].backward_nanos = elapsed(began);
        }
    }

    /// A node's rule holds so many bytes while it runs a block again.
    #[cold]
    pub(super) fn note_again(&self, node: NodeId, bytes: usize) {
        if let Some(watch) = &mut *self.tensors.watch.borrow_mut() {
            watch.complete(node.place() + 1);
            watch.seen[node.place()].again = bytes;
        }
    }

    /// Something is added to an adjoint.
    #[cold]
    pub(super) fn note_flow(&self, from: StatementId, to: Place, element: Option<usize>, value: Tensor<T>) {
        if let Some(watch) = &mut *self.tensors.watch.borrow_mut() {
            watch.flows.push((Place::Statement(from), to, element, value));
        }
    }

    /// The adjoints of scalars at the end of a sweep.
    pub(super) fn note_scalars(&self, adjoints: &[T]) {
        if let Some(watch) = &mut *self.tensors.watch.borrow_mut() {
            watch.scalars = adjoints.to_vec();
        }
    }
}

fn elapsed(began: Clock) -> u64 {
    began.elapsed().as_nanos() as u64
}
