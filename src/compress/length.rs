//! Lengths in bits: of a model as a file, and of data under a model.
use super::pack::pack;
use crate::{
    error::{Error, Result},
    ops::Float,
    real::Arithmetic,
    tensor::{Index, Tensor},
};
use serde::Serialize;

/// L(model): the bits of the file that [`pack`](super::pack) would make of the model, without text about it
/// but what it tells of its layers by itself.
///
/// ```
/// use kolmo::{Tensor, compress::{description_length, pack}, nn::Param};
/// let p = Param::new(Tensor::<f32>::zeros([100, 100]));
/// assert_eq!(description_length(&p)?, 8 * pack(&p, &[])?.to_bytes()?.len() as u64);
/// assert!(description_length(&p)? < 1000);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// As [`pack`](super::pack).
pub fn description_length<M: Serialize + ?Sized>(model: &M) -> Result<u64> {
    Ok(8 * pack(model, &[])?.to_bytes()?.len() as u64)
}

/// L(data | model): the bits that the labels take when the model's probabilities code them,
/// `-Σ log₂ softmax(scores)[target]`. Scores are `[n, classes]`, targets `[n]`.
///
/// ```
/// use kolmo::{Tensor, compress::data_bits};
/// let scores = Tensor::<f32>::zeros([3, 4]);
/// assert_eq!(data_bits(&scores, &Tensor::from([0u32, 3, 1]))?, 6.0); // three times one of four
/// # Ok::<(), kolmo::Error>(())
/// ```
pub fn data_bits<T: Float, I: Index>(scores: &Tensor<T>, targets: &Tensor<I>) -> Result<f64> {
    let (n, classes) = (scores.dim(0), scores.dim(1));
    if scores.rank() != 2 || *targets.shape() != [n] {
        let message = format!(
            "takes scores [n, classes] and targets [n], not {} and {}",
            scores.shape(),
            targets.shape()
        );
        return Err(Error::invalid("data_bits", message));
    }
    let mut bits = 0.0;
    for (row, target) in scores.to_vec().chunks_exact(classes.max(1)).zip(targets.to_vec()) {
        let target = usize::try_from(target.to_i64()).ok().and_then(|t| row.get(t));
        let Some(score) = target else {
            return Err(Error::invalid("data_bits", format!("a target is none of {classes} classes")));
        };
        let top = row.iter().map(|v| v.to_f64()).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|v| Arithmetic::exp(v.to_f64() - top)).sum();
        bits += (Arithmetic::log(sum) + top - score.to_f64()) / std::f64::consts::LN_2;
    }
    Ok(bits)
}
