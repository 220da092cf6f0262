//! Axes made longer at their ends, or shorter.
use super::{index::valid, list::Float};
use crate::{
    error::Checked,
    tape::Var,
    tensor::{Tensor, room::listed},
};

/// What [`Var::pad`] puts at the ends of an axis.
///
/// ```
/// use kolmo::{Tape, ops::Pad};
/// let tape = Tape::<f32>::inference();
/// let x = tape.constant([1.0, 2.0, 3.0]);
/// assert_eq!(x.pad(&[1, 1], Pad::Constant(0.0)).to_vec()?, [0.0, 1.0, 2.0, 3.0, 0.0]);
/// assert_eq!(x.pad(&[1, 1], Pad::Reflect).to_vec()?, [2.0, 1.0, 2.0, 3.0, 2.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Pad {
    /// A number.
    Constant(f64),
    /// The tensor mirrored at its end elements.
    Reflect,
    /// The end elements.
    Replicate,
    /// The tensor from its other end.
    Circular,
}

/// Which indices of an axis make up the padded one.
fn index(mode: Pad, n: isize, left: isize, right: isize) -> Checked<Vec<u32>> {
    let longest = match mode {
        Pad::Reflect => n - 1,
        Pad::Circular => n,
        _ => isize::MAX,
    };
    let whole = left.saturating_add(right).saturating_add(n);
    if left.max(right) > longest || n == 0 || !(0..=u32::MAX as isize).contains(&whole) {
        return Err(format!("padding ({left}, {right}) doesn't suit {mode:?} on an axis of {n}"));
    }
    let source = |i: isize| match mode {
        Pad::Reflect if i < 0 => -i,
        Pad::Reflect if i >= n => 2 * (n - 1) - i,
        Pad::Circular => i.rem_euclid(n),
        _ => i.clamp(0, n - 1),
    };
    listed(whole as usize, (-left..n + right).map(|i| source(i) as u32))
}

/// # Padding
impl<'t, T: Float> Var<'t, T> {
    /// Axes made longer: `padding` has a number before and one behind for the last axis, then for the last
    /// but one, and so on. Negative numbers cut off.
    ///
    /// ```
    /// use kolmo::{Tape, ops::Pad};
    /// let tape = Tape::<f32>::new();
    /// let x = tape.input([1.0, 2.0, 3.0]);
    /// assert_eq!(x.pad(&[2, 1], Pad::Reflect).to_vec()?, [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
    /// assert_eq!(x.pad(&[-1, 1], Pad::Constant(0.0)).to_vec()?, [2.0, 3.0, 0.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn pad(&self, padding: &[isize], mode: Pad) -> Var<'t, T> {
        if !padding.len().is_multiple_of(2) || padding.len() / 2 > self.rank() {
            let message = format!(
                "padding {padding:?} must have two numbers for an axis, for at most the {} of {}",
                self.rank(),
                self.shape()
            );
            valid!(self, "pad", Err::<(), _>(message));
        }
        let mut x = self.clone();
        for (k, ends) in padding.chunks_exact(2).enumerate() {
            let (left, right) = (ends[0], ends[1]);
            if (left, right) == (0, 0) {
                continue;
            }
            let axis = self.rank() - 1 - k;
            let n = self.shape()[axis] as isize;
            x = match mode {
                Pad::Constant(value) => {
                    let [cut, behind] = [left, right].map(|end| end.saturating_neg().max(0));
                    let possible = n >= cut.saturating_add(behind) && left.max(right) < isize::MAX / 4;
                    let message = || format!("padding ({left}, {right}) doesn't suit an axis of {n}");
                    valid!(self, "pad", possible.then_some(()).ok_or_else(message));
                    let kept = x.narrow(axis as isize, cut as usize, (n - cut - behind) as usize);
                    let filled = |size: isize| {
                        let mut shape = kept.shape().clone();
                        shape.set(axis, size.max(0) as usize);
                        Tensor::full(shape, T::from_f64(value))
                    };
                    let [before, after] = [left, right].map(|size| self.tape().constant(filled(size)));
                    self.tape().cat(&[&before, &kept, &after], axis as isize)
                }
                _ => x.slices(axis, Tensor::from(valid!(self, "pad", index(mode, n, left, right)))),
            };
        }
        x
    }
}
