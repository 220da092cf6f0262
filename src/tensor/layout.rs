//! How the elements of a tensor lie in its buffer, and the views that only change that.
use super::shape::{Shape, Strides, addressable, axes_of, axis_of};
use crate::error::Checked;
use smallvec::SmallVec;

/// Sizes, steps between neighbours along each axis (in elements, may be 0 or negative) and the first element.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layout {
    pub shape: Shape,
    pub strides: Strides,
    pub offset: usize,
}

impl Layout {
    #[inline]
    pub fn contiguous(shape: Shape) -> Layout {
        let strides = shape.contiguous_strides();
        Layout { shape, strides, offset: 0 }
    }

    /// Whether the elements lie one after the other in row-major order.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        let mut step = 1isize;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size == 0 {
                return true;
            }
            if size != 1 && stride != step {
                return false;
            }
            step *= size as isize;
        }
        true
    }

    /// Whether the elements fill one piece of the buffer, with the axes in any order.
    pub fn is_dense(&self) -> bool {
        let axes = self.strides.iter().zip(self.shape.iter()).filter(|(_, size)| **size != 1);
        let mut axes: SmallVec<[(isize, usize); 6]> = axes.map(|(&stride, &size)| (stride, size)).collect();
        axes.sort_unstable();
        let mut step = 1;
        axes.iter().all(|&(stride, size)| {
            let next = stride == step;
            step *= size as isize;
            next
        })
    }

    /// The axes in the order in which a dense tensor lies in memory, in which it is row-major, and the order that puts
    /// them back.
    pub fn memory_order(&self) -> Option<[SmallVec<[isize; 6]>; 2]> {
        let mut order: SmallVec<[isize; 6]> = (0..self.shape.rank() as isize).collect();
        order.sort_by_key(|&axis| std::cmp::Reverse(self.strides[axis as usize]));
        let mut back = order.clone();
        order.iter().zip(0..).for_each(|(&from, to)| back[from as usize] = to);
        (self.is_dense() && self.permute(&order).ok()?.is_contiguous()).then_some([order, back])
    }

    /// Lowest and one past the highest position in the buffer that the layout reaches.
    pub fn range(&self) -> (usize, usize) {
        if self.shape.numel() == 0 {
            return (self.offset, self.offset);
        }
        let (mut low, mut high) = (self.offset as isize, self.offset as isize);
        for (&size, &stride) in self.shape.iter().zip(&self.strides) {
            let reach = stride * (size as isize - 1);
            if reach < 0 { low += reach } else { high += reach }
        }
        (low.max(0) as usize, high.max(0) as usize + 1)
    }

    /// The same elements under another shape, if that is possible without moving them.
    pub fn reshape(&self, shape: &Shape) -> Option<Layout> {
        if self.is_contiguous() {
            return Some(Layout { offset: self.offset, ..Layout::contiguous(shape.clone()) });
        }
        // Runs of axes of the old shape that are contiguous among themselves can be cut anew.
        let old: SmallVec<[(usize, isize); 6]> =
            self.shape.iter().copied().zip(self.strides.iter().copied()).filter(|&(d, _)| d != 1).collect();
        let mut strides = Strides::from_elem(0, shape.rank());
        let (mut i, mut j) = (0, 0);
        while j < shape.rank() {
            if shape[j] == 1 {
                j += 1;
                continue;
            }
            let (mut have, mut want, first, start) = (old.get(i)?.0, shape[j], i, j);
            while have != want {
                if have < want {
                    i += 1;
                    let (d, stride) = *old.get(i)?;
                    if old[i - 1].1 != stride * d as isize {
                        return None;
                    }
                    have *= d;
                } else {
                    j += 1;
                    if j >= shape.rank() {
                        return None;
                    }
                    want *= shape[j];
                }
            }
            debug_assert!(first <= i);
            let mut step = old[i].1;
            for k in (start..=j).rev() {
                strides[k] = step;
                step *= shape[k] as isize;
            }
            i += 1;
            j += 1;
        }
        (i == old.len()).then(|| Layout { shape: shape.clone(), strides, offset: self.offset })
    }

    /// The axes in another order.
    pub fn permute(&self, axes: &[isize]) -> Checked<Layout> {
        if axes.len() != self.shape.rank() {
            return Err(format!("{axes:?} is no order of the {} axes of {}", self.shape.rank(), self.shape));
        }
        axes_of(axes, self.shape.rank())?;
        let mut out = Layout { shape: Shape::default(), strides: Strides::new(), offset: self.offset };
        for &axis in axes {
            let a = axis_of(axis, self.shape.rank())?;
            out.shape.push(self.shape[a]);
            out.strides.push(self.strides[a]);
        }
        Ok(out)
    }

    /// Two axes exchanged.
    pub fn transpose(&self, a: isize, b: isize) -> Checked<Layout> {
        let (a, b) = (self.shape.axis(a)?, self.shape.axis(b)?);
        let mut out = self.clone();
        if self.shape.rank() > 0 {
            out.shape.set(a, self.shape[b]);
            out.shape.set(b, self.shape[a]);
            out.strides.swap(a, b);
        }
        Ok(out)
    }

    /// Every `step`-th element from `start` on, `len` of them, along an axis. A negative step walks
    /// backwards.
    pub fn slice(&self, axis: isize, start: usize, len: usize, step: isize) -> Checked<Layout> {
        if self.shape.rank() == 0 {
            return Err("a tensor of rank 0 has no axis to take a part of".into());
        }
        let a = self.shape.axis(axis)?;
        let size = self.shape[a];
        let last = start as i128 + (len as i128 - 1) * step as i128;
        if start > size || (len > 0 && (start >= size || last < 0 || last >= size as i128)) {
            return Err(format!(
                "start {start}, length {len}, step {step} leave axis {axis}, which has size {size}"
            ));
        }
        let mut out = self.clone();
        if len > 0 {
            out.offset = (self.offset as isize + start as isize * self.strides[a]) as usize;
        }
        out.shape.set(a, len);
        out.strides[a] = self.strides[a].saturating_mul(step);
        Ok(out)
    }

    /// One index of an axis, which is dropped. Negative indices count from the end.
    pub fn select(&self, axis: isize, index: isize) -> Checked<Layout> {
        if self.shape.rank() == 0 {
            return Err("a tensor of rank 0 has no axis to select from".into());
        }
        let a = self.shape.axis(axis)?;
        let size = self.shape[a] as isize;
        if index < -size || index >= size {
            return Err(format!("index {index} is out of range for axis {axis} of {}", self.shape));
        }
        let at = if index < 0 { index + size } else { index };
        let mut out = self.slice(axis, at as usize, 1, 1)?;
        out.shape.remove(a);
        out.strides.remove(a);
        Ok(out)
    }

    /// Axes of size 1 repeated, and new axes in front, without copying.
    pub fn expand(&self, shape: &Shape) -> Checked<Layout> {
        let rank = self.shape.rank();
        let lead = shape.rank().checked_sub(rank).ok_or_else(|| {
            format!("{} has more axes than {shape}, to which it should be expanded", self.shape)
        })?;
        let mut strides = Strides::from_elem(0, lead);
        for i in 0..rank {
            let (have, want) = (self.shape[i], shape[lead + i]);
            if have == want {
                strides.push(self.strides[i]);
            } else if have == 1 {
                strides.push(0);
            } else {
                return Err(format!("{} can't be expanded to {shape}: size {have} is not 1", self.shape));
            }
        }
        addressable(shape)?;
        Ok(Layout { shape: shape.clone(), strides, offset: self.offset })
    }

    /// An axis of size 1 put in before `axis`, which may be one past the last.
    pub fn unsqueeze(&self, axis: isize) -> Checked<Layout> {
        let a = axis_of(axis, self.shape.rank() + 1)?;
        let mut out = self.clone();
        out.shape.insert(a, 1);
        out.strides.insert(a, 1);
        Ok(out)
    }

    /// The given axes dropped where their size is 1; all such axes for `None`.
    pub fn squeeze(&self, axes: Option<&[isize]>) -> Checked<Layout> {
        let chosen = match axes {
            Some(axes) => axes_of(axes, self.shape.rank())?,
            None => (0..self.shape.rank()).collect(),
        };
        let mut out = self.clone();
        for &a in chosen.iter().rev() {
            if self.shape[a] == 1 && self.shape.rank() > 0 {
                out.shape.remove(a);
                out.strides.remove(a);
            }
        }
        Ok(out)
    }

    /// The given axes walked backwards.
    pub fn flip(&self, axes: &[isize]) -> Checked<Layout> {
        let mut out = self.clone();
        for a in axes_of(axes, self.shape.rank())? {
            let size = self.shape[a];
            if size > 0 {
                out.offset = (out.offset as isize + (size as isize - 1) * out.strides[a]) as usize;
                out.strides[a] = -out.strides[a];
            }
        }
        Ok(out)
    }

    /// The diagonal of two axes, moved to the end: element i lies at (i - min(k, 0), i + max(k, 0)).
    pub fn diagonal(&self, k: isize, a: isize, b: isize) -> Checked<Layout> {
        let (i, j) = (self.shape.axis(a)?, self.shape.axis(b)?);
        if i == j || self.shape.rank() < 2 {
            return Err(format!("a diagonal needs two different axes, not {a} and {b} of {}", self.shape));
        }
        let (down, right) = (k.min(0).unsigned_abs(), k.max(0) as usize);
        let len = self.shape[i].saturating_sub(down).min(self.shape[j].saturating_sub(right));
        let mut out = self.clone();
        if len > 0 {
            let first = down as isize * self.strides[i] + right as isize * self.strides[j];
            out.offset = (self.offset as isize + first) as usize;
        }
        for at in [i.max(j), i.min(j)] {
            out.shape.remove(at);
            out.strides.remove(at);
        }
        out.shape.push(len);
        out.strides.push(self.strides[i] + self.strides[j]);
        Ok(out)
    }
}
