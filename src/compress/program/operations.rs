//! Operations that a program of its own can do, each as steps.
use super::{
    lower::{Known, Lowering, Value},
    steps::{At, Buffer, Expr, Guard, How},
    windows::{Windows, windows},
};
use crate::{
    error::Checked,
    ops::list::{Binary, Conv, Linalg, ShapeOp, TensorOp, Unary},
    tape::Choice,
    tensor::{Layout, Shape},
};

/// What of an operation is refused.
pub(super) const REFUSED: &str = "can't be done by a program of its own. What can: linear layers, products of \
                                  matrices, convolutions, max pooling, means of windows side by side, \
                                  activations, sums, means, extremes, softmax, normalisation, attention, \
                                  embeddings, arithmetic, and moving elements";

pub(super) fn product(
    to: &mut Lowering,
    op: &Linalg,
    ab: [&Known; 2],
    bias: Option<&Known>,
    shape: &Shape,
) -> Checked<Known> {
    let (ta, tb) = match op {
        Linalg::Linear => (false, true),
        Linalg::Matmul { transpose_a, transpose_b } => (*transpose_a, *transpose_b),
    };
    let [a, b] = [to.plain(ab[0])?, to.plain(ab[1])?];
    let lead = shape.rank().saturating_sub(2);
    // Loops: leading axes, row, column, and the inner one.
    let axes = |row: Option<usize>, column: Option<usize>, inner: usize| -> Vec<Option<usize>> {
        (0..lead).map(Some).chain([row, column, Some(inner)]).collect()
    };
    let (row, k) = if ta { (lead + 1, lead) } else { (lead, lead + 1) };
    let a_at = Lowering::along(&a, &axes(Some(row), None, k));
    let (column, kb) = if tb { (lead, lead + 1) } else { (lead + 1, lead) };
    let b_at = Lowering::along(&b, &axes(None, Some(column), kb));
    let inside = (vec![a.layout.shape[k]], Vec::new());
    let y = to.product(shape, shape, inside, [a_at, b_at], (bias, shape.rank() - 1))?;
    Ok(Known::Value(y))
}

pub(super) fn conv(
    to: &mut Lowering,
    op: &TensorOp<f32>,
    xw: [&Known; 2],
    bias: Option<&Known>,
    shape: &Shape,
) -> Checked<Known> {
    let TensorOp::Conv(Conv::Forward { g, axes }) = op else { return Err(REFUSED.into()) };
    let [x, w] = [to.plain(xw[0])?, to.plain(xw[1])?];
    let (groups, split) = (g.groups, (g.groups > 1) as usize);
    let (from, to_group) = (g.inputs / groups, g.outputs / groups);
    let mut sizes = vec![g.n];
    if split == 1 {
        sizes.push(groups);
    }
    sizes.push(to_group);
    let used = 3 - axes..3;
    sizes.extend(&g.output[used.clone()]);
    let outer = sizes.len();
    let mut inside = vec![from];
    inside.extend(&g.kernel[used.clone()]);
    let zeros = vec![0; outer + inside.len()];
    let mut x_at = At { buffer: x.buffer, start: x.layout.offset as isize, by: zeros.clone() };
    let mut w_at = At { buffer: w.buffer, start: w.layout.offset as isize, by: zeros.clone() };
    let (xs, ws) = (&x.layout.strides, &w.layout.strides);
    x_at.by[0] = xs[0];
    if split == 1 {
        x_at.by[1] = xs[1] * from as isize;
        w_at.by[1] = ws[0] * to_group as isize;
    }
    w_at.by[1 + split] = ws[0];
    (x_at.by[outer], w_at.by[outer]) = (xs[1], ws[1]);
    let mut guards = Vec::new();
    for (k, i) in used.enumerate() {
        let (turn, inner) = (2 + split + k, outer + 1 + k);
        let (stride, dilation, padding) =
            (g.stride[i] as isize, g.dilation[i] as isize, g.padding[i] as isize);
        x_at.by[turn] = xs[2 + k] * stride;
        x_at.by[inner] = xs[2 + k] * dilation;
        x_at.start -= xs[2 + k] * padding;
        w_at.by[inner] = ws[2 + k];
        let reach = (g.output[i] as isize - 1) * stride + (g.kernel[i] as isize - 1) * dilation - padding;
        if padding > 0 || reach >= g.input[i] as isize {
            let mut at = At { buffer: Buffer::Input, start: -padding, by: zeros.clone() };
            (at.by[turn], at.by[inner]) = (stride, dilation);
            guards.push(Guard { at, size: g.input[i] });
        }
    }
    Ok(Known::Value(to.product(shape, &sizes, (inside, guards), [x_at, w_at], (bias, 1))?))
}

/// A function of one operand as an expression in its value.
fn function(op: &Unary, x: Expr) -> Option<Expr> {
    let call = |name, x: Expr| Expr::call(name, [x]);
    let clamp = |x: Expr, low: f64, high: f64| {
        Expr::call("min_of", [Expr::call("max_of", [x, (low as f32).into()]), (high as f32).into()])
    };
    let positive = |x: Expr| Expr::call("max_of", [x, 0.0.into()]);
    let negative = |x: Expr| Expr::call("min_of", [x, 0.0.into()]);
    let one = || Expr::Number(1.0);
    let softplus = |x: Expr, beta: f64| {
        let small = call("exp_of", call("abs_of", x.clone()).binary('*', -beta as f32));
        positive(x).binary('+', call("log_of", one().binary('+', small)).binary('/', beta as f32))
    };
    let gate = |x: Expr| clamp(x.binary('+', 3.0), 0.0, 6.0).binary('/', 6.0);
    let half = |x: Expr, inner: Expr| x.binary('*', 0.5).binary('*', one().binary('+', inner));
    Some(match *op {
        Unary::Neg => x.binary('*', -1.0),
        Unary::Exp {} => call("exp_of", x),
        Unary::Log {} => call("log_of", x),
        Unary::Sqrt {} => call("sqrt_of", x),
        Unary::Tanh {} => call("tanh_of", x),
        Unary::Sigmoid {} => call("sigmoid_of", x),
        Unary::Erf {} => call("erf_of", x),
        Unary::Abs {} => call("abs_of", x),
        Unary::Square {} => x.clone().binary('*', x),
        Unary::Reciprocal {} => one().binary('/', x),
        Unary::Rsqrt {} => one().binary('/', call("sqrt_of", x)),
        Unary::Relu {} => positive(x),
        Unary::LeakyRelu { negative_slope } => {
            positive(x.clone()).binary('+', negative(x).binary('*', negative_slope as f32))
        }
        Unary::Silu {} => x.clone().binary('*', call("sigmoid_of", x)),
        Unary::RsubNumber { number } => Expr::Number(number as f32).binary('-', x),
        Unary::RdivNumber { number } => Expr::Number(number as f32).binary('/', x),
        Unary::Clamp { min, max } => clamp(x, min, max),
        Unary::ClampMin { min } => Expr::call("max_of", [x, (min as f32).into()]),
        Unary::ClampMax { max } => Expr::call("min_of", [x, (max as f32).into()]),
        Unary::Hardtanh { min_val, max_val } => clamp(x, min_val, max_val),
        Unary::Relu6 {} => clamp(x, 0.0, 6.0),
        Unary::Elu { alpha } => {
            let below = call("exp_of", negative(x.clone())).binary('-', 1.0).binary('*', alpha as f32);
            positive(x).binary('+', below)
        }
        Unary::Gelu {} => half(x.clone(), call("erf_of", x.binary('*', std::f32::consts::FRAC_1_SQRT_2))),
        Unary::GeluTanh {} => {
            let cube = x.clone().binary('*', x.clone()).binary('*', x.clone()).binary('*', 0.044715);
            half(x.clone(), call("tanh_of", x.binary('+', cube).binary('*', 0.797_884_6)))
        }
        Unary::Softplus { beta, .. } => softplus(x, beta),
        Unary::Mish {} => x.clone().binary('*', call("tanh_of", softplus(x, 1.0))),
        Unary::Hardswish {} => x.clone().binary('*', gate(x)),
        Unary::Hardsigmoid {} => gate(x),
        Unary::Softsign {} => x.clone().binary('/', one().binary('+', call("abs_of", x))),
        _ => return None,
    })
}

pub(super) fn unary(to: &mut Lowering, op: &Unary, x: &Known, alone: bool, shape: &Shape) -> Checked<Known> {
    let affine = match *op {
        Unary::AddNumber { number } => Some(('+', number)),
        Unary::MulNumber { number } => Some(('*', number)),
        Unary::DivNumber { number } => Some(('/', number)),
        Unary::Neg => Some(('*', -1.0)),
        _ => None,
    };
    if let (Some((op, number)), Known::Value(v)) = (affine, x)
        && let Some(y) = to.shifted(v, op, &crate::Tensor::scalar(number as f32), alone)?
    {
        return Ok(Known::Value(y));
    }
    let e = to.read(x, shape)?;
    let e = function(op, e).ok_or(REFUSED)?;
    Ok(to.pointwise(shape, e))
}

pub(super) fn binary(
    to: &mut Lowering,
    op: Binary,
    ab: [&Known; 2],
    alone: &[bool],
    shape: &Shape,
) -> Checked<Known> {
    let symbol = match op {
        Binary::Add => '+',
        Binary::Sub => '-',
        Binary::Mul => '*',
        Binary::Div => '/',
        _ => ' ',
    };
    let shifted = match (symbol, ab) {
        ('+' | '-' | '*' | '/', [Known::Value(v), Known::Constant(c)]) => {
            to.shifted(v, symbol, c, alone.first() == Some(&true))?
        }
        ('+' | '*', [Known::Constant(c), Known::Value(v)]) => {
            to.shifted(v, symbol, c, alone.get(1) == Some(&true))?
        }
        _ => None,
    };
    if let Some(y) = shifted {
        return Ok(Known::Value(y));
    }
    let [a, b] = [to.read(ab[0], shape)?, to.read(ab[1], shape)?];
    let e = match op {
        Binary::Maximum | Binary::Fmax => Expr::call("max_of", [a, b]),
        Binary::Minimum | Binary::Fmin => Expr::call("min_of", [a, b]),
        Binary::Prelu => {
            let [up, down] = ["max_of", "min_of"].map(|f| Expr::call(f, [a.clone(), 0.0.into()]));
            up.binary('+', down.binary('*', b))
        }
        _ if symbol != ' ' => a.binary(symbol, b),
        _ => return Err(REFUSED.into()),
    };
    Ok(to.pointwise(shape, e))
}

/// What only says anew where elements lie; a step where they must be moved for that.
pub(super) fn moved(to: &mut Lowering, op: &ShapeOp, x: &[Known], shape: &Shape) -> Checked<Known> {
    if let ShapeOp::Cat { axis, .. } = op {
        let all = Layout::contiguous(shape.clone());
        let buffer = to.room(shape.numel());
        let mut start = 0;
        for part in x {
            let sizes = part.shape().clone();
            let value = to.read(part, &sizes)?;
            let own = all.slice(*axis as isize, start, sizes[*axis], 1)?;
            let at = At { buffer, start: own.offset as isize, by: own.strides.to_vec() };
            to.steps.push(super::steps::Step { to: at, sizes: sizes.to_vec(), fold: None, value });
            start += sizes[*axis];
        }
        return Ok(Known::Value(Value::at(buffer, all)));
    }
    let [x] = x else { return Err(REFUSED.into()) };
    let x = to.plain(x)?;
    let layout = match op {
        ShapeOp::Reshape(shape) => match x.layout.reshape(shape) {
            Some(layout) => layout,
            None => {
                let from = x.layout.shape.clone();
                let e = to.read(&Known::Value(x), &from)?;
                return Ok(Known::Value(to.emit(shape, &from, None, e)));
            }
        },
        ShapeOp::Permute(axes) => x.layout.permute(axes)?,
        ShapeOp::Expand(shape) => x.layout.expand(shape)?,
        ShapeOp::Slice { axis, start, len, step } => {
            x.layout.slice(*axis as isize, *start, *len, *step as isize)?
        }
        ShapeOp::Flip(axes) => x.layout.flip(axes)?,
        ShapeOp::Detach => x.layout.clone(),
        ShapeOp::Unslice { .. } | ShapeOp::Cat { .. } => return Err(REFUSED.into()),
    };
    Ok(Known::Value(Value::at(x.buffer, layout)))
}

/// Terms of some axes put together.
pub(super) fn over(
    to: &mut Lowering,
    x: &Known,
    (axes, shape): (&[usize], &Shape),
    how: How,
    term: impl Fn(Expr) -> Expr,
    value: Expr,
) -> Checked<Value> {
    let x = to.plain(x)?;
    let from = &x.layout.shape;
    let kept: Vec<usize> = (0..from.rank()).filter(|axis| !axes.contains(axis)).collect();
    let order: Vec<Option<usize>> = kept.iter().chain(axes).map(|&axis| Some(axis)).collect();
    let sizes: Vec<usize> = kept.iter().map(|&axis| from[axis]).collect();
    let inside = axes.iter().map(|&axis| from[axis]).collect();
    let fold = Lowering::fold(how, inside, term(Expr::Read(Lowering::along(&x, &order))));
    Ok(to.emit(shape, &sizes, Some(fold), value))
}

pub(super) fn softmax(to: &mut Lowering, x: &Known, axis: usize, log: bool) -> Checked<Known> {
    let x = Known::Value(to.plain(x)?);
    let shape = x.shape().clone();
    let mut one = shape.clone();
    one.set(axis, 1);
    let most = Known::Value(over(to, &x, (&[axis], &one), How::Largest, |e| e, Expr::Folded)?);
    let below = to.read(&x, &shape)?.binary('-', to.read(&most, &shape)?);
    let shares =
        to.pointwise(&shape, if log { below.clone() } else { Expr::call("exp_of", [below.clone()]) });
    let term = |e| if log { Expr::call("exp_of", [e]) } else { e };
    let total = if log { Expr::call("log_of", [Expr::Folded]) } else { Expr::Folded };
    let total = Known::Value(over(to, &shares, (&[axis], &one), How::Sum, term, total)?);
    let y = to.read(&shares, &shape)?.binary(if log { '-' } else { '/' }, to.read(&total, &shape)?);
    Ok(to.pointwise(&shape, y))
}

pub(super) fn pooled(
    to: &mut Lowering,
    x: &Known,
    choice: Option<&Choice<f32>>,
    shape: &Shape,
) -> Checked<Known> {
    let choice = choice.ok_or(REFUSED)?;
    let x = to.plain(x)?;
    let found = [2, 1].into_iter().find_map(|axes| windows(&**choice, &x.layout.shape, shape, axes));
    let found: Vec<Windows> = found.ok_or(REFUSED)?;
    let lead = shape.rank() - found.len();
    let rank = shape.rank();
    let mut at = At { buffer: x.buffer, start: x.layout.offset as isize, by: vec![0; rank + found.len()] };
    at.by[..rank].copy_from_slice(&x.layout.strides);
    let mut guards = Vec::new();
    for (k, w) in found.iter().enumerate() {
        let (axis, size) = (lead + k, x.layout.shape[lead + k]);
        let stride = x.layout.strides[axis];
        at.by[axis] = stride * w.stride as isize;
        at.by[rank + k] = stride;
        at.start -= stride * w.padding as isize;
        if w.padding > 0 || (w.count - 1) * w.stride + w.kernel > size {
            let mut by = vec![0; rank + found.len()];
            (by[axis], by[rank + k]) = (w.stride as isize, 1);
            guards.push(Guard { at: At { buffer: Buffer::Input, start: -(w.padding as isize), by }, size });
        }
    }
    let mut fold = Lowering::fold(How::Largest, found.iter().map(|w| w.kernel).collect(), Expr::Read(at));
    fold.guards = guards;
    Ok(Known::Value(to.emit(shape, shape, Some(fold), Expr::Folded)))
}
