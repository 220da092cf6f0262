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
use std::borrow::Cow;

impl<T: Element> Tensor<T> {
    /// A tensor of elements that are held in another form, in row-major order.
    pub(crate) fn from_source(shape: Shape, source: Box<dyn Source<T>>) -> Tensor<T> {
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
