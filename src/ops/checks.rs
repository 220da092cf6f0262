//! What rules ask of their operands.
use crate::{
    error::Checked,
    tensor::{Element, Shape, Tensor},
};

/// Whether a result has the shape that a file says.
pub(crate) fn check_shape(found: &Shape, said: &Shape) -> Checked<()> {
    if found == said { Ok(()) } else { Err(format!("the result has shape {found}, the file says {said}")) }
}

/// Whether these are axes of a tensor of this rank, sorted and without repetition.
pub(super) fn check_axes(axes: &[usize], rank: usize) -> Checked<()> {
    if axes.windows(2).all(|pair| pair[0] < pair[1]) && axes.last().is_none_or(|&last| last < rank) {
        return Ok(());
    }
    Err(format!("{axes:?} are no axes of a tensor with {rank}, in ascending order"))
}

/// Operands that a rule needs; a message where the tape was given fewer.
pub(crate) fn operands<'a, T: Element, const N: usize>(x: &[&'a Tensor<T>]) -> Checked<[&'a Tensor<T>; N]> {
    <[&Tensor<T>; N]>::try_from(x).map_err(|_| format!("takes {N} operands, not {}", x.len()))
}

/// How many heads of queries go with each of keys, if they go together at all: neighbours.
pub(super) fn sharing(q: &Shape, k: &Shape) -> Option<usize> {
    let [q, k] = [q, k].map(|shape| &shape[..shape.rank().saturating_sub(2)]);
    if q == k {
        return Some(1);
    }
    let ([outer @ .., heads], [outer_k @ .., heads_k]) = (q, k) else { return None };
    (outer == outer_k && *heads_k > 0 && heads.is_multiple_of(*heads_k)).then(|| heads / heads_k)
}
