//! Recurrent layers as nodes. Gates stand in another order in ONNX, so the rows of their weights are moved.
use super::{
    dim::Dim,
    emit::{Arg, Emitter, Known, int, word},
    proto::Attribute,
};
use crate::{error::Checked, kernels::recurrent::Cell, ops::list::Recurrence, tensor::Tensor};

/// For each gate in ONNX, which of ours it is: LSTM i, o, f, c of i, f, g, o; GRU z, r, h of r, z, n.
fn order(cell: Cell) -> &'static [usize] {
    match cell {
        Cell::Lstm => &[0, 3, 1, 2],
        Cell::Gru => &[1, 0, 2],
        Cell::Tanh | Cell::Relu => &[0],
    }
}

impl Emitter {
    /// Rows of gates in ONNX's order, with an axis of directions in front.
    fn gates(&mut self, x: &Arg, cell: Cell) -> Checked<String> {
        let order = order(cell);
        let size = x.sizes[0] / order.len().max(1);
        let mut with = x.shape.clone();
        with.insert(0, Dim::ONE);
        if let Known::Fixed(fixed) = &x.known {
            let index: Vec<usize> = order.iter().flat_map(|&gate| gate * size..(gate + 1) * size).collect();
            let value = fixed.values.first().ok_or("a constant without a value")?;
            let place = |e: crate::Error| e.to_string();
            let moved = value.in_memory()?.rows(&index).map_err(place)?;
            let moved = moved.unsqueeze(0).map_err(place)?;
            return self.weight(&moved, &fixed.made_of);
        }
        let name = self.read(x)?;
        let mut y = name;
        if order.len() > 1 {
            let parts: Vec<String> = order
                .iter()
                .map(|&gate| {
                    let (start, end) = ((gate * size) as i64, ((gate + 1) * size) as i64);
                    let (start, end, axis) =
                        (self.integers(&[start]), self.integers(&[end]), self.integers(&[0]));
                    self.plain("Slice", &[&y, &start, &end, &axis])
                })
                .collect();
            let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
            y = self.node("Concat", &parts, [int("axis", 0)]);
        }
        self.reshaped(&y, &with)
    }
}

pub(super) fn recurrence(to: &mut Emitter, op: Recurrence, x: &[Arg], names: &[String]) -> Checked<String> {
    let cell = op.cell;
    let [_, state, w_hh, rest @ ..] = x else { return Err("takes three operands at least".into()) };
    let (rows, hidden) = (w_hh.sizes[0], w_hh.sizes[1]);
    let fixed = |value: Tensor<f32>| Arg {
        shape: value.shape().iter().map(|&n| Dim::number(n as i64)).collect(),
        sizes: value.shape().clone(),
        known: Known::Fixed(super::emit::Fixed { values: vec![value], made_of: Vec::new() }),
    };
    // Inputs that are parts of the gates already stay what they are.
    let (w_ih, b_ih) = match rest {
        [w, b, ..] if op.projects => (w.clone(), Some(b)),
        _ => (fixed(Tensor::eye(rows)), None),
    };
    let b_hh = rest.last().filter(|_| op.biased);
    let (w, r) = (to.gates(&w_ih, cell)?, to.gates(w_hh, cell)?);
    let bias = if b_ih.is_some() || b_hh.is_some() {
        let none = fixed(Tensor::zeros([rows]));
        let [a, b] = [to.gates(b_ih.unwrap_or(&none), cell)?, to.gates(b_hh.unwrap_or(&none), cell)?];
        to.node("Concat", &[&a, &b], [int("axis", 1)])
    } else {
        String::new()
    };
    // The state at the beginning, [states, n, hidden]: zeros need not be said.
    let zeros = state.fixed().is_some_and(|state| state.to_vec().iter().all(|&v| v == 0.0));
    let (mut begin, mut begin_cell) = (String::new(), String::new());
    if !zeros {
        let mut part = |i: i64| {
            let (start, end, axis) = (to.integers(&[i]), to.integers(&[i + 1]), to.integers(&[0]));
            to.plain("Slice", &[&names[1], &start, &end, &axis])
        };
        begin = part(0);
        if cell == Cell::Lstm {
            begin_cell = part(1);
        }
    }
    let mut inputs = vec![names[0].as_str(), &w, &r, &bias, "", &begin];
    if cell == Cell::Lstm {
        inputs.push(&begin_cell);
    }
    while inputs.last() == Some(&"") {
        inputs.pop();
    }
    let mut attributes = vec![
        int("hidden_size", hidden as i64),
        word("direction", if op.reverse { "reverse" } else { "forward" }),
    ];
    let kind = match cell {
        Cell::Lstm => "LSTM",
        Cell::Gru => "GRU",
        Cell::Tanh | Cell::Relu => "RNN",
    };
    if cell == Cell::Gru {
        attributes.push(int("linear_before_reset", 1));
    }
    if cell == Cell::Relu {
        attributes.push(("activations", Attribute::Texts(vec!["Relu".into()])));
    }
    let [y, _, last] = to.several(kind, &inputs, attributes, [true, false, cell == Cell::Lstm]);
    // [steps, directions, n, hidden]
    let axis = to.integers(&[1]);
    let y = to.plain("Squeeze", &[&y, &axis]);
    if cell == Cell::Lstm { Ok(to.node("Concat", &[&y, &last], [int("axis", 0)])) } else { Ok(y) }
}
