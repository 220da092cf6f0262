//! Elements in other places or several times: shifted, turned, repeated, in windows.
use super::{
    index::{small, valid},
    list::Float,
};
use crate::{
    tape::Var,
    tensor::{Dims, Index, Shape, Tensor, room::listed, shape::axes_of},
};

/// # Repeating, shifting, windows
impl<'t, T: Float> Var<'t, T> {
    /// The elements shifted along axes; what leaves at one end comes in at the other. Without axes, the
    /// flattened tensor is shifted.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([1.0, 2.0, 3.0]);
    /// assert_eq!(x.roll(1, 0).to_vec()?, [3.0, 1.0, 2.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn roll(&self, shifts: impl Into<Dims>, dims: impl Into<Dims>) -> Var<'t, T> {
        self.rolled(&shifts.into(), &dims.into())
    }

    #[track_caller]
    fn rolled(&self, shifts: &[isize], dims: &[isize]) -> Var<'t, T> {
        if dims.is_empty() && shifts.len() == 1 && self.failed_id().is_none() {
            return self.flatten(0, -1).rolled(shifts, &[0]).reshape_to(self.shape());
        }
        if shifts.is_empty() {
            return self.tape().fail_op("roll", "takes at least one shift", &[self]);
        }
        if shifts.len() != dims.len() {
            let message = format!("shifts {shifts:?} and axes {dims:?} differ in number");
            return self.tape().fail_op("roll", message, &[self]);
        }
        if self.rank() == 0 && !dims.is_empty() {
            return self.tape().fail_op("roll", format!("a tensor of rank 0 has no axes {dims:?}"), &[self]);
        }
        let mut x = self.clone();
        for (&shift, &dim) in shifts.iter().zip(dims) {
            let axis = valid!(self, "roll", self.shape().axis(dim));
            let size = self.shape().get(axis).copied().unwrap_or(0);
            if size == 0 || shift.rem_euclid(size as isize) == 0 {
                continue;
            }
            let by = shift.rem_euclid(size as isize) as usize;
            let (head, tail) = (x.strided(axis, 0, size - by, 1), x.strided(axis, size - by, by, 1));
            x = self.tape().cat(&[&tail, &head], axis as isize);
        }
        x
    }

    /// Turned by `k` quarters in the plane of two axes, from the first towards the second.
    #[track_caller]
    pub fn rot90(&self, k: isize, dims: [isize; 2]) -> Var<'t, T> {
        let axes = valid!(self, "rot90", axes_of(&dims, self.rank()));
        if self.rank() < 2 || axes.len() != 2 {
            let message =
                format!("takes two different axes of at least two, not {dims:?} of {}", self.shape());
            return self.tape().fail_op("rot90", message, &[self]);
        }
        match k.rem_euclid(4) {
            0 => self.clone(),
            1 => self.flip(&dims[1..]).transpose(dims[0], dims[1]),
            2 => self.flip(dims),
            _ => self.flip(&dims[..1]).transpose(dims[0], dims[1]),
        }
    }

    /// The tensor repeated along each axis as often as `repeats` says; further ones in front are new axes.
    #[track_caller]
    #[doc(alias = "tile")]
    pub fn repeat(&self, repeats: &[usize]) -> Var<'t, T> {
        let Some(lead) = repeats.len().checked_sub(self.rank()) else {
            let message = format!("{repeats:?} has fewer numbers than {} has axes", self.shape());
            return self.tape().fail_op("repeat", message, &[self]);
        };
        let sizes = std::iter::repeat_n(1, lead).chain(self.shape().iter().copied());
        let mut apart = Shape::default();
        let (mut wide, mut shape) = (Shape::default(), Shape::default());
        for (size, &n) in sizes.zip(repeats) {
            apart.push(1);
            apart.push(size);
            wide.push(n);
            wide.push(size);
            shape.push(size.saturating_mul(n));
        }
        let numel = shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
        let possible = numel.filter(|n| *n <= isize::MAX as usize / size_of::<T>());
        valid!(
            self,
            "repeat",
            possible.ok_or_else(|| format!("{repeats:?} times {} is too large", self.shape()))
        );
        self.reshape_to(&apart).expand_to(&wide).reshape_to(&shape)
    }

    /// Every index of an axis repeated; `repeats` has a number for each of them, or one for all. Without an
    /// axis, the flattened tensor's.
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([1.0, 2.0]);
    /// assert_eq!(x.repeat_interleave(&Tensor::from([2u32, 1]), 0).to_vec()?, [1.0, 1.0, 2.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn repeat_interleave<I: Index>(
        &self,
        repeats: &Tensor<I>,
        dim: impl Into<Option<isize>>,
    ) -> Var<'t, T> {
        valid!(self, "repeat_interleave", repeats.there());
        let Some(dim) = dim.into() else {
            return self.flatten(0, -1).repeat_interleave(repeats, 0);
        };
        let x = if self.rank() == 0 { self.flatten(0, -1) } else { self.clone() };
        let axis = valid!(&x, "repeat_interleave", x.shape().axis(dim));
        let (counts, size) = (valid!(&x, "repeat_interleave", repeats.list()), x.shape()[axis]);
        if repeats.rank() > 1 || (counts.len() != size && counts.len() != 1) {
            let message =
                format!("repeats has shape {}, but must have one number or {size}, a list", repeats.shape());
            return x.tape().fail_op("repeat_interleave", message, &[&x]);
        }
        let times = |i: usize| counts[if counts.len() == 1 { 0 } else { i }].to_i64();
        if let Some(n) = (0..size).map(times).find(|&n| n < 0) {
            let message = format!("{n} repeats: the number must not be negative");
            return x.tape().fail_op("repeat_interleave", message, &[&x]);
        }
        let times = |i: usize| times(i) as usize;
        let n = (0..size).map(times).fold(0, usize::saturating_add);
        valid!(&x, "repeat_interleave", small(&Shape::new(&[n])));
        let index = (0..size).flat_map(|i| std::iter::repeat_n(i as u32, times(i)));
        let index = valid!(&x, "repeat_interleave", listed(n, index));
        x.slices(axis, Tensor::from(index))
    }

    /// All windows of `size` indices of an axis, `step` apart, as a new last axis.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([1.0, 2.0, 3.0, 4.0]);
    /// assert_eq!(x.unfold(0, 2, 1).to_vec()?, [1.0, 2.0, 2.0, 3.0, 3.0, 4.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn unfold(&self, dimension: isize, size: usize, step: usize) -> Var<'t, T> {
        let axis = valid!(self, "unfold", self.shape().axis(dimension));
        let len = self.shape().get(axis).copied().unwrap_or(1);
        if size > len || step == 0 {
            let message = format!(
                "windows of {size}, {step} apart, on axis {dimension} of {}: the size must be at most {len}, the step at least 1",
                self.shape()
            );
            return self.tape().fail_op("unfold", message, &[self]);
        }
        if self.rank() == 0 {
            return self.flatten(0, -1).strided(0, 0, size, 1);
        }
        let n = (len - size) / step + 1;
        valid!(self, "unfold", small(&Shape::new(&[n, size])));
        let index = (0..n).flat_map(|w| (0..size).map(move |k| (w * step + k) as u32));
        let index = valid!(self, "unfold", listed(n * size, index));
        let s = self.shape();
        let shape = s[..axis].iter().copied().chain([n, size]).chain(s[axis + 1..].iter().copied()).collect();
        self.slices(axis, Tensor::from(index)).reshape_to(&shape).movedim([axis as isize + 1], [-1])
    }
}
