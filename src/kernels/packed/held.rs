//! A packed matrix in a tensor's place: it becomes floats when somebody reads them one by one.
use super::{super::FloatElement, matrix::Packed};
use crate::{
    error::Checked,
    tensor::{Source, Tensor},
};
use std::{
    any::Any,
    sync::{Arc, OnceLock},
};

/// What a tensor holds: its packed form, and its elements once they were read.
struct Held<T: FloatElement> {
    packed: Arc<Packed<T>>,
    values: OnceLock<Tensor<T>>,
}

impl<T: FloatElement> Source<T> for Held<T> {
    fn len(&self) -> usize {
        self.packed.rows() * self.packed.cols()
    }

    fn values(&self) -> &[T] {
        let made = || {
            let made = Tensor::try_build([self.len()].into(), |out| self.write(out));
            made.unwrap_or_else(Tensor::lacking)
        };
        self.values.get_or_init(made).as_slice().unwrap_or_default()
    }

    fn write(&self, out: &mut [T]) -> Checked<()> {
        self.packed.sound()?;
        self.packed.write(out);
        Ok(())
    }

    fn lack(&self) -> Option<String> {
        Some(self.values.get()?.lack()?.to_string())
    }

    fn again(&self) -> Box<dyn Source<T>> {
        Box::new(Held { packed: self.packed.clone(), values: OnceLock::new() })
    }

    fn bytes(&self) -> usize {
        self.packed.bytes()
    }

    fn form(&self) -> Arc<dyn Any + Send + Sync> {
        self.packed.clone()
    }
}

/// # Packed tensors
impl<T: FloatElement> Tensor<T> {
    /// A tensor that holds this form and nothing else.
    pub(crate) fn from_packed(packed: Arc<Packed<T>>) -> Tensor<T> {
        let shape = packed.shape().clone();
        Tensor::from_source(shape, Box::new(Held { packed, values: OnceLock::new() }))
    }

    /// The form in which it is held, of which it may be a view; `None` of plain floats.
    pub(crate) fn held(&self) -> Option<Arc<Packed<T>>> {
        self.source()?.form().downcast().ok()
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
