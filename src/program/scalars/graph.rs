//! What a program of scalars is recorded in: each operation once, however often the function does it.
use crate::ops::{
    list::{Binary, Test, Unary},
    trace::Record,
};
use std::{
    cell::RefCell,
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    panic::Location,
};

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Input,
    /// A number; its argument is the place among them.
    Constant,
    Unary(Unary),
    Binary(Binary),
    Test(Test),
    /// Of a mask of zeros and ones: its second argument at ones, its third at zeros.
    Choose,
    /// The same value without derivatives.
    Fixed,
    /// The sum of all arguments.
    Sum,
    /// `Σ aᵢ·bᵢ`; the arguments are all `a`, then all `b`.
    Dot,
}

/// Nodes in the order in which they were recorded: each is made of those before it.
#[derive(Default)]
pub(super) struct Nodes {
    pub kinds: Vec<Kind>,
    /// The place of each node's kind.
    kind: Vec<u32>,
    /// Where the arguments of each node end.
    ends: Vec<u32>,
    args: Vec<u32>,
    pub constants: Vec<f64>,
    known: HashMap<u64, u32>,
    known_constants: HashMap<u64, u32>,
    /// What can't be done again, and where it was done.
    pub obstacle: Option<(&'static str, Option<&'static Location<'static>>)>,
}

/// How far back a kind is looked for: what is further away is another kind, and merged with nothing.
const NEAR: usize = 64;

impl Nodes {
    pub fn len(&self) -> usize {
        self.kind.len()
    }

    /// The number of a node's kind.
    pub fn kind(&self, node: u32) -> u32 {
        self.kind[node as usize]
    }

    pub fn args(&self, node: u32) -> &[u32] {
        let node = node as usize;
        let start = if node == 0 { 0 } else { self.ends[node - 1] };
        &self.args[start as usize..self.ends[node] as usize]
    }

    /// A node, or the one that is the same.
    fn push<'a>(&mut self, kind: Kind, args: impl Iterator<Item = &'a u32> + Clone) -> u32 {
        let near = self.kinds.len().saturating_sub(NEAR);
        let place =
            self.kinds[near..].iter().rposition(|&k| k == kind).map_or(self.kinds.len(), |i| near + i);
        if place == self.kinds.len() {
            self.kinds.push(kind);
        }
        let mut key = DefaultHasher::new();
        place.hash(&mut key);
        args.clone().for_each(|x| x.hash(&mut key));
        let key = key.finish();
        if let Some(&node) = self.known.get(&key)
            && self.kind(node) as usize == place
            && self.args(node).iter().eq(args.clone())
        {
            return node;
        }
        if self.len() >= u32::MAX as usize / 2 || self.args.len() + args.clone().count() >= u32::MAX as usize
        {
            self.obstacle = Some(("more than 2³² arguments were recorded", None));
            return 0;
        }
        let node = self.len() as u32;
        self.args.extend(args);
        self.kind.push(place as u32);
        self.ends.push(self.args.len() as u32);
        self.known.insert(key, node);
        node
    }
}

#[derive(Default)]
pub(super) struct Graph(RefCell<Nodes>);

impl Graph {
    /// A graph of some inputs, which are its first nodes.
    pub fn new(inputs: u32) -> Graph {
        let graph = Graph::default();
        (0..inputs).for_each(|i| _ = graph.push(Kind::Input, &[i]));
        graph
    }

    fn push(&self, kind: Kind, args: &[u32]) -> u32 {
        self.0.borrow_mut().push(kind, args.iter())
    }

    pub fn into_nodes(self) -> Nodes {
        self.0.into_inner()
    }

    fn obstacle(&self, what: &'static str, site: Option<&'static Location<'static>>) {
        self.0.borrow_mut().obstacle.get_or_insert((what, site));
    }
}

impl Record for Graph {
    fn constant(&self, value: f64) -> u32 {
        let nodes = &mut *self.0.borrow_mut();
        if let Some(&node) = nodes.known_constants.get(&value.to_bits()) {
            return node;
        }
        let node = nodes.push(Kind::Constant, [nodes.constants.len() as u32].iter());
        nodes.constants.push(value);
        nodes.known_constants.insert(value.to_bits(), node);
        node
    }

    fn primal(&self, _: u32, site: &'static Location<'static>) -> f64 {
        self.obstacle("a value was read, of which there is none while a program is recorded", Some(site));
        f64::NAN
    }

    fn fixed(&self, x: u32) -> u32 {
        self.push(Kind::Fixed, &[x])
    }

    fn unary(&self, f: Unary, x: u32) -> u32 {
        self.push(Kind::Unary(f), &[x])
    }

    fn binary(&self, f: Binary, x: [u32; 2]) -> u32 {
        self.push(Kind::Binary(f), &x)
    }

    fn test(&self, test: Test, x: [u32; 2]) -> u32 {
        self.push(Kind::Test(test), &x)
    }

    fn choose(&self, x: [u32; 3]) -> u32 {
        self.push(Kind::Choose, &x)
    }

    fn sum(&self, x: &[u32]) -> u32 {
        match *x {
            [x] => x,
            [a, b] => self.binary(Binary::Add, [a, b]),
            _ => self.push(Kind::Sum, x),
        }
    }

    fn dot(&self, a: &[u32], b: &[u32]) -> u32 {
        match (a, b) {
            (&[a], &[b]) => self.binary(Binary::Mul, [a, b]),
            _ => self.0.borrow_mut().push(Kind::Dot, a.iter().chain(b)),
        }
    }

    fn foreign(&self) {
        self.obstacle("a number of another program was used", None);
    }
}
