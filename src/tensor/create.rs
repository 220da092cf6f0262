//! Constructors: filled, counted, from nested arrays, random.
use super::{Element, Shape, Tensor};
use crate::threads::for_chunks;

/// # Making tensors
impl<T: Element> Tensor<T> {
    /// Every element the same.
    pub fn full(shape: impl Into<Shape>, value: T) -> Tensor<T> {
        Tensor::build(shape.into(), |out| for_chunks(out, 1 << 16, |_, out| out.fill(value)))
    }

    /// All zeros (`false` for `bool`).
    pub fn zeros(shape: impl Into<Shape>) -> Tensor<T> {
        Tensor::full(shape, T::default())
    }

    /// All ones (`true` for `bool`).
    pub fn ones(shape: impl Into<Shape>) -> Tensor<T> {
        Tensor::full(shape, T::from_f64(1.0))
    }

    /// One number: a tensor of rank 0.
    pub fn scalar(value: T) -> Tensor<T> {
        Tensor::full([], value)
    }

    /// Elements computed from their position in row-major order.
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let x = Tensor::from_fn([2, 2], |i| i as f64 * 10.0);
    /// assert_eq!(x.to_vec(), [0.0, 10.0, 20.0, 30.0]);
    /// ```
    #[doc(alias = "fromfunction")]
    pub fn from_fn(shape: impl Into<Shape>, mut f: impl FnMut(usize) -> T) -> Tensor<T> {
        Tensor::build(shape.into(), |out| out.iter_mut().enumerate().for_each(|(i, o)| *o = f(i)))
    }

    /// `start, start + 1, …` below `end`.
    pub fn arange(start: f64, end: f64) -> Tensor<T> {
        let n = if end > start { (end - start).ceil() as usize } else { 0 };
        Tensor::from_fn([n], |i| T::from_f64(start + i as f64))
    }

    /// `n` numbers at equal distances from `start` to `end`, both included.
    pub fn linspace(start: f64, end: f64, n: usize) -> Tensor<T> {
        let step = if n > 1 { (end - start) / (n - 1) as f64 } else { 0.0 };
        Tensor::from_fn([n], |i| T::from_f64(if i + 1 == n && n > 1 { end } else { start + step * i as f64 }))
    }

    /// The identity matrix.
    pub fn eye(n: usize) -> Tensor<T> {
        Tensor::from_fn([n, n], |i| T::from_f64((i / n.max(1) == i % n.max(1)) as u8 as f64))
    }
}

impl<T: Element> From<Vec<T>> for Tensor<T> {
    fn from(data: Vec<T>) -> Tensor<T> {
        Tensor::from_fn([data.len()], |i| data[i])
    }
}

impl<T: Element> From<&[T]> for Tensor<T> {
    fn from(data: &[T]) -> Tensor<T> {
        Tensor::from_fn([data.len()], |i| data[i])
    }
}

impl<T: Element> From<T> for Tensor<T> {
    fn from(value: T) -> Tensor<T> {
        Tensor::scalar(value)
    }
}

impl<T: Element> From<&Tensor<T>> for Tensor<T> {
    fn from(tensor: &Tensor<T>) -> Tensor<T> {
        tensor.clone()
    }
}

impl<T: Element, const A: usize> From<[T; A]> for Tensor<T> {
    fn from(data: [T; A]) -> Tensor<T> {
        Tensor::from(&data[..])
    }
}

impl<T: Element, const A: usize, const B: usize> From<[[T; B]; A]> for Tensor<T> {
    fn from(data: [[T; B]; A]) -> Tensor<T> {
        let flat = data.as_flattened();
        Tensor::from_fn([A, B], |i| flat[i])
    }
}

impl<T: Element, const A: usize, const B: usize, const C: usize> From<[[[T; C]; B]; A]> for Tensor<T> {
    fn from(data: [[[T; C]; B]; A]) -> Tensor<T> {
        let flat = data.as_flattened().as_flattened();
        Tensor::from_fn([A, B, C], |i| flat[i])
    }
}
