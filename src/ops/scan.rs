//! Running sums and products along an axis. What has no rule of its own doubles the reach of a shifted copy
//! until it spans the axis: its derivatives are those of the single steps, right at zeros too.
use super::{
    checks::{check_axes, operands},
    index::valid,
    list::{Float, Scan, Test},
};
use crate::{
    error::Checked,
    real::About,
    tape::{RESULT, Rule, Step, Var},
    tensor::{Shape, Tensor},
};
use std::borrow::Cow;

impl<T: Float> Rule<T> for Scan {
    fn name(&self) -> &str {
        match self {
            Scan::Sum { .. } => "cumsum",
            Scan::Prod { .. } => "cumprod",
        }
    }

    fn about(&self) -> About {
        match self {
            Scan::Sum { .. } => {
                About::formula("sums of a up to each element", &["sums of ȳ from each element on"], "")
            }
            Scan::Prod { .. } => About::formula(
                "products of a up to each element",
                &["sums of ȳ · y from each element on, over a"],
                "",
            ),
        }
    }

    fn options(&self) -> Cow<'static, str> {
        Cow::Owned(match self {
            Scan::Sum { axis, reverse: false } | Scan::Prod { axis } => format!("dim={axis}"),
            Scan::Sum { axis, reverse: true } => format!("dim={axis}, reverse"),
        })
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [x] = operands(x)?;
        Ok(match *self {
            Scan::Sum { axis, reverse } => running(x, axis, reverse, T::constant(0.0), |a, b| a + b),
            Scan::Prod { axis } => running(x, axis, false, T::constant(1.0), |a, b| a * b),
        })
    }

    fn keeps(&self, _: u32) -> u32 {
        if let Scan::Prod { .. } = self { 1 | RESULT } else { 0 }
    }

    fn check(&self, x: &[&Tensor<T>], _: &Shape) -> Checked<()> {
        let [x] = operands(x)?;
        let (Scan::Sum { axis, .. } | Scan::Prod { axis }) = self;
        check_axes(&[*axis], x.rank().max(1))
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let g = step.take_grad();
        match *self {
            Scan::Sum { axis, reverse } => {
                step.give(0, g.tape().apply(Scan::Sum { axis, reverse: !reverse }, &[&g]));
            }
            Scan::Prod { axis } => {
                let products = g.tape().apply(Scan::Sum { axis, reverse: true }, &[&(g * step.output())]);
                step.give(0, products / step.input(0));
            }
        }
    }
}

fn running<T: Float>(
    x: &Tensor<T>,
    axis: usize,
    reverse: bool,
    start: T,
    f: impl Fn(T, T) -> T,
) -> Tensor<T> {
    let source = x.contiguous();
    if source.lack().is_some() {
        return source;
    }
    let data = source.as_slice().unwrap_or_default();
    let n = x.shape().get(axis).copied().unwrap_or(1);
    let inner = x.shape().get(axis + 1..).unwrap_or_default().iter().product::<usize>();
    Tensor::build(x.shape().clone(), |out| {
        if out.is_empty() {
            return;
        }
        for (out, x) in out.chunks_exact_mut(n * inner).zip(data.chunks_exact(n * inner)) {
            for i in 0..inner {
                let mut so_far = start;
                for k in 0..n {
                    let at = if reverse { n - 1 - k } else { k } * inner + i;
                    so_far = f(so_far, x[at]);
                    out[at] = so_far;
                }
            }
        }
    })
}

/// # Sums and products so far
impl<'t, T: Float> Var<'t, T> {
    /// The sum of the elements so far along an axis.
    #[track_caller]
    pub fn cumsum(&self, dim: isize) -> Var<'t, T> {
        let axis = valid!(self, "cumsum", self.shape().axis(dim));
        self.tape().apply(Scan::Sum { axis, reverse: false }, &[self])
    }

    /// The product of the elements so far along an axis.
    #[track_caller]
    pub fn cumprod(&self, dim: isize) -> Var<'t, T> {
        let axis = valid!(self, "cumprod", self.shape().axis(dim));
        let plain = |x: &Var<'t, T>| self.tape().apply(Scan::Prod { axis }, &[x]);
        let careful = |x: &Var<'t, T>| x.doubling(axis, |late, early| late * early);
        if self.tape().runs_again(self) {
            // Each way of ones where the other one is to be gone.
            let one = self.tape().constant(T::constant(1.0));
            let none = self.test(Test::Equal, 0.0).sum().test(Test::Equal, 0.0);
            let [free, zeros] = [self.where_one(&none, &one), one.where_one(&none, self)];
            return plain(&free).where_one(&none, &careful(&zeros));
        }
        if self.has_zeros() { careful(self) } else { plain(self) }
    }

    /// `log Σ eˣ` of the elements so far along an axis, without overflow.
    #[track_caller]
    pub fn logcumsumexp(&self, dim: isize) -> Var<'t, T> {
        let axis = valid!(self, "logcumsumexp", self.shape().axis(dim));
        self.doubling(axis, |late, early| late.logaddexp(early))
    }

    /// A scan in ⌈log₂ n⌉ steps: in each, every element takes in the one `reach` places before it, which
    /// stands for as many elements as it does itself.
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
