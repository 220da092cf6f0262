//! How good a model is: of classes, of rankings, of probabilities, of numbers. Plain tensors in, plain
//! numbers out; what is minimised in training lives in `loss`.
//!
//! The predictions come first and the targets second, as in the losses (scikit-learn has them the other way
//! round). Values, ties and what is undefined are scikit-learn's: an undefined metric is NaN, no warning is
//! printed. Everything is computed in `f64`.
//!
//! Targets stand alone or with what each sample weighs, `(&targets, &weights)`: see [`Targets`].
#![doc(alias = "torchmetrics")]
mod confusion;
mod probability;
mod ranking;
mod regression;
mod rows;

pub use confusion::{Average, ConfusionMatrix, KappaWeights, Normalize, PrecisionRecallF1};
pub use probability::{
    CalibrationCurve, brier_score, calibration_curve, expected_calibration_error, log_loss,
};
pub use ranking::{
    PrecisionRecallCurve, RocCurve, average_precision, precision_recall_curve, roc_auc, roc_auc_ovr,
    roc_curve, top_k_accuracy,
};
pub use regression::{mean_absolute_error, mean_squared_error, r2_score};
pub use rows::Targets;

use crate::{
    error::Result,
    tensor::{Element, Index, Tensor},
};
use rows::{labels, predicted_labels, weights};

/// The share of predictions that are the target.
///
/// Predictions are labels `[n]`, or scores `[n, classes]`: then the class of the largest score, the first of
/// equal ones, is what is predicted. Targets are `[n]`.
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
#[doc(alias = "accuracy_score")]
pub fn accuracy<P: Element>(predictions: &Tensor<P>, targets: impl Targets<Element: Index>) -> Result<f64> {
    let predicted = predicted_labels("accuracy", predictions, targets.targets())?;
    let weights = weights("accuracy", &targets)?;
    let right = predicted.iter().zip(labels(targets.targets())).map(|(p, t)| *p == t);
    let hits: f64 = right.zip(&weights).filter(|(right, _)| *right).map(|(_, weight)| weight).sum();
    Ok(hits / weights.iter().sum::<f64>())
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
