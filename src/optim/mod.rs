//! Optimisers: they walk a model, and change each parameter that has a gradient, in one pass over its memory.
//! Options and defaults are PyTorch's; an option that makes no sense is an error of the first step.
mod adagrad;
mod adam;
mod adamax;
mod ema;
mod lbfgs;
mod line_search;
mod lion;
mod nadam;
mod plateau;
mod radam;
mod rmsprop;
mod rule;
mod schedule;
mod sequence;
mod sgd;

pub use adagrad::{Adadelta, Adagrad};
pub use adam::{Adam, AdamW};
pub use adamax::Adamax;
pub use ema::Ema;
pub use lbfgs::Lbfgs;
pub use lion::Lion;
pub use nadam::NAdam;
pub use plateau::{ReduceLrOnPlateau, Threshold};
pub use radam::RAdam;
pub use rmsprop::RmsProp;
pub use schedule::{
    ConstantLr, CosineAnnealingLr, CosineAnnealingWarmRestarts, CyclicLr, CyclicMode, ExponentialLr,
    LinearLr, MultiStepLr, OneCycleLr, PolynomialLr, Schedule, StepLr, WarmupCosineLr,
};
pub use sequence::{AnySchedule, ChainedLr, SequentialLr};
pub use sgd::Sgd;

use crate::{
    checked::{Check, checked},
    error::{Checked, Result},
    ops::Float,
    tape::Gradients,
    tensor::Tensor,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, sync::Arc};

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
    /// What the optimiser remembers of this model, by the names of its parameters: saved and loaded again, a run goes
    /// on with the same bits.
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
    fn state<M: Serialize + ?Sized>(&self, model: &M) -> OptimState<T>;
    /// Takes up a state that [`state`](Optimizer::state) gave, of an optimiser of the same kind and options.
    fn load_state<M: Serialize + ?Sized>(&mut self, model: &M, state: OptimState<T>) -> Result<()>;
}

/// What an optimiser remembers: its learning rate, and tensors and step count by the name of each parameter. For the same
/// bits after reading it needs a format that keeps every `f64`: `serde_json` does with its feature `float_roundtrip`.
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
        rule::not_negative("lr", self.lr)?;
        self.params.iter().try_for_each(|(name, slot)| slot.check(name))
    }
}

/// What an optimiser remembers of one parameter: tensors of its shape, how many steps it made, a number of the rule's.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(crate) struct Slot<T: Float> {
    pub tensors: Vec<Tensor<T>>,
    pub steps: u64,
    #[serde(with = "crate::numbers")]
    pub number: f64,
}

impl<T: Float> Slot<T> {
    /// That its tensors are of one shape.
    fn check(&self, name: &str) -> Checked<()> {
        crate::checked::finite(&format!("params: {name}: number"), self.number)?;
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

/// Some parameters of a model, by name, with another learning rate or weight decay than the others.
///
/// ```
/// use kolmo::optim::{AdamW, Group};
/// let adam: AdamW = AdamW::new(1e-3).group(Group::new(|name| name.ends_with("bias")).weight_decay(0.0));
/// ```
#[derive(Clone)]
pub struct Group {
    takes: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    lr_factor: f64,
    weight_decay: Option<f64>,
}

impl Group {
    /// The parameters whose dotted names `takes` says yes to.
    pub fn new(takes: impl Fn(&str) -> bool + Send + Sync + 'static) -> Group {
        Group { takes: Arc::new(takes), lr_factor: 1.0, weight_decay: None }
    }

    /// Their learning rate is the optimiser's times this factor, under schedules too (default 1).
    pub fn lr_factor(self, lr_factor: f64) -> Group {
        Group { lr_factor, ..self }
    }

    /// Their weight decay (default: the optimiser's).
    pub fn weight_decay(self, weight_decay: f64) -> Group {
        Group { weight_decay: Some(weight_decay), ..self }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group {{ lr_factor: {}, weight_decay: {:?} }}", self.lr_factor, self.weight_decay)
    }
}
