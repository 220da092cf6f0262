//! The operation that CONTRIBUTING.md adds as an example: here it is compiled and tested.
use super::{
    checks::{check_axes, operands},
    index::valid,
    list::{Axes, Float},
};
use crate::{
    error::Checked,
    kernels::{
        map::{NumberExpr, map},
        reduce::{Sum, fold},
    },
    real::Arithmetic,
    tape::{Op, Rule, Step, Var},
    tensor::{Shape, Tensor},
};
use std::{borrow::Cow, sync::Arc};

/// `x - mean(x)` along axes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Centre {
    pub axes: Axes,
}

/// What the list makes of an operation that is in it.
impl<T: Float> From<Centre> for Op<T> {
    fn from(op: Centre) -> Op<T> {
        Op::Custom(Arc::new(op))
    }
}

/// An element less a share of a sum.
#[derive(Clone, Copy)]
struct Less {
    share: f64,
}

impl NumberExpr<2> for Less {
    #[inline(always)]
    fn eval<R: Arithmetic>(&self, [x, sum]: [R; 2]) -> R {
        x - sum * R::constant(self.share)
    }
}

impl<T: Float> Rule<T> for Centre {
    fn name(&self) -> &str {
        "centre"
    }

    fn options(&self) -> Cow<'static, str> {
        Cow::Owned(format!("dim={:?}", self.axes))
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [x] = operands(x)?;
        let n: usize = self.axes.iter().map(|&axis| x.dim(axis as isize)).product();
        let sums = fold(Sum, x, &self.axes, true);
        map(Less { share: 1.0 / n as f64 }, [x, &sums], x.shape())
    }

    fn check(&self, x: &[&Tensor<T>], _: &Shape) -> Checked<()> {
        let [x] = operands(x)?;
        check_axes(&self.axes, x.rank())
    }

    fn keeps(&self, _: u32) -> u32 {
        0
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        // yᵢ = xᵢ - Σⱼ xⱼ / n, so x̄ⱼ = ȳⱼ - Σᵢ ȳᵢ / n: the gradient is centred, too.
        let g = step.take_grad();
        step.give(0, g.tape().apply(self.clone(), &[&g]));
    }
}

impl<'t, T: Float> Var<'t, T> {
    /// Less its mean along an axis.
    ///
    /// ```
    /// let tape = kolmo::Tape::<f64>::new();
    /// let x = tape.input([[1.0, 3.0], [10.0, 30.0]]);
    /// assert_eq!(x.centre(1).to_vec()?, [-1.0, 1.0, -10.0, 10.0]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[track_caller]
    pub fn centre(&self, dim: isize) -> Var<'t, T> {
        let axes = valid!(self, "centre", self.axes(&[dim]));
        self.tape().apply(Centre { axes }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Result, Tape, autodiff::GradCheck};

    #[test]
    fn the_operation_that_contributing_adds_works() -> Result<()> {
        let x = Tensor::from([[0.1, 0.3, 0.8], [1.0, 3.0, -0.5]]);
        let tape = Tape::<f64>::new();
        assert_eq!(tape.constant([[1.0, 3.0, 8.0]]).centre(1).to_vec()?, [-3.0, -1.0, 4.0]);
        GradCheck::new().second_order(true).check(|x| x[0].centre(1).tanh(), &[x])
    }
}
