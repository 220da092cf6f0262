//! A packed matrix in a tensor's place: it becomes floats when somebody reads them one by one.
use super::{super::FloatElement, matrix::Packed};
use crate::{
    error::Checked,
    tensor::{Form, Tensor},
};
use std::sync::Arc;

impl<T: FloatElement> Form<T> for Packed<T> {
    fn len(&self) -> usize {
        self.rows() * self.cols()
    }

    fn write(&self, out: &mut [T]) -> Checked<()> {
        self.sound()?;
        self.write_all(out);
        Ok(())
    }

    fn bytes(&self) -> usize {
        Packed::bytes(self)
    }
}

/// # Packed tensors
impl<T: FloatElement> Tensor<T> {
    /// A tensor that holds this form and nothing else.
    pub(crate) fn from_packed(packed: Arc<Packed<T>>) -> Tensor<T> {
        let shape = packed.shape().clone();
        Tensor::from_form(shape, packed)
    }

    /// The form in which it is held, of which it may be a view; `None` of plain floats.
    pub(crate) fn held(&self) -> Option<Arc<Packed<T>>> {
        self.source()?.form().downcast().ok()
    }

    /// What it is as a whole, with the axes that it was packed with.
    pub(crate) fn packed_whole(&self) -> Option<Arc<Packed<T>>> {
        let layout = self.layout();
        let whole = |packed: &Arc<Packed<T>>| *packed.shape() == layout.shape;
        self.held().filter(|packed| whole(packed) && layout.offset == 0 && layout.is_contiguous())
    }

    /// The packed matrix that it is, and whether it is transposed.
    pub(crate) fn packed_matrix(&self) -> Option<(Arc<Packed<T>>, bool)> {
        let packed = self.held()?;
        let (rows, cols) = (packed.rows(), packed.cols());
        let layout = self.layout();
        match (&layout.shape[..], &layout.strides[..]) {
            ([r, c], [step, 1]) if [*r, *c] == [rows, cols] && *step == cols as isize => {
                Some((packed, false))
            }
            ([c, r], [1, step]) if [*r, *c] == [rows, cols] && *step == cols as isize => Some((packed, true)),
            _ => None,
        }
    }
}
