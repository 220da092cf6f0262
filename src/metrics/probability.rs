//! How good probabilities are: log loss, Brier score, calibration.
use super::rows::{Rows, Targets, largest};
use crate::{
    error::{Error, Result},
    ops::Float,
    real::Arithmetic,
    tensor::{Index, Tensor},
};

/// The mean of `-ln p[target]` in nats, of probabilities `[n, classes]` (or `[n]`, those of class 1 of two)
/// and targets `[n]`.
///
/// Probabilities are kept at least 2⁻⁵² away from 0 and 1, so a target that was thought impossible costs
/// 36.04. For scores, see [`Var::cross_entropy`](crate::Var::cross_entropy).
///
/// ```
/// use kolmo::{Tensor, metrics::log_loss};
/// let p = Tensor::from([[0.5f64, 0.5], [0.75, 0.25]]);
/// assert!((log_loss(&p, &Tensor::from([0u32, 1]))? - (2f64.ln() + 4f64.ln()) / 2.0).abs() < 1e-15);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// Shapes that don't fit, no samples, a target that is none of the classes, a number outside of [0, 1].
pub fn log_loss<T: Float>(probabilities: &Tensor<T>, targets: impl Targets<Element: Index>) -> Result<f64> {
    let rows = Rows::of_probabilities("log_loss", probabilities, &targets)?;
    let bound = |p: f64| p.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
    // A target is one of the classes.
    let nats = rows
        .iter()
        .map(|(row, target)| -Arithmetic::log(bound(row.get(target).copied().unwrap_or(f64::NAN))));
    Ok(rows.mean(nats))
}

/// The mean squared difference of probabilities from what came true, of probabilities `[n]` of class 1 of
/// two, or `[n, classes]`: `Σ (p[class] - [class = target])²`. It is halved for two classes, so that both
/// forms agree.
///
/// ```
/// use kolmo::{Tensor, metrics::brier_score};
/// assert_eq!(brier_score(&Tensor::from([0.5f64, 1.0]), &Tensor::from([1u32, 1]))?, 0.125);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// As [`log_loss`].
#[doc(alias = "brier_score_loss")]
pub fn brier_score<T: Float>(
    probabilities: &Tensor<T>,
    targets: impl Targets<Element: Index>,
) -> Result<f64> {
    let rows = Rows::of_probabilities("brier_score", probabilities, &targets)?;
    let squares = rows.iter().map(|(row, target)| {
        let off = row.iter().enumerate().map(|(class, p)| p - (class == target) as u8 as f64);
        off.map(|d| d * d).sum::<f64>()
    });
    let scale = if rows.classes <= 2 { 0.5 } else { 1.0 };
    Ok(scale * rows.mean(squares))
}

/// How far confidence is from accuracy: the largest probability of each row of `[n, classes]` sorts the
/// samples into `bins` intervals `(k / bins, (k + 1) / bins]`; the result is the mean over samples of
/// `|accuracy - mean confidence|` of their bin (Guo et al., On Calibration of Modern Neural Networks, 2017).
/// Targets are `[n]`.
///
/// ```
/// use kolmo::{Tensor, metrics::expected_calibration_error};
/// let p = Tensor::from([[0.75f64, 0.25], [0.75, 0.25]]);
/// assert_eq!(expected_calibration_error(&p, &Tensor::from([0u32, 1]), 10)?, 0.25);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// As [`log_loss`]; no bins.
pub fn expected_calibration_error<T: Float>(
    probabilities: &Tensor<T>,
    targets: impl Targets<Element: Index>,
    bins: usize,
) -> Result<f64> {
    let rows = Rows::of_probabilities("expected_calibration_error", probabilities, &targets)?;
    if bins == 0 {
        return Err(Error::invalid("expected_calibration_error", "takes at least one bin"));
    }
    // Of each sample its bin, and whether it was right less how sure it was.
    let mut samples = Vec::with_capacity(rows.targets.len());
    for ((row, target), weight) in rows.iter().zip(&rows.weights) {
        let class = largest("expected_calibration_error", row)?;
        let sure = row.iter().fold(0.0f64, |m, &p| m.max(p));
        samples.push((bin_below(sure, bins), weight * ((class == target as i64) as u8 as f64 - sure)));
    }
    samples.sort_by_key(|(bin, _)| *bin);
    let gaps = samples.chunk_by(|a, b| a.0 == b.0).map(|bin| bin.iter().map(|(_, d)| d).sum::<f64>().abs());
    Ok(gaps.sum::<f64>() / rows.weights.iter().sum::<f64>())
}

/// The bin `(k / bins, (k + 1) / bins]` of a probability, from 1 on: by its edges as they are rounded, since
/// the product with the number of bins is rounded otherwise.
fn bin_below(p: f64, bins: usize) -> usize {
    let near = (p * bins as f64).ceil() as usize;
    let fits = |k: usize| p <= k as f64 / bins as f64;
    let found = (near.saturating_sub(1)..=near.saturating_add(1)).find(|&k| k > 0 && fits(k));
    found.unwrap_or(bins).min(bins)
}

/// A reliability diagram: what came true where a model was how sure; see [`calibration_curve`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CalibrationCurve {
    /// The share of samples in each bin that are of class 1.
    pub observed: Vec<f64>,
    /// The mean of their probabilities.
    pub predicted: Vec<f64>,
    /// How many they are.
    pub counts: Vec<usize>,
}

/// Sorts samples by their probability of class 1, `[n]`, into bins and compares it with their targets, `[n]`
/// of 0 and 1. Bins are equal parts of 0 to 1, or, with `quantile`, have equally many samples; those without
/// samples are left out. There are no weights, as in scikit-learn.
///
/// ```
/// use kolmo::{Tensor, metrics::calibration_curve};
/// let p = Tensor::from([0.1f64, 0.2, 0.8, 0.9]);
/// let curve = calibration_curve(&p, &Tensor::from([0u32, 1, 1, 1]), 2, false)?;
/// assert_eq!((curve.observed, curve.counts), (vec![0.5, 1.0], vec![2, 2]));
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// As [`log_loss`]; no bins.
pub fn calibration_curve<T: Float, I: Index>(
    probabilities: &Tensor<T>,
    targets: &Tensor<I>,
    bins: usize,
    quantile: bool,
) -> Result<CalibrationCurve> {
    if probabilities.rank() != 1 || bins == 0 {
        let message = format!("takes [n] and at least one bin, not {} and {bins}", probabilities.shape());
        return Err(Error::invalid("calibration_curve", message));
    }
    let rows = Rows::of_probabilities("calibration_curve", probabilities, &targets)?;
    let mut samples: Vec<(f64, usize)> = rows.iter().map(|(row, target)| (row[1], target)).collect();
    samples.sort_by(|a, b| a.0.total_cmp(&b.0));
    // As NumPy's percentile: between neighbours by the fraction.
    let edge = |k: usize| {
        // NumPy's linspace, which scikit-learn has its edges from, multiplies.
        let part = k as f64 * (1.0 / bins as f64);
        if !quantile {
            return part;
        }
        let at = part * (samples.len() - 1) as f64;
        let (low, high) = (samples[at.floor() as usize].0, samples[at.ceil() as usize].0);
        low + (high - low) * at.fract()
    };
    // How many edges lie below a probability, by halving: there may be far more bins than samples.
    let bin = |p: f64| {
        let (mut low, mut high) = (1, bins);
        while low < high {
            let middle = low + (high - low) / 2;
            if edge(middle) < p { low = middle + 1 } else { high = middle }
        }
        low
    };
    let mut curve = CalibrationCurve { observed: Vec::new(), predicted: Vec::new(), counts: Vec::new() };
    for bin in samples.chunk_by(|a, b| bin(a.0) == bin(b.0)) {
        let n = bin.len() as f64;
        curve.observed.push(bin.iter().map(|s| s.1 as f64).sum::<f64>() / n);
        curve.predicted.push(bin.iter().map(|s| s.0).sum::<f64>() / n);
        curve.counts.push(bin.len());
    }
    Ok(curve)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_column_and_two_give_the_same() {
        let (one, two) = (Tensor::from([0.25f64, 0.5]), Tensor::from([[0.75f64, 0.25], [0.5, 0.5]]));
        let targets = Tensor::from([1u32, 0]);
        assert_eq!(log_loss(&one, &targets).unwrap(), log_loss(&two, &targets).unwrap());
        assert_eq!(brier_score(&one, &targets).unwrap(), brier_score(&two, &targets).unwrap());
    }

    #[test]
    fn three_classes_are_not_halved() {
        let p = Tensor::from([[0.5f64, 0.25, 0.25]]);
        assert_eq!(brier_score(&p, &Tensor::from([0u32])).unwrap(), 0.375);
    }

    #[test]
    fn an_impossible_target_costs_a_finite_price() {
        let loss = log_loss(&Tensor::from([[1.0f32, 0.0]]), &Tensor::from([1u32])).unwrap();
        assert!((loss - 52.0 * 2f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn confidence_at_an_edge_belongs_below_it() {
        // Both in (0.5, 0.75]: sure by 0.75 and 0.625, one of two right.
        let p = Tensor::from([[0.75f64, 0.25], [0.625, 0.375]]);
        assert_eq!(expected_calibration_error(&p, &Tensor::from([0u32, 1]), 4).unwrap(), 0.1875);
    }

    #[test]
    fn an_edge_is_what_the_quotient_is_rounded_to() {
        for bins in 1..200 {
            for k in 1..=bins {
                assert_eq!(bin_below(k as f64 / bins as f64, bins), k, "{k} of {bins}");
                let above = (k as f64 / bins as f64).next_up();
                assert_eq!(bin_below(above.min(1.0), bins), (k + 1).min(bins), "after {k} of {bins}");
            }
            assert_eq!(bin_below(0.0, bins), 1);
        }
        // Both of the 25th of 39 bins.
        let p = Tensor::from([[25.0 / 39.0, 14.0 / 39.0], [0.63, 0.37]]);
        let found = expected_calibration_error(&p, &Tensor::from([0u32, 1]), 39).unwrap();
        assert!((found - (25.0f64 / 39.0 + 0.63 - 1.0) / 2.0).abs() < 1e-12, "{found}");
    }

    #[test]
    fn calibration_curves_are_those_of_scikit_learn() {
        let p = Tensor::from([0.05f64, 0.1, 0.2, 0.25, 0.4, 0.45, 0.5, 0.75, 0.8, 0.95]);
        let y = Tensor::from([0u32, 0, 1, 0, 0, 1, 1, 1, 0, 1]);
        let close = |a: &[f64], b: &[f64]| {
            assert!(a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12), "{a:?} {b:?}");
        };
        let even = calibration_curve(&p, &y, 4, false).unwrap();
        close(&even.observed, &[0.25, 2.0 / 3.0, 1.0, 0.5]);
        close(&even.predicted, &[0.15, 0.45, 0.75, 0.875]);
        let quantile = calibration_curve(&p, &y, 4, true).unwrap();
        close(&quantile.observed, &[1.0 / 3.0, 0.0, 1.0, 2.0 / 3.0]);
        close(&quantile.predicted, &[0.35 / 3.0, 0.325, 0.475, 2.5 / 3.0]);
        assert_eq!(quantile.counts, [3, 2, 2, 3]);
    }

    #[test]
    fn what_is_no_probability_is_an_error() {
        let targets = Tensor::from([0u32, 1]);
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(log_loss(&Tensor::from([[0.5, 0.5], [bad, 0.5]]), &targets).is_err());
            assert!(brier_score(&Tensor::from([0.5, bad]), &targets).is_err());
        }
        for bins in [1, 1 << 40, usize::MAX] {
            let p = Tensor::from([0.0f64, 1.0, 0.25]);
            let error = expected_calibration_error(&p, &Tensor::from([0u32, 1, 1]), bins).unwrap();
            assert!((error - 0.25).abs() < 1e-15, "{bins}");
            for quantile in [false, true] {
                let curve = calibration_curve(&p, &Tensor::from([0u32, 1, 1]), bins, quantile).unwrap();
                assert_eq!(curve.counts, if bins == 1 { vec![3] } else { vec![1, 1, 1] });
            }
        }
        let p = Tensor::from([[0.5f64, 0.5], [0.5, 0.5]]);
        assert!(expected_calibration_error(&p, &targets, 0).is_err());
        assert!(log_loss(&p, &Tensor::from([0u32, 2])).is_err());
        assert!(log_loss(&p, &Tensor::from([0i64, -1])).is_err());
        assert!(log_loss(&p, &Tensor::from([0u32])).is_err());
    }
}
