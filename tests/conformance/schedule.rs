//! Schedules: the learning rate at each step.
use crate::case::{Arg, Call, Outs, Stop, one, unknown};
use kolmo::{
    Float, Tensor,
    optim::{
        AnySchedule, ConstantLr, CosineAnnealingLr, CosineAnnealingWarmRestarts, CyclicLr, CyclicMode,
        ExponentialLr, LinearLr, MultiStepLr, OneCycleLr, PolynomialLr, ReduceLrOnPlateau, Schedule,
        SequentialLr, StepLr, Threshold,
    },
};
use std::collections::BTreeMap;

/// What a named option is, by its keyword.
const KEY: usize = usize::MAX;

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    if !c.op.starts_with("schedule.") {
        return unknown();
    }
    let count = c.size(KEY, "rates", 1)? as u64;
    let lr = c.num(0, "lr", None)?;
    let rates: Vec<f64> = match c.op.as_str() {
        "schedule.plateau" => plateau(c, lr)?,
        "schedule.sequential" => {
            let one = |arg: &Arg<'t, T>| match arg {
                Arg::Map(map) => schedule(c, map, lr),
                other => Err(Stop::Unrepresentable(format!("a schedule is {}", other.kind()))),
            };
            let (n, milestones) =
                (c.list(KEY, "schedules")?.len(), c.dims(KEY, "milestones")?.unwrap_or_default());
            if n != milestones.len() + 1 {
                let why =
                    format!("each of {n} schedules after the first has its milestone, not {milestones:?}");
                return Err(Stop::Unrepresentable(why));
            }
            let mut schedules = c.list(KEY, "schedules")?.iter().map(one);
            let first = schedules.next().unwrap_or_else(|| Err(Stop::Unsupported("no schedules".into())))?;
            let mut all = SequentialLr::new(first);
            for (next, at) in schedules.zip(milestones) {
                all = all.then(at as u64, next?);
            }
            (0..count).map(|t| all.lr(t)).collect::<Result<_, _>>()?
        }
        op => {
            let mut map = c.kwargs.clone();
            map.insert("op".to_string(), Arg::Text(op.to_string()));
            let schedule = schedule(c, &map, lr)?;
            (0..count).map(|t| schedule.lr(t)).collect::<Result<_, _>>()?
        }
    };
    one(c.tape.constant(Tensor::from(rates).cast::<T>()))
}

/// One schedule by its options and the name of its operation.
fn schedule<'t, T: Float>(
    c: &Call<'t, T>,
    map: &BTreeMap<String, Arg<'t, T>>,
    lr: f64,
) -> Result<AnySchedule, Stop> {
    // The options as a call of their own, to be read as any other's.
    let c = Call { tape: c.tape, op: String::new(), args: Vec::new(), kwargs: map.clone() };
    let num = |name: &str, default: Option<f64>| c.num(KEY, name, default);
    let size = |name: &str, default: Option<usize>| Ok::<_, Stop>(c.size(KEY, name, default)? as u64);
    Ok(match c.text(KEY, "op", "")?.as_str() {
        "schedule.step" => StepLr::new(lr, size("step_size", None)?).gamma(num("gamma", Some(0.1))?).into(),
        "schedule.multistep" => {
            let milestones = c.dims(KEY, "milestones")?.unwrap_or_default();
            let milestones: Vec<u64> = milestones.into_iter().map(|m| m as u64).collect();
            MultiStepLr::new(lr, milestones).gamma(num("gamma", Some(0.1))?).into()
        }
        "schedule.exponential" => ExponentialLr::new(lr, num("gamma", None)?).into(),
        "schedule.constant" => {
            let constant = ConstantLr::new(lr).factor(num("factor", Some(1.0 / 3.0))?);
            constant.total_iters(size("total_iters", Some(5))?).into()
        }
        "schedule.linear" => {
            let linear = LinearLr::new(lr).start_factor(num("start_factor", Some(1.0 / 3.0))?);
            let linear = linear.end_factor(num("end_factor", Some(1.0))?);
            linear.total_iters(size("total_iters", Some(5))?).into()
        }
        "schedule.polynomial" => {
            PolynomialLr::new(lr, size("total_iters", Some(5))?).power(num("power", Some(1.0))?).into()
        }
        "schedule.cosine" => {
            CosineAnnealingLr::new(lr, size("t_max", None)?).eta_min(num("eta_min", Some(0.0))?).into()
        }
        "schedule.cosine_restarts" => {
            let restarts = CosineAnnealingWarmRestarts::new(lr, size("t_0", None)?);
            restarts.t_mult(size("t_mult", Some(1))?).eta_min(num("eta_min", Some(0.0))?).into()
        }
        "schedule.one_cycle" => {
            let cycle = OneCycleLr::new(num("max_lr", None)?, size("total_steps", None)?);
            let cycle = cycle.pct_start(num("pct_start", Some(0.3))?);
            let cycle = cycle.linear(c.text(KEY, "anneal_strategy", "cos")? == "linear");
            let cycle = cycle.div_factor(num("div_factor", Some(25.0))?);
            let cycle = cycle.final_div_factor(num("final_div_factor", Some(1e4))?);
            cycle.three_phase(c.flag(KEY, "three_phase", false)?).into()
        }
        "schedule.cyclic" => {
            let mode = match c.text(KEY, "mode", "triangular")?.as_str() {
                "triangular" => CyclicMode::Triangular,
                "triangular2" => CyclicMode::Triangular2,
                "exp_range" => CyclicMode::ExpRange(num("gamma", Some(1.0))?),
                other => return Err(Stop::Unrepresentable(format!("no mode {other:?}"))),
            };
            let cyclic = CyclicLr::new(num("base_lr", None)?, num("max_lr", None)?);
            let cyclic = cyclic.step_size_up(size("step_size_up", Some(2000))?);
            let down = c.int_opt(KEY, "step_size_down")?.map(|v| v as u64);
            cyclic.step_size_down(down).mode(mode).into()
        }
        other => return Err(Stop::Unsupported(format!("no schedule {other:?}"))),
    })
}

/// The rate used at each step, whose figure decides on the next one.
fn plateau<T: Float>(c: &Call<'_, T>, lr: f64) -> Result<Vec<f64>, Stop> {
    let threshold = c.num(KEY, "threshold", 1e-4)?;
    let mut schedule = ReduceLrOnPlateau::new(lr)
        .maximize(c.text(KEY, "mode", "min")? == "max")
        .factor(c.num(KEY, "factor", 0.1)?)
        .patience(c.size(KEY, "patience", 10)? as u64)
        .threshold(match c.text(KEY, "threshold_mode", "rel")?.as_str() {
            "abs" => Threshold::Absolute(threshold),
            _ => Threshold::Relative(threshold),
        })
        .cooldown(c.size(KEY, "cooldown", 0)? as u64)
        .min_lr(c.num(KEY, "min_lr", 0.0)?);
    let mut rates = Vec::new();
    for figure in c.list(1, "metrics")? {
        rates.push(schedule.lr());
        schedule.step(figure.number().unwrap_or(f64::NAN))?;
    }
    Ok(rates)
}
