//! An expression over plain numbers run on tensors: in one fused pass, or as a program over the tape when its
//! operations are to be recorded.
use super::{
    list::{Binary, Float, Test, Unary, Where},
    trace::{Record, Traced},
};
use crate::{
    error::Checked,
    kernels::map::{Expr, map},
    tape::{Op, Rule, Step, Var},
    tensor::{Shape, Tensor, shape::broadcast},
};
use std::{cell::RefCell, panic::Location};

/// The expression over operands that broadcast to each other. With `record` it runs as ordinary operations.
#[track_caller]
pub(crate) fn eval<'t, T: Float, E: Expr<N>, const N: usize>(
    e: E,
    x: [&Var<'t, T>; N],
    record: bool,
) -> Var<'t, T> {
    eval_by(&|x, shape| map(e, x, shape), &|x| e.eval(x), x, record)
}

/// An expression in one pass over operands that broadcast to a shape.
type Fused<'a, T, const N: usize> = &'a dyn Fn([&Tensor<T>; N], &Shape) -> Checked<Tensor<T>>;

/// The same of an expression in both of its forms: this is compiled for the number of operands, not for each
/// expression.
#[track_caller]
fn eval_by<'t, T: Float, const N: usize>(
    fused: Fused<T, N>,
    traced: &dyn for<'a> Fn([Traced<'a>; N]) -> Traced<'a>,
    x: [&Var<'t, T>; N],
    record: bool,
) -> Var<'t, T> {
    let tape = x[0].tape();
    if let Some(failed) = x.iter().find(|v| v.failed_id().is_some()) {
        return (*failed).clone();
    }
    if !record {
        let first = x[0].shape();
        let value = if x.iter().all(|v| v.shape() == first) {
            fused(x.map(Var::tensor), first)
        } else {
            let shape = x.iter().try_fold(Shape::default(), |s, v| broadcast(&s, v.shape()));
            shape.and_then(|shape| fused(x.map(Var::tensor), &shape))
        };
        return match value {
            Ok(value) => tape.constant(value),
            Err(message) => tape.fail_op("map", message, &x),
        };
    }
    let arena = Arena(RefCell::new(x.map(Var::clone).to_vec()));
    let y = traced(std::array::from_fn(|i| Traced::at(&arena, i as u32)));
    let y = y.place_in(&arena);
    arena.at(y)
}

impl<'t, T: Float> Step<'_, 't, T> {
    /// Adds an expression in `[x, y, grad]` to the gradient of an operand: one fused pass, or a program over
    /// the tape if the sweep is to be differentiated. The result is summed to the operand's shape if that
    /// was broadcast.
    pub(crate) fn give_expr<E: Expr<N>, const N: usize>(&mut self, input: usize, e: E, x: [&Var<'t, T>; N]) {
        if !self.wants(input) {
            return;
        }
        let full = eval(e, x, self.graph());
        let same = self.has_shape(input, full.shape());
        let grad = if same { full } else { full.sum_to(&self.input_shape(input)) };
        self.give(input, grad);
    }
}

/// The tensors of an expression that is recorded on their tape, by their places.
struct Arena<'t, T: Float>(RefCell<Vec<Var<'t, T>>>);

impl<'t, T: Float> Arena<'t, T> {
    fn at(&self, x: u32) -> Var<'t, T> {
        self.0.borrow()[x as usize].clone()
    }

    fn push(&self, y: Var<'t, T>) -> u32 {
        let mut all = self.0.borrow_mut();
        all.push(y);
        all.len() as u32 - 1
    }

    fn apply<const N: usize>(&self, op: impl Into<Op<T>>, x: [u32; N]) -> u32 {
        let x = x.map(|x| self.at(x));
        self.push(x[0].tape().apply(op, &x.each_ref()))
    }
}

impl<T: Float> Record for Arena<'_, T> {
    fn constant(&self, value: f64) -> u32 {
        self.push(self.at(0).tape().constant(T::constant(value)))
    }

    fn primal(&self, x: u32, _: &'static Location<'static>) -> f64 {
        self.at(x).item().map_or(f64::NAN, |v| v.to_f64())
    }

    fn fixed(&self, x: u32) -> u32 {
        self.push(self.at(x).detach())
    }

    fn unary(&self, f: Unary, x: u32) -> u32 {
        self.apply(f, [x])
    }

    fn binary(&self, f: Binary, x: [u32; 2]) -> u32 {
        self.apply(f, x)
    }

    /// Only a program or a saved tape has to compare again; else the outcome stands for no statement.
    fn test(&self, test: Test, x: [u32; 2]) -> u32 {
        let (a, b) = (self.at(x[0]), self.at(x[1]));
        let tape = a.tape();
        if tape.runs_again(&a) || tape.runs_again(&b) || tape.is_traced() {
            return self.apply(test, x);
        }
        self.push(match test.forward(&[a.tensor(), b.tensor()]) {
            Ok(mask) => tape.constant(mask),
            Err(message) => tape.fail_op(Rule::<T>::name(&test), message, &[&a, &b]),
        })
    }

    fn choose(&self, x: [u32; 3]) -> u32 {
        self.apply(Where, x)
    }
}
