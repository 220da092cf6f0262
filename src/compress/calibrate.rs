//! Which range a quantiser covers: all values, most of them, or the one that loses least.
use super::affine::{Affine, Along, checked_bits, finite};
use crate::{
    error::{Error, Result},
    ops::Float,
    real::Arithmetic,
    tensor::Tensor,
};

/// Ranges that are tried, from all of it down to an eighth.
const RANGES: usize = 128;
/// Bins of the histogram of magnitudes that the entropy is of.
const BINS: usize = 2048;

impl Affine {
    /// Codes from 0 to 2ᵇ - 1 for the range that holds this share of the values, `percentile` of 100, the
    /// rest cut off evenly at both ends; 0 has a code.
    ///
    /// # Errors
    /// `bits` not from 1 to 16; a percentile not above 0 and up to 100; a value that is not finite.
    pub fn percentile<T: Float>(x: &Tensor<T>, bits: u32, percentile: f64) -> Result<Affine> {
        if !(percentile > 0.0 && percentile <= 100.0) {
            return Err(Error::invalid("affine", format!("percentile {percentile} is not in 0 to 100")));
        }
        let mut values = finite(x)?;
        values.sort_by(f64::total_cmp);
        let cut = ((1.0 - percentile / 100.0) / 2.0 * values.len() as f64).floor() as usize;
        let inner = values.get(cut..values.len() - cut).filter(|v| !v.is_empty()).unwrap_or(&values);
        Affine::from_range(inner.first().copied().unwrap_or(0.0), inner.last().copied().unwrap_or(0.0), bits)
    }

    /// Codes from 0 to 2ᵇ - 1 for the range, shrunk from that of all values, that gives the least mean
    /// squared error.
    ///
    /// ```
    /// use kolmo::{Tensor, compress::{Affine, Along}};
    /// let mut values = vec![0.1f32, -0.4, 0.3, -0.2, 0.05, 0.35, -0.33, 0.21];
    /// values = values.repeat(20);
    /// values.push(2.0); // one far away
    /// let x = Tensor::from(values);
    /// let error = |q: &Affine| -> kolmo::Result<f32> {
    ///     let y = q.dequantize::<f32>(&q.quantize(&x)?)?;
    ///     Ok(x.to_vec().iter().zip(y.to_vec()).map(|(a, b)| (a - b).powi(2)).sum())
    /// };
    /// assert!(error(&Affine::least_squares(&x, 3)?)? < error(&Affine::min_max(&x, Along::Tensor, 3)?)?);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Affine::min_max`].
    pub fn least_squares<T: Float>(x: &Tensor<T>, bits: u32) -> Result<Affine> {
        checked_bits(bits, 1)?;
        let values = finite(x)?;
        let low = values.iter().copied().fold(0.0, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        let mut best: Option<(f64, Affine)> = None;
        for i in 0..RANGES {
            let share = 1.0 - 0.875 * i as f64 / RANGES as f64;
            let q = Affine::from_range(low * share, high * share, bits)?;
            let error: f64 = values.iter().map(|&v| Arithmetic::square(v - q.nearest(v))).sum();
            if best.as_ref().is_none_or(|(least, _)| error < *least) {
                best = Some((error, q));
            }
        }
        best.map_or_else(|| Affine::min_max(x, Along::Tensor, bits), |(_, q)| Ok(q))
    }

    /// Codes from -(2ᵇ⁻¹ - 1) to 2ᵇ⁻¹ - 1 for the magnitudes up to the bound whose quantised histogram tells
    /// most of the whole one: with the least divergence `Σ p log (p / q)` (Migacz, 2017).
    ///
    /// # Errors
    /// `bits` not from 2 to 10; a value that is not finite.
    pub fn entropy<T: Float>(x: &Tensor<T>, bits: u32) -> Result<Affine> {
        if checked_bits(bits, 2)? > 10 {
            return Err(Error::invalid("affine", format!("{bits} bits: the histogram is for 2 to 10")));
        }
        let levels = (1usize << (bits - 1)) - 1;
        let codes = -(levels as i32)..=levels as i32;
        let magnitudes: Vec<f64> = finite(x)?.iter().map(|v| v.abs()).collect();
        let most = magnitudes.iter().copied().fold(0.0, f64::max);
        if most == 0.0 {
            return Affine::new([1.0], [0], Along::Tensor, codes);
        }
        let mut histogram = vec![0.0f64; BINS];
        for m in &magnitudes {
            histogram[((m / most * BINS as f64) as usize).min(BINS - 1)] += 1.0;
        }
        let bounds = (levels + 1..=BINS).step_by((BINS / 256).max(1));
        let divergences = bounds.map(|bound| (divergence(&histogram, bound, levels + 1), bound));
        let bound = divergences.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(BINS, |(_, bound)| bound);
        let scale = most * bound as f64 / BINS as f64 / levels as f64;
        Affine::new([scale], [0], Along::Tensor, codes)
    }
}

/// How much of the first `bound` bins, with all that is beyond in the last of them, is lost if they are
/// brought to `levels` bins.
fn divergence(histogram: &[f64], bound: usize, levels: usize) -> f64 {
    let mut p = histogram[..bound].to_vec();
    p[bound - 1] += histogram[bound..].iter().sum::<f64>();
    let mut q = vec![0.0; bound];
    for level in 0..levels {
        let (from, to) = (level * bound / levels, (level + 1) * bound / levels);
        let filled = histogram[from..to].iter().filter(|&&n| n > 0.0).count();
        let mean = histogram[from..to].iter().sum::<f64>() / filled.max(1) as f64;
        (from..to).filter(|&i| histogram[i] > 0.0).for_each(|i| q[i] = mean);
    }
    let (all_p, all_q) = (p.iter().sum::<f64>(), q.iter().sum::<f64>());
    let terms = p.iter().zip(&q).filter(|(p, _)| **p > 0.0);
    // Where p has something and q nothing, a bin in a million stands for it.
    terms.map(|(p, q)| p / all_p * Arithmetic::log(p / all_p / (q / all_q).max(1e-6))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bell with two far outliers.
    fn bell() -> Tensor<f64> {
        let mut values: Vec<f64> = (0..4000)
            .map(|i| (0..6).map(|k| (i as f64 * (0.7 + 0.31 * k as f64)).sin()).sum::<f64>() / 3.0)
            .collect();
        values.extend([30.0, -25.0]);
        Tensor::from(values)
    }

    #[test]
    fn outliers_are_cut_off_where_that_loses_less() {
        let x = bell();
        let reach = |q: &Affine| q.scales()[0] * 15.0;
        let (all, most) =
            (Affine::min_max(&x, Along::Tensor, 4).unwrap(), Affine::percentile(&x, 4, 99.9).unwrap());
        assert!(reach(&all) > 54.0 && reach(&most) < 5.0, "{} {}", reach(&all), reach(&most));
        let least = Affine::least_squares(&x, 4).unwrap();
        assert!(reach(&least) < 0.6 * reach(&all));
        let entropy = Affine::entropy(&x, 8).unwrap();
        assert!(entropy.scales()[0] * 127.0 < 10.0);
        assert_eq!(entropy.zero_points(), [0]);
    }

    #[test]
    fn all_of_the_values_is_the_whole_range() {
        let x = Tensor::from([-1.0f64, 0.5, 3.0]);
        assert_eq!(Affine::percentile(&x, 8, 100.0).unwrap(), Affine::min_max(&x, Along::Tensor, 8).unwrap());
        assert!(Affine::percentile(&x, 8, 0.0).is_err());
        assert!(Affine::entropy(&x, 12).is_err());
        assert!(Affine::entropy(&Tensor::<f64>::zeros([3]), 4).is_ok());
    }
}
