//! A user's own operation with a user's own derivative.
use super::{
    ids::RESULT,
    parts::{Op, Rule, Step, Tape, TapeFloat, Var},
};
use crate::{
    error::{Checked, Error, Result},
    tensor::{Shape, Tensor},
};
use std::sync::Arc;

/// An operation that the crate doesn't have: its value, and its derivative as a program over the tape.
///
/// ```
/// use kolmo::{Result, Tape, Tensor, Var, autodiff::CustomOp};
///
/// /// The cube of each element.
/// struct Cube;
///
/// impl CustomOp<f64> for Cube {
///     fn name(&self) -> &str {
///         "cube"
///     }
///     fn forward(&self, x: &[&Tensor<f64>]) -> Result<Tensor<f64>> {
///         Tensor::new(x[0].shape(), x[0].to_vec().iter().map(|v| v * v * v).collect())
///     }
///     fn backward<'t>(&self, x: &[Var<'t, f64>], _y: &Var<'t, f64>, grad: &Var<'t, f64>) -> Vec<Option<Var<'t, f64>>> {
///         vec![Some(grad * &x[0] * &x[0] * 3.0)]
///     }
/// }
///
/// let tape = Tape::new();
/// let x = tape.input([2.0, 3.0]);
/// let grads = tape.custom(Cube, &[&x]).sum().backward()?;
/// assert_eq!(grads.get(&x).unwrap().to_vec(), [12.0, 27.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[doc(alias("Function", "autograd.Function"))]
pub trait CustomOp<T: TapeFloat>: Send + Sync {
    /// Name, as in listings and errors.
    fn name(&self) -> &str;
    /// The value. An error, which may be one [of your own](Error::custom), becomes a failed value.
    fn forward(&self, inputs: &[&Tensor<T>]) -> Result<Tensor<T>>;
    /// The gradient of each input from that of the output, `None` for no dependence. Written with operations
    /// on [`Var`]s it can be differentiated again.
    fn backward<'t>(
        &self,
        inputs: &[Var<'t, T>],
        output: &Var<'t, T>,
        grad: &Var<'t, T>,
    ) -> Vec<Option<Var<'t, T>>>;
    /// What the crate knows its own operations by.
    #[doc(hidden)]
    fn inside(&self) -> Option<&dyn std::any::Any> {
        None
    }
}

/// # Operations of your own
impl<T: TapeFloat> Tape<T> {
    /// Applies a user's operation.
    #[track_caller]
    pub fn custom<'t>(&'t self, op: impl CustomOp<T> + 'static, inputs: &[&Var<'t, T>]) -> Var<'t, T> {
        self.apply(Op::Custom(Arc::new(Custom(op))), inputs)
    }
}

struct Custom<C>(C);

impl<T: TapeFloat, C: CustomOp<T>> Rule<T> for Custom<C> {
    fn name(&self) -> &str {
        self.0.name()
    }

    #[cfg(feature = "onnx")]
    fn inside(&self) -> Option<&dyn std::any::Any> {
        self.0.inside()
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        self.0.forward(x).map_err(|e| e.to_string())
    }

    fn keeps(&self, _: u32) -> u32 {
        u32::MAX | RESULT
    }

    fn multiply_adds(&self, _: &[Option<Shape>], _: &Shape) -> Option<usize> {
        None
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let inputs: Vec<_> = (0..step.inputs()).map(|i| step.input(i)).collect();
        let grads = self.0.backward(&inputs, &step.output(), step.grad());
        if grads.len() != inputs.len() {
            let message =
                format!("its derivative gave {} gradients for {} operands", grads.len(), inputs.len());
            return step.fail(Error::op(self.0.name(), message, None));
        }
        for (i, grad) in grads.into_iter().enumerate() {
            if let Some(grad) = grad {
                step.give(i, grad);
            }
        }
    }
}
