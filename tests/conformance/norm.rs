//! Normalisation and distances: PyTorch's calls as the library's.
use crate::case::{Call, Outs, Stop, one, unknown};
use kolmo::Float;

/// Past the arguments: by its keyword alone.
const KEYWORD: usize = usize::MAX;

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let (x, y) = (|| c.var(0, "input"), || c.var(1, "other"));
    let shape = || {
        let sizes = c.dims(1, "normalized_shape")?.unwrap_or_default();
        let whole = |v: &isize| usize::try_from(*v);
        let sizes = sizes.iter().map(whole).collect::<Result<Vec<usize>, _>>();
        sizes.map_err(|_| Stop::Unrepresentable("a negative size".into()))
    };
    let op = c.op.strip_prefix("nn.functional.").unwrap_or(&c.op);
    match op {
        "batch_norm" => {
            let (mean, variance) = (c.var_opt(1, "running_mean")?, c.var_opt(2, "running_var")?);
            let (weight, bias) = (c.var_opt(3, "weight")?, c.var_opt(4, "bias")?);
            let training = c.flag(5, "training", false)?;
            if !training && (mean.is_none() || variance.is_none()) {
                return Err(Stop::Unrepresentable(
                    "either there are running statistics or the batch's".into(),
                ));
            }
            let running = mean.as_ref().zip(variance.as_ref()).filter(|_| !training);
            one(x()?.batch_norm(running, weight.as_ref(), bias.as_ref(), c.num(7, "eps", 1e-5)?))
        }
        "instance_norm" => {
            let (mean, variance) = (c.var_opt(1, "running_mean")?, c.var_opt(2, "running_var")?);
            let (weight, bias) = (c.var_opt(3, "weight")?, c.var_opt(4, "bias")?);
            let own = c.flag(5, "use_input_stats", true)?;
            if !own && (mean.is_none() || variance.is_none()) {
                return Err(Stop::Unrepresentable(
                    "either there are running statistics or the input's".into(),
                ));
            }
            let running = mean.as_ref().zip(variance.as_ref()).filter(|_| !own);
            one(x()?.instance_norm(running, weight.as_ref(), bias.as_ref(), c.num(7, "eps", 1e-5)?))
        }
        "group_norm" => {
            let (weight, bias) = (c.var_opt(2, "weight")?, c.var_opt(3, "bias")?);
            let groups = c.size(1, "num_groups", None)?;
            one(x()?.group_norm(groups, weight.as_ref(), bias.as_ref(), c.num(4, "eps", 1e-5)?))
        }
        "layer_norm" => {
            let (weight, bias) = (c.var_opt(2, "weight")?, c.var_opt(3, "bias")?);
            one(x()?.layer_norm(&shape()?, weight.as_ref(), bias.as_ref(), c.num(4, "eps", 1e-5)?))
        }
        "rms_norm" => {
            let weight = c.var_opt(2, "weight")?;
            one(x()?.rms_norm(&shape()?, weight.as_ref(), c.num_opt(3, "eps")?))
        }
        "local_response_norm" => {
            let (alpha, beta, k) = (c.num(2, "alpha", 1e-4)?, c.num(3, "beta", 0.75)?, c.num(4, "k", 1.0)?);
            one(x()?.local_response_norm(c.size(1, "size", None)?, alpha, beta, k))
        }
        "normalize" => one(x()?.normalize(c.num(1, "p", 2.0)?, c.int(2, "dim", 1)?, c.num(3, "eps", 1e-12)?)),
        "cosine_similarity" => {
            one(x()?.cosine_similarity(&y()?, c.int(2, "dim", 1)?, c.num(3, "eps", 1e-8)?))
        }
        "pairwise_distance" => {
            let (p, eps) = (c.num(2, "p", 2.0)?, c.num(3, "eps", 1e-6)?);
            one(x()?.pairwise_distance(&y()?, p, eps, c.flag(4, "keepdim", false)?))
        }
        "cdist" => one(x()?.cdist(&y()?, c.num(2, "p", 2.0)?)),
        "renorm" => {
            one(x()?.renorm(c.num(1, "p", None)?, c.int(2, "dim", None)?, c.num(3, "maxnorm", None)?))
        }
        "dropout" if !c.flag(2, "training", true)? || c.num(1, "p", 0.5)? == 0.0 => one(x()?),
        "dropout" => one(x()?.dropout(c.num(KEYWORD, "p", c.num(1, "p", 0.5)?)?)),
        _ => unknown(),
    }
}
