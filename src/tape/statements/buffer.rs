//! The statement buffer: what a scalar operation leaves behind. One byte per statement for its number of
//! arguments, and 4 bytes plus one number per argument: the id of the argument and the partial derivative at
//! it.
//!
//! ```text
//! counts     1      2          1     TENSOR         one byte per statement; statement i has id i
//! ids        0    1   1        2     node           one per argument
//! partials   0   ∂φ  ∂φ       ∂φ       0
//! ```
//!
//! Statement 0 is a sink that constants point to. Every statement has at least one argument, so that the
//! one check of the room for arguments is a check of the room for statements too. While the tape is observed
//! there is no room: every statement takes the slow way, which notes what the buffer doesn't hold.
use super::super::ids::{NodeId, StatementId};
use super::told::{Note, Told};
use crate::real::Arithmetic;
use std::cell::UnsafeCell;

/// The count of a statement that stands for an operation on tensors; its argument is the number of the node.
pub(crate) const TENSOR: u8 = u8::MAX;

pub(crate) struct Statements<T> {
    inner: UnsafeCell<Inner<T>>,
}

pub(super) struct Inner<T> {
    pub counts: Vec<u8>,
    pub ids: Vec<u32>,
    pub partials: Vec<T>,
    /// How many arguments there may be before the slow way is taken: at most as many as all three vectors
    /// have room for.
    pub limit: usize,
    /// What is noted of scalar statements, while they are observed.
    pub notes: Option<Vec<Note>>,
    /// Statements that are operations on scalars or scalar inputs.
    scalars: usize,
    /// Set when ids ran out; from then on statements are constants.
    pub full: bool,
    /// The most statements there were before a block was made short: ids of lost values are below it.
    pub peak: usize,
}

/// What the reverse sweep meets below a position: the next tensor statement, or the start.
pub(crate) struct Stop {
    pub statement: usize,
    pub argument: usize,
    pub node: usize,
}

impl<T: Arithmetic> Statements<T> {
    pub fn new() -> Self {
        let statements = Statements {
            inner: UnsafeCell::new(Inner {
                counts: Vec::new(),
                ids: Vec::new(),
                partials: Vec::new(),
                limit: 0,
                notes: None,
                scalars: 0,
                full: false,
                peak: 0,
            }),
        };
        statements.push_slow(&[(StatementId::CONSTANT, T::constant(0.0))]);
        statements.truncate(1, 1, 0);
        statements
    }

    /// Runs `f` on the buffer.
    #[inline(always)]
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Inner<T>) -> R) -> R {
        // SAFETY: the buffer is neither Sync nor handed out, and no `f` below calls back into this type or
        // into user code (Arithmetic is only copied), so this is the only reference while `f` runs.
        f(unsafe { &mut *self.inner.get() })
    }

    /// Appends a statement with N arguments, at least one, and gives its id; 0, a constant's, when ids have
    /// run out. What is told of it is noted while statements are observed.
    // `push_slices` could do this, but a chain of small statements takes 7 % longer with it.
    #[inline(always)]
    pub fn push<const N: usize>(&self, arguments: [(StatementId, T); N], told: Told<'_>) -> StatementId {
        let pushed = self.with(|b| {
            let at = b.ids.len();
            if at + N > b.limit {
                return None;
            }
            let statement = b.counts.len();
            // SAFETY: `limit` is no more than the capacity of any of the three; there are never more
            // statements than arguments, so the check above covers all.
            unsafe {
                *b.counts.as_mut_ptr().add(statement) = N as u8;
                for (k, (id, partial)) in arguments.into_iter().enumerate() {
                    *b.ids.as_mut_ptr().add(at + k) = id.0;
                    *b.partials.as_mut_ptr().add(at + k) = partial;
                }
                b.counts.set_len(statement + 1);
                b.ids.set_len(at + N);
                b.partials.set_len(at + N);
            }
            b.scalars += 1;
            Some(StatementId::at(statement))
        });
        match pushed {
            Some(id) => id,
            None => {
                // A copy: if the array itself had an address, it would be written to memory on the quick way
                // too.
                self.noted(self.push_slow(&{ arguments }), told)
            }
        }
    }

    /// Appends a statement where there is no room for it, or where it is observed.
    #[cold]
    #[inline(never)]
    fn push_slow(&self, arguments: &[(StatementId, T)]) -> StatementId {
        self.with(|b| {
            if !reserve(b, arguments.len()) {
                return StatementId::CONSTANT;
            }
            b.counts.push(arguments.len() as u8);
            b.ids.extend(arguments.iter().map(|(id, _)| id.0));
            b.partials.extend(arguments.iter().map(|(_, partial)| partial));
            b.scalars += 1;
            StatementId::at(b.counts.len() - 1)
        })
    }

    /// Appends a statement with a `first` argument, if there is one, and those of `parts` one after the
    /// other, 1 to 254 of them in all; the parts have one length. Of each `x` of a part `argument` tells the
    /// id and, together with the partner at the same place of the second slice, the partial derivative.
    #[inline(always)]
    pub fn push_slices<S, const P: usize>(
        &self,
        first: Option<(StatementId, T)>,
        parts: [(&[S], &[S]); P],
        mut argument: impl FnMut(&S, &S) -> (StatementId, T),
        told: Told<'_>,
    ) -> StatementId {
        let len = parts.iter().map(|(x, y)| x.len().min(y.len())).min().unwrap_or(0);
        let parts = parts.map(|(x, y)| (&x[..len], &y[..len]));
        let n = usize::from(first.is_some()) + P * len;
        debug_assert!((1..TENSOR as usize).contains(&n));
        let (id, slow) = self.with(|b| {
            let at = b.ids.len();
            let slow = at + n > b.limit;
            if slow && !reserve(b, n) {
                return (StatementId::CONSTANT, false);
            }
            let statement = b.counts.len();
            // SAFETY: as in `push`, with room for `n` arguments: the first, and `len` of each part.
            unsafe {
                let (mut ids, mut partials) = (b.ids.as_mut_ptr().add(at), b.partials.as_mut_ptr().add(at));
                if let Some((id, partial)) = first {
                    *ids = id.0;
                    *partials = partial;
                    (ids, partials) = (ids.add(1), partials.add(1));
                }
                // All parts side by side: a product's factors are in both.
                for k in 0..len {
                    for (i, (x, partners)) in parts.iter().enumerate() {
                        let (id, partial) = argument(&x[k], &partners[k]);
                        *ids.add(i * len + k) = id.0;
                        *partials.add(i * len + k) = partial;
                    }
                }
                *b.counts.as_mut_ptr().add(statement) = n as u8;
                b.counts.set_len(statement + 1);
                b.ids.set_len(at + n);
                b.partials.set_len(at + n);
            }
            b.scalars += 1;
            (StatementId::at(statement), slow)
        });
        if slow { self.noted(id, told) } else { id }
    }

    /// Appends the statement of a tensor node and gives its id.
    pub fn push_tensor(&self, node: NodeId) -> StatementId {
        let id = self.push([(StatementId::at(node.place()), T::constant(0.0))], Told::NOTHING);
        self.with(|b| {
            b.scalars -= 1;
            if let Some(last) = b.counts.last_mut().filter(|_| id != StatementId::CONSTANT) {
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

    /// Forgets all but the first statements, arguments and scalar statements, as `len` gave them. Keeps the
    /// memory.
    pub fn truncate(&self, statements: usize, arguments: usize, scalars: usize) {
        self.with(|b| {
            b.counts.truncate(statements);
            b.ids.truncate(arguments);
            b.partials.truncate(arguments);
            b.scalars = scalars;
            b.full = false;
            if let Some(notes) = &mut b.notes {
                notes.truncate(statements);
            }
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

    /// The reverse sweep over scalar statements: v̄ⱼ += v̄ᵢ · ∂φᵢ/∂vⱼ, from the statement before `from` down to
    /// the next tensor statement or to `floor`. A statement whose adjoint is zero passes nothing on.
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

/// Makes room for at least `n` more arguments, and for as many statements as there are arguments. False if
/// ids have run out.
#[cold]
#[inline(never)]
fn reserve<T>(b: &mut Inner<T>, n: usize) -> bool {
    if b.ids.capacity() - b.ids.len() < n {
        let room = (b.ids.capacity() * 2).max(1024).max(b.ids.len() + n);
        if room >= u32::MAX as usize {
            b.full = true;
            return false;
        }
        b.ids.reserve_exact(room - b.ids.len());
        // Exactly as much as `ids` got, however much that is: the check on `ids` stands for all three.
        let room = b.ids.capacity();
        b.partials.reserve_exact(room - b.partials.len());
        b.counts.reserve_exact(room - b.counts.len());
    }
    b.limit = if b.notes.is_some() { 0 } else { b.ids.capacity() };
    true
}
