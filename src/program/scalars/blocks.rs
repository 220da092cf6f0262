//! In which order a program of scalars is computed: level by level, and in a level equal operations one
//! behind the other, so that their results are neighbours and, as often as can be, their arguments, too.
use super::graph::{Kind, Nodes};
use smallvec::SmallVec;
use std::ops::Range;

/// Where an argument of each operation of a block is.
#[derive(Clone, Copy, Debug)]
pub(super) enum At {
    /// All have the same.
    Same(u32),
    /// One behind the other.
    Run(u32),
    /// Anywhere: where their places begin among all lists.
    List(u32),
}

/// Equal operations that don't need each other. Small, since a long chain has one for each operation.
pub(super) struct Block {
    /// The place of its kind.
    kind: u32,
    /// The place of the first result.
    first: u32,
    len: u32,
    /// Its arguments among all: where they begin, and how many.
    args: u32,
    arity: u32,
    /// Which results of the program have a derivative by these, by bits; those from the 64th on share the
    /// last.
    pub feeds: u64,
}

impl Block {
    pub fn first(&self) -> usize {
        self.first as usize
    }

    pub fn len(&self) -> usize {
        self.len as usize
    }
}

/// A program: first the constants, then the inputs, then the blocks one after the other.
#[derive(Default)]
pub(super) struct Blocks {
    pub constants: Vec<f64>,
    pub inputs: usize,
    /// Those that derivatives are asked for, which are the first.
    pub moving: usize,
    /// How many values there are.
    pub places: usize,
    pub blocks: Vec<Block>,
    kinds: Vec<Kind>,
    args: Vec<At>,
    /// Whether an argument has a derivative.
    wanted: Vec<bool>,
    pub lists: Vec<u32>,
    pub results: Vec<usize>,
    /// How many operations are done.
    pub operations: usize,
}

/// The bit of a result.
pub(super) fn bit(result: usize) -> u64 {
    1 << result.min(63)
}

/// Fewer operations than these are not worth a block of their own.
const SHORT: usize = 12;

/// A place that a constant doesn't have yet.
const NONE: u32 = u32::MAX;

/// How the arguments of neighbours lie.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Same,
    Next,
    Any,
}

impl Blocks {
    pub fn kind(&self, block: &Block) -> &Kind {
        &self.kinds[block.kind as usize]
    }

    pub fn args(&self, block: &Block) -> &[At] {
        &self.args[block.args as usize..][..block.arity as usize]
    }

    /// Which of its arguments have derivatives.
    pub fn wanted(&self, block: &Block) -> &[bool] {
        &self.wanted[block.args as usize..][..block.arity as usize]
    }

    /// The place of an argument of a block's only operation.
    pub fn only(&self, at: At) -> usize {
        match at {
            At::Same(place) | At::Run(place) => place as usize,
            At::List(start) => self.lists[start as usize] as usize,
        }
    }

    /// The program of these results of so many inputs; of the first, `moving`, with derivatives.
    pub fn new(nodes: &Nodes, inputs: usize, moving: usize, results: &[u32]) -> Blocks {
        let n = nodes.len();
        let (mut alive, mut feeds) = (vec![false; n], vec![0u64; n]);
        for (i, &result) in results.iter().enumerate() {
            alive[result as usize] = true;
            feeds[result as usize] |= bit(i);
        }
        for node in (0..n as u32).rev() {
            if !alive[node as usize] || is_leaf(nodes, node) {
                continue;
            }
            let feeds_it = feeds[node as usize];
            for (i, &arg) in nodes.args(node).iter().enumerate() {
                alive[arg as usize] = true;
                if flows(nodes, node, i) {
                    feeds[arg as usize] |= feeds_it;
                }
            }
        }
        // Whether it has a derivative, and how many steps it is from what is there at first.
        let (mut moves, mut level) = (vec![false; n], vec![0u32; n]);
        for node in 0..n as u32 {
            if is_leaf(nodes, node) {
                moves[node as usize] = (node as usize) < moving;
                continue;
            }
            let args = nodes.args(node);
            moves[node as usize] =
                args.iter().enumerate().any(|(i, &arg)| moves[arg as usize] && flows(nodes, node, i));
            level[node as usize] = 1 + args.iter().map(|&arg| level[arg as usize]).max().unwrap_or(0);
        }
        let mut work: Vec<u32> =
            (0..n as u32).filter(|&node| alive[node as usize] && !is_leaf(nodes, node)).collect();
        // What doesn't move takes nothing back.
        feeds.iter_mut().zip(&moves).for_each(|(feeds, &moves)| *feeds *= u64::from(moves));
        let key = |node: u32| {
            let i = node as usize;
            (level[i], nodes.kind(node), nodes.args(node).len(), feeds[i])
        };
        work.sort_by_key(|&node| key(node));
        let constant = |node: u32| nodes.kinds[nodes.kind(node) as usize] == Kind::Constant;
        let constants = (0..n as u32).filter(|&node| alive[node as usize] && constant(node)).count();
        let mut placing = Placing {
            nodes,
            places: vec![NONE; n],
            constants: 0,
            next: (constants + inputs) as u32,
            moves,
            out: Blocks { inputs, moving, operations: work.len(), ..Blocks::default() },
        };
        (0..inputs).for_each(|i| placing.places[i] = (constants + i) as u32);
        for group in work.chunk_by_mut(|&a, &b| key(a) == key(b)) {
            let feeds = key(group[0]).3;
            placing.group(group, feeds);
        }
        // A result that is one itself.
        for &result in results {
            placing.settle(result);
        }
        let Placing { places, next, mut out, .. } = placing;
        out.kinds.clone_from(&nodes.kinds);
        out.places = next as usize;
        out.results = results.iter().map(|&result| places[result as usize] as usize).collect();
        out
    }
}

fn is_leaf(nodes: &Nodes, node: u32) -> bool {
    matches!(nodes.kinds[nodes.kind(node) as usize], Kind::Input | Kind::Constant)
}

/// Whether an argument of a node gets anything back.
fn flows(nodes: &Nodes, node: u32, argument: usize) -> bool {
    match nodes.kinds[nodes.kind(node) as usize] {
        Kind::Fixed | Kind::Test(_) => false,
        Kind::Choose => argument > 0,
        _ => true,
    }
}

struct Placing<'a> {
    nodes: &'a Nodes,
    /// Of each node.
    places: Vec<u32>,
    constants: u32,
    next: u32,
    moves: Vec<bool>,
    out: Blocks,
}

impl Placing<'_> {
    /// Gives a constant its place, when it is first used.
    fn settle(&mut self, node: u32) {
        if self.places[node as usize] == NONE {
            self.places[node as usize] = self.constants;
            self.constants += 1;
            let number = self.nodes.args(node)[0] as usize;
            self.out.constants.push(self.nodes.constants[number]);
        }
    }

    /// Orders equal operations, gives them places, and cuts them into blocks.
    fn group(&mut self, group: &mut [u32], feeds: u64) {
        let arity = self.nodes.args(group[0]).len();
        if group.len() > 1 {
            // As they were recorded, or by the place of one argument: what makes the cheapest blocks.
            let by: SmallVec<[usize; 4]> =
                [0, 1, arity / 2, arity - 1].into_iter().filter(|&i| i < arity).collect();
            let mut best = (self.cost(group), group.to_vec());
            for first in by {
                let place = |node: u32, i: usize| self.places[self.nodes.args(node)[i] as usize];
                let mut order = group.to_vec();
                order.sort_by_key(|&node| (place(node, first), place(node, 0), node));
                let cost = self.cost(&order);
                if cost < best.0 {
                    best = (cost, order);
                }
            }
            group.copy_from_slice(&best.1);
        }
        for i in 0..arity {
            for &node in group.iter() {
                self.settle(self.nodes.args(node)[i]);
            }
        }
        for &node in group.iter() {
            self.places[node as usize] = self.next;
            self.next += 1;
        }
        for (range, steps) in self.cut(group) {
            self.block(&group[range], &steps, feeds);
        }
    }

    /// What the blocks of an order take, roughly, in nanoseconds.
    fn cost(&self, order: &[u32]) -> usize {
        let lists = |steps: &[Step]| steps.iter().filter(|&&s| s == Step::Any).count();
        self.cut(order).iter().map(|(range, steps)| 20 * (1 + steps.len()) + range.len() * lists(steps)).sum()
    }

    fn step(&self, a: u32, b: u32) -> Step {
        let (from, to) = (self.places[a as usize], self.places[b as usize]);
        match to.wrapping_sub(from) {
            _ if a == b => Step::Same,
            // They will get places one behind the other.
            0 => Step::Next,
            1 if from != NONE => Step::Next,
            _ => Step::Any,
        }
    }

    /// How the arguments of a piece lie, if it is taken as one.
    fn steps(&self, piece: &[u32]) -> SmallVec<[Step; 4]> {
        let arity = self.nodes.args(piece[0]).len();
        (0..arity)
            .map(|i| {
                let step = |pair: &[u32]| self.step(self.nodes.args(pair[0])[i], self.nodes.args(pair[1])[i]);
                let mut all = piece.windows(2).map(step);
                let first = all.next().unwrap_or(Step::Next);
                if all.all(|s| s == first) { first } else { Step::Any }
            })
            .collect()
    }

    /// Pieces of an order: long ones in which arguments are the same or neighbours, and what is between them.
    fn cut(&self, order: &[u32]) -> Vec<(Range<usize>, SmallVec<[Step; 4]>)> {
        let (mut pieces, mut open, mut i) = (Vec::new(), 0, 0);
        let mut close = |range: Range<usize>| {
            if !range.is_empty() {
                let steps = self.steps(&order[range.clone()]);
                pieces.push((range, steps));
            }
        };
        let mut first: SmallVec<[Step; 4]> = SmallVec::new();
        while i + SHORT <= order.len() {
            let args = |k: usize| self.nodes.args(order[k]);
            let pair = |k: usize| args(k).iter().zip(args(k + 1)).map(|(&a, &b)| self.step(a, b));
            first.clear();
            first.extend(pair(i));
            let mut end = i + 1;
            if first.iter().any(|&s| s != Step::Any) {
                let goes_on = |k| pair(k).zip(&first).all(|(s, &f)| f == Step::Any || s == f);
                while end < order.len() && goes_on(end - 1) {
                    end += 1;
                }
            }
            if end - i >= SHORT {
                close(open..i);
                close(i..end);
                (open, i) = (end, end);
            } else {
                i = (i + 1).max(end - 1);
            }
        }
        close(open..order.len());
        pieces
    }

    fn block(&mut self, piece: &[u32], steps: &[Step], feeds: u64) {
        let start = self.out.args.len();
        for (i, step) in steps.iter().enumerate() {
            let args = piece.iter().map(|&node| self.nodes.args(node)[i]);
            let first = self.nodes.args(piece[0])[i];
            let place = self.places[first as usize];
            self.out
                .wanted
                .push(args.clone().any(|arg| self.moves[arg as usize]) && flows(self.nodes, piece[0], i));
            self.out.args.push(match step {
                Step::Same => At::Same(place),
                Step::Next => At::Run(place),
                Step::Any => {
                    let at = self.out.lists.len() as u32;
                    self.out.lists.extend(args.map(|arg| self.places[arg as usize]));
                    At::List(at)
                }
            });
        }
        self.out.blocks.push(Block {
            kind: self.nodes.kind(piece[0]),
            first: self.places[piece[0] as usize],
            len: piece.len() as u32,
            args: start as u32,
            arity: steps.len() as u32,
            feeds,
        });
    }
}
