//! Losses: PyTorch's calls as the library's.
use crate::case::{Arg, Call, Outs, Stop, one, unknown};
use kolmo::{Float, Var, loss::*};

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
        "mse_loss" => one(MseLoss::new().reduction(r()?).apply(&x()?, &y()?)),
        "l1_loss" => one(L1Loss::new().reduction(r()?).apply(&x()?, &y()?)),
        "smooth_l1_loss" => {
            let loss = SmoothL1Loss::new().beta(c.num(far, "beta", 1.0)?).reduction(r()?);
            one(loss.apply(&x()?, &y()?))
        }
        "huber_loss" => {
            let loss = HuberLoss::new().delta(c.num(far, "delta", 1.0)?).reduction(r()?);
            one(loss.apply(&x()?, &y()?))
        }
        "cross_entropy" => {
            let mut loss = CrossEntropyLoss::new()
                .ignore_index(c.int(far, "ignore_index", -100)? as i64)
                .label_smoothing(c.num(far, "label_smoothing", 0.0)?)
                .reduction(r()?);
            if let Some(weight) = weight()? {
                loss = loss.weight(weight);
            }
            match c.get(1, "target") {
                Some(Arg::Ints(targets)) if loss == CrossEntropyLoss::new() => {
                    one(x()?.cross_entropy(targets))
                }
                Some(Arg::Ints(targets)) => one(loss.apply(&x()?, targets)),
                _ => one(loss.apply(&x()?, &y()?)),
            }
        }
        "nll_loss" => {
            let mut loss =
                NllLoss::new().ignore_index(c.int(far, "ignore_index", -100)? as i64).reduction(r()?);
            if let Some(weight) = weight()? {
                loss = loss.weight(weight);
            }
            one(loss.apply(&x()?, &c.ints(1, "target")?))
        }
        "binary_cross_entropy" => {
            let weight = c.var_opt(far, "weight")?;
            let mut loss = BceLoss::new().reduction(r()?);
            if let Some(weight) = &weight {
                loss = loss.weight(weight);
            }
            one(loss.apply(&x()?, &y()?))
        }
        "binary_cross_entropy_with_logits" => {
            let (weight, pos_weight) = (c.var_opt(far, "weight")?, c.var_opt(far, "pos_weight")?);
            let mut loss = BceWithLogitsLoss::new().reduction(r()?);
            if let Some(weight) = &weight {
                loss = loss.weight(weight);
            }
            if let Some(pos_weight) = &pos_weight {
                loss = loss.pos_weight(pos_weight);
            }
            one(loss.apply(&x()?, &y()?))
        }
        "kl_div" => {
            let loss = KlDivLoss::new().log_target(c.flag(far, "log_target", false)?).reduction(r()?);
            one(loss.apply(&x()?, &y()?))
        }
        "hinge_embedding_loss" => {
            let loss = HingeEmbeddingLoss::new().margin(c.num(far, "margin", 1.0)?).reduction(r()?);
            one(loss.apply(&x()?, &y()?))
        }
        "margin_ranking_loss" => {
            let loss = MarginRankingLoss::new().margin(c.num(far, "margin", 0.0)?).reduction(r()?);
            one(loss.apply(&x()?, &y()?, &c.var(2, "target")?))
        }
        "cosine_embedding_loss" => {
            let loss = CosineEmbeddingLoss::new().margin(c.num(far, "margin", 0.0)?).reduction(r()?);
            one(loss.apply(&x()?, &y()?, &c.operand(2, "target")?))
        }
        "triplet_margin_loss" => {
            let loss = TripletMarginLoss::new()
                .margin(c.num(far, "margin", 1.0)?)
                .p(c.num(far, "p", 2.0)?)
                .eps(c.num(far, "eps", 1e-6)?)
                .swap(c.flag(far, "swap", false)?)
                .reduction(r()?);
            one(loss.apply(&x()?, &y()?, &c.var(2, "negative")?))
        }
        "soft_margin_loss" => one(SoftMarginLoss::new().reduction(r()?).apply(&x()?, &y()?)),
        "multi_margin_loss" => {
            let mut loss = MultiMarginLoss::new()
                .p(c.num(far, "p", 1.0)?)
                .margin(c.num(far, "margin", 1.0)?)
                .reduction(r()?);
            if let Some(weight) = weight()? {
                loss = loss.weight(weight);
            }
            one(loss.apply(&x()?, &c.ints(1, "target")?))
        }
        "multilabel_margin_loss" => {
            one(MultilabelMarginLoss::new().reduction(r()?).apply(&x()?, &c.ints(1, "target")?))
        }
        "multilabel_soft_margin_loss" => {
            let weight = c.var_opt(far, "weight")?;
            let mut loss = MultilabelSoftMarginLoss::new().reduction(r()?);
            if let Some(weight) = &weight {
                loss = loss.weight(weight);
            }
            one(loss.apply(&x()?, &y()?))
        }
        "poisson_nll_loss" => {
            let (log_input, full) = (c.flag(far, "log_input", true)?, c.flag(far, "full", false)?);
            let eps = c.num(far, "eps", 1e-8)?;
            let loss = PoissonNllLoss::new().log_input(log_input).full(full).eps(eps).reduction(r()?);
            one(loss.apply(&x()?, &y()?))
        }
        "gaussian_nll_loss" => {
            let (full, eps) = (c.flag(far, "full", false)?, c.num(far, "eps", 1e-6)?);
            let loss = GaussianNllLoss::new().full(full).eps(eps).reduction(r()?);
            one(loss.apply(&x()?, &y()?, &c.operand(2, "var")?))
        }
        "ctc_loss" => {
            let (blank, zero) = (c.size(4, "blank", 0)?, c.flag(6, "zero_infinity", false)?);
            let (inputs, targets) = (lengths(c, 2, "input_lengths")?, lengths(c, 3, "target_lengths")?);
            let loss = CtcLoss::new().blank(blank).zero_infinity(zero).reduction(r()?);
            one(loss.apply(&x()?, &c.ints(1, "targets")?, &inputs, &targets))
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
