//! Recurrent layers. Gates stand in another order in files, so the rows of their weights are moved.
use super::call::{Call, Run, Values};
use crate::{
    error::Checked,
    kernels::recurrent::Cell,
    onnx::{
        proto::Attribute,
        value::{Value, sound},
    },
    ops::list::Recurrence,
    tape::Var,
    tensor::Tensor,
};

pub(super) const OPERATORS: &[(&str, Run)] = &[
    ("GRU", |c| {
        if c.int_or("linear_before_reset", 0) == 0 {
            return Err("linear_before_reset is 0: 1 is done here".into());
        }
        recurrent(c, Cell::Gru, &["sigmoid", "tanh"])
    }),
    ("LSTM", |c| {
        if c.given(7).is_some() {
            return Err("peepholes aren't done here".into());
        }
        c.only("input_forget", 0)?;
        recurrent(c, Cell::Lstm, &["sigmoid", "tanh", "tanh"])
    }),
    ("RNN", |c| match c.node.attribute("activations") {
        Some(Attribute::Texts(names)) if names.iter().all(|name| name.eq_ignore_ascii_case("relu")) => {
            recurrent(c, Cell::Relu, &["relu"])
        }
        _ => recurrent(c, Cell::Tanh, &["tanh"]),
    }),
];

/// For each of our gates, which of the file's it is.
fn order(cell: Cell) -> &'static [usize] {
    match cell {
        Cell::Lstm => &[0, 2, 3, 1],
        Cell::Gru => &[1, 0, 2],
        Cell::Tanh | Cell::Relu => &[0],
    }
}

fn recurrent<'t>(c: &Call<'_, 't>, cell: Cell, functions: &[&str]) -> Checked<Values<'t>> {
    let (x, w, r) = (c.float(0)?, c.float(1)?, c.float(2)?);
    let bias = c.optional_float(3)?;
    let ([steps, n, _], [ways, rows, hidden]) = (sizes(&x)?, sizes(&r)?);
    let told = match c.text_or("direction", "forward") {
        "forward" => &[false][..],
        "reverse" => &[true],
        "bidirectional" => &[false, true],
        other => return Err(format!("direction {other} isn't known")),
    };
    c.only("layout", 0)?;
    if told.len() != ways || rows != hidden * cell.gates() || steps == 0 {
        return Err(format!(
            "weights {} don't fit {} of {}",
            r.shape(),
            c.text_or("direction", "forward"),
            x.shape()
        ));
    }
    if c.node.attribute("clip").is_some() {
        return Err("clip isn't done here".into());
    }
    if let Some(Attribute::Texts(names)) = c.node.attribute("activations")
        && let Some(other) =
            names.iter().zip(functions.iter().cycle()).find(|(a, b)| !a.eq_ignore_ascii_case(b))
    {
        return Err(format!("activation {}: {} is done here", other.0, other.1));
    }
    if let Some(lengths) = c.optional_list(4)?
        && lengths.iter().any(|&length| length != steps as i64)
    {
        return Err(format!("sequence_lens {lengths:?}: all of {steps} steps are done here"));
    }
    let index: Vec<u32> =
        order(cell).iter().flat_map(|&gate| (gate * hidden) as u32..((gate + 1) * hidden) as u32).collect();
    let index = Tensor::from(index);
    let gates = |v: Var<'t, f32>| if cell.gates() == 1 { v } else { v.index_select(0, &index) };
    let (mut outs, mut ends, mut cells) = (Vec::new(), Vec::new(), Vec::new());
    for (way, &reverse) in told.iter().enumerate() {
        let at = way as isize;
        let zeros = || c.constant(Tensor::zeros([1, n, hidden]));
        let begin = |i: usize| c.optional_float(i).map(|v| v.map_or_else(zeros, |v| v.narrow(0, way, 1)));
        let mut state = begin(5)?;
        if cell == Cell::Lstm {
            state = c.tape.cat(&[&state, &begin(6)?], 0);
        }
        let part = |start: usize| match &bias {
            Some(bias) => gates(bias.select(0, at).narrow(0, start, rows)),
            None => c.constant(Tensor::zeros([rows])),
        };
        let (w, r) = (gates(w.select(0, at)), gates(r.select(0, at)));
        let (b, c_b) = (part(0), part(rows));
        let op = Recurrence { cell, reverse, projects: true, biased: true };
        let all = sound(c.tape.apply(op, &[&x, &state, &r, &w, &b, &c_b]))?;
        ends.push(all.narrow(0, if reverse { 0 } else { steps - 1 }, 1));
        if cell == Cell::Lstm {
            cells.push(all.narrow(0, steps, 1));
        }
        outs.push(all.narrow(0, 0, steps).unsqueeze(1));
    }
    let join = |all: &[Var<'t, f32>], axis: isize| sound(c.tape.cat(&all.iter().collect::<Vec<_>>(), axis));
    let mut results = vec![Value::Float(join(&outs, 1)?), Value::Float(join(&ends, 0)?)];
    if !cells.is_empty() {
        results.push(Value::Float(join(&cells, 0)?));
    }
    Ok(results)
}

fn sizes(x: &Var<'_, f32>) -> Checked<[usize; 3]> {
    match x.shape()[..] {
        [a, b, c] => Ok([a, b, c]),
        _ => Err(format!("takes three axes, not {}", x.shape())),
    }
}
