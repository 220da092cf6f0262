//! How good a model is.
use crate::{
    error::{Error, Result},
    tape::Float,
    tensor::{Index, Tensor},
};

/// The share of rows of `scores` (`[n, classes]`) whose largest entry, the first of equal ones, is at the target.
///
/// ```
/// use kolmo::{Tensor, metrics::accuracy};
/// let scores = Tensor::from([[0.1f32, 0.9], [0.8, 0.2]]);
/// assert_eq!(accuracy(&scores, &Tensor::from([1u32, 1]))?, 0.5);
/// # Ok::<(), kolmo::Error>(())
/// ```
pub fn accuracy<T: Float, I: Index>(scores: &Tensor<T>, targets: &Tensor<I>) -> Result<f64> {
    let (n, classes) = (scores.dim(0), scores.dim(1));
    if scores.rank() != 2 || classes == 0 || *targets.shape() != [n] {
        let message = format!(
            "takes scores [n, classes] and targets [n], not {} and {}",
            scores.shape(),
            targets.shape()
        );
        return Err(Error::invalid("accuracy", message));
    }
    let best = |row: &[T]| {
        row.iter()
            .enumerate()
            .fold((0, row[0]), |best, (i, &v)| if v.to_f64() > best.1.to_f64() { (i, v) } else { best })
            .0
    };
    let hits = scores
        .to_vec()
        .chunks_exact(classes)
        .zip(targets.to_vec())
        .filter(|(row, t)| best(row) as i64 == t.to_i64())
        .count();
    Ok(hits as f64 / n as f64)
}
