//! Views, joins, splits and padding: PyTorch's calls as the library's.
use crate::case::{Arg, Call, Out, Outs, Stop, one, unknown};
use kolmo::{
    Float, Tensor, Var,
    ops::{MeshgridIndexing, Pad},
};

/// Several results.
fn all<'t, T: Float>(list: impl Into<Vec<Var<'t, T>>>) -> Outs<'t, T> {
    let list = list.into();
    Ok(list.into_iter().map(Out::from).collect())
}

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let x = || c.var(0, "input");
    let dims = |i, name| c.dims(i, name).map(Option::unwrap_or_default);
    match c.op.as_str() {
        "reshape" | "view" => one(x()?.reshape(dims(1, "shape")?)),
        "flatten" => one(x()?.flatten(c.int(1, "start_dim", 0)?, c.int(2, "end_dim", -1)?)),
        "ravel" => one(x()?.flatten(0, -1)),
        "unflatten" => one(x()?.unflatten(c.int(1, "dim", None)?, &dims(2, "sizes")?)),
        "permute" => one(x()?.permute(&dims(1, "dims")?)),
        "transpose" | "swapaxes" => one(x()?.transpose(c.int(1, "dim0", None)?, c.int(2, "dim1", None)?)),
        "t" => one(x()?.t()),
        "movedim" => one(x()?.movedim(&dims(1, "source")?, &dims(2, "destination")?)),
        "expand" | "broadcast_to" => one(x()?.expand(dims(1, "size")?)),
        "cat" => joined(c, |list, dim| c.tape.cat(list, dim)),
        "stack" => joined(c, |list, dim| c.tape.stack(list, dim)),
        "hstack" => joined(c, |list, _| {
            let lists: Vec<_> =
                list.iter().map(|t| if t.rank() == 0 { t.flatten(0, -1) } else { (*t).clone() }).collect();
            let dim = if lists.first().is_some_and(|t| t.rank() > 1) { 1 } else { 0 };
            c.tape.cat(&lists.iter().collect::<Vec<_>>(), dim)
        }),
        "vstack" => joined(c, |list, _| {
            let row = |t: &Var<'t, T>| if t.rank() < 2 { t.flatten(0, -1).unsqueeze(0) } else { t.clone() };
            let rows: Vec<_> = list.iter().map(|t| row(t)).collect();
            c.tape.cat(&rows.iter().collect::<Vec<_>>(), 0)
        }),
        "split" => match c.get(1, "split_size") {
            Some(Arg::List(_)) => all(x()?.split(&sizes(c, 1, "split_size")?, c.int(2, "dim", 0)?)),
            _ => all(x()?.split(c.size(1, "split_size", None)?, c.int(2, "dim", 0)?)),
        },
        "split_with_sizes" => all(x()?.split(&sizes(c, 1, "split_sizes")?, c.int(2, "dim", 0)?)),
        "chunk" => all(x()?.chunk(c.size(1, "chunks", None)?, c.int(2, "dim", 0)?)),
        "tensor_split" => {
            let (x, dim) = (x()?, c.int(2, "dim", 0)?);
            match c.get(1, "indices_or_sections") {
                Some(Arg::Int(n)) => all(x.tensor_split(usize::try_from(*n).unwrap_or(0), dim)),
                Some(Arg::Ints(n)) if n.rank() == 0 => {
                    all(x.tensor_split(usize::try_from(n.item()?).unwrap_or(0), dim))
                }
                Some(Arg::Ints(at)) => {
                    let at: Vec<isize> = at.to_vec().iter().map(|&i| i as isize).collect();
                    all(x.tensor_split(&at, dim))
                }
                _ => all(x.tensor_split(&dims(1, "indices_or_sections")?, dim)),
            }
        }
        "unbind" => all(x()?.unbind(c.int(1, "dim", 0)?)),
        "narrow" => {
            let start = match c.get(2, "start") {
                Some(Arg::Ints(start)) => start.item()? as isize,
                _ => c.int(2, "start", None)?,
            };
            let (x, dim) = (x()?, c.int(1, "dim", None)?);
            // PyTorch's start may count from the end.
            let size = x.shape().get(dim.rem_euclid(x.rank().max(1) as isize) as usize).copied().unwrap_or(0);
            let start = if start < 0 { start + size as isize } else { start };
            let start =
                usize::try_from(start).map_err(|_| Stop::Unrepresentable("a negative start".into()))?;
            one(x.narrow(dim, start, c.size(3, "length", None)?))
        }
        "slice" => {
            let step = c.int(4, "step", 1)?;
            one(x()?.slice(c.int(1, "dim", 0)?, c.int_opt(2, "start")?, c.int_opt(3, "end")?, step))
        }
        "select" => one(x()?.select(c.int(1, "dim", None)?, c.int(2, "index", None)?)),
        "flip" => one(x()?.flip(&dims(1, "dims")?)),
        "roll" => one(x()?.roll(&dims(1, "shifts")?, &dims(2, "dims")?)),
        "rot90" => match dims(2, "dims")?[..] {
            [] => one(x()?.rot90(c.int(1, "k", 1)?, [0, 1])),
            [a, b] => one(x()?.rot90(c.int(1, "k", 1)?, [a, b])),
            _ => Err(Stop::Unrepresentable("rot90 takes two axes".into())),
        },
        "repeat" => one(x()?.repeat(&sizes(c, 1, "repeats")?)),
        "tile" => {
            let (x, dims) = (x()?, sizes(c, 1, "dims")?);
            let missing = vec![1; x.rank().saturating_sub(dims.len())];
            one(x.repeat(&[missing, dims].concat()))
        }
        "squeeze" => one(x()?.squeeze(&dims(1, "dim")?)),
        "unsqueeze" => one(x()?.unsqueeze(c.int(1, "dim", None)?)),
        "repeat_interleave" => {
            let repeats = match c.get(1, "repeats") {
                Some(Arg::Ints(repeats)) => repeats.clone(),
                _ => Tensor::scalar(c.int(1, "repeats", None)? as i64),
            };
            one(x()?.repeat_interleave(&repeats, c.int_opt(2, "dim")?))
        }
        "unfold" => {
            let size = c.size(2, "size", None)?;
            one(x()?.unfold(c.int(1, "dimension", None)?, size, c.size(3, "step", None)?))
        }
        "meshgrid" | "meshgrid.list_of_tensors" => {
            let tensors = c.vars(0, "tensors")?;
            let indexing = if c.text(1, "indexing", "ij")? == "xy" {
                MeshgridIndexing::Xy
            } else {
                MeshgridIndexing::Ij
            };
            all(c.tape.meshgrid(&tensors.iter().collect::<Vec<_>>(), indexing))
        }
        op if op.starts_with("nn.functional.pad") => {
            let mode = match c.text(2, "mode", "constant")?.as_str() {
                "constant" => Pad::Constant(c.num(3, "value", 0.0)?),
                "reflect" => Pad::Reflect,
                "replicate" => Pad::Replicate,
                "circular" => Pad::Circular,
                other => return Err(Stop::Unrepresentable(format!("the mode {other}"))),
            };
            one(x()?.pad(&dims(1, "pad")?, mode))
        }
        _ => unknown(),
    }
}

fn sizes<T: Float>(c: &Call<'_, T>, i: usize, name: &str) -> Result<Vec<usize>, Stop> {
    let negative = |_| Stop::Unrepresentable("a negative size".into());
    c.dims(i, name)?.unwrap_or_default().into_iter().map(|v| usize::try_from(v).map_err(negative)).collect()
}

fn joined<'t, T: Float>(c: &Call<'t, T>, f: impl Fn(&[&Var<'t, T>], isize) -> Var<'t, T>) -> Outs<'t, T> {
    let tensors = c.vars(0, "tensors")?;
    one(f(&tensors.iter().collect::<Vec<_>>(), c.int(1, "dim", 0)?))
}
