//! Sums in a fixed binary tree over numbered slots, whoever adds which of them up.
use std::ops::Range;

/// What was added up so far of slots that come in their order: complete subtrees, each of the slots `start`
/// to `start + 2^level`, with `start` a multiple of that. Wherever a list of slots begins and ends, its
/// subtrees are those of the one tree over all.
pub(super) struct Tree<V> {
    nodes: Vec<(usize, u32, V)>,
}

impl<V> Tree<V> {
    pub fn new() -> Tree<V> {
        Tree { nodes: Vec::new() }
    }

    /// Adds a slot (of level 0) or a subtree, the next after those before.
    pub fn push(&mut self, start: usize, level: u32, value: V, mut add: impl FnMut(V, V) -> V) {
        let (mut start, mut level, mut value) = (start, level, value);
        while let Some((left, _, before)) =
            self.nodes.pop_if(|(left, other, _)| *other == level && *left == start ^ (1 << level))
        {
            (start, level, value) = (left, level + 1, add(before, value));
        }
        self.nodes.push((start, level, value));
    }

    /// Changes what stands for each subtree.
    pub fn each(&mut self, mut f: impl FnMut(&mut V)) {
        self.nodes.iter_mut().for_each(|(.., value)| f(value));
    }

    /// The subtrees, in their order.
    pub fn nodes(&self) -> impl Iterator<Item = &V> {
        self.nodes.iter().map(|(.., value)| value)
    }

    /// The sum of all: the last subtrees, which are the smaller ones, first.
    pub fn total(mut self, mut add: impl FnMut(V, V) -> V) -> Option<V> {
        let (.., mut sum) = self.nodes.pop()?;
        while let Some((.., before)) = self.nodes.pop() {
            sum = add(before, sum);
        }
        Some(sum)
    }
}

/// Start and level of the subtrees that some slots make, in their order.
pub(super) fn subtrees(slots: Range<usize>) -> Vec<(usize, u32)> {
    let mut tree = Tree::new();
    slots.for_each(|slot| tree.push(slot, 0, (), |(), ()| ()));
    tree.nodes.into_iter().map(|(start, level, ())| (start, level)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::share;

    #[test]
    fn a_sum_knows_how_many_slots_there_are_but_not_who_added_them() {
        let add = |a: String, b: String| format!("({a}+{b})");
        for slots in 1..40 {
            let mut whole = Tree::new();
            (0..slots).for_each(|slot| whole.push(slot, 0, slot.to_string(), add));
            let whole = whole.total(add).unwrap();
            for ranks in 1..12 {
                let mut upper = Tree::new();
                for rank in 0..ranks {
                    let own = share(slots, rank, ranks)..share(slots, rank + 1, ranks);
                    let mut lower = Tree::new();
                    own.clone().for_each(|slot| lower.push(slot, 0, slot.to_string(), add));
                    let places = subtrees(own.clone());
                    assert!(places.len() <= 2 * (own.len() + 1).ilog2() as usize, "{places:?}");
                    for ((start, level), value) in places.into_iter().zip(lower.nodes()) {
                        upper.push(start, level, value.clone(), add);
                    }
                }
                assert_eq!(upper.total(add).unwrap(), whole, "{slots} slots, {ranks} ranks");
            }
        }
        let mut seven = Tree::new();
        (0..7).for_each(|slot| seven.push(slot, 0, slot.to_string(), add));
        assert_eq!(seven.total(add).unwrap(), "(((0+1)+(2+3))+((4+5)+6))");
    }
}
