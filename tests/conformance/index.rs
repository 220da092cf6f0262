//! Gathering, scattering, sorting and searching: PyTorch's calls as the library's.
use crate::case::{Arg, Call, Out, Outs, Stop, one, unknown};
use kolmo::{
    Float, Tensor,
    ops::{Scatter, TensorIndex, Unique},
};

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let x = || c.var(0, "input");
    let dim = || c.int(1, "dim", None);
    let index = || c.ints(2, "index");
    match c.op.as_str() {
        "index_select" => one(x()?.index_select(dim()?, &index()?)),
        "gather" => one(x()?.gather(dim()?, &index()?)),
        "take" => one(x()?.take(&c.ints(1, "index")?)),
        "take_along_dim" => one(x()?.take_along_dim(&c.ints(1, "indices")?, c.int_opt(2, "dim")?)),
        "scatter" => match c.get(3, "src").and_then(Arg::number) {
            Some(value) => one(x()?.scatter(dim()?, &index()?, value)),
            None if c.get(3, "src").is_none() => {
                one(x()?.scatter(dim()?, &index()?, c.num(3, "value", None)?))
            }
            None => one(x()?.scatter(dim()?, &index()?, &c.var(3, "src")?)),
        },
        "scatter_add" => one(x()?.scatter_add(dim()?, &index()?, &c.var(3, "src")?)),
        op if op.starts_with("scatter_reduce") => {
            let reduce = match c.text(4, "reduce", "")?.as_str() {
                "sum" => Scatter::Sum,
                "prod" => Scatter::Prod,
                "mean" => Scatter::Mean,
                "amax" => Scatter::Amax,
                "amin" => Scatter::Amin,
                other => return Err(Stop::Unrepresentable(format!("the reduction {other}"))),
            };
            let include_self = c.flag(5, "include_self", true)?;
            one(x()?.scatter_reduce(dim()?, &index()?, &c.var(3, "src")?, reduce, include_self))
        }
        "index_add" => {
            one(x()?.index_add(dim()?, &index()?, &c.operand(3, "source")?, c.num(4, "alpha", 1.0)?))
        }
        "index_copy" => one(x()?.index_copy(dim()?, &index()?, &c.var(3, "source")?)),
        "index_fill" => match c.get(3, "value") {
            Some(Arg::Var(value)) => one(x()?.index_fill(dim()?, &index()?, value)),
            _ => one(x()?.index_fill(dim()?, &index()?, c.num(3, "value", None)?)),
        },
        "masked_fill" => match c.get(2, "value") {
            Some(Arg::Var(value)) => one(x()?.masked_fill(&c.bools(1, "mask")?, value)),
            _ => one(x()?.masked_fill(&c.bools(1, "mask")?, c.num(2, "value", None)?)),
        },
        "masked_select" => one(x()?.masked_select(&c.bools(1, "mask")?)),
        "masked_scatter" => one(x()?.masked_scatter(&c.bools(1, "mask")?, &c.var(2, "source")?)),
        "__getitem__" => one(x()?.index(items(c)?)),
        "sort" => pair(x()?.sort(c.int(1, "dim", -1)?, c.flag(2, "descending", false)?)),
        "argsort" => one(x()?.value()?.argsort(c.int(1, "dim", -1)?, c.flag(2, "descending", false)?)?),
        "msort" => one(x()?.sort(0, false).0),
        "topk" => pair(x()?.topk(c.size(1, "k", None)?, c.int(2, "dim", -1)?, c.flag(3, "largest", true)?)),
        "kthvalue" => {
            pair(x()?.kthvalue(c.size(1, "k", None)?, c.int(2, "dim", -1)?, c.flag(3, "keepdim", false)?))
        }
        "searchsorted" => {
            let right = c.flag(3, "right", false)? || c.text(4, "side", "left")? == "right";
            let sorter = match c.get(5, "sorter") {
                None => None,
                Some(Arg::Ints(sorter)) => Some(sorter.cast::<u32>()),
                Some(other) => return Err(Stop::Unrepresentable(format!("{} as a sorter", other.kind()))),
            };
            let (sorted, values) = (x()?, c.operand(1, "input")?);
            one(sorted.value()?.searchsorted(values.value()?, right, sorter.as_ref())?)
        }
        "bucketize" => {
            let (x, boundaries) = (c.operand(0, "input")?, c.var(1, "boundaries")?);
            one(x.value()?.bucketize(boundaries.value()?, c.flag(3, "right", false)?)?)
        }
        "bincount" => {
            let (index, length) = (c.ints(0, "input")?, c.size(2, "minlength", 0)?);
            match c.get(1, "weights") {
                None => one(index.bincount(length)?),
                Some(_) => one(c.operand(1, "weights")?.bincount(&index, length)),
            }
        }
        "nonzero" => {
            let found = match c.get(0, "input") {
                Some(Arg::Bools(mask)) => mask.nonzero(),
                Some(Arg::Ints(ints)) => ints.nonzero(),
                _ => x()?.value()?.nonzero(),
            };
            if !c.flag(1, "as_tuple", false)? {
                return one(found);
            }
            // A list for each axis; a tensor without axes counts as a list of one element.
            let found = if found.dim(1) == 0 { Tensor::zeros([found.dim(0), 1]) } else { found };
            (0..found.dim(1)).map(|axis| Ok(found.select(1, axis as isize)?.into())).collect()
        }
        "unique" => {
            let dim = c.int_opt(4, "dim")?;
            let (mut outs, inverse, counts) = match c.get(0, "input") {
                Some(Arg::Ints(ints)) => parts(ints.unique(dim)?, Out::Ints),
                _ => parts(x()?.value()?.unique(dim)?, |values| Out::Var(c.tape.constant(values))),
            };
            if c.flag(2, "return_inverse", false)? {
                outs.push(inverse.into());
            }
            if c.flag(3, "return_counts", false)? {
                outs.push(counts.into());
            }
            Ok(outs)
        }
        "nn.functional.embedding" => {
            let table = if c.flag(5, "scale_grad_by_freq", false)? {
                x()?.scale_grad_by_freq(&c.ints(1, "input")?)
            } else {
                x()?
            };
            one(table.embedding(&c.ints(1, "input")?, c.int_opt(2, "padding_idx")?))
        }
        "nn.functional.one_hot" => {
            let classes = c.int(1, "num_classes", -1)?;
            let classes = usize::try_from(classes).ok();
            one(c.ints(0, "input")?.one_hot::<i64>(classes)?)
        }
        _ => unknown(),
    }
}

fn pair<'t, T: Float>((values, index): (kolmo::Var<'t, T>, Tensor<u32>)) -> Outs<'t, T> {
    Ok(vec![values.into(), index.into()])
}

type Parts<'t, T> = (Vec<Out<'t, T>>, Tensor<u32>, Tensor<u32>);

fn parts<'t, T: Float, U: kolmo::tensor::Element>(
    unique: Unique<U>,
    out: impl Fn(Tensor<U>) -> Out<'t, T>,
) -> Parts<'t, T> {
    (vec![out(unique.values)], unique.inverse, unique.counts)
}

/// The items of `x[…]`: a tuple of them, or one; a list of numbers is one, as in Python.
fn items<T: Float>(c: &Call<'_, T>) -> Result<Vec<TensorIndex>, Stop> {
    match c.get(1, "index") {
        Some(Arg::List(items)) if !items.iter().all(|i| matches!(i, Arg::Int(_))) => {
            items.iter().map(item).collect()
        }
        Some(one) => Ok(vec![item(one)?]),
        None => Ok(vec![TensorIndex::NewAxis]),
    }
}

fn item<T: Float>(arg: &Arg<'_, T>) -> Result<TensorIndex, Stop> {
    let whole = |v: &Option<i64>| v.map(|v| v as isize);
    Ok(match arg {
        Arg::Int(index) => TensorIndex::At(*index as isize),
        Arg::Slice(start, end, step) => {
            TensorIndex::Slice { start: whole(start), end: whole(end), step: step.unwrap_or(1) as isize }
        }
        Arg::Ellipsis => TensorIndex::Ellipsis,
        Arg::None => TensorIndex::NewAxis,
        Arg::Ints(index) => TensorIndex::Indices(index.clone()),
        Arg::Bools(mask) => TensorIndex::Mask(mask.clone()),
        Arg::List(list) => {
            let ints = list.iter().map(|a| match a {
                Arg::Int(v) => Ok(*v),
                other => Err(Stop::Unrepresentable(format!("{} in a list of indices", other.kind()))),
            });
            TensorIndex::Indices(Tensor::from(ints.collect::<Result<Vec<i64>, _>>()?))
        }
        other => return Err(Stop::Unrepresentable(format!("{} as an index", other.kind()))),
    })
}
