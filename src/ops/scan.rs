//! Running sums and products along an axis. The sum is an operation of its own; the others double the reach of a
//! shifted copy until it spans the axis, so their derivatives are those of the single steps, right at zeros too.
use super::{Rule, index::valid, operands};
use crate::{
    error::Checked,
    tape::{Float, Var, sweep::Step},
    tensor::Tensor,
};
use std::borrow::Cow;

/// The running sum along an axis, from its end if `reverse`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cumsum {
    axis: usize,
    reverse: bool,
}

impl<T: Float> Rule<T> for Cumsum {
    fn name(&self) -> &str {
        "cumsum"
    }

    fn options(&self) -> Cow<'static, str> {
        Cow::Owned(format!("dim={}, reverse={}", self.axis, self.reverse))
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [x] = operands(x)?;
        let source = x.contiguous();
        let data = source.as_slice().unwrap_or_default();
        let n = x.shape().get(self.axis).copied().unwrap_or(1);
        let inner = x.shape().get(self.axis + 1..).unwrap_or_default().iter().product::<usize>();
        Ok(Tensor::build(x.shape().clone(), |out| {
            if out.is_empty() {
                return;
            }
            for (out, x) in out.chunks_exact_mut(n * inner).zip(data.chunks_exact(n * inner)) {
                for i in 0..inner {
                    let mut sum = T::of(0.0);
                    for k in 0..n {
                        let at = if self.reverse { n - 1 - k } else { k } * inner + i;
                        sum = sum + x[at];
                        out[at] = sum;
                    }
                }
            }
        }))
    }

    fn keeps(&self, _: u32) -> u32 {
        0
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let g = step.grad().clone();
        step.give(0, g.tape().apply(Cumsum { axis: self.axis, reverse: !self.reverse }, &[&g]));
    }
}

impl<'t, T: Float> Var<'t, T> {
    /// The sum of the elements so far along an axis.
    #[track_caller]
    pub fn cumsum(&self, dim: isize) -> Var<'t, T> {
        let axis = valid!(self, "cumsum", self.shape().axis(dim));
        self.tape().apply(Cumsum { axis, reverse: false }, &[self])
    }

    /// The product of the elements so far along an axis.
    #[track_caller]
    pub fn cumprod(&self, dim: isize) -> Var<'t, T> {
        let axis = valid!(self, "cumprod", self.shape().axis(dim));
        self.doubling(axis, |late, early| late * early)
    }

    /// `log Σ eˣ` of the elements so far along an axis, without overflow.
    #[track_caller]
    pub fn logcumsumexp(&self, dim: isize) -> Var<'t, T> {
        let axis = valid!(self, "logcumsumexp", self.shape().axis(dim));
        self.doubling(axis, |late, early| late.logaddexp(early))
    }

    /// A scan in ⌈log₂ n⌉ steps: in each, every element takes in the one `reach` places before it, which stands for as
    /// many elements as it does itself.
    #[track_caller]
    fn doubling(&self, axis: usize, join: impl Fn(&Var<'t, T>, &Var<'t, T>) -> Var<'t, T>) -> Var<'t, T> {
        let n = self.shape().get(axis).copied().unwrap_or(1);
        let (mut x, mut reach) = (self.clone(), 1);
        while reach < n {
            let joined = join(&x.strided(axis, reach, n - reach, 1), &x.strided(axis, 0, n - reach, 1));
            x = self.tape().cat(&[&x.strided(axis, 0, reach, 1), &joined], axis as isize);
            reach *= 2;
        }
        x
    }
}
