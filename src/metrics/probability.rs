//! How good probabilities are: log loss, Brier score, calibration.
use super::Rows;
use crate::{
    error::{Error, Result},
    tape::Float,
    tensor::{Index, Tensor},
};

/// The mean of `-ln p[target]` in nats, of probabilities `[n, classes]` (or `[n]`, those of class 1 of two) and targets `[n]`.
///
/// Probabilities are kept at least 2⁻⁵² away from 0 and 1, so a target that was thought impossible costs 36.04.
/// For scores, see [`Var::cross_entropy`](crate::Var::cross_entropy).
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
pub fn log_loss<T: Float, I: Index>(probabilities: &Tensor<T>, targets: &Tensor<I>) -> Result<f64> {
    let rows = Rows::of_probabilities("log_loss", probabilities, targets)?;
    let bound = |p: f64| p.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
    let nats = rows.iter().filter_map(|(row, target)| Some(-bound(*row.get(target)?).ln()));
    Ok(nats.sum::<f64>() / rows.len())
}

/// The mean squared difference of probabilities from what came true, of probabilities `[n]` of class 1 of two, or
/// `[n, classes]`: `Σ (p[class] - [class = target])²`. It is halved for two classes, so that both forms agree.
///
/// ```
/// use kolmo::{Tensor, metrics::brier_score};
/// assert_eq!(brier_score(&Tensor::from([0.5f64, 1.0]), &Tensor::from([1u32, 1]))?, 0.125);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// As [`log_loss`].
pub fn brier_score<T: Float, I: Index>(probabilities: &Tensor<T>, targets: &Tensor<I>) -> Result<f64> {
    let rows = Rows::of_probabilities("brier_score", probabilities, targets)?;
    let squares = rows.iter().map(|(row, target)| {
        let off = row.iter().enumerate().map(|(class, p)| p - (class == target) as u8 as f64);
        off.map(|d| d * d).sum::<f64>()
    });
    let scale = if rows.classes <= 2 { 0.5 } else { 1.0 };
    Ok(scale * squares.sum::<f64>() / rows.len())
}

/// How far confidence is from accuracy: the largest probability of each row of `[n, classes]` sorts the samples into `bins`
/// intervals `(k / bins, (k + 1) / bins]`; the result is the mean over samples of `|accuracy - mean confidence|` of their bin
/// (Guo et al., On Calibration of Modern Neural Networks, 2017). Targets are `[n]`.
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
pub fn expected_calibration_error<T: Float, I: Index>(
    probabilities: &Tensor<T>,
    targets: &Tensor<I>,
    bins: usize,
) -> Result<f64> {
    let rows = Rows::of_probabilities("expected_calibration_error", probabilities, targets)?;
    if bins == 0 {
        return Err(Error::invalid("expected_calibration_error", "takes at least one bin"));
    }
    // Of each sample its bin, and whether it was right less how sure it was.
    let mut samples = Vec::with_capacity(rows.targets.len());
    for (row, target) in rows.iter() {
        let class = super::largest("expected_calibration_error", row)?;
        let sure = row.iter().fold(0.0f64, |m, &p| m.max(p));
        let bin = (sure * bins as f64).ceil() as usize;
        samples.push((bin.max(1), (class == target as i64) as u8 as f64 - sure));
    }
    samples.sort_by_key(|(bin, _)| *bin);
    let gaps = samples.chunk_by(|a, b| a.0 == b.0).map(|bin| bin.iter().map(|(_, d)| d).sum::<f64>().abs());
    Ok(gaps.sum::<f64>() / rows.len())
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
    fn what_is_no_probability_is_an_error() {
        let targets = Tensor::from([0u32, 1]);
        for bad in [-0.1, 1.1, f64::NAN] {
            assert!(log_loss(&Tensor::from([[0.5, 0.5], [bad, 0.5]]), &targets).is_err());
            assert!(brier_score(&Tensor::from([0.5, bad]), &targets).is_err());
        }
        let p = Tensor::from([[0.5f64, 0.5], [0.5, 0.5]]);
        assert!(expected_calibration_error(&p, &targets, 0).is_err());
        assert!(log_loss(&p, &Tensor::from([0u32, 2])).is_err());
        assert!(log_loss(&p, &Tensor::from([0i64, -1])).is_err());
        assert!(log_loss(&p, &Tensor::from([0u32])).is_err());
    }
}
