//! Shapes taken apart and put together: what follows from the views and joins in `shape`.
use super::{
    Parts, SplitAt, SplitSizes,
    index::valid,
    list::{Float, ShapeOp},
};
use crate::{
    error::Checked,
    tape::{Tape, Var},
    tensor::{
        Dims, Shape,
        room::{more, room},
        shape::{axes_of, axis_of, infer},
    },
};
use smallvec::SmallVec;

/// How the grids of [`Tape::meshgrid`] are laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MeshgridIndexing {
    /// As matrices: the first list varies along the first axis.
    #[default]
    Ij,
    /// As pictures: the first list varies along the second axis.
    Xy,
}

/// Lengths and ends of the parts of an axis at the given places, which are cut to it.
fn parts_at(size: usize, at: &[isize]) -> Vec<(usize, usize)> {
    let n = size as isize;
    let place = |i: isize| if i < 0 { (i + n).max(0) } else { i.min(n) } as usize;
    let mut start = 0;
    let ends = at.iter().map(|&i| place(i)).chain([size]);
    ends.map(|end| {
        let part = (start, end.saturating_sub(start));
        start = end;
        part
    })
    .collect()
}

/// Most empty parts that an empty axis is cut into.
const MOST: usize = 1 << 20;

/// # Axes joined, added, removed; tensors taken apart
impl<'t, T: Float> Var<'t, T> {
    /// The axes from `start_dim` to `end_dim` as one; a tensor of rank 0 becomes a list. `flatten(0, -1)` gives all
    /// elements as a list.
    #[track_caller]
    #[doc(alias = "ravel")]
    pub fn flatten(&self, start_dim: isize, end_dim: isize) -> Var<'t, T> {
        let start = valid!(self, "flatten", self.shape().axis(start_dim));
        let end = valid!(self, "flatten", self.shape().axis(end_dim));
        if start > end {
            let message = format!("start_dim {start_dim} comes after end_dim {end_dim} in {}", self.shape());
            return self.tape().fail_op("flatten", message, &[self]);
        }
        if self.rank() == 0 {
            return self.reshape_to(&Shape::new(&[1]));
        }
        let s = self.shape();
        let middle = s[start..=end].iter().product();
        let shape = s[..start].iter().copied().chain([middle]).chain(s[end + 1..].iter().copied()).collect();
        self.reshape_to(&shape)
    }

    /// One axis as several; one size may be -1.
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant(Tensor::ones([6, 2])).unflatten(0, &[2, -1]);
    /// assert_eq!(x.shape(), &[2, 3, 2]);
    /// ```
    #[track_caller]
    pub fn unflatten(&self, dim: isize, sizes: &[isize]) -> Var<'t, T> {
        let axis = valid!(self, "unflatten", self.shape().axis(dim));
        let size = self.shape().get(axis).copied().unwrap_or(1);
        let parts = valid!(self, "unflatten", infer(size, sizes));
        if parts.numel() != size || sizes.is_empty() {
            let message = format!("sizes {sizes:?} don't multiply to {size}, the size of axis {dim}");
            return self.tape().fail_op("unflatten", message, &[self]);
        }
        let s = self.shape();
        let behind = s.get(axis + 1..).unwrap_or_default();
        let shape = s[..axis].iter().chain(parts.iter()).chain(behind).copied().collect();
        self.reshape_to(&shape)
    }

    /// Axes moved to other places; the others keep their order.
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant(Tensor::ones([2, 3, 4])).movedim(0, 2);
    /// assert_eq!(x.shape(), &[3, 4, 2]);
    /// ```
    #[track_caller]
    pub fn movedim(&self, source: impl Into<Dims>, destination: impl Into<Dims>) -> Var<'t, T> {
        self.moved(&source.into(), &destination.into())
    }

    #[track_caller]
    fn moved(&self, source: &[isize], destination: &[isize]) -> Var<'t, T> {
        valid!(self, "movedim", axes_of(source, self.rank()));
        valid!(self, "movedim", axes_of(destination, self.rank()));
        if source.len() != destination.len() {
            let message = format!("{source:?} and {destination:?} name different numbers of axes");
            return self.tape().fail_op("movedim", message, &[self]);
        }
        let rank = self.rank() as isize;
        let (from, to): (Vec<isize>, Vec<isize>) = source
            .iter()
            .zip(destination)
            .map(|(s, d)| (s.rem_euclid(rank.max(1)), d.rem_euclid(rank.max(1))))
            .unzip();
        let mut rest = (0..rank).filter(|a| !from.contains(a));
        let order: Vec<isize> = (0..rank)
            .filter_map(|place| match to.iter().position(|&d| d == place) {
                Some(i) => Some(from[i]),
                None => rest.next(),
            })
            .collect();
        self.permute(&order)
    }

    /// An axis of size 1 put in before axis `dim`, which may be one past the last.
    #[track_caller]
    pub fn unsqueeze(&self, dim: isize) -> Var<'t, T> {
        let axis = valid!(self, "unsqueeze", axis_of(dim, self.rank() + 1));
        let mut shape = self.shape().clone();
        shape.insert(axis, 1);
        self.reshape_to(&shape)
    }

    /// Axes of size 1 dropped: those of `dims` that have it, or all if none are given.
    #[track_caller]
    pub fn squeeze(&self, dims: impl Into<Dims>) -> Var<'t, T> {
        let dims = dims.into();
        let dims = Some(&*dims).filter(|d| !d.is_empty());
        let layout = valid!(self, "squeeze", self.tensor().layout().squeeze(dims));
        self.reshape_to(&layout.shape)
    }

    /// One index of an axis, negative from the end; the axis goes away.
    #[track_caller]
    pub fn select(&self, dim: isize, index: isize) -> Var<'t, T> {
        let layout = valid!(self, "select", self.tensor().layout().select(dim, index));
        let axis = valid!(self, "select", self.shape().axis(dim));
        let start = index.rem_euclid(self.shape()[axis].max(1) as isize) as usize;
        self.strided(axis, start, 1, 1).reshape_to(&layout.shape)
    }

    /// Every `step`-th of an axis from `start` on, `len` of them.
    #[track_caller]
    pub(crate) fn strided(&self, axis: usize, start: usize, len: usize, step: usize) -> Var<'t, T> {
        self.tape().apply(ShapeOp::Slice { axis, start, len, step }, &[self])
    }

    /// The parts of an axis with the given starts and lengths.
    #[track_caller]
    fn parts(&self, axis: usize, parts: impl IntoIterator<Item = (usize, usize)>) -> Parts<Var<'t, T>> {
        let mut found = Vec::new();
        for (start, len) in parts {
            if let Err(message) = more(&mut found, 1) {
                return self.failed_parts("split", message, 0);
            }
            found.push(self.strided(axis, start, len, 1));
        }
        found.into()
    }

    /// `count` parts that failed, or as many as somebody looks at for 0.
    #[track_caller]
    fn failed_parts(&self, name: &str, message: String, count: usize) -> Parts<Var<'t, T>> {
        Parts::failed(self.tape().fail_op(name, message, &[self]), count)
    }

    /// Parts of an axis: of one size each, of which the last may be smaller, or of sizes that add up to the axis.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([1.0, 2.0, 3.0, 4.0, 5.0]);
    /// assert_eq!(x.split(2, 0)[1].to_vec()?, [3.0, 4.0]);
    /// assert_eq!(x.split([1, 4], 0)[1].to_vec()?, [2.0, 3.0, 4.0, 5.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    #[doc(alias = "split_with_sizes")]
    pub fn split(&self, sizes: impl Into<SplitSizes>, dim: isize) -> Parts<Var<'t, T>> {
        match sizes.into() {
            SplitSizes::Each(size) => self.split_evenly(size, dim),
            SplitSizes::List(sizes) => self.split_into(&sizes, dim),
        }
    }

    #[track_caller]
    fn split_evenly(&self, split_size: usize, dim: isize) -> Parts<Var<'t, T>> {
        let (axis, size) = match self.axis_to_split(dim) {
            Ok((_, size)) if split_size == 0 && size > 0 => {
                let message = format!("parts of 0 indices never make up the {size} of axis {dim}");
                return self.failed_parts("split", message, 0);
            }
            Ok(found) => found,
            Err(message) => return self.failed_parts("split", message, 0),
        };
        let n = size.div_ceil(split_size.max(1)).max(1);
        self.parts(axis, (0..n).map(|i| (i * split_size, split_size.min(size - i * split_size))))
    }

    #[track_caller]
    fn split_into(&self, sizes: &[usize], dim: isize) -> Parts<Var<'t, T>> {
        let total = sizes.iter().try_fold(0usize, |a, &b| a.checked_add(b));
        let axis = match self.axis_to_split(dim) {
            Ok((axis, size)) if total == Some(size) => axis,
            Ok((_, size)) => {
                let message = format!("sizes {sizes:?} don't add up to {size}, the size of axis {dim}");
                return self.failed_parts("split", message, sizes.len());
            }
            Err(message) => return self.failed_parts("split", message, sizes.len()),
        };
        let mut start = 0;
        let parts = sizes.iter().map(|&len| {
            start += len;
            (start - len, len)
        });
        self.parts(axis, parts)
    }

    /// At most `chunks` parts of an axis, all of one size but the last.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([1.0, 2.0, 3.0, 4.0, 5.0]);
    /// assert_eq!(x.chunk(2, 0)[0].to_vec()?, [1.0, 2.0, 3.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn chunk(&self, chunks: usize, dim: isize) -> Parts<Var<'t, T>> {
        let message = match self.axis_to_split(dim) {
            Ok(_) if chunks == 0 => "takes at least 1 part, not 0".into(),
            Ok((_, 0)) if chunks > MOST => {
                format!("{chunks} empty parts are more than the {MOST} that are made")
            }
            Ok((axis, 0)) => return self.parts(axis, std::iter::repeat_n((0, 0), chunks)),
            Ok((_, size)) => return self.split_evenly(size.div_ceil(chunks), dim),
            Err(message) => message,
        };
        self.failed_parts("chunk", message, chunks)
    }

    /// Parts of an axis: exactly so many, whose sizes differ by at most 1, or those between indices, which are
    /// cut to the axis and may count from the end.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([1.0, 2.0, 3.0, 4.0, 5.0]);
    /// assert_eq!(x.tensor_split(3, 0)[2].to_vec()?, [5.0]);
    /// assert_eq!(x.tensor_split([1, -1], 0)[1].to_vec()?, [2.0, 3.0, 4.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn tensor_split(&self, at: impl Into<SplitAt>, dim: isize) -> Parts<Var<'t, T>> {
        match at.into() {
            SplitAt::Sections(sections) => self.sections(sections, dim),
            SplitAt::Indices(indices) => match self.axis_to_split(dim) {
                Ok((axis, size)) => self.parts(axis, parts_at(size, &indices)),
                Err(message) => self.failed_parts("tensor_split", message, indices.len() + 1),
            },
        }
    }

    #[track_caller]
    fn sections(&self, sections: usize, dim: isize) -> Parts<Var<'t, T>> {
        let message = match self.axis_to_split(dim) {
            Ok(_) if sections == 0 => "takes at least 1 part, not 0".into(),
            Ok(_) if sections > MOST => format!("{sections} parts are more than the {MOST} that are made"),
            Ok((axis, size)) => {
                let (each, more) = (size / sections, size % sections);
                let part = |i: usize| (each * i + i.min(more), each + (i < more) as usize);
                return self.parts(axis, (0..sections).map(part));
            }
            Err(message) => message,
        };
        self.failed_parts("tensor_split", message, sections)
    }

    /// All indices of an axis, one by one; the axis goes away.
    #[track_caller]
    pub fn unbind(&self, dim: isize) -> Parts<Var<'t, T>> {
        let (axis, size) = match self.axis_to_split(dim) {
            Ok(found) => found,
            Err(message) => return self.failed_parts("unbind", message, 0),
        };
        let mut shape = self.shape().clone();
        shape.remove(axis);
        let mut found = match room(size) {
            Ok(found) => found,
            Err(message) => return self.failed_parts("unbind", message, 0),
        };
        for i in 0..size {
            found.push(self.strided(axis, i, 1, 1).reshape_to(&shape));
        }
        found.into()
    }

    fn axis_to_split(&self, dim: isize) -> Checked<(usize, usize)> {
        if self.failed_id().is_some() {
            return Err("the value failed".into());
        }
        if self.rank() == 0 {
            return Err("a tensor of rank 0 has no axis to split".into());
        }
        let axis = self.shape().axis(dim)?;
        Ok((axis, self.shape()[axis]))
    }
}

/// # Tensors stacked, grids
impl<T: Float> Tape<T> {
    /// Tensors of one shape along a new axis.
    #[track_caller]
    pub fn stack<'t>(&'t self, tensors: &[&Var<'t, T>], dim: isize) -> Var<'t, T> {
        let Some(first) = tensors.first() else { return self.fail_op("stack", "no tensors were given", &[]) };
        if let Some(other) = tensors.iter().find(|t| t.shape() != first.shape()) {
            let message = format!("takes tensors of one shape, not {} and {}", first.shape(), other.shape());
            return self.fail_op("stack", message, tensors);
        }
        let mut flat = SmallVec::<[Var<'t, T>; 2]>::new();
        for t in tensors {
            flat.push(t.unsqueeze(dim));
        }
        self.cat(&flat.iter().collect::<SmallVec<[&Var<'t, T>; 8]>>(), dim)
    }

    /// For lists of coordinates, each as a tensor over the grid that they span.
    #[track_caller]
    pub fn meshgrid<'t>(&'t self, tensors: &[&Var<'t, T>], indexing: MeshgridIndexing) -> Parts<Var<'t, T>> {
        let mut order: Vec<usize> = (0..tensors.len()).collect();
        if indexing == MeshgridIndexing::Xy && order.len() > 1 {
            order.swap(0, 1);
        }
        let grid: Shape = order.iter().map(|&i| tensors[i].numel()).collect();
        let odd = tensors.iter().find(|t| t.rank() > 1 || t.failed_id().is_some());
        if let Some(odd) = odd {
            let message = format!("takes lists, not shape {}", odd.shape());
            return Parts::failed(self.fail_op("meshgrid", message, tensors), tensors.len());
        }
        let mut found = Vec::with_capacity(tensors.len());
        for (i, t) in tensors.iter().enumerate() {
            let mine = order.iter().map(|&o| if o == i { t.numel() } else { 1 }).collect();
            found.push(t.reshape_to(&mine).expand_to(&grid));
        }
        found.into()
    }
}
