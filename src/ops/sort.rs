//! Sorting along an axis: the order is found on plain numbers, and the values are gathered in it. NaN counts
//! as larger than all numbers, as in PyTorch.
use super::{
    index::{small, valid},
    list::Float,
};
use crate::{
    error::Checked,
    tape::Var,
    tensor::{
        Element, Shape, Tensor,
        room::{filled, listed, room},
    },
};
use std::cmp::Ordering;

/// The order of numbers with NaN at the end.
fn order<T: PartialOrd>(a: &T, b: &T) -> Ordering {
    #[allow(clippy::eq_op)] // Only NaN differs from itself.
    a.partial_cmp(b).unwrap_or_else(|| (a != a).cmp(&(b != b)))
}

/// # Order of the elements
impl<T: Element + PartialOrd> Tensor<T> {
    /// For each line along `dim` the indices that sort it; equal elements keep their order.
    ///
    /// # Errors
    /// If there is no such axis.
    pub fn argsort(&self, dim: isize, descending: bool) -> crate::Result<Tensor<u32>> {
        let found = self.order_along(dim, |line| {
            let mut order_of = listed(line.len(), 0..line.len() as u32)?;
            // The places of equals as they are. A sort that keeps them by itself needs room.
            order_of.sort_unstable_by(|&i, &j| {
                let ordering = order(&line[i as usize], &line[j as usize]);
                if descending { ordering.reverse() } else { ordering }.then(i.cmp(&j))
            });
            Ok(order_of)
        });
        found.map_err(|message| crate::Error::invalid("argsort", message))
    }

    /// A list of indices for each line along `dim`, the same number for all.
    pub(crate) fn order_along(
        &self,
        dim: isize,
        f: impl Fn(&[T]) -> Checked<Vec<u32>>,
    ) -> Checked<Tensor<u32>> {
        self.along_lines(dim, self.dim(dim), f)
    }

    /// For each line along an axis what `f` finds of it: `count` indices.
    pub(crate) fn along_lines(
        &self,
        dim: isize,
        count: usize,
        f: impl Fn(&[T]) -> Checked<Vec<u32>>,
    ) -> Checked<Tensor<u32>> {
        let axis = self.shape().axis(dim)?;
        if self.rank() == 0 {
            let found = f(&self.list()?)?;
            return Ok(Tensor::from(found).reshaped(&Shape::default()));
        }
        let last = self.view(self.layout().transpose(axis as isize, -1)?);
        let (lines, n) = (last.contiguous().made()?, self.shape()[axis]);
        let lines = lines.as_slice().unwrap_or_default().chunks_exact(n.max(1));
        let mut shape = last.shape().clone();
        shape.set(shape.rank() - 1, count.min(n));
        let sorted = Tensor::try_build(shape, |out| {
            for (out, line) in out.chunks_exact_mut(count.clamp(1, n.max(1))).zip(lines) {
                out.copy_from_slice(&f(line)?);
            }
            Ok(())
        })?;
        Ok(sorted.view(sorted.layout().transpose(axis as isize, -1)?))
    }
}

/// # Sorting
impl<'t, T: Float> Var<'t, T> {
    /// The elements sorted along `dim`, and where each was. Equal elements keep their order.
    #[track_caller]
    #[doc(alias = "msort")]
    pub fn sort(&self, dim: isize, descending: bool) -> (Var<'t, T>, Tensor<u32>) {
        self.tape().note_found(self);
        match self.tensor().argsort(dim, descending) {
            Ok(index) if self.failed_id().is_none() => (self.in_order(dim, &index), index),
            Err(error) if self.failed_id().is_none() => {
                (self.tape().fail_op("sort", error.to_string(), &[self]), Tensor::zeros([0]))
            }
            _ => (self.clone(), Tensor::zeros([0])),
        }
    }

    /// The `k` largest elements along `dim` (the smallest with `largest` false), in order, and where they
    /// are.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let (values, indices) = tape.constant([3.0, 1.0, 4.0, 1.5]).topk(2, 0, true);
    /// assert_eq!((values.to_vec()?, indices.to_vec()), (vec![4.0, 3.0], vec![2, 0]));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn topk(&self, k: usize, dim: isize, largest: bool) -> (Var<'t, T>, Tensor<u32>) {
        self.some_in_order("topk", dim, k, |n| if k <= n { Ok(0..k) } else { Err(()) }, largest)
    }

    /// The `k`-th smallest element along `dim`, counted from 1, and where it is.
    #[track_caller]
    pub fn kthvalue(&self, k: usize, dim: isize, keepdim: bool) -> (Var<'t, T>, Tensor<u32>) {
        let place = |n| if (1..=n).contains(&k) { Ok(k - 1..k) } else { Err(()) };
        let (value, index) = self.some_in_order("kthvalue", dim, k, place, false);
        if keepdim || value.failed_id().is_some() || value.rank() == 0 {
            return (value, index);
        }
        let squeezed = index.squeeze([dim]).unwrap_or(index);
        let shape = squeezed.shape().clone();
        (value.reshape_to(&shape), squeezed)
    }

    /// Some places of the sorted lines along an axis.
    #[track_caller]
    fn some_in_order(
        &self,
        name: &str,
        dim: isize,
        k: usize,
        places: impl Fn(usize) -> Result<std::ops::Range<usize>, ()>,
        descending: bool,
    ) -> (Var<'t, T>, Tensor<u32>) {
        let none = || Tensor::zeros([0]);
        if self.failed_id().is_some() {
            return (self.clone(), none());
        }
        self.tape().note_found(self);
        let index = (|| -> Checked<Tensor<u32>> {
            let axis = self.shape().axis(dim)?;
            let size = self.shape().get(axis).copied().unwrap_or(1);
            let range = places(size).map_err(|()| format!("k = {k} is out of range for {size} elements"))?;
            let order = self.tensor().argsort(dim, descending).map_err(|e| e.to_string())?;
            if self.rank() == 0 {
                return Ok(if range.is_empty() { none() } else { order });
            }
            Ok(order.view(order.layout().slice(axis as isize, range.start, range.len(), 1)?))
        })();
        match index {
            Ok(index) => (self.in_order(dim, &index), index),
            Err(message) => (self.tape().fail_op(name, message, &[self]), none()),
        }
    }

    /// The elements in an order along an axis.
    #[track_caller]
    pub(crate) fn in_order(&self, dim: isize, index: &Tensor<u32>) -> Var<'t, T> {
        if self.rank() == 0 {
            return self.reshape_to(index.shape());
        }
        self.gather(dim, index)
    }
}

/// The number of elements of a sorted line that are below `v`; with `right`, not above it.
fn place<T: PartialOrd>(line: impl Fn(usize) -> T, n: usize, v: &T, right: bool) -> u32 {
    let (mut low, mut high) = (0, n);
    while low < high {
        let mid = low + (high - low) / 2;
        let ordering = order(&line(mid), v);
        if ordering == Ordering::Less || (right && ordering == Ordering::Equal) {
            low = mid + 1
        } else {
            high = mid
        }
    }
    low as u32
}

/// # Sorted lists and distinct values
impl<T: Element + PartialOrd> Tensor<T> {
    /// Where each of `values` would have to be put into this tensor, sorted along its last axis, to keep it
    /// sorted: in front of equal elements, or behind them with `right`. Either this tensor has one axis,
    /// or the other axes of both agree. A `sorter`, from [`argsort`](Tensor::argsort), says in which
    /// order the tensor is to be read.
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let sorted = Tensor::from([1.0, 3.0, 5.0]);
    /// let places = sorted.searchsorted(&Tensor::from([0.0, 3.0, 9.0]), false, None)?;
    /// assert_eq!(places.to_vec(), [0, 1, 3]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the shapes don't fit or the sorter has an index that is out of range.
    pub fn searchsorted(
        &self,
        values: &Tensor<T>,
        right: bool,
        sorter: Option<&Tensor<u32>>,
    ) -> crate::Result<Tensor<u32>> {
        let invalid = |message: String| crate::Error::invalid("searchsorted", message);
        let fail = |message: String| Err(invalid(message));
        self.there().and_then(|()| values.there()).map_err(invalid)?;
        let lead = self.rank().saturating_sub(1);
        let fits = self.rank() == 1
            || (self.rank() == values.rank()
                && self.rank() > 1
                && self.shape()[..lead] == values.shape()[..lead]);
        if !fits {
            return fail(format!(
                "sorted values {} and values {}: one axis, or the same axes but the last, are needed",
                self.shape(),
                values.shape()
            ));
        }
        let (n, lines) = (self.dim(-1), self.list().map_err(invalid)?);
        let order = match sorter {
            Some(s) if s.shape() != self.shape() => {
                return fail(format!("the sorter has shape {}, but must have {}", s.shape(), self.shape()));
            }
            Some(s) => s.list().map_err(invalid)?,
            None => Vec::new(),
        };
        if let Some(bad) = order.iter().find(|&&i| i as usize >= n) {
            return fail(format!("index {bad} of the sorter is out of range: lines have {n} elements"));
        }
        let per_line = if self.rank() == 1 { values.numel() } else { values.dim(-1) }.max(1);
        let list = values.list().map_err(invalid)?;
        Ok(Tensor::from_fn(values.shape(), |i| {
            let start = i / per_line * n;
            let at = |k: usize| lines[start + order.get(start + k).map_or(k, |&o| o as usize)];
            place(at, n, &list[i], right)
        }))
    }

    /// For each element the number of sorted `boundaries` below it; with `right`, not above it.
    ///
    /// # Errors
    /// If the boundaries have not one axis.
    pub fn bucketize(&self, boundaries: &Tensor<T>, right: bool) -> crate::Result<Tensor<u32>> {
        if boundaries.rank() != 1 {
            let message = format!("the boundaries have shape {}, but must have one axis", boundaries.shape());
            return Err(crate::Error::invalid("bucketize", message));
        }
        boundaries.searchsorted(self, right, None)
    }

    /// The different elements in ascending order, or with `dim` the different slices along that axis; where
    /// each element (slice) went; how many there were of each.
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let found = Tensor::from([3u32, 1, 3]).unique(None)?;
    /// assert_eq!((found.values.to_vec(), found.counts.to_vec()), (vec![1, 3], vec![1, 2]));
    /// assert_eq!(found.inverse.to_vec(), [1, 0, 1]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there is no such axis.
    pub fn unique(&self, dim: impl Into<Option<isize>>) -> crate::Result<Unique<T>> {
        let named = |m| crate::Error::invalid("unique", m);
        let (axis, x) = match dim.into() {
            None => (None, self.reshaped(&Shape::new(&[self.numel()]))),
            Some(dim) => {
                let axis = self.shape().axis(dim).map_err(named)?;
                let whole = if self.rank() == 0 { self.reshaped(&Shape::new(&[1])) } else { self.clone() };
                let order: Vec<isize> = front(axis, whole.rank());
                (Some(axis), whole.permute(&order)?)
            }
        };
        let (n, flat) = (x.dim(0), x.list().map_err(named)?);
        let width = x.shape()[1..].iter().product::<usize>();
        let row = |i: u32| &flat[i as usize * width..(i as usize + 1) * width];
        let compare = |a: u32, b: u32| {
            row(a).iter().zip(row(b)).map(|(a, b)| order(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
        };
        let mut sorted = listed(n, 0..n as u32).map_err(named)?;
        sorted.sort_unstable_by(|&a, &b| compare(a, b).then(a.cmp(&b)));
        let mut first: Vec<usize> = room(n).map_err(named)?;
        let mut counts: Vec<u32> = room(n).map_err(named)?;
        let mut inverse = filled(n, 0).map_err(named)?;
        for (k, &i) in sorted.iter().enumerate() {
            if k == 0 || row(sorted[k - 1]) != row(i) {
                first.push(i as usize);
                counts.push(0);
            }
            inverse[i as usize] = first.len() as u32 - 1;
            if let Some(last) = counts.last_mut() {
                *last += 1;
            }
        }
        let values = x.rows(&first)?;
        let (values, shape) = match axis {
            Some(axis) => (values.permute(&back(axis, values.rank()))?, Shape::new(&[n])),
            None => (values, self.shape().clone()),
        };
        Ok(Unique { values, inverse: Tensor::from(inverse).reshaped(&shape), counts: Tensor::from(counts) })
    }
}

/// The order of axes that brings one to the front, and the one that brings it back.
fn front(axis: usize, rank: usize) -> Vec<isize> {
    [axis].into_iter().chain((0..rank).filter(|&a| a != axis)).map(|a| a as isize).collect()
}
fn back(axis: usize, rank: usize) -> Vec<isize> {
    (1..=axis).chain([0]).chain(axis + 1..rank).map(|a| a as isize).collect()
}

/// What [`Tensor::unique`] finds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Unique<T: Element> {
    /// The different elements or slices, in ascending order.
    pub values: Tensor<T>,
    /// For each element or slice, which of `values` it is.
    pub inverse: Tensor<u32>,
    /// How often each occurs.
    pub counts: Tensor<u32>,
}

/// # Where elements are not zero
impl<T: Element> Tensor<T> {
    /// The indices `[n, rank]` of the elements that are not zero (`true`), in row-major order.
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let mask = Tensor::from([[true, false], [false, true]]);
    /// assert_eq!(mask.nonzero().to_vec(), [0, 0, 1, 1]); // [0, 0] and [1, 1]
    /// ```
    #[doc(alias = "argwhere")]
    pub fn nonzero(&self) -> Tensor<u32> {
        let (flat, strides) = (self.to_vec(), self.shape().contiguous_strides());
        let mut found = Vec::new();
        let mut n = 0;
        for (i, _) in flat.iter().enumerate().filter(|(_, v)| **v != T::from_f64(0.0)) {
            n += 1;
            for (&stride, &size) in strides.iter().zip(self.shape().iter()) {
                found.push((i / stride.max(1) as usize % size) as u32);
            }
        }
        Tensor::from(found).reshaped(&Shape::new(&[n, self.rank()]))
    }
}

/// # Counts
impl<I: crate::tensor::Index> Tensor<I> {
    /// How often each number from 0 on occurs in a list, up to the largest, at least `minlength` of them.
    ///
    /// # Errors
    /// If the tensor has more than one axis or a negative number.
    pub fn bincount(&self, minlength: usize) -> crate::Result<Tensor<u32>> {
        let places = self.places(minlength)?;
        let mut counts = filled(places.1, 0u32).map_err(|m| crate::Error::invalid("bincount", m))?;
        for i in places.0 {
            counts[i] += 1;
        }
        Ok(Tensor::from(counts))
    }

    fn places(&self, minlength: usize) -> crate::Result<(Vec<usize>, usize)> {
        if self.rank() > 1 {
            let message = format!("takes a list, not shape {}", self.shape());
            return Err(crate::Error::invalid("bincount", message));
        }
        let named = |message| crate::Error::invalid("bincount", message);
        let list = self.list().map_err(named)?;
        if let Some(bad) = list.iter().find(|i| i.to_i64() < 0) {
            return Err(named(format!("{} is negative", bad.to_i64())));
        }
        let places = list.iter().map(|i| usize::try_from(i.to_i64()).unwrap_or(usize::MAX));
        let places = listed(list.len(), places).map_err(named)?;
        let n = places.iter().max().map_or(0, |m| m.saturating_add(1)).max(minlength);
        small(&Shape::new(&[n])).map_err(named)?;
        Ok((places, n))
    }
}

/// # Sums by class
impl<'t, T: Float> Var<'t, T> {
    /// The sum of these weights for each number from 0 on in a list of as many, at least `minlength` of them.
    #[track_caller]
    pub fn bincount<I: crate::tensor::Index>(&self, index: &Tensor<I>, minlength: usize) -> Var<'t, T> {
        let (places, n) = valid!(self, "bincount", index.places(minlength).map_err(|e| e.to_string()));
        if *self.shape() != *index.shape() {
            let message = format!("weights {} and numbers {} differ in shape", self.shape(), index.shape());
            return self.tape().fail_op("bincount", message, &[self]);
        }
        let places = valid!(self, "bincount", listed(places.len(), places.iter().map(|&p| p as u32)));
        self.add_at(Tensor::from(places).reshaped(index.shape()), &Shape::new(&[n]))
    }
}
