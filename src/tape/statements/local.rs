//! Sweeps over a part of the statements only: a block that is made short, the rows of a sparse Jacobian.
use super::{
    super::ids::StatementId,
    buffer::{Statements, TENSOR},
    told::Told,
};
use crate::real::Arithmetic;

/// Buffers of sweeps over a few statements. Between uses every adjoint is zero and no place is marked.
pub(crate) struct Local<T> {
    adjoints: Vec<T>,
    marked: Vec<bool>,
    /// Where a sweep ends: the statements from outside a block, or those with a column.
    reached: Vec<StatementId>,
    /// The derivatives with respect to them, of one result after the other, by statement or by column.
    row: Vec<(u32, T)>,
    ends: Vec<usize>,
    /// What the results of a block are afterwards.
    pub ids: Vec<StatementId>,
    /// Where the arguments of each statement begin.
    starts: Vec<u32>,
    /// The column of each statement in a Jacobian.
    pub columns: Vec<u32>,
}

impl<T> Default for Local<T> {
    fn default() -> Self {
        Local {
            adjoints: Vec::new(),
            marked: Vec::new(),
            reached: Vec::new(),
            row: Vec::new(),
            ends: Vec::new(),
            ids: Vec::new(),
            starts: Vec::new(),
            columns: Vec::new(),
        }
    }
}

impl<T: Arithmetic> Statements<T> {
    /// Replaces the statements after `floor` (as `len` gave it) by one for each of `results` that is among
    /// them, or a chain of several where one can't hold all arguments, and puts the new ids into
    /// `local.ids`. False, and nothing done, if there are tensor statements.
    pub fn shorten(
        &self,
        local: &mut Local<T>,
        floor: (usize, usize, usize),
        results: &[StatementId],
    ) -> bool {
        let Local { adjoints, reached, row: found, ends, marked, ids, .. } = local;
        let (n, adjoints_needed) = (self.len().0, self.adjoints());
        let inside = |id: StatementId| (floor.0..n).contains(&id.place());
        let short = self.with(|b| {
            if b.full || b.counts[floor.0..].contains(&TENSOR) {
                return false;
            }
            b.peak = adjoints_needed;
            adjoints.resize(adjoints.len().max(b.peak), T::constant(0.0));
            marked.resize(marked.len().max(b.peak), false);
            found.clear();
            ends.clear();
            for &result in results.iter().filter(|&&id| inside(id)) {
                adjoints[result.place()] = T::constant(1.0);
                let mut at = b.ids.len();
                for statement in (floor.0..n).rev() {
                    let count = b.counts[statement] as usize;
                    at -= count;
                    let adjoint = std::mem::replace(&mut adjoints[statement], T::constant(0.0));
                    if adjoint.is_zero() {
                        continue;
                    }
                    // What lies further on is a value lost in a block made short before.
                    let (adjoints, outside) = (&mut adjoints[..statement], &mut marked[..floor.0]);
                    for (&id, &partial) in b.ids[at..at + count].iter().zip(&b.partials[at..at + count]) {
                        let Some(slot) = adjoints.get_mut(id as usize) else { continue };
                        *slot = *slot + adjoint * partial;
                        if let Some(marked) = outside.get_mut(id as usize).filter(|marked| !**marked) {
                            *marked = true;
                            reached.push(StatementId(id));
                        }
                    }
                }
                for id in reached.drain(..) {
                    marked[id.place()] = false;
                    let adjoint = std::mem::replace(&mut adjoints[id.place()], T::constant(0.0));
                    if id != StatementId::CONSTANT {
                        found.push((id.0, adjoint));
                    }
                }
                ends.push(found.len());
            }
            true
        });
        if !short {
            return false;
        }
        self.truncate(floor.0, floor.1, floor.2);
        ids.clear();
        let (mut start, mut next) = (0, ends.iter());
        for &result in results {
            let mut id = result;
            if let Some(&end) = next.as_slice().first().filter(|_| inside(result)) {
                next.next();
                // The first statement points to the sink, each other one to that before it.
                id = StatementId::CONSTANT;
                let mut rest = &found[start..end];
                while id == StatementId::CONSTANT || !rest.is_empty() {
                    let (part, more) = rest.split_at(rest.len().min(TENSOR as usize - 2));
                    let before = (id, T::constant((id != StatementId::CONSTANT) as u8 as f64));
                    let argument = |x: &(u32, T), _: &(u32, T)| (StatementId(x.0), x.1);
                    id = self.push_slices(Some(before), [(part, part)], argument, Told::NOTHING);
                    rest = more;
                    if self.is_full() {
                        break;
                    }
                }
                start = end;
            }
            ids.push(id);
        }
        true
    }

    /// The rows of a Jacobian: for each of `results` the derivatives with respect to the statements that have
    /// a number in `columns`, sorted by it. Each row is a sweep over as much of the tape as lies between
    /// a result and what it was made from. `columns` is as long as `adjoints` says. False if tensor
    /// statements are in between.
    pub fn rows(
        &self,
        local: &mut Local<T>,
        results: impl Iterator<Item = StatementId>,
        columns: &[u32],
        mut give: impl FnMut(&[(u32, T)]),
    ) -> bool {
        let Local { adjoints, reached, row, starts, marked, .. } = local;
        self.with(|b| {
            starts.clear();
            let mut at = 0;
            for &count in &b.counts {
                starts.push(at);
                at += if count == TENSOR { 1 } else { count as u32 };
            }
            let n = b.counts.len();
            adjoints.resize(adjoints.len().max(columns.len()), T::constant(0.0));
            marked.resize(marked.len().max(columns.len()), false);
            for result in results.map(|id| if id.place() < n { id } else { StatementId::CONSTANT }) {
                row.clear();
                let range = |statement: usize| {
                    let at = starts[statement] as usize;
                    at..at + b.counts[statement] as usize
                };
                let mut statement = result.place();
                // Made of columns at once, the statement is the row.
                let mut single = b.counts[statement] != TENSOR && columns[statement] == u32::MAX;
                let mut sorted = true;
                if single {
                    let mut last = None;
                    for (&id, &slope) in b.ids[range(statement)].iter().zip(&b.partials[range(statement)]) {
                        let column = columns[id as usize];
                        if column == u32::MAX {
                            single = id == 0;
                            if single {
                                continue;
                            }
                            row.clear();
                            sorted = true;
                            break;
                        }
                        sorted &= last.is_none_or(|last| last < column);
                        last = Some(column);
                        row.push((column, slope));
                    }
                }
                if !single {
                    adjoints[statement] = T::constant(1.0);
                    marked[statement] = true;
                    // Statements at and below `statement` that have an adjoint and no column.
                    let mut pending = 1;
                    if columns[statement] != u32::MAX {
                        pending = 0;
                        reached.push(result);
                    }
                    while pending > 0 && statement > 0 {
                        if marked[statement] && columns[statement] == u32::MAX {
                            pending -= 1;
                            marked[statement] = false;
                            let adjoint = std::mem::replace(&mut adjoints[statement], T::constant(0.0));
                            if b.counts[statement] == TENSOR {
                                adjoints.fill(T::constant(0.0));
                                marked.fill(false);
                                reached.clear();
                                return false;
                            }
                            for i in range(statement).filter(|&i| (1..statement as u32).contains(&b.ids[i])) {
                                let id = b.ids[i] as usize;
                                adjoints[id] = adjoints[id] + adjoint * b.partials[i];
                                if !std::mem::replace(&mut marked[id], true) {
                                    match columns[id] {
                                        u32::MAX => pending += 1,
                                        _ => reached.push(StatementId(b.ids[i])),
                                    }
                                }
                            }
                        }
                        statement -= 1;
                    }
                    for id in reached.drain(..) {
                        marked[id.place()] = false;
                        let adjoint = std::mem::replace(&mut adjoints[id.place()], T::constant(0.0));
                        row.push((columns[id.place()], adjoint));
                    }
                    sorted = row.is_sorted_by(|a, b| a.0 < b.0);
                }
                if !sorted {
                    row.sort_by_key(|&(column, _)| column);
                    row.dedup_by(|next, kept| {
                        let same = next.0 == kept.0;
                        if same {
                            kept.1 = kept.1 + next.1;
                        }
                        same
                    });
                }
                give(row);
            }
            true
        })
    }
}
