//! How far predicted numbers are from the true ones.
use super::rows::{Targets, weights};
use crate::{
    error::{Error, Result},
    ops::Float,
    tensor::Tensor,
};

/// Prediction, target and weight of each element, of tensors of one shape.
fn pairs<T: Float>(
    what: &'static str,
    predictions: &Tensor<T>,
    given: &impl Targets<Element = T>,
) -> Result<Vec<(f64, f64, f64)>> {
    let targets = given.targets();
    if predictions.shape() != targets.shape() || targets.numel() == 0 {
        let message = format!(
            "takes predictions and targets of one shape with at least one element, not {} and {}",
            predictions.shape(),
            targets.shape()
        );
        return Err(Error::invalid(what, message));
    }
    let numbers = |t: &Tensor<T>| t.to_vec().into_iter().map(|v| v.to_f64());
    for (of, t) in [("predictions", predictions), ("targets", targets)] {
        if let Some(odd) = numbers(t).find(|v| !v.is_finite()) {
            return Err(Error::invalid(what, format!("takes finite {of}, not {odd}")));
        }
    }
    let weights = weights(what, given)?;
    let of_one = targets.numel() / weights.len();
    let weights = weights.into_iter().flat_map(|weight| std::iter::repeat_n(weight, of_one));
    Ok(numbers(predictions).zip(numbers(targets)).zip(weights).map(|((p, t), w)| (p, t, w)).collect())
}

/// The mean of an error over all elements.
fn mean(pairs: &[(f64, f64, f64)], error: impl Fn(f64) -> f64) -> f64 {
    pairs.iter().map(|(p, t, w)| w * error(p - t)).sum::<f64>() / pairs.iter().map(|(_, _, w)| w).sum::<f64>()
}

/// The mean of `(prediction - target)²` over all elements.
///
/// ```
/// use kolmo::{Tensor, metrics::mean_squared_error};
/// assert_eq!(mean_squared_error(&Tensor::from([1.0f32, 4.0]), &Tensor::from([1.0, 2.0]))?, 2.0);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// Shapes that differ or have no elements; numbers that aren't finite.
pub fn mean_squared_error<T: Float>(
    predictions: &Tensor<T>,
    targets: impl Targets<Element = T>,
) -> Result<f64> {
    Ok(mean(&pairs("mean_squared_error", predictions, &targets)?, |d| d * d))
}

/// The mean of `|prediction - target|` over all elements.
///
/// ```
/// use kolmo::{Tensor, metrics::mean_absolute_error};
/// assert_eq!(mean_absolute_error(&Tensor::from([1.0f32, 4.0]), &Tensor::from([1.0, 2.0]))?, 1.0);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// Shapes that differ or have no elements; numbers that aren't finite.
pub fn mean_absolute_error<T: Float>(
    predictions: &Tensor<T>,
    targets: impl Targets<Element = T>,
) -> Result<f64> {
    Ok(mean(&pairs("mean_absolute_error", predictions, &targets)?, f64::abs))
}

/// The coefficient of determination, `1 - Σ (t - p)² / Σ (t - mean t)²`: 1 is perfect, 0 as good as always
/// predicting the mean. Predictions and targets are `[n]`, or `[n, outputs]` for the mean over outputs.
///
/// Where all targets are the same it is undefined: with `force_finite` 1 for perfect predictions and 0 for
/// others, without it NaN and -∞. Of fewer than two samples it is NaN.
///
/// ```
/// use kolmo::{Tensor, metrics::r2_score};
/// let (p, t) = (Tensor::from([1.0f64, 2.0, 2.0]), Tensor::from([1.0, 2.0, 3.0]));
/// assert_eq!(r2_score(&p, &t, true)?, 0.5);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// Shapes that differ, have no elements or are of another rank; numbers that aren't finite.
pub fn r2_score<T: Float>(
    predictions: &Tensor<T>,
    targets: impl Targets<Element = T>,
    force_finite: bool,
) -> Result<f64> {
    let pairs = pairs("r2_score", predictions, &targets)?;
    let targets = targets.targets();
    let outputs = match targets.rank() {
        1 => 1,
        2 => targets.dim(1),
        _ => {
            let message = format!("takes [n] or [n, outputs], not {}", targets.shape());
            return Err(Error::invalid("r2_score", message));
        }
    };
    let n = targets.dim(0);
    if n < 2 {
        return Ok(f64::NAN);
    }
    let score = |output: usize| {
        let column = || pairs.iter().skip(output).step_by(outputs);
        // The mean of equal numbers is that number, not what is left of it after rounding.
        let first = column().next().map_or(f64::NAN, |(_, t, _)| *t);
        let weights: f64 = column().map(|(_, _, w)| w).sum();
        let mean = first + column().map(|(_, t, w)| w * (t - first)).sum::<f64>() / weights;
        let residual: f64 = column().map(|(p, t, w)| w * ((t - p) * (t - p))).sum();
        let total: f64 = column().map(|(_, t, w)| w * ((t - mean) * (t - mean))).sum();
        match total == 0.0 && force_finite {
            true => (residual == 0.0) as u8 as f64,
            false => 1.0 - residual / total,
        }
    };
    Ok((0..outputs).map(score).sum::<f64>() / outputs as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r2_of_equal_targets_is_finite_on_request() {
        let (same, other) = (Tensor::from([2.0f64, 2.0]), Tensor::from([2.0, 3.0]));
        assert_eq!(r2_score(&same, &same, true).unwrap(), 1.0);
        assert_eq!(r2_score(&other, &same, true).unwrap(), 0.0);
        assert!(r2_score(&same, &same, false).unwrap().is_nan());
        assert_eq!(r2_score(&other, &same, false).unwrap(), f64::NEG_INFINITY);
        assert!(r2_score(&Tensor::from([1.0f64]), &Tensor::from([1.0]), true).unwrap().is_nan());
    }

    #[test]
    fn equal_targets_are_equal_whatever_their_sum_is_rounded_to() {
        for value in [0.7, 0.1, 1e-3, 1e17 / 3.0, -2.0 / 3.0] {
            let same = Tensor::from([value; 10]);
            let other = Tensor::from([0.2; 10]);
            assert_eq!(r2_score(&same, &same, true).unwrap(), 1.0, "{value}");
            assert_eq!(r2_score(&other, &same, true).unwrap(), 0.0, "{value}");
            assert_eq!(r2_score(&other, &same, false).unwrap(), f64::NEG_INFINITY, "{value}");
        }
    }

    #[test]
    fn r2_of_several_outputs_is_their_mean() {
        let p = Tensor::from([[1.0f64, 5.0], [2.0, 5.0], [2.0, 8.0]]);
        let t = Tensor::from([[1.0f64, 5.0], [2.0, 5.0], [3.0, 8.0]]);
        assert_eq!(r2_score(&p, &t, true).unwrap(), 0.75);
    }

    #[test]
    fn shapes_must_be_the_same() {
        let (a, b) = (Tensor::<f32>::zeros([2, 1]), Tensor::<f32>::zeros([2]));
        let error = mean_squared_error(&a, &b).unwrap_err().to_string();
        assert!(error.contains("not [2, 1] and [2]"), "{error}");
        assert!(mean_absolute_error(&a, &b).is_err() && r2_score(&a, &b, true).is_err());
        for odd in [f64::NAN, f64::INFINITY] {
            let (odd, even) = (Tensor::from([odd, 1.0]), Tensor::from([1.0, 1.0]));
            type Score = fn(&Tensor<f64>, &Tensor<f64>) -> Result<f64>;
            let scores: [Score; 3] = [
                |a, b| mean_squared_error(a, b),
                |a, b| mean_absolute_error(a, b),
                |a, b| r2_score(a, b, true),
            ];
            for score in scores {
                assert!(
                    score(&odd, &even).unwrap_err().to_string().contains("takes finite predictions, not")
                );
                assert!(score(&even, &odd).unwrap_err().to_string().contains("takes finite targets, not"));
            }
        }
        let empty = Tensor::<f32>::zeros([0]);
        assert!(mean_squared_error(&empty, &empty).is_err());
        let scalar = Tensor::scalar(1.0f32);
        assert!(r2_score(&scalar, &scalar, true).is_err());
    }
}
