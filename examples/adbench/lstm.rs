//! An LSTM with diagonal weights that predicts the next character of a text, as ADBench defines it, its two
//! quirks included: forget and output gates see the input, the others the hidden state; and log(2 + Σ exp).
#![allow(dead_code)] // Not every program needs all of it.
use super::numbers::Numbers;
use kolmo::{Number, Result, ScalarProgram, Tape, Tensor, fuse, ops::FuseInput};
use std::iter::Sum;

pub struct Input {
    pub layers: usize,
    pub bits: usize,
    /// 2·layers rows of 4·bits: weights and biases of each layer.
    pub main: Vec<f64>,
    /// Three rows of bits: input weight, output weight, output bias.
    pub extra: Vec<f64>,
    /// 2·layers rows of bits: hidden and cell of each layer.
    pub state: Vec<f64>,
    pub sequence: Vec<f64>,
}

/// A file of ADBench.
pub fn read(name: &str, text: &str) -> Result<Input> {
    let mut numbers = Numbers::new(name, text);
    let layers = numbers.count(1..=1000)?;
    let (length, bits) = (numbers.count(2..=100_000_000)?, numbers.count(1..=1000)?);
    let input = Input {
        layers,
        bits,
        main: numbers.take(8 * layers * bits)?,
        extra: numbers.take(3 * bits)?,
        state: numbers.take(2 * layers * bits)?,
        sequence: numbers.take(length * bits)?,
    };
    numbers.end()?;
    Ok(input)
}

/// The loss of any kind of number.
fn loss<R>(p: &Input, main: &[R], extra: &[R]) -> R
where
    R: Number + Sum + FuseInput<2, Output = R> + FuseInput<3, Output = R> + FuseInput<4, Output = R>,
{
    let gate = fuse!(|v, w, b| (v * w + b).sigmoid());
    let change = fuse!(|v, w, b| (v * w + b).tanh());
    let mix = fuse!(|c, f, i, g| c * f + i * g);
    let out = fuse!(|o, c| o * c.tanh());
    let affine = fuse!(|v, w, b| v * w + b);
    let b = p.bits;
    let mut state: Vec<R> = p.state.iter().map(|&v| R::constant(v)).collect();
    let mut total = R::constant(0.0);
    let (mut x, mut y) = (vec![total; b], vec![total; b]);
    for pair in p.sequence.chunks(b).collect::<Vec<_>>().windows(2) {
        for i in 0..b {
            x[i] = extra[i] * pair[0][i];
        }
        for layer in 0..p.layers {
            let (weights, biases) = main[8 * layer * b..8 * (layer + 1) * b].split_at(4 * b);
            let (hidden, cell) = state[2 * layer * b..2 * (layer + 1) * b].split_at_mut(b);
            for i in 0..b {
                let part = |gate: usize, v: R| [v, weights[gate * b + i], biases[gate * b + i]];
                let (forget, input) = (gate.apply(part(0, x[i])), gate.apply(part(1, hidden[i])));
                let (output, change) = (gate.apply(part(2, x[i])), change.apply(part(3, hidden[i])));
                let c = mix.apply([cell[i], forget, input, change]);
                let h = out.apply([output, c]);
                (cell[i], hidden[i], x[i]) = (c, h, h);
            }
        }
        for i in 0..b {
            y[i] = affine.apply([x[i], extra[b + i], extra[2 * b + i]]);
        }
        let norm = (y.iter().map(|v| v.exp()).sum::<R>() + 2.0).log();
        total = total + y.iter().zip(pair[1]).map(|(&y, &target)| (y - norm) * target).sum::<R>();
    }
    -total / ((p.sequence.len() / b - 1) * b) as f64
}

/// The loss as a plain number.
pub fn value(p: &Input) -> f64 {
    loss(p, &p.main, &p.extra)
}

/// The loss and its gradient, of scalars.
pub fn scalars(tape: &mut Tape<f64>, p: &Input) -> Result<(f64, Vec<f64>)> {
    tape.reset();
    let (main, extra) = (tape.scalars(&p.main), tape.scalars(&p.extra));
    let loss = loss(p, &main, &extra);
    let grads = loss.backward()?;
    Ok((loss.value(), main.iter().chain(&extra).map(|&s| grads.scalar(s)).collect()))
}

/// The loss recorded once, of its parameters.
pub fn program(p: &Input) -> Result<ScalarProgram> {
    ScalarProgram::new(p.main.len() + p.extra.len(), |x| {
        let (main, extra) = x.split_at(p.main.len());
        vec![loss(p, main, extra)]
    })
}

/// The parameters.
pub fn parameters(p: &Input) -> Tensor<f64> {
    Tensor::from([&p.main[..], &p.extra].concat())
}
