//! Axes as arguments.
use smallvec::SmallVec;
use std::ops::Deref;

/// Axes of a tensor, or numbers for each of several: one, or a list. Negative axes count from the end.
///
/// ```
/// use kolmo::{Tape, Tensor};
/// let tape = Tape::<f64>::inference();
/// let x = tape.constant(Tensor::ones([2, 3, 4]));
/// assert_eq!(x.sum_dim(1, false).shape(), &[2, 4]);
/// assert_eq!(x.sum_dim([0, -1], true).shape(), &[1, 3, 1]);
/// assert_eq!(x.permute([2, 0, 1]).shape(), &[4, 2, 3]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dims(SmallVec<[isize; 6]>);

impl Deref for Dims {
    type Target = [isize];
    fn deref(&self) -> &[isize] {
        &self.0
    }
}

impl From<isize> for Dims {
    fn from(dim: isize) -> Dims {
        Dims(SmallVec::from_slice(&[dim]))
    }
}

impl From<&[isize]> for Dims {
    fn from(dims: &[isize]) -> Dims {
        Dims(SmallVec::from_slice(dims))
    }
}

impl From<&Vec<isize>> for Dims {
    fn from(dims: &Vec<isize>) -> Dims {
        Dims::from(dims.as_slice())
    }
}

impl<const N: usize> From<[isize; N]> for Dims {
    fn from(dims: [isize; N]) -> Dims {
        Dims::from(dims.as_slice())
    }
}

impl<const N: usize> From<&[isize; N]> for Dims {
    fn from(dims: &[isize; N]) -> Dims {
        Dims::from(dims.as_slice())
    }
}

impl From<&Dims> for Dims {
    fn from(dims: &Dims) -> Dims {
        dims.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Tape, Tensor};

    #[test]
    fn one_axis_a_list_and_a_reference_to_it_are_the_same() {
        let tape = Tape::<f64>::inference();
        let x = tape.constant(Tensor::ones([2, 3, 4]));
        let list = vec![-2isize];
        let dims = Dims::from(1);
        let sums = [
            x.sum_dim(-2, true),
            x.sum_dim([1], true),
            x.sum_dim(1, true),
            x.sum_dim(&list, true),
            x.sum_dim(&list[..], true),
            x.sum_dim(&dims, true),
            x.sum_dim(dims, true),
        ];
        assert!(sums.iter().all(|sum| *sum.shape() == [2, 1, 4]), "{sums:?}");
        assert_eq!(x.sum_dim([], false).rank(), 0);
        assert_eq!(x.roll(1, 0).roll([1, 2], [1, 2]).shape(), x.shape());
        assert_eq!(x.movedim([0, 1], [1, 0]).shape(), &[3, 2, 4]);
        assert_eq!(x.narrow(0, 0, 1).squeeze(0).flip(1).shape(), &[3, 4]);
        let row = Tensor::<f64>::ones([1, 3]).squeeze(0).and_then(|t| t.flip(0)).unwrap();
        assert_eq!(row.shape(), &[3]);
        let error = x.sum_dim(3, false).ok().unwrap_err().to_string();
        assert!(error.contains("dims.rs"), "{error}");
    }
}
