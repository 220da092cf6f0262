//! The operations of a tape, each as a node of a graph or a few.
use super::{
    dim::Dim,
    emit::{Arg, Emitter, float, int, ints},
    functions::REFUSED,
    pooling::max_pool,
    proto::{Data, kind},
    seen::{Seen, each},
    taken,
};
use crate::{
    error::Checked,
    kernels::conv::Geometry,
    ops::list::{
        Conv, Distance, Extremum, Linalg, Norm, Reduce, Scan, ShapeOp, Softmax, Solve, Standardize, Take,
        TensorOp, Unary,
    },
    tensor::{Shape, Tensor},
};

pub(super) fn lower(to: &mut Emitter, seen: &Seen<'_>) -> Checked<String> {
    let [op, ..] = seen.ops[..] else { return Err(REFUSED.into()) };
    if let TensorOp::Linalg(op) = op {
        return linalg(to, *op, &seen.x);
    }
    let names = seen.x.iter().map(|x| to.read(x)).collect::<Checked<Vec<String>>>();
    match (op, &seen.x[..]) {
        (TensorOp::Attend(op), [_, _, _]) => super::attention::attend(to, op, seen, &names?),
        (TensorOp::Binary(op), [a, _]) => {
            let names = names?;
            let fits = a.sizes == *seen.sizes;
            to.binary(*op, &names[0], &names[1], fits)
        }
        (TensorOp::Unary(op), [_]) => to.unary(op, &names?[0]),
        (TensorOp::Test(op), [_, _]) => {
            let names = names?;
            Ok(to.test(*op, &names[0], &names[1]))
        }
        (TensorOp::Where(_), [mask, a, b]) => {
            let condition = match mask.fixed().filter(|_| mask.shape.iter().all(|dim| !dim.is_open())) {
                Some(mask) => to.constant("", kind::BOOL, Data::Bool(mask.cast())),
                None => {
                    let mask = to.read(mask)?;
                    to.node("Cast", &[&mask], [int("to", kind::BOOL.into())])
                }
            };
            let (a, b) = (to.read(a)?, to.read(b)?);
            Ok(to.plain("Where", &[&condition, &a, &b]))
        }
        (TensorOp::Conv(Conv::Forward { g, axes }), _) => conv(to, g, *axes, &names?),
        (TensorOp::Conv(Conv::Input { g, axes }), _) => conv_transposed(to, g, *axes, &names?),
        (TensorOp::Recurrence(op), _) => super::recurrent::recurrence(to, *op, &seen.x, &names?),
        (TensorOp::Reduce(op), [x]) => reduce(to, op, x, &names?[0]),
        (TensorOp::Extremum(Extremum { largest, axes, keep, .. }), [_]) => {
            Ok(to.fold(if *largest { "ReduceMax" } else { "ReduceMin" }, &names?[0], axes, *keep))
        }
        (TensorOp::Scan(Scan::Sum { axis, reverse }), [_]) => {
            let axis = to.constant("", kind::INT64, Data::Int(Tensor::scalar(*axis as i64)));
            Ok(to.node("CumSum", &[&names?[0], &axis], [int("reverse", i64::from(*reverse))]))
        }
        (TensorOp::Shape(op), _) => moved(to, op, seen, &names?),
        (TensorOp::Softmax(op), _) => softmax(to, op, &seen.x, &names?),
        (TensorOp::Standardize(op), _) => standardize(to, &op.how, seen, &names?),
        (TensorOp::Take(Take::Elements { .. }), [x]) => match seen.choice {
            Some(choice) => max_pool(to, choice, x, &names?[0], seen.sizes),
            None => taken::elements(to, seen, x, &names?[0]),
        },
        (TensorOp::Take(Take::Rows { .. }), [x]) => taken::rows(to, seen, x, &names?[0]),
        (TensorOp::Distance(op), [a, b]) => {
            let names = names?;
            distance(to, *op, [a, b], [&names[0], &names[1]])
        }
        (TensorOp::Solve(Solve::Det), [_]) => Ok(to.plain("Det", &[&names?[0]])),
        (TensorOp::Solve(Solve::LogAbsDet), [_]) => {
            let y = to.plain("Det", &[&names?[0]]);
            let y = to.plain("Abs", &[&y]);
            Ok(to.plain("Log", &[&y]))
        }
        (TensorOp::Solve(Solve::SignDet), [_]) => {
            let y = to.plain("Det", &[&names?[0]]);
            Ok(to.plain("Sign", &[&y]))
        }
        _ => Err(REFUSED.into()),
    }
}

impl Emitter {
    /// A reduction over axes.
    pub fn fold(&mut self, op: &str, x: &str, axes: &[usize], keep: bool) -> String {
        if axes.is_empty() {
            return self.plain("Identity", &[x]);
        }
        let axes: Vec<i64> = axes.iter().map(|&axis| axis as i64).collect();
        let axes = self.integers(&axes);
        self.node(op, &[x, &axes], [int("keepdims", i64::from(keep))])
    }

    pub fn permuted(&mut self, x: &str, axes: impl IntoIterator<Item = usize>) -> String {
        self.node("Transpose", &[x], [ints("perm", axes)])
    }

    fn known(dims: &[i64]) -> Vec<Dim> {
        dims.iter().map(|&base| Dim::number(base)).collect()
    }
}

fn linalg(to: &mut Emitter, op: Linalg, x: &[Arg]) -> Checked<String> {
    match (op, x) {
        (Linalg::Linear, [_, _, _]) => {
            let names = x.iter().map(|x| to.read(x)).collect::<Checked<Vec<String>>>()?;
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Ok(to.node("Gemm", &names, [int("transB", 1)]))
        }
        (Linalg::Matmul { transpose_a, transpose_b }, [a, b]) => {
            let rank = a.shape.len();
            if rank == 2 && (transpose_a || transpose_b) {
                let turned = [int("transA", transpose_a.into()), int("transB", transpose_b.into())];
                let names = [to.read(a)?, to.read(b)?];
                return Ok(to.node("Gemm", &[&names[0], &names[1]], turned));
            }
            // One that is the same for all is repeated by the product, if the other is there for each.
            let (one_a, one_b) = (to.repeated(a)?, to.repeated(b)?);
            let one_a = one_a.filter(|_| one_b.is_none());
            let mut operand = |x: &Arg, one: Option<String>, turn: bool| {
                let (name, rank) = match one {
                    Some(name) => (name, 2),
                    None => (to.read(x)?, rank),
                };
                Ok::<String, String>(match turn {
                    true => to.permuted(&name, (0..rank.saturating_sub(2)).chain([rank - 1, rank - 2])),
                    false => name,
                })
            };
            let (a, b) = (operand(a, one_a, transpose_a)?, operand(b, one_b, transpose_b)?);
            Ok(to.plain("MatMul", &[&a, &b]))
        }
        _ => Err(REFUSED.into()),
    }
}

/// What an axis of a convolution reads beyond its end, or how much of its end nothing reads.
fn behind(g: &Geometry, i: usize) -> i64 {
    let span =
        (g.output[i] as i64 - 1) * g.stride[i] as i64 + (g.kernel[i] as i64 - 1) * g.dilation[i] as i64 + 1;
    span - g.input[i] as i64 - g.padding[i] as i64
}

fn conv(to: &mut Emitter, g: &Geometry, axes: usize, names: &[String]) -> Checked<String> {
    let own = 3 - axes..3;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let after = own.clone().map(|i| behind(g, i).max(0) as usize);
    let attributes = [
        ints("dilations", g.dilation[own.clone()].iter().copied()),
        int("group", g.groups as i64),
        ints("kernel_shape", g.kernel[own.clone()].iter().copied()),
        ints("pads", g.padding[own.clone()].iter().copied().chain(after)),
        ints("strides", g.stride[own.clone()].iter().copied()),
    ];
    Ok(to.node("Conv", &names, attributes))
}

pub(super) fn conv_transposed(
    to: &mut Emitter,
    g: &Geometry,
    axes: usize,
    names: &[String],
) -> Checked<String> {
    let own = 3 - axes..3;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let after = own.clone().map(|i| behind(g, i).max(0) as usize);
    let more = own.clone().map(|i| (-behind(g, i)).max(0) as usize);
    let attributes = [
        ints("dilations", g.dilation[own.clone()].iter().copied()),
        int("group", g.groups as i64),
        ints("kernel_shape", g.kernel[own.clone()].iter().copied()),
        ints("output_padding", more),
        ints("pads", g.padding[own.clone()].iter().copied().chain(after)),
        ints("strides", g.stride[own.clone()].iter().copied()),
    ];
    Ok(to.node("ConvTranspose", &names, attributes))
}

fn reduce(to: &mut Emitter, op: &Reduce, x: &Arg, name: &str) -> Checked<String> {
    match op {
        Reduce::Sum { axes, keep } => Ok(to.fold("ReduceSum", name, axes, *keep)),
        Reduce::Mean { axes, keep } => Ok(to.fold("ReduceMean", name, axes, *keep)),
        Reduce::Prod { axes, keep } => Ok(to.fold("ReduceProd", name, axes, *keep)),
        Reduce::Var { axes, keep, correction, .. } => {
            if axes.iter().any(|&axis| x.shape.get(axis).is_none_or(|dim| dim.is_open())) {
                return Err("of a size that is left open: the variance is divided by it".into());
            }
            let n: usize = axes.iter().map(|&axis| x.sizes[axis]).product();
            let mean = to.fold("ReduceMean", name, axes, true);
            let apart = to.plain("Sub", &[name, &mean]);
            let square = to.plain("Mul", &[&apart, &apart]);
            let sum = to.fold("ReduceSum", &square, axes, *keep);
            to.unary(&Unary::DivNumber { number: (n as f64 - correction).max(0.0) }, &sum)
        }
    }
}

fn moved(to: &mut Emitter, op: &ShapeOp, seen: &Seen<'_>, names: &[String]) -> Checked<String> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let [x, ..] = names[..] else { return Err(REFUSED.into()) };
    let rank = seen.x.first().map_or(0, |x| x.shape.len());
    let place = |axis: isize| if axis < 0 { (axis + rank as isize) as usize } else { axis as usize };
    Ok(match op {
        ShapeOp::Reshape(_) => to.reshaped(x, &seen.shape)?,
        ShapeOp::Permute(axes) => to.permuted(x, axes.iter().map(|&axis| place(axis))),
        ShapeOp::Expand(_) => {
            let sizes = to.sizes(&seen.shape)?;
            to.plain("Expand", &[x, &sizes])
        }
        ShapeOp::Slice { axis, .. } => {
            let parts = each!(seen, TensorOp::Shape(ShapeOp::Slice { start, len, step, .. }) => (*start, *len, *step))?;
            let step = parts.first().map_or(1, |part| part.2);
            let starts: Vec<usize> = parts.iter().map(|part| part.0).collect();
            let start = to.dim(&starts)?;
            let end =
                to.dim(&parts.iter().map(|(start, len, step)| start + len * step).collect::<Vec<_>>())?;
            let (start, end) = (to.sizes(&[start])?, to.sizes(&[end])?);
            let (axis, step) = (to.integers(&[*axis as i64]), to.integers(&[step as i64]));
            to.plain("Slice", &[x, &start, &end, &axis, &step])
        }
        ShapeOp::Unslice { axis, start, step, .. } => {
            let axis = *axis;
            let (from, into) = (seen.x[0].shape.get(axis).copied(), seen.shape.get(axis).copied());
            let (Some(from), Some(into)) = (from, into) else { return Err(REFUSED.into()) };
            if *step != 1 {
                return Err(REFUSED.into());
            }
            let before = *start as i64;
            let after = into.minus(from).minus(Dim::number(before));
            to.padded(x, rank, axis, before, after)?
        }
        ShapeOp::Flip(axes) => {
            let all = |v: i64| vec![v; axes.len()];
            let places: Vec<i64> = axes.iter().map(|&axis| place(axis) as i64).collect();
            let (start, end) = (to.integers(&all(-1)), to.integers(&all(i64::MIN + 1)));
            let (places, step) = (to.integers(&places), to.integers(&all(-1)));
            to.plain("Slice", &[x, &start, &end, &places, &step])
        }
        ShapeOp::Detach => to.plain("Identity", &[x]),
        ShapeOp::Cat { axis, .. } => to.node("Concat", &names, [int("axis", *axis as i64)]),
    })
}

impl Emitter {
    /// Zeros before and after an axis.
    pub fn padded(&mut self, x: &str, rank: usize, axis: usize, before: i64, after: Dim) -> Checked<String> {
        let mut pads = Emitter::known(&vec![0; 2 * rank]);
        for (place, dim) in [(axis, Dim::number(before)), (rank + axis, after)] {
            if let Some(pad) = pads.get_mut(place) {
                *pad = dim;
            }
        }
        let pads = self.sizes(&pads)?;
        Ok(self.plain("Pad", &[x, &pads]))
    }
}

fn softmax(to: &mut Emitter, op: &Softmax, x: &[Arg], names: &[String]) -> Checked<String> {
    let (Some(arg), Some(x)) = (x.first(), names.first()) else { return Err(REFUSED.into()) };
    let last = arg.shape.len().saturating_sub(1);
    Ok(match op {
        Softmax::Plain { axis } => to.node("Softmax", &[x], [int("axis", *axis as i64)]),
        Softmax::Log { axis } => to.node("LogSoftmax", &[x], [int("axis", *axis as i64)]),
        Softmax::LogSum { axes, keep } => to.fold("ReduceLogSumExp", x, axes, *keep),
        Softmax::Shares { .. } => {
            let y = to.plain("Sub", &[x, names.get(1).ok_or(REFUSED)?]);
            to.plain("Exp", &[&y])
        }
        Softmax::Causal => {
            let hidden = to.hidden(&arg.shape[last.saturating_sub(1)..], Dim::ONE)?;
            let y = to.plain("Add", &[x, &hidden]);
            to.node("Softmax", &[&y], [int("axis", last as i64)])
        }
        Softmax::Masked => {
            let y = to.node("Softmax", &[x], [int("axis", last as i64)]);
            let most = to.fold("ReduceMax", x, &[last], true);
            let none = to.number(f64::NEG_INFINITY);
            let (masked, zero) = (to.plain("Equal", &[&most, &none]), to.number(0.0));
            to.plain("Where", &[&masked, &zero, &y])
        }
    })
}

impl Emitter {
    /// -∞ for pairs `[queries, keys]` that a causal query doesn't see, above this diagonal.
    pub fn hidden(&mut self, sizes: &[Dim], diagonal: Dim) -> Checked<String> {
        let sizes = self.sizes(sizes)?;
        let value = self.number(f64::NEG_INFINITY);
        let all = self.plain("Expand", &[&value, &sizes]);
        let diagonal = match diagonal.known() {
            Some(known) => self.constant("", kind::INT64, Data::Int(Tensor::scalar(known))),
            None => {
                let one = self.sizes(&[diagonal])?;
                self.plain("Squeeze", &[&one])
            }
        };
        Ok(self.node("Trilu", &[&all, &diagonal], [int("upper", 1)]))
    }
}

fn standardize(to: &mut Emitter, how: &Standardize, seen: &Seen<'_>, names: &[String]) -> Checked<String> {
    let (Some(arg), Some(x)) = (seen.x.first(), names.first()) else { return Err(REFUSED.into()) };
    let rank = arg.sizes.rank();
    let eps = float("epsilon", how.eps);
    match how.kind {
        Norm::Layer => {
            // A weight says of how many axes the parts are.
            let mut axis = rank.saturating_sub(seen.x.get(1).map_or(1, |weight| weight.sizes.rank()));
            while axis > 0 && arg.sizes[axis..].iter().product::<usize>() < how.at.inner {
                axis -= 1;
            }
            let own: Shape = arg.sizes[axis..].iter().copied().collect();
            if own.numel() != how.at.inner || arg.shape[axis..].iter().any(|dim| dim.is_open()) {
                return Err(REFUSED.into());
            }
            let scale = match names.get(1) {
                Some(scale) => scale.clone(),
                None => to.floats(&Tensor::ones(own)),
            };
            let inputs: Vec<&str> =
                [x.as_str(), &scale].into_iter().chain(names.get(2).map(String::as_str)).collect();
            Ok(to.node("LayerNormalization", &inputs, [int("axis", axis as i64), eps]))
        }
        Norm::Instance | Norm::Group if names.len() == 1 && rank > 2 => {
            let channels = arg.sizes[1];
            let groups = how.at.groups / arg.sizes[0].max(1);
            let (one, zero) = (Tensor::ones([channels]), Tensor::zeros([channels]));
            let (one, zero) = (to.floats(&one), to.floats(&zero));
            if how.kind == Norm::Instance {
                return Ok(to.node("InstanceNormalization", &[x, &one, &zero], [eps]));
            }
            if to.opset >= 21 {
                let count = int("num_groups", groups as i64);
                return Ok(to.node("GroupNormalization", &[x, &one, &zero], [count, eps]));
            }
            groups_by_hand(to, how.eps, groups, arg, x)
        }
        Norm::Group if names.len() == 1 => {
            groups_by_hand(to, how.eps, how.at.groups / arg.sizes[0].max(1), arg, x)
        }
        // By the batch's own statistics: of the channels, axis 1.
        Norm::Batch => {
            let axes: Vec<usize> = (0..rank).filter(|&axis| axis != 1).collect();
            let y = to.standardized(x, &axes, how.eps)?;
            let mut column = vec![1i64; rank.saturating_sub(1)];
            column[0] = arg.sizes[1] as i64;
            let column = Emitter::known(&column);
            let mut y = y;
            for (op, name) in ["Mul", "Add"].iter().zip(&names[1..]) {
                let part = to.reshaped(name, &column)?;
                y = to.plain(op, &[&y, &part]);
            }
            Ok(y)
        }
        _ => Err(REFUSED.into()),
    }
}

impl Emitter {
    /// Mean 0 and variance 1 over axes.
    fn standardized(&mut self, x: &str, axes: &[usize], eps: f64) -> Checked<String> {
        let mean = self.fold("ReduceMean", x, axes, true);
        let apart = self.plain("Sub", &[x, &mean]);
        let square = self.plain("Mul", &[&apart, &apart]);
        let variance = self.fold("ReduceMean", &square, axes, true);
        let sum = self.unary(&Unary::AddNumber { number: eps }, &variance)?;
        let deviation = self.plain("Sqrt", &[&sum]);
        Ok(self.plain("Div", &[&apart, &deviation]))
    }
}

fn groups_by_hand(to: &mut Emitter, eps: f64, groups: usize, arg: &Arg, x: &str) -> Checked<String> {
    let inner = arg.sizes[1..].iter().product::<usize>() / groups.max(1);
    let apart = [arg.shape[0], Dim::number(groups as i64), Dim::number(inner as i64)];
    let y = to.reshaped(x, &apart)?;
    let y = to.standardized(&y, &[2], eps)?;
    to.reshaped(&y, &arg.shape)
}

fn distance(to: &mut Emitter, op: Distance, [a, b]: [&Arg; 2], names: [&str; 2]) -> Checked<String> {
    let rank = a.shape.len();
    let apart = |dims: &[Dim], at: usize| {
        let mut dims = dims.to_vec();
        dims.insert(at, Dim::ONE);
        dims
    };
    let left = to.reshaped(names[0], &apart(&a.shape, rank - 1))?;
    let right = to.reshaped(names[1], &apart(&b.shape, rank - 2))?;
    let gap = to.plain("Sub", &[&left, &right]);
    Ok(match op {
        Distance::Manhattan => to.fold("ReduceL1", &gap, &[rank], false),
        Distance::Euclidean => to.fold("ReduceL2", &gap, &[rank], false),
    })
}
