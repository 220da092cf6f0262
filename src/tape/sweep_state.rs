//! What a reverse sweep holds on its way: the adjoints so far, and what it was told to do.
use super::{ids::NodeId, leaf::Leaf};
use crate::{
    error::{Error, Result},
    tensor::{Element, Shape, Tensor, room::more},
};

/// The adjoint of a node so far; recorded itself if the sweep is to be differentiated.
pub(crate) struct Adjoint<T: Element> {
    pub value: Tensor<T>,
    pub id: NodeId,
}

/// What is called before each part of a sweep, with its number, the last part of the tape having 0, and the
/// gradients of leaves so far.
pub(crate) type Before<'a, T> = dyn FnMut(usize, &[Leaf<T>]) -> Result<()> + 'a;

/// A sweep that goes part by part.
pub(crate) struct Parts<'a, T: Element> {
    /// The statements at which the parts begin, from the last part to the first.
    pub floors: &'a [usize],
    pub before: &'a mut Before<'a, T>,
}

impl<'a, T: Element> Parts<'a, T> {
    /// All in one.
    pub fn one(before: &'a mut Before<'a, T>) -> Parts<'a, T> {
        Parts { floors: &[0], before }
    }
}

/// The state of a sweep.
pub(crate) struct Sweep<T: Element> {
    pub adjoints: Vec<Option<Adjoint<T>>>,
    /// How many nodes have an adjoint whose turn is still to come: with none left the sweep is over, however
    /// long the tape is.
    pub pending: usize,
    pub scalars: Vec<T>,
    /// Nodes that what is wanted depends on; empty means all.
    pub needed: Vec<bool>,
    /// Whether the rules' own operations are recorded.
    pub graph: bool,
    /// Whether kept values are freed on the way.
    pub free: bool,
    /// Whether adjoints and contributions are noted.
    pub observed: bool,
    /// The sweep ends here.
    pub floor: usize,
    /// Nodes whose rules don't run: the sweep ends at them too.
    pub cut: Vec<NodeId>,
    pub error: Option<Error>,
}

impl<T: Element> Default for Sweep<T> {
    fn default() -> Self {
        Sweep {
            adjoints: Vec::new(),
            pending: 0,
            scalars: Vec::new(),
            needed: Vec::new(),
            graph: false,
            free: false,
            observed: false,
            floor: 0,
            cut: Vec::new(),
            error: None,
        }
    }
}

impl<T: Element> Sweep<T> {
    /// The adjoint of a node so far, zeros at first, to be written in place.
    pub fn in_place(&mut self, target: NodeId, shape: Shape) -> Option<&mut Tensor<T>> {
        let slot = self.adjoints.get_mut(target.place())?;
        if slot.is_none() {
            self.pending += 1;
            *slot = Some(Adjoint { value: Tensor::zeros(shape), id: NodeId::NONE });
        }
        slot.as_mut().map(|adjoint| &mut adjoint.value)
    }

    pub fn reset(&mut self, nodes: usize, graph: bool, free: bool, floor: usize) -> Result<()> {
        // A sweep that came to its end has left none.
        if self.pending > 0 {
            self.adjoints.clear();
            self.pending = 0;
        }
        self.needed.clear();
        let missing = nodes.saturating_sub(self.adjoints.len());
        let room = more(&mut self.adjoints, missing).and_then(|()| more(&mut self.needed, nodes));
        room.map_err(|message| Error::op("backward", message, None))?;
        self.adjoints.resize_with(nodes, || None);
        self.graph = graph;
        self.free = free;
        self.observed = false;
        self.floor = floor;
        self.cut.clear();
        self.error = None;
        Ok(())
    }
}
