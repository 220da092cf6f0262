//! Products of vectors and matrices under their usual names, all by way of `matmul`.
use super::{index::valid, list::Float};
use crate::{
    error::Checked,
    tape::Var,
    tensor::{Dims, Shape, Tensor, shape::axes_of},
};

/// Norms of matrices, for [`Var::matrix_norm`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum MatrixNorm {
    /// The root of the sum of all squares.
    #[default]
    Fro,
    /// The sum of the singular values.
    Nuc,
    /// The largest (-2: smallest) singular value for ±2, sum of magnitudes in a column for ±1, in a row for
    /// ±∞.
    Ord(f64),
}

/// That operands have these numbers of axes.
fn ranks<T: Float, const N: usize>(operands: [&Var<'_, T>; N], wanted: [usize; N]) -> Checked<()> {
    let found = operands.map(Var::rank);
    if found == wanted {
        return Ok(());
    }
    let shapes: Vec<String> = operands.iter().map(|v| v.shape().to_string()).collect();
    Err(format!("takes {wanted:?} axes, not shapes {}", shapes.join(" and ")))
}

/// # More products, and norms of matrices
impl<'t, T: Float> Var<'t, T> {
    /// The product of two matrices, checked to be such.
    #[track_caller]
    fn mm(&self, other: &Var<'t, T>) -> Var<'t, T> {
        valid!([self, other], "mm", ranks([self, other], [2, 2]));
        self.matmul(other).named("mm", &[self, other])
    }

    /// The products of two lists of as many matrices.
    #[track_caller]
    pub fn bmm(&self, other: &Var<'t, T>) -> Var<'t, T> {
        valid!([self, other], "bmm", ranks([self, other], [3, 3]));
        let fits = if self.dim(0) == other.dim(0) {
            Ok(())
        } else {
            Err(format!("{} x {}: as many matrices are needed", self.shape(), other.shape()))
        };
        valid!([self, other], "bmm", fits);
        self.matmul(other).named("bmm", &[self, other])
    }

    /// The sum of the products of two vectors' elements.
    #[track_caller]
    pub fn dot(&self, other: &Var<'t, T>) -> Var<'t, T> {
        valid!([self, other], "dot", ranks([self, other], [1, 1]));
        self.matmul(other).named("dot", &[self, other])
    }

    /// All products of an element of one vector and one of another: `[n], [m] -> [n, m]`.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let (x, y) = (tape.constant([1.0, 2.0]), tape.constant([3.0, 4.0]));
    /// assert_eq!(x.outer(&y).to_vec()?, [3.0, 4.0, 6.0, 8.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn outer(&self, other: &Var<'t, T>) -> Var<'t, T> {
        valid!([self, other], "outer", ranks([self, other], [1, 1]));
        self.unsqueeze(1) * other.unsqueeze(0)
    }

    /// Products summed over pairs of axes, the first of `dims_self` with the first of `dims_other`, and so
    /// on; the other axes of both follow each other.
    ///
    /// ```
    /// use kolmo::Tensor;
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let (x, y) = (tape.constant(Tensor::ones([2, 3, 4])), tape.constant(Tensor::ones([4, 3, 5])));
    /// let z = x.tensordot(&y, [1, 2], [1, 0]); // 3 with 3, 4 with 4
    /// assert_eq!((z.shape().to_vec(), z.to_vec()?[0]), (vec![2, 5], 12.0));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    #[doc(alias = "inner")]
    pub fn tensordot(
        &self,
        other: &Var<'t, T>,
        dims_self: impl Into<Dims>,
        dims_other: impl Into<Dims>,
    ) -> Var<'t, T> {
        self.contracted(other, &dims_self.into(), &dims_other.into())
    }

    #[track_caller]
    fn contracted(&self, other: &Var<'t, T>, dims_self: &[isize], dims_other: &[isize]) -> Var<'t, T> {
        let plan = (|| -> Checked<_> {
            axes_of(dims_self, self.rank())?;
            axes_of(dims_other, other.rank())?;
            let ours: Vec<usize> = dims_self.iter().map(|&d| self.shape().axis(d)).collect::<Checked<_>>()?;
            let theirs: Vec<usize> =
                dims_other.iter().map(|&d| other.shape().axis(d)).collect::<Checked<_>>()?;
            for (&a, &b) in ours.iter().zip(&theirs) {
                let (m, n) = (self.shape()[a], other.shape()[b]);
                if m != n && m != 1 && n != 1 {
                    return Err(format!(
                        "axes {dims_self:?} of {} and {dims_other:?} of {} differ in size",
                        self.shape(),
                        other.shape()
                    ));
                }
            }
            if ours.len() != theirs.len() {
                return Err(format!("{dims_self:?} and {dims_other:?} name different numbers of axes"));
            }
            Ok((ours, theirs))
        })();
        let (ours, theirs) = valid!([self, other], "tensordot", plan);
        valid!(other, "tensordot", Ok::<_, String>(()));
        // A size of 1 stands for any.
        let (mut wide, mut other_wide) = (self.shape().clone(), other.shape().clone());
        for (&a, &b) in ours.iter().zip(&theirs) {
            let size = if wide[a] == 1 { other_wide[b] } else { wide[a] };
            wide.set(a, size);
            other_wide.set(b, size);
        }
        let (x, other) = (&self.expand_to(&wide), &other.expand_to(&other_wide));
        let free = |v: &Var<'t, T>, axes: &[usize]| -> Vec<usize> {
            (0..v.rank()).filter(|a| !axes.contains(a)).collect()
        };
        let (left, right) = (free(x, &ours), free(other, &theirs));
        let size = |v: &Var<'t, T>, axes: &[usize]| axes.iter().map(|&a| v.shape()[a]).product::<usize>();
        let order = |a: &[usize], b: &[usize]| a.iter().chain(b).map(|&a| a as isize).collect::<Vec<_>>();
        let k = size(x, &ours);
        let a = x.permute(&order(&left, &ours)).reshape_to(&Shape::new(&[size(x, &left), k]));
        let b = other.permute(&order(&theirs, &right)).reshape_to(&Shape::new(&[k, size(other, &right)]));
        let shape =
            left.iter().map(|&a| x.shape()[a]).chain(right.iter().map(|&a| other.shape()[a])).collect();
        a.matmul(&b).reshape_to(&shape)
    }

    /// `beta · self + alpha · product`; with `beta` 0, what is in `self` doesn't matter.
    #[track_caller]
    fn plus(&self, name: &str, product: Var<'t, T>, beta: f64, alpha: f64) -> Var<'t, T> {
        if product.failed_id().is_some() {
            return product;
        }
        if self.failed_id().is_none()
            && crate::tensor::shape::broadcast(self.shape(), product.shape()).as_ref() != Ok(product.shape())
        {
            let message = format!("{} can't be added to the product, {}", self.shape(), product.shape());
            return self.tape().fail_op(name, message, &[self]);
        }
        let product = if alpha == 1.0 { product } else { product * alpha };
        match beta {
            0.0 => product,
            1.0 => self + product,
            _ => self * beta + product,
        }
    }

    /// `beta · self + alpha · (a · b)` for matrices a and b.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let bias = tape.constant([1.0, 2.0]);
    /// let (a, b) = (tape.constant([[1.0, 1.0]]), tape.constant([[1.0, 2.0], [3.0, 4.0]]));
    /// assert_eq!(bias.addmm(&a, &b, 1.0, 10.0).to_vec()?, [41.0, 62.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    #[doc(alias("addmv", "addr"))]
    pub fn addmm(&self, a: &Var<'t, T>, b: &Var<'t, T>, beta: f64, alpha: f64) -> Var<'t, T> {
        self.plus("addmm", a.mm(b), beta, alpha).named("addmm", &[self, a, b])
    }

    /// `beta · self + alpha · (aᵢ · bᵢ)` for lists of matrices.
    #[track_caller]
    #[doc(alias = "addbmm")]
    pub fn baddbmm(&self, a: &Var<'t, T>, b: &Var<'t, T>, beta: f64, alpha: f64) -> Var<'t, T> {
        self.plus("baddbmm", a.bmm(b), beta, alpha).named("baddbmm", &[self, a, b])
    }

    /// The Kronecker product: each element of this tensor times the whole other one.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let (x, y) = (tape.constant([[1.0, 2.0]]), tape.constant([[1.0, 10.0]]));
    /// assert_eq!(x.kron(&y).to_vec()?, [1.0, 10.0, 2.0, 20.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn kron(&self, other: &Var<'t, T>) -> Var<'t, T> {
        let rank = self.rank().max(other.rank());
        let sizes = |v: &Var<'t, T>| -> Vec<usize> {
            std::iter::repeat_n(1, rank - v.rank()).chain(v.shape().iter().copied()).collect()
        };
        let (a, b) = (sizes(self), sizes(other));
        let apart = |own: &[usize], first: bool| {
            own.iter().flat_map(|&s| if first { [s, 1] } else { [1, s] }).collect::<Shape>()
        };
        let y = self.reshape_to(&apart(&a, true)) * other.reshape_to(&apart(&b, false));
        y.reshape_to(&a.iter().zip(&b).map(|(a, b)| a.saturating_mul(*b)).collect())
    }

    /// The vector product along an axis of size 3, by default the first such axis.
    #[track_caller]
    pub fn cross(&self, other: &Var<'t, T>, dim: impl Into<Option<isize>>) -> Var<'t, T> {
        let shape =
            valid!([self, other], "cross", crate::tensor::shape::broadcast(self.shape(), other.shape()));
        let axis = match dim.into() {
            Some(dim) => shape.axis(dim),
            None => {
                shape.iter().position(|&s| s == 3).ok_or_else(|| format!("{shape} has no axis of size 3"))
            }
        };
        let axis = valid!([self, other], "cross", axis);
        let three = if shape.get(axis) == Some(&3) {
            Ok(())
        } else {
            Err(format!("axis {axis} of {shape} is not of size 3"))
        };
        valid!([self, other], "cross", three);
        let (a, b) = (self.expand_to(&shape), other.expand_to(&shape));
        let turned =
            |v: &Var<'t, T>, by: u32| v.slices(axis, Tensor::from(vec![by % 3, (by + 1) % 3, (by + 2) % 3]));
        turned(&a, 1) * turned(&b, 2) - turned(&a, 2) * turned(&b, 1)
    }

    /// `yₒ = x₁ᵀ Wₒ x₂ + bₒ`: `[…, i], [o, i, j], […, j] -> […, o]`.
    #[track_caller]
    pub fn bilinear(&self, other: &Var<'t, T>, weight: &Var<'t, T>, bias: Option<&Var<'t, T>>) -> Var<'t, T> {
        let fits = self.rank() == other.rank()
            && self.rank() > 0
            && weight.rank() == 3
            && self.shape()[..self.rank() - 1] == other.shape()[..self.rank() - 1]
            && (self.dim(-1), other.dim(-1)) == (weight.dim(1), weight.dim(2));
        let message = || {
            format!(
                "inputs {} and {}, weight {}: […, i], […, j] and [o, i, j] are needed",
                self.shape(),
                other.shape(),
                weight.shape()
            )
        };
        valid!([self, other, weight], "bilinear", fits.then_some(()).ok_or_else(message));
        let (o, i, j) = (weight.dim(0), weight.dim(1), weight.dim(2));
        let n: usize = self.shape()[..self.rank() - 1].iter().product();
        let by_rows = weight.permute([1, 0, 2]).reshape_to(&Shape::new(&[i, o * j]));
        let left = self.reshape_to(&Shape::new(&[n, i])).matmul(&by_rows).reshape_to(&Shape::new(&[n, o, j]));
        let y = left.matmul(&other.reshape_to(&Shape::new(&[n, j, 1])));
        let shape = self.shape()[..self.rank() - 1].iter().copied().chain([o]).collect();
        let y = y.reshape_to(&shape);
        match bias {
            Some(bias) => (y + bias).named("bilinear", &[self, other, weight, bias]),
            None => y,
        }
    }

    /// A norm of the matrices in two axes. Those by singular values can be differentiated once.
    #[track_caller]
    pub fn matrix_norm(&self, norm: MatrixNorm, dims: [isize; 2], keepdim: bool) -> Var<'t, T> {
        let axes = valid!(self, "matrix_norm", axes_of(&dims, self.rank()));
        if axes.len() != 2 || self.rank() < 2 {
            valid!(
                self,
                "matrix_norm",
                Err::<(), _>(format!("takes two axes, {} has {}", self.shape(), self.rank()))
            );
        }
        let singular = || self.movedim(dims, [-2, -1]).svdvals();
        let y = match norm {
            MatrixNorm::Fro => return self.norm_dim(2.0, dims, keepdim),
            MatrixNorm::Nuc => singular().sum_dim(-1, false),
            MatrixNorm::Ord(2.0) => singular().amax_dim(-1, false),
            MatrixNorm::Ord(-2.0) => singular().amin_dim(-1, false),
            MatrixNorm::Ord(p) if p.abs() == 1.0 || p.is_infinite() => {
                let (summed, chosen) = if p.is_infinite() { (dims[1], dims[0]) } else { (dims[0], dims[1]) };
                let sums = self.abs().sum_dim([summed], true);
                let y = if p > 0.0 { sums.amax_dim([chosen], true) } else { sums.amin_dim([chosen], true) };
                return if keepdim { y } else { y.squeeze(dims) };
            }
            MatrixNorm::Ord(p) => {
                let message =
                    format!("a matrix has no norm of order {p} here: ±1, ±2, ±inf, fro and nuc are accepted");
                return valid!(self, "matrix_norm", Err(message));
            }
        };
        if !keepdim {
            return y;
        }
        let shape =
            self.shape().iter().enumerate().map(|(a, &s)| if axes.contains(&a) { 1 } else { s }).collect();
        y.reshape_to(&shape)
    }
}
