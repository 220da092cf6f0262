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
    threads::try_chunks,
};
use std::cmp::Ordering;

/// The order of numbers with NaN at the end.
fn order<T: PartialOrd>(a: &T, b: &T) -> Ordering {
    #[allow(clippy::eq_op)] // Only NaN differs from itself.
    a.partial_cmp(b).unwrap_or_else(|| (a != a).cmp(&(b != b)))
}

/// Elements of a task.
const GRAIN: usize = 8 * 1024;

/// The key of an element and, below it, its place in its line: equal elements have the order of their places.
trait Keyed: Copy + Ord {
    fn new(key: u64, place: u32) -> Self;
    fn place(self) -> u32;
}

impl Keyed for u64 {
    fn new(key: u64, place: u32) -> u64 {
        key << 32 | u64::from(place)
    }
    fn place(self) -> u32 {
        self as u32
    }
}

impl Keyed for u128 {
    fn new(key: u64, place: u32) -> u128 {
        u128::from(key) << 32 | u128::from(place)
    }
    fn place(self) -> u32 {
        self as u32
    }
}

/// Where the elements are that a sorted line has from `first` on, as many as `out` has places.
pub(super) fn sorted<T: Element>(line: &[T], first: usize, descending: bool, out: &mut [u32]) -> Checked<()> {
    let bits = 8 * size_of::<T>() as u32;
    let turned = if descending { u64::MAX >> (u64::BITS - bits) } else { 0 };
    let keys = line.iter().zip(0..).map(|(v, i)| (v.sort_key() ^ turned, i));
    // The key and the place in one number.
    if bits <= 32 {
        ordered(keys.map(|(key, i)| u64::new(key, i)), line.len(), first, out)
    } else {
        ordered(keys.map(|(key, i)| u128::new(key, i)), line.len(), first, out)
    }
}

/// Of `n` keys the places of those that are from `first` on in their order.
fn ordered<K: Keyed>(keys: impl Iterator<Item = K>, n: usize, first: usize, out: &mut [u32]) -> Checked<()> {
    let end = first + out.len();
    if out.is_empty() {
        return Ok(());
    }
    let mut list;
    if n / 8 >= end {
        list = smallest(keys, end)?;
    } else {
        list = room(n)?;
        list.extend(keys);
    }
    if end < list.len() {
        list.select_nth_unstable(end - 1);
        list.truncate(end);
    }
    if 0 < first && first < list.len() {
        list.select_nth_unstable(first);
    }
    let places = list.get_mut(first..).unwrap_or_default();
    places.sort_unstable();
    out.iter_mut().zip(places).for_each(|(o, key)| *o = key.place());
    Ok(())
}

/// A list in which the `k` smallest are, and not many more.
fn smallest<K: Keyed>(keys: impl Iterator<Item = K>, k: usize) -> Checked<Vec<K>> {
    let most = 2 * k.max(16);
    let mut list: Vec<K> = room(most)?;
    let mut bound = None;
    for key in keys {
        if bound.is_some_and(|bound| key > bound) {
            continue;
        }
        if list.len() == most {
            bound = Some(*list.select_nth_unstable(k - 1).1);
            list.truncate(k);
        }
        list.push(key);
    }
    Ok(list)
}

/// # Order of the elements
impl<T: Element + PartialOrd> Tensor<T> {
    /// For each line along `dim` the indices that sort it; equal elements keep their order.
    ///
    /// # Errors
    /// If there is no such axis.
    pub fn argsort(&self, dim: isize, descending: bool) -> crate::Result<Tensor<u32>> {
        let found = self.along_lines(dim, self.dim(dim), |line, out| sorted(line, 0, descending, out));
        found.map_err(|message| crate::Error::invalid("argsort", message))
    }

    /// For each line along an axis `count` indices, which `f` finds.
    pub(crate) fn along_lines(
        &self,
        dim: isize,
        count: usize,
        f: impl Fn(&[T], &mut [u32]) -> Checked<()> + Sync,
    ) -> Checked<Tensor<u32>> {
        let axis = self.shape().axis(dim)?;
        small(&Shape::new(&[self.dim(dim)]))?;
        if self.rank() == 0 {
            let whole = self.contiguous().made()?;
            return Tensor::try_build(Shape::default(), |out| f(whole.as_slice().unwrap_or_default(), out));
        }
        let last = self.view(self.layout().transpose(axis as isize, -1)?);
        let (lines, n) = (last.contiguous().made()?, self.shape()[axis]);
        let (lines, count) = (lines.as_slice().unwrap_or_default(), count.min(n));
        let mut shape = last.shape().clone();
        shape.set(shape.rank() - 1, count);
        let each = count.max(1);
        let found = Tensor::try_build(shape, |out| {
            try_chunks(out, (GRAIN / n.max(1)).max(1) * each, &|start, out| {
                let lines = lines[start / each * n..].chunks_exact(n.max(1));
                lines.zip(out.chunks_exact_mut(each)).try_for_each(|(line, out)| f(line, out))
            })
        })?;
        Ok(found.view(found.layout().transpose(axis as isize, -1)?))
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
            if self.rank() == 0 && range.is_empty() {
                return Ok(none());
            }
            self.tensor()
                .along_lines(dim, range.len(), |line, out| sorted(line, range.start, descending, out))
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
        let mut places = filled(n, 0).map_err(named)?;
        if width == 1 {
            sorted(&flat, 0, false, &mut places).map_err(named)?;
        } else {
            places.iter_mut().zip(0..).for_each(|(place, i)| *place = i);
            places.sort_unstable_by(|&a, &b| compare(a, b).then(a.cmp(&b)));
        }
        let mut first: Vec<usize> = room(n).map_err(named)?;
        let mut counts: Vec<u32> = room(n).map_err(named)?;
        let mut inverse = filled(n, 0).map_err(named)?;
        for (k, &i) in places.iter().enumerate() {
            if k == 0 || row(places[k - 1]) != row(i) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_order_is_that_of_the_whole() {
        fn check<T: Element + PartialOrd>(line: &[T]) {
            for descending in [false, true] {
                let mut whole = Vec::from_iter(0..line.len() as u32);
                whole.sort_by(|&i, &j| {
                    let ordering = order(&line[i as usize], &line[j as usize]);
                    if descending { ordering.reverse() } else { ordering }
                });
                for (first, len) in
                    [(0, 500), (0, 1), (0, 40), (0, 300), (7, 20), (60, 1), (250, 1), (499, 1)]
                {
                    let mut found = vec![0; len];
                    sorted(line, first, descending, &mut found).unwrap();
                    assert_eq!(found, whole[first..first + len], "{} {first} {len} {descending}", T::NAME);
                }
            }
        }
        let number = |i: usize| match i % 9 {
            0 => f64::NAN,
            1 => -0.0,
            2 => 0.0,
            3 => f64::NEG_INFINITY,
            4 => -f64::NAN,
            _ => (i * 37 % 101) as f64 - 50.0,
        };
        check(&Vec::from_iter((0..500).map(number)));
        check(&Vec::from_iter((0..500).map(|i| number(i) as f32)));
        let integer =
            |i: i64| if i % 50 == 0 { [i64::MIN, i64::MAX][(i / 50 % 2) as usize] } else { i * 37 % 101 };
        check(&Vec::from_iter((0..500).map(integer)));
        check(&Vec::from_iter((0..500).map(|i| integer(i) as u64)));
        check(&Vec::from_iter((0..500).map(|i| integer(i) as i8)));
        check(&Vec::from_iter((0..500).map(|i| integer(i) > 50)));
    }
}
