//! Systems of linear equations and factorisations, for each matrix of a batch. Their derivatives are
//! solutions of such systems again, so they can be differentiated as often as wanted.
use super::{
    checks::operands,
    index::valid,
    list::{Float, Solve},
    operand::Operand,
};
use crate::{
    error::Checked,
    kernels::dense::{Lu, Triangle, cholesky, panel, singular_values, svd},
    real::{About, Arithmetic},
    tape::{RESULT, Rule, Step, Var},
    tensor::{Shape, Tensor, shape::broadcast},
};
use std::borrow::Cow;

/// Rows and columns of the last two axes, and how many matrices there are.
fn matrices<T: Float>(x: &Tensor<T>) -> Checked<(usize, usize, usize)> {
    let rank = x.rank();
    if rank < 2 {
        return Err(format!("{} has no matrices: at least two axes are needed", x.shape()));
    }
    Ok((x.shape()[rank - 2], x.shape()[rank - 1], x.shape()[..rank - 2].iter().product()))
}

fn square<T: Float>(x: &Tensor<T>) -> Checked<(usize, usize)> {
    let (m, n, count) = matrices(x)?;
    if m != n {
        return Err(format!("{} has matrices of {m} x {n}, but they must be square", x.shape()));
    }
    Ok((n, count))
}

/// A result for each matrix, `size` elements each.
fn each<T: Float>(
    x: &Tensor<T>,
    shape: Shape,
    size: usize,
    mut f: impl FnMut(usize, &[T], &mut [T]) -> Checked<()>,
) -> Checked<Tensor<T>> {
    let (m, n, count) = matrices(x)?;
    let source = x.contiguous().made()?;
    let data = source.as_slice().unwrap_or_default();
    let mut out = Tensor::zeros(shape).made()?;
    let slice = out.as_mut_slice();
    for i in 0..count {
        f(i, &data[i * m * n..(i + 1) * m * n], &mut slice[i * size..(i + 1) * size])?;
    }
    Ok(out)
}

fn lead<T: Float>(x: &Tensor<T>) -> Shape {
    Shape::new(&x.shape()[..x.rank() - 2])
}

/// Solves for each matrix, with what `f` makes of matrix and right-hand side.
fn solved<T: Float>(
    x: &[&Tensor<T>],
    mut f: impl FnMut(&[T], usize, &[T], usize, &mut [T]) -> Checked<()>,
) -> Checked<Tensor<T>> {
    let [a, b] = operands(x)?;
    let (n, _) = square(a)?;
    if b.rank() != a.rank() || lead(a) != lead(b) || b.dim(-2) != n {
        return Err(format!(
            "matrices {} and right-hand sides {} don't fit each other",
            a.shape(),
            b.shape()
        ));
    }
    let k = b.dim(-1);
    let source = b.contiguous().made()?;
    let sides = source.as_slice().unwrap_or_default();
    each(a, b.shape().clone(), n * k, |i, a, out| f(a, n, &sides[i * n * k..(i + 1) * n * k], k, out))
}

/// What `f` makes of the factors of each matrix.
fn determinants<T: Float>(x: &Tensor<T>, f: impl Fn(&Lu<T>) -> T) -> Checked<Tensor<T>> {
    let mut lu = Lu::new(square(x)?.0)?;
    each(x, lead(x), 1, |_, a, out| {
        lu.factor(a)?;
        out.fill(f(&lu));
        Ok(())
    })
}

impl<T: Float> Rule<T> for Solve {
    fn name(&self) -> &str {
        match self {
            Solve::General => "solve",
            Solve::Triangular { .. } => "solve_triangular",
            Solve::Det => "det",
            Solve::LogAbsDet => "slogdet",
            Solve::SignDet => "sign_det",
            Solve::Cholesky => "cholesky",
            Solve::SingularValues => "svdvals",
            Solve::SingularProduct => "svd_product",
        }
    }

    fn about(&self) -> About {
        match self {
            Solve::General | Solve::Triangular { .. } => {
                About::formula("a⁻¹ · b", &["−a⁻ᵀȳ · yᵀ", "a⁻ᵀ · ȳ"], "The result is kept.")
            }
            Solve::Cholesky => {
                About::formula("L with L·Lᵀ = a", &["L⁻ᵀ · sym(Lᵀȳ) · L⁻¹"], "The result is kept.")
            }
            Solve::Det => About::formula("det a", &["ȳ · adj(a)ᵀ"], ""),
            Solve::LogAbsDet => About::formula("ln |det a|", &["ȳ · a⁻ᵀ"], ""),
            _ => About::NOTHING,
        }
    }

    fn options(&self) -> Cow<'static, str> {
        match self {
            Solve::Triangular { upper, unit } => Cow::Owned(format!("upper={upper}, unitriangular={unit}")),
            _ => Cow::Borrowed(""),
        }
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let first = *x.first().ok_or("takes a matrix")?;
        match *self {
            Solve::General => {
                let mut lu = Lu::new(square(first)?.0)?;
                solved(x, |a, _, b, k, out| {
                    lu.factor(a)?;
                    if let Some(i) = lu.singular() {
                        return Err(format!("a matrix is singular: its pivot {i} is zero"));
                    }
                    lu.solve(b, k, out)
                })
            }
            Solve::Triangular { upper, unit } => solved(x, |data, n, b, k, out| {
                out.copy_from_slice(b);
                Triangle { data, step: n, n, upper, unit }.solve(out, k, k)
            }),
            Solve::Det => determinants(first, Lu::determinant),
            Solve::LogAbsDet => determinants(first, |lu| {
                lu.diagonal().fold(T::constant(0.0), |sum, d| sum + Arithmetic::log(d.abs()))
            }),
            Solve::SignDet => determinants(first, |lu| {
                let sign_of = |d: f64| if d == 0.0 { 0.0 } else { d.signum() };
                let sign = lu.diagonal().fold(1.0, |s, d| s * sign_of(d.to_f64()));
                T::constant(if lu.is_odd() { -sign } else { sign })
            }),
            Solve::Cholesky => {
                let (n, _) = square(first)?;
                let mut panel = panel(n)?;
                each(first, first.shape().clone(), n * n, |i, a, out| {
                    cholesky(a, n, out, &mut panel)?.map_err(|minor| {
                        format!("matrix {i} is not positive definite: its leading minor of order {minor} isn't positive")
                    })
                })
            }
            Solve::SingularValues => {
                let (m, n, _) = matrices(first)?;
                let k = m.min(n);
                let mut shape = lead(first);
                shape.push(k);
                each(first, shape, k, |_, a, out| {
                    out.iter_mut().zip(singular_values(a, m, n)?).for_each(|(o, s)| *o = T::constant(s));
                    Ok(())
                })
            }
            Solve::SingularProduct => {
                let [a, g] = operands(x)?;
                let (m, n, _) = matrices(a)?;
                let (k, weights) = (m.min(n), g.list()?);
                each(a, a.shape().clone(), m * n, |i, a, out| {
                    let weights = weights[i * k..(i + 1) * k].iter().map(|g| g.to_f64());
                    let product = svd(a, m, n)?.weighted(weights, m, n)?;
                    out.iter_mut().zip(product).for_each(|(o, p)| *o = T::constant(p));
                    Ok(())
                })
            }
        }
    }

    fn keeps(&self, wanted: u32) -> u32 {
        match self {
            Solve::General | Solve::Triangular { .. } => 1 | ((wanted & 1) * RESULT),
            Solve::Det => 1 | RESULT,
            Solve::LogAbsDet | Solve::SingularValues => 1,
            Solve::SignDet => 0,
            Solve::Cholesky => RESULT,
            Solve::SingularProduct => 1,
        }
    }

    fn check(&self, x: &[&Tensor<T>], _: &Shape) -> Checked<()> {
        if *self != Solve::SingularProduct {
            return Ok(());
        }
        let [a, g] = operands(x)?;
        let (m, n, count) = matrices(a)?;
        if g.numel() == count * m.min(n) {
            Ok(())
        } else {
            Err(format!("{} and {} don't fit", a.shape(), g.shape()))
        }
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let g = step.take_grad();
        let tape = step.tape();
        match *self {
            // For X = A⁻¹B: the gradient of B is A⁻ᵀ·X̄, that of A is minus it times Xᵀ.
            Solve::General => {
                let right = tape.apply(Solve::General, &[&step.input(0).mt(), &g]);
                if step.wants(0) {
                    step.give(0, -right.matmul(&step.output().mt()));
                }
                step.give(1, right);
            }
            Solve::Triangular { upper, unit } => {
                let op = Solve::Triangular { upper: !upper, unit };
                let right = tape.apply(op, &[&step.input(0).mt(), &g]);
                if step.wants(0) {
                    let full = -right.matmul(&step.output().mt());
                    let skip = unit as isize;
                    step.give(0, if upper { full.triu(skip) } else { full.tril(-skip) });
                }
                step.give(1, right);
            }
            Solve::Det => {
                let (a, y) = (step.input(0), step.output());
                step.tape().note_read(&y);
                let singular = y.has_zeros();
                let cofactors =
                    if singular { a.cofactors() } else { y.unsqueeze(-1).unsqueeze(-1) * a.mt().inv() };
                step.give(0, g.unsqueeze(-1).unsqueeze(-1) * cofactors);
            }
            Solve::LogAbsDet => {
                // Of a singular matrix there is none, and that is the error.
                let inverse = step.input(0).mt().inv();
                step.give(0, g.unsqueeze(-1).unsqueeze(-1) * inverse);
            }
            Solve::SignDet => {}
            // Murray, Differentiation of the Cholesky decomposition (arXiv:1602.07527), symmetric form.
            Solve::Cholesky => {
                let l = step.output();
                let p = l.mt().matmul(&g.tril(0));
                let halved = p.tril(-1) + (&p - &p.tril(-1)).tril(0) * 0.5;
                let turned = l.mt();
                let left = tape.apply(Solve::Triangular { upper: true, unit: false }, &[&turned, &halved]);
                let both = tape.apply(Solve::Triangular { upper: true, unit: false }, &[&turned, &left.mt()]);
                step.give(0, (&both + both.mt()) * 0.5);
            }
            Solve::SingularValues => {
                let a = step.input(0);
                step.give(0, tape.apply(Solve::SingularProduct, &[&a, &g]));
            }
            Solve::SingularProduct => {
                let message = "the singular values have no second derivative here";
                step.fail(crate::Error::op("svdvals", message, None));
            }
        }
    }
}

/// What [`Var::solve_triangular`] takes for granted: by default the lower triangle, with its own diagonal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "options do nothing until they are given to what they are for"]
pub struct SolveTriangularOptions {
    upper: bool,
    unitriangular: bool,
}

impl SolveTriangularOptions {
    /// The lower triangle, with its own diagonal.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it is the upper triangle.
    pub fn upper(self, upper: bool) -> Self {
        SolveTriangularOptions { upper, ..self }
    }

    /// Whether its diagonal counts as 1.
    pub fn unitriangular(self, unitriangular: bool) -> Self {
        SolveTriangularOptions { unitriangular, ..self }
    }
}

/// # Systems of equations, inverses, determinants
impl<'t, T: Float> Var<'t, T> {
    /// The last two axes exchanged.
    #[track_caller]
    pub(crate) fn mt(&self) -> Var<'t, T> {
        self.transpose(-2, -1)
    }

    /// The cofactors of square matrices, as determinants of their minors: right for singular ones too.
    #[track_caller]
    fn cofactors(&self) -> Var<'t, T> {
        let (n, count) = valid!(self, "det", square(self.tensor()));
        if n < 2 {
            return self.tape().constant(Tensor::ones(self.shape()));
        }
        let m = n - 1;
        let past = |k: usize, skipped: usize| if k < skipped { k } else { k + 1 };
        valid!(self, "det", crate::ops::index::small(&Shape::new(&[count, n, n, m, m])));
        let positions = Tensor::from_fn([count, n * n, m, m], |at| {
            let (matrix, minor, place) = (at / (m * m * n * n), at / (m * m) % (n * n), at % (m * m));
            let (row, column) = (past(place / m, minor / n), past(place % m, minor % n));
            (matrix * n * n + row * n + column) as u32
        });
        let signs = Tensor::from_fn([n, n], |i| {
            T::constant(if (i / n + i % n).is_multiple_of(2) { 1.0 } else { -1.0 })
        });
        let minors = self.elements(positions).det().reshape_to(self.shape());
        minors * self.tape().constant(signs)
    }

    /// The solution X of `A X = B`, where this is A `[…, n, n]`; B is `[…, n, k]`, or `[…, n]` for a single
    /// vector each. Leading axes broadcast. A singular A is an error. `X A = B` is the same with all three
    /// transposed.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let (a, b) = (tape.constant([[2.0, 0.0], [1.0, 4.0]]), tape.constant([[2.0], [9.0]]));
    /// assert_eq!(a.solve(&b).to_vec()?, [1.0, 2.0]);
    /// assert_eq!(a.t().solve(&b).t().matmul(&a).to_vec()?, [2.0, 9.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn solve<'a>(&self, b: impl Into<Operand<'a, 't, T>>) -> Var<'t, T>
    where
        't: 'a,
    {
        self.solved(&b.into().beside(self))
    }

    #[track_caller]
    fn solved(&self, b: &Var<'t, T>) -> Var<'t, T> {
        valid!([self, b], "solve", square(self.tensor()));
        valid!(b, "solve", Ok::<_, String>(()));
        if b.rank() == 0 {
            let message =
                format!("matrices {} and right-hand sides {} don't fit each other", self.shape(), b.shape());
            return self.tape().fail_op("solve", message, &[self, b]);
        }
        let vector = b.rank() == 1 || (b.rank() + 1 == self.rank() && *b.shape() == self.shape()[..b.rank()]);
        if vector {
            return self.solved(&b.unsqueeze(-1)).named("solve", &[self, b]).squeezed_last();
        }
        self.systems("solve", Solve::General, b)
    }

    /// As [`solve`](Var::solve) for a triangle A, the lower one unless the options say otherwise, of which
    /// alone is read; B is `[…, n, k]`.
    ///
    /// ```
    /// use kolmo::{Tape, ops::SolveTriangularOptions};
    /// let tape = Tape::<f64>::inference();
    /// let (a, b) = (tape.constant([[2.0, 1.0], [0.0, 4.0]]), tape.constant([[4.0], [8.0]]));
    /// let upper = SolveTriangularOptions::new().upper(true);
    /// assert_eq!(a.solve_triangular(&b, upper).to_vec()?, [1.0, 2.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn solve_triangular<'a>(
        &self,
        b: impl Into<Operand<'a, 't, T>>,
        options: SolveTriangularOptions,
    ) -> Var<'t, T>
    where
        't: 'a,
    {
        let op = Solve::Triangular { upper: options.upper, unit: options.unitriangular };
        self.systems("solve_triangular", op, &b.into().beside(self))
    }

    #[track_caller]
    fn squeezed_last(&self) -> Var<'t, T> {
        if self.failed_id().is_some() { self.clone() } else { self.squeezed(self.rank() - 1, false) }
    }

    /// Matrices and right-hand sides with their leading axes broadcast to each other.
    #[track_caller]
    fn systems(&self, name: &str, op: Solve, b: &Var<'t, T>) -> Var<'t, T> {
        if self.failed_id().is_some() || b.failed_id().is_some() {
            return if self.failed_id().is_some() { self.clone() } else { b.clone() };
        }
        if self.rank() < 2 || b.rank() < 2 {
            let message = format!("{} and {}: both need at least two axes", self.shape(), b.shape());
            return self.tape().fail_op(name, message, &[self, b]);
        }
        let (ours, theirs) = (lead(self.tensor()), lead(b.tensor()));
        let both = match broadcast(&ours, &theirs) {
            Ok(both) => both,
            Err(message) => return self.tape().fail_op(name, message, &[self, b]),
        };
        let whole =
            |v: &Var<'t, T>| both.iter().chain(&v.shape()[v.rank() - 2..]).copied().collect::<Shape>();
        self.tape().apply(op, &[&self.expand_to(&whole(self)), &b.expand_to(&whole(b))])
    }

    /// The inverse of square matrices. A singular one is an error.
    #[track_caller]
    #[doc(alias = "inverse")]
    pub fn inv(&self) -> Var<'t, T> {
        let (n, _) = valid!(self, "inv", square(self.tensor()));
        let eye = self.tape().constant(Tensor::eye(n)).expand_to(self.shape());
        self.tape().apply(Solve::General, &[self, &eye]).named("inv", &[self])
    }

    /// The determinant of square matrices. Its gradient, the cofactors, is right for singular ones too
    /// (PyTorch's is 0).
    #[track_caller]
    pub fn det(&self) -> Var<'t, T> {
        self.tape().apply(Solve::Det, &[self])
    }

    /// Sign and logarithm of the magnitude of the determinant of square matrices; 0 and -∞ for a singular
    /// one, whose gradient is an error.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let (sign, log) = tape.constant([[0.0, 2.0], [2.0, 0.0]]).slogdet();
    /// assert_eq!((sign.item()?, log.item()?), (-1.0, 4f64.ln()));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn slogdet(&self) -> (Var<'t, T>, Var<'t, T>) {
        let log = self.tape().apply(Solve::LogAbsDet, &[self]);
        if log.failed_id().is_some() {
            return (log.clone(), log);
        }
        (self.tape().apply(Solve::SignDet, &[self]).named("slogdet", &[self]), log)
    }

    /// The triangle L with `L Lᵀ = A` of symmetric positive definite matrices, or with `upper` its transpose.
    /// Only the lower triangle is read. A matrix that isn't positive definite is an error.
    #[track_caller]
    pub fn cholesky(&self, upper: bool) -> Var<'t, T> {
        let l = self.tape().apply(Solve::Cholesky, &[self]);
        if upper && l.failed_id().is_none() { l.mt() } else { l }
    }

    /// The singular values of matrices, in descending order; they can be differentiated once.
    #[track_caller]
    pub fn svdvals(&self) -> Var<'t, T> {
        self.tape().apply(Solve::SingularValues, &[self])
    }
}
