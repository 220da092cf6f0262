//! A parameter: a shared handle to a tensor that training changes, and what stands between it and its use.
use super::walk;
use crate::{
    error::{Error, Result},
    tape::{Float, Tape, Var},
    tensor::{Shape, Tensor},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    fmt,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
};

/// A trainable tensor of a model. Cloning it gives another handle to the same tensor: that is how weights are tied.
///
/// Through serde a parameter is its tensor.
#[derive(Clone)]
pub struct Param<T: Float = f32>(Arc<Inner<T>>);

struct Inner<T: Float> {
    id: u64,
    state: RwLock<State<T>>,
}

struct State<T: Float> {
    value: Tensor<T>,
    trainable: bool,
    /// Ones where a weight is kept, zeros where it was pruned.
    mask: Option<Tensor<T>>,
    custom: Vec<Arc<dyn Parametrize<T>>>,
}

/// What a user puts between the stored tensor and the value that the model sees: a few operations on the tape.
pub trait Parametrize<T: Float>: Send + Sync {
    /// The weight as the model uses it, of the same shape.
    fn apply<'t>(&self, weight: &Var<'t, T>) -> Var<'t, T>;
}

impl<T: Float> Param<T> {
    /// A trainable parameter.
    pub fn new(value: impl Into<Tensor<T>>) -> Param<T> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let state =
            RwLock::new(State { value: value.into(), trainable: true, mask: None, custom: Vec::new() });
        Param(Arc::new(Inner { id: NEXT.fetch_add(1, Ordering::Relaxed), state }))
    }

    // A panic elsewhere can't leave a tensor half replaced, so a poisoned lock is as good as any.
    fn read(&self) -> RwLockReadGuard<'_, State<T>> {
        self.0.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<T>> {
        self.0.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no other parameter of this process has; handles to one tensor share it.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The tensor.
    pub fn value(&self) -> Tensor<T> {
        self.read().value.clone()
    }

    /// The sizes of the axes.
    pub fn shape(&self) -> Shape {
        self.read().value.shape().clone()
    }

    /// Replaces the tensor; the shape may change.
    pub fn set(&self, value: impl Into<Tensor<T>>) {
        self.write().value = value.into();
    }

    /// Changes the tensor in place.
    pub fn update<R>(&self, f: impl FnOnce(&mut Tensor<T>) -> R) -> R {
        f(&mut self.write().value)
    }

    /// Whether optimisers change it.
    pub fn is_trainable(&self) -> bool {
        self.read().trainable
    }

    /// Freezes the parameter (`false`) or lets it be trained again.
    pub fn set_trainable(&self, on: bool) {
        self.write().trainable = on;
    }

    /// Keeps the weights where the mask is true and holds the others at zero, in training too. `None` lifts the mask:
    /// pruned weights are then what they last were.
    pub fn set_mask(&self, mask: Option<&Tensor<bool>>) -> Result<()> {
        let mut state = self.write();
        if let Some(mask) = mask.filter(|m| m.shape() != state.value.shape()) {
            let message =
                format!("the mask has shape {}, the parameter {}", mask.shape(), state.value.shape());
            return Err(Error::invalid("set_mask", message));
        }
        state.mask = mask.map(Tensor::cast);
        Ok(())
    }

    /// Which weights are kept; `None` if all are.
    pub fn mask(&self) -> Option<Tensor<bool>> {
        self.read().mask.as_ref().map(Tensor::cast)
    }

    /// Puts an operation between the tensor and its use, after those that are there.
    pub fn parametrize(&self, by: impl Parametrize<T> + 'static) {
        self.write().custom.push(Arc::new(by));
    }

    /// The weight as the model uses it, outside any tape.
    pub fn effective(&self) -> Result<Tensor<T>> {
        let tape = Tape::inference();
        let value = self.on(&tape);
        Ok(value.value()?.clone())
    }

    /// Makes what stands between the tensor and its use permanent: the tensor becomes what the model sees.
    pub fn bake(&self) -> Result<()> {
        let value = self.effective()?;
        let mut state = self.write();
        state.value = value;
        state.mask = None;
        state.custom.clear();
        Ok(())
    }

    /// The parameter on a tape: a leaf, or a constant if it is frozen, through its parametrisation.
    #[track_caller]
    pub(crate) fn on<'t>(&self, tape: &'t Tape<T>) -> Var<'t, T> {
        let state = self.read();
        if let Some(known) = tape.known_param(self.id()) {
            return known;
        }
        let mut value = if state.trainable {
            tape.param_leaf(self.id(), state.value.clone())
        } else {
            tape.constant(&state.value)
        };
        if let Some(mask) = &state.mask {
            value = value * tape.constant(mask);
        }
        for custom in &state.custom {
            value = custom.apply(&value);
        }
        tape.remember_param(self.id(), &value);
        value
    }
}

impl<T: Float> fmt::Debug for Param<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Param({:?})", self.value())
    }
}

impl<T: Float> From<Tensor<T>> for Param<T> {
    fn from(value: Tensor<T>) -> Param<T> {
        Param::new(value)
    }
}

impl<T: Float> Serialize for Param<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(walk::PARAM, &walk::Probe(self))
    }
}

impl<'de, T: Float + Deserialize<'de>> Deserialize<'de> for Param<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Param<T>, D::Error> {
        Tensor::deserialize(deserializer).map(Param::new)
    }
}
