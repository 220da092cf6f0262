//! Which operations a program of its own can do, and those that are made of others: normalisation, attention.
use super::{
    lower::{Known, Lowering},
    operations::{REFUSED, binary, conv, moved, over, pooled, product, softmax, unary},
    steps::{At, Buffer, Expr, How},
};
use crate::{
    error::Checked,
    ops::list::{Attend, Conv, Extremum, Linalg, Reduce, ShapeOp, Softmax, Standardize, Take, TensorOp},
    tape::Choice,
    tensor::{Shape, Tensor},
};

/// The steps of an operation. `alone` says which operands nothing else uses.
pub(super) fn lower(
    to: &mut Lowering,
    op: &TensorOp<f32>,
    x: &[Known],
    alone: &[bool],
    (shape, choice): (&Shape, Option<&Choice<f32>>),
) -> Checked<Known> {
    match (op, x) {
        (TensorOp::Linalg(op), [a, b, rest @ ..]) => product(to, op, [a, b], rest.first(), shape),
        (TensorOp::Conv(Conv::Forward { .. }), [x, w, rest @ ..]) => {
            conv(to, op, [x, w], rest.first(), shape)
        }
        (TensorOp::Unary(op), [x]) => unary(to, op, x, alone == [true], shape),
        (TensorOp::Binary(op), [a, b]) => binary(to, *op, [a, b], alone, shape),
        (TensorOp::Shape(op), _) => moved(to, op, x, shape),
        (TensorOp::Reduce(Reduce::Sum { axes, .. }), [x]) => {
            Ok(Known::Value(over(to, x, (axes, shape), How::Sum, |e| e, Expr::Folded)?))
        }
        (TensorOp::Reduce(Reduce::Mean { axes, .. }), [x]) => {
            let n: usize = axes.iter().map(|&axis| x.shape()[axis]).product();
            let mean = Expr::Folded.binary('/', n as f32);
            Ok(Known::Value(over(to, x, (axes, shape), How::Sum, |e| e, mean)?))
        }
        (TensorOp::Extremum(Extremum { largest, axes, .. }), [x]) => {
            let sign = |e: Expr| if *largest { e } else { e.binary('*', -1.0) };
            Ok(Known::Value(over(to, x, (axes, shape), How::Largest, sign, sign(Expr::Folded))?))
        }
        (TensorOp::Softmax(Softmax::Plain { axis }), [x]) => softmax(to, x, *axis, false),
        (TensorOp::Softmax(Softmax::Log { axis }), [x]) => softmax(to, x, *axis, true),
        (TensorOp::Take(Take::Elements { .. }), [x]) => pooled(to, x, choice, shape),
        (TensorOp::Take(Take::Rows { axis, index, .. }), [x]) => {
            let index = index.to_vec();
            let start = index.first().copied().unwrap_or(0);
            if !index.iter().zip(start..).all(|(a, b)| *a == b) || *axis >= x.shape().rank() {
                return Err(REFUSED.into());
            }
            let slice = ShapeOp::Slice { axis: *axis, start: start as usize, len: index.len(), step: 1 };
            moved(to, &slice, std::slice::from_ref(x), shape)
        }
        (TensorOp::Standardize(op), [x, rest @ ..]) => standardized(to, &op.how, x, rest, shape),
        (TensorOp::Attend(op), [q, k, v]) => attend(to, op, [q, k, v], shape),
        _ => Err(REFUSED.into()),
    }
}

/// Rows of a table, which the numbers of the input stand for: `[n, d]`.
pub(super) fn embedded(to: &mut Lowering, table: &Known, shape: &Shape) -> Checked<Known> {
    let (Known::Constant(_), &[rows, length], &[n, _]) = (table, &table.shape()[..], &shape[..]) else {
        return Err(REFUSED.into());
    };
    if rows == 0 || n == 0 {
        return Err("a table without rows".into());
    }
    let table = to.plain(table)?;
    let at = At { buffer: table.buffer, start: table.layout.offset as isize, by: vec![0, 1] };
    let number = At { buffer: Buffer::Input, start: 0, by: vec![1, 0] };
    Ok(to.pointwise(shape, Expr::Row { at, number, rows, length: length as isize }))
}

/// `(x - mean) / √(variance + eps) · weight + bias` of each group.
fn standardized(
    to: &mut Lowering,
    how: &Standardize,
    x: &Known,
    affine: &[Known],
    shape: &Shape,
) -> Checked<Known> {
    let at = how.at;
    let parts = Shape::new(&[at.outer, at.groups, at.inner]);
    let (axes, one) = ([0, 2], Shape::new(&[1, at.groups, 1]));
    let n = (at.outer * at.inner) as f32;
    let reshaped = |to: &mut Lowering, x: &Known, shape: &Shape| {
        moved(to, &ShapeOp::Reshape(shape.clone()), std::slice::from_ref(x), shape)
    };
    let x = reshaped(to, x, &parts)?;
    let mean = Known::Value(over(to, &x, (&axes, &one), How::Sum, |e| e, Expr::Folded.binary('/', n))?);
    let apart = to.read(&x, &parts)?.binary('-', to.read(&mean, &parts)?);
    let apart = to.pointwise(&parts, apart);
    let square = |e: Expr| e.clone().binary('*', e);
    let deviation = Expr::call("sqrt_of", [Expr::Folded.binary('/', n).binary('+', how.eps as f32)]);
    let deviation = Known::Value(over(to, &apart, (&axes, &one), How::Sum, square, deviation)?);
    let mut y = to.read(&apart, &parts)?.binary('/', to.read(&deviation, &parts)?);
    let own = if how.by_place { [1, 1, at.inner] } else { [1, at.groups, 1] };
    for (op, by) in ['*', '+'].into_iter().zip(affine) {
        let by = reshaped(to, by, &Shape::new(&own))?;
        y = y.binary(op, to.read(&by, &parts)?);
    }
    let y = to.pointwise(&parts, y);
    reshaped(to, &y, shape)
}

/// `softmax(q·kᵀ · scale) · v`; what a query doesn't see is far below all that it sees.
fn attend(to: &mut Lowering, op: &Attend, [q, k, v]: [&Known; 3], shape: &Shape) -> Checked<Known> {
    let (rank, queries) = (shape.rank(), q.shape().clone());
    if rank < 2 || k.shape().rank() != rank || queries.rank() != rank {
        return Err(REFUSED.into());
    }
    let (l, s) = (shape[rank - 2], k.shape()[rank - 2]);
    let mut pairs = shape.clone();
    pairs.set(rank - 1, s);
    let scores =
        product(to, &Linalg::Matmul { transpose_a: false, transpose_b: true }, [q, k], None, &pairs)?;
    let mut scores = to.read(&scores, &pairs)?.binary('*', op.scale as f32);
    if let Some(keep) = op.sees(l, s) {
        let all = keep.to_vec();
        let width = keep.dim(-1).max(1);
        let seen = all.chunks(width).all(|row| row.contains(&true));
        if !seen {
            return Err("a query that sees no key can't be done by a program of its own".into());
        }
        let below = Tensor::from_fn(keep.shape(), |i| if all[i] { 0.0 } else { -1e30 });
        scores = scores.binary('+', to.read(&Known::Constant(below), &pairs)?);
    }
    let scores = to.pointwise(&pairs, scores);
    let weights = softmax(to, &scores, rank - 1, false)?;
    product(to, &Linalg::Matmul { transpose_a: false, transpose_b: false }, [&weights, v], None, shape)
}
