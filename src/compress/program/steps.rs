//! The steps of a program of its own: loops over buffers. Each step writes one value for every turn of
//! its loops, and may sum terms in loops inside of them, take the largest or find its place. Neither shapes
//! nor operations are left.
use super::functions::{
    abs_of, erf_of, exp_of, log_of, max_of, min_of, row_of, sigmoid_of, sqrt_of, tanh_of,
};

/// Where numbers lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Buffer {
    Input,
    Output,
    Weights,
    Scratch,
    /// One of the constants, before they have a place among the weights.
    Constant(usize),
    /// The result of some step, before it has a place in the scratch memory.
    Result(usize),
}

/// A place that depends on the turns of loops: `start + Σ by[i] · turn[i]`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct At {
    pub buffer: Buffer,
    pub start: isize,
    pub by: Vec<isize>,
}

/// What a step computes.
#[derive(Clone, Debug)]
pub(super) enum Expr {
    /// What the loops inside gave.
    Folded,
    Number(f32),
    Read(At),
    /// What lies in a row of a table, behind its start: the row that a number somewhere stands for, of so many
    /// of a length.
    Row {
        at: At,
        number: At,
        rows: usize,
        length: isize,
    },
    Binary(char, Box<Expr>, Box<Expr>),
    Call(&'static str, Vec<Expr>),
}

/// A term takes part only if `0 <= at < size`.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub at: At,
    pub size: usize,
}

/// What is done with terms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum How {
    Sum,
    Largest,
    /// The turn of the loop, of which there is one, that gave the first of the largest.
    Place,
}

/// Loops inside, and what is done with their terms.
#[derive(Clone, Debug)]
pub(super) struct Fold {
    pub sizes: Vec<usize>,
    pub guards: Vec<Guard>,
    pub how: How,
    pub first: Expr,
    pub term: Expr,
}

#[derive(Clone, Debug)]
pub(super) struct Step {
    pub to: At,
    pub sizes: Vec<usize>,
    pub fold: Option<Fold>,
    pub value: Expr,
}

impl At {
    pub fn place(&self, turns: &[usize]) -> isize {
        self.by.iter().zip(turns).fold(self.start, |at, (by, &turn)| at + by * turn as isize)
    }
}

impl Expr {
    pub fn call(name: &'static str, x: impl Into<Vec<Expr>>) -> Expr {
        Expr::Call(name, x.into())
    }

    pub fn binary(self, op: char, other: impl Into<Expr>) -> Expr {
        Expr::Binary(op, self.into(), Box::new(other.into()))
    }

    pub fn each(&mut self, f: &mut impl FnMut(&mut Expr)) {
        match self {
            Expr::Binary(_, a, b) => {
                a.each(f);
                b.each(f);
            }
            Expr::Call(_, x) => x.iter_mut().for_each(|x| x.each(f)),
            Expr::Folded | Expr::Number(_) | Expr::Read(_) | Expr::Row { .. } => {}
        }
        f(self);
    }

    fn eval(&self, memory: &Memory, turns: &[usize], folded: f32) -> f32 {
        match self {
            Expr::Folded => folded,
            Expr::Number(value) => *value,
            Expr::Read(at) => memory.read(at.buffer, at.place(turns)),
            Expr::Row { at, number, rows, length } => {
                let number = memory.read(number.buffer, number.place(turns));
                memory.read(at.buffer, at.place(turns) + row_of(number, *rows) as isize * length)
            }
            Expr::Binary(op, a, b) => {
                let (a, b) = (a.eval(memory, turns, folded), b.eval(memory, turns, folded));
                match op {
                    '+' => a + b,
                    '-' => a - b,
                    '*' => a * b,
                    _ => a / b,
                }
            }
            Expr::Call(name, x) => {
                let at = |i: usize| x.get(i).map_or(f32::NAN, |x| x.eval(memory, turns, folded));
                match *name {
                    "max_of" => max_of(at(0), at(1)),
                    "min_of" => min_of(at(0), at(1)),
                    "abs_of" => abs_of(at(0)),
                    "exp_of" => exp_of(at(0)),
                    "log_of" => log_of(at(0)),
                    "sqrt_of" => sqrt_of(at(0)),
                    "sigmoid_of" => sigmoid_of(at(0)),
                    "tanh_of" => tanh_of(at(0)),
                    "erf_of" => erf_of(at(0)),
                    _ => f32::NAN,
                }
            }
        }
    }
}

impl From<f32> for Expr {
    fn from(value: f32) -> Expr {
        Expr::Number(value)
    }
}

/// What a run works on.
pub(super) struct Memory<'a> {
    pub input: &'a [f32],
    pub weights: &'a [f32],
    pub output: Vec<f32>,
    pub scratch: Vec<f32>,
}

impl Memory<'_> {
    fn read(&self, buffer: Buffer, place: isize) -> f32 {
        let buffer = match buffer {
            Buffer::Input => self.input,
            Buffer::Weights => self.weights,
            Buffer::Output => &self.output,
            _ => &self.scratch,
        };
        buffer.get(place as usize).copied().unwrap_or(f32::NAN)
    }
}

/// Goes through all turns of loops.
fn turns(sizes: &[usize], before: &[usize], mut f: impl FnMut(&[usize])) {
    let mut now = [before, &vec![0; sizes.len()]].concat();
    for mut i in 0..sizes.iter().product() {
        for (turn, size) in now[before.len()..].iter_mut().zip(sizes).rev() {
            (*turn, i) = (i % size, i / size);
        }
        f(&now);
    }
}

impl Step {
    /// Does what the printed step does, in the same order.
    pub fn run(&self, memory: &mut Memory) {
        turns(&self.sizes, &[], |at| {
            let mut sum = 0.0;
            if let Some(fold) = &self.fold {
                sum = fold.first.eval(memory, at, 0.0);
                let mut most = f32::MIN;
                turns(&fold.sizes, at, |at| {
                    if fold.guards.iter().all(|g| (0..g.size as isize).contains(&g.at.place(at))) {
                        let term = fold.term.eval(memory, at, 0.0);
                        sum = match fold.how {
                            How::Sum => sum + term,
                            How::Largest => max_of(sum, term),
                            How::Place if term > most => {
                                most = term;
                                at.last().map_or(0.0, |&turn| turn as f32)
                            }
                            How::Place => sum,
                        };
                    }
                });
            }
            let value = self.value.eval(memory, at, sum);
            let to = if self.to.buffer == Buffer::Output { &mut memory.output } else { &mut memory.scratch };
            if let Some(to) = to.get_mut(self.to.place(at) as usize) {
                *to = value;
            }
        });
    }

    /// Gives all expressions: those of loops inside and that of the value.
    fn exprs(&mut self) -> impl Iterator<Item = &mut Expr> {
        let inside = self.fold.iter_mut().flat_map(|fold| [&mut fold.first, &mut fold.term]);
        inside.chain([&mut self.value])
    }

    /// Gives all parts of all expressions.
    pub fn each(&mut self, f: &mut impl FnMut(&mut Expr)) {
        self.exprs().for_each(|e| e.each(f));
    }

    /// Gives all places that it reads.
    pub fn reads(&mut self, mut f: impl FnMut(&mut At)) {
        self.each(&mut |e| match e {
            Expr::Read(at) => f(at),
            Expr::Row { at, number, .. } => {
                f(at);
                f(number);
            }
            _ => {}
        });
    }

    /// Gives all places.
    fn ats(&mut self, mut f: impl FnMut(&mut At)) {
        f(&mut self.to);
        self.fold.iter_mut().flat_map(|fold| &mut fold.guards).for_each(|guard| f(&mut guard.at));
        self.reads(f);
    }

    /// Makes one loop of each two that can be, and none of what turns once.
    pub fn simplify(&mut self) {
        let outer = self.sizes.len();
        let mut sizes = self.sizes.clone();
        sizes.extend(self.fold.iter().flat_map(|fold| &fold.sizes));
        let mut i = 0;
        let mut inside = outer;
        while i < sizes.len() {
            let mut together = i > 0 && i != inside;
            if together {
                self.ats(|at| {
                    let by = |k: usize| at.by.get(k).copied().unwrap_or(0);
                    together &= by(i - 1) == by(i) * sizes[i] as isize;
                });
            }
            if sizes[i] == 1 || together {
                let gone = if sizes[i] == 1 { i } else { i - 1 };
                self.ats(|at| {
                    if gone < at.by.len() {
                        at.by.remove(gone);
                    }
                });
                if sizes[i] != 1 {
                    sizes[i] *= sizes[i - 1];
                }
                sizes.remove(gone);
                inside -= (i < inside) as usize;
                i = gone;
            } else {
                i += 1;
            }
        }
        if let Some(fold) = &mut self.fold {
            fold.sizes = sizes.split_off(inside);
        }
        self.sizes = sizes;
    }
}
