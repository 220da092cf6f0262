//! Sums of multiples of short rows that lie one after the other.
use super::{
    FloatElement,
    vectorised::{MulAdd, vectorised},
};

/// Numbers in a row.
pub(crate) const WIDTH: usize = 64;

vectorised! {
    /// `out += Σ factors[i · step] · rows[i]`
    pub(crate) fn add_multiples fused fma (out: &mut [T], rows: &[T], factors: &[T], step: usize) {
        let Some(out) = out.first_chunk_mut::<WIDTH>() else { return };
        let mut sums = *out;
        for (row, &factor) in rows.as_chunks::<WIDTH>().0.iter().zip(factors.iter().step_by(step.max(1))) {
            for k in 0..WIDTH {
                sums[k] = fma.of(factor, row[k], sums[k]);
            }
        }
        *out = sums;
    }
}
