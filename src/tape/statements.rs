//! The statement buffer: what a scalar operation leaves behind. One byte per statement for its number of arguments,
//! and 4 bytes plus one number per argument: the id of the argument and the partial derivative at it.
//!
//! ```text
//! counts     1      2          1     TENSOR         one byte per statement; statement i has id i
//! ids        0    1   1        2     node           one per argument
//! partials   0   ∂φ  ∂φ       ∂φ       0
//! ```
//!
//! Statement 0 is a sink that constants point to. Every statement has at least one argument, so that the
//! one check of the room for arguments is a check of the room for statements too.
use crate::real::Number;
use std::cell::UnsafeCell;

/// The count of a statement that stands for an operation on tensors; its argument is the number of the node.
pub(crate) const TENSOR: u8 = u8::MAX;

pub(crate) struct Statements<T> {
    inner: UnsafeCell<Inner<T>>,
}

struct Inner<T> {
    counts: Vec<u8>,
    ids: Vec<u32>,
    partials: Vec<T>,
    /// Statements that are operations on scalars or scalar inputs.
    scalars: usize,
    /// Set when ids ran out; from then on statements are constants.
    full: bool,
    /// The most statements there were before a block was made short: ids of lost values are below it.
    peak: usize,
}

/// What the reverse sweep meets below a position: the next tensor statement, or the start.
pub(crate) struct Stop {
    pub statement: usize,
    pub argument: usize,
    pub node: usize,
}

impl<T: Number> Statements<T> {
    pub fn new() -> Self {
        let statements = Statements {
            inner: UnsafeCell::new(Inner {
                counts: Vec::new(),
                ids: Vec::new(),
                partials: Vec::new(),
                scalars: 0,
                full: false,
                peak: 0,
            }),
        };
        statements.push([(0, T::of(0.0))]);
        statements.truncate(1, 1, 0);
        statements
    }

    /// Runs `f` on the buffer.
    #[inline(always)]
    fn with<R>(&self, f: impl FnOnce(&mut Inner<T>) -> R) -> R {
        // SAFETY: the buffer is neither Sync nor handed out, and no `f` below calls back into this type or into
        // user code (Number is only copied), so this is the only reference while `f` runs.
        f(unsafe { &mut *self.inner.get() })
    }

    /// Appends a statement with N arguments, at least one, and gives its id; 0, a constant's, when ids have run out.
    #[inline(always)]
    pub fn push<const N: usize>(&self, arguments: [(u32, T); N]) -> u32 {
        self.with(|b| {
            let at = b.ids.len();
            if b.ids.capacity() - at < N {
                grow(b, N);
                if b.full {
                    return 0;
                }
            }
            let statement = b.counts.len();
            // SAFETY: grow() keeps counts.capacity() >= ids.capacity() and partials.capacity() >= ids.capacity();
            // there are never more statements than arguments, so the check above covers all three.
            unsafe {
                *b.counts.as_mut_ptr().add(statement) = N as u8;
                for (k, (id, partial)) in arguments.into_iter().enumerate() {
                    *b.ids.as_mut_ptr().add(at + k) = id;
                    *b.partials.as_mut_ptr().add(at + k) = partial;
                }
                b.counts.set_len(statement + 1);
                b.ids.set_len(at + N);
                b.partials.set_len(at + N);
            }
            b.scalars += 1;
            statement as u32
        })
    }

    /// Appends a statement with the arguments of `parts` one after the other, 1 to 254 of them in all. Of each `x` of a part `argument`
    /// tells the id and, together with the partner at the same place of the second slice, the partial derivative.
    #[inline(always)]
    pub fn push_slices<S, const P: usize>(
        &self,
        parts: [(&[S], &[S]); P],
        argument: impl Fn(&S, &S) -> (u32, T),
    ) -> u32 {
        let parts = parts.map(|(x, y)| (&x[..x.len().min(y.len())], y));
        let n: usize = parts.iter().map(|(x, _)| x.len()).sum();
        debug_assert!((1..TENSOR as usize).contains(&n));
        self.with(|b| {
            let at = b.ids.len();
            if b.ids.capacity() - at < n {
                grow(b, n);
                if b.full {
                    return 0;
                }
            }
            let statement = b.counts.len();
            // SAFETY: as in `push`, with room for `n` arguments: each part writes as many as its first slice has, no more
            // than the second.
            unsafe {
                let (mut ids, mut partials) = (b.ids.as_mut_ptr().add(at), b.partials.as_mut_ptr().add(at));
                for (xs, partners) in parts {
                    for (k, (x, partner)) in xs.iter().zip(partners).enumerate() {
                        let (id, partial) = argument(x, partner);
                        *ids.add(k) = id;
                        *partials.add(k) = partial;
                    }
                    (ids, partials) = (ids.add(xs.len()), partials.add(xs.len()));
                }
                *b.counts.as_mut_ptr().add(statement) = n as u8;
                b.counts.set_len(statement + 1);
                b.ids.set_len(at + n);
                b.partials.set_len(at + n);
            }
            b.scalars += 1;
            statement as u32
        })
    }

    /// Appends the statement of a tensor node and gives its id.
    pub fn push_tensor(&self, node: u32) -> u32 {
        let id = self.push([(node, T::of(0.0))]);
        self.with(|b| {
            b.scalars -= 1;
            if let Some(last) = b.counts.last_mut().filter(|_| id != 0) {
                *last = TENSOR;
            }
        });
        id
    }

    /// Numbers of statements, arguments and scalar statements so far.
    pub fn len(&self) -> (usize, usize, usize) {
        self.with(|b| (b.counts.len(), b.ids.len(), b.scalars))
    }

    /// Whether ids have run out.
    pub fn is_full(&self) -> bool {
        self.with(|b| b.full)
    }

    /// Forgets all but the first statements, arguments and scalar statements, as `len` gave them. Keeps the memory.
    pub fn truncate(&self, statements: usize, arguments: usize, scalars: usize) {
        self.with(|b| {
            b.counts.truncate(statements);
            b.ids.truncate(arguments);
            b.partials.truncate(arguments);
            b.scalars = scalars;
            b.full = false;
        });
    }

    /// Forgets everything but the sink. Keeps the memory.
    pub fn clear(&self) {
        self.truncate(1, 1, 0);
        self.with(|b| b.peak = 0);
    }

    /// How many adjoints a sweep needs.
    pub fn adjoints(&self) -> usize {
        self.with(|b| b.peak.max(b.counts.len()))
    }

    /// The arguments of the statement that end before position `end`, for listings: count, ids and partials.
    pub fn visit(&self, mut f: impl FnMut(usize, u8, &[u32], &[T])) {
        let mut at = 0;
        let counts = self.with(|b| b.counts.clone());
        let (ids, partials) = self.with(|b| (b.ids.clone(), b.partials.clone()));
        for (statement, &count) in counts.iter().enumerate() {
            let n = if count == TENSOR { 1 } else { count as usize };
            f(statement, count, &ids[at..at + n], &partials[at..at + n]);
            at += n;
        }
    }

    /// The reverse sweep over scalar statements: v̄ⱼ += v̄ᵢ · ∂φᵢ/∂vⱼ, from the statement before `from` down to the
    /// next tensor statement or to `floor`. A statement whose adjoint is zero passes nothing on.
    pub fn sweep(&self, adjoints: &mut [T], from: &mut Stop, floor: usize) -> bool {
        self.with(|b| {
            let (mut statement, mut at) =
                (from.statement.min(b.counts.len()), from.argument.min(b.ids.len()));
            while statement > floor.max(1) {
                statement -= 1;
                let count = b.counts[statement];
                if count == TENSOR {
                    at -= 1;
                    *from = Stop { statement, argument: at, node: b.ids[at] as usize };
                    return true;
                }
                let adjoint = adjoints[statement];
                let n = count as usize;
                at -= n;
                if adjoint.is_zero() {
                    continue;
                }
                let (ids, partials) = (&b.ids[at..at + n], &b.partials[at..at + n]);
                for (&id, &partial) in ids.iter().zip(partials) {
                    let slot = &mut adjoints[id as usize];
                    *slot = *slot + adjoint * partial;
                }
            }
            *from = Stop { statement, argument: at, node: 0 };
            false
        })
    }
}

/// Buffers of sweeps over a few statements. Between uses every adjoint is zero and no place is marked.
pub(crate) struct Local<T> {
    adjoints: Vec<T>,
    marked: Vec<bool>,
    /// Where a sweep ends: the statements from outside a block, or those with a column.
    reached: Vec<u32>,
    /// The derivatives with respect to them, of one result after the other.
    row: Vec<(u32, T)>,
    ends: Vec<usize>,
    /// What the results of a block are afterwards.
    pub ids: Vec<u32>,
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

impl<T: Number> Statements<T> {
    /// Replaces the statements after `floor` (as `len` gave it) by one for each of `results` that is among them, or a chain of
    /// several where one can't hold all arguments, and puts the new ids into `local.ids`. False, and nothing done, if there are
    /// tensor statements.
    pub fn shorten(&self, local: &mut Local<T>, floor: (usize, usize, usize), results: &[u32]) -> bool {
        let Local { adjoints, reached, row: found, ends, marked, ids, .. } = local;
        let (n, adjoints_needed) = (self.len().0, self.adjoints());
        let inside = |id: u32| (floor.0..n).contains(&(id as usize));
        let short = self.with(|b| {
            if b.full || b.counts[floor.0..].contains(&TENSOR) {
                return false;
            }
            b.peak = adjoints_needed;
            adjoints.resize(adjoints.len().max(b.peak), T::of(0.0));
            marked.resize(marked.len().max(b.peak), false);
            found.clear();
            ends.clear();
            for &result in results.iter().filter(|&&id| inside(id)) {
                adjoints[result as usize] = T::of(1.0);
                let mut at = b.ids.len();
                for statement in (floor.0..n).rev() {
                    let count = b.counts[statement] as usize;
                    at -= count;
                    let adjoint = std::mem::replace(&mut adjoints[statement], T::of(0.0));
                    if adjoint.is_zero() {
                        continue;
                    }
                    for (&id, &partial) in b.ids[at..at + count].iter().zip(&b.partials[at..at + count]) {
                        let i = id as usize;
                        if i >= statement {
                            continue; // a value lost in a block made short before
                        }
                        adjoints[i] = adjoints[i] + adjoint * partial;
                        if i < floor.0 && !marked[i] {
                            marked[i] = true;
                            reached.push(id);
                        }
                    }
                }
                for id in reached.drain(..) {
                    marked[id as usize] = false;
                    let adjoint = std::mem::replace(&mut adjoints[id as usize], T::of(0.0));
                    if id != 0 {
                        found.push((id, adjoint));
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
                id = 0;
                let mut rest = &found[start..end];
                while id == 0 || !rest.is_empty() {
                    let (part, more) = rest.split_at(rest.len().min(TENSOR as usize - 2));
                    let before = [(id, T::of((id != 0) as u8 as f64))];
                    id = self.push_slices([(&before, &before), (part, part)], |x, _| *x);
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

    /// The rows of a Jacobian: for each of `results` the derivatives with respect to the statements that have a number in
    /// `columns`, sorted by it. Each row is a sweep over as much of the tape as lies between a result and what it was made from.
    /// `columns` is as long as `adjoints` says. False if tensor statements are in between.
    pub fn rows(
        &self,
        local: &mut Local<T>,
        results: impl Iterator<Item = u32>,
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
            adjoints.resize(adjoints.len().max(columns.len()), T::of(0.0));
            marked.resize(marked.len().max(columns.len()), false);
            for result in results.map(|id| if (id as usize) < n { id } else { 0 }) {
                row.clear();
                let range = |statement: usize| {
                    let at = starts[statement] as usize;
                    at..at + b.counts[statement] as usize
                };
                let mut statement = result as usize;
                let single = b.counts[statement] != TENSOR && columns[statement] == u32::MAX;
                let arguments = if single { &b.ids[range(statement)] } else { &[] };
                if single && arguments.iter().all(|&id| id == 0 || columns[id as usize] != u32::MAX) {
                    // Made of columns at once: the statement is the row.
                    let pairs = arguments.iter().zip(&b.partials[range(statement)]);
                    row.extend(pairs.filter(|&(&id, _)| id != 0).map(|(&id, &d)| (columns[id as usize], d)));
                } else {
                    adjoints[statement] = T::of(1.0);
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
                            let adjoint = std::mem::replace(&mut adjoints[statement], T::of(0.0));
                            if b.counts[statement] == TENSOR {
                                adjoints.fill(T::of(0.0));
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
                                        _ => reached.push(b.ids[i]),
                                    }
                                }
                            }
                        }
                        statement -= 1;
                    }
                    for id in reached.drain(..) {
                        marked[id as usize] = false;
                        let adjoint = std::mem::replace(&mut adjoints[id as usize], T::of(0.0));
                        row.push((columns[id as usize], adjoint));
                    }
                }
                if !row.is_sorted_by(|a, b| a.0 < b.0) {
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

/// Makes room for at least `n` more arguments, and for as many statements as there are arguments.
#[cold]
#[inline(never)]
fn grow<T>(b: &mut Inner<T>, n: usize) {
    let room = (b.ids.capacity() * 2).max(1024).max(b.ids.len() + n);
    if room >= u32::MAX as usize {
        b.full = true;
        return;
    }
    b.ids.reserve_exact(room - b.ids.len());
    // Exactly as much as `ids` got, however much that is: the check on `ids` stands for all three.
    let room = b.ids.capacity();
    b.partials.reserve_exact(room - b.partials.len());
    b.counts.reserve_exact(room - b.counts.len());
}
