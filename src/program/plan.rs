//! The order of a program's work, and when each value is let go.
use super::{chain::Chain, operand::Operand};
use crate::{
    ops::Float,
    tape::{Kept, Node, OUTPUT},
};
use smallvec::SmallVec;

/// What is done in which order.
pub(super) struct Plan {
    /// Whether derivatives will read values.
    pub gradients: bool,
    pub stages: Vec<Stage>,
    /// The values that no later stage reads.
    pub free: Vec<SmallVec<[u32; 4]>>,
}

pub(super) enum Stage {
    /// A node by itself.
    One(u32),
    /// Neighbours element by element, in one pass.
    Chain(Chain),
}

impl Stage {
    pub fn each(&self, mut f: impl FnMut(u32)) {
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
        outputs.iter().filter_map(Operand::node).for_each(|i| whole[i as usize] = true);
        for (i, node) in nodes.iter().enumerate().filter(|_| gradients) {
            for (slot, _) in kept.get(node.kept_range()).unwrap_or_default() {
                let read =
                    if *slot == OUTPUT { Some(i as u32) } else { node.inputs.get(*slot as usize).copied() };
                if let Some(mark) = read.and_then(|i| whole.get_mut(i as usize)) {
                    *mark = true;
                }
            }
        }
        let mut last = vec![0; nodes.len()];
        for (i, own) in operands.iter().enumerate() {
            last[i] = last[i].max(i);
            own.iter().filter_map(Operand::node).for_each(|j| last[j as usize] = i);
        }
        let work: Vec<u32> = (0..nodes.len() as u32).filter(|&i| !operands[i as usize].is_empty()).collect();
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
        let results: SmallVec<[u32; 4]> = outputs.iter().filter_map(Operand::node).collect();
        let mut free = vec![SmallVec::new(); stages.len()];
        let mut stage_of = vec![0; nodes.len()];
        for (s, stage) in stages.iter().enumerate() {
            stage.each(|i| stage_of[i as usize] = s);
        }
        let mut is_result = vec![false; nodes.len()];
        results.iter().for_each(|&i| is_result[i as usize] = true);
        for i in (0..nodes.len()).filter(|&i| !is_result[i]) {
            if let Some(free) = free.get_mut(stage_of[last[i]]) {
                free.push(i as u32);
            }
        }
        Plan { gradients, stages, free }
    }
}
