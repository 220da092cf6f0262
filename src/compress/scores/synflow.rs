//! Pruning in rounds by scores that need no data.
use super::criterion::{ScoreCriterion, Scores};
use crate::{
    compress::prune::{self, Amount, Weights},
    error::{Error, Result},
    ops::Float,
    param::{Param, visit_params},
    real::Arithmetic,
    tape::{Tape, Var},
    tensor::{Shape, Tensor},
};
use serde::Serialize;

/// Prunes a network before it is trained and without data, in rounds, so that no layer is lost: weights go by
/// `w·∂R/∂w`, `R` being the sum of the outputs of the network with the magnitudes of its weights for an input
/// of ones (SynFlow; Tanaka et al., 2020). `outputs` computes them; what is left after round i of n is
/// `density^(i/n)`.
///
/// # Errors
/// As [`prune::global`]; the network fails.
pub fn synflow<T: Float, M: Serialize + ?Sized>(
    model: &M,
    density: f64,
    rounds: usize,
    filter: impl Fn(&str, &Shape) -> bool,
    outputs: impl for<'t> Fn(&'t Tape<T>) -> Var<'t, T>,
) -> Result<Weights> {
    if rounds == 0 {
        return Err(Error::invalid("synflow", "0 rounds, expected at least 1"));
    }
    let mut weights = prune::count(model, &filter);
    for round in 1..=rounds {
        let tape = Tape::new();
        tape.set_training(false);
        let mut leaves: Vec<(String, Var<'_, T>)> = Vec::new();
        visit_params(model, |path, p: &Param<T>| {
            let leaf = tape.input(p.effective_or_value());
            tape.substitute(p, &leaf.abs());
            leaves.push((path.to_string(), leaf));
        });
        let grads = outputs(&tape).sum().backward()?;
        let mut scores = Scores::new(ScoreCriterion::Taylor);
        for (name, leaf) in leaves {
            let g = grads.get(&leaf).map(Tensor::to_vec).unwrap_or_else(|| vec![T::default(); leaf.numel()]);
            let w = leaf.to_vec()?;
            scores.sum(name, (0..w.len()).map(|i| (w[i].to_f64() * g[i].to_f64()).abs()))?;
        }
        let left = Arithmetic::pow(density, round as f64 / rounds as f64);
        weights = prune::by_scores(model, &scores, Amount::Density(left), &filter)?;
    }
    Ok(weights)
}
