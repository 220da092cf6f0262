//! Optimisers: they walk a model, and change each parameter that has a gradient, in one pass over its memory.
mod adam;
mod sgd;

pub use adam::{Adam, AdamW};
pub use sgd::Sgd;

use crate::{
    error::{Error, Result},
    ids::IdMap,
    nn::{Param, visit_params},
    tape::{Float, Gradients},
    tensor::Tensor,
};
use serde::{Deserialize, Serialize};

/// Changes the parameters of a model by their gradients.
///
/// ```
/// use kolmo::{Tape, Tensor, nn::Param, optim::{Optimizer, Sgd}};
/// let p = Param::new(Tensor::from([3.0f32]));
/// let mut sgd = Sgd::new(0.1);
/// let mut tape = Tape::new();
/// for _ in 0..100 {
///     let x = tape.param(&p);
///     let grads = (&x * &x).sum().backward()?;
///     sgd.step(&p, &grads)?;
///     tape.reset();
/// }
/// assert!(p.value().item()?.abs() < 1e-6);
/// # Ok::<(), kolmo::Error>(())
/// ```
pub trait Optimizer<T: Float = f32> {
    /// One step for every trainable parameter of the model that has a gradient; the others are left alone.
    fn step<M: Serialize + ?Sized>(&mut self, model: &M, grads: &Gradients<T>) -> Result<()>;
    /// The learning rate.
    fn lr(&self) -> f64;
    /// Sets the learning rate, as schedules do.
    fn set_lr(&mut self, lr: f64);
}

/// What an optimiser remembers of one parameter: K tensors of its shape and how many steps it made.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct Slot<T: Float> {
    tensors: Vec<Tensor<T>>,
    steps: u64,
}

/// The memory of an optimiser, by parameter.
#[derive(Clone, Debug)]
struct State<T: Float>(IdMap<Slot<T>>);

impl<T: Float> Default for State<T> {
    fn default() -> Self {
        State(IdMap::default())
    }
}

impl<T: Float> State<T> {
    /// Calls `f` with each parameter's elements, its K state tensors, its gradient and the number of this step.
    fn each<M: Serialize + ?Sized, const K: usize>(
        &mut self,
        model: &M,
        grads: &Gradients<T>,
        mut f: impl FnMut(&mut [T], [&mut [T]; K], &[T], u64),
    ) -> Result<()> {
        let mut error = None;
        visit_params(model, |path, p: &Param<T>| {
            let Some(grad) = grads.param(p).filter(|_| error.is_none()) else { return };
            let slot = self.0.entry(p.id()).or_insert_with(|| Slot {
                tensors: (0..K).map(|_| Tensor::zeros(grad.shape())).collect(),
                steps: 0,
            });
            let same = slot.tensors.iter().all(|t| t.shape() == grad.shape());
            p.train(|value| {
                if !same || value.shape() != grad.shape() {
                    let message = format!(
                        "{path} has shape {}, its gradient {}, unlike before",
                        value.shape(),
                        grad.shape()
                    );
                    error = Some(Error::invalid("optimizer", message));
                    return;
                }
                slot.steps += 1;
                let grad = grad.contiguous();
                let mut tensors = slot.tensors.iter_mut();
                let state: [&mut [T]; K] =
                    std::array::from_fn(|_| tensors.next().map(Tensor::as_mut_slice).unwrap_or_default());
                f(value.as_mut_slice(), state, grad.as_slice().unwrap_or_default(), slot.steps);
            });
        });
        error.map_or(Ok(()), Err)
    }
}
