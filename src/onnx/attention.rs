//! Attention as a node, or as the products and the softmax that it stands for.
use super::{
    dim::Dim,
    emit::{Arg, Emitter, float, int},
    proto::{Data, kind},
    seen::Seen,
};
use crate::{
    error::Checked,
    ops::list::{Attend, Unary},
};

/// The first version of the operators that has attention.
const SINCE: u64 = 23;

pub(super) fn attend(to: &mut Emitter, op: &Attend, seen: &Seen<'_>, names: &[String]) -> Checked<String> {
    let [q, k, v] = &seen.x[..] else { return Err("takes queries, keys and values".into()) };
    let rank = q.shape.len();
    let (queries, keys) = (q.shape[rank - 2], k.shape[rank - 2]);
    let square = queries == keys;
    let mut mask = match &op.keep {
        None => None,
        Some(keep) => {
            if seen.ops.len() > 1 && [queries, keys].iter().any(|dim| dim.is_open()) {
                return Err("a mask of pairs along an axis whose size is left open".into());
            }
            Some(to.constant("", kind::BOOL, Data::Bool(keep.contiguous())))
        }
    };
    let lower = op.lower_right && !square;
    // A single query sees all keys, however many there are.
    if lower && queries.known() != Some(1) {
        // Query i sees keys 0 to i + s - l.
        let gap = keys.minus(queries).minus(Dim::number(-1));
        mask = Some(to.hidden(&[queries, keys], gap)?);
    }
    let causal = (op.causal || op.lower_right) && !lower;
    // A query that sees nothing gives zeros, where the node may give NaN.
    let whole = op.keep.is_none();
    if to.opset >= SINCE && whole && rank >= 3 {
        return node(to, op, [q, k, v], names, (mask, causal));
    }
    let turned = to.permuted(&names[1], (0..rank - 2).chain([rank - 1, rank - 2]));
    let scores = to.plain("MatMul", &[&names[0], &turned]);
    let mut scores = to.unary(&Unary::MulNumber { number: op.scale }, &scores)?;
    if causal {
        let hidden = to.hidden(&[queries, keys], Dim::ONE)?;
        scores = to.plain("Add", &[&scores, &hidden]);
    }
    let mut masked = None;
    if let Some(mask) = mask {
        if op.keep.is_some() {
            let none = to.number(f64::NEG_INFINITY);
            scores = to.plain("Where", &[&mask, &scores, &none]);
            let most = to.fold("ReduceMax", &scores, &[rank - 1], true);
            masked = Some(to.plain("Equal", &[&most, &none]));
        } else {
            scores = to.plain("Add", &[&scores, &mask]);
        }
    }
    let mut weights = to.node("Softmax", &[&scores], [int("axis", -1)]);
    if let Some(masked) = masked {
        let zero = to.number(0.0);
        weights = to.plain("Where", &[&masked, &zero, &weights]);
    }
    Ok(to.plain("MatMul", &[&weights, &names[2]]))
}

/// The node takes `[n, heads, …, size]`.
fn node(
    to: &mut Emitter,
    op: &Attend,
    x: [&Arg; 3],
    names: &[String],
    (mask, causal): (Option<String>, bool),
) -> Checked<String> {
    let rank = x[0].shape.len();
    // With one leading axis it becomes the heads, of several all but the first.
    let lead = |dims: &[Dim]| -> Checked<Vec<Dim>> {
        let (lead, last) = dims.split_at(rank - 2);
        let [first, heads @ ..] = lead else { return Err("takes an axis of heads".into()) };
        let heads = heads.iter().try_fold(Dim::ONE, |all, dim| match (all.known(), dim.known()) {
            (Some(all), _) => Ok(dim.times(all)),
            (None, Some(dim)) => Ok(all.times(dim)),
            _ => Err(String::from("several axes of heads whose sizes are left open")),
        })?;
        Ok([&[*first, heads], last].concat())
    };
    let mut inputs = Vec::new();
    for (arg, name) in x.iter().zip(names) {
        inputs.push(if rank == 4 { name.clone() } else { to.reshaped(name, &lead(&arg.shape)?)? });
    }
    inputs.extend(mask);
    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let y = to.node("Attention", &inputs, [int("is_causal", i64::from(causal)), float("scale", op.scale)]);
    if rank == 4 {
        return Ok(y);
    }
    let mut dims = x[0].shape.clone();
    if let (Some(last), Some(own)) = (dims.last_mut(), x[2].shape.last()) {
        *last = *own;
    }
    to.reshaped(&y, &dims)
}
