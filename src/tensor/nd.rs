//! Arrays of the crate `ndarray`: tensors from them, they from tensors, and views of tensors.
use super::{Element, Layout, Shape, Tensor, storage::Storage};
use crate::error::{Error, Result};
use ndarray::{Array, ArrayBase, ArrayView, Axis, Data, Dimension, IxDyn, ShapeBuilder};

/// An array that owns its elements is taken over as it lies, in any order of its axes, without a copy; the
/// elements of others are copied. Needs the feature `ndarray`.
impl<T: Element, S: Data<Elem = T>, D: Dimension> From<ArrayBase<S, D>> for Tensor<T> {
    fn from(array: ArrayBase<S, D>) -> Tensor<T> {
        let array = array.into_owned();
        let (shape, strides) = (Shape::from(array.shape()), array.strides().iter().copied().collect());
        let (data, offset) = array.into_raw_vec_and_offset();
        let layout = match offset {
            Some(offset) if shape.numel() > 0 => Layout { shape, strides, offset },
            _ => Layout::contiguous(shape),
        };
        // A view has axes of one element as tensors have them.
        let view = layout.clone();
        Tensor { storage: Storage::from_vec(data), layout }.view(view)
    }
}

/// A copy. Needs the feature `ndarray`.
impl<T: Element, S: Data<Elem = T>, D: Dimension> From<&ArrayBase<S, D>> for Tensor<T> {
    fn from(array: &ArrayBase<S, D>) -> Tensor<T> {
        Tensor::from(array.to_owned())
    }
}

/// A view of the elements where they lie: no copy is made of strided, flipped and expanded tensors either. Of
/// `ArrayViewD` for any number of axes, or of a fixed number. Needs the feature `ndarray`.
///
/// ```
/// use kolmo::Tensor;
/// use ndarray::{ArrayD, ArrayView2, array};
/// let x = Tensor::from(array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).transpose(0, 1)?;
/// assert_eq!(ArrayView2::try_from(&x)?, array![[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]);
/// assert_eq!(ArrayD::try_from(&x)?[[2, 0]], 3.0);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// The tensor has another number of axes, or there was no room for it.
impl<'a, T: Element, D: Dimension> TryFrom<&'a Tensor<T>> for ArrayView<'a, T, D> {
    type Error = Error;

    fn try_from(tensor: &'a Tensor<T>) -> Result<ArrayView<'a, T, D>> {
        let wrong = |message: String| Error::invalid("ArrayView", message);
        tensor.ok()?;
        if let Some(why) = tensor.unreadable() {
            return Err(wrong(why));
        }
        let (layout, shape) = (tensor.layout(), tensor.shape());
        let empty = shape.numel() == 0;
        let (low, high) = if empty { (0, 0) } else { layout.range() };
        let data = tensor.buffer().get(low..high).unwrap_or_default();
        // From the lowest element forwards, and then the axes that run backwards are turned.
        let forwards = layout.strides.iter().map(|stride| if empty { 0 } else { stride.unsigned_abs() });
        let forwards: Vec<usize> = forwards.collect();
        let shaped = IxDyn(shape).strides(IxDyn(&forwards));
        let mut view =
            ArrayView::from_shape(shaped, data).map_err(|e| wrong(format!("shape {shape}: {e}")))?;
        for (axis, _) in layout.strides.iter().enumerate().filter(|(_, stride)| **stride < 0) {
            view.invert_axis(Axis(axis));
        }
        view.into_dimensionality().map_err(|_| {
            let want = D::NDIM.unwrap_or_default();
            wrong(format!(
                "an array of {want} axes can't be had of shape {shape}, which has {}",
                shape.rank()
            ))
        })
    }
}

/// A copy in row-major order. Needs the feature `ndarray`.
///
/// # Errors
/// The tensor has another number of axes, or there was no room for it.
impl<T: Element, D: Dimension> TryFrom<&Tensor<T>> for Array<T, D> {
    type Error = Error;

    fn try_from(tensor: &Tensor<T>) -> Result<Array<T, D>> {
        Ok(ArrayView::try_from(&tensor.contiguous())?.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{ArrayD, ArrayView1, ArrayView2, ArrayViewD, CowArray, arr0, array, s};

    /// Both have the same elements at the same places.
    fn same(tensor: &Tensor<i32>, array: ArrayViewD<'_, i32>) {
        assert_eq!(&**tensor.shape(), array.shape());
        assert_eq!(tensor.to_vec(), array.iter().copied().collect::<Vec<_>>());
    }

    #[test]
    fn views_lie_where_the_tensor_does() {
        let x = Tensor::from_fn([4, 3, 5], |i| i as i32);
        let views = [
            x.clone(),
            x.permute([2, 0, 1]).unwrap(),
            x.flip([0, 2]).unwrap(),
            x.narrow(2, 1, 3).unwrap().flip([1, 2]).unwrap().transpose(0, 2).unwrap(),
            x.narrow(0, 2, 1).unwrap().expand([6, 3, 5]).unwrap().flip([2]).unwrap(),
            x.narrow(1, 3, 0).unwrap(),
            x.narrow(1, 2, 1).unwrap().flip([1]).unwrap(),
            x.select(0, 1).unwrap().diagonal(1, 0, 1).unwrap(),
            Tensor::scalar(7),
        ];
        for view in &views {
            let array = ArrayViewD::try_from(view).unwrap();
            same(view, array.view());
            let inside = view.buffer().as_ptr_range();
            assert!(view.numel() == 0 || array.iter().all(|v| inside.contains(&std::ptr::from_ref(v))));
            let copy = ArrayD::try_from(view).unwrap();
            assert!(copy.is_standard_layout());
            same(view, copy.view());
            same(&Tensor::from(array), copy.view());
            same(&Tensor::from(&copy), copy.view());
        }
    }

    #[test]
    fn owned_arrays_are_taken_over_as_they_lie() {
        let array = Array::from_shape_fn((3, 4, 5), |(i, j, k)| (20 * i + 5 * j + k) as i32);
        let mut sliced = array.clone();
        sliced.slice_collapse(s![1.., ..;-2, 1..4]);
        let mut flipped = array.clone();
        flipped.invert_axis(Axis(1));
        let column = array.clone().reversed_axes();
        for array in [array.clone(), sliced, flipped, column] {
            let (copy, at) = (array.clone(), array.as_ptr());
            let tensor = Tensor::from(array);
            assert_eq!(ArrayViewD::try_from(&tensor).unwrap().as_ptr(), at);
            same(&tensor, copy.view().into_dyn());
        }
        same(&Tensor::from(array.view()), array.view().into_dyn());
        same(&Tensor::from(CowArray::from(&array)), array.view().into_dyn());
        same(&Tensor::from(array.to_shared()), array.view().into_dyn());
        same(&Tensor::from(arr0(5)), arr0(5).view().into_dyn());
        let wide = array![1, 2];
        let wide = wide.broadcast((3, 2)).unwrap();
        same(&Tensor::from(wide), wide.into_dyn());
        assert_eq!(Tensor::from(Array::<f32, _>::zeros((2, 0, 3))).shape(), &[2, 0, 3]);
    }

    #[test]
    fn another_number_of_axes_and_no_room_are_told() {
        let x = Tensor::from([[1, 2], [3, 4]]);
        assert_eq!(ArrayView2::try_from(&x).unwrap(), array![[1, 2], [3, 4]]);
        let error = ArrayView1::try_from(&x).unwrap_err().to_string();
        assert!(error.contains("1 axes") && error.contains("[2, 2], which has 2"), "{error}");
        let lacking = Tensor::<u8>::zeros([1 << 46]);
        assert!(ArrayViewD::try_from(&lacking).is_err() && ArrayD::try_from(&lacking).is_err());
    }
}
