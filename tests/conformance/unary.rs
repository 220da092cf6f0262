//! Functions of one tensor: PyTorch's calls as the library's.
use crate::case::{Arg, Call, Outs, one, unknown};
use kolmo::{Float, Var};

type Function<'t, T> = fn(&Var<'t, T>) -> Var<'t, T>;

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    macro_rules! plain {
        ($($name:ident)*) => {
            match c.op.strip_prefix("special.").unwrap_or(&c.op) {
                $( stringify!($name) => Some(Var::$name), )*
                "absolute" => Some(Var::abs),
                "negative" => Some(Var::neg),
                "arcsin" => Some(Var::asin),
                "arccos" => Some(Var::acos),
                "arctan" => Some(Var::atan),
                "arcsinh" => Some(Var::asinh),
                "arccosh" => Some(Var::acosh),
                "arctanh" => Some(Var::atanh),
                "fix" => Some(Var::trunc),
                "expit" => Some(Var::sigmoid),
                "gammaln" => Some(Var::lgamma),
                "psi" => Some(Var::digamma),
                _ => None,
            }
        };
    }
    let function: Option<Function<'t, T>> = plain! {
        neg abs sign exp exp2 expm1 log log1p log2 log10 sqrt rsqrt sin cos tan asin acos atan sinh cosh tanh asinh
        acosh atanh sigmoid square reciprocal floor ceil trunc frac erf erfc lgamma digamma sinc deg2rad rad2deg
    };
    if let Some(function) = function {
        return one(function(&c.var(0, "input")?));
    }
    let x = || c.var(0, "input");
    match c.op.strip_prefix("special.").unwrap_or(&c.op) {
        "round" | "round.decimals_0" | "round.decimals_3" | "round.decimals_neg_3" => {
            one(x()?.round_decimals(c.int(1, "decimals", 0)? as i32))
        }
        "logit" => one(x()?.logit(c.num(1, "eps", -1.0)?)),
        "polygamma" => one(c.var(1, "input")?.polygamma(c.num(0, "n", None)?)),
        "nan_to_num" => {
            one(x()?.nan_to_num(c.num(1, "nan", 0.0)?, c.num_opt(2, "posinf")?, c.num_opt(3, "neginf")?))
        }
        "clamp" | "clip" => clamp(c),
        "clamp_min" => one(clamp_min(c, &x()?, 1)?),
        "clamp_max" => one(clamp_max(c, &x()?, 1)?),
        "pow" | "float_power" => match (c.get(0, "self"), c.get(1, "exponent")) {
            (Some(Arg::Var(x)), Some(exponent)) if exponent.number().is_some() => {
                one(x.powf(c.num(1, "exponent", None)?))
            }
            (Some(base), Some(Arg::Var(exponent))) if base.number().is_some() => {
                one(c.operand(0, "self")?.pow(exponent))
            }
            _ => one(x()?.pow(&c.operand(1, "exponent")?)),
        },
        "rsub" => {
            let scaled = c.scaled(0, "input", 2)?;
            match c.get(1, "other").and_then(Arg::number) {
                Some(number) => one(number - scaled),
                None => one(c.operand(1, "other")? - scaled),
            }
        }
        "isnan" => one(x()?.isnan()?),
        "isinf" => one(x()?.isinf()?),
        "isfinite" => one(x()?.isfinite()?),
        "logical_not" => match c.get(0, "input") {
            Some(Arg::Bools(mask)) => one(mask.logical_not()),
            _ => one(x()?.logical_not()?),
        },
        _ => unknown(),
    }
}

/// Bounds that are numbers, tensors or absent.
fn clamp<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let x = c.var(0, "input")?;
    let number = |i, name| c.get(i, name).and_then(Arg::number);
    match (number(1, "min"), number(2, "max"), c.get(1, "min"), c.get(2, "max")) {
        (Some(min), Some(max), ..) => one(x.clamp(min, max)),
        (.., Some(_), None) => one(clamp_min(c, &x, 1)?),
        (.., None, Some(_)) => one(clamp_max(c, &x, 2)?),
        (.., min, max) => {
            let min = min.map(|_| c.operand(1, "min")).transpose()?;
            let max = max.map(|_| c.operand(2, "max")).transpose()?;
            let above = min.map_or(x.clone(), |min| x.maximum(&min));
            one(max.map_or(above.clone(), |max| above.minimum(&max)))
        }
    }
}

fn clamp_min<'t, T: Float>(
    c: &Call<'t, T>,
    x: &Var<'t, T>,
    i: usize,
) -> Result<Var<'t, T>, crate::case::Stop> {
    Ok(match c.get(i, "min").and_then(Arg::number) {
        Some(min) => x.clamp_min(min),
        None => x.maximum(&c.operand(i, "min")?),
    })
}

fn clamp_max<'t, T: Float>(
    c: &Call<'t, T>,
    x: &Var<'t, T>,
    i: usize,
) -> Result<Var<'t, T>, crate::case::Stop> {
    Ok(match c.get(i, "max").and_then(Arg::number) {
        Some(max) => x.clamp_max(max),
        None => x.minimum(&c.operand(i, "max")?),
    })
}
