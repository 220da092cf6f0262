//! Splitting, shuffling and scaling.
use crate::{
    checked::{Check, checked},
    error::{Checked, Error, Result},
    real::Arithmetic,
    tape::Random,
    tensor::Tensor,
};
use serde::Serialize;

/// The numbers below `n` in two shuffled parts, for training and for testing. The test part has
/// `⌈fraction · n⌉`, as in scikit-learn. The same generator gives the same split.
///
/// ```
/// use kolmo::{Random, data::train_test_split};
/// let (train, test) = train_test_split(10, 0.25, &mut Random::new(0))?;
/// assert_eq!((train.len(), test.len()), (7, 3));
/// # Ok::<(), kolmo::Error>(())
/// ```
pub fn train_test_split(n: usize, test_fraction: f64, rng: &mut Random) -> Result<(Vec<usize>, Vec<usize>)> {
    fraction("train_test_split", test_fraction)?;
    let mut order = rng.order(n).map_err(|message| Error::invalid("train_test_split", message))?;
    let train = order.split_off((test_fraction * n as f64).ceil() as usize);
    Ok((train, order))
}

/// That a part is none or all at most.
pub(super) fn fraction(what: &'static str, fraction: f64) -> Result<()> {
    match (0.0..=1.0).contains(&fraction) {
        true => Ok(()),
        false => Err(Error::invalid(what, format!("fraction {fraction} is not between 0 and 1"))),
    }
}

/// The numbers below `n`, shuffled, in batches; the last may be smaller.
///
/// ```
/// use kolmo::{Random, data::batches};
/// let sizes: Vec<usize> = batches(10, 4, &mut Random::new(0)).map(|batch| batch.len()).collect();
/// assert_eq!(sizes, [4, 4, 2]);
/// ```
pub fn batches(n: usize, size: usize, rng: &mut Random) -> impl Iterator<Item = Vec<usize>> + use<> {
    let mut order: Vec<usize> = (0..n).collect();
    rng.shuffle(&mut order);
    let size = size.max(1);
    (0..n.div_ceil(size)).map(move |i| order[i * size..((i + 1) * size).min(n)].to_vec())
}

/// Shifts and scales each column to mean 0 and deviation 1, with the numbers of the data it was fitted to. A
/// constant column is only shifted.
///
/// ```
/// use kolmo::{Tensor, data::StandardScaler};
/// let train = Tensor::from([[1.0, 5.0], [3.0, 5.0]]);
/// let scale = StandardScaler::fit(&train)?;
/// assert_eq!(scale.apply(&Tensor::from([[4.0, 6.0]]))?.to_vec(), [2.0, 1.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[doc(alias = "transforms.Normalize")]
pub struct StandardScaler {
    #[serde(with = "crate::numbers")]
    mean: Vec<f32>,
    #[serde(with = "crate::numbers")]
    std: Vec<f32>,
}

checked!(StandardScaler {
    #[serde(with = "crate::numbers")]
    mean: Vec<f32>,
    #[serde(with = "crate::numbers")]
    std: Vec<f32>,
});

impl Check for StandardScaler {
    fn check(&self) -> Checked<()> {
        columns(("mean", &self.mean), ("std", &self.std))
    }
}

/// That each column has an offset and something to be divided by.
fn columns((offset, first): (&str, &[f32]), (scale, second): (&str, &[f32])) -> Checked<()> {
    if first.len() != second.len() {
        return Err(format!("{offset} has {} columns, {scale} {}", first.len(), second.len()));
    }
    match second.iter().find(|&&v| v <= 0.0 || v.is_nan()) {
        Some(bad) => Err(format!("{scale} has {bad}, expected numbers above 0")),
        None => Ok(()),
    }
}

impl StandardScaler {
    /// Means and deviations (divided by n, as in scikit-learn) of the columns of `[n, columns]`.
    pub fn fit(x: &Tensor<f32>) -> Result<StandardScaler> {
        if x.rank() != 2 || x.dim(0) == 0 {
            return Err(Error::invalid(
                "StandardScaler",
                format!("takes [n, columns] with n > 0, not {}", x.shape()),
            ));
        }
        let (n, columns) = (x.dim(0) as f64, x.dim(1));
        let data = x.to_vec();
        let (mut sum, mut squares) = (vec![0.0f64; columns], vec![0.0f64; columns]);
        for row in data.chunks_exact(columns.max(1)) {
            row.iter().zip(&mut sum).for_each(|(&v, s)| *s += v as f64);
        }
        for row in data.chunks_exact(columns.max(1)) {
            for ((&v, &s), q) in row.iter().zip(&sum).zip(&mut squares) {
                *q += Arithmetic::square(v as f64 - s / n);
            }
        }
        let std = squares.iter().map(|q| if *q > 0.0 { (q / n).sqrt() as f32 } else { 1.0 }).collect();
        Ok(StandardScaler { mean: sum.iter().map(|s| (s / n) as f32).collect(), std })
    }

    /// The data shifted and scaled.
    pub fn apply(&self, x: &Tensor<f32>) -> Result<Tensor<f32>> {
        let columns = self.mean.len();
        if x.rank() != 2 || x.dim(1) != columns {
            return Err(Error::invalid(
                "StandardScaler",
                format!("was fitted to {columns} columns, not {}", x.shape()),
            ));
        }
        let data = x.to_vec();
        Ok(Tensor::from_fn(x.shape(), |i| (data[i] - self.mean[i % columns]) / self.std[i % columns]))
    }
}

/// Brings each column from its range in the data it was fitted to into 0 to 1. A constant column becomes 0.
///
/// ```
/// use kolmo::{Tensor, data::MinMaxScaler};
/// let scale = MinMaxScaler::fit(&Tensor::from([[1.0, 0.0], [3.0, 10.0]]))?;
/// assert_eq!(scale.apply(&Tensor::from([[2.0, 20.0]]))?.to_vec(), [0.5, 2.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MinMaxScaler {
    #[serde(with = "crate::numbers")]
    min: Vec<f32>,
    #[serde(with = "crate::numbers")]
    range: Vec<f32>,
}

checked!(MinMaxScaler {
    #[serde(with = "crate::numbers")]
    min: Vec<f32>,
    #[serde(with = "crate::numbers")]
    range: Vec<f32>,
});

impl Check for MinMaxScaler {
    fn check(&self) -> Checked<()> {
        columns(("min", &self.min), ("range", &self.range))
    }
}

impl MinMaxScaler {
    /// The ranges of the columns of `[n, columns]`.
    ///
    /// # Errors
    /// Another rank, or no rows.
    pub fn fit(x: &Tensor<f32>) -> Result<MinMaxScaler> {
        if x.rank() != 2 || x.dim(0) == 0 {
            let message = format!("takes [n, columns] with n > 0, not {}", x.shape());
            return Err(Error::invalid("MinMaxScaler", message));
        }
        let columns = x.dim(1);
        let (mut min, mut max) = (vec![f32::INFINITY; columns], vec![f32::NEG_INFINITY; columns]);
        for row in x.to_vec().chunks_exact(columns.max(1)) {
            for ((&v, low), high) in row.iter().zip(&mut min).zip(&mut max) {
                (*low, *high) = (low.min(v), high.max(v));
            }
        }
        let range = min.iter().zip(&max).map(|(a, b)| if b > a { b - a } else { 1.0 }).collect();
        Ok(MinMaxScaler { min, range })
    }

    /// The data in units of the ranges.
    ///
    /// # Errors
    /// Another number of columns.
    pub fn apply(&self, x: &Tensor<f32>) -> Result<Tensor<f32>> {
        let columns = self.min.len();
        if x.rank() != 2 || x.dim(1) != columns {
            let message = format!("was fitted to {columns} columns, not {}", x.shape());
            return Err(Error::invalid("MinMaxScaler", message));
        }
        let data = x.to_vec();
        Ok(Tensor::from_fn(x.shape(), |i| (data[i] - self.min[i % columns]) / self.range[i % columns]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_takes_each_number_once_and_repeats_with_its_seed() {
        let split = |fraction, seed| train_test_split(10, fraction, &mut Random::new(seed));
        let (train, test) = split(0.25, 3).unwrap();
        assert_eq!((train.len(), test.len()), (7, 3));
        let mut all: Vec<usize> = train.iter().chain(&test).copied().collect();
        all.sort();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!(split(0.25, 3).unwrap().0, train);
        assert_ne!(split(0.25, 4).unwrap().0, train);
        assert!(split(1.5, 0).is_err());
    }

    #[test]
    fn batches_cover_everything_once() {
        let mut seen: Vec<usize> = batches(10, 4, &mut Random::new(1)).flatten().collect();
        assert_ne!(seen, (0..10).collect::<Vec<_>>());
        seen.sort();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn standardised_columns_have_mean_zero_and_deviation_one() {
        let x = Tensor::from([[1.0, 5.0], [3.0, 5.0], [5.0, 5.0]]);
        let y = StandardScaler::fit(&x).unwrap().apply(&x).unwrap().to_vec();
        let s = (8.0f32 / 3.0).sqrt();
        assert_eq!(y, [-2.0 / s, 0.0, 0.0, 0.0, 2.0 / s, 0.0]);
        assert!(StandardScaler::fit(&Tensor::zeros([0, 2])).is_err());
    }

    #[test]
    fn ranges_become_zero_to_one() {
        let x = Tensor::from([[1.0f32, 5.0], [3.0, 5.0], [5.0, 5.0]]);
        let y = MinMaxScaler::fit(&x).unwrap().apply(&x).unwrap();
        assert_eq!(y.to_vec(), [0.0, 0.0, 0.5, 0.0, 1.0, 0.0]);
        assert!(MinMaxScaler::fit(&x).unwrap().apply(&Tensor::zeros([2, 3])).is_err());
    }
}
