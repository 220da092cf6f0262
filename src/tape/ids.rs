//! How values, nodes, statements and kept tensors are numbered: each by a type of its own, since a tape has
//! several counts that run side by side.
use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// A node of the tape, by its place in the list of them; or what stands where one is asked for:
/// [`NONE`](NodeId::NONE) or a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(u32);

impl NodeId {
    /// No node: a constant.
    pub const NONE: NodeId = NodeId(u32::MAX);
    /// Marks a failure; the other bits are its number.
    const FAILED: u32 = 1 << 31;

    /// The node at a place in the list.
    #[inline]
    pub fn at(place: usize) -> NodeId {
        NodeId(place as u32)
    }

    /// The failure of a number.
    pub fn failure(number: usize) -> NodeId {
        NodeId(Self::FAILED | (number as u32).min(Self::FAILED - 2))
    }

    /// Its place in the list of nodes; none that there is if it is no node.
    #[inline]
    pub fn place(self) -> usize {
        self.0 as usize
    }

    /// Itself, if it is a node.
    #[inline]
    pub fn node(self) -> Option<NodeId> {
        (self.0 & Self::FAILED == 0).then_some(self)
    }

    /// The number of the failure, if it is one.
    #[inline]
    pub fn failed(self) -> Option<usize> {
        (self.0 & Self::FAILED != 0 && self != Self::NONE).then_some((self.0 & !Self::FAILED) as usize)
    }
}

/// A statement of the tape: what a listing counts. 0 is the sink that constants point to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StatementId(pub u32);

impl StatementId {
    /// That of a number that no tape records.
    pub const CONSTANT: StatementId = StatementId(0);

    /// The statement at a place in the buffer.
    #[inline(always)]
    pub fn at(place: usize) -> StatementId {
        StatementId(place as u32)
    }

    /// Its place in the buffer.
    #[inline(always)]
    pub fn place(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for StatementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

/// A step of a tape: every tape has a number of its own, and a new one after each reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

impl Epoch {
    /// One that no other tape or step of this process has.
    pub fn fresh() -> Epoch {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Epoch(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The slot of the result among the values that a node keeps.
pub(crate) const OUTPUT: u8 = 31;
/// The bit of the result in [`Rule::keeps`](super::Rule::keeps).
pub(crate) const RESULT: u32 = 1 << OUTPUT;
/// The slot of what is kept beside operands and result.
pub(crate) const EXTRA: u8 = 30;
/// Its bit in [`Rule::keeps`](super::Rule::keeps).
pub(crate) const BESIDE: u32 = 1 << EXTRA;

/// The operand whose value is in a slot of those that a node keeps; none of the two that aren't operands'.
#[inline]
pub(crate) fn operand_in(slot: u8) -> Option<usize> {
    (slot < EXTRA).then_some(slot as usize)
}

/// The slots of the values that a node with so many operands keeps, in their order.
#[inline]
pub(crate) fn slots(keep: u32, operands: usize) -> impl Iterator<Item = u8> {
    (0..operands.min(EXTRA as usize) as u8).chain([EXTRA, OUTPUT]).filter(move |slot| keep >> slot & 1 == 1)
}
