//! How many bytes a tape holds at each step, recording and sweeping, as it would without being observed.
//! Parameters and values that nothing is kept of don't count.
use super::{
    listing::Argument,
    observation::{Flow, Observed},
};
use std::collections::{HashMap, HashSet};

/// Buffers that are accounted for.
pub(super) struct Known(HashSet<usize>);

impl Known {
    /// Those of parameters are theirs.
    pub fn new(params: Vec<usize>) -> Known {
        Known(params.into_iter().collect())
    }

    /// Whether the buffer is new.
    pub fn add(&mut self, buffer: usize) -> bool {
        self.0.insert(buffer)
    }
}

/// Fills in what is in use after each statement, and after the sweep has passed it. A buffer is free when the
/// sweep has passed the statement that kept it first: those that share it come before that. An adjoint is
/// there from the first contribution until its statement's turn; those of leaves stay.
pub(super) fn curve(rows: &mut [Observed], flows: &[Flow], seed: Option<u32>, size: usize) {
    let mut kept = 0;
    for row in rows.iter_mut() {
        kept += row.bytes;
        row.memory = kept;
    }
    let Some(seed) = seed else { return };
    let scalars = rows.iter().any(|r| r.row.shape.is_none());
    let mut adjoints = if scalars { (rows.len() + 1) * size } else { 0 };
    let mut begun: HashSet<u32> = HashSet::new();
    let mut given: HashMap<u32, Vec<u32>> = HashMap::new();
    for flow in flows {
        given.entry(flow.from).or_default().push(flow.to);
    }
    let sizes: Vec<Option<usize>> = rows
        .iter()
        .map(|r| r.row.shape.as_ref().map(|shape| shape.iter().product::<usize>() * size))
        .collect();
    let size_of = |id: u32| sizes.get((id as usize).wrapping_sub(1)).copied().flatten().unwrap_or(0);
    begun.insert(seed);
    adjoints += size_of(seed);
    for row in rows.iter_mut().rev() {
        for &to in given.get(&row.row.id).into_iter().flatten() {
            if begun.insert(to) {
                adjoints += size_of(to);
            }
        }
        let tensor =
            row.row.shape.is_some() || row.row.arguments.iter().any(|a| matches!(a, Argument::Value(_)));
        if tensor {
            // The buffer of scalar statements is freed as a whole, with the tape.
            kept -= row.bytes;
        }
        if !row.row.arguments.is_empty() && begun.contains(&row.row.id) {
            adjoints -= size_of(row.row.id);
        }
        row.backward_memory = Some(kept + adjoints);
    }
}
