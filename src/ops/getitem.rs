//! `x[…]` as in NumPy and PyTorch: single indices, slices, new axes, tensors of indices and masks, in any
//! mixture.
use super::{
    index::{indices, small, valid},
    list::Float,
};
use crate::{
    error::Checked,
    tape::Var,
    tensor::{
        Shape, Tensor,
        room::{filled, listed},
        shape::broadcast,
    },
};
use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

/// What is taken of one axis, or of several; made by [`index!`](crate::index) from numbers, ranges, lists and
/// masks.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TensorIndex {
    /// One index, negative from the end; the axis goes away.
    At(isize),
    /// Every `step`-th index from `start` up to `end`, which are cut to the axis; negative from the end.
    Slice {
        /// The first index (default: the first there is, in the direction of the step).
        start: Option<isize>,
        /// The index before which it ends (default: none).
        end: Option<isize>,
        /// From one index to the next.
        step: isize,
    },
    /// As many whole axes as there are left.
    Ellipsis,
    /// A new axis of size 1.
    NewAxis,
    /// The indices of a tensor, negative from the end. Several such tensors broadcast and walk together.
    Indices(Tensor<i64>),
    /// Where a mask over one or more axes is true.
    Mask(Tensor<bool>),
}

macro_rules! from {
    ($($t:ty, |$r:ident| $start:expr, $end:expr;)*) => {$(
        impl From<$t> for TensorIndex {
            fn from($r: $t) -> TensorIndex {
                TensorIndex::Slice { start: $start, end: $end, step: 1 }
            }
        }
    )*};
}
from! {
    Range<isize>, |r| Some(r.start), Some(r.end);
    RangeFrom<isize>, |r| Some(r.start), None;
    RangeTo<isize>, |r| None, Some(r.end);
    RangeFull, |_r| None, None;
    RangeInclusive<isize>, |r| Some(*r.start()), r.end().checked_add(1).filter(|&e| e != 0);
    RangeToInclusive<isize>, |r| None, r.end.checked_add(1).filter(|&e| e != 0);
}

impl From<isize> for TensorIndex {
    fn from(index: isize) -> TensorIndex {
        TensorIndex::At(index)
    }
}
impl From<Tensor<i64>> for TensorIndex {
    fn from(index: Tensor<i64>) -> TensorIndex {
        TensorIndex::Indices(index)
    }
}
impl From<Vec<i64>> for TensorIndex {
    fn from(index: Vec<i64>) -> TensorIndex {
        TensorIndex::Indices(Tensor::from(index))
    }
}
impl From<Tensor<bool>> for TensorIndex {
    fn from(mask: Tensor<bool>) -> TensorIndex {
        TensorIndex::Mask(mask)
    }
}

/// A list for [`Var::index`](crate::Var::index): `index![-1, 2..5, .., vec![0, 3]]`.
#[macro_export]
#[doc(alias = "getitem")]
macro_rules! index {
    ($($item:expr),* $(,)?) => { [$($crate::ops::TensorIndex::from($item)),*] };
}

/// Start and number of the indices of a slice, as Python cuts it to the axis.
fn cut(size: usize, start: Option<isize>, end: Option<isize>, step: isize) -> Checked<(usize, usize)> {
    if step < 1 {
        return Err(format!("step {step} of a slice must be at least 1; flip walks backwards"));
    }
    let n = size as isize;
    let place = |i: isize| if i < 0 { (i + n).max(0) } else { i.min(n) } as usize;
    let (start, end) = (start.map_or(0, place), end.map_or(size, place));
    Ok((start, end.saturating_sub(start).div_ceil(step as usize)))
}

/// The indices at which a mask is true, one list for each of its axes.
fn true_indices(mask: &Tensor<bool>) -> Checked<Vec<Tensor<u32>>> {
    let flat = mask.list()?;
    let places = || flat.iter().enumerate().filter(|(_, m)| **m).map(|(i, _)| i);
    let strides = mask.shape().contiguous_strides();
    let list = |a: usize| {
        let (stride, size) = (strides[a].max(1) as usize, mask.shape()[a].max(1));
        Ok(Tensor::from(listed(0, places().map(|p| (p / stride % size) as u32))?))
    };
    (0..mask.rank()).map(list).collect()
}

/// Axes of a view that tensors of indices walk, with these indices.
type Advanced = Vec<(usize, Tensor<u32>)>;

/// # Parts by an index list
impl<'t, T: Float> Var<'t, T> {
    /// The part of this tensor that a list names, one item for each axis; axes that aren't named stay whole.
    ///
    /// Tensors of indices broadcast to each other; their common axes stand where the first of them stood, or
    /// in front if a slice, ellipsis or new axis lies between two of them, as in PyTorch.
    ///
    /// ```
    /// use kolmo::{Tape, index, ops::TensorIndex};
    /// let tape = Tape::<f32>::new();
    /// let x = tape.input([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
    /// assert_eq!(x.index(index![1, 1..]).to_vec()?, [5.0, 6.0]);
    /// assert_eq!(x.index(index![.., vec![2, 0]]).to_vec()?, [3.0, 1.0, 6.0, 4.0]);
    /// assert_eq!(x.index([TensorIndex::Ellipsis, TensorIndex::At(0)]).to_vec()?, [1.0, 4.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    #[doc(alias = "getitem")]
    pub fn index(&self, items: impl AsRef<[TensorIndex]>) -> Var<'t, T> {
        let items = items.as_ref();
        let named: usize = items
            .iter()
            .map(|item| match item {
                TensorIndex::Ellipsis | TensorIndex::NewAxis => 0,
                TensorIndex::Mask(mask) => mask.rank(),
                _ => 1,
            })
            .sum();
        let left = self
            .rank()
            .checked_sub(named)
            .filter(|_| items.iter().filter(|item| matches!(item, TensorIndex::Ellipsis)).count() <= 1);
        let left = left.ok_or_else(|| {
            format!(
                "{named} axes are named (an ellipsis at most once), but the tensor has shape {}",
                self.shape()
            )
        });
        let left = valid!(self, "index", left);
        let (mut x, mut axis) = (self.clone(), 0usize);
        let (mut advanced, mut lists, mut apart): (Advanced, usize, bool) = (Vec::new(), 0, false);
        let mut between = false;
        for item in items {
            let size = x.shape().get(axis).copied().unwrap_or(0);
            if matches!(item, TensorIndex::Indices(_) | TensorIndex::Mask(_)) {
                apart |= between && lists > 0;
                (between, lists) = (false, lists + 1);
            } else if !matches!(item, TensorIndex::At(_)) {
                between = true;
            }
            match item {
                TensorIndex::At(index) => x = x.select(axis as isize, *index),
                TensorIndex::Slice { start, end, step } => {
                    let (first, len) = valid!(self, "index", cut(size, *start, *end, *step));
                    if (first, len, *step) != (0, size, 1) {
                        x = x.strided(axis, first, len, *step as usize);
                    }
                    axis += 1;
                }
                TensorIndex::Ellipsis => axis += left,
                TensorIndex::NewAxis => {
                    x = x.unsqueeze(axis as isize);
                    axis += 1;
                }
                TensorIndex::Indices(index) => {
                    advanced.push((axis, valid!(self, "index", indices(index, size, true))));
                    axis += 1;
                }
                TensorIndex::Mask(mask) => {
                    valid!(self, "index", mask.there());
                    let here = &x.shape()[axis..axis + mask.rank()];
                    let fits = if *mask.shape() == *here {
                        Ok(())
                    } else {
                        Err(format!(
                            "the mask has shape {}, but the axes it is for have {here:?}",
                            mask.shape()
                        ))
                    };
                    valid!(self, "index", fits);
                    if mask.rank() == 0 {
                        // A single truth is a new axis with one index or none.
                        x = x.unsqueeze(axis as isize);
                        let hits = if mask.to_vec() == [true] { vec![0] } else { vec![] };
                        advanced.push((axis, Tensor::from(hits)));
                        axis += 1;
                    }
                    for list in valid!(self, "index", true_indices(mask)) {
                        advanced.push((axis, list));
                        axis += 1;
                    }
                }
            }
            if x.failed_id().is_some() {
                return x;
            }
        }
        if advanced.is_empty() { x } else { x.walked(advanced, apart) }
    }

    /// Every `step`-th index of an axis from `start` up to `end`, both cut to the axis; negative from the
    /// end.
    #[track_caller]
    pub fn slice(
        &self,
        dim: isize,
        start: impl Into<Option<isize>>,
        end: impl Into<Option<isize>>,
        step: isize,
    ) -> Var<'t, T> {
        let axis = valid!(self, "slice", self.shape().axis(dim));
        let size = self.shape().get(axis).copied().ok_or("a tensor of rank 0 has no axis to take a part of");
        let size = valid!(self, "slice", size);
        let (first, len) = valid!(self, "slice", cut(size, start.into(), end.into(), step));
        self.strided(axis, first, len, step as usize)
    }

    /// Indexed by tensors along several axes at once; their common axes go to the front if `apart`.
    #[track_caller]
    fn walked(&self, advanced: Advanced, apart: bool) -> Var<'t, T> {
        let common = advanced.iter().try_fold(Shape::default(), |s, (_, i)| broadcast(&s, i.shape()));
        let common = valid!(self, "index", common);
        valid!(self, "index", small(self.shape()));
        let axes: Vec<usize> = advanced.iter().map(|(a, _)| *a).collect();
        let rest: Vec<usize> = (0..self.rank()).filter(|a| !axes.contains(a)).collect();
        valid!(self, "index", small(&common));
        let mut flat = valid!(self, "index", filled(common.numel(), 0u32));
        let mut total = 1;
        for (axis, index) in &advanced {
            let size = self.shape()[*axis];
            total *= size;
            let index = valid!(self, "index", index.layout().expand(&common).map(|l| index.view(l)));
            for (f, i) in flat.iter_mut().zip(valid!(self, "index", index.list())) {
                *f = *f * size as u32 + i;
            }
        }
        let order: Vec<isize> = axes.iter().chain(&rest).map(|&a| a as isize).collect();
        let others: Vec<usize> = rest.iter().map(|&a| self.shape()[a]).collect();
        let rows: Shape = [total].into_iter().chain(others.iter().copied()).collect();
        let taken = self.permute(&order).reshape_to(&rows).slices(0, Tensor::from(flat));
        let shape: Shape = common.iter().copied().chain(others).collect();
        let taken = taken.reshape_to(&shape);
        let before = rest.iter().filter(|&&a| a < axes[0]).count();
        if apart || before == 0 {
            return taken;
        }
        let c = common.rank();
        let order: Vec<isize> =
            (c..c + before).chain(0..c).chain(c + before..taken.rank()).map(|a| a as isize).collect();
        taken.permute(&order)
    }
}
