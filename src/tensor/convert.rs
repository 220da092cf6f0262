//! Tensors and Rust's own lists: iterators over elements, and nested lists to tensors and back.
use super::{Element, Tensor};
use crate::error::{Error, Result};
use smallvec::{SmallVec, smallvec};
use std::iter::FusedIterator;

/// The elements of a tensor in row-major order; made by [`Tensor::iter`].
#[derive(Clone, Debug)]
#[must_use = "an iterator does nothing until it is asked"]
pub struct Iter<'a, T> {
    buffer: &'a [T],
    shape: &'a [usize],
    strides: &'a [isize],
    index: SmallVec<[usize; 6]>,
    at: isize,
    left: usize,
}

/// # Elements, shape and views
impl<T: Element> Tensor<T> {
    /// The elements in row-major order, where they lie; none of a tensor that [`ok`](Tensor::ok) is an error
    /// of. (An iterator over a tensor in Python gives its rows: [`rows`](Tensor::rows),
    /// [`select`](Tensor::select).)
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let x = Tensor::from([[1, 2], [3, 4]]).transpose(0, 1)?;
    /// assert!(x.iter().eq(&[1, 3, 2, 4]));
    /// let evens: Tensor<_> = x.iter().copied().filter(|v| v % 2 == 0).collect();
    /// assert_eq!(evens, Tensor::from([2, 4]));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        let left = if self.unreadable().is_some() { 0 } else { self.numel() };
        Iter {
            buffer: self.buffer(),
            shape: self.shape(),
            strides: self.strides(),
            index: smallvec![0; self.rank()],
            at: self.layout().offset as isize,
            left,
        }
    }
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        self.left = self.left.checked_sub(1)?;
        let element = self.buffer.get(usize::try_from(self.at).ok()?);
        // One further along the last axis; where it ends, back to its start and one along that before it.
        for (index, (&size, stride)) in self.index.iter_mut().zip(self.shape.iter().zip(self.strides)).rev() {
            *index += 1;
            self.at += stride;
            if *index < size {
                break;
            }
            self.at -= stride * size as isize;
            *index = 0;
        }
        element
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<T> ExactSizeIterator for Iter<'_, T> {}
impl<T> FusedIterator for Iter<'_, T> {}

/// The elements in row-major order.
impl<'a, T: Element> IntoIterator for &'a Tensor<T> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

/// The elements in row-major order.
impl<T: Element> IntoIterator for Tensor<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> std::vec::IntoIter<T> {
        self.to_vec().into_iter()
    }
}

/// A tensor of one axis.
impl<T: Element> FromIterator<T> for Tensor<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Tensor<T> {
        Tensor::from(Vec::from_iter(elements))
    }
}

/// Rows of equal length.
///
/// # Errors
/// They are not.
impl<T: Element> TryFrom<Vec<Vec<T>>> for Tensor<T> {
    type Error = Error;

    fn try_from(rows: Vec<Vec<T>>) -> Result<Tensor<T>> {
        let width = rows.first().map_or(0, Vec::len);
        if let Some((i, row)) = rows.iter().enumerate().find(|(_, row)| row.len() != width) {
            let message = format!("row {i} has {} elements, not {width} as row 0", row.len());
            return Err(Error::invalid("Tensor", message));
        }
        Tensor::new([rows.len(), width], rows.concat())
    }
}

/// The only axis of a tensor. Its elements whatever its shape are [`to_vec`](Tensor::to_vec).
///
/// # Errors
/// The tensor has no axis, or several, or there was no room for it.
impl<T: Element> TryFrom<&Tensor<T>> for Vec<T> {
    type Error = Error;

    fn try_from(tensor: &Tensor<T>) -> Result<Vec<T>> {
        axes::<T, 1>("Vec", tensor)?;
        Ok(tensor.to_vec())
    }
}

/// The rows of a tensor of two axes.
///
/// # Errors
/// It has another number of axes, or there was no room for it.
impl<T: Element> TryFrom<&Tensor<T>> for Vec<Vec<T>> {
    type Error = Error;

    fn try_from(tensor: &Tensor<T>) -> Result<Vec<Vec<T>>> {
        let [height, width] = axes("Vec<Vec>", tensor)?;
        let all = tensor.to_vec();
        Ok((0..height).map(|i| all.iter().skip(i * width).take(width).copied().collect()).collect())
    }
}

/// The elements of a tensor of one axis that is so long.
///
/// # Errors
/// It has another shape, or there was no room for it.
impl<T: Element, const N: usize> TryFrom<&Tensor<T>> for [T; N] {
    type Error = Error;

    fn try_from(tensor: &Tensor<T>) -> Result<[T; N]> {
        axes::<T, 1>("array", tensor)?;
        let wrong = |all: Vec<T>| Error::invalid("array", format!("{} elements are not {N}", all.len()));
        tensor.to_vec().try_into().map_err(wrong)
    }
}

macro_rules! owned {
    ($([$($generic:tt)*] $to:ty;)*) => {$(
        /// As from a reference.
        impl<$($generic)*> TryFrom<Tensor<T>> for $to {
            type Error = Error;

            fn try_from(tensor: Tensor<T>) -> Result<$to> {
                <$to>::try_from(&tensor)
            }
        }
    )*};
}

owned! {
    [T: Element] Vec<T>;
    [T: Element] Vec<Vec<T>>;
    [T: Element, const N: usize] [T; N];
}

macro_rules! numbers {
    ($($t:ident)*) => {$(
        /// The only element, as [`item`](Tensor::item).
        impl TryFrom<&Tensor<$t>> for $t {
            type Error = Error;

            fn try_from(tensor: &Tensor<$t>) -> Result<$t> {
                tensor.item()
            }
        }

        /// The only element, as [`item`](Tensor::item).
        impl TryFrom<Tensor<$t>> for $t {
            type Error = Error;

            fn try_from(tensor: Tensor<$t>) -> Result<$t> {
                tensor.item()
            }
        }
    )*};
}

numbers!(f32 f64 u8 i8 u16 i16 u32 i32 u64 i64 bool);

/// The sizes of a tensor that has so many axes.
fn axes<T: Element, const N: usize>(what: &'static str, tensor: &Tensor<T>) -> Result<[usize; N]> {
    tensor.ok()?;
    tensor.unreadable().map_or(Ok(()), |why| Err(Error::invalid(what, why)))?;
    <[usize; N]>::try_from(&**tensor.shape()).map_err(|_| {
        let axes = if N == 1 { "axis" } else { "axes" };
        let message = format!("of a tensor of {N} {axes}, not of shape {}: see `to_vec`", tensor.shape());
        Error::invalid(what, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_in_order_from_any_layout() {
        let x = Tensor::from_fn([3, 4, 2], |i| i as u16);
        let views = [
            x.clone(),
            x.permute([2, 0, 1]).unwrap(),
            x.flip([0, 1]).unwrap(),
            x.narrow(1, 1, 2).unwrap().flip([2]).unwrap(),
            x.select(0, 1).unwrap().unsqueeze(0).unwrap().expand([5, 4, 2]).unwrap(),
            x.narrow(1, 4, 0).unwrap(),
            Tensor::scalar(9),
        ];
        for view in &views {
            assert_eq!(view.iter().copied().collect::<Vec<_>>(), view.to_vec());
            assert_eq!(view.iter().len(), view.numel());
            assert!(view.clone().into_iter().eq(view.to_vec()));
        }
        let lacking = Tensor::<u8>::zeros([1 << 46]);
        assert_eq!(lacking.iter().count(), 0);
        let mut sum = 0;
        for v in &x {
            sum += v;
        }
        assert_eq!(sum, 276);
    }

    #[test]
    fn lists_go_both_ways_and_other_shapes_are_told() {
        let rows = vec![vec![1.5f32, 2.0], vec![3.0, 4.0], vec![5.0, 6.0]];
        let x = Tensor::try_from(rows.clone()).unwrap();
        assert_eq!(x, Tensor::from([[1.5, 2.0], [3.0, 4.0], [5.0, 6.0]]));
        assert_eq!(Vec::<Vec<f32>>::try_from(&x).unwrap(), rows);
        let turned: Vec<Vec<f32>> = x.transpose(0, 1).unwrap().try_into().unwrap();
        assert_eq!(turned, [[1.5, 3.0, 5.0], [2.0, 4.0, 6.0]]);
        let row = x.select(0, 1).unwrap();
        assert_eq!(
            (Vec::try_from(&row).unwrap(), <[f32; 2]>::try_from(&row).unwrap()),
            (vec![3.0, 4.0], [3.0, 4.0])
        );
        assert_eq!(f32::try_from(x.narrow(0, 2, 1).unwrap().select(1, 1).unwrap()).unwrap(), 6.0);
        assert_eq!(Tensor::try_from(Vec::<Vec<u8>>::new()).unwrap().shape(), &[0, 0]);
        let wide: Vec<Vec<f32>> = Tensor::zeros([2, 0]).try_into().unwrap();
        assert_eq!(wide, [[], []] as [[f32; 0]; 2]);

        let told = |error: Error, what: &str| assert!(error.to_string().contains(what), "{error}");
        told(Tensor::try_from(vec![vec![1], vec![2, 3]]).unwrap_err(), "row 1 has 2 elements, not 1");
        told(Vec::<f32>::try_from(&x).unwrap_err(), "1 axis, not of shape [3, 2]");
        told(Vec::<Vec<f32>>::try_from(&row).unwrap_err(), "2 axes, not of shape [2]");
        told(<[f32; 3]>::try_from(&row).unwrap_err(), "2 elements are not 3");
        told(f32::try_from(&row).unwrap_err(), "2 elements, not one");
        assert!(Vec::<u8>::try_from(Tensor::zeros([1 << 46])).is_err());
    }
}
