//! The cross entropy of yes-or-no answers, as one operation.
use super::{
    checks::{check_shape, operands},
    list::{BinaryCrossEntropy, Float},
};
use crate::{
    error::Checked,
    kernels::map::{NumberExpr, map},
    real::Arithmetic,
    tape::{Rule, Step},
    tensor::{Shape, Tensor},
};

macro_rules! expr {
    ($name:ident $n:literal |$args:pat_param| $e:expr) => {
        #[derive(Clone, Copy)]
        struct $name;
        impl NumberExpr<$n> for $name {
            #[inline(always)]
            fn eval<R: Arithmetic>(&self, $args: [R; $n]) -> R {
                $e
            }
        }
    };
}

/// `max(ln x, -100)`.
#[inline(always)]
fn bounded_log<R: Arithmetic>(x: R) -> R {
    let low = R::constant(-100.0);
    R::select(x.log().less(low), low, x.log())
}

expr!(Value 2 |[p, t]| (t - R::constant(1.0)) * bounded_log(R::constant(1.0) - p) - t * bounded_log(p));
expr!(SlopeOfP 3 |[p, t, g]| {
    let (spread, low) = ((R::constant(1.0) - p) * p, R::constant(1e-12));
    g * (p - t) / R::select(spread.less(low), low, spread)
});
expr!(SlopeOfT 2 |[p, g]| g * (bounded_log(R::constant(1.0) - p) - bounded_log(p)));

impl<T: Float> Rule<T> for BinaryCrossEntropy {
    fn name(&self) -> &str {
        "binary_cross_entropy"
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [p, t] = operands(x)?;
        let values = p.contiguous().made()?;
        let mut values = values.as_slice().unwrap_or_default().iter().copied();
        let outside = values.find(|p| !(0.0..=1.0).contains(&p.to_f64()));
        if let Some(outside) = outside {
            return Err(format!("{outside:?} is no probability: 0 to 1 are accepted"));
        }
        map(Value, [p, t], p.shape())
    }

    fn keeps(&self, wanted: u32) -> u32 {
        1 | (wanted & 1) << 1
    }

    fn check(&self, x: &[&Tensor<T>], y: &Shape) -> Checked<()> {
        let [p, t] = operands(x)?;
        check_shape(p.shape(), y).and(check_shape(t.shape(), y))
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let (p, g) = (step.input(0), step.take_grad());
        if step.wants(0) {
            step.give_expr(0, SlopeOfP, [&p, &step.input(1), &g]);
        }
        step.give_expr(1, SlopeOfT, [&p, &g]);
    }
}
