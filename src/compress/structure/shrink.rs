//! Channels cut out of a model: which of each family go, by magnitude or by scores.
use super::{Channels, cut::Cut};
use crate::{
    compress::scores::Scores,
    error::{Error, Result},
    ops::Float,
    param::{Param, visit_fields},
    real::Arithmetic,
    tensor::Element,
};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

impl Channels {
    /// Cuts this share of the channels of each family out of the model, at least one left: those with the
    /// smallest sum of squares over all their slices, each axis's squares in units of their mean. Gives
    /// the number of channels that went.
    ///
    /// Parameters become smaller tensors; masks, codes of codebooks and step sizes go along. Moments of an
    /// optimiser don't fit any more.
    ///
    /// # Errors
    /// A share outside of 0 to 1; a model that isn't the one that was recorded; a parameter with operations
    /// of a user's own ([`Param::parametrize`]), or with step sizes for groups that would lose a part.
    /// The model is as it was then.
    pub fn shrink<M: Serialize + ?Sized>(&self, model: &M, share: f64) -> Result<usize> {
        self.shrink_as(model, share, None)
    }

    /// The same by scores: the channels go whose weights' scores have the smallest sums over all their slices, such
    /// as what the loss would change without them ([`ScoreCriterion::Taylor`](crate::compress::scores::ScoreCriterion::Taylor)).
    ///
    /// ```
    /// use kolmo::{Random, Tape, Tensor, compress::{Channels, scores::{ScoreCriterion, Scores}}, nn::{Layer, Linear, Relu, Sequential}};
    /// let rng = &mut Random::new(0);
    /// let net = Sequential((Linear::new(4, 6, rng), Relu, Linear::new(6, 3, rng)));
    /// let channels = Channels::trace(&net, &Tensor::ones([1, 4]), |x| net.forward(x))?;
    /// let tape = Tape::new();
    /// let loss = net.forward(&tape.constant(Tensor::ones([2, 4]))).square().mean();
    /// let mut scores = Scores::new(ScoreCriterion::Taylor);
    /// scores.add(&net, &loss.backward()?)?;
    /// channels.shrink_by_scores(&net, 0.5, &scores)?;
    /// assert_eq!(net.0.0.weight.shape()[..], [3, 4]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`shrink`](Channels::shrink)'s; a parameter with channels for which there are no scores, or not as many as weights.
    pub fn shrink_by_scores<M: Serialize + ?Sized>(
        &self,
        model: &M,
        share: f64,
        scores: &Scores,
    ) -> Result<usize> {
        self.shrink_as(model, share, Some(scores))
    }

    fn shrink_as<M: Serialize + ?Sized>(
        &self,
        model: &M,
        share: f64,
        scores: Option<&Scores>,
    ) -> Result<usize> {
        if !(0.0..=1.0).contains(&share) {
            return Err(Error::invalid("shrink", format!("share {share} is not between 0 and 1")));
        }
        // As many of a family's n channels are cut out.
        let count = |n: usize| (share * n as f64).round_ties_even() as usize;
        if self.dtype == f32::NAME {
            self.shrink_of::<f32, M>(model, &count, scores)
        } else {
            self.shrink_of::<f64, M>(model, &count, scores)
        }
    }

    fn shrink_of<T: Float, M: Serialize + ?Sized>(
        &self,
        model: &M,
        count: &impl Fn(usize) -> usize,
        scores: Option<&Scores>,
    ) -> Result<usize> {
        let mut params: HashMap<String, Param<T>> = HashMap::new();
        visit_fields(model, |path, p: &Param<T>| {
            params.insert(path.to_string(), p.clone());
        });
        let concerned: HashSet<u32> = self.families.iter().flatten().copied().collect();
        let mut worth: HashMap<u32, f64> = HashMap::new();
        for axis in &self.axes {
            let p = params.get(&axis.param).ok_or_else(|| wrong(&axis.param))?;
            let shape = p.shape();
            if axis.channels.iter().all(|channel| !concerned.contains(channel)) {
                continue;
            }
            if shape.get(axis.axis) != Some(&axis.channels.len()) {
                return Err(wrong(&axis.param));
            }
            let (each, unit) = match scores {
                Some(scores) => (scores.of("shrink", &axis.param, &shape)?, 1.0),
                None => {
                    let squares: Vec<f64> =
                        p.effective()?.to_vec().iter().map(|v| Arithmetic::square(v.to_f64())).collect();
                    let mean = squares.iter().sum::<f64>() / axis.channels.len() as f64;
                    (squares, mean.max(f64::MIN_POSITIVE))
                }
            };
            let inner: usize = shape[axis.axis + 1..].iter().product();
            for (i, own) in each.iter().enumerate() {
                let channel = axis.channels[i / inner.max(1) % axis.channels.len()];
                *worth.entry(channel).or_default() += own / unit;
            }
        }
        let mut gone: HashSet<u32> = HashSet::new();
        for family in &self.families {
            let mut order = family.clone();
            let worth = |i: &u32| worth.get(i).copied().unwrap_or(0.0);
            order.sort_by(|a, b| worth(a).total_cmp(&worth(b)).then(a.cmp(b)));
            gone.extend(order.iter().copied().take(count(family.len()).min(family.len() - 1)));
        }
        // All are cut before one is changed.
        let mut cut: BTreeMap<&str, Cut<T>> = BTreeMap::new();
        for axis in &self.axes {
            let keep = axis.kept(&gone);
            if keep.len() < axis.channels.len() {
                let p = params.get(&axis.param).ok_or_else(|| wrong(&axis.param))?;
                let one = cut.remove(axis.param.as_str()).map_or_else(|| Cut::of(&axis.param, p), Ok)?;
                cut.insert(&axis.param, one.along(axis.axis, &keep)?);
            }
        }
        cut.into_iter().try_for_each(|(name, cut)| cut.set(params.get(name).ok_or_else(|| wrong(name))?))?;
        Ok(gone.len())
    }
}

fn wrong(name: &str) -> Error {
    Error::invalid("shrink", format!("{name} is not what it was when the model was recorded"))
}
