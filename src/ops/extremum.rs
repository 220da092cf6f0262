//! Largest, smallest and middle elements. Without an index, equal ones share the gradient; where an index is
//! given, the gradient goes to the element that it names.
use super::{
    checks::{check_axes, operands},
    index::valid,
    list::{Extremum, Float, Reduce, Test},
    sort::sorted,
};
use crate::{
    error::{Checked, Result},
    kernels::{
        map::map,
        reduce::{Largest, Smallest, Sum, fold},
    },
    real::About,
    tape::{RESULT, Rule, Step, Var},
    tensor::{Dims, Element, Shape, Tensor, room::listed},
};
use std::borrow::Cow;

impl<T: Float> Rule<T> for Extremum {
    fn name(&self) -> &str {
        if self.largest { "amax" } else { "amin" }
    }

    fn about(&self) -> About {
        let formula = match self.largest {
            true => About::formula("the largest of a", &["ȳ at the largest"], "Equal ones share it."),
            false => About::formula("the smallest of a", &["ȳ at the smallest"], "Equal ones share it."),
        };
        About { kinks: "at a tie", ..formula.exact() }
    }

    fn options(&self) -> Cow<'static, str> {
        Cow::Owned(format!("dim={:?}, keepdim={}", self.axes, self.keep))
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [x] = operands(x)?;
        if let Some(&a) = self.axes.iter().find(|&&a| x.shape()[a] == 0) {
            return Err(format!("axis {a} of {} has no elements to compare", x.shape()));
        }
        Ok(match self.largest {
            true => fold(Largest, x, &self.axes, self.keep),
            false => fold(Smallest, x, &self.axes, self.keep),
        })
    }

    fn keeps(&self, _: u32) -> u32 {
        1 | RESULT
    }

    fn check(&self, x: &[&Tensor<T>], _: &Shape) -> Checked<()> {
        let [x] = operands(x)?;
        check_axes(&self.axes, x.rank())
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let (x, y, g) = (step.input(0), step.output(), step.take_grad());
        let spread = y.detach().spread(&self.axes, x.shape());
        let same = x.tape().apply(if self.nan_shares { Test::Same } else { Test::Equal }, &[&x, &spread]);
        let ties = x.tape().apply(Reduce::Sum { axes: self.axes.clone(), keep: self.keep }, &[&same]);
        let shape = x.shape().clone();
        step.give(0, (g / ties).spread(&self.axes, &shape) * same);
    }

    fn kinks(&self, x: &[&Tensor<T>], _: &Tensor<T>) -> usize {
        let [x] = x else { return 0 };
        let same = |y: &Tensor<T>| map(Test::Same, [x, y], x.shape());
        let extreme = match self.largest {
            true => fold(Largest, x, &self.axes, true),
            false => fold(Smallest, x, &self.axes, true),
        };
        let ties = same(&extreme).map(|same| fold(Sum, &same, &self.axes, false).to_vec());
        ties.unwrap_or_default().iter().filter(|n| n.to_f64() > 1.0).count()
    }
}

/// For each line along an axis (of the flattened tensor for `None`) the index that `find` gives, which is
/// asked only for lines that have elements.
fn lines<T: Element + PartialOrd>(
    x: &Tensor<T>,
    dim: Option<isize>,
    keepdim: bool,
    find: impl Fn(&[T]) -> Checked<usize> + Sync,
) -> Checked<Tensor<u32>> {
    let rank = x.rank();
    let (x, axis) = match dim {
        None => (x.reshaped(&Shape::new(&[x.numel()])).made()?, 0),
        Some(dim) => (x.clone(), x.shape().axis(dim)?),
    };
    let n = x.shape().get(axis).copied().unwrap_or(1);
    if n == 0 {
        return Err(format!("axis {axis} of {} has no elements to compare", x.shape()));
    }
    let found = x.along_lines(axis as isize, 1, |line, out| {
        out.fill(find(line)? as u32);
        Ok(())
    })?;
    if dim.is_none() || rank == 0 {
        return Ok(found.reshaped(&Shape::new(&vec![1; if keepdim { rank } else { 0 }])));
    }
    let mut shape = found.shape().clone();
    if !keepdim {
        shape.remove(axis);
    }
    Ok(found.reshaped(&shape))
}

fn nan<T: PartialOrd>(v: &T) -> bool {
    v.partial_cmp(v).is_none()
}

/// The first place of the largest (smallest) element; of the first NaN if there is one. What the element is comes
/// first, in lanes side by side; then there is nothing to decide but where it is.
fn extreme<T: PartialOrd + Copy>(line: &[T], largest: bool) -> Checked<usize> {
    const LANES: usize = 16;
    let beyond = |new: T, old: T| if largest { new > old } else { new < old };
    let (chunks, rest) = line.as_chunks::<LANES>();
    let mut lanes = chunks.first().copied().unwrap_or([line[0]; LANES]);
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane = if beyond(v, *lane) | nan(&v) { v } else { *lane };
        }
    }
    let top =
        lanes.iter().chain(rest).fold(lanes[0], |top, &v| if beyond(v, top) | nan(&v) { v } else { top });
    Ok(if nan(&top) { first(chunks, rest, nan) } else { first(chunks, rest, |v| *v == top) })
}

/// The first place where something holds, looked for in whole chunks; 0 if there is none.
fn first<T, const N: usize>(chunks: &[[T; N]], rest: &[T], holds: impl Fn(&T) -> bool) -> usize {
    let any = |chunk: &[T; N]| chunk.iter().fold(false, |any, v| any | holds(v));
    let at = chunks.iter().position(any);
    let found = at.map_or(rest, |at| &chunks[at]).iter().position(holds);
    found.map_or(0, |place| at.unwrap_or(chunks.len()) * N + place)
}

/// # Where the largest and smallest are
impl<T: Element + PartialOrd> Tensor<T> {
    /// Where the largest element along `dim` is, the first if there are several; for `None`, in the flattened
    /// tensor.
    ///
    /// # Errors
    /// If there is no such axis, or it has no elements.
    pub fn argmax(&self, dim: impl Into<Option<isize>>, keepdim: bool) -> Result<Tensor<u32>> {
        let found = lines(self, dim.into(), keepdim, |line| extreme(line, true));
        found.map_err(|m| crate::Error::invalid("argmax", m))
    }

    /// Where the smallest element along `dim` is; see [`argmax`](Tensor::argmax).
    ///
    /// # Errors
    /// If there is no such axis, or it has no elements.
    pub fn argmin(&self, dim: impl Into<Option<isize>>, keepdim: bool) -> Result<Tensor<u32>> {
        let found = lines(self, dim.into(), keepdim, |line| extreme(line, false));
        found.map_err(|m| crate::Error::invalid("argmin", m))
    }
}

/// # Tests over axes
impl<T: Element> Tensor<T> {
    /// Whether all elements along the axes are other than zero (`true`). No axes means all of them.
    ///
    /// # Errors
    /// If there are no such axes.
    pub fn all(&self, dim: impl Into<Dims>, keepdim: bool) -> Result<Tensor<bool>> {
        let (found, n) = self.nonzeros("all", &dim.into(), keepdim)?;
        let counts = found.list().map_err(|m| crate::Error::invalid("all", m))?;
        Ok(Tensor::from_fn(found.shape(), |i| counts[i] as usize == n))
    }

    /// Whether any element along the axes is other than zero (`true`). No axes means all of them.
    ///
    /// # Errors
    /// If there are no such axes.
    pub fn any(&self, dim: impl Into<Dims>, keepdim: bool) -> Result<Tensor<bool>> {
        let (found, _) = self.nonzeros("any", &dim.into(), keepdim)?;
        Ok(found.cast())
    }

    /// How many elements along the axes are other than zero (`true`). No axes means all of them.
    ///
    /// # Errors
    /// If there are no such axes.
    pub fn count_nonzero(&self, dim: impl Into<Dims>) -> Result<Tensor<u32>> {
        Ok(self.nonzeros("count_nonzero", &dim.into(), false)?.0)
    }

    /// The numbers of elements that aren't zero, and of those that were counted for each.
    fn nonzeros(&self, name: &'static str, dim: &[isize], keepdim: bool) -> Result<(Tensor<u32>, usize)> {
        let rank = self.rank();
        let checked = crate::tensor::shape::axes_of(dim, rank);
        let mut axes = checked.map_err(|m| crate::Error::invalid(name, m))?;
        if dim.is_empty() || rank == 0 {
            axes = (0..rank).collect();
        }
        let kept: Vec<usize> = (0..rank).filter(|a| !axes.contains(a)).collect();
        let order: Vec<isize> = kept.iter().chain(&axes).map(|&a| a as isize).collect();
        let named = |m| crate::Error::invalid(name, m);
        let moved = self.permute(&order)?.list().map_err(named)?;
        let n: usize = axes.iter().map(|&a| self.shape()[a]).product();
        let outer: usize = kept.iter().map(|&a| self.shape()[a]).product();
        let zero = T::from_f64(0.0);
        let shape: Shape = (0..rank)
            .filter(|a| keepdim || kept.contains(a))
            .map(|a| if kept.contains(&a) { self.shape()[a] } else { 1 })
            .collect();
        let count = |i: usize| moved[i * n..(i + 1) * n].iter().filter(|v| **v != zero).count() as u32;
        Ok((Tensor::from_fn([outer], count).made().map_err(named)?.reshaped(&shape), n))
    }
}

/// # Largest, smallest and middle elements
impl<'t, T: Float> Var<'t, T> {
    #[track_caller]
    fn extremum(&self, name: &str, dim: &[isize], keep: bool, largest: bool) -> Var<'t, T> {
        match self.axes(dim) {
            Ok(axes) => self.tape().apply(Extremum { largest, axes, keep, nan_shares: false }, &[self]),
            Err(message) if self.failed_id().is_none() => self.tape().fail_op(name, message, &[self]),
            Err(_) => self.clone(),
        }
    }

    /// As [`amax`](Var::amax_dim) or [`amin`](Var::amin_dim), but where that is NaN, those that are share the
    /// gradient.
    #[track_caller]
    pub(crate) fn extremum_of_all(&self, dim: &[isize], keep: bool, largest: bool) -> Var<'t, T> {
        match self.axes(dim) {
            Ok(axes) => self.tape().apply(Extremum { largest, axes, keep, nan_shares: true }, &[self]),
            Err(message) => self.tape().fail_op(if largest { "amax" } else { "amin" }, message, &[self]),
        }
    }

    /// The largest element over axes; equal ones share the gradient. Where it is NaN, so are all gradients.
    /// No axes means all of them.
    #[track_caller]
    pub fn amax_dim(&self, dim: impl Into<Dims>, keepdim: bool) -> Var<'t, T> {
        self.extremum("amax", &dim.into(), keepdim, true)
    }

    /// The smallest element over axes; see [`amax`](Var::amax_dim).
    #[track_caller]
    pub fn amin_dim(&self, dim: impl Into<Dims>, keepdim: bool) -> Var<'t, T> {
        self.extremum("amin", &dim.into(), keepdim, false)
    }

    /// The largest of all elements; equal ones share the gradient. If there is NaN, that is it, and what is
    /// NaN shares the gradient.
    #[track_caller]
    pub fn max(&self) -> Var<'t, T> {
        self.extremum_of_all(&[], false, true)
    }

    /// The smallest of all elements; see [`max`](Var::max).
    #[track_caller]
    pub fn min(&self) -> Var<'t, T> {
        self.extremum_of_all(&[], false, false)
    }

    /// The largest element along an axis, and where it is: the first of several, which gets all the gradient.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([[1.0, 3.0], [5.0, 2.0]]);
    /// let (values, indices) = x.max_dim(1, false);
    /// assert_eq!((values.to_vec()?, indices.to_vec()), (vec![3.0, 5.0], vec![1, 0]));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn max_dim(&self, dim: isize, keepdim: bool) -> (Var<'t, T>, Tensor<u32>) {
        self.chosen("max", dim, keepdim, |line| extreme(line, true))
    }

    /// The smallest element along an axis, and where it is; see [`max_dim`](Var::max_dim).
    #[track_caller]
    pub fn min_dim(&self, dim: isize, keepdim: bool) -> (Var<'t, T>, Tensor<u32>) {
        self.chosen("min", dim, keepdim, |line| extreme(line, false))
    }

    /// The median of all elements, of an even number the lower of the middle two; equal ones share the
    /// gradient.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// assert_eq!(tape.constant([4.0, 1.0, 3.0, 2.0]).median().item()?, 2.0); // the lower of the two in the middle
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn median(&self) -> Var<'t, T> {
        self.tape().note_found(self);
        let place = valid!(self, "median", lines(self.tensor(), None, false, middle));
        let values = valid!(self, "median", self.tensor().list());
        let Some(&median) =
            place.as_slice().unwrap_or_default().first().and_then(|&i| values.get(i as usize))
        else {
            return self.clone();
        };
        valid!(self, "median", super::index::small(self.shape()));
        let equal = |v: &T| *v == median || (nan(v) && nan(&median));
        let ties = values.iter().enumerate().filter(|(_, v)| equal(v)).map(|(i, _)| i as u32);
        let ties = valid!(self, "median", listed(0, ties));
        self.elements(Tensor::from(ties)).max()
    }

    /// The median along an axis, of an even number the lower of the middle two, and where it is.
    #[track_caller]
    pub fn median_dim(&self, dim: isize, keepdim: bool) -> (Var<'t, T>, Tensor<u32>) {
        self.chosen("median", dim, keepdim, middle)
    }

    /// The elements along an axis that `find` chooses, and where they are.
    #[track_caller]
    fn chosen(
        &self,
        name: &str,
        dim: isize,
        keepdim: bool,
        find: impl Fn(&[T]) -> Checked<usize> + Sync,
    ) -> (Var<'t, T>, Tensor<u32>) {
        let none = || Tensor::zeros([0]);
        if self.failed_id().is_some() {
            return (self.clone(), none());
        }
        self.tape().note_found(self);
        let index = match lines(self.tensor(), Some(dim), true, find) {
            Ok(index) => index,
            Err(message) => return (self.tape().fail_op(name, message, &[self]), none()),
        };
        let y = self.gather(dim, &index);
        if keepdim || self.rank() == 0 || y.failed_id().is_some() {
            return (y, index);
        }
        let axis = self.shape().axis(dim).unwrap_or(0);
        let y = y.squeezed(axis, false);
        let index = index.reshaped(y.shape());
        (y, index)
    }

    /// The largest element so far along an axis, and where it is, the last of several.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let (values, indices) = tape.constant([1.0, 3.0, 2.0]).cummax(0);
    /// assert_eq!((values.to_vec()?, indices.to_vec()), (vec![1.0, 3.0, 3.0], vec![0, 1, 1]));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn cummax(&self, dim: isize) -> (Var<'t, T>, Tensor<u32>) {
        self.best_so_far("cummax", dim, |new, old| new < old)
    }

    /// The smallest element so far along an axis, and where it is, the last of several.
    #[track_caller]
    pub fn cummin(&self, dim: isize) -> (Var<'t, T>, Tensor<u32>) {
        self.best_so_far("cummin", dim, |new, old| new > old)
    }

    #[track_caller]
    fn best_so_far(
        &self,
        name: &str,
        dim: isize,
        worse: impl Fn(T, T) -> bool + Sync,
    ) -> (Var<'t, T>, Tensor<u32>) {
        let none = || Tensor::zeros([0]);
        if self.failed_id().is_some() {
            return (self.clone(), none());
        }
        self.tape().note_found(self);
        let index = self.tensor().along_lines(dim, self.dim(dim), |line, out| {
            let mut best = (line.first().copied().unwrap_or_default(), 0);
            for ((&v, i), place) in line.iter().zip(0..).zip(out) {
                // Not worse: better, equal, or one of both is NaN; from a NaN only another takes over.
                if !worse(v, best.0) && (nan(&v) || !nan(&best.0)) {
                    best = (v, i);
                }
                *place = best.1;
            }
            Ok(())
        });
        match index {
            Ok(index) => (self.in_order(dim, &index), index),
            Err(message) => (self.tape().fail_op(name, message, &[self]), none()),
        }
    }
}

/// Where the median is: the first NaN if there is one, else the lower of the middle two.
fn middle<T: Element + PartialOrd>(line: &[T]) -> Checked<usize> {
    if let Some(first) = line.iter().position(nan) {
        return Ok(first);
    }
    let mut place = [0];
    sorted(line, line.len().saturating_sub(1) / 2, false, &mut place)?;
    Ok(place[0] as usize)
}
