//! What is noted of tensor statements while a tape is observed.
use super::ids::{NodeId, StatementId};
use crate::tensor::{Element, Tensor};
use smallvec::SmallVec;
use std::panic::Location;

/// The notes of one tape.
pub(crate) struct Watch<T: Element> {
    /// By node.
    pub seen: Vec<Seen<T>>,
    /// Contributions to adjoints: nodes or scalar statements, and what was added.
    pub flows: Vec<(Place, Place, Option<usize>, Tensor<T>)>,
    /// Adjoints of all statements that are scalars.
    pub scalars: Vec<T>,
    pub seed: Option<StatementId>,
    /// Nodes from whose values something was found that stays as it is, and where.
    pub found: Vec<(NodeId, &'static Location<'static>)>,
    /// Names of the scopes that are open.
    open: Vec<String>,
    /// From which statement on which scope is in force.
    scopes: Vec<(StatementId, Option<String>)>,
}

/// Where a contribution comes from or goes to.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    Node(NodeId),
    Statement(StatementId),
}

/// What is noted of a node.
pub(crate) struct Seen<T: Element> {
    pub value: Option<Tensor<T>>,
    /// Operands that are constants, by position.
    pub constants: SmallVec<[(u8, Tensor<T>); 2]>,
    /// What the rule reads: slot, buffer, bytes.
    pub kept: SmallVec<[(u8, usize, usize); 2]>,
    pub adjoint: Option<Tensor<T>>,
    pub nanos: u64,
    pub backward_nanos: u64,
    /// Bytes that its rule held while it ran a block again.
    pub again: usize,
}

impl<T: Element> Default for Watch<T> {
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

impl<T: Element> Default for Seen<T> {
    fn default() -> Self {
        Seen {
            value: None,
            constants: SmallVec::new(),
            kept: SmallVec::new(),
            adjoint: None,
            nanos: 0,
            backward_nanos: 0,
            again: 0,
        }
    }
}

impl<T: Element> Watch<T> {
    /// A place for each node.
    pub fn complete(&mut self, nodes: usize) {
        self.seen.resize_with(nodes.max(self.seen.len()), Seen::default);
    }

    /// Opens a scope at a statement, or closes the last one.
    pub fn enter(&mut self, statement: StatementId, name: Option<&str>) {
        match name {
            Some(name) => self.open.push(name.to_string()),
            None => drop(self.open.pop()),
        }
        let path = (!self.open.is_empty()).then(|| self.open.join("."));
        self.scopes.push((statement, path));
    }

    /// The scope that a statement was recorded in.
    pub fn layer(&self, statement: StatementId) -> Option<String> {
        let next = self.scopes.partition_point(|(from, _)| *from <= statement);
        self.scopes.get(next.checked_sub(1)?)?.1.clone()
    }

    /// The value of an operand of a node.
    pub fn operand(&self, inputs: &[NodeId], node: usize, i: usize) -> Option<&Tensor<T>> {
        match inputs.get(i) {
            Some(&n) if n != NodeId::NONE => self.seen.get(n.place())?.value.as_ref(),
            _ => self.seen[node].constants.iter().find(|(k, _)| *k as usize == i).map(|(_, v)| v),
        }
    }

    /// Forgets everything but the scopes that are open.
    pub fn clear(&mut self) {
        let open = std::mem::take(&mut self.open);
        *self = Watch { open, ..Watch::default() };
        if !self.open.is_empty() {
            self.scopes.push((StatementId::CONSTANT, Some(self.open.join("."))));
        }
    }
}
