//! The UCI handwritten digits, small enough to be part of the crate.
use crate::tensor::Tensor;

static BYTES: &[u8] = include_bytes!("../../data/digits.bin");

/// 1,797 images of 8×8 pixels as `[1797, 64]` with values from 0 to 16, and their classes `[1797]`: the
/// set that scikit-learn calls `load_digits`. Source and licence: `data/README.md`.
///
/// ```
/// let (x, y) = kolmo::data::digits();
/// assert_eq!((x.shape().to_vec(), y.numel()), (vec![1797, 64], 1797));
/// assert_eq!(y.to_vec()[..5], [0, 1, 2, 3, 4]);
/// ```
pub fn digits() -> (Tensor<f32>, Tensor<u32>) {
    let (rows, _) = BYTES.as_chunks::<65>();
    let x = Tensor::from_fn([rows.len(), 64], |i| rows[i / 64][i % 64] as f32);
    let y = Tensor::from_fn([rows.len()], |i| rows[i][64] as u32);
    (x, y)
}
