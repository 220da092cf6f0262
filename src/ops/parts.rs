//! The list that operations give which take a tensor apart.
use super::list::Float;
use crate::tape::{Scalar, Var};
use std::{
    ops::{Deref, DerefMut, Index, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo},
    slice, vec,
};

/// The parts of a tensor, as a list. Of a failed value there are as many parts as were asked for; where that
/// depends on its shape, which nobody knows any more, every index is a part that failed the same way: the
/// error is told where it is asked for.
///
/// ```
/// let tape = kolmo::Tape::<f32>::new();
/// let x = tape.input([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
/// let rows = x.unbind(0);
/// assert_eq!((rows.len(), rows[1].to_vec()?), (2, vec![4.0, 5.0, 6.0]));
/// let bad = x.reshape([7]);
/// assert!(bad.unbind(0)[1].value().unwrap_err().to_string().starts_with("reshape"));
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "taking a tensor apart has no effect but the parts"]
pub struct Parts<V> {
    parts: Vec<V>,
    failed: bool,
}

impl<V: Clone> Parts<V> {
    /// So many parts of a value that failed; not known how many for 0.
    pub(crate) fn failed(part: V, count: usize) -> Parts<V> {
        Parts { parts: vec![part; count.clamp(1, MOST)], failed: true }
    }
}

/// Most failed parts that are made.
const MOST: usize = 1 << 20;

impl<V> From<Vec<V>> for Parts<V> {
    fn from(parts: Vec<V>) -> Parts<V> {
        Parts { parts, failed: false }
    }
}

impl<V> From<Parts<V>> for Vec<V> {
    fn from(parts: Parts<V>) -> Vec<V> {
        parts.parts
    }
}

impl<V> Deref for Parts<V> {
    type Target = Vec<V>;
    fn deref(&self) -> &Vec<V> {
        &self.parts
    }
}

impl<V> DerefMut for Parts<V> {
    fn deref_mut(&mut self) -> &mut Vec<V> {
        &mut self.parts
    }
}

impl<V> Index<usize> for Parts<V> {
    type Output = V;
    fn index(&self, i: usize) -> &V {
        match self.parts.last() {
            Some(last) if self.failed && i >= self.parts.len() => last,
            _ => &self.parts[i],
        }
    }
}

macro_rules! ranges {
    ($($range:ty)*) => {$(
        impl<V> Index<$range> for Parts<V> {
            type Output = [V];
            fn index(&self, range: $range) -> &[V] {
                &self.parts[range]
            }
        }
    )*};
}
ranges!(Range<usize> RangeTo<usize> RangeFrom<usize> RangeInclusive<usize> RangeFull);

impl<V> IntoIterator for Parts<V> {
    type Item = V;
    type IntoIter = vec::IntoIter<V>;
    fn into_iter(self) -> vec::IntoIter<V> {
        self.parts.into_iter()
    }
}

impl<'a, V> IntoIterator for &'a Parts<V> {
    type Item = &'a V;
    type IntoIter = slice::Iter<'a, V>;
    fn into_iter(self) -> slice::Iter<'a, V> {
        self.parts.iter()
    }
}

/// # To scalars
impl<'t, T: Float> Var<'t, T> {
    /// All elements as scalars, in row-major order.
    #[track_caller]
    pub fn to_scalars(&self) -> Parts<Scalar<'t, T>> {
        if let Some(failure) = self.failure() {
            return Parts::failed(self.tape().fail_scalar_with(failure), 0);
        }
        let mut index = vec![0; self.rank()];
        let mut out = Vec::with_capacity(self.numel());
        for _ in 0..self.numel() {
            out.push(self.at(&index));
            for (i, n) in index.iter_mut().zip(self.shape().iter()).rev() {
                *i += 1;
                if *i < *n {
                    break;
                }
                *i = 0;
            }
        }
        out.into()
    }
}
