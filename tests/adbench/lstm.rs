//! An LSTM with diagonal weights that predicts the next character of a text, as ADBench defines it, its two quirks
//! included: forget and output gates see the input, the others the hidden state; and log(2 + Σ exp).
use kolmo::{Result, Scalar, Tape};

pub struct Input {
    layers: usize,
    bits: usize,
    /// 2·layers rows of 4·bits: weights and biases of each layer.
    main: Vec<f64>,
    /// Three rows of bits: input weight, output weight, output bias.
    extra: Vec<f64>,
    /// 2·layers rows of bits: hidden and cell of each layer.
    state: Vec<f64>,
    sequence: Vec<f64>,
}

pub fn read(text: &str) -> Input {
    let mut words = text.split_whitespace().map(|w| w.parse::<f64>().unwrap());
    let [layers, length, bits] = std::array::from_fn(|_| words.next().unwrap() as usize);
    let mut take = |count: usize| -> Vec<f64> { words.by_ref().take(count).collect() };
    let (main, extra, state) = (take(8 * layers * bits), take(3 * bits), take(2 * layers * bits));
    Input { layers, bits, main, extra, state, sequence: take(length * bits) }
}

pub fn scalars(p: &Input) -> Result<(f64, Vec<f64>)> {
    let tape = Tape::new();
    let (main, extra) = (tape.scalars(&p.main), tape.scalars(&p.extra));
    let b = p.bits;
    let mut state: Vec<Scalar> = p.state.iter().map(|&v| Scalar::constant(v)).collect();
    let mut total = Scalar::constant(0.0);
    let rows: Vec<&[f64]> = p.sequence.chunks(b).collect();
    for pair in rows.windows(2) {
        let mut x: Vec<Scalar> = pair[0].iter().zip(&extra).map(|(&v, &w)| v * w).collect();
        for layer in 0..p.layers {
            let (weights, biases) = main[8 * layer * b..8 * (layer + 1) * b].split_at(4 * b);
            let (hidden, cell) = state[2 * layer * b..2 * (layer + 1) * b].split_at_mut(b);
            for i in 0..b {
                let [forget, input, output, change] = [(0, x[i]), (1, hidden[i]), (2, x[i]), (3, hidden[i])]
                    .map(|(gate, v)| v * weights[gate * b + i] + biases[gate * b + i]);
                let (forget, input, output) = (forget.sigmoid(), input.sigmoid(), output.sigmoid());
                let change = change.tanh();
                cell[i] = cell[i] * forget + input * change;
                hidden[i] = output * cell[i].tanh();
                x[i] = hidden[i];
            }
        }
        let y: Vec<Scalar> = (0..b).map(|i| x[i] * extra[b + i] + extra[2 * b + i]).collect();
        let norm = (y.iter().map(|v| v.exp()).sum::<Scalar>() + 2.0).log();
        total += y.iter().zip(pair[1]).map(|(&y, &target)| (y - norm) * target).sum::<Scalar>();
    }
    let loss = -total / ((rows.len() - 1) * b) as f64;
    let grads = loss.backward()?;
    Ok((loss.value(), main.iter().chain(&extra).map(|&s| grads.scalar(s)).collect()))
}
