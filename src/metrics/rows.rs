//! Predictions, targets and weights as the metrics read them: a row of numbers, or a label, for each sample.
use crate::{
    error::{Error, Result},
    ops::Float,
    tensor::{Element, Index, Shape, Tensor},
};

/// What the predictions of a metric are held against: a tensor of targets, or a pair of it and a tensor of
/// weights `[n]`, scikit-learn's `sample_weight`, of which each says how much its sample counts. Without weights
/// all count 1, and a weight of 2 is a sample that is there twice.
///
/// ```
/// use kolmo::{Tensor, metrics::accuracy};
/// let (predicted, y) = (Tensor::from([1u32, 0, 1]), Tensor::from([1u32, 1, 1]));
/// assert_eq!(accuracy(&predicted, &y)?, 2.0 / 3.0);
/// let weights = Tensor::from([1.0f64, 6.0, 1.0]);
/// assert_eq!(accuracy(&predicted, (&y, &weights))?, 0.25);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// Weights of another shape, that are negative or not finite, or all 0 are errors.
#[doc(alias = "sample_weight")]
pub trait Targets: sealed::Sealed {
    /// Of the targets.
    type Element: Element;
    #[doc(hidden)]
    fn targets(&self) -> &Tensor<Self::Element>;
    #[doc(hidden)]
    fn weights(&self) -> Option<&Tensor<f64>>;
}

mod sealed {
    pub trait Sealed {}
    impl<E: crate::tensor::Element> Sealed for &crate::Tensor<E> {}
    impl<E: crate::tensor::Element> Sealed for (&crate::Tensor<E>, &crate::Tensor<f64>) {}
}

impl<E: Element> Targets for &Tensor<E> {
    type Element = E;
    fn targets(&self) -> &Tensor<E> {
        self
    }
    fn weights(&self) -> Option<&Tensor<f64>> {
        None
    }
}

impl<E: Element> Targets for (&Tensor<E>, &Tensor<f64>) {
    type Element = E;
    fn targets(&self) -> &Tensor<E> {
        self.0
    }
    fn weights(&self) -> Option<&Tensor<f64>> {
        Some(self.1)
    }
}

/// What each sample weighs. There is at least one.
pub(super) fn weights(what: &'static str, targets: &impl Targets) -> Result<Vec<f64>> {
    checked_weights(what, targets.targets().shape(), targets.weights())
}

fn checked_weights(what: &'static str, targets: &Shape, weights: Option<&Tensor<f64>>) -> Result<Vec<f64>> {
    let n = targets.first().copied().unwrap_or(1);
    let Some(weights) = weights else { return Ok(vec![1.0; n]) };
    if *weights.shape() != [n] {
        let message = format!("takes weights [{n}] for targets {targets}, not {}", weights.shape());
        return Err(Error::invalid(what, message));
    }
    let weights = weights.to_vec();
    if let Some(odd) = weights.iter().find(|w| !(**w >= 0.0 && w.is_finite())) {
        return Err(Error::invalid(what, format!("takes finite weights of 0 or more, not {odd}")));
    }
    let sum = weights.iter().sum::<f64>();
    match sum > 0.0 && sum.is_finite() {
        true => Ok(weights),
        false => Err(Error::invalid(what, format!("takes weights with a finite sum above 0, not {sum}"))),
    }
}

pub(super) fn labels<I: Index>(targets: &Tensor<I>) -> Vec<i64> {
    targets.to_vec().into_iter().map(Index::to_i64).collect()
}

/// The label of each sample, of predictions that are labels or scores. There is at least one.
pub(super) fn predicted_labels<P: Element, I: Index>(
    what: &'static str,
    predictions: &Tensor<P>,
    targets: &Tensor<I>,
) -> Result<Vec<i64>> {
    let n = targets.numel();
    let fits = *targets.shape() == [n] && n > 0 && predictions.dim(0) == n;
    let values = || predictions.to_vec().into_iter().map(Element::to_f64);
    match (predictions.rank(), predictions.dim(1)) {
        (1, _) if fits => values()
            .map(|v| match v.fract() == 0.0 {
                true => Ok(v as i64),
                false => Err(Error::invalid(what, format!("{v} is no label of a class"))),
            })
            .collect(),
        (2, classes @ 1..) if fits => {
            values().collect::<Vec<_>>().chunks_exact(classes).map(|row| largest(what, row)).collect()
        }
        _ => {
            let message = format!(
                "takes labels [n] or scores [n, classes], and targets [n] with n of at least 1, not {} and {}",
                predictions.shape(),
                targets.shape()
            );
            Err(Error::invalid(what, message))
        }
    }
}

/// The place of the largest score, the first of equal ones.
pub(super) fn largest(what: &'static str, row: &[f64]) -> Result<i64> {
    if row.iter().any(|v| v.is_nan()) {
        return Err(Error::invalid(what, "a score is NaN, so no class has the largest"));
    }
    let first = (0, f64::NEG_INFINITY);
    let best = row.iter().enumerate().fold(first, |best, (i, &v)| if v > best.1 { (i, v) } else { best });
    Ok(best.0 as i64)
}

/// A number for each sample and class, with each sample's target. There is at least one of both.
pub(super) struct Rows {
    pub values: Vec<f64>,
    pub classes: usize,
    pub targets: Vec<usize>,
    /// Of each sample.
    pub weights: Vec<f64>,
}

impl Rows {
    /// Of `[n, classes]` and `[n]`.
    pub fn new<T: Float>(
        what: &'static str,
        values: &Tensor<T>,
        given: &impl Targets<Element: Index>,
    ) -> Result<Rows> {
        let targets = given.targets();
        let (n, classes) = (values.dim(0), values.dim(1));
        if values.rank() != 2 || *targets.shape() != [n] || n * classes == 0 {
            let message = format!(
                "takes [n, classes] and targets [n], both sizes at least 1, not {} and {}",
                values.shape(),
                targets.shape()
            );
            return Err(Error::invalid(what, message));
        }
        let class = |t: i64| usize::try_from(t).ok().filter(|&t| t < classes);
        let targets = labels(targets)
            .into_iter()
            .map(|t| class(t).ok_or_else(|| Error::invalid(what, no_class(t, classes))))
            .collect::<Result<_>>()?;
        let values = values.to_vec().into_iter().map(|v| v.to_f64()).collect();
        Ok(Rows { values, classes, targets, weights: weights(what, given)? })
    }

    /// Of probabilities `[n, classes]`, or `[n]` for those of class 1 of two.
    pub fn of_probabilities<T: Float>(
        what: &'static str,
        values: &Tensor<T>,
        targets: &impl Targets<Element: Index>,
    ) -> Result<Rows> {
        let rows = match values.rank() {
            1 => {
                let both = values.to_vec().into_iter().flat_map(|v| [T::from_f64(1.0 - v.to_f64()), v]);
                Rows::new(what, &Tensor::new([values.numel(), 2], both.collect())?, targets)?
            }
            _ => Rows::new(what, values, targets)?,
        };
        match rows.values.iter().find(|v| !(0.0..=1.0).contains(*v)) {
            Some(v) => Err(Error::invalid(what, format!("{v} is no probability: it must lie in [0, 1]"))),
            None => Ok(rows),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&[f64], usize)> {
        self.values.chunks_exact(self.classes).zip(self.targets.iter().copied())
    }

    /// The mean over samples, in order, of a figure of each.
    pub fn mean(&self, figures: impl Iterator<Item = f64>) -> f64 {
        let sum: f64 = figures.zip(&self.weights).map(|(figure, weight)| figure * weight).sum();
        sum / self.weights.iter().sum::<f64>()
    }
}

pub(super) fn no_class(label: i64, classes: usize) -> String {
    format!("label {label} is none of {classes} classes, they are numbered from 0")
}
