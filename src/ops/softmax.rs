//! Exponentials that are shifted by the largest of their line, so that none overflows: softmax, its
//! logarithm, and the logarithm of their sum.
use super::{
    checks::{check_axes, operands},
    index::valid,
    list::{Axes, Float, Softmax},
};
use crate::{
    error::Checked,
    kernels::{
        map::{self, NumberExpr},
        reduce::{LANES, Largest, Sum, down, fold, row},
        softmax::softmax_lines,
    },
    real::{About, Arithmetic},
    tape::{RESULT, Rule, Step, Var},
    tensor::{Dims, Shape, Tensor},
    threads,
};
use std::borrow::Cow;

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
// The derivatives, in operand, result, gradient and its sum.
expr!(PlainSlope 3 |[y, g, s]| y * (g - s));
expr!(LogSlope 3 |[y, g, s]| g - y.exp() * s);
expr!(ExpTop 2 |[x, top]| (x - top).exp());
expr!(Shared 2 |[x, sum]| x * (R::constant(1.0) / sum));
expr!(Log 1 |[sum]| sum.log());
expr!(LessBoth 3 |[x, top, rest]| x - top - rest);
// A large y is rounded by more than its differences to x: what has gone into it is more precise. An infinite
// one says by itself that nothing finite has a share.
expr!(Share 4 |[x, top, sum, y]| {
    let precise = y.abs().less(R::constant(1e6));
    R::select(precise, (x - top).exp() / sum, (x - y).exp())
});

/// Lines that a task takes, in elements.
const GRAIN: usize = 8 * 1024;

/// Each line of `n` elements turned into its softmax or, with `log`, the logarithm of that. With `queries`,
/// of each so many lines the i-th has its first i + 1 elements only, and zeros after them.
pub(crate) fn lines<T: Float>(x: &[T], n: usize, log: bool, queries: usize, out: &mut [T]) {
    if queries > 0 {
        return each_line(x, n, queries, out, |x, out| line(x, log, out));
    }
    threads::for_chunks(out, (GRAIN / n).max(1) * n, |start, out| {
        softmax_lines(&x[start..start + out.len()], n, log, out);
    });
}

fn each_line<T: Float>(x: &[T], n: usize, queries: usize, out: &mut [T], f: impl Fn(&[T], &mut [T]) + Sync) {
    let rows = (GRAIN / n).max(1);
    threads::for_chunks(out, rows * n, |start, out| {
        for (k, out) in out.chunks_exact_mut(n).enumerate() {
            let line = (start / n + k).checked_rem(queries).map_or(n, |i| n.min(i + 1));
            let x = &x[start + k * n..][..line];
            let (out, after) = out.split_at_mut(line);
            after.fill(T::default());
            f(x, out);
        }
    });
}

/// One line turned into its softmax, zeros if there is nothing but -∞.
fn masked_line<T: Float>(x: &[T], out: &mut [T]) {
    match row(Largest, x).to_f64() == f64::NEG_INFINITY {
        true => out.fill(T::default()),
        false => line(x, false, out),
    }
}

/// One line turned into its softmax or the logarithm of that.
#[inline]
pub(super) fn line<T: Float>(x: &[T], log: bool, out: &mut [T]) {
    softmax_lines(x, x.len().max(1), log, out);
}

/// The softmax or its logarithm along an axis with others behind it: all that lies side by side at once, with the
/// steps and the order of [`line`].
fn across<T: Float>(x: &Tensor<T>, axis: usize, log: bool) -> Checked<Tensor<T>> {
    let (shape, axes) = (x.shape(), [axis]);
    let top = fold(Largest, x, &axes, true).made()?;
    let powers = map::map(ExpTop, [x, &top], shape)?;
    let sum = down(Sum, &powers, axis).made()?;
    if log {
        let rest = map::map(Log, [&sum], sum.shape())?;
        return map::map(LessBoth, [x, &top, &rest], shape);
    }
    map::map(Shared, [&powers, &sum], shape)
}

impl<T: Float> Rule<T> for Softmax {
    fn anomaly_hint(&self) -> &'static str {
        match self {
            Softmax::Plain { .. } | Softmax::Log { .. } | Softmax::LogSum { .. } => {
                "; is a whole row masked with -inf?"
            }
            _ => "",
        }
    }

    fn name(&self) -> &str {
        match self {
            Softmax::Plain { .. } => "softmax",
            Softmax::Causal => "causal_softmax",
            Softmax::Masked => "masked_softmax",
            Softmax::Log { .. } => "log_softmax",
            Softmax::LogSum { .. } => "logsumexp",
            Softmax::Shares { .. } => "logsumexp_shares",
        }
    }

    fn about(&self) -> About {
        match self {
            Softmax::Plain { .. } => {
                About::formula("eᵃ / Σ eᵃ", &["y · (ȳ − Σ ȳ · y)"], "The result is kept.")
            }
            Softmax::Causal => About::formula(
                "eᵃ / Σ eᵃ over what isn't later",
                &["y · (ȳ − Σ ȳ · y)"],
                "Row i sees its first i + 1 elements. The result is kept.",
            ),
            Softmax::Masked => About::formula(
                "eᵃ / Σ eᵃ",
                &["y · (ȳ − Σ ȳ · y)"],
                "A row that is all −∞ gives zeros. The result is kept.",
            ),
            Softmax::Log { .. } => About::formula("a − ln Σ eᵃ", &["ȳ − eʸ · Σ ȳ"], "The result is kept."),
            Softmax::LogSum { .. } => About::formula("ln Σ eᵃ", &["ȳ · softmax(a)"], ""),
            Softmax::Shares { .. } => About::formula("eᵃ⁻ᵇ", &["ȳ · y", "−Σ ȳ · y"], "The result is kept."),
        }
    }

    fn options(&self) -> Cow<'static, str> {
        Cow::Owned(match self {
            Softmax::Plain { axis } | Softmax::Log { axis } => format!("dim={axis}"),
            Softmax::LogSum { axes, keep } => format!("dim={axes:?}, keepdim={keep}"),
            Softmax::Shares { axes } => format!("dim={axes:?}"),
            Softmax::Causal | Softmax::Masked => String::new(),
        })
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        if let Softmax::Shares { axes } = self {
            let [x, y] = operands(x)?;
            let (top, sum) = top_and_sum(x, axes)?;
            return map::map(Share, [x, &top, &sum, y], x.shape());
        }
        let [x] = operands(x)?;
        let (axis, log) = match self {
            Softmax::Causal | Softmax::Masked => (-1, false),
            Softmax::Plain { axis } => (*axis as isize, false),
            Softmax::Log { axis } => (*axis as isize, true),
            Softmax::LogSum { axes, keep } => return log_sum(x, axes, *keep),
            Softmax::Shares { .. } => return Err("takes the result of logsumexp, too".into()),
        };
        if x.numel() == 0 {
            return Ok(x.clone());
        }
        if let Softmax::Plain { axis } | Softmax::Log { axis } = *self
            && x.layout().strides[axis] >= LANES as isize
            && let Some([order, back]) = x.layout().memory_order()
        {
            // The axes as they lie in memory, where as many elements as the stride are behind this one.
            let at = order.iter().position(|&a| a == axis as isize).unwrap_or(0);
            let y = across(&x.view(x.layout().permute(&order)?), at, log)?;
            return Ok(y.view(y.layout().permute(&back)?));
        }
        let last = x.view(x.layout().transpose(axis, -1)?);
        let (source, n) = (last.contiguous().made()?, last.dim(-1).max(1));
        let data = source.as_slice().unwrap_or_default();
        let queries = if *self == Softmax::Causal { last.dim(-2) } else { 0 };
        let y = Tensor::build(last.shape().clone(), |out| match self {
            Softmax::Masked => each_line(data, n, 0, out, masked_line),
            _ => lines(data, n, log, queries, out),
        })
        .made()?;
        Ok(y.view(y.layout().transpose(axis, -1)?))
    }

    fn keeps(&self, _: u32) -> u32 {
        match self {
            Softmax::LogSum { .. } => 1 | RESULT,
            _ => RESULT,
        }
    }

    fn check(&self, x: &[&Tensor<T>], _: &Shape) -> Checked<()> {
        let x = *x.first().ok_or("takes an operand")?;
        match self {
            Softmax::LogSum { axes, .. } | Softmax::Shares { axes } => check_axes(axes, x.rank()),
            Softmax::Plain { axis } | Softmax::Log { axis } => check_axes(&[*axis], x.rank()),
            Softmax::Causal | Softmax::Masked => check_axes(&[1], x.rank()),
        }
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let g = step.take_grad();
        match self {
            Softmax::Plain { .. } | Softmax::Causal | Softmax::Masked => {
                let axis = if let Softmax::Plain { axis } = self { *axis as isize } else { -1 };
                let y = step.output();
                let sum = (&g * &y).sum_dim([axis], true);
                step.give_expr(0, PlainSlope, [&y, &g, &sum]);
            }
            Softmax::Log { axis } => {
                let y = step.output();
                let sum = g.sum_dim([*axis as isize], true);
                step.give_expr(0, LogSlope, [&y, &g, &sum]);
            }
            Softmax::LogSum { axes, .. } => {
                let (x, y) = (step.input(0), step.output());
                let (y, g) = (y.with_axes(axes, x.shape()), g.with_axes(axes, x.shape()));
                step.give(0, x.tape().apply(Softmax::Shares { axes: axes.clone() }, &[&x, &y]) * g);
            }
            // d e^(x - y) = e^(x - y) (dx - dy)
            Softmax::Shares { .. } => {
                let flow = g * step.output();
                if step.wants(1) {
                    step.give(1, -flow.sum_to(&step.input_shape(1)));
                }
                step.give(0, flow);
            }
        }
    }
}

/// The largest, and the sum of the exponentials of the differences to it, over axes that stay.
fn top_and_sum<T: Float>(x: &Tensor<T>, axes: &Axes) -> Checked<(Tensor<T>, Tensor<T>)> {
    let top = fold(Largest, x, axes, true).made()?;
    // Where the largest is infinite, it must not be subtracted from itself.
    let top = Tensor::from_fn(top.shape(), {
        let values = top.list()?;
        move |i| if values[i].to_f64().is_infinite() { T::constant(0.0) } else { values[i] }
    });
    let sums = fold(Sum, &map::map(ExpTop, [x, &top], x.shape())?, axes, true).made()?;
    Ok((top, sums))
}

fn log_sum<T: Float>(x: &Tensor<T>, axes: &Axes, keep: bool) -> Checked<Tensor<T>> {
    let (top, sums) = top_and_sum(x, axes)?;
    let (tops, sums) = (top.list()?, sums.list()?);
    let y = Tensor::from_fn(top.shape(), |i| tops[i] + Arithmetic::log(sums[i])).made()?;
    Ok(match keep {
        true => y,
        false => y.reshaped(&fold(Sum, &y, axes, false).made()?.shape().clone()),
    })
}

/// # Softmax
impl<'t, T: Float> Var<'t, T> {
    /// A result of folding axes away, with those axes back as size 1.
    #[track_caller]
    fn with_axes(&self, axes: &[usize], full: &Shape) -> Var<'t, T> {
        let ones = full.iter().enumerate().map(|(i, &d)| if axes.contains(&i) { 1 } else { d });
        self.reshape_to(&ones.collect())
    }

    /// `eˣ / Σ eˣ` along an axis, without overflow.
    #[track_caller]
    #[doc(alias = "softmin")]
    pub fn softmax(&self, dim: isize) -> Var<'t, T> {
        let axis = valid!(self, "softmax", self.shape().axis(dim));
        if self.rank() == 0 {
            return self.flatten(0, -1).softmax(0).reshape_to(self.shape());
        }
        self.tape().apply(Softmax::Plain { axis }, &[self])
    }

    /// The softmax of the rows of `[…, l, s]`, of which the i-th has only its first i + 1 elements.
    #[track_caller]
    pub(crate) fn causal_softmax(&self) -> Var<'t, T> {
        self.tape().apply(Softmax::Causal, &[self])
    }

    /// The softmax of the rows of `[…, l, s]`; zeros, with gradient 0, of a row that is all -∞.
    #[track_caller]
    pub(crate) fn masked_softmax(&self) -> Var<'t, T> {
        self.tape().apply(Softmax::Masked, &[self])
    }

    /// The logarithm of [`softmax`](Var::softmax), precise where that rounds to 0 or 1.
    #[track_caller]
    pub fn log_softmax(&self, dim: isize) -> Var<'t, T> {
        let axis = valid!(self, "log_softmax", self.shape().axis(dim));
        if self.rank() == 0 {
            return self.flatten(0, -1).log_softmax(0).reshape_to(self.shape());
        }
        self.tape().apply(Softmax::Log { axis }, &[self])
    }

    /// `log Σ eˣ` over axes, without overflow. No axes means all of them.
    #[track_caller]
    pub fn logsumexp(&self, dim: impl Into<Dims>, keepdim: bool) -> Var<'t, T> {
        let axes = valid!(self, "logsumexp", self.axes(&dim.into()));
        self.tape().apply(Softmax::LogSum { axes, keep: keepdim }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_before_others_has_the_bits_of_the_last() {
        fn check<T: Float>(log: bool, n: usize) {
            let number = |i: usize| match i {
                77 => f64::NAN,
                5 | 150 | 295 => f64::INFINITY,
                i if i % 97 == 9 => f64::NEG_INFINITY,
                _ => ((i * 7919 % 1009) as f64 - 500.0) / 50.0,
            };
            let x = Tensor::<T>::from_fn([2, n, 5, 29], |i| T::from_f64(number(i)));
            let last = x.permute([0, 2, 3, 1]).unwrap().contiguous();
            let mut expected = last.to_vec();
            lines(last.as_slice().unwrap(), n, log, 0, &mut expected);
            let found = across(&x, 1, log).unwrap().permute([0, 2, 3, 1]).unwrap().to_vec();
            let bits = |v: &T| if v.to_f64().is_nan() { 0 } else { v.to_f64().to_bits() };
            assert!(expected.iter().map(bits).eq(found.iter().map(bits)), "{} {log} {n}", T::NAME);
            // As an operation, of operands that lie in another order.
            let op = if log { Softmax::Log { axis: 3 } } else { Softmax::Plain { axis: 3 } };
            let found = op.forward(&[&x.permute([0, 2, 3, 1]).unwrap()]).unwrap().to_vec();
            assert!(expected.iter().map(bits).eq(found.iter().map(bits)), "{} {log} {n}, turned", T::NAME);
        }
        for log in [false, true] {
            for n in [11, 41] {
                check::<f32>(log, n);
                check::<f64>(log, n);
            }
        }
    }
}
