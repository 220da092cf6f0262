//! Random programs: statements over shared operands, each known twice, as a call of the crate and as its
//! definition.
use super::{
    arr::Arr,
    number::{N, margin, n},
};
use kolmo::Var;
use std::rc::Rc;

pub type V<'t> = Var<'t, f64>;
type Call = Rc<dyn for<'t> Fn(&[V<'t>]) -> V<'t>>;
type Definition = Rc<dyn Fn(&[&Arr]) -> Arr>;

#[derive(Clone)]
pub enum What {
    /// A leaf with a direction to differentiate along.
    Input(Arr),
    Constant(Arr),
    Operation {
        op: &'static str,
        operands: Vec<usize>,
        call: Call,
        definition: Definition,
    },
}

#[derive(Clone)]
pub struct Statement {
    pub what: What,
    pub text: String,
    pub shape: Vec<usize>,
}

impl Statement {
    pub fn operands(&self) -> &[usize] {
        match &self.what {
            What::Operation { operands, .. } => operands,
            _ => &[],
        }
    }
}

/// A program; its loss is the sum over some values of their products with fixed weights.
#[derive(Clone, Default)]
pub struct Program {
    pub statements: Vec<Statement>,
    pub loss: Vec<(usize, Vec<f64>)>,
    /// Has an operation that can be differentiated only once, as scalars, whose derivatives are numbers.
    pub first_only: bool,
}

impl Program {
    /// All values by definition, of inputs that are moved by `shake` of themselves, and the loss.
    pub fn evaluate(&self, shake: f64) -> (Vec<Arr>, N) {
        let mut values: Vec<Arr> = Vec::new();
        for s in &self.statements {
            let value = match &s.what {
                What::Input(x) => {
                    let sign = |i: usize| if i.is_multiple_of(3) { -shake } else { shake };
                    let moved = x.data.iter().enumerate().map(|(i, x)| N { v: x.v + x.v * sign(i), ..*x });
                    Arr::new(&x.shape, moved.collect())
                }
                What::Constant(x) => x.clone(),
                What::Operation { operands, definition, .. } => {
                    definition(&operands.iter().map(|&i| &values[i]).collect::<Vec<_>>())
                }
            };
            values.push(value);
        }
        let part =
            |(i, w): &(usize, Vec<f64>)| values[*i].data.iter().zip(w).map(|(&x, &w)| x * w).sum::<N>();
        let loss = self.loss.iter().map(part).sum();
        (values, loss)
    }

    /// Without what the loss doesn't need.
    pub fn pruned(&self) -> Program {
        let mut needed = vec![false; self.statements.len()];
        self.loss.iter().for_each(|(i, _)| needed[*i] = true);
        for i in (0..needed.len()).rev() {
            if needed[i] {
                self.statements[i].operands().iter().for_each(|&o| needed[o] = true);
            }
        }
        // Ids stay as they are: a listing shows them.
        let mut place = vec![usize::MAX; needed.len()];
        let mut out = Program { first_only: self.first_only, ..Program::default() };
        for (i, s) in self.statements.iter().enumerate().filter(|(i, _)| needed[*i]) {
            place[i] = out.statements.len();
            let mut s = s.clone();
            if let What::Operation { operands, .. } = &mut s.what {
                operands.iter_mut().for_each(|o| *o = place[*o]);
            }
            out.statements.push(s);
        }
        out.loss = self.loss.iter().map(|(i, w)| (place[*i], w.clone())).collect();
        out
    }

    pub fn listing(&self) -> String {
        let mut text = String::new();
        for (i, s) in self.statements.iter().enumerate() {
            let body = s
                .operands()
                .iter()
                .enumerate()
                .fold(s.text.clone(), |t, (k, o)| t.replace(&format!("${k}"), &format!("%{o}")));
            text += &format!("    %{i} = {body}    {:?}\n", s.shape);
        }
        let loss: Vec<String> = self.loss.iter().map(|(i, _)| format!("(%{i} * w).sum()")).collect();
        text + "    loss = " + &loss.join(" + ")
    }
}

/// One operation: its name in the table, and how to append it to a program; nothing if that can't be done
/// there.
pub struct Op {
    pub name: &'static str,
    pub make: Box<dyn Fn(&mut Gen) -> Option<()>>,
}

pub fn op(list: &mut Vec<Op>, name: &'static str, make: impl Fn(&mut Gen) -> Option<()> + 'static) {
    list.push(Op { name, make: Box::new(make) });
}

/// A program that grows.
pub struct Gen {
    state: u64,
    pub program: Program,
    pub values: Vec<Arr>,
    /// The longest axis of a new leaf, usually.
    pub longest: usize,
    /// Whether some leaves are so large that several threads share the work.
    pub large: bool,
    /// Whether it may have operations that can be differentiated only once.
    pub once: bool,
    name: &'static str,
}

impl Gen {
    pub fn new(seed: u64, longest: usize) -> Gen {
        let state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
        Gen {
            state,
            program: Program::default(),
            values: Vec::new(),
            longest,
            large: false,
            once: false,
            name: "",
        }
    }

    /// Whether a result of so many elements is small enough to be worked out at all.
    pub fn small(&self, elements: usize) -> Option<()> {
        (elements <= 200_000).then_some(())
    }

    /// Random bits (SplitMix64).
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// From `low` to `high`, both included.
    pub fn int(&mut self, low: usize, high: usize) -> usize {
        low + (self.bits() % (high - low + 1) as u64) as usize
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.int(0, 99) < percent
    }

    pub fn real(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn choose<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.int(0, of.len() - 1)].clone()
    }

    pub fn shape(&self, id: usize) -> Vec<usize> {
        self.values[id].shape.clone()
    }

    pub fn rank(&self, id: usize) -> usize {
        self.values[id].rank()
    }

    /// The size of an axis.
    pub fn size(&mut self) -> usize {
        match self.int(0, 11) {
            0 | 1 => 1,
            2 if self.longest > 3 => self.int(1, 3 * self.longest),
            _ => self.int(1, self.longest),
        }
    }

    /// A shape of few elements.
    pub fn new_shape(&mut self, low: usize, high: usize) -> Vec<usize> {
        if self.large && low <= 2 && high >= 2 && self.chance(60) {
            return vec![self.int(96, 256), self.int(96, 256)];
        }
        loop {
            let rank = self.int(low, high);
            let shape: Vec<usize> = (0..rank).map(|_| self.size()).collect();
            if shape.iter().product::<usize>() <= 400 {
                return shape;
            }
        }
    }

    /// An axis, counted from either end.
    pub fn axis(&mut self, id: usize) -> isize {
        let rank = self.rank(id);
        let a = self.int(0, rank - 1) as isize;
        if self.chance(50) { a - rank as isize } else { a }
    }

    /// Some axes, each once.
    pub fn axes(&mut self, id: usize) -> Vec<isize> {
        let rank = self.rank(id);
        let mut axes = self.permutation(rank);
        axes.truncate(self.int(1, rank.max(1)));
        let sign = self.chance(50);
        axes.into_iter().map(|a| if sign { a as isize - rank as isize } else { a as isize }).collect()
    }

    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            let j = self.int(0, i);
            all.swap(i, j);
        }
        all
    }

    pub fn places(&mut self, count: usize, below: usize) -> Vec<usize> {
        (0..count).map(|_| self.int(0, below - 1)).collect()
    }

    /// Zeros and ones.
    pub fn mask(&mut self, count: usize) -> Vec<bool> {
        (0..count).map(|_| self.chance(50)).collect()
    }

    fn push(&mut self, what: What, text: String, value: Arr) -> usize {
        self.program.statements.push(Statement { what, text, shape: value.shape.clone() });
        self.values.push(value);
        self.values.len() - 1
    }

    /// A leaf with values between two bounds, perhaps a view of a larger one.
    pub fn leaf(&mut self, shape: &[usize], low: f64, high: f64) -> usize {
        if !shape.is_empty()
            && self.chance(30)
            && let Some(id) = super::views::strided_leaf(self, shape, low, high)
        {
            return id;
        }
        self.plain_leaf(shape, low, high)
    }

    pub fn plain_leaf(&mut self, shape: &[usize], low: f64, high: f64) -> usize {
        let constant = self.chance(15);
        let count: usize = shape.iter().product();
        let mut data = Vec::new();
        for _ in 0..count {
            let v = self.real(low, high);
            let [a, b] = [0, 1].map(|_| if constant { 0.0 } else { self.real(-1.0, 1.0) });
            data.push(N { v, a, b, ab: 0.0 });
        }
        let value = Arr::new(shape, data);
        match constant {
            true => self.push(What::Constant(value.clone()), "constant".into(), value),
            false => self.push(What::Input(value.clone()), "input".into(), value),
        }
    }

    /// A value that has been there before, or else a new leaf of this rank.
    pub fn any(&mut self, low: usize, high: usize) -> usize {
        self.find(low, high, |shape| !shape.contains(&0))
    }

    /// The same, perhaps empty.
    pub fn any_or_empty(&mut self, low: usize, high: usize) -> usize {
        if high > 0 && self.chance(4) {
            let mut shape = self.new_shape(low.max(1), high);
            let at = self.int(0, shape.len() - 1);
            shape[at] = 0;
            return self.plain_leaf(&shape, 0.0, 1.0);
        }
        self.find(low, high, |_| true)
    }

    pub fn find(&mut self, low: usize, high: usize, fits: impl Fn(&[usize]) -> bool) -> usize {
        let known: Vec<usize> = (0..self.values.len())
            .filter(|&i| (low..=high).contains(&self.rank(i)) && fits(&self.values[i].shape))
            .collect();
        if !known.is_empty() && self.chance(75) {
            // Rather a late one, so that programs become deep.
            let from = if self.chance(50) { known.len() - known.len().div_ceil(3) } else { 0 };
            return self.choose(&known[from..]);
        }
        for _ in 0..100 {
            let shape = self.new_shape(low, high);
            if fits(&shape) {
                return self.leaf(&shape, -2.0, 2.0);
            }
        }
        let shape = vec![2; low];
        self.leaf(&shape, -2.0, 2.0)
    }

    /// A value of this shape, new or shared.
    pub fn of(&mut self, shape: &[usize]) -> usize {
        self.of_within(shape, -2.0, 2.0)
    }

    /// A value of this shape between these bounds.
    pub fn of_within(&mut self, shape: &[usize], low: f64, high: f64) -> usize {
        let known: Vec<usize> = (0..self.values.len()).filter(|&i| self.values[i].shape == shape).collect();
        if !known.is_empty() && self.chance(60) {
            let id = self.choose(&known);
            if (low, high) == (-2.0, 2.0) {
                return id;
            }
            if let Some(id) = self.within(id, low, high) {
                return id;
            }
        }
        self.leaf(shape, low, high)
    }

    /// One that broadcasts with a shape, without making it larger.
    pub fn broadcast_to(&mut self, shape: &[usize]) -> Vec<usize> {
        let cut = if self.chance(30) { self.int(0, shape.len()) } else { 0 };
        shape[cut..].iter().map(|&s| if self.chance(25) { 1 } else { s }).collect()
    }

    /// This value, moved between two bounds if it isn't there.
    pub fn within(&mut self, id: usize, low: f64, high: f64) -> Option<usize> {
        if self.values[id].data.iter().all(|x| x.v >= low && x.v <= high) {
            return Some(id);
        }
        let name = std::mem::replace(&mut self.name, "sigmoid");
        let width = high - low;
        let made = self.emit(
            format!("$0.sigmoid() * {width} + {low}"),
            &[id],
            move |v| v[0].sigmoid() * width + low,
            move |a| a[0].map(|x| x.sigmoid() * width + low),
        );
        self.name = name;
        made
    }

    /// Appends an operation, unless its values lie near a kink or out of bounds. In the text `$0`, `$1` … are
    /// operands.
    pub fn emit(
        &mut self,
        text: impl Into<String>,
        operands: &[usize],
        call: impl for<'t> Fn(&[V<'t>]) -> V<'t> + 'static,
        definition: impl Fn(&[&Arr]) -> Arr + 'static,
    ) -> Option<usize> {
        margin();
        let value = definition(&operands.iter().map(|&i| &self.values[i]).collect::<Vec<_>>());
        let fits = |x: &N| x.v.abs() < 1e4 && x.a.abs().max(x.b.abs()) < 1e5 && x.ab.abs() < 1e6;
        if margin() < 1e-5
            || !value.data.iter().all(fits)
            || value.data.len() > if self.large { 70_000 } else { 3000 }
        {
            return None;
        }
        let (call, definition): (Call, Definition) = (Rc::new(call), Rc::new(definition));
        let what = What::Operation { op: self.name, operands: operands.to_vec(), call, definition };
        Some(self.push(what, text.into(), value))
    }

    /// One try at an operation: whether it was appended.
    pub fn attempt(&mut self, op: &Op) -> bool {
        let before = self.values.len();
        self.name = op.name;
        let made = (op.make)(self).is_some();
        if !made {
            self.values.truncate(before);
            self.program.statements.truncate(before);
        }
        made
    }

    /// The loss over all that nothing else reads, and now and then over something more.
    pub fn finish(mut self) -> Program {
        let mut read = vec![false; self.values.len()];
        self.program.statements.iter().for_each(|s| s.operands().iter().for_each(|&o| read[o] = true));
        for i in 0..self.values.len() {
            if !read[i] || self.chance(10) {
                let weights = (0..self.values[i].data.len()).map(|_| self.real(-1.0, 1.0)).collect();
                self.program.loss.push((i, weights));
            }
        }
        self.program
    }
}

/// The sum of a list.
pub fn sum(x: &[N]) -> N {
    x.iter().copied().sum()
}

/// The mean of a list.
pub fn mean(x: &[N]) -> N {
    sum(x) / n(x.len() as f64)
}
