//! What an optimiser is, and what it remembers from step to step.
use super::Shard;
use crate::{
    checked::{self, Check, checked},
    error::{Checked, Error, Result},
    ops::Float,
    tape::Gradients,
    tensor::{Shape, Tensor},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ops::Range};

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
    /// One step for the part of the model that is this process's, of several that each change one: as
    /// [`step`](Optimizer::step) would change these elements. What it remembers is of these elements alone,
    /// so [`state`](Optimizer::state) has tensors of shape `[range.len()]` then; a state of whole parameters
    /// that was loaded is cut down to them.
    ///
    /// # Errors
    /// Those of [`step`](Optimizer::step); an optimiser that has no such step.
    fn step_shard<M: Serialize + ?Sized>(&mut self, model: &M, shard: &Shard<T>) -> Result<()> {
        let _ = (model, shard);
        Err(Error::invalid("Optimizer", "this one has no step_shard, so it can't be divided among processes"))
    }
    /// Its options but the learning rate, in words: processes that train together tell them to each other,
    /// and go on only if they are the same. One that says nothing isn't compared.
    ///
    /// ```
    /// use kolmo::optim::{Adam, Optimizer};
    /// let adam: Adam = Adam::new(0.1).betas(0.8, 0.99);
    /// assert!(adam.options().contains("betas: (0.8, 0.99)"));
    /// ```
    fn options(&self) -> String {
        String::new()
    }
    /// The learning rate.
    fn lr(&self) -> f64;
    /// Sets the learning rate, as schedules do.
    fn set_lr(&mut self, lr: f64);
    /// What the optimiser remembers of this model, by the names of its parameters: saved and loaded again, a
    /// run goes on with the same bits.
    ///
    /// ```
    /// use kolmo::{Tape, nn::Param, optim::{Adam, Optimizer}};
    /// let p = Param::from(kolmo::Tensor::from([3.0f32]));
    /// let mut adam = Adam::new(0.1);
    /// let grads = Tape::new().param(&p).sum().backward()?;
    /// adam.step(&p, &grads)?;
    /// let text = serde_json::to_string(&adam.state(&p)).unwrap();
    /// let mut resumed: Adam = Adam::new(0.1);
    /// resumed.load_state(&p, serde_json::from_str(&text).unwrap())?;
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[doc(alias = "state_dict")]
    fn state<M: Serialize + ?Sized>(&self, model: &M) -> OptimState<T>;
    /// Takes up a state that [`state`](Optimizer::state) gave, of an optimiser of the same kind and options.
    #[doc(alias = "load_state_dict")]
    fn load_state<M: Serialize + ?Sized>(&mut self, model: &M, state: OptimState<T>) -> Result<()>;
}

/// What an optimiser remembers: its learning rate, and tensors and step count by the name of each parameter.
/// For the same bits after reading it needs a format that keeps every `f64`: `serde_json` does with its
/// feature `float_roundtrip`.
#[derive(Clone, Debug, Serialize)]
pub struct OptimState<T: Float = f32> {
    #[serde(with = "crate::numbers")]
    pub(crate) lr: f64,
    pub(crate) params: BTreeMap<String, Slot<T>>,
}

checked!(OptimState<T> {
    #[serde(with = "crate::numbers")]
    lr: f64,
    params: BTreeMap<String, Slot<T>>,
});

impl<T: Float> Check for OptimState<T> {
    fn check(&self) -> Checked<()> {
        checked::not_negative("lr", self.lr)?;
        self.params.iter().try_for_each(|(name, slot)| slot.check(name))
    }
}

/// What an optimiser remembers of one parameter: tensors of its shape, how many steps it made, a number of
/// the rule's.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(crate) struct Slot<T: Float> {
    pub tensors: Vec<Tensor<T>>,
    pub steps: u64,
    #[serde(with = "crate::numbers")]
    pub number: f64,
}

impl<T: Float> Slot<T> {
    /// Keeps, of tensors of a whole parameter, a range of its elements, as a tensor of another shape.
    pub fn cut(&mut self, whole: &Shape, range: &Range<usize>, shape: &Shape) {
        for tensor in self.tensors.iter_mut().filter(|t| t.shape() == whole && t.shape() != shape) {
            let all = tensor.contiguous();
            let kept = all.as_slice().and_then(|all| all.get(range.clone())).unwrap_or_default();
            *tensor = Tensor::new(shape, kept.to_vec()).unwrap_or_else(|_| tensor.clone());
        }
    }

    /// That its tensors are of one shape.
    fn check(&self, name: &str) -> Checked<()> {
        checked::finite(&format!("params: {name}: number"), self.number)?;
        let Some((first, rest)) = self.tensors.split_first() else { return Ok(()) };
        match rest.iter().find(|t| t.shape() != first.shape()) {
            Some(other) => Err(format!(
                "params: {name}: its tensors have shapes {} and {}, expected one shape",
                first.shape(),
                other.shape()
            )),
            None => Ok(()),
        }
    }
}
