//! Losses: PyTorch's calls as the library's.
use crate::case::{Arg, Call, Outs, Stop, one, unknown};
use kolmo::{
    Float, Var,
    loss::{CrossEntropy, Reduction, TripletMargin},
};

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let Some(name) = c.op.strip_prefix("nn.functional.") else { return unknown() };
    let x = || c.var(0, "input");
    let y = || c.var(1, "target");
    let weight = || -> Result<Option<Vec<f64>>, Stop> {
        let list = |w: Var<'t, T>| w.to_vec().map(|w| w.iter().map(|w| w.to_f64()).collect());
        match c.var_opt(usize::MAX, "weight")? {
            Some(w) if w.rank() != 1 => Err(Stop::Unrepresentable("weights of classes are a list".into())),
            w => Ok(w.map(list).transpose()?),
        }
    };
    let far = usize::MAX;
    let r = || reduction(c);
    match name {
        "mse_loss" => one(x()?.mse_loss(&y()?, r()?)),
        "l1_loss" => one(x()?.l1_loss(&y()?, r()?)),
        "smooth_l1_loss" => one(x()?.smooth_l1_loss(&y()?, c.num(far, "beta", 1.0)?, r()?)),
        "huber_loss" => one(x()?.huber_loss(&y()?, c.num(far, "delta", 1.0)?, r()?)),
        "cross_entropy" => {
            let mut loss = CrossEntropy::new()
                .ignore_index(c.int(far, "ignore_index", -100)? as i64)
                .label_smoothing(c.num(far, "label_smoothing", 0.0)?)
                .reduction(r()?);
            if let Some(weight) = weight()? {
                loss = loss.weight(weight);
            }
            match c.get(1, "target") {
                Some(Arg::Ints(targets)) if loss == CrossEntropy::new() => one(x()?.cross_entropy(targets)),
                Some(Arg::Ints(targets)) => one(loss.apply(&x()?, targets)),
                _ => one(loss.apply_probabilities(&x()?, &y()?)),
            }
        }
        "nll_loss" => {
            let (weight, ignore) = (weight()?, c.int(far, "ignore_index", -100)? as i64);
            one(x()?.nll_loss(&c.ints(1, "target")?, weight.as_deref(), ignore, r()?))
        }
        "binary_cross_entropy" => {
            one(x()?.binary_cross_entropy(&y()?, c.var_opt(far, "weight")?.as_ref(), r()?))
        }
        "binary_cross_entropy_with_logits" => {
            let (weight, pos_weight) = (c.var_opt(far, "weight")?, c.var_opt(far, "pos_weight")?);
            one(x()?.binary_cross_entropy_with_logits(&y()?, weight.as_ref(), pos_weight.as_ref(), r()?))
        }
        "kl_div" => one(x()?.kl_div(&y()?, c.flag(far, "log_target", false)?, r()?)),
        "hinge_embedding_loss" => one(x()?.hinge_embedding_loss(&y()?, c.num(far, "margin", 1.0)?, r()?)),
        "margin_ranking_loss" => {
            one(x()?.margin_ranking_loss(&y()?, &c.var(2, "target")?, c.num(far, "margin", 0.0)?, r()?))
        }
        "cosine_embedding_loss" => {
            one(x()?.cosine_embedding_loss(&y()?, &c.operand(2, "target")?, c.num(far, "margin", 0.0)?, r()?))
        }
        "triplet_margin_loss" => {
            let loss = TripletMargin::new()
                .margin(c.num(far, "margin", 1.0)?)
                .p(c.num(far, "p", 2.0)?)
                .eps(c.num(far, "eps", 1e-6)?)
                .swap(c.flag(far, "swap", false)?)
                .reduction(r()?);
            one(loss.apply(&x()?, &y()?, &c.var(2, "negative")?))
        }
        "soft_margin_loss" => one(x()?.soft_margin_loss(&y()?, r()?)),
        "multi_margin_loss" => {
            let (p, margin, weight) = (c.num(far, "p", 1.0)?, c.num(far, "margin", 1.0)?, weight()?);
            one(x()?.multi_margin_loss(&c.ints(1, "target")?, p, margin, weight.as_deref(), r()?))
        }
        "multilabel_margin_loss" => one(x()?.multilabel_margin_loss(&c.ints(1, "target")?, r()?)),
        "multilabel_soft_margin_loss" => {
            one(x()?.multilabel_soft_margin_loss(&y()?, c.var_opt(far, "weight")?.as_ref(), r()?))
        }
        "poisson_nll_loss" => {
            let (log_input, full) = (c.flag(far, "log_input", true)?, c.flag(far, "full", false)?);
            one(x()?.poisson_nll_loss(&y()?, log_input, full, c.num(far, "eps", 1e-8)?, r()?))
        }
        "gaussian_nll_loss" => {
            let (full, eps) = (c.flag(far, "full", false)?, c.num(far, "eps", 1e-6)?);
            one(x()?.gaussian_nll_loss(&y()?, &c.operand(2, "var")?, full, eps, r()?))
        }
        "ctc_loss" => {
            let (blank, zero) = (c.size(4, "blank", 0)?, c.flag(6, "zero_infinity", false)?);
            let (inputs, targets) = (lengths(c, 2, "input_lengths")?, lengths(c, 3, "target_lengths")?);
            one(x()?.ctc_loss(&c.ints(1, "targets")?, &inputs, &targets, blank, r()?, zero))
        }
        _ => unknown(),
    }
}

/// Numbers of steps or labels: a tensor or a list.
fn lengths<T: Float>(c: &Call<'_, T>, i: usize, name: &str) -> Result<Vec<usize>, Stop> {
    let list = match c.get(i, name) {
        Some(Arg::Ints(lengths)) => lengths.to_vec(),
        _ => c.dims(i, name)?.unwrap_or_default().into_iter().map(|d| d as i64).collect(),
    };
    let size = |l: i64| usize::try_from(l).map_err(|_| Stop::Unrepresentable(format!("a length of {l}")));
    list.into_iter().map(size).collect()
}

fn reduction<T: Float>(c: &Call<'_, T>) -> Result<Reduction, Stop> {
    match c.text(usize::MAX, "reduction", "mean")?.as_str() {
        "mean" => Ok(Reduction::Mean),
        "sum" => Ok(Reduction::Sum),
        "batchmean" => Ok(Reduction::BatchMean),
        "none" => Ok(Reduction::None),
        other => Err(Stop::Unrepresentable(format!("the reduction {other}"))),
    }
}
