//! A parameter's weights as whole numbers times step sizes: how its use in training is rounded, and which
//! step size is whose.
use super::handle::Steps;
use crate::{
    error::{Error, Result},
    ops::Float,
    tape::{Tape, Var},
    tensor::{Shape, Tensor},
};

/// Step sizes stay above this, so that one that training brings to 0 divides nothing by it.
const LEAST: f64 = 1e-8;

/// Which weights share a step size: `group` neighbours in each row, a row being an index of the first axis (a
/// vector is one row). 0 for all of a tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Groups {
    rows: usize,
    cols: usize,
    group: usize,
}

impl Groups {
    pub(crate) fn new(shape: &[usize], group: usize) -> Groups {
        let rows = if shape.len() < 2 { 1 } else { shape[0] };
        let inner = shape.iter().skip(usize::from(shape.len() > 1));
        let cols = inner.fold(1, |product: usize, &n| product.saturating_mul(n));
        Groups { rows, cols, group }
    }

    pub(crate) fn rows(self) -> usize {
        self.rows
    }

    pub(crate) fn cols(self) -> usize {
        self.cols
    }

    /// Number of groups.
    pub(crate) fn count(self) -> usize {
        if self.group == 0 { 1 } else { self.rows.saturating_mul(self.each_row()) }
    }

    fn each_row(self) -> usize {
        self.cols.div_ceil(self.group.max(1))
    }

    /// The group of a position.
    pub(crate) fn of(self, i: usize) -> usize {
        match self.group {
            0 => 0,
            group => i / self.cols.max(1) * self.each_row() + i % self.cols.max(1) / group,
        }
    }
}

impl<T: Float> Steps<T> {
    /// Whether they fit a parameter of this shape.
    pub(super) fn check(&self, what: &'static str, shape: &Shape) -> Result<()> {
        let fail = |message: String| Err(Error::invalid(what, message));
        let Steps { bits, group, sizes } = self;
        let (count, given) = (Groups::new(shape, *group).count(), sizes.shape());
        if !(2..=8).contains(bits) {
            return fail(format!("{bits} bits: takes 2 to 8"));
        }
        if given[..] != [count] {
            return fail(format!(
                "step sizes of shape {given}: {shape} in groups of {group} takes [{count}]"
            ));
        }
        // Only magnitudes are used, since training may bring one across 0.
        if let Some(bad) =
            sizes.value().to_vec().iter().find(|s| !(s.to_f64() != 0.0 && s.to_f64().is_finite()))
        {
            return fail(format!("step size {bad:?} is not a finite number other than 0"));
        }
        Ok(())
    }

    /// The largest whole number: -q to q have as many bits.
    pub(super) fn most(&self) -> f64 {
        f64::from((1u32 << (self.bits - 1)) - 1)
    }

    /// The step sizes as they are used, `[groups]`.
    pub(super) fn used<'t>(&self, tape: &'t Tape<T>) -> Var<'t, T> {
        tape.param(&self.sizes).abs().clamp_min(LEAST)
    }

    /// A step size for each weight. Its gradient is a sum over weights.
    fn spread<'t>(&self, sizes: &Var<'t, T>, shape: &Shape) -> Var<'t, T> {
        match self.group {
            0 => sizes.clone(),
            group => {
                let groups = Groups::new(shape, group);
                sizes.elements(Tensor::from_fn(shape, |i| groups.of(i) as u32))
            }
        }
    }

    /// Whole numbers times their step sizes.
    pub(super) fn scale<'t>(&self, numbers: &Var<'t, T>) -> Var<'t, T> {
        numbers * self.spread(&self.used(numbers.tape()), numbers.shape())
    }

    /// The step size of each weight, for training; `kept` weights are those that no mask prunes.
    fn shared<'t>(&self, weight: &Var<'t, T>, kept: usize) -> Var<'t, T> {
        let sizes = self.used(weight.tape());
        let each = kept as f64 / sizes.numel().max(1) as f64;
        self.spread(&share_of_gradient(&sizes, each, self.most()), weight.shape())
    }

    /// Weights rounded to whole numbers of steps. One beyond the last step pulls at a step size that is
    /// learnt and has no gradient of its own, even where rounding alone would bring it back (Esser et al.,
    /// 2020, equations 3 and 5); of fixed sizes it has one wherever its whole number is in the range.
    pub(super) fn round<'t>(&self, weight: &Var<'t, T>, kept: usize) -> Var<'t, T> {
        let size = self.shared(weight, kept);
        if self.sizes.is_trainable() {
            rounded(&self.within(weight, &size)) * size
        } else {
            round_to_steps(weight, &size, -self.most(), self.most())
        }
    }

    /// Weights in steps, within the range, before they are rounded.
    pub(super) fn in_steps<'t>(&self, weight: &Var<'t, T>, kept: usize) -> Var<'t, T> {
        self.within(weight, &self.shared(weight, kept))
    }

    fn within<'t>(&self, weight: &Var<'t, T>, size: &Var<'t, T>) -> Var<'t, T> {
        (weight / size).clamp(-self.most(), self.most())
    }

    /// The whole numbers that weights are rounded to, and the step sizes.
    pub(super) fn numbers(&self, weight: &Tensor<T>) -> Result<(Tensor<i32>, Vec<T>)> {
        let tape = Tape::inference();
        let (weight, sizes) = (tape.constant(weight), self.used(&tape));
        let codes = self.within(&weight, &self.spread(&sizes, weight.shape())).round();
        let codes = codes.to_vec()?;
        Ok((Tensor::from_fn(weight.shape(), |i| codes[i].to_f64() as i32), sizes.to_vec()?))
    }
}

/// The nearest whole numbers, differentiated as if they weren't rounded. The difference is exact, and so is
/// the sum.
#[track_caller]
fn rounded<'t, T: Float>(code: &Var<'t, T>) -> Var<'t, T> {
    code + (code.round() - code).held()
}

/// `clamp(round(x / s), low, high) · s`, differentiated as if it weren't rounded: wherever the whole number
/// is one of the range, the first and the last included, as in PyTorch.
#[track_caller]
pub(crate) fn round_to_steps<'t, T: Float>(
    x: &Var<'t, T>,
    s: &Var<'t, T>,
    low: f64,
    high: f64,
) -> Var<'t, T> {
    let (low, high) = (low.ceil(), high.floor());
    // What rounds to a number beyond the range has no gradient, what rounds to its ends has.
    let code = (x / s).clamp(-reach::<T>(-low), reach::<T>(high));
    (&code + (code.round().clamp(low, high) - &code).held()) * s
}

/// The first number above those that are rounded to `last` or less: halves are rounded to even numbers.
fn reach<T: Float>(last: f64) -> f64 {
    let half = last + 0.5;
    match last % 2.0 == 0.0 {
        true if size_of::<T>() == 4 => f64::from((half as f32).next_up()),
        true => half.next_up(),
        false => half,
    }
}

/// The value to the bit, and the gradient divided by `√(n · most)`, which keeps steps of training in
/// proportion (Esser et al., 2020).
#[track_caller]
pub(crate) fn share_of_gradient<'t, T: Float>(s: &Var<'t, T>, n: f64, most: f64) -> Var<'t, T> {
    let constant = s.held();
    (s - &constant) * (1.0 / (n * most).sqrt().max(1.0)) + constant
}
