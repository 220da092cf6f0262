//! A parameter: a shared handle to a tensor that training changes.
use super::walk;
use crate::{
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
}

impl<T: Float> Param<T> {
    /// A trainable parameter.
    pub fn new(value: impl Into<Tensor<T>>) -> Param<T> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let state = RwLock::new(State { value: value.into(), trainable: true });
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

    /// The parameter on a tape: a leaf, or a constant if it is frozen.
    #[track_caller]
    pub(crate) fn on<'t>(&self, tape: &'t Tape<T>) -> Var<'t, T> {
        let state = self.read();
        if state.trainable {
            tape.param_leaf(self.id(), || state.value.clone())
        } else {
            tape.constant(&state.value)
        }
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
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(walk::PARAM, &walk::Probe(self))
    }
}

impl<'de, T: Float + Deserialize<'de>> Deserialize<'de> for Param<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Param<T>, D::Error> {
        Tensor::deserialize(deserializer).map(Param::new)
    }
}
