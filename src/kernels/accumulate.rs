//! Adding a gradient to one that is there already, in place where nobody else holds it.
use super::map::{NumberExpr, map};
use crate::{real::Number, tape::Float, tensor::Tensor};

#[derive(Clone, Copy)]
struct Plus;

impl NumberExpr<2> for Plus {
    #[inline(always)]
    fn eval<R: Number>(&self, [a, b]: [R; 2]) -> R {
        a + b
    }
}

/// `a + b` for tensors of one shape.
pub(crate) fn add<T: Float>(mut a: Tensor<T>, b: &Tensor<T>) -> Tensor<T> {
    if let (Some(target), Some(source)) = (a.try_mut_slice(), b.as_slice()) {
        for (t, &s) in target.iter_mut().zip(source) {
            *t = *t + s;
        }
        return a;
    }
    // The shapes were compared before, so the operands fit.
    map(Plus, [&a, b], a.shape()).unwrap_or(a)
}
