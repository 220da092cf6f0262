//! Penalties on the parameters of a model, to be added to a loss. Where the names take none of them, the
//! penalty is a failed value: a misspelt one would do nothing.
use crate::{
    ops::Float,
    param::{Param, named_params, visit_params},
    tape::{Tape, Var},
    tensor::Shape,
};
use serde::Serialize;

/// `Σ |w|` over all parameters that `filter` picks by name and shape: draws weights to exactly zero (Tibshirani,
/// 1996).
///
/// ```
/// use kolmo::{Random, Tape, loss::l1_penalty, nn::{Layer, Linear, filter::matrices}};
/// let net = Linear::new(3, 2, &mut Random::new(0));
/// let tape = Tape::new();
/// let loss = net.forward(&tape.constant([[1.0, 2.0, 3.0]])).square().mean();
/// let loss = loss + l1_penalty(&net, &tape, matrices) * 1e-3;
/// assert!(loss.backward()?.param(&net.weight).is_some());
/// # Ok::<(), kolmo::Error>(())
/// ```
#[track_caller]
pub fn l1_penalty<'t, T: Float>(
    model: &(impl Serialize + ?Sized),
    tape: &'t Tape<T>,
    filter: impl Fn(&str, &Shape) -> bool,
) -> Var<'t, T> {
    total("l1_penalty", model, tape, filter, |w| w.abs().sum())
}

/// `Σ w²` over all parameters that `filter` picks by name and shape. With plain gradient descent half of it, times
/// the weight decay, is the same as that; with Adam it is not, and [`AdamW`](crate::optim::AdamW) mostly does
/// better.
///
/// ```
/// use kolmo::{Tape, Tensor, loss::l2_penalty, nn::{Param, filter::all_params}};
/// let model = [Param::new(Tensor::from([3.0f64])), Param::new(Tensor::from([4.0]))];
/// let tape = Tape::<f64>::new();
/// assert_eq!(l2_penalty(&model, &tape, all_params).item()?, 25.0);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[track_caller]
pub fn l2_penalty<'t, T: Float>(
    model: &(impl Serialize + ?Sized),
    tape: &'t Tape<T>,
    filter: impl Fn(&str, &Shape) -> bool,
) -> Var<'t, T> {
    total("l2_penalty", model, tape, filter, |w| w.square().sum())
}

/// `Σ (l1_ratio·|w| + (1 - l1_ratio)/2 · w²)` over all parameters that `filter` picks by name and shape (Zou and
/// Hastie, 2005; the weights are scikit-learn's).
#[track_caller]
pub fn elastic_net_penalty<'t, T: Float>(
    model: &(impl Serialize + ?Sized),
    tape: &'t Tape<T>,
    l1_ratio: f64,
    filter: impl Fn(&str, &Shape) -> bool,
) -> Var<'t, T> {
    total("elastic_net_penalty", model, tape, filter, |w| {
        w.abs().sum() * l1_ratio + w.square().sum() * ((1.0 - l1_ratio) / 2.0)
    })
}

#[track_caller]
fn total<'t, T: Float>(
    what: &str,
    model: &(impl Serialize + ?Sized),
    tape: &'t Tape<T>,
    filter: impl Fn(&str, &Shape) -> bool,
    of: impl Fn(&Var<'t, T>) -> Var<'t, T>,
) -> Var<'t, T> {
    let mut sum: Option<Var<'t, T>> = None;
    visit_params(model, |path, p: &Param<T>| {
        if filter(&path.to_string(), &p.shape()) {
            let part = of(&tape.param(p));
            sum = Some(sum.take().map_or(part.clone(), |sum| sum + part));
        }
    });
    // Not `unwrap_or_else`: the caller's line would be that of a closure.
    match sum {
        Some(sum) => sum,
        None => {
            let names =
                named_params::<T>(model).into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
            tape.fail_op(what, format!("no parameter is taken; there are: {names}"), &[])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Tensor,
        nn::{Linear, filter::all_params},
    };

    #[test]
    fn penalties_take_what_the_names_say() {
        let net = Linear {
            weight: Param::new(Tensor::<f64>::from([[1.0, -2.0]])),
            bias: Some(Param::new(Tensor::from([4.0]))),
        };
        let tape = Tape::new();
        let weights = |name: &str, _: &Shape| name == "weight";
        assert_eq!(l1_penalty(&net, &tape, weights).item().unwrap(), 3.0);
        assert_eq!(l1_penalty(&net, &tape, all_params).item().unwrap(), 7.0);
        assert_eq!(l2_penalty(&net, &tape, weights).item().unwrap(), 5.0);
        let none = |_: &str, _: &Shape| false;
        for penalty in [
            l1_penalty(&net, &tape, none),
            l2_penalty(&net, &tape, none),
            elastic_net_penalty(&net, &tape, 0.5, none),
        ] {
            let error = penalty.item().unwrap_err().to_string();
            assert!(error.contains("no parameter is taken; there are: weight, bias"), "{error}");
        }
        let elastic = elastic_net_penalty(&net, &tape, 0.5, weights);
        assert_eq!(elastic.item().unwrap(), 1.5 + 1.25);
        let grads = elastic.backward().unwrap();
        assert_eq!(grads.param(&net.weight).unwrap().to_vec(), [1.0, -1.5]);
    }
}
