//! What a weight is worth, by more than its magnitude: how much the loss would change without it, or where training takes it.
use super::prune::{self, Amount, Weights};
use crate::{
    error::{Error, Result},
    ops::Float,
    param::{Param, inventory, shown, visit_params},
    tape::{Gradients, Random, Tape, Var},
    tensor::{Shape, Tensor},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// A score for each weight of a model, by the names of its parameters; weights of low score go first.
///
/// What it is made of is taken in batch by batch, with [`add`](Scores::add).
///
/// ```
/// use kolmo::{Tape, Tensor, compress::{matrices, prune::{self, Amount}, scores::{Criterion, Scores}}, nn::Param};
/// let w = Param::new(Tensor::from([[3.0f32, 1.0]]));
/// let tape = Tape::new();
/// let x = tape.constant([[0.1], [2.0]]);
/// let loss = tape.param(&w).matmul(&x).square().sum();
/// let mut scores = Scores::new(Criterion::Taylor);
/// scores.add(&w, &loss.backward()?)?;
/// prune::by_scores(&w, &scores, Amount::Count(1), matrices)?;
/// assert_eq!(w.effective()?.to_vec(), [0.0, 1.0]); // the larger weight matters less
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Scores {
    criterion: Criterion,
    sums: BTreeMap<String, Vec<f64>>,
}

/// How a weight `w` with gradient `g` is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// `Σ |g·w|` over batches: how much the loss changes to first order if the weight goes (Molchanov et al., 2017).
    Taylor,
    /// `-Σ g·w`: weights that training moves away from zero score high (Sanh, Wolf and Rush, 2020). Added at every step of
    /// a fine-tuning.
    Movement,
    /// `|Σ g·w|` over batches, at initialisation: connection sensitivity (Lee, Ajanthan and Torr, 2019).
    Snip,
    /// `Σ g²·w² / 2`: optimal brain damage (LeCun, Denker and Solla, 1990) with squared gradients in the place of second
    /// derivatives, as for a log-likelihood near its optimum. [`Scores::second_order`] takes the second derivatives themselves.
    Fisher,
}

impl Scores {
    /// No score yet.
    pub fn new(criterion: Criterion) -> Scores {
        Scores { criterion, sums: BTreeMap::new() }
    }

    /// Takes a batch's gradients in. Parameters without gradient score as they did.
    ///
    /// # Errors
    /// A parameter that has changed its shape; no parameter with a gradient.
    pub fn add<T: Float, M: Serialize + ?Sized>(&mut self, model: &M, grads: &Gradients<T>) -> Result<()> {
        let criterion = self.criterion;
        let (mut result, mut found) = (Ok(()), false);
        visit_params(model, |path, p: &Param<T>| {
            let Some(g) = grads.param(p) else { return };
            found = true;
            let products =
                p.value().to_vec().into_iter().zip(g.to_vec()).map(|(w, g)| w.to_f64() * g.to_f64());
            let each = products.map(|product| match criterion {
                Criterion::Taylor => product.abs(),
                Criterion::Movement => -product,
                Criterion::Snip => product,
                Criterion::Fisher => product * product / 2.0,
            });
            result = std::mem::replace(&mut result, Ok(())).and_then(|()| self.sum(path.to_string(), each));
        });
        match found {
            true => result,
            false => {
                let message = format!("no parameter has a gradient: {}", inventory(model));
                Err(Error::invalid("scores", message))
            }
        }
    }

    fn sum(&mut self, name: String, each: impl ExactSizeIterator<Item = f64>) -> Result<()> {
        let n = each.len();
        let sums = self.sums.entry(name.clone()).or_insert_with(|| vec![0.0; n]);
        if sums.len() != n {
            let message = format!("{}: {n} weights where there were {}", shown(&name), sums.len());
            return Err(Error::invalid("scores", message));
        }
        sums.iter_mut().zip(each).for_each(|(sum, v)| *sum += v);
        Ok(())
    }

    /// Optimal brain damage with second derivatives: `hᵢᵢ·wᵢ² / 2`, the diagonal `h` of the Hessian as the mean of `z ⊙ Hz` over
    /// `probes` vectors of random signs (Hutchinson, 1989; Bekas, Kokiopoulou and Saad, 2007). `loss` computes the loss of
    /// the model on the tape.
    pub fn second_order<T: Float, M: Serialize + ?Sized>(
        model: &M,
        probes: usize,
        rng: &mut Random,
        loss: impl for<'t> Fn(&'t Tape<T>) -> Var<'t, T>,
    ) -> Result<Scores> {
        let mut scores = Scores::new(Criterion::Fisher);
        if probes == 0 {
            return Err(Error::invalid("scores", "0 probes, expected at least 1"));
        }
        let mut params: Vec<(String, Param<T>)> = Vec::new();
        visit_params(model, |path, p: &Param<T>| params.push((path.to_string(), p.clone())));
        let tape = Tape::new();
        // The parameters' tensors as inputs, so that the Hessian is with respect to them.
        let leaves: Vec<Var<'_, T>> =
            params.iter().map(|(_, p)| tape.input(p.effective_or_value())).collect();
        params.iter().zip(&leaves).for_each(|((_, p), leaf)| tape.substitute(p, leaf));
        let leaves: Vec<&Var<'_, T>> = leaves.iter().collect();
        let grads = loss(&tape).grad(&leaves)?;
        for _ in 0..probes {
            let signs: Vec<Tensor<T>> = leaves
                .iter()
                .map(|leaf| {
                    let random = rng.split(leaf.numel());
                    let sign = |i: usize| if random.bits(i as u64) >> 63 == 0 { 1.0 } else { -1.0 };
                    Tensor::from_fn(leaf.shape(), |i| T::of(sign(i)))
                })
                .collect();
            let seeds: Vec<Var<'_, T>> = signs.iter().map(|s| tape.constant(s)).collect();
            let products = tape.vjp(
                &grads.iter().collect::<Vec<_>>(),
                &seeds.iter().collect::<Vec<_>>(),
                &leaves,
                false,
                None,
            )?;
            for (((name, _), leaf), (product, sign)) in
                params.iter().zip(&leaves).zip(products.iter().zip(&signs))
            {
                let (w, h, z) = (leaf.to_vec()?, product.to_vec()?, sign.to_vec());
                let each = (0..w.len())
                    .map(|i| h[i].to_f64() * z[i].to_f64() * w[i].to_f64().powi(2) / (2 * probes) as f64);
                scores.sum(name.clone(), each)?;
            }
        }
        Ok(scores)
    }

    /// Whether there are scores of a parameter.
    pub(super) fn has(&self, name: &str) -> bool {
        self.sums.contains_key(name)
    }

    /// The scores of a parameter; `None` if it never had a gradient.
    pub fn of(&self, name: &str) -> Option<Vec<f64>> {
        let sums = self.sums.get(name)?;
        Some(match self.criterion {
            Criterion::Snip => sums.iter().map(|v| v.abs()).collect(),
            _ => sums.clone(),
        })
    }
}

/// Prunes a network before it is trained and without data, in rounds, so that no layer is lost: weights go by `w·∂R/∂w`, `R`
/// being the sum of the outputs of the network with the magnitudes of its weights for an input of ones (SynFlow; Tanaka et al.,
/// 2020). `outputs` computes them; what is left after round i of n is `density^(i/n)`.
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
        let mut scores = Scores::new(Criterion::Taylor);
        for (name, leaf) in leaves {
            let g = grads.get(&leaf).map(Tensor::to_vec).unwrap_or_else(|| vec![T::default(); leaf.numel()]);
            let w = leaf.to_vec()?;
            scores.sum(name, (0..w.len()).map(|i| (w[i].to_f64() * g[i].to_f64()).abs()))?;
        }
        let left = density.powf(round as f64 / rounds as f64);
        weights = prune::by_scores(model, &scores, Amount::Density(left), &filter)?;
    }
    Ok(weights)
}

/// The weights of a model at one time, to go back to: a lottery ticket is a pruned network with the weights that it started with
/// (Frankle and Carbin, 2019).
///
/// ```
/// use kolmo::{Tensor, compress::{everything, prune::{self, Amount}, scores::Snapshot}, nn::Param};
/// let w = Param::new(Tensor::from([1.0f32, 2.0]));
/// let start: Snapshot = Snapshot::of(&w);
/// w.set([5.0, 4.0]); // trained
/// prune::global(&w, Amount::Count(1), everything)?;
/// start.restore(&w)?; // the mask stays
/// assert_eq!(w.effective()?.to_vec(), [1.0, 0.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot<T: Float = f32>(BTreeMap<String, Tensor<T>>);

impl<T: Float> Snapshot<T> {
    /// The weights as they are now.
    pub fn of<M: Serialize + ?Sized>(model: &M) -> Snapshot<T> {
        let mut values = BTreeMap::new();
        visit_params(model, |path, p: &Param<T>| {
            values.insert(path.to_string(), p.value());
        });
        Snapshot(values)
    }

    /// Sets the weights back to what they were. Masks stay as they are.
    ///
    /// # Errors
    /// A parameter that the snapshot doesn't have in this shape; nothing has changed then.
    pub fn restore<M: Serialize + ?Sized>(&self, model: &M) -> Result<()> {
        let (mut jobs, mut wrong) = (Vec::new(), None);
        visit_params(model, |path, p: &Param<T>| match self.0.get(&path.to_string()) {
            Some(value) if *value.shape() == p.shape() => jobs.push((p.clone(), value.clone())),
            _ => {
                let message =
                    format!("there is no {} of shape {} in it", shown(&path.to_string()), p.shape());
                wrong = wrong.take().or(Some(message));
            }
        });
        match wrong {
            Some(message) => Err(Error::invalid("Snapshot", message)),
            None if jobs.is_empty() => {
                let message = format!("there are no parameters of {}: {}", T::NAME, inventory(model));
                Err(Error::invalid("Snapshot", message))
            }
            None => {
                jobs.into_iter().for_each(|(p, value)| p.set(value));
                Ok(())
            }
        }
    }
}
