//! Scores of weights by a criterion, from the gradients of batches or from second derivatives.
use crate::{
    error::{Error, Result},
    ops::Float,
    param::{Param, inventory, shown, visit_params},
    real::Arithmetic,
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
/// use kolmo::{Tape, Tensor, compress::{matrices, prune::{self, Amount}, scores::{ScoreCriterion, Scores}}, nn::Param};
/// let w = Param::new(Tensor::from([[3.0f32, 1.0]]));
/// let tape = Tape::new();
/// let x = tape.constant([[0.1], [2.0]]);
/// let loss = tape.param(&w).matmul(&x).square().sum();
/// let mut scores = Scores::new(ScoreCriterion::Taylor);
/// scores.add(&w, &loss.backward()?)?;
/// prune::by_scores(&w, &scores, Amount::Count(1), matrices)?;
/// assert_eq!(w.effective()?.to_vec(), [0.0, 1.0]); // the larger weight matters less
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Scores {
    criterion: ScoreCriterion,
    sums: BTreeMap<String, Vec<f64>>,
}

/// How a weight `w` with gradient `g` is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScoreCriterion {
    /// `Σ |g·w|` over batches: how much the loss changes to first order if the weight goes (Molchanov et al.,
    /// 2017).
    Taylor,
    /// `-Σ g·w`: weights that training moves away from zero score high (Sanh, Wolf and Rush, 2020). Added at
    /// every step of a fine-tuning.
    Movement,
    /// `|Σ g·w|` over batches, at initialisation: connection sensitivity (Lee, Ajanthan and Torr, 2019).
    Snip,
    /// `Σ g²·w² / 2`: optimal brain damage (LeCun, Denker and Solla, 1990) with squared gradients in the
    /// place of second derivatives, as for a log-likelihood near its optimum. [`Scores::second_order`]
    /// takes the second derivatives themselves.
    Fisher,
}

impl Scores {
    /// No score yet.
    pub fn new(criterion: ScoreCriterion) -> Scores {
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
                ScoreCriterion::Taylor => product.abs(),
                ScoreCriterion::Movement => -product,
                ScoreCriterion::Snip => product,
                ScoreCriterion::Fisher => product * product / 2.0,
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

    pub(super) fn sum(&mut self, name: String, each: impl ExactSizeIterator<Item = f64>) -> Result<()> {
        let n = each.len();
        let sums = self.sums.entry(name.clone()).or_insert_with(|| vec![0.0; n]);
        if sums.len() != n {
            let message = format!("{}: {n} weights where there were {}", shown(&name), sums.len());
            return Err(Error::invalid("scores", message));
        }
        sums.iter_mut().zip(each).for_each(|(sum, v)| *sum += v);
        Ok(())
    }

    /// Optimal brain damage with second derivatives: `hᵢᵢ·wᵢ² / 2`, the diagonal `h` of the Hessian as the
    /// mean of `z ⊙ Hz` over `probes` vectors of random signs (Hutchinson, 1989; Bekas, Kokiopoulou and
    /// Saad, 2007). `loss` computes the loss of the model on the tape.
    pub fn second_order<T: Float, M: Serialize + ?Sized>(
        model: &M,
        probes: usize,
        rng: &mut Random,
        loss: impl for<'t> Fn(&'t Tape<T>) -> Var<'t, T>,
    ) -> Result<Scores> {
        let mut scores = Scores::new(ScoreCriterion::Fisher);
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
                    let random = rng.reserve(leaf.numel());
                    let sign = |i: usize| if random.bits_at(i as u64) >> 63 == 0 { 1.0 } else { -1.0 };
                    Tensor::from_fn(leaf.shape(), |i| T::constant(sign(i)))
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
                let each = (0..w.len()).map(|i| {
                    h[i].to_f64() * z[i].to_f64() * Arithmetic::square(w[i].to_f64()) / (2 * probes) as f64
                });
                scores.sum(name.clone(), each)?;
            }
        }
        Ok(scores)
    }

    /// Whether there are scores of a parameter.
    pub(in crate::compress) fn has(&self, name: &str) -> bool {
        self.sums.contains_key(name)
    }

    /// The scores of a parameter; `None` if it never had a gradient.
    pub fn get(&self, name: &str) -> Option<Vec<f64>> {
        let sums = self.sums.get(name)?;
        Some(match self.criterion {
            ScoreCriterion::Snip => sums.iter().map(|v| v.abs()).collect(),
            _ => sums.clone(),
        })
    }

    /// The scores of a parameter of a shape.
    pub(in crate::compress) fn of(&self, what: &'static str, name: &str, shape: &Shape) -> Result<Vec<f64>> {
        let own = self.get(name).unwrap_or_default();
        if own.len() != shape.numel() {
            let message = format!("{} scores for {} of shape {shape}", own.len(), shown(name));
            return Err(Error::invalid(what, message));
        }
        Ok(own)
    }
}
