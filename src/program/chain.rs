//! Neighbouring operations element by element, run block by block: what one leaves in the cache the next one
//! reads there, and values that nobody else wants are never written to memory. The kernels are the
//! operations' own, so every bit is too.
use super::operand::Operand;
use crate::{
    error::Checked,
    kernels::map::Expr,
    ops::{
        Float,
        list::{Binary, TensorOp, Unary},
    },
    tape::{Node, NodeId, Op},
    tensor::{Shape, Tensor, Unfilled},
    threads,
};
use smallvec::SmallVec;

/// Elements of a block.
const BLOCK: usize = 1024;
/// Most values that live in blocks at one time, and most that are written.
const SLOTS: usize = 8;
/// Most operations of a chain, so that looking for it takes no longer than it saves.
const LONGEST: usize = 32;
/// Fewest elements for a thread of their own.
const GRAIN: usize = 16 * 1024;

pub(super) struct Chain {
    steps: Vec<Step>,
    shape: Shape,
    /// Nodes whose values are written to memory: slot [`SLOTS`] and on.
    written: SmallVec<[NodeId; SLOTS]>,
    /// Operands from outside that have one element, and the blocks filled with them.
    numbers: SmallVec<[((NodeId, u8), u8); 4]>,
}

struct Step {
    node: NodeId,
    kernel: Kernel,
    from: SmallVec<[Source; 2]>,
    to: u8,
}

#[derive(Clone, Copy)]
enum Kernel {
    Unary(Unary),
    Binary(Binary),
}

#[derive(Clone, Copy)]
enum Source {
    /// A block, or behind these a written value.
    Slot(u8),
    /// An operand from outside, by node and position.
    Outside(NodeId, u8),
}

impl Chain {
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.steps.iter().map(|s| s.node)
    }

    /// The longest chain that a list of nodes begins with, if it has two operations or more.
    pub fn longest<T: Float>(
        work: &[NodeId],
        nodes: &[Node<T>],
        operands: &[SmallVec<[Operand<T>; 4]>],
        whole: &[bool],
        last: &[usize],
    ) -> Option<Chain> {
        let shape = work.first().map(|&i| nodes[i.place()].shape.clone())?;
        let size = |o: &Operand<T>| match o {
            Operand::Node(i) => nodes[i.place()].shape.clone(),
            Operand::Constant(t) => t.shape().clone(),
        };
        let fits = |&&i: &&NodeId| {
            let node = &nodes[i.place()];
            kernel(node).is_some()
                && node.shape == shape
                && operands[i.place()].iter().map(size).all(|s| s == shape || s.numel() == 1)
        };
        let mut work: &[NodeId] = &work[..work.iter().take(LONGEST).take_while(fits).count()];
        while work.len() > 1 {
            match Chain::new(work, shape.clone(), nodes, operands, whole, last, &size) {
                Some(chain) => return Some(chain),
                None => work = &work[..work.len() - 1],
            }
        }
        None
    }

    /// A chain of just these nodes, if the slots suffice.
    fn new<T: Float>(
        work: &[NodeId],
        shape: Shape,
        nodes: &[Node<T>],
        operands: &[SmallVec<[Operand<T>; 4]>],
        whole: &[bool],
        last: &[usize],
        size: &impl Fn(&Operand<T>) -> Shape,
    ) -> Option<Chain> {
        let end = work.last()?.place();
        let mut chain =
            Chain { steps: Vec::new(), shape, written: SmallVec::new(), numbers: SmallVec::new() };
        let mut free: SmallVec<[u8; SLOTS]> = (0..SLOTS as u8).rev().collect();
        // These blocks are filled once, so nothing else may go there.
        for &i in work {
            for (p, _) in operands[i.place()].iter().enumerate().filter(|(_, o)| size(o) != chain.shape) {
                chain.numbers.push(((i, p as u8), free.pop()?));
            }
        }
        for (k, &i) in work.iter().enumerate() {
            let source = |(p, o): (usize, &Operand<T>)| {
                let inside = o.node().and_then(|j| chain.steps.iter().find(|s| s.node == j));
                let number = chain.numbers.iter().find(|(place, _)| *place == (i, p as u8));
                match (inside, number) {
                    (Some(step), _) => Source::Slot(step.to),
                    (None, Some((_, slot))) => Source::Slot(*slot),
                    (None, None) => Source::Outside(i, p as u8),
                }
            };
            let from = operands[i.place()].iter().enumerate().map(source).collect();
            // A value that somebody reads after the chain is written.
            let to = if whole[i.place()] || last[i.place()] > end || last[i.place()] == i.place() {
                chain.written.push(i);
                (chain.written.len() <= SLOTS).then_some((SLOTS + chain.written.len() - 1) as u8)?
            } else {
                free.pop()?
            };
            chain.steps.push(Step { node: i, kernel: kernel(&nodes[i.place()])?, from, to });
            // Blocks whose last reader this was.
            let before = &chain.steps[..k];
            let done = before.iter().filter(|s| last[s.node.place()] == i.place() && (s.to as usize) < SLOTS);
            free.extend(done.map(|s| s.to).collect::<SmallVec<[u8; 2]>>());
        }
        Some(chain)
    }

    /// Runs the chain and leaves what is written among the values.
    pub fn run<T: Float>(
        &self,
        values: &mut [Option<Tensor<T>>],
        operands: &[SmallVec<[Operand<T>; 4]>],
    ) -> Checked<()> {
        let operand =
            |node: NodeId, p: u8| operands[node.place()].get(p as usize).and_then(|o| o.value(values));
        // Operands from outside in row-major order, in the order in which the steps read them.
        let outside: Checked<SmallVec<[Tensor<T>; 8]>> = self
            .steps
            .iter()
            .flat_map(|s| &s.from)
            .filter_map(|source| match source {
                Source::Outside(node, p) => operand(*node, *p).map(|x| x.contiguous().made()),
                Source::Slot(_) => None,
            })
            .collect();
        let outside = outside?;
        let outside: SmallVec<[&[T]; 8]> = outside.iter().map(|t| t.as_slice().unwrap_or_default()).collect();
        let numbers: SmallVec<[(u8, T); 4]> = self
            .numbers
            .iter()
            .filter_map(|((node, p), slot)| Some((*slot, operand(*node, *p)?.item().ok()?)))
            .collect();
        let mut out: [Unfilled<T>; SLOTS] = std::array::from_fn(|k| {
            Unfilled::new(if k < self.written.len() { self.shape.clone() } else { Shape::new(&[0]) })
        });
        if let Some(why) = out.iter().find_map(Unfilled::lack) {
            return Err(why.to_string());
        }
        let n = self.shape.numel();
        let parts = threads::num_threads().min(n / GRAIN).max(1);
        let mut slices = out.each_mut().map(Unfilled::as_mut_slice);
        threads::for_parts(&mut slices, n, n.div_ceil(parts).next_multiple_of(64), &|from, to, out| {
            self.part(&outside, &numbers, from, to, out);
        });
        for (&i, value) in self.written.iter().zip(out) {
            values[i.place()] = Some(value.filled());
        }
        Ok(())
    }

    /// The elements `from..to`, of which `out` has the places.
    fn part<T: Float>(
        &self,
        outside: &[&[T]],
        numbers: &[(u8, T)],
        from: usize,
        to: usize,
        out: [&mut [T]; SLOTS],
    ) {
        let mut blocks = [[T::default(); BLOCK]; SLOTS];
        for (slot, number) in numbers {
            blocks[*slot as usize].fill(*number);
        }
        let mut slots: SmallVec<[&mut [T]; 16]> = blocks.iter_mut().map(|b| &mut b[..]).collect();
        slots.extend(out);
        for begin in (from..to).step_by(BLOCK) {
            let size = BLOCK.min(to - begin);
            let place = |slot: u8| if (slot as usize) < SLOTS { 0 } else { begin - from };
            let mut next = outside.iter();
            for step in &self.steps {
                let result = std::mem::take(&mut slots[step.to as usize]);
                let at = place(step.to);
                let mut source = |k: usize| match step.from.get(k) {
                    Some(Source::Slot(s)) => &slots[*s as usize][place(*s)..place(*s) + size],
                    Some(Source::Outside(..)) => next.next().map_or(&[][..], |x| &x[begin..begin + size]),
                    None => &[],
                };
                match step.kernel {
                    Kernel::Unary(op) => Expr::over(&op, [source(0)], &mut result[at..at + size]),
                    Kernel::Binary(op) => {
                        let x = [source(0), source(1)];
                        Expr::over(&op, x, &mut result[at..at + size]);
                    }
                }
                slots[step.to as usize] = result;
            }
        }
    }
}

fn kernel<T: Float>(node: &Node<T>) -> Option<Kernel> {
    match node.op {
        Op::Tensor(TensorOp::Unary(op)) => Some(Kernel::Unary(op)),
        Op::Tensor(TensorOp::Binary(op)) => Some(Kernel::Binary(op)),
        _ => None,
    }
}
