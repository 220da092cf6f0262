//! Fewer numbers for a matrix: as a product of two thin ones, or as values that hashing shares out.
use super::quantize::nearest_mean;
use crate::{
    error::{Error, Result},
    kernels::dense::svd,
    ops::Float,
    param::Param,
    tape::Random,
    tensor::Tensor,
};

/// Two thin matrices whose product is near to another one: see [`low_rank`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LowRank<T: Float = f32> {
    /// `[m, rank]`.
    pub left: Tensor<T>,
    /// `[rank, n]`.
    pub right: Tensor<T>,
}

/// The best approximation `A·B` of rank `rank` to a matrix `[m, n]`: `A` is `[m, rank]`, `B` `[rank, n]`
/// (Eckart and Young, 1936). The roots of the singular values go to both. A linear layer becomes two,
/// `x·Bᵀ·Aᵀ`.
///
/// ```
/// use kolmo::{Tape, Tensor, compress::low_rank};
/// let w = Tensor::<f64>::from([[2.0, 4.0], [1.0, 2.0], [3.0, 6.0]]); // of rank 1
/// let parts = low_rank(&w, 1)?;
/// let tape = Tape::inference();
/// let product = tape.constant(parts.left).matmul(&tape.constant(parts.right)).to_vec()?;
/// assert!(product.iter().zip(w.to_vec()).all(|(p, w)| (p - w).abs() < 1e-12));
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// No matrix; a rank of 0 or above both sizes; a value that is not finite.
pub fn low_rank<T: Float>(weight: &Tensor<T>, rank: usize) -> Result<LowRank<T>> {
    let fail = |message: String| Err(Error::invalid("low_rank", message));
    let [m, n] = weight.shape()[..] else {
        return fail(format!("takes a matrix, not {}", weight.shape()));
    };
    if rank == 0 || rank > m.min(n) {
        return fail(format!("rank {rank} for a matrix of {m} by {n}: 1 to {} are accepted", m.min(n)));
    }
    let invalid = |message| Error::invalid("low_rank", message);
    let values = weight.list().map_err(invalid)?;
    if let Some(bad) = values.iter().find(|v| !v.to_f64().is_finite()) {
        return fail(format!("a value is {bad:?}"));
    }
    let parts = svd(&values, m, n).map_err(invalid)?;
    let root = |k: usize| parts.s[k].sqrt();
    let a = Tensor::from_fn([m, rank], |i| T::constant(parts.u[i % rank * m + i / rank] * root(i % rank)));
    let b = Tensor::from_fn([rank, n], |i| T::constant(parts.v[i] * root(i / n)));
    Ok(LowRank { left: a.made().map_err(invalid)?, right: b.made().map_err(invalid)? })
}

/// Ties the weights of a parameter to `k` shared values by a hash of their places, which nobody has to store
/// (Chen et al., 2015): each value is at first the mean of the kept weights that share it, and training goes
/// on with the values.
///
/// # Errors
/// `k` is 0 or more than there are weights; a parametrisation fails.
pub fn hash_weights<T: Float>(p: &Param<T>, k: usize, rng: &mut Random) -> Result<()> {
    let n = p.shape().numel();
    if k == 0 || k > n.max(1) {
        return Err(Error::invalid(
            "hash_weights",
            format!("{k} values for {n} weights: takes from 1 to as many"),
        ));
    }
    let random = rng.reserve(n);
    let codes = Tensor::from_fn(p.shape(), |i| (random.bits_at(i as u64) % k as u64) as u32);
    let list = codes.list().map_err(|message| Error::invalid("hash_weights", message))?;
    let centroids = nearest_mean(p, &list, k)?;
    p.set_codebook(codes, Tensor::from(centroids))
}
