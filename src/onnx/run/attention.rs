//! Attention.
use super::call::{Call, Run, Values};
use crate::{
    error::Checked,
    onnx::value::{Value, sound},
    ops::AttentionOptions,
    tape::Var,
};

pub(super) const OPERATORS: &[(&str, Run)] = &[("Attention", attention)];

/// `[n, length, heads · size]` to `[n, heads, length, size]`.
fn heads<'t>(x: &Var<'t, f32>, count: i64) -> Checked<Var<'t, f32>> {
    match x.shape()[..] {
        [_, _, _, _] => Ok(x.clone()),
        [n, length, width] if count > 0 => {
            let sizes = [n as isize, length as isize, count as isize, width as isize / count as isize];
            sound(x.reshape(sizes).transpose(1, 2))
        }
        _ => Err(format!(
            "takes [n, heads, length, size], or [n, length, width] with q_num_heads, not {}",
            x.shape()
        )),
    }
}

fn attention<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let (q, k, v) = (c.float(0)?, c.float(1)?, c.float(2)?);
    let (apart, own) = (q.rank() == 3, c.int_or("q_num_heads", 0));
    if c.float_or("softcap", 0.0) != 0.0 || c.node.outputs.iter().skip(3).any(|name| !name.is_empty()) {
        return Err("softcap and scores as a result aren't done here".into());
    }
    if c.given(6).is_some() {
        return Err("nonpad_kv_seqlen isn't done here".into());
    }
    let of_keys = c.int_or("kv_num_heads", own);
    let (q, mut k, mut v) = (heads(&q, own)?, heads(&k, of_keys)?, heads(&v, of_keys)?);
    for (i, to) in [(4, &mut k), (5, &mut v)] {
        if let Some(past) = c.optional_float(i)? {
            *to = sound(c.tape.cat(&[&past, to], 2))?;
        }
    }
    let causal = c.int_or("is_causal", 0) != 0;
    let mut options = AttentionOptions::new();
    if c.node.attribute("scale").is_some() {
        options = options.scale(c.float_or("scale", 1.0));
    }
    options = match (c.given(3), causal) {
        (None, true) if c.given(4).is_some() => options.causal_lower_right(true),
        (None, causal) => options.is_causal(causal),
        (Some(_), true) => return Err("a mask together with is_causal isn't done here".into()),
        (Some(Value::Bool(mask)), false) => options.attn_mask(mask),
        (Some(Value::Float(mask)), false) => options.attn_mask(mask),
        (Some(other), false) => return Err(format!("a mask of {} isn't done here", other.kind())),
    };
    let y = q.scaled_dot_product_attention(&k, &v, &options);
    let y = if apart {
        let [n, heads, length, size] = [0, 1, 2, 3].map(|axis| y.dim(axis) as isize);
        y.transpose(1, 2).reshape([n, length, heads * size])
    } else {
        y
    };
    Ok([sound(y)?, k, v].into_iter().map(Value::Float).collect())
}
