//! How good a model is: of classes, of rankings, of probabilities, of numbers. Plain tensors in, plain numbers out;
//! what is minimised in training lives in `loss`.
//!
//! The predictions come first and the targets second, as in the losses (scikit-learn has them the other way round).
//! Values, ties and what is undefined are scikit-learn's: an undefined metric is NaN, no warning is printed.
//! Everything is computed in `f64`.
mod confusion;
mod probability;
mod ranking;
mod regression;

pub use confusion::{Average, ConfusionMatrix, KappaWeights, Normalize, PrecisionRecallF1};
pub use probability::{
    CalibrationCurve, brier_score, calibration_curve, expected_calibration_error, log_loss,
};
pub use ranking::{
    PrecisionRecallCurve, RocCurve, average_precision, precision_recall_curve, roc_auc, roc_auc_ovr,
    roc_curve, top_k_accuracy,
};
pub use regression::{mean_absolute_error, mean_squared_error, r2_score};

use crate::{
    error::{Error, Result},
    ops::Float,
    tensor::{Element, Index, Tensor},
};

/// The share of predictions that are the target.
///
/// Predictions are labels `[n]`, or scores `[n, classes]`: then the class of the largest score, the first of equal
/// ones, is what is predicted. Targets are `[n]`.
///
/// ```
/// use kolmo::{Tensor, metrics::accuracy};
/// let scores = Tensor::from([[0.1f32, 0.9], [0.8, 0.2]]);
/// assert_eq!(accuracy(&scores, &Tensor::from([1u32, 1]))?, 0.5);
/// assert_eq!(accuracy(&Tensor::from([1u32, 0]), &Tensor::from([1u32, 1]))?, 0.5);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// Shapes that don't fit, no samples, NaN among the scores.
pub fn accuracy<P: Element, I: Index>(predictions: &Tensor<P>, targets: &Tensor<I>) -> Result<f64> {
    let predicted = predicted_labels("accuracy", predictions, targets)?;
    let hits = predicted.iter().zip(labels(targets)).filter(|(p, t)| **p == *t).count();
    Ok(hits as f64 / predicted.len() as f64)
}

fn labels<I: Index>(targets: &Tensor<I>) -> Vec<i64> {
    targets.to_vec().into_iter().map(Index::to_i64).collect()
}

/// The label of each sample, of predictions that are labels or scores. There is at least one.
fn predicted_labels<P: Element, I: Index>(
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
fn largest(what: &'static str, row: &[f64]) -> Result<i64> {
    if row.iter().any(|v| v.is_nan()) {
        return Err(Error::invalid(what, "a score is NaN, so no class has the largest"));
    }
    let first = (0, f64::NEG_INFINITY);
    let best = row.iter().enumerate().fold(first, |best, (i, &v)| if v > best.1 { (i, v) } else { best });
    Ok(best.0 as i64)
}

/// A number for each sample and class, with each sample's target. There is at least one of both.
struct Rows {
    values: Vec<f64>,
    classes: usize,
    targets: Vec<usize>,
}

impl Rows {
    /// Of `[n, classes]` and `[n]`.
    fn new<T: Float, I: Index>(what: &'static str, values: &Tensor<T>, targets: &Tensor<I>) -> Result<Rows> {
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
        Ok(Rows { values: values.to_vec().into_iter().map(|v| v.to_f64()).collect(), classes, targets })
    }

    /// Of probabilities `[n, classes]`, or `[n]` for those of class 1 of two.
    fn of_probabilities<T: Float, I: Index>(
        what: &'static str,
        values: &Tensor<T>,
        targets: &Tensor<I>,
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

    fn iter(&self) -> impl Iterator<Item = (&[f64], usize)> {
        self.values.chunks_exact(self.classes).zip(self.targets.iter().copied())
    }

    fn len(&self) -> f64 {
        self.targets.len() as f64
    }
}

fn no_class(label: i64, classes: usize) -> String {
    format!("label {label} is none of {classes} classes, they are numbered from 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_scores_is_predicted() {
        let scores = Tensor::from([[0.5f64, 0.5, 0.1], [f64::NEG_INFINITY; 3], [0.0, 1.0, 1.0]]);
        assert_eq!(accuracy(&scores, &Tensor::from([0u32, 0, 1])).unwrap(), 1.0);
    }

    #[test]
    fn what_is_no_prediction_is_an_error() {
        let targets = Tensor::from([0u32, 1]);
        let says = |e: Result<f64>, text: &str| assert!(e.unwrap_err().to_string().contains(text));
        says(accuracy(&Tensor::from([0u32, 1, 1]), &targets), "not [3] and [2]");
        says(accuracy(&Tensor::<f32>::zeros([2, 0]), &targets), "not [2, 0] and [2]");
        says(accuracy(&Tensor::<f32>::zeros([0, 3]), &Tensor::<u32>::zeros([0])), "n of at least 1");
        says(accuracy(&Tensor::from([0.3f32, 1.0]), &targets), "is no label");
        says(accuracy(&Tensor::from([[0.3f32, f32::NAN], [0.0, 1.0]]), &targets), "NaN");
    }
}
