//! Pruning: which weights go, by magnitude, over a whole model or layer by layer. It sets masks on
//! parameters; what is pruned stays zero in training. Making files of it is left to `pack`.
use super::{
    filter::{each_field, picks_some},
    scores::Scores,
};
pub use super::{kept::Weights, sparse_gpt::SparseGpt};
use crate::{
    error::{Error, Result},
    ops::Float,
    param::{Param, shown},
    real::{Arithmetic, powi},
    tensor::{Shape, Tensor},
};
use serde::Serialize;

/// How many weights go.
///
/// ```
/// use kolmo::{Tensor, compress::{all_params, prune::{self, Amount}}, nn::Param};
/// let p = Param::new(Tensor::<f32>::arange(1.0, 11.0));
/// assert_eq!(prune::global(&p, Amount::Fraction(0.2), all_params)?.kept, 8);
/// assert_eq!(prune::global(&p, Amount::Count(3), all_params)?.kept, 5);
/// assert_eq!(prune::global(&p, Amount::Density(0.1), all_params)?.kept, 1);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Amount {
    /// This share of the weights that are still there, rounded half to even as in PyTorch.
    Fraction(f64),
    /// So many of the weights that are still there.
    Count(usize),
    /// As many as it takes to leave this share of all weights. None if fewer are there already.
    Density(f64),
}

impl Amount {
    /// How many go of `kept` weights that are left of `total`.
    fn count(self, kept: usize, total: usize) -> Result<usize> {
        let share = |share: f64, of: usize| match share {
            0.0..=1.0 => Ok((share * of as f64).round_ties_even() as usize),
            _ => Err(Error::invalid("prune", format!("{share} is not between 0 and 1"))),
        };
        match self {
            Amount::Fraction(fraction) => share(fraction, kept),
            Amount::Count(count) if count <= kept => Ok(count),
            Amount::Count(count) => {
                Err(Error::invalid("prune", format!("{count} weights can't go: {kept} are left")))
            }
            Amount::Density(density) => Ok(kept.saturating_sub(share(density, total)?)),
        }
    }
}

/// Counts the weights of the parameters that `filter` picks by name and shape.
pub fn count<M: Serialize + ?Sized>(model: &M, filter: impl Fn(&str, &Shape) -> bool) -> Weights {
    let mut weights = Weights::default();
    let mut add = |mask: Option<Tensor<bool>>, total: usize| {
        weights.total += total;
        weights.kept += mask.map_or(total, |mask| mask.to_vec().iter().filter(|&&keep| keep).count());
    };
    each_field!(model, |name, p| {
        if filter(&name, &p.shape()) {
            add(p.mask(), p.shape().numel());
        }
    });
    weights
}

/// Prunes the smallest weights by magnitude of all the parameters that `filter` picks by name and shape,
/// taken together (Han et al., 2015). Weights pruned before stay so. Of equal ones the first go.
///
/// ```
/// use kolmo::{Tensor, compress::{matrices, prune::{self, Amount}}, nn::Param};
/// let p = Param::new(Tensor::from([[0.1f32, -0.5], [0.4, -0.2]]));
/// let weights = prune::global(&p, Amount::Density(0.5), matrices)?;
/// assert_eq!((weights.kept, weights.total), (2, 4));
/// assert_eq!(p.effective()?.to_vec(), [0.0, -0.5, 0.4, 0.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// A filter that picks no parameter, a share outside of 0 to 1, a count larger than what is left, a
/// parametrisation that fails. Nothing is pruned then.
#[doc(alias = "global_unstructured")]
pub fn global<M: Serialize + ?Sized>(
    model: &M,
    amount: Amount,
    filter: impl Fn(&str, &Shape) -> bool,
) -> Result<Weights> {
    let mut found = find(model, filter)?;
    prune(&mut found.iter_mut().collect::<Vec<_>>(), amount)?;
    finish(&found)
}

/// Prunes the weights of the lowest scores, over all parameters that `filter` picks together, as [`global`]
/// prunes those of the smallest magnitudes. Parameters without scores are left alone.
///
/// # Errors
/// As [`global`]; not as many scores as weights.
pub fn by_scores<M: Serialize + ?Sized>(
    model: &M,
    scores: &Scores,
    amount: Amount,
    filter: impl Fn(&str, &Shape) -> bool,
) -> Result<Weights> {
    let mut found = find(model, |name, shape| filter(name, shape) && scores.has(name))?;
    for f in &mut found {
        f.magnitude = scores.of("prune", &f.name, &f.shape)?;
    }
    prune(&mut found.iter_mut().collect::<Vec<_>>(), amount)?;
    finish(&found)
}

/// Prunes the weights of the smallest magnitudes of each parameter that `filter` picks by itself: every layer
/// loses the same share.
///
/// ```
/// use kolmo::{Tensor, compress::{all_params, prune::{self, Amount}}, nn::Param};
/// let model = [[1.0f32, 2.0], [30.0, 40.0]].map(|v| Param::new(Tensor::from(v)));
/// prune::layerwise(&model, Amount::Fraction(0.5), all_params)?;
/// assert_eq!(model[0].effective()?.to_vec(), [0.0, 2.0]);
/// assert_eq!(model[1].effective()?.to_vec(), [0.0, 40.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[doc(alias = "l1_unstructured")]
pub fn layerwise<M: Serialize + ?Sized>(
    model: &M,
    amount: Amount,
    filter: impl Fn(&str, &Shape) -> bool,
) -> Result<Weights> {
    let mut found = find(model, filter)?;
    for layer in &mut found {
        prune(&mut [layer], amount)?;
    }
    finish(&found)
}

/// Which slices [`structured`] prunes, and how they are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct StructuredOptions {
    p: f64,
    dim: isize,
}

impl Default for StructuredOptions {
    fn default() -> Self {
        StructuredOptions { p: 2.0, dim: 0 }
    }
}

impl StructuredOptions {
    /// Slices of the first axis, by their Euclidean norm.
    pub fn new() -> StructuredOptions {
        StructuredOptions::default()
    }

    /// The order of the norm `(Σ |w|ᵖ)^(1/p)` (default 2): infinite for the largest magnitude, minus infinity
    /// for the smallest.
    pub fn p(self, p: f64) -> StructuredOptions {
        StructuredOptions { p, ..self }
    }

    /// The axis whose indices are the slices, counted from the end if negative (default 0).
    pub fn dim(self, dim: isize) -> StructuredOptions {
        StructuredOptions { dim, ..self }
    }
}

/// Prunes whole slices along an axis, such as the rows of a matrix or the filters of a convolution: in each
/// parameter that `filter` picks those with the smallest norm. Amounts are of slices of which something is
/// left.
///
/// ```
/// use kolmo::{Tensor, compress::{matrices, prune::{self, Amount, StructuredOptions}}, nn::Param};
/// let p = Param::new(Tensor::from([[3.0f32, 0.0], [1.0, 1.0], [0.0, 2.0]]));
/// prune::structured(&p, Amount::Count(1), StructuredOptions::new(), matrices)?;
/// assert_eq!(p.effective()?.to_vec(), [3.0, 0.0, 0.0, 0.0, 0.0, 2.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// As [`global`]; a parameter without the axis. Nothing is pruned then.
#[doc(alias = "ln_structured")]
pub fn structured<M: Serialize + ?Sized>(
    model: &M,
    amount: Amount,
    options: StructuredOptions,
    filter: impl Fn(&str, &Shape) -> bool,
) -> Result<Weights> {
    let mut found = find(model, filter)?;
    for f in &mut found {
        f.prune_slices(amount, options.p, options.dim)?;
    }
    finish(&found)
}

/// Prunes blocks of `rows` neighbouring outputs for one input: of each matrix that `filter` picks, taken
/// together, those with the smallest sum of squares. Amounts are of weights. Blocks of 16 are what
/// [`SparseLinear`](super::SparseLinear) runs fastest.
///
/// # Errors
/// As [`global`]; a parameter that is not a matrix; 0 rows. Nothing is pruned then.
pub fn blocks<M: Serialize + ?Sized>(
    model: &M,
    amount: Amount,
    rows: usize,
    filter: impl Fn(&str, &Shape) -> bool,
) -> Result<Weights> {
    let mut found = find(model, filter)?;
    for f in &mut found {
        let [outputs, inputs] = f.shape[..] else {
            return Err(Error::invalid(
                "prune",
                format!("blocks of {} of shape {}", shown(&f.name), f.shape),
            ));
        };
        if rows == 0 {
            return Err(Error::invalid("prune", "blocks of 0 rows"));
        }
        // All weights of a block are worth the same, so that they go together.
        for first in (0..outputs).step_by(rows) {
            let last = outputs.min(first + rows);
            for input in 0..inputs {
                let places = (first..last).map(|row| row * inputs + input);
                let mean = places.clone().map(|i| Arithmetic::square(f.magnitude[i])).sum::<f64>()
                    / (last - first) as f64;
                places.for_each(|i| f.magnitude[i] = mean);
            }
        }
    }
    let before: Vec<Vec<bool>> = found.iter().map(|f| f.keep.clone()).collect();
    prune(&mut found.iter_mut().collect::<Vec<_>>(), amount)?;
    // The last block may have been cut in two; what was pruned before stays so.
    for (f, before) in found.iter_mut().zip(before) {
        let [outputs, inputs] = f.shape[..] else { continue };
        for first in (0..outputs).step_by(rows) {
            for input in 0..inputs {
                let places = (first..outputs.min(first + rows)).map(|row| row * inputs + input);
                let whole = places.clone().any(|i| f.keep[i]);
                places.for_each(|i| f.keep[i] = whole && before[i]);
            }
        }
    }
    finish(&found)
}

/// Keeps the `n` largest magnitudes of every `m` neighbours along the last axis, the pattern that some
/// hardware runs fast (Mishra et al., 2021).
///
/// ```
/// use kolmo::{Tensor, compress::{all_params, prune}, nn::Param};
/// let p = Param::new(Tensor::from([1.0f32, -3.0, 0.5, 2.0]));
/// prune::n_of_m(&p, 2, 4, all_params)?;
/// assert_eq!(p.effective()?.to_vec(), [0.0, -3.0, 0.0, 2.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// `n` above `m`; a last axis that isn't a multiple of `m`. Nothing is pruned then.
pub fn n_of_m<M: Serialize + ?Sized>(
    model: &M,
    n: usize,
    m: usize,
    filter: impl Fn(&str, &Shape) -> bool,
) -> Result<Weights> {
    let mut found = find(model, filter)?;
    for f in &mut found {
        let last = f.shape.last().copied().unwrap_or(1);
        if n > m || m == 0 || !last.is_multiple_of(m) {
            let message = format!(
                "{n} of {m} doesn't fit shape {}: n is at most m, and m divides the last axis",
                f.shape
            );
            return Err(Error::invalid("prune", message));
        }
        for (keep, magnitude) in f.keep.chunks_exact_mut(m).zip(f.magnitude.chunks_exact(m)) {
            let mut order: Vec<usize> = (0..m).collect();
            // What is pruned already goes first, before a kept weight that is 0.
            order.sort_by(|&a, &b| {
                keep[a].cmp(&keep[b]).then(magnitude[a].total_cmp(&magnitude[b])).then(a.cmp(&b))
            });
            order.iter().take(m - n).for_each(|&i| keep[i] = false);
        }
    }
    finish(&found)
}

/// The gradual schedule of Zhu and Gupta (2017), for densities or sparsities:
/// `target + (initial - target)·(1 - t)³` after `step` of `steps` steps, with `t = step / steps`. It prunes
/// fast while much can go, and slowly at the end.
///
/// ```
/// use kolmo::compress::prune::cubic_density;
/// assert_eq!((cubic_density(1.0, 0.25, 0, 2), cubic_density(1.0, 0.25, 1, 2), cubic_density(1.0, 0.25, 2, 2)), (1.0, 0.34375, 0.25));
/// ```
pub fn cubic_density(initial: f64, target: f64, step: usize, steps: usize) -> f64 {
    let left = 1.0 - step.min(steps) as f64 / steps.max(1) as f64;
    target + (initial - target) * powi(left, 3)
}

/// A parameter to be pruned: its magnitudes or scores, which weights are kept, and the way to tell it.
struct Found {
    name: String,
    shape: Shape,
    /// What a weight is kept for.
    magnitude: Vec<f64>,
    keep: Vec<bool>,
    set: SetMask,
}

impl Found {
    /// Lets the slices of least norm along an axis go.
    fn prune_slices(&mut self, amount: Amount, p: f64, dim: isize) -> Result<()> {
        let fail = |message| Error::invalid("prune", message);
        let axis = self.shape.axis(dim).map_err(fail)?;
        let slices = self.shape.get(axis).copied().unwrap_or(1);
        let inner = self.shape.iter().skip(axis + 1).product::<usize>().max(1);
        let slice = |i: usize| i / inner % slices.max(1);
        let mut norms = vec![None; slices];
        for (i, (&v, &keep)) in self.magnitude.iter().zip(&self.keep).enumerate() {
            // What is pruned already is no part of a slice's norm.
            if !keep {
                continue;
            }
            let norm = norms[slice(i)].unwrap_or(if p == f64::NEG_INFINITY { f64::INFINITY } else { 0.0 });
            let norm: f64 = match p {
                f64::INFINITY => f64::max(norm, v),
                f64::NEG_INFINITY => f64::min(norm, v),
                _ => norm + Arithmetic::pow(v, p),
            };
            norms[slice(i)] = Some(norm);
        }
        // A root with a negative order turns the order of the sums round.
        let sign = if p < 0.0 && p.is_finite() { -1.0 } else { 1.0 };
        let left = norms.iter().enumerate().filter_map(|(i, n)| n.map(|n| (sign * n, i)));
        let mut left: Vec<(f64, usize)> = left.collect();
        let count = amount.count(left.len(), slices)?;
        left.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let mut gone = vec![false; slices];
        left.iter().take(count).for_each(|&(_, i)| gone[i] = true);
        self.keep.iter_mut().enumerate().for_each(|(i, keep)| *keep &= !gone[slice(i)]);
        Ok(())
    }
}

type SetMask = Box<dyn Fn(&Tensor<bool>) -> Result<()>>;

fn find<M: Serialize + ?Sized>(model: &M, filter: impl Fn(&str, &Shape) -> bool) -> Result<Vec<Found>> {
    fn read<T: Float>(name: String, p: &Param<T>) -> Result<Found> {
        let p = p.clone();
        let value = p.effective()?;
        Ok(Found {
            name,
            shape: value.shape().clone(),
            magnitude: value.to_vec().iter().map(|v| v.to_f64().abs()).collect(),
            keep: p.mask().map_or_else(|| vec![true; value.numel()], |mask| mask.to_vec()),
            set: Box::new(move |mask| p.set_mask(Some(mask))),
        })
    }
    let mut found = Vec::new();
    each_field!(model, |name, p| {
        if filter(&name, &p.shape()) {
            found.push(read(name, p));
        }
    });
    picks_some("prune", model, found.len())?;
    found.into_iter().collect()
}

/// Lets the smallest of the kept weights of a group go.
fn prune(group: &mut [&mut Found], amount: Amount) -> Result<()> {
    let total = group.iter().map(|f| f.keep.len()).sum();
    let mut kept: Vec<(f64, usize, usize)> = Vec::new();
    for (layer, f) in group.iter().enumerate() {
        let places = f.magnitude.iter().zip(&f.keep).enumerate().filter(|(_, (_, keep))| **keep);
        kept.extend(places.map(|(i, (&magnitude, _))| (magnitude, layer, i)));
    }
    let count = amount.count(kept.len(), total)?;
    if count == 0 {
        return Ok(());
    }
    let order = |a: &(f64, usize, usize), b: &(f64, usize, usize)| {
        a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2)))
    };
    if count < kept.len() {
        kept.select_nth_unstable_by(count, order);
    }
    for &(_, layer, i) in kept.iter().take(count) {
        group[layer].keep[i] = false;
    }
    Ok(())
}

/// Sets the masks, once all is known to be well.
fn finish(found: &[Found]) -> Result<Weights> {
    let mut weights = Weights::default();
    for f in found {
        (f.set)(&Tensor::new(&f.shape, f.keep.clone())?)?;
        weights.total += f.keep.len();
        weights.kept += f.keep.iter().filter(|&&keep| keep).count();
    }
    Ok(weights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compress::{all_params, matrices};

    #[test]
    fn a_fraction_is_of_what_is_still_there() {
        let p = Param::new(Tensor::<f64>::arange(1.0, 11.0));
        for kept in [8, 6, 5] {
            // 0.2 of 10 is 2, of 8 is 1.6, of 6 is 1.2.
            assert_eq!(global(&p, Amount::Fraction(0.2), all_params).unwrap().kept, kept);
        }
        assert_eq!(p.effective().unwrap().to_vec(), [0.0, 0.0, 0.0, 0.0, 0.0, 6.0, 7.0, 8.0, 9.0, 10.0]);
        assert_eq!(count(&p, all_params).density(), 0.5);
        assert!(global(&p, Amount::Count(6), all_params).is_err());
        assert!(global(&p, Amount::Fraction(f64::NAN), all_params).is_err());
        assert_eq!(count(&p, all_params).kept, 5);
    }

    #[test]
    fn global_ranks_layers_together_and_layerwise_each_by_itself() {
        let model =
            || vec![Param::new(Tensor::from([[1.0f32, 2.0]])), Param::new(Tensor::from([[3.0, 4.0]]))];
        let (a, b) = (model(), model());
        global(&a, Amount::Density(0.5), matrices).unwrap();
        layerwise(&b, Amount::Density(0.5), matrices).unwrap();
        let effective =
            |m: &[Param]| m.iter().flat_map(|p| p.effective().unwrap().to_vec()).collect::<Vec<_>>();
        assert_eq!(effective(&a), [0.0, 0.0, 3.0, 4.0]);
        assert_eq!(effective(&b), [0.0, 2.0, 0.0, 4.0]);
    }
}
