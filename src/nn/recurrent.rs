//! Recurrent layers: sequences of vectors, with a state that goes along. Weights have PyTorch's names and
//! layouts: `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, the next layer's with `l1`, those of
//! the way back with `_reverse`.
use super::{
    fit::{refused, shaped, sizes_of},
    init,
};
use crate::{
    checked::{Check, checked, probability},
    error::Checked,
    kernels::recurrent::Cell,
    ops::{Float, list::Recurrence, recurrent::ByHand},
    options::options,
    param::Param,
    tape::{Random, Var},
    tensor::{Shape, Tensor},
};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::{collections::BTreeMap, io::Write as _};

/// What a recurrent layer does in one step; `x` and `h` stand for `W_ih·x + b_ih` and `W_hh·h + b_hh`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[doc(alias("LSTM", "GRU", "RNN"))]
pub enum RecurrentMode {
    /// `h' = tanh(x + h)`
    #[serde(alias = "Tanh")]
    RnnTanh,
    /// `h' = max(x + h, 0)`
    #[serde(alias = "Relu")]
    RnnRelu,
    /// Hochreiter and Schmidhuber (1997): with `i, f, g, o` of `x + h`, `c' = σ(f)·c + σ(i)·tanh(g)`,
    /// `h' = σ(o)·tanh(c')`.
    Lstm,
    /// Cho et al. (2014): with `r, z` of `σ(x + h)` and `n = tanh(xₙ + r·hₙ)`, `h' = (1 - z)·n + z·h`.
    Gru,
}

impl RecurrentMode {
    fn cell(self) -> Cell {
        match self {
            RecurrentMode::RnnTanh => Cell::Tanh,
            RecurrentMode::RnnRelu => Cell::Relu,
            RecurrentMode::Lstm => Cell::Lstm,
            RecurrentMode::Gru => Cell::Gru,
        }
    }
}

/// The state of a recurrent layer: `[layers · directions, n, hidden]`, the ways back after those forth in
/// each layer.
#[derive(Clone, Debug)]
pub struct State<'t, T: Float = f32> {
    /// What is also the output of the last layer.
    pub hidden: Var<'t, T>,
    /// The memory of an [`RecurrentMode::Lstm`].
    pub cell: Option<Var<'t, T>>,
}

options! {
    /// What a [`Recurrent`] is made from besides its sizes, with PyTorch's names and defaults.
    RecurrentOptions {
        /// Layers, each of which reads the outputs of the one before (default 1).
        num_layers(usize): usize = 1,
        /// Whether there are `b_ih` and `b_hh` (default yes).
        bias(bool): bool = true,
        /// Probability that an output between two layers is dropped in training (default 0).
        dropout(f64): f64 = 0.0,
        /// Whether a second state goes from the end to the beginning (default no).
        bidirectional(bool): bool = false,
    }
}

/// Layers of recurrent cells, one upon the other.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, nn::{Recurrent, RecurrentMode, RecurrentOptions}};
/// let options = RecurrentOptions::new().num_layers(2).bidirectional(true);
/// let layer = Recurrent::with_options(RecurrentMode::Lstm, 3, 5, options, &mut Random::new(0));
/// let tape = Tape::new();
/// let (y, state) = layer.forward(&tape.constant(Tensor::ones([7, 4, 3])), None); // 7 steps, 4 sequences
/// assert_eq!((y.shape().to_vec(), state.hidden.shape().to_vec()), (vec![7, 4, 10], vec![4, 4, 5]));
/// ```
#[derive(Clone, Debug, Serialize)]
#[doc(alias("LSTM", "GRU", "RNN"))]
pub struct Recurrent<T: Float = f32> {
    /// What happens in a step.
    pub cell: RecurrentMode,
    /// Length of the state.
    pub hidden_size: usize,
    /// Layers.
    pub num_layers: usize,
    /// Whether a second state goes from the end to the beginning; the output then has both side by side.
    pub bidirectional: bool,
    /// Probability that an output between two layers is dropped in training.
    pub dropout: f64,
    /// Weights and biases by name.
    #[serde(flatten)]
    pub params: BTreeMap<String, Param<T>>,
}

checked!(Recurrent<T> {
    cell: RecurrentMode,
    hidden_size: usize,
    num_layers: usize,
    bidirectional: bool,
    dropout: f64,
    #[serde(flatten)]
    params: BTreeMap<String, Param<T>>,
});

impl<T: Float> Check for Recurrent<T> {
    fn check(&self) -> Checked<()> {
        if self.hidden_size == 0 || self.num_layers == 0 {
            let (hidden, layers) = (self.hidden_size, self.num_layers);
            return Err(format!(
                "hidden_size is {hidden} and num_layers {layers}, expected at least 1 of both"
            ));
        }
        probability("dropout", self.dropout)?;
        let rows = self.hidden_size.saturating_mul(self.cell.cell().gates());
        let (mut width, mut known) = (self.input_size()?, 0);
        for (layer, way) in self.places() {
            for (part, inner) in [("weight_ih", width), ("weight_hh", self.hidden_size)] {
                let name = Name::of(part, layer, way);
                let p = self.params.get(name.text()).ok_or_else(|| format!("there is no {}", name.text()))?;
                shaped(name.text(), p, &[rows, inner])?;
                known += 1;
            }
            for part in ["bias_ih", "bias_hh"] {
                let name = Name::of(part, layer, way);
                if let Some(bias) = self.params.get(name.text()) {
                    shaped(name.text(), bias, &[rows])?;
                    known += 1;
                }
            }
            if way + 1 == self.directions() {
                width = self.hidden_size.saturating_mul(self.directions());
            }
        }
        if known == self.params.len() {
            return Ok(());
        }
        let belongs = |name: &str| {
            let parts = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];
            self.places()
                .any(|(layer, way)| parts.iter().any(|part| name == Name::of(part, layer, way).text()))
        };
        let other = self.params.keys().find(|name| !belongs(name));
        Err(format!("{} is no parameter of {} layers", other.map_or("", String::as_str), self.num_layers))
    }
}

impl Recurrent {
    /// One layer in one direction with biases and PyTorch's starting values: all uniform within ±1/√hidden.
    pub fn new(mode: RecurrentMode, input_size: usize, hidden_size: usize, rng: &mut Random) -> Self {
        Recurrent::with_options(mode, input_size, hidden_size, RecurrentOptions::new(), rng)
    }

    /// The same with more layers, in both directions, with dropout, or without biases.
    pub fn with_options(
        mode: RecurrentMode,
        input_size: usize,
        hidden_size: usize,
        options: RecurrentOptions,
        rng: &mut Random,
    ) -> Self {
        Recurrent::with_dtype(mode, input_size, hidden_size, options, rng)
    }

    /// One layer of [`RecurrentMode::Lstm`].
    #[doc(alias = "LSTM")]
    pub fn lstm(input_size: usize, hidden_size: usize, rng: &mut Random) -> Self {
        Recurrent::new(RecurrentMode::Lstm, input_size, hidden_size, rng)
    }

    /// One layer of [`RecurrentMode::Gru`].
    #[doc(alias = "GRU")]
    pub fn gru(input_size: usize, hidden_size: usize, rng: &mut Random) -> Self {
        Recurrent::new(RecurrentMode::Gru, input_size, hidden_size, rng)
    }

    /// One layer of [`RecurrentMode::RnnTanh`].
    #[doc(alias = "RNN")]
    pub fn rnn(input_size: usize, hidden_size: usize, rng: &mut Random) -> Self {
        Recurrent::new(RecurrentMode::RnnTanh, input_size, hidden_size, rng)
    }
}

impl<T: Float> Recurrent<T> {
    fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional)
    }

    /// Each layer in each direction.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> + use<T> {
        let directions = self.directions();
        (0..self.num_layers).flat_map(move |layer| (0..directions).map(move |way| (layer, way)))
    }

    /// Length of the input's vectors.
    fn input_size(&self) -> Checked<usize> {
        let shape = self.params.get("weight_ih_l0").map(sizes_of).transpose()?;
        match shape.as_deref() {
            Some(&[_, width]) => Ok(width),
            Some(other) => Err(format!("weight_ih_l0 has shape {other:?}, expected [gates · hidden, input]")),
            None => Err("there is no weight_ih_l0".into()),
        }
    }

    /// That the layer can work with an input, lengths of its sequences and a state.
    fn takes(&self, x: &Var<'_, T>, lengths: Option<&[usize]>, state: Option<&State<'_, T>>) -> Checked<()> {
        self.check()?;
        let width = self.input_size()?;
        let (states, hidden) = (self.num_layers * self.directions(), self.hidden_size);
        let expected = match x.shape()[..] {
            [steps, n, own] if steps > 0 && own == width => Shape::from([states, n, hidden]),
            [steps, own] if steps > 0 && own == width => Shape::from([states, hidden]),
            _ => return Err(format!("takes [steps, n, {width}] with a step at least, not {}", x.shape())),
        };
        if let Some(lengths) = lengths {
            let (steps, n) = (x.dim(0), if x.rank() == 2 { 1 } else { x.dim(1) });
            if lengths.len() != n {
                return Err(format!("takes {n} lengths, one for each sequence, not {}", lengths.len()));
            }
            if let Some((i, length)) = lengths.iter().enumerate().find(|(_, l)| !(1..=steps).contains(*l)) {
                return Err(format!("length {i} is {length}, expected 1 to {steps}"));
            }
        }
        let Some(state) = state else { return Ok(()) };
        for (name, v) in [("state", Some(&state.hidden)), ("state's cell", state.cell.as_ref())] {
            if let Some(v) = v.filter(|v| v.failed_id().is_none() && *v.shape() != expected) {
                return Err(format!("the {name} has shape {}, expected {expected}", v.shape()));
            }
        }
        Ok(())
    }

    /// As [`with_options`](Recurrent::with_options) with numbers of another type: `Recurrent::<f64>::with_dtype(…)`.
    pub fn with_dtype(
        mode: RecurrentMode,
        input_size: usize,
        hidden_size: usize,
        options: RecurrentOptions,
        rng: &mut Random,
    ) -> Self {
        let RecurrentOptions { num_layers, bias, dropout, bidirectional } = options;
        let bound = 1.0 / (hidden_size.max(1) as f64).sqrt();
        let (rows, directions) =
            (hidden_size.saturating_mul(mode.cell().gates()), 1 + usize::from(bidirectional));
        let mut params = BTreeMap::new();
        for layer in 0..num_layers {
            let width = if layer == 0 { input_size } else { hidden_size.saturating_mul(directions) };
            for way in 0..directions {
                let mut add = |part: &str, shape: &[usize]| {
                    let value = init::uniform(shape, -bound, bound, rng);
                    params.insert(Name::of(part, layer, way).text().to_string(), Param::new(value));
                };
                add("weight_ih", &[rows, width]);
                add("weight_hh", &[rows, hidden_size]);
                if bias {
                    add("bias_ih", &[rows]);
                    add("bias_hh", &[rows]);
                }
            }
        }
        Recurrent { cell: mode, hidden_size, num_layers, bidirectional, dropout, params }
    }

    /// Outputs of the last layer, `[steps, n, directions · hidden]`, and the states at the end, from inputs
    /// `[steps, n, input]` and the states at the beginning, which are zeros by default. For one sequence
    /// the axis `n` may be missing everywhere.
    #[track_caller]
    pub fn forward<'t>(&self, x: &Var<'t, T>, state: Option<&State<'t, T>>) -> (Var<'t, T>, State<'t, T>) {
        self.forward_within(x, None, state)
    }

    /// [`forward`](Recurrent::forward) of sequences of different lengths, each from 1 to `steps`, in any
    /// order. What stands behind a sequence's end isn't looked at: outputs there are 0, the state at the end
    /// is that of its last step, and the way back begins there. So PyTorch has it of packed sequences, but
    /// that outputs always have as many steps as `x`.
    ///
    /// ```
    /// use kolmo::{Random, Tape, Tensor, nn::Recurrent};
    /// let layer = Recurrent::gru(3, 5, &mut Random::new(0));
    /// let tape = Tape::new();
    /// let x = tape.constant(Tensor::ones([7, 2, 3])); // 2 sequences, of 7 and of 4 steps
    /// let (y, state) = layer.forward_lengths(&x, &[7, 4], None);
    /// assert_eq!(y.select(1, 1).select(0, 3).to_vec()?, state.hidden.select(1, 1).to_vec()?);
    /// assert_eq!(y.select(1, 1).select(0, 4).to_vec()?, [0.0; 5]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    #[doc(alias("pack_padded_sequence", "pad_packed_sequence", "pack_sequence"))]
    pub fn forward_lengths<'t>(
        &self,
        x: &Var<'t, T>,
        lengths: &[usize],
        state: Option<&State<'t, T>>,
    ) -> (Var<'t, T>, State<'t, T>) {
        self.forward_within(x, Some(lengths), state)
    }

    #[track_caller]
    fn forward_within<'t>(
        &self,
        x: &Var<'t, T>,
        lengths: Option<&[usize]>,
        state: Option<&State<'t, T>>,
    ) -> (Var<'t, T>, State<'t, T>) {
        let given = [Some(x), state.map(|s| &s.hidden), state.and_then(|s| s.cell.as_ref())];
        let given: SmallVec<[&Var<'t, T>; 3]> = given.into_iter().flatten().collect();
        if let Some(failed) = refused("Recurrent", &given, || self.takes(x, lengths, state)) {
            return (failed.clone(), State { hidden: failed, cell: None });
        }
        let tape = x.tape();
        if x.rank() == 2 {
            // One sequence: without the axis n.
            let with = |v: &Var<'t, T>| v.unsqueeze(1);
            let state = state.map(|s| State { hidden: with(&s.hidden), cell: s.cell.as_ref().map(with) });
            let (y, end) = self.forward_within(&with(x), lengths, state.as_ref());
            let without = |v: Var<'t, T>| v.squeeze(1);
            return (without(y), State { hidden: without(end.hidden), cell: end.cell.map(without) });
        }
        let directions = self.directions();
        let steps = x.dim(0);
        let lengths = lengths.filter(|lengths| lengths.iter().any(|&length| length < steps));
        let (mut y, mut ends) = (x.clone(), SmallVec::<[State<'t, T>; 2]>::new());
        if let Some(lengths) = lengths {
            // What isn't looked at may be NaN, and its gradient 0 times NaN.
            let n = lengths.len();
            let behind = |i: usize| lengths.get(i % n).is_none_or(|&length| i / n >= length);
            y = y.masked_fill(&Tensor::from_fn([steps, n, 1], behind), 0.0);
        }
        for layer in 0..self.num_layers {
            if layer > 0 {
                y = y.dropout(self.dropout);
            }
            let mut ways = SmallVec::<[Var<'t, T>; 2]>::new();
            for way in 0..directions {
                let part = |part| self.params.get(Name::of(part, layer, way).text()).map(|p| tape.param(p));
                // The check found both.
                let (Some(w_ih), Some(w_hh)) = (part("weight_ih"), part("weight_hh")) else { continue };
                let begin = state.map(|s| {
                    let row = |v: &Var<'t, T>| v.select(0, (layer * directions + way) as isize);
                    State { hidden: row(&s.hidden), cell: s.cell.as_ref().map(row) }
                });
                let weights = Weights { w_ih, w_hh, b_ih: part("bias_ih"), b_hh: part("bias_hh") };
                let (out, end) = self.run(&y, lengths, begin, &weights, way == 1);
                ways.push(out);
                ends.push(end);
            }
            let both: SmallVec<[&Var<'t, T>; 2]> = ways.iter().collect();
            y = if let [one] = &ways[..] { one.clone() } else { tape.cat(&both, -1) };
        }
        let hidden: SmallVec<[&Var<'t, T>; 4]> = ends.iter().map(|s| &s.hidden).collect();
        let cell: SmallVec<[&Var<'t, T>; 4]> = ends.iter().filter_map(|s| s.cell.as_ref()).collect();
        let cell = (!cell.is_empty()).then(|| tape.stack(&cell, 0));
        (y, State { hidden: tape.stack(&hidden, 0), cell })
    }

    /// One layer in one direction: outputs `[steps, n, hidden]` and the last state `[n, hidden]`.
    fn run<'t>(
        &self,
        x: &Var<'t, T>,
        lengths: Option<&[usize]>,
        begin: Option<State<'t, T>>,
        w: &Weights<'t, T>,
        back: bool,
    ) -> (Var<'t, T>, State<'t, T>) {
        let (tape, cell, steps) = (x.tape(), self.cell.cell(), x.dim(0));
        let zeros = |states: usize| tape.constant(Tensor::zeros([states, x.dim(1), self.hidden_size]));
        if lengths.is_some() {
            let begin = begin.map_or_else(|| (zeros(1).squeeze(0), None), |s| (s.hidden, s.cell));
            let by_hand = ByHand { cell, reverse: back, w_hh: &w.w_hh, b_hh: w.b_hh.as_ref() };
            let (y, hidden, cell) = by_hand.run(&x.linear(&w.w_ih, w.b_ih.as_ref()), lengths, begin);
            return (y, State { hidden, cell });
        }
        let state = match begin {
            None => zeros(cell.states()),
            Some(State { hidden, .. }) if cell.states() == 1 => hidden.unsqueeze(0),
            Some(State { hidden, cell }) => {
                tape.stack(&[&hidden, &cell.unwrap_or_else(|| zeros(1).squeeze(0))], 0)
            }
        };
        // Without a bias the inputs' parts are products step by step.
        let parts = if w.b_ih.is_none() { Some(x.linear(&w.w_ih, None)) } else { None };
        let mut operands: SmallVec<[&Var<'t, T>; 6]> =
            SmallVec::from_slice(&[parts.as_ref().unwrap_or(x), &state, &w.w_hh]);
        if let Some(b_ih) = &w.b_ih {
            operands.extend([&w.w_ih, b_ih]);
        }
        operands.extend(&w.b_hh);
        let (projects, biased) = (w.b_ih.is_some(), w.b_hh.is_some());
        let all = tape.apply(Recurrence { cell, reverse: back, projects, biased }, &operands);
        let hidden = all.select(0, if back { 0 } else { steps as isize - 1 });
        if cell.states() == 1 {
            return (all, State { hidden, cell: None });
        }
        let cell = all.select(0, steps as isize);
        (all.narrow(0, 0, steps), State { hidden, cell: Some(cell) })
    }
}

/// The name of a parameter, in memory of its own: a step asks for each by its name.
struct Name {
    bytes: [u8; 64],
    len: usize,
}

impl Name {
    fn of(part: &str, layer: usize, way: usize) -> Name {
        let mut bytes = [0; 64];
        let mut rest = &mut bytes[..];
        // There is room for the longest.
        let _ = write!(rest, "{part}_l{layer}{}", if way == 1 { "_reverse" } else { "" });
        let len = 64 - rest.len();
        Name { bytes, len }
    }

    fn text(&self) -> &str {
        self.bytes.get(..self.len).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
    }
}

struct Weights<'t, T: Float> {
    w_ih: Var<'t, T>,
    w_hh: Var<'t, T>,
    b_ih: Option<Var<'t, T>>,
    b_hh: Option<Var<'t, T>>,
}
