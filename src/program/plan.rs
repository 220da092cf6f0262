//! The order of a program's work, and when each value is let go.
use super::{chain::Chain, operand::Operand};
use crate::{
    ops::Float,
    tape::{Kept, Node, NodeId, operand_in},
};
use smallvec::SmallVec;
use std::ops::Range;

/// What is done in which order.
pub(super) struct Plan {
    /// Whether derivatives will read values.
    pub gradients: bool,
    pub stages: Vec<Stage>,
    /// The values that no later stage reads.
    pub free: Vec<SmallVec<[NodeId; 4]>>,
    /// The stages in parts, of which the first are done again in the sweep.
    pub parts: Vec<Part>,
}

/// Stages one after the other.
#[derive(Debug, PartialEq)]
pub(super) struct Part {
    pub stages: Range<usize>,
    /// Whether they are done again in the sweep, instead of keeping what derivatives read.
    pub again: bool,
    /// What these stages read of what was there before.
    pub reads: Vec<NodeId>,
}

impl Part {
    pub fn all(stages: usize) -> Part {
        Part { stages: 0..stages, again: false, reads: Vec::new() }
    }
}

pub(super) enum Stage {
    /// A node by itself.
    One(NodeId),
    /// Neighbours element by element, in one pass.
    Chain(Chain),
}

impl Stage {
    pub fn each(&self, mut f: impl FnMut(NodeId)) {
        match self {
            Stage::One(i) => f(*i),
            Stage::Chain(chain) => chain.nodes().for_each(f),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Stage::One(_) => 1,
            Stage::Chain(chain) => chain.nodes().count(),
        }
    }
}

impl Plan {
    pub fn new<T: Float>(
        nodes: &[Node<T>],
        kept: &[Kept<T>],
        operands: &[SmallVec<[Operand<T>; 4]>],
        outputs: &[Operand<T>],
        gradients: bool,
    ) -> Plan {
        // Values that must be there as a whole because a derivative reads them, or somebody outside.
        let mut whole = vec![false; nodes.len()];
        outputs.iter().filter_map(Operand::node).for_each(|i| whole[i.place()] = true);
        for (i, node) in nodes.iter().enumerate().filter(|_| gradients) {
            for (slot, _) in kept.get(node.kept_range()).unwrap_or_default() {
                let read = match operand_in(*slot) {
                    Some(operand) => node.inputs.get(operand).copied(),
                    None => Some(NodeId::at(i)),
                };
                if let Some(mark) = read.and_then(|i| whole.get_mut(i.place())) {
                    *mark = true;
                }
            }
        }
        let mut last = vec![0; nodes.len()];
        for (i, own) in operands.iter().enumerate() {
            last[i] = last[i].max(i);
            own.iter().filter_map(Operand::node).for_each(|j| last[j.place()] = i);
        }
        let work: Vec<NodeId> =
            (0..nodes.len()).map(NodeId::at).filter(|&i| !operands[i.place()].is_empty()).collect();
        let mut stages = Vec::new();
        let mut rest = &work[..];
        while let Some((&i, after)) = rest.split_first() {
            match Chain::longest(rest, nodes, operands, &whole, &last) {
                Some(chain) => {
                    rest = &rest[chain.nodes().count()..];
                    stages.push(Stage::Chain(chain));
                }
                None => {
                    rest = after;
                    stages.push(Stage::One(i));
                }
            }
        }
        // A result's value is taken at the end.
        let results: SmallVec<[NodeId; 4]> = outputs.iter().filter_map(Operand::node).collect();
        let mut free = vec![SmallVec::new(); stages.len()];
        let mut stage_of = vec![0; nodes.len()];
        for (s, stage) in stages.iter().enumerate() {
            stage.each(|i| stage_of[i.place()] = s);
        }
        let mut is_result = vec![false; nodes.len()];
        results.iter().for_each(|&i| is_result[i.place()] = true);
        for i in (0..nodes.len()).filter(|&i| !is_result[i]) {
            if let Some(free) = free.get_mut(stage_of[last[i]]) {
                free.push(NodeId::at(i));
            }
        }
        let parts = vec![Part::all(stages.len())];
        Plan { gradients, stages, free, parts }
    }
}
