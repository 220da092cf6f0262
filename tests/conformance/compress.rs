//! Pruning, quantisation and distillation.
use crate::case::{Arg, Call, Out, Outs, Stop, one, unknown};
use kolmo::{
    Float, Tensor, Var,
    compress::{
        Affine, Along, all_params, distill,
        prune::{self, Amount},
    },
    nn::Param,
};

/// Past the arguments: by its keyword alone.
const KEYWORD: usize = usize::MAX;

/// A whole number is a count, any other a share.
fn amount<T: Float>(arg: Option<&Arg<'_, T>>) -> Result<Amount, Stop> {
    match arg {
        Some(Arg::Int(count)) => {
            let negative = |_| Stop::Unrepresentable(format!("{count} weights: a count is not negative"));
            Ok(Amount::Count(usize::try_from(*count).map_err(negative)?))
        }
        Some(Arg::Num(share)) => Ok(Amount::Fraction(*share)),
        _ => Err(Stop::Unrepresentable("no amount".into())),
    }
}

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let param = |v: &Var<'t, T>| Ok::<_, Stop>(Param::new(v.value()?.clone()));
    let given = || param(&c.var(0, "input")?);
    let mask = |p: &Param<T>| Out::Bools(p.mask().unwrap_or_else(|| Tensor::full(p.shape(), true)));
    let whole = |name, default: Option<i32>| match c.get(KEYWORD, name) {
        Some(Arg::Int(v)) => Ok(*v as i32),
        None => default.ok_or_else(|| Stop::Unrepresentable(format!("no {name}"))),
        _ => Err(Stop::Unrepresentable(format!("{name} is no whole number"))),
    };
    let per_tensor = || {
        let scale = c.num(KEYWORD, "scale", None)?;
        let (low, high) = (whole("qmin", None)?, whole("qmax", None)?);
        Ok::<_, Stop>(Affine::new([scale], [whole("zero_point", None)?], Along::Tensor, low..=high)?)
    };
    let plain = |q: &Affine, x: &Var<'t, T>| {
        let codes = q.quantize(x.value()?)?;
        Ok::<_, Stop>((codes.cast::<i64>(), c.tape.constant(q.dequantize::<T>(&codes)?)))
    };
    let bits = || Ok::<_, Stop>(c.size(KEYWORD, "bits", None)? as u32);
    match c.op.as_str() {
        "distill.soft_target" => {
            let (temperature, alpha) = (c.num(KEYWORD, "temperature", None)?, c.num(KEYWORD, "alpha", None)?);
            let (student, teacher) = (c.var(0, "student")?, c.var(1, "teacher")?);
            one(distill::soft_target_loss(&student, &teacher, &c.ints(2, "targets")?, temperature, alpha))
        }
        "distill.hint" => {
            one(distill::hint_loss(&c.var(0, "student")?, &c.var(1, "teacher")?, &c.var(2, "regressor")?))
        }
        "distill.attention_transfer" => {
            let p = c.num(KEYWORD, "p", 2.0)?;
            one(distill::attention_transfer_loss(&c.var(0, "student")?, &c.var(1, "teacher")?, p))
        }
        "distill.relational_distance" => {
            one(distill::relational_distance_loss(&c.var(0, "student")?, &c.var(1, "teacher")?))
        }
        "prune.magnitude" => {
            let p = given()?;
            prune::global(&p, amount(c.get(KEYWORD, "amount"))?, all_params)?;
            Ok(vec![mask(&p)])
        }
        "prune.global_magnitude" => {
            let params = c.vars(0, "inputs")?.iter().map(param).collect::<Result<Vec<_>, _>>()?;
            prune::global(&params, amount(c.get(KEYWORD, "amount"))?, all_params)?;
            Ok(params.iter().map(mask).collect())
        }
        "prune.iterative_magnitude" => {
            let p = given()?;
            let steps = c.list(KEYWORD, "amounts")?.iter().map(|a| {
                prune::global(&p, amount(Some(a))?, all_params)?;
                Ok(mask(&p))
            });
            steps.collect()
        }
        "prune.structured_norm" => {
            let p = given()?;
            let order = c.num(KEYWORD, "n", 2.0)?;
            let dim = c.int(KEYWORD, "dim", None)?;
            let options = prune::StructuredOptions::new().p(order).dim(dim);
            prune::structured(&p, amount(c.get(KEYWORD, "amount"))?, options, all_params)?;
            Ok(vec![mask(&p)])
        }
        "prune.structured_then_magnitude" => {
            let p = given()?;
            let Some(Arg::Map(first)) = c.get(KEYWORD, "structured") else { return unknown() };
            let number = |name| first.get(name).and_then(Arg::number).unwrap_or(f64::NAN);
            let options = prune::StructuredOptions::new().p(number("n")).dim(number("dim") as isize);
            prune::structured(&p, amount(first.get("amount"))?, options, all_params)?;
            let structured = mask(&p);
            prune::global(&p, amount(c.get(KEYWORD, "amount"))?, all_params)?;
            Ok(vec![structured, mask(&p)])
        }
        "prune.n_of_m" => {
            let p = given()?;
            prune::n_of_m(&p, c.size(KEYWORD, "n", None)?, c.size(KEYWORD, "m", None)?, all_params)?;
            Ok(vec![mask(&p)])
        }
        "quant.affine" => {
            let (q, x) = (per_tensor()?, c.var(0, "input")?);
            Ok(vec![plain(&q, &x)?.0.into(), x.fake_quantize(&q).into()])
        }
        "quant.quantize" => {
            let (codes, values) = plain(&per_tensor()?, &c.var(0, "input")?)?;
            Ok(vec![codes.into(), values.into()])
        }
        "quant.fake_per_tensor" => one(c.var(0, "input")?.fake_quantize(&per_tensor()?)),
        "quant.fake_per_channel" => {
            let scales = c.var(1, "scale")?.value()?.cast::<f64>().to_vec();
            let axis = c.int(KEYWORD, "axis", None)?;
            let zero_points = c.ints(2, "zero_point")?.cast::<i32>().to_vec();
            let codes = whole("qmin", None)?..=whole("qmax", None)?;
            let q = Affine::new(scales, zero_points, Along::Axis(axis), codes)?;
            one(c.var(0, "input")?.fake_quantize(&q))
        }
        "quant.min_max_affine" => {
            let x = c.var(0, "input")?;
            let q = Affine::min_max(x.value()?, Along::Tensor, bits()?)?;
            let codes = q.quantize(x.value()?)?.cast::<i64>();
            Ok(vec![q.scales()[0].into(), (q.zero_points()[0] as f64).into(), codes.into()])
        }
        "quant.per_channel_symmetric" => {
            let x = c.var(0, "input")?;
            let q = Affine::symmetric(x.value()?, Along::Axis(c.int(KEYWORD, "axis", None)?), bits()?)?;
            let (codes, values) = plain(&q, &x)?;
            let scales = Out::Var(c.tape.constant(Tensor::from(q.scales()).cast::<T>()));
            Ok(vec![codes.into(), scales, values.into()])
        }
        _ => unknown(),
    }
}
