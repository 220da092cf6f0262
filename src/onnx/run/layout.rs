//! Operators that move elements, and those that reckon with sizes.
use super::call::{Call, Run, Values, float};
use crate::{
    error::Checked,
    onnx::{
        proto::{Attribute, kind},
        value::{Movable, Value, moved, sound},
    },
    ops::Pad,
    tensor::{Shape, Tensor, room::room, shape::broadcast},
};

pub(super) const OPERATORS: &[(&str, Run)] = &[
    ("Cast", cast),
    ("CastLike", |c| {
        let like = c.value(1)?.clone();
        let y = match like {
            Value::Float(_) => Value::Float(c.value(0)?.floats(c.tape)),
            Value::Int(_) | Value::Index(_) => Value::Int(c.value(0)?.integers()?),
            Value::Bool(_) | Value::Mask(_) => {
                return Err("to truths: floats and whole numbers are cast here".into());
            }
        };
        Ok(vec![y])
    }),
    ("Concat", concat),
    ("Constant", constant),
    ("ConstantOfShape", constant_of_shape),
    ("DepthToSpace", depth_to_space),
    ("Dropout", |c| Ok(vec![c.value(0)?.clone()])),
    ("Expand", |c| {
        let shape = broadcast(c.value(0)?.shape(), &sizes_of(&c.list(1)?)?)?;
        Ok(vec![moved!(c.value(0)?, x => x.expanded(&shape)?)])
    }),
    ("Flatten", |c| {
        let shape = c.value(0)?.shape();
        let axis = c.int_or("axis", 1);
        let axis = if axis == shape.rank() as i64 { shape.rank() } else { c.axis(axis, shape.rank())? };
        let sizes = [&shape[..axis], &shape[axis..]].map(|part| part.iter().product::<usize>() as isize);
        Ok(vec![moved!(c.value(0)?, x => x.reshape_as(&sizes)?)])
    }),
    ("Gather", gather),
    ("GatherElements", |c| {
        let (x, index) = (c.value(0)?, c.value(1)?.integers()?);
        let axis = c.axis(c.int_or("axis", 0), x.shape().rank())?;
        let index = wrapped(&index, x.shape().get(axis).copied().unwrap_or(1))?;
        match x {
            Value::Float(x) => float(x.gather(axis as isize, &index)),
            other => Err(format!("takes floats, not {}", other.kind())),
        }
    }),
    ("Identity", |c| Ok(vec![c.value(0)?.clone()])),
    ("Pad", pad),
    ("Range", range),
    ("Reshape", reshape),
    ("Shape", |c| {
        let shape = c.value(0)?.shape();
        let rank = shape.rank() as i64;
        let at = |v: i64| (if v < 0 { v + rank } else { v }).clamp(0, rank) as usize;
        let (start, end) = (at(c.int_or("start", 0)), at(c.int_or("end", rank)));
        let sizes = shape.get(start..end.max(start)).unwrap_or_default();
        Ok(vec![Value::Int(Tensor::from_fn([sizes.len()], |i| sizes[i] as i64))])
    }),
    ("Size", |c| Ok(vec![Value::Int(Tensor::scalar(c.value(0)?.shape().numel() as i64))])),
    ("Slice", slice),
    ("SpaceToDepth", |c| {
        let x = c.float(0)?;
        let block = c.int_or("blocksize", 1).max(1) as isize;
        let [n, ch, h, w] = sizes4(&x)?;
        let y = x.reshape([n, ch, h / block, block, w / block, block]).permute([0, 3, 5, 1, 2, 4]);
        float(y.reshape([n, ch * block * block, h / block, w / block]))
    }),
    ("Split", split),
    ("Squeeze", |c| {
        let x = c.value(0)?;
        let shape = x.shape();
        let axes = match c.axes(1)? {
            Some(axes) => {
                axes.iter().map(|&axis| c.axis(axis, shape.rank())).collect::<Checked<Vec<usize>>>()?
            }
            None => (0..shape.rank()).filter(|&axis| shape[axis] == 1).collect(),
        };
        if let Some(&axis) = axes.iter().find(|&&axis| shape[axis] != 1) {
            return Err(format!("axis {axis} of {shape} isn't of size 1"));
        }
        let left = (0..shape.rank()).filter(|axis| !axes.contains(axis)).map(|axis| shape[axis] as isize);
        let sizes: Vec<isize> = left.collect();
        Ok(vec![moved!(x, x => x.reshape_as(&sizes)?)])
    }),
    ("Tile", |c| {
        let (x, repeats) = (c.value(0)?, sizes_of(&c.list(1)?)?);
        if repeats.rank() != x.shape().rank() {
            return Err(format!("repeats {repeats} don't fit {}", x.shape()));
        }
        let (mut apart, mut all) = (Vec::new(), Vec::new());
        for (&n, &times) in x.shape().iter().zip(repeats.iter()) {
            apart.extend([1, n as isize]);
            all.extend([times, n]);
        }
        let whole: Vec<isize> = all.chunks(2).map(|pair| pair.iter().product::<usize>() as isize).collect();
        let all = Shape::new(&all);
        Ok(vec![moved!(x, x => x.reshape_as(&apart)?.expanded(&all)?.reshape_as(&whole)?)])
    }),
    ("Transpose", |c| {
        let rank = c.value(0)?.shape().rank() as isize;
        let axes: Vec<isize> = match c.ints("perm") {
            Some(axes) => axes.iter().map(|&axis| axis as isize).collect(),
            None => (0..rank).rev().collect(),
        };
        Ok(vec![moved!(c.value(0)?, x => x.permuted(&axes)?)])
    }),
    ("Trilu", trilu),
    ("Unsqueeze", |c| {
        let x = c.value(0)?;
        let axes = c.axes(1)?.ok_or("axes are missing")?;
        let rank = x.shape().rank() + axes.len();
        let axes = axes.iter().map(|&axis| c.axis(axis, rank)).collect::<Checked<Vec<usize>>>()?;
        let mut rest = x.shape().iter();
        let size = |axis| if axes.contains(&axis) { 1 } else { rest.next().map_or(1, |&n| n as isize) };
        let sizes: Vec<isize> = (0..rank).map(size).collect();
        Ok(vec![moved!(x, x => x.reshape_as(&sizes)?)])
    }),
];

fn sizes4(x: &crate::Var<'_, f32>) -> Checked<[isize; 4]> {
    match x.shape()[..] {
        [a, b, c, d] => Ok([a, b, c, d].map(|n| n as isize)),
        _ => Err(format!("takes [n, channels, height, width], not {}", x.shape())),
    }
}

/// Sizes of 0 or more, of no more elements than there can be.
pub(super) fn sizes_of(list: &[i64]) -> Checked<Shape> {
    let sizes = list.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Shape>>();
    let shape = sizes.ok_or_else(|| format!("sizes {list:?} must be 0 or more"))?;
    crate::tensor::shape::addressable(&shape)?;
    drop(room::<f32>(shape.numel())?);
    Ok(shape)
}

/// Indices of which negative ones count from the end.
pub(super) fn wrapped(index: &Tensor<i64>, size: usize) -> Checked<Tensor<u32>> {
    let n = size as i64;
    let list = index.to_vec();
    if let Some(bad) = list.iter().find(|&&i| !(-n..n).contains(&i)) {
        return Err(format!("index {bad} is out of range for an axis of {n}"));
    }
    Ok(Tensor::from_fn(index.shape(), |i| (if list[i] < 0 { list[i] + n } else { list[i] }) as u32))
}

fn cast<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let (x, to) = (c.value(0)?, c.int_or("to", 1) as u32);
    let y = match x {
        _ if kind::is_float(to) => Value::Float(x.floats(c.tape)),
        Value::Bool(_) | Value::Mask(_) if to == kind::BOOL => x.clone(),
        Value::Float(v) if to == kind::BOOL => {
            let zero = c.constant(Tensor::scalar(0.0));
            let equal = crate::onnx::value::compare(crate::ops::list::Test::Equal, v, &zero)?;
            Value::Mask(sound(1.0 - equal)?)
        }
        Value::Float(v) if v.tape().is_traced() && v.node().is_some() => {
            return Err("floats to whole numbers: what follows would hang on values".into());
        }
        Value::Float(v) => {
            let list = v.tensor().list()?;
            Value::Int(Tensor::from_fn(v.shape(), |i| list[i] as i64))
        }
        other if to == kind::BOOL => {
            let list = other.integers()?.to_vec();
            Value::Bool(Tensor::from_fn(other.shape(), |i| list[i] != 0))
        }
        Value::Index(_) => x.clone(),
        other => Value::Int(other.integers()?),
    };
    Ok(vec![y])
}

fn concat<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let first = c.value(0)?;
    let axis = c.axis(c.int_or("axis", 0), first.shape().rank())?;
    let y = if c.x.iter().flatten().any(|x| matches!(x, Value::Float(_))) {
        let all: Vec<_> = c.x.iter().flatten().map(|x| x.floats(c.tape)).collect();
        Value::Float(Movable::joined(&all.iter().collect::<Vec<_>>(), axis)?)
    } else if c.x.iter().flatten().any(|x| matches!(x, Value::Mask(_))) {
        let all = c.x.iter().flatten().map(|x| x.mask(c.tape)).collect::<Checked<Vec<_>>>()?;
        Value::Mask(Movable::joined(&all.iter().collect::<Vec<_>>(), axis)?)
    } else {
        let all = c.x.iter().flatten().map(Value::integers).collect::<Checked<Vec<_>>>()?;
        let y = <Tensor<i64> as Movable>::joined(&all.iter().collect::<Vec<_>>(), axis)?;
        if matches!(first, Value::Bool(_)) { Value::Bool(y.cast()) } else { Value::Int(y) }
    };
    Ok(vec![y])
}

fn constant<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let [(name, attribute)] = &c.node.attributes[..] else { return Err("takes one attribute".into()) };
    Ok(vec![match attribute {
        Attribute::Tensor(t) => Value::of(&t.data, c.tape),
        Attribute::Float(v) => Value::Float(c.constant(Tensor::scalar(*v))),
        Attribute::Floats(v) => Value::Float(c.constant(Tensor::from(v.clone()))),
        Attribute::Int(v) => Value::Int(Tensor::scalar(*v)),
        Attribute::Ints(v) => Value::Int(Tensor::from(v.clone())),
        _ => return Err(format!("{name}: tensors and numbers are read")),
    }])
}

fn constant_of_shape<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    use crate::onnx::proto::Data;
    let shape = sizes_of(&c.list(0)?)?;
    let first = |t: crate::Result<f32>| t.map_err(|e| e.to_string());
    Ok(vec![match c.node.attribute("value") {
        None => Value::Float(c.constant(Tensor::zeros(shape))),
        Some(Attribute::Tensor(t)) => match &t.data {
            Data::Float(v) => Value::Float(c.constant(Tensor::full(shape, first(v.item())?))),
            Data::Int(v) => Value::Int(Tensor::full(shape, v.item().map_err(|e| e.to_string())?)),
            Data::Bool(v) => Value::Bool(Tensor::full(shape, v.item().map_err(|e| e.to_string())?)),
        },
        Some(_) => return Err("value takes a tensor".into()),
    }])
}

fn depth_to_space<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let x = c.float(0)?;
    let block = c.int_or("blocksize", 1).max(1) as isize;
    let [n, ch, h, w] = sizes4(&x)?;
    let each = ch / (block * block);
    let y = match c.text_or("mode", "DCR") {
        "DCR" => x.reshape([n, block, block, each, h, w]).permute([0, 3, 4, 1, 5, 2]),
        "CRD" => x.reshape([n, each, block, block, h, w]).permute([0, 1, 4, 2, 5, 3]),
        other => return Err(format!("mode {other}: DCR and CRD are known")),
    };
    float(y.reshape([n, each, h * block, w * block]))
}

fn gather<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let (x, index) = (c.value(0)?, c.value(1)?);
    let axis = c.axis(c.int_or("axis", 0), x.shape().rank())?;
    let size = x.shape().get(axis).copied().unwrap_or(1);
    let shape = index.shape().clone();
    let flat = match index {
        // As it is, so that a program knows it again.
        Value::Index(index) => index.reshaped(&Shape::new(&[index.numel()])),
        other => wrapped(&other.integers()?, size)?.reshaped(&Shape::new(&[shape.numel()])),
    };
    let sizes = x.shape();
    let sizes: Vec<isize> =
        sizes[..axis].iter().chain(shape.iter()).chain(&sizes[axis + 1..]).map(|&n| n as isize).collect();
    Ok(vec![moved!(x, x => x.picked(axis, &flat)?.reshape_as(&sizes)?)])
}

fn pad<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let x = c.float(0)?;
    let pads = match c.ints("pads") {
        Some(pads) => pads.to_vec(),
        None => c.list(1)?,
    };
    let value = if c.opset < 11 { c.float_or("value", 0.0) } else { c.number(2)?.unwrap_or(0.0) };
    let mode = match c.text_or("mode", "constant") {
        "constant" => Pad::Constant(value),
        "reflect" => Pad::Reflect,
        "edge" => Pad::Replicate,
        "wrap" => Pad::Circular,
        other => return Err(format!("mode {other}: constant, reflect, edge and wrap are known")),
    };
    let axes: Vec<usize> = match c.optional_list(3)? {
        Some(axes) => axes.iter().map(|&axis| c.axis(axis, x.rank())).collect::<Checked<_>>()?,
        None => (0..x.rank()).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(format!("pads {pads:?} don't fit {} axes", axes.len()));
    }
    let mut ends = vec![[0isize; 2]; x.rank()];
    for (i, &axis) in axes.iter().enumerate() {
        ends[axis] = [pads[i] as isize, pads[axes.len() + i] as isize];
    }
    if ends.iter().all(|end| *end == [0, 0]) {
        return float(x);
    }
    // From the last axis on; those before the first that changes aren't named.
    let first = ends.iter().position(|end| *end != [0, 0]).unwrap_or(0);
    let list: Vec<isize> = ends[first..].iter().rev().flatten().copied().collect();
    float(x.pad(&list, mode))
}

fn range<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    if let (Value::Int(a), Value::Int(b), Value::Int(step)) = (c.value(0)?, c.value(1)?, c.value(2)?) {
        let one = |t: &Tensor<i64>| t.item().map_err(|e| e.to_string());
        let (start, end, step) = (one(a)?, one(b)?, one(step)?);
        if step == 0 {
            return Err("step is 0".into());
        }
        let count = (i128::from(end) - i128::from(start) + i128::from(step) - i128::from(step.signum()))
            / i128::from(step);
        let n = sizes_of(&[count.clamp(0, i64::MAX.into()) as i64])?.numel();
        return Ok(vec![Value::Int(Tensor::from_fn([n], |i| start + i as i64 * step))]);
    }
    let number = |i| c.number(i)?.ok_or_else(|| format!("input {i} is missing"));
    let (start, end, step) = (number(0)?, number(1)?, number(2)?);
    let count = ((end - start) / step).ceil();
    if !count.is_finite() || count.abs() >= 1e9 {
        return Err(format!("from {start} to {end} by {step}: too many"));
    }
    float(c.constant(Tensor::from_fn([count.max(0.0) as usize], |i| (start + i as f64 * step) as f32)))
}

fn reshape<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let x = c.value(0)?;
    let list = match c.ints("shape") {
        Some(shape) => shape.to_vec(),
        None => c.list(1)?,
    };
    let keep = c.int_or("allowzero", 0) == 0;
    let size = |(i, &n): (usize, &i64)| match n {
        0 if keep => x
            .shape()
            .get(i)
            .map(|&n| n as isize)
            .ok_or_else(|| format!("{list:?}: there is no axis {i} to keep")),
        n => Ok(n as isize),
    };
    let sizes = list.iter().enumerate().map(size).collect::<Checked<Vec<isize>>>()?;
    Ok(vec![moved!(x, x => x.reshape_as(&sizes)?)])
}

fn slice<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let x = c.value(0)?;
    let (starts, ends) = match (c.ints("starts"), c.ints("ends")) {
        (Some(starts), Some(ends)) => (starts.to_vec(), ends.to_vec()),
        _ => (c.list(1)?, c.list(2)?),
    };
    let axes = match c.axes(3)? {
        Some(axes) => axes,
        None => (0..starts.len() as i64).collect(),
    };
    let steps = c.optional_list(4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() {
        return Err(format!("starts {starts:?}, ends {ends:?}, axes {axes:?} and steps {steps:?} don't fit"));
    }
    let mut y = x.clone();
    for (i, &axis) in axes.iter().enumerate() {
        let axis = c.axis(axis, x.shape().rank())?;
        let (n, step) = (x.shape().get(axis).map_or(0, |&n| n as i64), steps[i]);
        let from_end = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
        let (start, end) = (from_end(starts[i]), from_end(ends[i]));
        let (start, len) = match step {
            0 => return Err("a step is 0".into()),
            1.. => {
                let (start, end) = (start.clamp(0, n), end.clamp(0, n));
                (start, (end - start).max(0).saturating_add(step - 1) / step)
            }
            _ => {
                let (start, end) = (start.clamp(-1, n - 1), end.clamp(-1, n - 1));
                (start.max(0), ((start - end).max(0) as u64).div_ceil(step.unsigned_abs()) as i64)
            }
        };
        y = moved!(&y, y => y.sliced(axis, start as usize, len as usize, step as isize)?);
    }
    Ok(vec![y])
}

fn split<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let x = c.value(0)?;
    let axis = c.axis(c.int_or("axis", 0), x.shape().rank())?;
    let n = x.shape().get(axis).copied().unwrap_or(1);
    let count = c.node.outputs.len().max(1);
    let sizes: Vec<usize> = match (c.ints("split"), c.optional_list(1)?) {
        (Some(list), _) => sizes_of(list)?.to_vec(),
        (None, Some(list)) => sizes_of(&list)?.to_vec(),
        (None, None) => {
            let each = n.div_ceil(count);
            (0..count).map(|i| each.min(n.saturating_sub(i * each))).collect()
        }
    };
    if sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size)) != Some(n) || sizes.len() != count {
        return Err(format!("parts {sizes:?} don't fit an axis of {n} and {count} outputs"));
    }
    let mut start = 0;
    let mut part = |&size: &usize| {
        start += size;
        Ok(moved!(x, x => x.sliced(axis, start - size, size, 1)?))
    };
    sizes.iter().map(&mut part).collect()
}

fn trilu<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let x = c.value(0)?;
    let k = c.optional_list(1)?.and_then(|k| k.first().copied()).unwrap_or(0);
    let upper = c.int_or("upper", 1) != 0;
    let shape = x.shape().clone();
    let [.., rows, cols] = shape[..] else { return Err(format!("takes matrices, not {shape}")) };
    let keep = move |i: usize| {
        let (row, col) = ((i / cols.max(1) % rows.max(1)) as i64, (i % cols.max(1)) as i64);
        if upper { col - row >= k } else { col - row <= k }
    };
    Ok(vec![match x {
        Value::Float(v) => {
            let mask = c.constant(Tensor::from_fn([rows, cols], |i| f32::from(u8::from(keep(i)))));
            let zero = c.constant(Tensor::scalar(0.0));
            Value::Float(sound(v.where_one(&mask, &zero))?)
        }
        Value::Bool(t) => {
            let list = t.to_vec();
            Value::Bool(Tensor::from_fn(shape, |i| list[i] && keep(i)))
        }
        other => {
            let list = other.integers()?.to_vec();
            Value::Int(Tensor::from_fn(shape, |i| if keep(i) { list[i] } else { 0 }))
        }
    }])
}
