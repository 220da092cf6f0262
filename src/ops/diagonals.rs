//! Diagonals and triangles of matrices.
use super::{
    index::{small, valid},
    list::Float,
};
use crate::{
    error::Checked,
    tape::Var,
    tensor::{
        Layout, Shape, Tensor,
        shape::axis_of,
        strided::{for_runs, merge_axes},
    },
};

/// # Diagonals and triangles
impl<'t, T: Float> Var<'t, T> {
    /// The diagonal of two axes, `offset` places to the right, as a new last axis.
    #[track_caller]
    pub fn diagonal(&self, offset: isize, dim1: isize, dim2: isize) -> Var<'t, T> {
        valid!(self, "diagonal", small(self.shape()));
        let positions = valid!(self, "diagonal", positions(self.shape(), offset, dim1, dim2));
        self.elements(positions)
    }

    /// The opposite of [`diagonal`](Var::diagonal): zeros with the last axis as the diagonal of two new axes,
    /// which are `dim1` and `dim2` of the result.
    #[track_caller]
    pub fn diag_embed(&self, offset: isize, dim1: isize, dim2: isize) -> Var<'t, T> {
        let (shape, positions) = valid!(self, "diag_embed", embedded(self.shape(), offset, dim1, dim2));
        self.add_at(positions, &shape)
    }

    /// Of a list, the matrix with that diagonal; of a matrix, its diagonal, `diagonal` places to the right.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([1.0, 2.0]).diag(0);
    /// assert_eq!(x.to_vec()?, [1.0, 0.0, 0.0, 2.0]);
    /// assert_eq!(x.diag(0).to_vec()?, [1.0, 2.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn diag(&self, diagonal: isize) -> Var<'t, T> {
        match self.rank() {
            1 => self.diag_embed(diagonal, 0, 1),
            2 => self.diagonal(diagonal, 0, 1),
            n => {
                let message = format!("takes one axis or two, not {n}");
                valid!(self, "diag", Err::<Var<'t, T>, _>(message))
            }
        }
    }

    /// The sum of the diagonal of a matrix.
    #[track_caller]
    pub fn trace(&self) -> Var<'t, T> {
        let matrix = (self.rank() == 2).then_some(());
        valid!(self, "trace", matrix.ok_or_else(|| format!("takes a matrix, not {}", self.shape())));
        self.diagonal(0, 0, 1).sum()
    }

    /// The lower triangle of matrices, up to `diagonal` places to the right of the diagonal; zero elsewhere.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([[1.0, 2.0], [3.0, 4.0]]);
    /// assert_eq!(x.tril(0).to_vec()?, [1.0, 0.0, 3.0, 4.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn tril(&self, diagonal: isize) -> Var<'t, T> {
        self.triangle("tril", true, diagonal.saturating_add(1))
    }

    /// The upper triangle of matrices, from `diagonal` places to the right of the diagonal on; zero
    /// elsewhere.
    #[track_caller]
    pub fn triu(&self, diagonal: isize) -> Var<'t, T> {
        self.triangle("triu", false, diagonal)
    }

    /// Of row `i` what stands before column `i + end`, if `lower`, or else what doesn't.
    #[track_caller]
    fn triangle(&self, name: &str, lower: bool, end: isize) -> Var<'t, T> {
        if self.failed_id().is_some() {
            return self.clone();
        }
        let rank = self.rank();
        if rank < 2 {
            let message = format!("takes matrices, at least two axes, not {}", self.shape());
            return self.tape().fail_op(name, message, &[self]);
        }
        let (m, n) = (self.shape()[rank - 2], self.shape()[rank - 1]);
        let [inside, outside] = [0.0, 1.0].map(T::constant);
        let (first, second) = if lower { (inside, outside) } else { (outside, inside) };
        let mask = Tensor::build(Shape::new(&[m, n]), |out| {
            for (row, i) in out.chunks_exact_mut(n.max(1)).zip(0isize..) {
                let (before, behind) = row.split_at_mut(i.saturating_add(end).clamp(0, n as isize) as usize);
                before.fill(first);
                behind.fill(second);
            }
        });
        self.tape().constant(T::constant(0.0)).where_one(&self.tape().constant(mask), self)
    }
}

/// Shape of `diag_embed`'s result, and where in it each element goes.
fn embedded(shape: &Shape, offset: isize, dim1: isize, dim2: isize) -> Checked<(Shape, Tensor<u32>)> {
    let n = *shape.last().ok_or("a tensor of rank 0 has no diagonal")?;
    let rank = shape.rank() + 1;
    let (a, b) = (axis_of(dim1, rank)?, axis_of(dim2, rank)?);
    if a == b {
        return Err(format!("a diagonal needs two different axes, not {dim1} and {dim2}"));
    }
    let side = n.saturating_add(offset.unsigned_abs());
    let mut full = Shape::new(&shape[..shape.rank() - 1]);
    for axis in [a.min(b), a.max(b)] {
        full.insert(axis, side);
    }
    small(&full)?;
    let positions = positions(&full, offset, dim1, dim2)?;
    Ok((full, positions))
}

/// The positions of a diagonal in a tensor of this shape.
fn positions(shape: &Shape, offset: isize, dim1: isize, dim2: isize) -> Checked<Tensor<u32>> {
    let diagonal = Layout::contiguous(shape.clone()).diagonal(offset, dim1, dim2)?;
    let axes = merge_axes(&diagonal.shape, [&diagonal.strides]);
    let (run, [step]) = axes[axes.len() - 1];
    Tensor::build(diagonal.shape.clone(), |out| {
        for_runs(&axes, [diagonal.offset as isize], 0, out.len() / run.max(1), |i, [at]| {
            for (o, k) in out[i * run..(i + 1) * run].iter_mut().zip(0..) {
                *o = (at + k * step) as u32;
            }
        });
    })
    .made()
}
