//! How scalars and tensors meet: what the two kinds of such statements do, and how they come about.
use super::{
    ids::{NodeId, StatementId},
    mixed::Mixed,
    parts::{Op, Rule, Step, Tape, TapeFloat, Var},
    scalar::Scalar,
};
use crate::{
    error::{Checked, Error},
    real::About,
    tensor::{Shape, Tensor},
};
use smallvec::smallvec;
use std::{borrow::Cow, panic::Location};

impl<T: TapeFloat> Rule<T> for Mixed {
    fn name(&self) -> &str {
        match self {
            Mixed::At(_) => "at",
            Mixed::Stack(_) => "stack_scalars",
        }
    }

    fn about(&self) -> About {
        match self {
            Mixed::At(_) => {
                About::formula("one element of a", &["ȳ, added to that element"], "From tensors to scalars.")
                    .exact()
            }
            Mixed::Stack(_) => About::formula(
                "scalars as one tensor",
                &["the element of ȳ at its place"],
                "From scalars to tensors.",
            )
            .exact(),
        }
    }

    fn options(&self) -> Cow<'static, str> {
        match self {
            Mixed::At(position) => Cow::Owned(format!("position={position}")),
            Mixed::Stack(_) => Cow::Borrowed(""),
        }
    }

    fn forward(&self, _: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        Err("is recorded together with its value".into())
    }

    fn keeps(&self, _: u32) -> u32 {
        0
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        if step.graph() {
            step.fail(Error::op(
                Rule::<T>::name(self),
                "scalar statements keep numbers, so a gradient through them can't be differentiated again; \
                 use backward(), or a tape of dual numbers",
                None,
            ));
            return;
        }
        match self {
            Mixed::At(position) => {
                let g = step.scalar_grad();
                step.give_element(0, *position, g);
            }
            Mixed::Stack(ids) => {
                let g = step.grad().tensor().contiguous();
                for (&id, &v) in ids.iter().zip(g.as_slice().unwrap_or_default()) {
                    if id != StatementId::CONSTANT {
                        step.give_scalar(id, v);
                    }
                }
            }
        }
    }
}

/// # One element as a scalar
impl<'t, T: TapeFloat> Var<'t, T> {
    /// One element as a scalar. An index outside the shape gives NaN and an error on the tape.
    #[track_caller]
    pub fn at(&self, index: impl AsRef<[usize]>) -> Scalar<'t, T> {
        let index = index.as_ref();
        let tape = self.tape();
        if let Some(failure) = self.failure() {
            return tape.fail_scalar_with(failure);
        }
        let Some(value) = self.tensor().get(index) else {
            let message = format!("index {index:?} is outside shape {}", self.shape());
            return tape.fail_scalar_with(Error::op("at", message, Some(Location::caller())));
        };
        let Some(node) = self.node().filter(|_| tape.is_recording()) else {
            return Scalar::constant(value);
        };
        let strides = self.shape().contiguous_strides();
        let position = index.iter().zip(&strides).map(|(&i, &s)| i * s as usize).sum();
        let statement = StatementId::at(tape.statements.len().0);
        let id = tape.push_node(Op::Mixed(Mixed::At(position)), smallvec![node], Shape::default(), []);
        if tape.settings.observed.get() {
            tape.note(id, &Tensor::scalar(value), &[], None);
        }
        Scalar::recorded(tape, value, statement)
    }
}

/// # Tensors from scalars
impl<T: TapeFloat> Tape<T> {
    /// Scalars as the elements of a tensor of this shape, in row-major order.
    #[track_caller]
    pub fn stack_scalars<'t>(&'t self, scalars: &[Scalar<'t, T>], shape: impl Into<Shape>) -> Var<'t, T> {
        let shape = shape.into();
        let value = match Tensor::new(shape.clone(), scalars.iter().map(|s| s.value()).collect()) {
            Ok(value) => value,
            Err(e) => return self.fail_op("stack_scalars", e.to_string(), &[]),
        };
        if scalars.iter().any(|s| s.tape().is_some_and(|t| !std::ptr::eq(t, self))) {
            return self.fail_op("stack_scalars", "two tapes: a scalar was recorded on another tape", &[]);
        }
        // A scalar that failed is no number.
        if scalars.iter().any(|s| s.value().is_nan())
            && let Some(failure) = self.recorded_failure()
        {
            return self.fail_with(failure);
        }
        if !self.is_recording() || scalars.iter().all(|s| s.statement_id() == StatementId::CONSTANT) {
            return Var::new(self, value, NodeId::NONE);
        }
        let ids = scalars.iter().map(|s| s.statement_id()).collect();
        let id = self.push_node(Op::Mixed(Mixed::Stack(ids)), smallvec![NodeId::NONE], shape, []);
        self.note(id, &value, &[], None);
        Var::new(self, value, id)
    }

    /// A scalar as a tensor of rank 0.
    #[track_caller]
    pub fn lift<'t>(&'t self, scalar: Scalar<'t, T>) -> Var<'t, T> {
        self.stack_scalars(&[scalar], [])
    }
}
