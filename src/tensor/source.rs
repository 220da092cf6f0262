//! Tensors whose elements are held in another form, and become numbers in memory of their own where they are
//! read.
use super::{
    array::{Tensor, Unfilled},
    element::Element,
    layout::Layout,
    pool::Source,
    shape::Shape,
    storage::Storage,
};
use crate::error::Checked;
use std::{
    any::Any,
    borrow::Cow,
    sync::{Arc, OnceLock},
};

/// Another form of elements than numbers in memory.
pub(crate) trait Form<T>: Any + Send + Sync {
    /// How many there are.
    fn len(&self) -> usize;
    /// The elements into a list of as many, or why they can't be had.
    fn write(&self, out: &mut [T]) -> Checked<()>;
    /// Bytes that are held.
    fn bytes(&self) -> usize;
}

/// A form, and the elements once somebody read them one by one.
struct Held<T: Element, F> {
    form: Arc<F>,
    values: OnceLock<Tensor<T>>,
}

impl<T: Element, F: Form<T>> Source<T> for Held<T, F> {
    fn len(&self) -> usize {
        self.form.len()
    }

    fn values(&self) -> &[T] {
        let made = || {
            let made = Tensor::try_build([self.len()].into(), |out| self.write(out));
            made.unwrap_or_else(Tensor::lacking)
        };
        self.values.get_or_init(made).as_slice().unwrap_or_default()
    }

    fn write(&self, out: &mut [T]) -> Checked<()> {
        self.form.write(out)
    }

    fn lack(&self) -> Option<String> {
        Some(self.values.get()?.lack()?.to_string())
    }

    fn again(&self) -> Box<dyn Source<T>> {
        Box::new(Held { form: self.form.clone(), values: OnceLock::new() })
    }

    fn bytes(&self) -> usize {
        self.form.bytes()
    }

    fn form(&self) -> Arc<dyn Any + Send + Sync> {
        self.form.clone()
    }
}

impl<T: Element> Tensor<T> {
    /// A tensor of elements that are held in another form, in row-major order.
    pub(crate) fn from_form(shape: Shape, form: Arc<impl Form<T>>) -> Tensor<T> {
        let source = Box::new(Held { form, values: OnceLock::new() });
        Tensor { storage: Storage::from_source(source), layout: Layout::contiguous(shape) }
    }

    /// The other form in which the elements are held, if it is one.
    #[inline]
    pub(crate) fn source(&self) -> Option<&dyn Source<T>> {
        self.storage.source()
    }

    /// The same elements in memory of their own; the tensor itself if they have such.
    pub(crate) fn in_memory(&self) -> Checked<Cow<'_, Tensor<T>>> {
        let Some(source) = self.source() else { return Ok(Cow::Borrowed(self)) };
        let mut all = Unfilled::new([source.len()].into()).made()?;
        source.write(all.as_mut_slice())?;
        Ok(Cow::Owned(all.filled().view(self.layout.clone())))
    }

    /// The same form, without elements that were read of this tensor and are kept since.
    pub(crate) fn afresh(&self) -> Tensor<T> {
        match self.source() {
            None => self.clone(),
            Some(source) => {
                Tensor { storage: Storage::from_source(source.again()), layout: self.layout.clone() }
            }
        }
    }

    /// Why the elements can't be read, of those in another form.
    pub(super) fn unreadable(&self) -> Option<String> {
        let source = self.source()?;
        let _ = source.values();
        source.lack()
    }
}
