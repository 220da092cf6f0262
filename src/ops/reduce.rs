//! Sums and means over axes.
use super::{Rule, operands};
use crate::{
    error::Checked,
    kernels::reduce::{self, fold},
    tape::{Float, Var, sweep::Step},
    tensor::{Shape, Tensor, shape::axes_of},
};
use smallvec::SmallVec;
use std::borrow::Cow;

pub(crate) type Axes = SmallVec<[usize; 6]>;

/// A reduction over axes (sorted, unique).
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reduce {
    Sum { axes: Axes, keep: bool },
    Mean { axes: Axes, keep: bool },
}

impl<T: Float> Rule<T> for Reduce {
    fn name(&self) -> &str {
        match self {
            Reduce::Sum { .. } => "sum",
            Reduce::Mean { .. } => "mean",
        }
    }

    fn options(&self) -> Cow<'static, str> {
        match self {
            Reduce::Sum { axes, keep } | Reduce::Mean { axes, keep } => {
                Cow::Owned(format!("dim={axes:?}, keepdim={keep}"))
            }
        }
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [x] = operands(x)?;
        match self {
            Reduce::Sum { axes, keep } => Ok(fold(reduce::Sum, x, axes, *keep)),
            Reduce::Mean { axes, keep } => {
                let (n, mut mean) = (T::of(count(x.shape(), axes)), fold(reduce::Sum, x, axes, *keep));
                mean.as_mut_slice().iter_mut().for_each(|v| *v = *v / n);
                Ok(mean)
            }
        }
    }

    fn keeps(&self, _: u32) -> u32 {
        0
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let (g, shape) = (step.grad().clone(), step.input_shape(0));
        match self {
            Reduce::Sum { axes, .. } => step.give(0, g.spread(axes, &shape)),
            Reduce::Mean { axes, .. } => {
                step.give(0, (g / count(&shape, axes)).spread(axes, &shape));
            }
        }
    }
}

/// The number of elements that are folded into one.
fn count(shape: &Shape, axes: &[usize]) -> f64 {
    axes.iter().map(|&a| shape[a]).product::<usize>() as f64
}

impl<'t, T: Float> Var<'t, T> {
    /// The sum of all elements, of rank 0.
    #[track_caller]
    pub fn sum(&self) -> Var<'t, T> {
        let axes = (0..self.rank()).collect();
        self.tape().apply(Reduce::Sum { axes, keep: false }, &[self])
    }

    /// The sum over axes, which stay with size 1 if `keepdim`. No axes means all of them, as in PyTorch.
    #[track_caller]
    pub fn sum_dim(&self, dim: &[isize], keepdim: bool) -> Var<'t, T> {
        match self.axes(dim) {
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
    pub fn mean_dim(&self, dim: &[isize], keepdim: bool) -> Var<'t, T> {
        match self.axes(dim) {
            Ok(axes) => self.tape().apply(Reduce::Mean { axes, keep: keepdim }, &[self]),
            Err(message) => self.tape().fail_op("mean", message, &[self]),
        }
    }

    /// The axes as sorted indices; none given means all.
    pub(crate) fn axes(&self, dim: &[isize]) -> Checked<Axes> {
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
