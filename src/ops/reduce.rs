//! Sums, means, variances, products and norms over axes.
use super::{
    checks::{check_axes, operands},
    index::valid,
    list::{Axes, Float, Reduce, Test},
};
use crate::{
    error::Checked,
    kernels::{
        map::{NumberExpr, map},
        reduce::{self, fold},
    },
    real::{About, Arithmetic},
    tape::{RESULT, Rule, Step, Var},
    tensor::{Dims, Shape, Tensor, shape::axes_of},
};
use std::borrow::Cow;

impl Reduce {
    fn over(&self) -> (&Axes, bool) {
        match self {
            Reduce::Sum { axes, keep }
            | Reduce::Mean { axes, keep }
            | Reduce::Prod { axes, keep }
            | Reduce::Var { axes, keep, .. } => (axes, *keep),
        }
    }
}

/// The square of a difference.
#[derive(Clone, Copy)]
struct SquaredDifference;

impl NumberExpr<2> for SquaredDifference {
    #[inline(always)]
    fn eval<R: Arithmetic>(&self, [x, mean]: [R; 2]) -> R {
        let d = x - mean;
        d * d
    }
}

fn mean<T: Float>(x: &Tensor<T>, axes: &Axes, keep: bool) -> Tensor<T> {
    let (n, mut mean) = (T::constant(count(x.shape(), axes)), fold(reduce::Sum, x, axes, keep));
    mean.as_mut_slice().iter_mut().for_each(|v| *v = *v / n);
    mean
}

impl<T: Float> Rule<T> for Reduce {
    fn name(&self) -> &str {
        match self {
            Reduce::Sum { .. } => "sum",
            Reduce::Mean { .. } => "mean",
            Reduce::Prod { .. } => "prod",
            Reduce::Var { .. } => "var",
        }
    }

    fn about(&self) -> About {
        match self {
            Reduce::Sum { .. } => About::formula(
                "Σ a",
                &["ȳ, spread over a's shape"],
                "Only the shape is needed on the way back.",
            ),
            Reduce::Mean { .. } => About::formula(
                "Σ a / n",
                &["ȳ / n, spread over a's shape"],
                "Only the shape is needed on the way back.",
            ),
            Reduce::Prod { .. } => About::formula(
                "∏ a",
                &["ȳ · y / a"],
                "For elements that aren't 0; else as a tree of products.",
            ),
            Reduce::Var { .. } => About::formula(
                "Σ (a − mean)² / (n − correction)",
                &["ȳ · 2 (a − mean) / (n − correction)"],
                "",
            ),
        }
    }

    fn options(&self) -> Cow<'static, str> {
        let (axes, keep) = self.over();
        Cow::Owned(match self {
            Reduce::Var { correction, .. } => {
                format!("dim={axes:?}, correction={correction}, keepdim={keep}")
            }
            _ => format!("dim={axes:?}, keepdim={keep}"),
        })
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [x] = operands(x)?;
        match self {
            Reduce::Sum { axes, keep } => Ok(fold(reduce::Sum, x, axes, *keep)),
            Reduce::Mean { axes, keep } => Ok(mean(x, axes, *keep)),
            Reduce::Prod { axes, keep } => Ok(fold(reduce::Product, x, axes, *keep)),
            Reduce::Var { axes, keep, correction, .. } => {
                let squares = map(SquaredDifference, [x, &mean(x, axes, true)], x.shape())?;
                let mut sum = fold(reduce::Sum, &squares, axes, *keep);
                let n = T::constant((count(x.shape(), axes) - correction).max(0.0));
                sum.as_mut_slice().iter_mut().for_each(|v| *v = *v / n);
                Ok(sum)
            }
        }
    }

    fn keeps(&self, _: u32) -> u32 {
        match self {
            Reduce::Prod { .. } => 1 | RESULT,
            Reduce::Var { .. } => 1,
            _ => 0,
        }
    }

    fn check(&self, x: &[&Tensor<T>], _: &Shape) -> Checked<()> {
        let [x] = operands(x)?;
        check_axes(self.over().0, x.rank())
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let (g, shape) = (step.take_grad(), step.input_shape(0));
        match self {
            Reduce::Sum { axes, .. } => step.give(0, g.spread(axes, &shape)),
            Reduce::Mean { axes, .. } => {
                step.give(0, (g / count(&shape, axes)).spread(axes, &shape));
            }
            Reduce::Prod { axes, .. } => {
                let x = step.input(0);
                let product = step.output().spread(axes, &shape);
                // By a zero nothing can be divided; a program looks anew whether there is one.
                let others = match axes[..] {
                    [axis] if step.tape().replays(&x) => {
                        let none = x.test(Test::Equal, 0.0).sum().test(Test::Equal, 0.0);
                        (product / &x).where_one(&none, &x.others(axis))
                    }
                    [axis] if x.has_zeros() => x.others(axis),
                    _ => product / x,
                };
                step.give(0, g.spread(axes, &shape) * others);
            }
            Reduce::Var { axes, correction, all, .. } => {
                // The mean's own slope drops out, since the differences to it sum to 0.
                let (x, free) = (step.input(0), count(&shape, axes) - correction);
                let dims: Vec<isize> = axes.iter().map(|&a| a as isize).collect();
                let from_mean = &x - x.mean_dim(&dims, true);
                let g = g.spread(axes, &shape);
                step.give(
                    0,
                    if *all && free <= 0.0 {
                        // As PyTorch: infinite, but NaN at the mean.
                        let [nan, infinite] =
                            [f64::NAN, f64::INFINITY].map(|slope| x.tape().constant(T::constant(slope)));
                        &g * nan.where_one(&from_mean.test(Test::Equal, 0.0), &infinite)
                    } else {
                        (g * (2.0 / free)) * from_mean
                    },
                );
            }
        }
    }
}

/// The number of elements that are folded into one.
fn count(shape: &Shape, axes: &[usize]) -> f64 {
    axes.iter().map(|&a| shape[a]).product::<usize>() as f64
}

/// # Reductions
impl<'t, T: Float> Var<'t, T> {
    /// The sum of all elements, of rank 0.
    #[track_caller]
    pub fn sum(&self) -> Var<'t, T> {
        let axes = (0..self.rank()).collect();
        self.tape().apply(Reduce::Sum { axes, keep: false }, &[self])
    }

    /// The sum over axes, which stay with size 1 if `keepdim`. No axes means all of them, as in PyTorch.
    #[track_caller]
    pub fn sum_dim(&self, dim: impl Into<Dims>, keepdim: bool) -> Var<'t, T> {
        match self.axes(&dim.into()) {
            Ok(axes) => self.tape().apply(Reduce::Sum { axes, keep: keepdim }, &[self]),
            Err(message) => self.tape().fail_op("sum", message, &[self]),
        }
    }

    /// The mean of all elements, of rank 0.
    #[track_caller]
    pub fn mean(&self) -> Var<'t, T> {
        let axes = (0..self.rank()).collect();
        self.tape().apply(Reduce::Mean { axes, keep: false }, &[self])
    }

    /// The mean over axes, which stay with size 1 if `keepdim`. No axes means all of them.
    #[track_caller]
    pub fn mean_dim(&self, dim: impl Into<Dims>, keepdim: bool) -> Var<'t, T> {
        match self.axes(&dim.into()) {
            Ok(axes) => self.tape().apply(Reduce::Mean { axes, keep: keepdim }, &[self]),
            Err(message) => self.tape().fail_op("mean", message, &[self]),
        }
    }

    /// The variance of all elements: `Σ (x - mean)² / (n - correction)`. Correction 1 (Bessel's) is PyTorch's
    /// default.
    #[track_caller]
    pub fn var(&self, correction: f64) -> Var<'t, T> {
        self.var_dim([], correction, false)
    }

    /// The variance over axes; see [`var`](Var::var). No axes means all of them.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([[1.0, 3.0], [2.0, 6.0]]);
    /// assert_eq!(x.var_dim(1, 1.0, false).to_vec()?, [2.0, 8.0]);
    /// assert_eq!(x.var_dim(1, 0.0, false).to_vec()?, [1.0, 4.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn var_dim(&self, dim: impl Into<Dims>, correction: f64, keepdim: bool) -> Var<'t, T> {
        let dim = dim.into();
        let axes = valid!(self, "var", self.axes(&dim));
        let all = dim.is_empty() || self.rank() == 0;
        self.tape().apply(Reduce::Var { axes, keep: keepdim, correction, all }, &[self])
    }

    /// The standard deviation of all elements, the root of [`var`](Var::var). Where all are equal its
    /// gradient is 0.
    #[track_caller]
    pub fn std(&self, correction: f64) -> Var<'t, T> {
        self.std_dim([], correction, false)
    }

    /// The standard deviation over axes; see [`std`](Var::std). No axes means all of them.
    #[track_caller]
    pub fn std_dim(&self, dim: impl Into<Dims>, correction: f64, keepdim: bool) -> Var<'t, T> {
        let dim = dim.into();
        valid!(self, "std", self.axes(&dim));
        self.var_dim(dim, correction, keepdim).root(0.5)
    }

    /// `xᵖ`, but with gradient 0 where x is 0.
    #[track_caller]
    fn root(&self, p: f64) -> Var<'t, T> {
        let power = |x: &Var<'t, T>| if p == 0.5 { x.sqrt() } else { x.powf(p) };
        if !self.tape().runs_again(self) && !self.has_zeros() {
            return power(self);
        }
        let zero = self.test(Test::Equal, 0.0);
        let [one, at_zero] = [1.0, Arithmetic::pow(0.0f64, p)].map(|v| self.tape().constant(T::constant(v)));
        at_zero.where_one(&zero, &power(&one.where_one(&zero, self)))
    }

    /// The product of all elements. Its gradient is right at zeros too.
    #[track_caller]
    pub fn prod(&self) -> Var<'t, T> {
        valid!(self, "prod", self.axes(&[]));
        self.reshape_to(&Shape::new(&[self.numel()])).prod_dim(0, false)
    }

    /// The product over an axis; see [`prod`](Var::prod).
    #[track_caller]
    pub fn prod_dim(&self, dim: isize, keepdim: bool) -> Var<'t, T> {
        let axis = valid!(self, "prod", self.shape().axis(dim));
        if self.rank() == 0 {
            return self.clone();
        }
        self.tape().apply(Reduce::Prod { axes: [axis].into_iter().collect(), keep: keepdim }, &[self])
    }

    /// For each element the product of the others along an axis, without division: halves are multiplied with
    /// each other until one slice is left, and on the way back each half gets the other one as a factor.
    #[track_caller]
    fn others(&self, axis: usize) -> Var<'t, T> {
        if self.failed_id().is_some() {
            return self.clone();
        }
        let n = self.dim(axis as isize);
        if n < 2 {
            return self.tape().constant(Tensor::ones(self.shape()));
        }
        let (half, join) = (n / 2, |parts: &[&Var<'t, T>]| self.tape().cat(parts, axis as isize));
        let [a, b] = [0, half].map(|start| self.strided(axis, start, half, 1));
        let rest = self.strided(axis, 2 * half, n % 2, 1);
        let above = join(&[&(&a * &b), &rest]).others(axis);
        let both = above.strided(axis, 0, half, 1);
        join(&[&(&both * b), &(both * a), &above.strided(axis, half, n % 2, 1)])
    }

    /// Whether an element is 0, or may be where there is no room to look.
    pub(crate) fn has_zeros(&self) -> bool {
        let source = self.tensor().contiguous();
        source.lack().is_some() || source.as_slice().unwrap_or_default().contains(&T::constant(0.0))
    }

    /// An axis of size 1 dropped, unless it is to stay.
    #[track_caller]
    pub(crate) fn squeezed(&self, axis: usize, keepdim: bool) -> Var<'t, T> {
        if keepdim || self.failed_id().is_some() {
            return self.clone();
        }
        let mut shape = self.shape().clone();
        shape.remove(axis);
        self.reshape_to(&shape)
    }

    /// The sum over axes without what is NaN. No axes means all of them.
    #[track_caller]
    pub fn nansum_dim(&self, dim: impl Into<Dims>, keepdim: bool) -> Var<'t, T> {
        let dim = dim.into();
        valid!(self, "nansum", self.axes(&dim));
        self.numbers().0.sum_dim(dim, keepdim)
    }

    /// The mean over axes without what is NaN. No axes means all of them.
    #[track_caller]
    pub fn nanmean_dim(&self, dim: impl Into<Dims>, keepdim: bool) -> Var<'t, T> {
        let dim = dim.into();
        valid!(self, "nanmean", self.axes(&dim));
        let (numbers, mask) = self.numbers();
        numbers.sum_dim(&dim, keepdim) / mask.sum_dim(dim, keepdim)
    }

    /// 0 for what is NaN, and ones where it isn't.
    #[track_caller]
    fn numbers(&self) -> (Var<'t, T>, Var<'t, T>) {
        let mask = self.tape().apply(Test::Equal, &[self, self]);
        (self.where_one(&mask, &self.tape().constant(T::constant(0.0))), mask)
    }

    /// The vector norm `(Σ |x|ᵖ)^(1/p)` over axes: for `p` infinite the largest magnitude (the smallest for
    /// -∞), for 0 the number of elements that are not 0. Where the norm is 0 its gradient is 0. No axes
    /// means all of them.
    #[track_caller]
    #[doc(alias = "vector_norm")]
    pub fn norm_dim(&self, p: f64, dim: impl Into<Dims>, keepdim: bool) -> Var<'t, T> {
        self.norm_over(p, &dim.into(), keepdim)
    }

    #[track_caller]
    fn norm_over(&self, p: f64, dim: &[isize], keepdim: bool) -> Var<'t, T> {
        valid!(self, "norm", self.axes(dim));
        if p == f64::INFINITY {
            return self.abs().extremum_of_all(dim, keepdim, true);
        }
        if p == f64::NEG_INFINITY {
            return self.abs().extremum_of_all(dim, keepdim, false);
        }
        if p == 0.0 {
            // NaN is not 0.
            return self.sign().nan_to_num(1.0, None, None).square().sum_dim(dim, keepdim);
        }
        if p == 1.0 {
            return self.abs().sum_dim(dim, keepdim);
        }
        if p == 2.0 {
            return (self * self).sum_dim(dim, keepdim).root(0.5);
        }
        self.abs().root(p).sum_dim(dim, keepdim).root(1.0 / p)
    }

    /// Differences of neighbours along an axis, taken `n` times.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::inference();
    /// let x = tape.constant([1.0, 4.0, 9.0, 16.0]);
    /// assert_eq!(x.diff(1, 0).to_vec()?, [3.0, 5.0, 7.0]);
    /// assert_eq!(x.diff(2, 0).to_vec()?, [2.0, 2.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn diff(&self, n: usize, dim: isize) -> Var<'t, T> {
        let axis = valid!(self, "diff", self.shape().axis(dim));
        if self.rank() == 0 {
            let message = "a tensor of rank 0 has no neighbours to compare".to_string();
            valid!(self, "diff", Err::<(), _>(message));
        }
        let mut x = self.clone();
        // With nothing left, further differences change nothing.
        for _ in 0..n.min(self.shape()[axis]) {
            let size = x.shape()[axis];
            let len = size.saturating_sub(1);
            x = x.strided(axis, size - len, len, 1) - x.strided(axis, 0, len, 1);
        }
        x
    }

    /// The axes as sorted indices; none given means all.
    pub(crate) fn axes(&self, dim: &[isize]) -> Checked<Axes> {
        if self.rank() > 64 {
            return Err(format!("takes at most 64 axes, not {}", self.rank()));
        }
        if dim.is_empty() || self.rank() == 0 {
            axes_of(dim, self.rank()).map(|_| (0..self.rank()).collect())
        } else {
            axes_of(dim, self.rank())
        }
    }

    /// Summed over the axes along which `shape` was broadcast to this shape.
    #[track_caller]
    pub(crate) fn sum_to(&self, shape: &Shape) -> Var<'t, T> {
        if self.shape() == shape {
            return self.clone();
        }
        let lead = self.rank().saturating_sub(shape.rank());
        let axes: Axes = (0..self.rank())
            .filter(|&i| i < lead || (shape[i - lead] == 1 && self.shape()[i] != 1))
            .collect();
        let summed = self.tape().apply(Reduce::Sum { axes, keep: true }, &[self]);
        summed.reshape_to(shape)
    }

    /// The gradient of a reduction spread back over the axes that it folded away, as a view.
    #[track_caller]
    pub(crate) fn spread(&self, axes: &[usize], shape: &Shape) -> Var<'t, T> {
        let kept: Shape =
            shape.iter().enumerate().map(|(i, &d)| if axes.contains(&i) { 1 } else { d }).collect();
        self.reshape_to(&kept).expand_to(shape)
    }
}
