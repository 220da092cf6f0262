//! Sums, means, extremes, norms, scans and softmax: PyTorch's calls as the library's.
use crate::case::{Arg, Call, Out, Outs, Stop, one, unknown};
use kolmo::{Float, Tensor, Var};

type Pair<'t, T> = (Var<'t, T>, Tensor<u32>);

fn pair<'t, T: Float>((values, index): Pair<'t, T>) -> Outs<'t, T> {
    Ok(vec![values.into(), index.into()])
}

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let x = || c.var(0, "input");
    let dim = || c.int(1, "dim", None);
    let dims = || c.dims(1, "dim").map(Option::unwrap_or_default);
    let keepdim = || c.flag(2, "keepdim", false);
    match c.op.as_str() {
        "sum" => one(x()?.sum_dim(&dims()?, keepdim()?)),
        "mean" => one(x()?.mean_dim(&dims()?, keepdim()?)),
        "nansum" => one(x()?.nansum_dim(&dims()?, keepdim()?)),
        "nanmean" => one(x()?.nanmean_dim(&dims()?, keepdim()?)),
        "prod" => match c.get(1, "dim") {
            None => one(x()?.prod()),
            Some(_) => one(x()?.prod_dim(dim()?, keepdim()?)),
        },
        "var" => one(x()?.var_dim(&spread_dims(c)?, correction(c)?, c.flag(3, "keepdim", false)?)),
        "std" => one(x()?.std_dim(&spread_dims(c)?, correction(c)?, c.flag(3, "keepdim", false)?)),
        "var_mean" | "std_mean" => {
            let (x, dims, keepdim) = (x()?, spread_dims(c)?, c.flag(3, "keepdim", false)?);
            let spread = match c.op.as_str() {
                "var_mean" => x.var_dim(&dims, correction(c)?, keepdim),
                _ => x.std_dim(&dims, correction(c)?, keepdim),
            };
            Ok(vec![spread.into(), x.mean_dim(&dims, keepdim).into()])
        }
        "amax" => one(x()?.amax_dim(&dims()?, keepdim()?)),
        "amin" => one(x()?.amin_dim(&dims()?, keepdim()?)),
        "aminmax" => {
            let (x, dims, keepdim) = (x()?, dims()?, keepdim()?);
            Ok(vec![x.amin_dim(&dims, keepdim).into(), x.amax_dim(&dims, keepdim).into()])
        }
        "max.reduction_no_dim" | "max" => one(x()?.max()),
        "min.reduction_no_dim" | "min" => one(x()?.min()),
        "max.reduction_with_dim" => pair(x()?.max_dim(dim()?, keepdim()?)),
        "min.reduction_with_dim" => pair(x()?.min_dim(dim()?, keepdim()?)),
        "argmax" => one(x()?.value()?.argmax(c.int_opt(1, "dim")?, keepdim()?)?),
        "argmin" => one(x()?.value()?.argmin(c.int_opt(1, "dim")?, keepdim()?)?),
        "median" => match c.get(1, "dim") {
            None => one(x()?.median()),
            Some(_) => pair(x()?.median_dim(dim()?, keepdim()?)),
        },
        "logsumexp" => one(x()?.logsumexp(&dims()?, keepdim()?)),
        "norm" => match c.get(1, "p") {
            Some(Arg::Text(name)) if name != "fro" => {
                Err(Stop::Unsupported(format!("the {name} norm under its deprecated name")))
            }
            Some(Arg::Text(_)) => one(x()?.norm_dim(2.0, &norm_dims(c)?, c.flag(3, "keepdim", false)?)),
            _ => one(x()?.norm_dim(c.num(1, "p", 2.0)?, &norm_dims(c)?, c.flag(3, "keepdim", false)?)),
        },
        "cumsum" => one(x()?.cumsum(dim()?)),
        "cumprod" => one(x()?.cumprod(dim()?)),
        "logcumsumexp" => one(x()?.logcumsumexp(dim()?)),
        "cummax" => pair(x()?.cummax(dim()?)),
        "cummin" => pair(x()?.cummin(dim()?)),
        "softmax" | "nn.functional.softmax" => one(x()?.softmax(dim()?)),
        "log_softmax" | "nn.functional.log_softmax" => one(x()?.log_softmax(dim()?)),
        "nn.functional.softmin" => one((-x()?).softmax(dim()?)),
        "all" | "any" | "count_nonzero" => match c.get(0, "input") {
            Some(Arg::Bools(mask)) => counted(c, mask),
            Some(Arg::Ints(ints)) => counted(c, ints),
            _ => counted(c, x()?.value()?),
        },
        "diff" => {
            let (x, n, dim) = (x()?, c.size(1, "n", 1)?, c.int(2, "dim", -1)?);
            let parts = [c.var_opt(3, "prepend")?, Some(x.clone()), c.var_opt(4, "append")?];
            let parts: Vec<&Var<T>> = parts.iter().flatten().collect();
            let whole = if parts.len() == 1 || n == 0 { x.clone() } else { c.tape.cat(&parts, dim) };
            one(whole.diff(n, dim))
        }
        _ => unknown(),
    }
}

fn counted<'t, T: Float, U: kolmo::tensor::Element>(c: &Call<'t, T>, x: &Tensor<U>) -> Outs<'t, T> {
    let dims = c.dims(1, "dim")?.unwrap_or_default();
    let keepdim = c.flag(2, "keepdim", false)?;
    one::<T>(match c.op.as_str() {
        "all" => Out::from(x.all(&dims, keepdim)?),
        "any" => Out::from(x.any(&dims, keepdim)?),
        _ => Out::from(x.count_nonzero(&dims)?),
    })
}

/// `var(x, unbiased)` or `var(x, dim, …)`: a bool in the first place is no axis.
fn spread_dims<T: Float>(c: &Call<'_, T>) -> Result<Vec<isize>, Stop> {
    match c.get(1, "dim") {
        Some(Arg::Bool(_)) => Ok(Vec::new()),
        _ => Ok(c.dims(1, "dim")?.unwrap_or_default()),
    }
}

fn correction<T: Float>(c: &Call<'_, T>) -> Result<f64, Stop> {
    match (c.get(1, "unbiased"), c.get(2, "unbiased")) {
        (Some(Arg::Bool(unbiased)), _) | (_, Some(Arg::Bool(unbiased))) => Ok(*unbiased as u8 as f64),
        _ => c.num(usize::MAX, "correction", 1.0),
    }
}

fn norm_dims<T: Float>(c: &Call<'_, T>) -> Result<Vec<isize>, Stop> {
    Ok(c.dims(2, "dim")?.unwrap_or_default())
}
