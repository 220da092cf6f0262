//! The tensor: a shared buffer and a layout that points into it. Access, views and conversion.
use super::{
    dims::Dims,
    element::Element,
    layout::Layout,
    shape::{self, Shape},
    storage::Storage,
    strided,
};
use crate::error::{Checked, Error, Result};

/// An n-dimensional array of numbers.
///
/// Cloning and taking a view share the data; writing to shared data copies it first.
///
/// ```
/// use kolmo::Tensor;
/// let x = Tensor::from([[1.0f32, 2.0, 3.0], [4.0, 5.0, 6.0]]);
/// assert_eq!(x.shape(), &[2, 3]);
/// assert_eq!(x.transpose(0, 1)?.to_vec(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone)]
#[doc(alias("from_numpy", "to_pil_image"))]
#[must_use = "an operation on a tensor gives a new one and leaves it as it is"]
pub struct Tensor<T: Element = f32> {
    pub(super) storage: Storage<T>,
    pub(super) layout: Layout,
}

/// # Elements, shape and views
impl<T: Element> Tensor<T> {
    /// A tensor of this shape (sizes) over the elements in row-major order.
    pub fn new(shape: impl Into<Shape>, data: Vec<T>) -> Result<Tensor<T>> {
        let shape = shape.into();
        if shape.numel() != data.len() {
            return Err(Error::invalid(
                "Tensor::new",
                format!("{} elements don't fill shape {shape}, which has {}", data.len(), shape.numel()),
            ));
        }
        shape::addressable(&shape).map_err(|message| Error::invalid("Tensor::new", message))?;
        Ok(Tensor { storage: Storage::from_vec(data), layout: Layout::contiguous(shape) })
    }

    /// A new contiguous tensor from the pool, every element of which `write` sets. Where there is no room for
    /// it, a tensor without elements that [`ok`](Tensor::ok) is an error of, and nothing is written.
    pub(crate) fn build(shape: Shape, write: impl FnOnce(&mut [T])) -> Tensor<T> {
        let mut tensor = Unfilled::new(shape);
        if tensor.0.lack().is_none() {
            write(tensor.as_mut_slice());
        }
        tensor.filled()
    }

    /// A tensor of this shape whose elements are written by something that can fail.
    pub(crate) fn try_build(shape: Shape, write: impl FnOnce(&mut [T]) -> Checked<()>) -> Checked<Tensor<T>> {
        let mut tensor = Unfilled::new(shape).made()?;
        write(tensor.as_mut_slice())?;
        Ok(tensor.filled())
    }

    /// A tensor without elements in the place of one that can't be.
    pub(crate) fn lacking(why: String) -> Tensor<T> {
        Tensor { storage: Storage::lacking(why), layout: Layout::contiguous([0].into()) }
    }

    /// Why this is no tensor.
    pub(crate) fn lack(&self) -> Option<&str> {
        self.storage.lack()
    }

    /// The tensor, if it is one: asked of those made on the way, before their elements are used.
    pub(crate) fn made(self) -> Checked<Tensor<T>> {
        match self.lack() {
            Some(why) => Err(why.to_string()),
            None => Ok(self),
        }
    }

    /// An error if there was no room for this tensor when it was made: then it has shape `[0]`, and all that
    /// is computed from it on a tape fails with the same error.
    ///
    /// ```
    /// let large = kolmo::Tensor::<f32>::zeros([1 << 30, 1 << 30]);
    /// let error = large.ok().unwrap_err().to_string();
    /// assert!(error.contains("f32[1073741824, 1073741824] needs 4611686018427387904 bytes"), "{error}");
    /// ```
    pub fn ok(&self) -> Result<()> {
        named("Tensor", self.there())
    }

    /// Why this is no tensor, as an error: asked of one that an operation is given beside its operands, before its
    /// shape is looked at.
    pub(crate) fn there(&self) -> Checked<()> {
        self.lack().map_or(Ok(()), |why| Err(why.to_string()))
    }

    /// The same data through another layout, which must have been derived from this tensor's own.
    pub(crate) fn view(&self, mut layout: Layout) -> Tensor<T> {
        if layout.shape.numel() == 0 {
            // A part of no elements may begin anywhere, also behind the buffer's end, and step anyhow, also
            // backwards: from here on it lies as a new tensor does.
            layout = Layout::contiguous(layout.shape);
        }
        // Nobody steps along an axis of one element; backwards would only mislead those who look for such
        // axes.
        if layout.strides.iter().any(|stride| *stride < 0) {
            for (stride, _) in layout.strides.iter_mut().zip(layout.shape.iter()).filter(|(_, n)| **n == 1) {
                *stride = (*stride).abs();
            }
        }
        debug_assert!(layout.range().1 <= self.storage.len());
        Tensor { storage: self.storage.clone(), layout }
    }

    #[inline]
    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The sizes of the axes.
    #[inline]
    pub fn shape(&self) -> &Shape {
        &self.layout.shape
    }

    /// Size of an axis, counted from the end if negative; 0 if there is no such axis.
    #[doc(alias = "size")]
    pub fn dim(&self, axis: isize) -> usize {
        self.layout.shape.dim(axis)
    }

    /// Number of axes.
    #[doc(alias = "ndim")]
    pub fn rank(&self) -> usize {
        self.layout.shape.rank()
    }

    /// Number of elements.
    #[inline]
    pub fn numel(&self) -> usize {
        self.layout.shape.numel()
    }

    /// Steps between neighbours along each axis, in elements.
    pub fn strides(&self) -> &[isize] {
        &self.layout.strides
    }

    /// Whether the elements lie one after the other in row-major order.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.layout.is_contiguous()
    }

    /// Whether both share their memory.
    pub(crate) fn shares_data(&self, other: &Tensor<T>) -> bool {
        self.storage.same(&other.storage)
    }

    /// The elements in row-major order, if they lie so.
    #[doc(alias("numpy", "data_ptr"))]
    pub fn as_slice(&self) -> Option<&[T]> {
        let n = self.numel();
        if !self.is_contiguous() {
            return None;
        }
        self.storage.as_slice().get(self.layout.offset..self.layout.offset + n)
    }

    /// The whole buffer that the layout points into.
    #[inline]
    pub(crate) fn buffer(&self) -> &[T] {
        self.storage.as_slice()
    }

    /// What tells the buffer from others, while it is held.
    pub(crate) fn buffer_id(&self) -> usize {
        self.storage.id()
    }

    /// Bytes of the buffer, in the form in which it holds its elements.
    pub(crate) fn buffer_bytes(&self) -> usize {
        self.source().map_or_else(|| size_of_val(self.buffer()), |source| source.bytes())
    }

    /// Bytes of the elements, or of all of the buffer where they are fewer.
    pub(crate) fn used_bytes(&self) -> usize {
        match self.source() {
            Some(source) => source.bytes(),
            None => self.numel().min(self.buffer().len()) * size_of::<T>(),
        }
    }

    /// This tensor if its elements lie in row-major order, else a copy whose elements do.
    #[inline]
    pub fn contiguous(&self) -> Tensor<T> {
        if let Some(why) = self.unreadable() {
            return Tensor::lacking(why);
        }
        if self.is_contiguous() {
            return self.clone();
        }
        Tensor::build(self.shape().clone(), |out| strided::gather(self.buffer(), &self.layout, out))
    }

    /// The elements in row-major order.
    ///
    /// A view that was expanded beyond what memory holds gives an empty list;
    /// [`contiguous`](Tensor::contiguous) of it tells why.
    #[doc(alias = "tolist")]
    pub fn to_vec(&self) -> Vec<T> {
        match self.as_slice() {
            Some(slice) => slice.to_vec(),
            None => self.contiguous().as_slice().unwrap_or_default().to_vec(),
        }
    }

    /// The elements in row-major order for writing. Data that is shared or strided is copied first; if there
    /// is no room for that, none are given.
    #[doc(alias("add_", "copy_", "fill_"))]
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        let n = self.numel();
        if !self.is_contiguous() || self.storage.get_mut().is_none() {
            let readable = self.unreadable().map_or(Ok(()), Err);
            let copy = match readable {
                Ok(()) => Tensor::build(self.shape().clone(), |out| {
                    strided::gather(self.buffer(), &self.layout, out);
                }),
                Err(why) => Tensor::lacking(why),
            };
            if copy.lack().is_some() {
                return &mut [];
            }
            *self = copy;
        }
        let start = self.layout.offset;
        self.storage.get_mut().and_then(|b| b.get_mut(start..start + n)).unwrap_or_default()
    }

    /// The elements in row-major order, to be written, if that needs no copy.
    #[inline]
    pub(crate) fn try_mut_slice(&mut self) -> Option<&mut [T]> {
        let (n, start) = (self.numel(), self.layout.offset);
        if !self.is_contiguous() {
            return None;
        }
        self.storage.get_mut().and_then(|b| b.get_mut(start..start + n))
    }

    /// Position of an element in the buffer.
    fn position(&self, index: &[usize]) -> Option<usize> {
        if index.len() != self.rank() || index.iter().zip(self.shape().iter()).any(|(i, d)| i >= d) {
            return None;
        }
        let steps = index.iter().zip(&self.layout.strides).map(|(&i, s)| i as isize * s);
        usize::try_from(self.layout.offset as isize + steps.sum::<isize>()).ok()
    }

    /// One element; `None` outside the shape.
    pub fn get(&self, index: impl AsRef<[usize]>) -> Option<T> {
        self.position(index.as_ref()).and_then(|p| self.buffer().get(p)).copied()
    }

    /// Writes one element. Shared data is copied first.
    pub fn set(&mut self, index: impl AsRef<[usize]>, value: T) -> Result<()> {
        let index = index.as_ref();
        self.ok()?;
        if self.position(index).is_none() {
            let message = format!("{index:?} is outside shape {}", self.shape());
            return Err(Error::invalid("Tensor::set", message));
        }
        let at = index
            .iter()
            .zip(&self.shape().contiguous_strides())
            .map(|(&i, &s)| i * s as usize)
            .sum::<usize>();
        match self.as_mut_slice().get_mut(at) {
            Some(slot) => *slot = value,
            None => return self.contiguous().ok(),
        }
        Ok(())
    }

    /// The only element of a tensor that has one.
    pub fn item(&self) -> Result<T> {
        self.ok()?;
        if self.numel() != 1 {
            let message = format!("shape {} has {} elements, not one", self.shape(), self.numel());
            return Err(Error::invalid("item", message));
        }
        self.buffer().get(self.layout.offset).copied().ok_or_else(|| Error::invalid("item", "no element"))
    }

    /// Another element type: floats are rounded towards zero to integers, `bool` is 0 or 1.
    #[doc(alias("to", "type", "float", "double", "astype"))]
    pub fn cast<U: Element>(&self) -> Tensor<U> {
        let source = self.contiguous();
        if let Some(why) = source.lack() {
            return Tensor::lacking(why.to_string());
        }
        Tensor::build(self.shape().clone(), |out| {
            for (o, v) in out.iter_mut().zip(source.as_slice().unwrap_or_default()) {
                *o = U::from_f64(v.to_f64());
            }
        })
    }

    /// The same elements under another shape; one size may be -1. Copies only if the strides demand it.
    #[doc(alias = "view")]
    pub fn reshape(&self, sizes: impl AsRef<[isize]>) -> Result<Tensor<T>> {
        self.ok()?;
        let shape = named("reshape", shape::infer(self.numel(), sizes.as_ref()))?;
        let reshaped = self.reshaped(&shape);
        reshaped.ok()?;
        Ok(reshaped)
    }

    /// Reshape to a shape with the same number of elements.
    pub(crate) fn reshaped(&self, shape: &Shape) -> Tensor<T> {
        if self.lack().is_some() {
            return self.clone();
        }
        debug_assert_eq!(shape.numel(), self.numel());
        match self.layout.reshape(shape) {
            Some(layout) => self.view(layout),
            None => {
                let copy = self.contiguous();
                if copy.lack().is_some() {
                    return copy;
                }
                Tensor { layout: Layout::contiguous(shape.clone()), storage: copy.storage.clone() }
            }
        }
    }

    fn viewed(&self, what: &'static str, layout: Checked<Layout>) -> Result<Tensor<T>> {
        self.ok()?;
        Ok(self.view(named(what, layout)?))
    }

    /// The axes in another order, as a view.
    pub fn permute(&self, dims: impl Into<Dims>) -> Result<Tensor<T>> {
        self.viewed("permute", self.layout.permute(&dims.into()))
    }

    /// Two axes exchanged, as a view.
    #[doc(alias = "swapaxes")]
    pub fn transpose(&self, a: isize, b: isize) -> Result<Tensor<T>> {
        self.viewed("transpose", self.layout.transpose(a, b))
    }

    /// `len` indices of an axis from `start` on, as a view.
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let x = Tensor::from([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    /// assert_eq!(x.narrow(1, 1, 2)?.to_vec(), [2.0, 3.0, 5.0, 6.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn narrow(&self, axis: isize, start: usize, len: usize) -> Result<Tensor<T>> {
        self.viewed("narrow", self.layout.slice(axis, start, len, 1))
    }

    /// One index of an axis, which is dropped, as a view.
    pub fn select(&self, axis: isize, index: isize) -> Result<Tensor<T>> {
        self.viewed("select", self.layout.select(axis, index))
    }

    /// Axes of size 1 repeated to the shape, as a view.
    #[doc(alias = "broadcast_to")]
    pub fn expand(&self, shape: impl Into<Shape>) -> Result<Tensor<T>> {
        self.viewed("expand", self.layout.expand(&shape.into()))
    }

    /// An axis of size 1 put in before `axis`, as a view.
    pub fn unsqueeze(&self, axis: isize) -> Result<Tensor<T>> {
        self.viewed("unsqueeze", self.layout.unsqueeze(axis))
    }

    /// The given axes dropped where their size is 1 (all such axes for none given), as a view.
    pub fn squeeze(&self, dims: impl Into<Dims>) -> Result<Tensor<T>> {
        let dims = dims.into();
        self.viewed("squeeze", self.layout.squeeze(Some(&*dims).filter(|d| !d.is_empty())))
    }

    /// The diagonal of two axes, `offset` places to the right, as a new last axis, as a view.
    pub fn diagonal(&self, offset: isize, dim1: isize, dim2: isize) -> Result<Tensor<T>> {
        self.viewed("diagonal", self.layout.diagonal(offset, dim1, dim2))
    }

    /// The given axes walked backwards, as a view.
    pub fn flip(&self, dims: impl Into<Dims>) -> Result<Tensor<T>> {
        self.viewed("flip", self.layout.flip(&dims.into()))
    }

    /// Rows (indices of axis 0) in the given order, copied.
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let x = Tensor::from([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]);
    /// assert_eq!(x.rows(&[2, 0])?.to_vec(), [5.0, 6.0, 1.0, 2.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn rows(&self, index: &[usize]) -> Result<Tensor<T>> {
        let (n, row) = (self.dim(0), self.shape().iter().skip(1).product::<usize>());
        if let Some(bad) = index.iter().find(|&&i| i >= n) {
            return Err(Error::invalid("rows", format!("row {bad} is outside shape {}", self.shape())));
        }
        let mut shape = self.shape().clone();
        if shape.rank() == 0 {
            return Err(Error::invalid("rows", "a tensor of rank 0 has no rows"));
        }
        let source = named("rows", self.contiguous().made())?;
        let data = source.as_slice().unwrap_or_default();
        shape.set(0, index.len());
        let rows = Tensor::build(shape, |out| {
            for (o, &i) in out.chunks_exact_mut(row.max(1)).zip(index) {
                o.copy_from_slice(&data[i * row..(i + 1) * row]);
            }
        });
        named("rows", rows.made())
    }
}

/// A new tensor whose elements are still what its buffer held before.
#[must_use]
pub(crate) struct Unfilled<T: Element>(Tensor<T>);

impl<T: Element> Unfilled<T> {
    pub fn new(shape: Shape) -> Unfilled<T> {
        let empty = shape.numel() == 0;
        let taken =
            if empty { shape::addressable(&shape) } else { Ok(()) }.and_then(|()| Storage::take(&shape));
        Unfilled(match taken {
            Ok(storage) => Tensor { storage, layout: Layout::contiguous(shape) },
            Err(why) => Tensor::lacking(why),
        })
    }

    /// The elements, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [T] {
        self.0.try_mut_slice().unwrap_or_default()
    }

    /// The tensor, when every element has been written.
    pub fn filled(self) -> Tensor<T> {
        self.0
    }

    /// Why there was no room for it.
    pub fn lack(&self) -> Option<&str> {
        self.0.lack()
    }

    /// An error if there was no room for it.
    pub fn made(self) -> Checked<Unfilled<T>> {
        self.0.made().map(Unfilled)
    }
}

/// Gives a message the name of the function that it comes from.
pub(super) fn named<V>(what: &'static str, result: Checked<V>) -> Result<V> {
    result.map_err(|message| Error::invalid(what, message))
}

impl<T: Element> PartialEq for Tensor<T> {
    /// Equal shapes and elements; NaN differs from itself, as in Rust.
    fn eq(&self, other: &Tensor<T>) -> bool {
        self.shape() == other.shape() && self.contiguous().as_slice() == other.contiguous().as_slice()
    }
}
