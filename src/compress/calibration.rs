//! What calibration sees of a model: the second moments of what goes into each matrix, and how much the loss
//! hangs on what comes out of it. It looks on while any program runs over a tape.
use super::filter::{each_field, picks_some};
use crate::{
    error::{Checked, Result},
    ids::{IdMap, ParamId},
    kernels::matmul::{Mat, MatMut, matmul},
    ops::Float,
    param::{Groups, Param, shown},
    tape::{NodeId, Tape, Witness},
    tensor::{Shape, Tensor, room::filled},
};
use serde::Serialize;
use std::{
    any::Any,
    cell::{RefCell, RefMut},
    collections::HashMap,
    fmt,
    rc::Rc,
    sync::Arc,
};

/// What is seen of a model while it runs: for each weight that is multiplied by (`linear`, `matmul` with it
/// on the right), the second moments `XᵀX` of what is multiplied and its mean magnitudes; and, where a
/// program takes gradients, the squares of the loss's derivatives by what comes out. Weights with the same
/// input share its moments. Sums are the same on any number of threads.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, compress::{Calibration, matrices, quantize::Gptq}, nn::{Layer, Linear}};
/// let net = Linear::new(64, 32, &mut Random::new(0));
/// let calibration = Calibration::new(&net, matrices)?;
/// let mut tape = Tape::inference();
/// for batch in 0..4 {
///     tape.reset();
///     let x = Tensor::<f32>::from_fn([32, 64], |i| ((i * 7 + batch) as f32).sin());
///     calibration.observe(&tape, || net.forward(&tape.constant(x)));
/// }
/// assert_eq!(calibration.second_moments(&net.weight).unwrap().shape()[..], [64, 64]);
/// Gptq::new(4).groups(32).apply(&net, &calibration)?;
/// # Ok::<(), kolmo::Error>(())
/// ```
pub struct Calibration(Rc<Seen>);

struct Seen(RefCell<State>);

#[derive(Default)]
pub(super) struct State {
    pub weights: IdMap<Weight>,
    pub moments: Vec<Moments>,
    /// Weights by where their numbers lie as they are used.
    places: HashMap<usize, ParamId>,
    held: IdMap<(usize, Box<dyn Any>)>,
    last: Option<Last>,
    /// Products and, if so, rows that were looked up.
    nodes: HashMap<NodeId, (ParamId, bool)>,
    failure: Option<String>,
}

/// What is known of a weight.
pub(super) struct Weight {
    pub name: String,
    pub rows: usize,
    pub cols: usize,
    /// Whether its inputs lie along the first axis.
    pub turned: bool,
    /// The number of its input's moments, and of how many rows it had them.
    pub input: Option<usize>,
    pub count: usize,
    /// For each output the sum of squares of the loss's derivatives, of none without gradients; and of how many
    /// rows.
    pub slopes: Vec<f64>,
    pub sloped: usize,
    /// What its outputs were divided by since then, by [`ColumnScales`](super::fold::ColumnScales).
    pub divided: Vec<f64>,
    /// Whether rows were looked up, and second moments of the derivatives by them.
    pub looked_up: bool,
    pub lookups: Option<Moments>,
}

impl Weight {
    /// As if its outputs were divided by these.
    pub fn divide(&mut self, by: &[f64]) {
        self.slopes.iter_mut().zip(by).for_each(|(slope, by)| *slope *= by * by);
        self.divided.iter_mut().zip(by).for_each(|(all, by)| *all *= by);
    }
}

/// Sums over all that was multiplied.
pub(super) struct Moments {
    pub n: usize,
    /// `XᵀX`, of which the lower triangle is right.
    pub products: Vec<f32>,
    pub magnitudes: Vec<f64>,
    pub largest: Vec<f64>,
    /// What the inputs were divided by since they first were what they are: damping is for what they were.
    pub divided: Vec<f64>,
    pub count: usize,
}

/// Columns of the second moments that are computed at a time, without most of what lies above the diagonal.
const COLUMNS: usize = 256;

impl Moments {
    fn new(n: usize) -> Checked<Moments> {
        let products = filled(n.checked_mul(n).ok_or("too many inputs")?, 0.0)?;
        let zeros = || vec![0.0; n];
        Ok(Moments { n, products, magnitudes: zeros(), largest: zeros(), divided: vec![1.0; n], count: 0 })
    }

    /// The mean square of an input; 1 of none.
    pub fn mean(&self) -> f64 {
        let sum: f64 = self.products.iter().step_by(self.n + 1).map(|&v| f64::from(v)).sum();
        let mean = sum / (self.n * self.count).max(1) as f64;
        if mean > 0.0 { mean } else { 1.0 }
    }

    /// As of inputs that are divided by these.
    pub fn divide(&mut self, by: &[f64]) {
        let n = self.n.max(1);
        for (row, i) in self.products.chunks_exact_mut(n).zip(by) {
            row.iter_mut().zip(by).for_each(|(v, j)| *v = (f64::from(*v) / (i * j)) as f32);
        }
        for seen in [&mut self.magnitudes, &mut self.largest] {
            seen.iter_mut().zip(by).for_each(|(seen, by)| *seen /= by);
        }
        self.divided.iter_mut().zip(by).for_each(|(all, by)| *all *= by);
    }

    fn add(&mut self, x: &Tensor<f32>) -> Checked<()> {
        let x = x.contiguous().made()?;
        let (n, rows, data) = (self.n, x.dim(0), x.as_slice().unwrap_or_default());
        for from in (0..n).step_by(COLUMNS) {
            let cols = COLUMNS.min(n - from);
            let part = data.get(from..).unwrap_or_default();
            let a = Mat { data: part, rows: n - from, cols: rows, row_stride: 1, col_stride: n as isize };
            let b = Mat { data: part, rows, cols, row_stride: n as isize, col_stride: 1 };
            let out = self.products.get_mut(from * n + from..).unwrap_or_default();
            let c = MatMut { data: out, rows: n - from, cols, row_stride: n as isize, col_stride: 1 };
            matmul(1.0, a, b, 1.0, c)?;
        }
        for row in data.chunks_exact(n.max(1)) {
            self.magnitudes.iter_mut().zip(row).for_each(|(sum, v)| *sum += f64::from(v.abs()));
            self.largest.iter_mut().zip(row).for_each(|(most, v)| *most = most.max(f64::from(v.abs())));
        }
        self.count += rows;
        Ok(())
    }
}

/// What tells a tensor from others while it is held: where its numbers lie, and which of them it has.
type Key = (usize, usize, Vec<isize>, Shape);

fn place<T: Float>(x: &Tensor<T>) -> usize {
    x.held().map_or_else(|| x.buffer_id(), |packed| Arc::as_ptr(&packed) as usize)
}

fn key<T: Float>(x: &Tensor<T>) -> Key {
    (place(x), x.layout().offset, x.strides().to_vec(), x.shape().clone())
}

/// What was multiplied last, held so that its place is no other's, and the number of its moments.
struct Last {
    key: Key,
    number: usize,
    _held: Box<dyn Any>,
}

impl State {
    /// Adds what a weight is multiplied with to its moments, unless that was done for another weight.
    fn product<T: Float>(&mut self, id: ParamId, x: &Tensor<T>, w: &Tensor<T>) -> Checked<()> {
        let Some(weight) = self.weights.get_mut(&id) else { return Ok(()) };
        // Of a matrix of which only some columns are used nothing can be told.
        let turned = match w.strides() {
            [_, 1] if w.dim(1) == weight.cols => false,
            [1, _] if w.dim(1) == weight.rows => true,
            _ => return Ok(()),
        };
        if weight.input.is_some() && weight.turned != turned {
            return Err("it is used as it is and transposed".into());
        }
        (weight.turned, weight.count) = (turned, weight.count + x.dim(0));
        let key = key(x);
        let known = self.last.as_ref().filter(|last| last.key == key).map(|last| last.number);
        let number = match (weight.input, known) {
            (None, Some(number)) => *weight.input.insert(number),
            (Some(own), _) => own,
            (None, None) => {
                self.moments.push(Moments::new(x.dim(1))?);
                *weight.input.insert(self.moments.len() - 1)
            }
        };
        if known == Some(number) {
            return Ok(());
        }
        if let Some(moments) = self.moments.get_mut(number) {
            moments.add(&x.cast::<f32>())?;
        }
        self.last = Some(Last { key, number, _held: Box::new(x.clone()) });
        Ok(())
    }

    /// Adds the squares of derivatives `[rows, out]`.
    fn slopes<T: Float>(&mut self, id: ParamId, grad: &Tensor<T>) -> Checked<()> {
        let Some(weight) = self.weights.get_mut(&id) else { return Ok(()) };
        let (grad, outputs) = (grad.contiguous().made()?, grad.dim(-1).max(1));
        weight.slopes.resize(outputs, 0.0);
        weight.divided.resize(outputs, 1.0);
        weight.sloped += grad.numel() / outputs;
        for row in grad.as_slice().unwrap_or_default().chunks_exact(outputs) {
            let squares = row.iter().map(|v| v.to_f64() * v.to_f64());
            weight.slopes.iter_mut().zip(squares).for_each(|(sum, square)| *sum += square);
        }
        Ok(())
    }

    /// Adds the derivatives by rows that were looked up, `[rows, cols]`.
    fn looked_up<T: Float>(&mut self, id: ParamId, grad: &Tensor<T>) -> Checked<()> {
        let Some(weight) = self.weights.get_mut(&id) else { return Ok(()) };
        if grad.rank() != 2 || grad.dim(1) != weight.cols {
            return Ok(());
        }
        let lookups = match &mut weight.lookups {
            Some(lookups) => lookups,
            none => none.insert(Moments::new(grad.dim(1))?),
        };
        lookups.add(&grad.cast::<f32>())
    }

    fn forget(&mut self) {
        self.places.clear();
        self.held.clear();
        self.nodes.clear();
        self.last = None;
    }

    fn keep(&mut self, id: ParamId, done: Checked<()>) {
        if let (Err(why), Some(weight)) = (done, self.weights.get(&id)) {
            self.failure.get_or_insert(format!("{}: {why}", shown(&weight.name)));
        }
    }
}

impl<T: Float> Witness<T> for Seen {
    fn param(&self, id: ParamId, value: &Tensor<T>) {
        let mut state = self.0.borrow_mut();
        if state.weights.contains_key(&id) {
            let place = place(value);
            if let Some((before, _)) = state.held.insert(id, (place, Box::new(value.clone()))) {
                state.places.remove(&before);
            }
            state.places.insert(place, id);
        }
    }

    fn product(&self, x: &Tensor<T>, w: &Tensor<T>, node: Option<NodeId>) {
        let mut state = self.0.borrow_mut();
        let Some(&id) = state.places.get(&place(w)) else { return };
        let done = state.product(id, x, w);
        state.keep(id, done);
        state.nodes.extend(node.map(|node| (node, (id, false))));
    }

    fn knows(&self, w: &Tensor<T>) -> bool {
        self.0.borrow().places.contains_key(&place(w))
    }

    fn lookup(&self, w: &Tensor<T>, node: Option<NodeId>) {
        let mut state = self.0.borrow_mut();
        let Some(&id) = state.places.get(&place(w)) else { return };
        state.nodes.extend(node.map(|node| (node, (id, true))));
        if let Some(weight) = state.weights.get_mut(&id) {
            weight.looked_up = true;
        }
    }

    fn adjoint(&self, node: NodeId, grad: &Tensor<T>) {
        let mut state = self.0.borrow_mut();
        if let Some(&(id, rows)) = state.nodes.get(&node) {
            let done = if rows { state.looked_up(id, grad) } else { state.slopes(id, grad) };
            state.keep(id, done);
        }
    }
}

impl Calibration {
    /// Of the weights that `filter` picks by name and shape; others aren't looked at.
    ///
    /// # Errors
    /// A filter that picks no parameter.
    pub fn new<M: Serialize + ?Sized>(
        model: &M,
        filter: impl Fn(&str, &Shape) -> bool,
    ) -> Result<Calibration> {
        let mut state = State::default();
        each_field!(model, |name, p| {
            let shape = p.shape();
            if filter(&name, &shape) {
                let groups = Groups::new(&shape, 1);
                let (rows, cols) = (groups.rows(), groups.cols());
                let weight = Weight {
                    name,
                    rows,
                    cols,
                    turned: false,
                    input: None,
                    count: 0,
                    slopes: Vec::new(),
                    sloped: 0,
                    divided: Vec::new(),
                    looked_up: false,
                    lookups: None,
                };
                state.weights.entry(p.id()).or_insert(weight);
            }
        });
        picks_some("Calibration", model, state.weights.len())?;
        Ok(Calibration(Rc::new(Seen(RefCell::new(state)))))
    }

    /// Runs a program and adds what is seen of it.
    pub fn observe<T: Float, R>(&self, tape: &Tape<T>, run: impl FnOnce() -> R) -> R {
        let result = tape.witnessed(self.0.clone(), run);
        self.0.0.borrow_mut().forget();
        result
    }

    /// `XᵀX` over all that a weight was multiplied with, `[in, in]`; `None` if it wasn't.
    pub fn second_moments<T: Float>(&self, p: &Param<T>) -> Option<Tensor<f32>> {
        self.moments(p, |moments| {
            let (n, all) = (moments.n, &moments.products);
            let at = |i: usize, j: usize| all.get(i.max(j) * n + i.min(j)).copied().unwrap_or_default();
            Tensor::from_fn([n, n], |i| at(i / n, i % n))
        })
    }

    /// The mean magnitude of each input of a weight; `None` if it wasn't multiplied by.
    pub fn mean_magnitudes<T: Float>(&self, p: &Param<T>) -> Option<Vec<f64>> {
        self.moments(p, |moments| moments.magnitudes.iter().map(|sum| sum / moments.count as f64).collect())
    }

    fn moments<T: Float, R>(&self, p: &Param<T>, f: impl FnOnce(&Moments) -> R) -> Option<R> {
        let state = self.0.0.borrow();
        Some(f(state.moments.get(state.weights.get(&p.id())?.input?)?))
    }

    /// What was seen, if all of it can be used.
    pub(super) fn seen(&self) -> Checked<RefMut<'_, State>> {
        let state = self.0.0.borrow_mut();
        if let Some(why) = &state.failure {
            return Err(why.clone());
        }
        for weight in state.weights.values() {
            let all = weight.input.and_then(|number| state.moments.get(number)).map_or(0, |m| m.count);
            if all != weight.count {
                let (name, own) = (shown(&weight.name), weight.count);
                return Err(format!(
                    "{name} was multiplied with {own} of {all} rows of an input that others have as well: \
                     weights that share their first input must share all"
                ));
            }
        }
        Ok(state)
    }
}

impl fmt::Debug for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.0.borrow();
        write!(f, "Calibration({} weights, {} inputs)", state.weights.len(), state.moments.len())
    }
}
