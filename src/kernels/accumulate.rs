//! Adding a gradient to one that is there already, in place where nobody else holds it.
use super::map::{NumberExpr, map};
use crate::{kernels::FloatElement, real::Arithmetic, tensor::Tensor, threads::for_chunks};

/// Elements of a task.
const GRAIN: usize = 32 * 1024;

#[derive(Clone, Copy)]
struct Plus;

impl NumberExpr<2> for Plus {
    #[inline(always)]
    fn eval<R: Arithmetic>(&self, [a, b]: [R; 2]) -> R {
        a + b
    }
}

/// `(a + b) + (c + d)` for tensors of one shape: a third fewer bytes are moved than by three sums.
pub(crate) fn add_four<T: FloatElement>(mut a: Tensor<T>, [b, c, d]: [Tensor<T>; 3]) -> Tensor<T> {
    if let (Some(target), [Some(b), Some(c), Some(d)]) =
        (a.try_mut_slice(), [&b, &c, &d].map(Tensor::as_slice))
    {
        for_chunks(target, GRAIN, |start, target| {
            let rest = b[start..].iter().zip(&c[start..]).zip(&d[start..]);
            target.iter_mut().zip(rest).for_each(|(t, ((&b, &c), &d))| *t = (*t + b) + (c + d));
        });
        return a;
    }
    add(add(a, &b), &add(c, &d))
}

/// `a + b` for tensors of one shape.
pub(crate) fn add<T: FloatElement>(mut a: Tensor<T>, b: &Tensor<T>) -> Tensor<T> {
    if let (Some(target), Some(source)) = (a.try_mut_slice(), b.as_slice()) {
        for_chunks(target, GRAIN, |start, target| {
            target.iter_mut().zip(&source[start..]).for_each(|(t, &s)| *t = *t + s);
        });
        return a;
    }
    // The shapes were compared before, so the operands fit.
    map(Plus, [&a, b], a.shape()).unwrap_or(a)
}
