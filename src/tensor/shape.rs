//! Sizes, strides and the arithmetic on them: broadcasting, axes, reshaping. No data.
use super::short_list::ShortList;
use crate::error::Checked;
use smallvec::SmallVec;
use std::{fmt, ops::Deref};

/// Sizes of the axes of a tensor. Up to five axes it needs no allocation.
///
/// Indexing never panics: an axis that isn't there has size 0, a range that isn't there is empty.
///
/// ```
/// let x = kolmo::Tensor::<f32>::zeros([2, 3, 4]);
/// let shape = x.shape();
/// assert_eq!(shape, &[2, 3, 4]);
/// assert_eq!((shape.rank(), shape.numel(), shape.dim(-1)), (3, 24, 4));
/// assert_eq!(shape[1..], [3, 4]);
/// ```
#[derive(Clone, PartialEq, Default)]
pub struct Shape(ShortList<usize>);

pub(crate) type Strides = ShortList<isize>;

impl Shape {
    /// The sizes as a shape.
    #[inline]
    pub fn new(sizes: &[usize]) -> Shape {
        Shape(ShortList::from_slice(sizes))
    }

    /// Number of elements: the product of the sizes, 1 for rank 0. Saturates rather than overflows.
    #[inline]
    pub fn numel(&self) -> usize {
        self.0.iter().fold(1usize, |n, &d| n.saturating_mul(d))
    }

    /// Number of axes.
    #[inline]
    pub fn rank(&self) -> usize {
        self.0.len()
    }

    /// Size of an axis, counted from the end if negative; 0 if there is no such axis.
    pub fn dim(&self, axis: isize) -> usize {
        self.axis(axis).map_or(0, |a| self[a])
    }

    /// The axis as an index from 0, or a message that says which would be accepted.
    #[inline]
    pub(crate) fn axis(&self, axis: isize) -> Checked<usize> {
        axis_of(axis, self.rank())
    }

    /// The index of the element at a position in row-major order, if there is one.
    pub(crate) fn index_of(&self, mut position: usize) -> Option<Vec<usize>> {
        if position >= self.numel() {
            return None;
        }
        let mut index = vec![0; self.rank()];
        for (i, &size) in index.iter_mut().zip(self.iter()).rev() {
            (*i, position) = (position % size, position / size);
        }
        Some(index)
    }

    #[inline]
    pub(crate) fn push(&mut self, size: usize) {
        self.0.push(size);
    }

    pub(crate) fn insert(&mut self, at: usize, size: usize) {
        self.0.insert(at, size);
    }

    pub(crate) fn remove(&mut self, at: usize) -> usize {
        self.0.remove(at)
    }

    #[inline]
    pub(crate) fn set(&mut self, at: usize, size: usize) {
        if let Some(place) = self.0.get_mut(at) {
            *place = size;
        }
    }

    /// Strides of a row-major tensor of this shape.
    #[inline]
    pub(crate) fn contiguous_strides(&self) -> Strides {
        let mut strides = Strides::from_elem(0, self.rank());
        let mut step = 1isize;
        for (stride, &size) in strides.iter_mut().zip(self.0.iter()).rev() {
            *stride = step;
            step = step.saturating_mul(size.max(1) as isize);
        }
        strides
    }
}

/// An axis from 0 to rank - 1 for one from -rank to rank - 1. A tensor of rank 0 has axes 0 and -1, as in
/// PyTorch.
pub(crate) fn axis_of(axis: isize, rank: usize) -> Checked<usize> {
    let n = rank.max(1) as isize;
    if axis >= -n && axis < n {
        Ok(if axis < 0 { axis + n } else { axis } as usize)
    } else {
        Err(format!("axis {axis} is out of range, rank {rank} has axes {} to {}", -n, n - 1))
    }
}

/// Several axes as sorted, unique indices. An axis that is named twice is an error.
pub(crate) fn axes_of(axes: &[isize], rank: usize) -> Checked<SmallVec<[usize; 6]>> {
    let mut found: SmallVec<[usize; 6]> = SmallVec::new();
    for &axis in axes {
        let a = axis_of(axis, rank)?;
        if found.contains(&a) {
            return Err(format!("axis {axis} appears twice in {axes:?}"));
        }
        found.push(a);
    }
    found.sort_unstable();
    Ok(found)
}

/// The shape that both broadcast to: aligned at the last axis, sizes equal or one of them 1.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Checked<Shape> {
    if a == b {
        return Ok(Shape::new(a));
    }
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| if i + s.len() >= rank { s[i + s.len() - rank] } else { 1 };
    let mut shape = Shape::default();
    for i in 0..rank {
        let (x, y) = (at(a, i), at(b, i));
        match (x, y) {
            _ if x == y => shape.push(x),
            (1, _) => shape.push(y),
            (_, 1) => shape.push(x),
            _ => {
                return Err(format!(
                    "{a:?} and {b:?} don't broadcast: sizes {x} and {y} at axis {} differ and neither is 1",
                    i as isize - rank as isize
                ));
            }
        }
    }
    Ok(shape)
}

/// That the product of any of the sizes, zeros or not, is a number of elements that memory could have: also
/// asked of views, which need no memory of their own until something copies them.
pub(crate) fn addressable(sizes: &[usize]) -> Checked<()> {
    let product = sizes.iter().try_fold(1usize, |n, &size| n.checked_mul(size.max(1)));
    match product {
        Some(n) if n < LARGE || Vec::<f32>::new().try_reserve_exact(n).is_ok() => Ok(()),
        _ => {
            let n = sizes.iter().fold(1u128, |n, &size| n.saturating_mul(size as u128));
            Err(format!("a tensor of shape {sizes:?} has {n} elements, more than there is memory for"))
        }
    }
}

/// Elements from which the system is asked whether it has room for them.
const LARGE: usize = 1 << 26;

/// Sizes with at most one -1, which is worked out from the number of elements.
pub(crate) fn infer(numel: usize, sizes: &[isize]) -> Checked<Shape> {
    let mut shape = Shape::default();
    let (mut known, mut open) = (1usize, None);
    for (i, &s) in sizes.iter().enumerate() {
        match s {
            -1 if open.is_none() => open = Some(i),
            -1 => return Err(format!("only one size of {sizes:?} can be -1")),
            s if s < 0 => return Err(format!("size {s} in {sizes:?} is negative")),
            s => {
                known = known
                    .checked_mul(s as usize)
                    .ok_or_else(|| format!("sizes {sizes:?} overflow the address space"))?
            }
        }
        shape.push(s.max(0) as usize);
    }
    let fits = match open {
        Some(i) if known > 0 && numel.is_multiple_of(known) => {
            shape.set(i, numel / known);
            true
        }
        Some(_) => false,
        None => known == numel,
    };
    addressable(&shape)?;
    if fits { Ok(shape) } else { Err(format!("{numel} elements don't fit shape {sizes:?}")) }
}

impl Deref for Shape {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        &self.0
    }
}

impl std::ops::Index<usize> for Shape {
    type Output = usize;
    fn index(&self, axis: usize) -> &usize {
        self.0.get(axis).unwrap_or(&0)
    }
}

macro_rules! ranges {
    ($($range:ty)*) => {$(
        impl std::ops::Index<$range> for Shape {
            type Output = [usize];
            fn index(&self, axes: $range) -> &[usize] {
                self.0.get(axes).unwrap_or(&[])
            }
        }
    )*};
}
ranges!(std::ops::Range<usize> std::ops::RangeTo<usize> std::ops::RangeFrom<usize>
    std::ops::RangeInclusive<usize> std::ops::RangeFull);

impl Eq for Shape {}

impl serde::Serialize for Shape {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_slice().serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Shape {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Shape, D::Error> {
        Vec::deserialize(deserializer).map(Shape::from)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.as_slice(), f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0.as_slice(), f)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(sizes: [usize; N]) -> Shape {
        Shape::new(&sizes)
    }
}

impl From<&[usize]> for Shape {
    fn from(sizes: &[usize]) -> Shape {
        Shape::new(sizes)
    }
}

impl From<Vec<usize>> for Shape {
    fn from(sizes: Vec<usize>) -> Shape {
        Shape::new(&sizes)
    }
}

impl From<&Shape> for Shape {
    fn from(shape: &Shape) -> Shape {
        shape.clone()
    }
}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(sizes: I) -> Shape {
        Shape(sizes.into_iter().collect())
    }
}

impl<const N: usize> PartialEq<[usize; N]> for Shape {
    fn eq(&self, other: &[usize; N]) -> bool {
        self.0.as_slice() == other
    }
}

impl PartialEq<[usize]> for Shape {
    fn eq(&self, other: &[usize]) -> bool {
        self.0.as_slice() == other
    }
}
