//! A tensor value that a tape may have recorded.
use super::{
    ids::NodeId,
    parts::{Gradients, Tape, TapeFloat, Var},
    sweep_state::Parts,
};
use crate::{
    error::{Error, Result},
    tensor::{Shape, Tensor},
};
use std::fmt;

/// # Value, shape and backward sweep
impl<'t, T: TapeFloat> Var<'t, T> {
    #[inline]
    pub(crate) fn new(tape: &'t Tape<T>, value: Tensor<T>, id: NodeId) -> Self {
        Var { tape, value, id }
    }

    /// The tape that this value belongs to.
    pub fn tape(&self) -> &'t Tape<T> {
        self.tape
    }

    /// The value.
    #[track_caller]
    pub fn value(&self) -> Result<&Tensor<T>> {
        self.ok()?;
        self.tape.note_read(self);
        Ok(&self.value)
    }

    /// The only element of a tensor that has one.
    #[track_caller]
    pub fn item(&self) -> Result<T> {
        self.value()?.item()
    }

    /// The elements in row-major order.
    #[track_caller]
    #[doc(alias("tolist", "numpy"))]
    pub fn to_vec(&self) -> Result<Vec<T>> {
        self.value()?.list().map_err(|message| Error::invalid("to_vec", message))
    }

    /// The sizes of the axes; `[0]` if the value failed.
    pub fn shape(&self) -> &Shape {
        self.value.shape()
    }

    /// Size of an axis, counted from the end if negative; 0 if there is no such axis or the value failed.
    #[doc(alias = "size")]
    pub fn dim(&self, axis: isize) -> usize {
        if self.failed_id().is_some() { 0 } else { self.value.dim(axis) }
    }

    /// The sizes of exactly N axes. With another rank they are all 0 and an error stays on the tape.
    #[track_caller]
    pub fn dims<const N: usize>(&self) -> [usize; N] {
        if self.failed_id().is_some() {
            return [0; N];
        }
        <[usize; N]>::try_from(&self.shape()[..]).unwrap_or_else(|_| {
            let _ = self.tape.fail_op("dims", format!("shape {} has not {N} axes", self.shape()), &[self]);
            [0; N]
        })
    }

    /// Number of axes.
    #[doc(alias = "ndim")]
    pub fn rank(&self) -> usize {
        self.value.rank()
    }

    /// Number of elements.
    pub fn numel(&self) -> usize {
        self.value.numel()
    }

    /// Whether gradients flow through this value.
    #[doc(alias = "requires_grad")]
    pub fn is_recorded(&self) -> bool {
        self.node().is_some()
    }

    /// The gradients of this single element with respect to all inputs and parameters. Values that were kept
    /// for this are freed, as in PyTorch: a second sweep over them needs
    /// [`backward_retain_graph`](Var::backward_retain_graph) first.
    pub fn backward(&self) -> Result<Gradients<T>> {
        self.ok()?;
        self.tape.backward_from(self, true, Parts::one(&mut |_, _| Ok(())))
    }

    /// The same part by part.
    pub(crate) fn backward_in(&self, parts: Parts<'_, T>) -> Result<Gradients<T>> {
        self.ok()?;
        self.tape.backward_from(self, true, parts)
    }

    /// The gradients as [`backward`](Var::backward) gives them, but what another sweep needs is kept.
    #[doc(alias = "retain_graph")]
    pub fn backward_retain_graph(&self) -> Result<Gradients<T>> {
        self.ok()?;
        self.tape.backward_from(self, false, Parts::one(&mut |_, _| Ok(())))
    }

    /// The error, if this value or one that it was computed from failed.
    pub fn ok(&self) -> Result<()> {
        match self.failed_id() {
            Some(id) => Err(self.tape.failure(id)),
            None => Ok(()),
        }
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        self.ok().err()
    }

    /// Whether both are one value.
    pub(crate) fn same_as(&self, other: &Var<'t, T>) -> bool {
        let place = |v: &Var<'t, T>| (v.id, v.value.layout().offset, v.value.shape().clone());
        let same_data =
            || self.value.shares_data(&other.value) && self.value.strides() == other.value.strides();
        place(self) == place(other) && same_data()
    }

    #[inline]
    pub(crate) fn tensor(&self) -> &Tensor<T> {
        &self.value
    }

    pub(crate) fn into_tensor(self) -> Tensor<T> {
        self.value
    }

    /// The node of a recorded value.
    #[inline]
    pub(crate) fn node(&self) -> Option<NodeId> {
        self.id.node()
    }

    #[inline]
    pub(crate) fn raw_id(&self) -> NodeId {
        self.id
    }

    #[inline]
    pub(crate) fn failed_id(&self) -> Option<NodeId> {
        self.id.failed().map(|_| self.id)
    }
}

impl<T: TapeFloat> fmt::Debug for Var<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.failure(), self.node()) {
            (Some(e), _) => write!(f, "failed: {e}"),
            (None, Some(_)) => write!(f, "recorded {:?}", self.value),
            (None, None) => write!(f, "constant {:?}", self.value),
        }
    }
}
