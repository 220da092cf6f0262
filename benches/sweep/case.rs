//! A case of the sweep: its inputs, what it computes with kolmo and, as text, with PyTorch, and how it is timed.
use crate::timing::{Plan, Times, budget_or, fill};
use kolmo::{
    Error, Float, Gradients, Result, Tape, Tensor, Var,
    nn::{Param, named_params},
    optim::Optimizer,
};
use serde::Serialize;
use serde_json::{Value, json};
use std::{hint::black_box, rc::Rc};

/// What a case is given: values of the tape, indices, masks, in the order in which they are listed.
pub struct In<'a, 't, T: Float> {
    pub x: &'a [Var<'t, T>],
    pub i: &'a [Tensor<u32>],
    pub m: &'a [Tensor<bool>],
}

/// What a case gives.
pub enum Out<'t, T: Float> {
    Values(Vec<Var<'t, T>>),
    /// No value of a tape: its numbers, for the checksum.
    Plain(Box<dyn FnOnce() -> Vec<f64>>),
    Failed(Error),
}

impl<'t, T: Float> From<Var<'t, T>> for Out<'t, T> {
    fn from(y: Var<'t, T>) -> Self {
        Out::Values(vec![y])
    }
}
impl<'t, T: Float> From<(Var<'t, T>, Tensor<u32>)> for Out<'t, T> {
    fn from(y: (Var<'t, T>, Tensor<u32>)) -> Self {
        Out::Values(vec![y.0])
    }
}
impl<'t, T: Float> From<kolmo::ops::Parts<Var<'t, T>>> for Out<'t, T> {
    fn from(y: kolmo::ops::Parts<Var<'t, T>>) -> Self {
        Out::Values(y.into())
    }
}
impl<'t, T: Float, E: kolmo::tensor::Element> From<Tensor<E>> for Out<'t, T> {
    fn from(y: Tensor<E>) -> Self {
        Out::Plain(Box::new(move || y.cast().to_vec()))
    }
}
impl<'t, T: Float, E: kolmo::tensor::Element> From<Result<Tensor<E>>> for Out<'t, T> {
    fn from(y: Result<Tensor<E>>) -> Self {
        y.map_or_else(Out::Failed, Out::from)
    }
}

pub type Step<T> = Rc<dyn for<'a, 't> Fn(In<'a, 't, T>) -> Out<'t, T>>;

/// As a step; the bounds tell the compiler the closure's lifetimes.
pub fn step<T: Float>(f: impl for<'a, 't> Fn(In<'a, 't, T>) -> Out<'t, T> + 'static) -> Step<T> {
    Rc::new(f)
}

/// A function in both precisions.
#[derive(Clone)]
pub struct Both(pub Step<f32>, pub Step<f64>);

/// `run!(|x, i, m| expression)`: a function of values, indices and masks.
macro_rules! run {
    (|$x:ident $(, $i:ident $(, $m:ident)?)?| $e:expr) => {
        $crate::case::Both(
            $crate::case::step(move |a| { let $x = a.x; $(let $i = a.i; $(let $m = a.m;)?)? $e.into() }),
            $crate::case::step(move |a| { let $x = a.x; $(let $i = a.i; $(let $m = a.m;)?)? $e.into() }),
        )
    };
}
pub(crate) use run;

/// Rows of cases: `"name" PASSES ["inputs", …] |x, i, m| expression, "the same with PyTorch";`
macro_rules! rows {
    ($list:ident, $family:literal; $($name:literal $passes:ident $inputs:tt |$($v:ident),*| $e:expr, $torch:literal;)*) => {
        $($list.add($family, $name, $crate::case::$passes, &$inputs, $crate::case::run!(|$($v),*| $e), $torch);)*
    };
}
pub(crate) use rows;

/// What is timed of a case.
#[derive(Clone, Copy)]
pub struct Passes {
    forward: bool,
    backward: bool,
    double: bool,
    /// The result is a matter of chance: no checksum.
    random: bool,
}

const NONE: Passes = Passes { forward: false, backward: false, double: false, random: false };
pub const FORWARD: Passes = Passes { forward: true, ..NONE };
pub const BOTH: Passes = Passes { backward: true, ..FORWARD };
/// And in double precision, at the middle one of the sizes.
pub const DOUBLE: Passes = Passes { double: true, ..BOTH };
pub const CHANCE: Passes = Passes { random: true, ..FORWARD };
pub const CHANCE_BACKWARD: Passes = Passes { backward: true, random: true, ..NONE };

type Update = Box<dyn FnMut(&[Param], &Gradients) -> Result<()>>;

#[derive(Clone)]
enum Body {
    Single(Step<f32>),
    Double(Step<f64>),
    Layer(Rc<dyn Fn() -> (Step<f32>, Vec<Param>)>),
    Optimizer(Rc<dyn Fn() -> Update>),
}

pub struct Case {
    pub family: &'static str,
    pub name: String,
    inputs: Vec<Input>,
    passes: Passes,
    torch: String,
    /// PyTorch's layer or optimiser.
    object: String,
    body: Body,
}

#[derive(Default)]
pub struct List(pub Vec<Case>);

impl List {
    /// A function on inputs of several sizes.
    pub fn add(
        &mut self,
        family: &'static str,
        name: &str,
        passes: Passes,
        inputs: &[&str],
        run: Both,
        torch: &str,
    ) {
        let middle = inputs.len() / 2;
        for (k, inputs) in inputs.iter().enumerate() {
            self.push(family, name, passes, inputs, [torch, ""], Body::Single(run.0.clone()));
            if passes.double && k == middle {
                self.push(family, name, passes, inputs, [torch, ""], Body::Double(run.1.clone()));
            }
        }
    }

    /// A layer on one input of several sizes; what PyTorch calls it.
    pub fn layer<M: Serialize + 'static>(
        &mut self,
        [name, object, torch]: [&str; 3],
        inputs: &[&str],
        make: impl Fn() -> M + 'static,
        run: impl for<'a, 't> Fn(&M, &Var<'t>) -> Var<'t> + Clone + 'static,
    ) {
        let sorted = |model: &M| {
            let mut params = named_params::<f32>(model);
            // No gradient goes to statistics, and PyTorch doesn't call them parameters.
            params.retain(|(name, _)| !name.starts_with("running_") && name != "num_batches_tracked");
            params.sort_by(|a, b| a.0.cmp(&b.0));
            params.into_iter().map(|(_, p)| p).collect::<Vec<Param>>()
        };
        let params = sorted(&make());
        let shapes = params.iter().map(|p| {
            let sizes: Vec<String> = p.shape().iter().map(usize::to_string).collect();
            format!(" f:{}:-0.1..0.1", sizes.join("x"))
        });
        let params: String = shapes.collect();
        let body = Body::Layer(Rc::new(move || {
            let (model, run) = (make(), run.clone());
            let params = sorted(&model);
            (step(move |a| run(&model, &a.x[0]).into()), params)
        }));
        for inputs in inputs {
            self.push("layers", name, BOTH, &format!("{inputs}{params}"), [torch, object], body.clone());
        }
    }

    /// Steps of an optimiser on so many parameters of such a size.
    pub fn optimizer<O: Optimizer + 'static>(
        &mut self,
        name: &str,
        object: &str,
        make: impl Fn() -> O + 'static,
    ) {
        let body = Body::Optimizer(Rc::new(move || {
            let mut optimizer = make();
            Box::new(move |model, grads| optimizer.step(model, grads))
        }));
        for size in ["10x100", "100x10000", "1x1000000"] {
            let inputs = format!("f:{size} c:{size}");
            self.push("optimisers", name, FORWARD, &inputs, ["", object], body.clone());
        }
    }

    fn push(
        &mut self,
        family: &'static str,
        name: &str,
        passes: Passes,
        inputs: &str,
        [torch, object]: [&str; 2],
        body: Body,
    ) {
        let inputs: Vec<Input> =
            (1..).zip(inputs.split_whitespace()).map(|(k, i)| Input::read(i, k)).collect();
        let shown = match body {
            Body::Layer(_) | Body::Optimizer(_) => &inputs[..1],
            _ => &inputs,
        };
        let shapes: Vec<String> = shown.iter().map(Input::shown).collect();
        let name = format!("{name} {}", shapes.join(" "));
        let (torch, object) = (torch.to_string(), object.to_string());
        self.0.push(Case { family, name, inputs, passes, torch, object, body });
    }
}

impl Case {
    pub fn dtype(&self) -> &'static str {
        if matches!(self.body, Body::Double(_)) { "float64" } else { "float32" }
    }

    /// Of forward (false), and forward and backward (true), what is timed.
    pub fn timed(&self) -> impl Iterator<Item = bool> {
        [(self.passes.forward, false), (self.passes.backward, true)].into_iter().filter(|p| p.0).map(|p| p.1)
    }

    /// What PyTorch's side needs.
    pub fn described(&self, backward: bool) -> Value {
        let inputs: Vec<Value> = self
            .inputs
            .iter()
            .map(
                |i| json!({ "kind": i.kind, "shape": i.shape, "low": i.low, "high": i.high, "seed": i.seed }),
            )
            .collect();
        json!({
            "family": self.family, "case": self.name, "dtype": self.dtype(), "backward": backward,
            "random": self.passes.random, "inputs": inputs, "torch": self.torch, "object": self.object,
        })
    }

    /// Times it: median, least, checksum.
    pub fn time(&self, backward: bool) -> Result<[f64; 3]> {
        match &self.body {
            Body::Single(step) => self.time_step(step, &[], backward),
            Body::Double(step) => self.time_step(step, &[], backward),
            Body::Layer(make) => {
                let (step, params) = make();
                let given = self.inputs.len() - params.len();
                params.iter().zip(&self.inputs[given..]).for_each(|(p, input)| p.set(input.floats()));
                self.time_step(&step, &params, backward)
            }
            Body::Optimizer(make) => self.time_update(make()),
        }
    }

    fn time_step<T: Float>(&self, step: &Step<T>, params: &[Param<T>], backward: bool) -> Result<[f64; 3]> {
        let inputs = &self.inputs[..self.inputs.len() - params.len()];
        let of = |kind| inputs.iter().filter(move |i| i.class() == kind);
        let x: Vec<(Tensor<T>, bool)> = of('f').map(|i| (i.floats(), i.differentiated())).collect();
        let i: Vec<Tensor<u32>> = of('i').map(Input::indices).collect();
        let m: Vec<Tensor<bool>> = of('m').map(Input::mask).collect();
        if !backward {
            let tape = Tape::inference();
            let run = || {
                let x: Vec<Var<T>> = x.iter().map(|x| tape.constant(&x.0)).collect();
                match step(In { x: &x, i: &i, m: &m }) {
                    Out::Values(y) => y.iter().try_for_each(Var::ok).map(|()| Out::Values(y)),
                    Out::Failed(error) => Err(error),
                    y => Ok(y),
                }
            };
            let checksum = match run()? {
                Out::Values(y) => y.iter().map(|y| Ok(checksum(y.value()?))).sum::<Result<f64>>()?,
                Out::Plain(y) => checksum(&Tensor::from(y())),
                Out::Failed(error) => return Err(error),
            };
            return times(checksum, || run().map(|y| drop(black_box(y))));
        }
        let mut tape = Tape::new();
        let mut weights: Option<Vec<Tensor<T>>> = None;
        let mut run = |check: bool| {
            tape.reset();
            let put = |(x, grad): &(Tensor<T>, bool)| if *grad { tape.input(x) } else { tape.constant(x) };
            let x: Vec<Var<T>> = x.iter().map(put).collect();
            let y = match step(In { x: &x, i: &i, m: &m }) {
                Out::Values(y) => y,
                Out::Plain(_) => vec![],
                Out::Failed(error) => return Err(error),
            };
            let weights = weights.get_or_insert_with(|| y.iter().map(weight).collect());
            let parts = y.iter().zip(weights).map(|(y, w)| (y * &*w).sum());
            let loss = parts.reduce(|a, b| a + b).unwrap_or_else(|| tape.constant(T::constant(0.0)));
            let grads = loss.backward()?;
            if !check {
                black_box(&grads);
                return Ok(0.0);
            }
            let of_params = params.iter().filter_map(|p| grads.param(p));
            Ok(x.iter().filter_map(|x| grads.get(x)).chain(of_params).map(checksum).sum::<f64>())
        };
        let checksum = run(true)?;
        times(checksum, || run(false).map(drop))
    }

    fn time_update(&self, mut update: Update) -> Result<[f64; 3]> {
        let params = self.inputs[0].floats::<f32>();
        let grads = self.inputs[1].floats::<f32>();
        let rows = 0..params.dim(0) as isize;
        let model: Vec<Param> = rows
            .map(|k| params.select(0, k).map(|row| Param::new(row.contiguous())))
            .collect::<Result<_>>()?;
        let tape = Tape::new();
        let products = model.iter().zip(0..).map(|(p, k)| {
            let grad = tape.constant(grads.select(0, k)?);
            Ok((tape.param(p) * grad).sum())
        });
        let loss = products.reduce(|a, b| Ok(a? + b?)).unwrap_or_else(|| Ok(tape.constant(0.0)))?;
        let grads = loss.backward()?;
        for _ in 0..3 {
            update(&model, &grads)?;
        }
        let checksum = model.iter().map(|p| checksum(&p.value())).sum();
        times(checksum, || update(&model, &grads))
    }
}

/// Median, least, checksum.
fn times(checksum: f64, step: impl FnMut() -> Result<()>) -> Result<[f64; 3]> {
    let times = Times::take(Plan { budget: budget_or(0.05), warmup: 2, repeats: 5, most: usize::MAX }, step)?;
    Ok([times.median(), times.sorted[0], checksum])
}

/// Numbers from 0.5 to 1.5, by which the elements of a result are told apart.
fn weight<T: Float>(y: &Var<'_, T>) -> Tensor<T> {
    let data = fill(99, y.numel(), 0.5);
    Tensor::from_fn(y.shape(), |i| f64::from(data[i]) + 1.0).cast()
}

/// A sum of positive numbers that depends on the sign and place of every element.
fn checksum<T: kolmo::tensor::Element>(y: &Tensor<T>) -> f64 {
    let data = y.cast::<f64>().to_vec();
    fill(99, data.len(), 0.5).iter().zip(data).map(|(&w, v)| (f64::from(w) + 1.0) * (v.abs() + v / 2.0)).sum()
}

/// An input as text: kind, shape, and for some a range: `f:128x10:0.5..2`.
///
/// | kind | what it is |
/// | --- | --- |
/// | `f` | floats, by default from -1 to 1 |
/// | `t` | the same, with the last two axes exchanged in memory |
/// | `c` | the same without gradient |
/// | `s` | -1 and 1, without gradient |
/// | `d` | a positive definite matrix for each index of the first axes |
/// | `i` | indices, below 10 by default |
/// | `p` | a permutation |
/// | `m` | a mask |
struct Input {
    kind: char,
    shape: Vec<usize>,
    low: f64,
    high: f64,
    seed: u32,
}

impl Input {
    fn read(text: &str, seed: u32) -> Input {
        let mut parts = text.split(':');
        let kind = parts.next().and_then(|kind| kind.chars().next()).unwrap_or('f');
        let sizes = parts.next().unwrap_or_default();
        let shape = sizes.split('x').filter_map(|n| n.parse().ok()).collect();
        let number = |text: &str| text.parse::<f64>().ok();
        let range = parts.next().and_then(|range| range.split_once(".."));
        let range = range.and_then(|(low, high)| number(low).zip(number(high)));
        let (low, high) = range.unwrap_or(if kind == 'i' { (0.0, 10.0) } else { (-1.0, 1.0) });
        Input { kind, shape, low, high, seed }
    }

    fn shown(&self) -> String {
        let sizes: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        let mark = if self.kind == 't' { "ᵀ" } else { "" };
        if sizes.is_empty() { "scalar".to_string() } else { sizes.join("x") + mark }
    }

    fn class(&self) -> char {
        match self.kind {
            'i' | 'p' => 'i',
            'm' => 'm',
            _ => 'f',
        }
    }

    fn differentiated(&self) -> bool {
        matches!(self.kind, 'f' | 't' | 'd')
    }

    fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// From 0 to 1.
    fn uniform(&self) -> Vec<f64> {
        fill(self.seed, self.numel(), 1.0).iter().map(|&v| (f64::from(v) + 1.0) / 2.0).collect()
    }

    fn floats<T: Float>(&self) -> Tensor<T> {
        let u = self.uniform();
        let at = |i: usize| self.low + u[i] * (self.high - self.low);
        let n = self.shape.last().copied().unwrap_or(1);
        let element = |i: usize| match self.kind {
            's' => {
                if u[i] < 0.5 {
                    -1.0
                } else {
                    1.0
                }
            }
            'd' => {
                let (matrix, row, column) = (i / (n * n) * n * n, i / n % n, i % n);
                let diagonal = if row == column { 2.0 } else { 0.0 };
                at(matrix + row.min(column) * n + row.max(column)) / n as f64 + diagonal
            }
            _ => at(i),
        };
        let x = Tensor::from_fn(&self.shape[..], element).cast();
        let exchanged = || x.transpose(-1, -2).map(|x| x.contiguous())?.transpose(-1, -2);
        if self.kind == 't' { exchanged().unwrap_or(x) } else { x }
    }

    fn indices(&self) -> Tensor<u32> {
        let u = self.uniform();
        match self.kind {
            'p' => Tensor::from_fn(&self.shape[..], |i| (i * 7919 % self.numel()) as u32),
            _ => Tensor::from_fn(&self.shape[..], |i| {
                (self.low + u[i] * (self.high - self.low)).floor() as u32
            }),
        }
    }

    fn mask(&self) -> Tensor<bool> {
        let u = self.uniform();
        Tensor::from_fn(&self.shape[..], |i| u[i] < 0.5)
    }
}
