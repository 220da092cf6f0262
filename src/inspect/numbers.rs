//! A tensor that was looked at, in the precision in which it was computed.
use crate::{
    error::Result,
    ops::Float,
    tensor::{Element, Shape, Tensor},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::any::Any;

/// A tensor of an [`Observation`](super::Observation), of `f32` or `f64` as it was computed. It shares the tape's
/// buffer, and is read as `f64`, which is exact.
///
/// Through serde it is a tensor of `f64`, and one that was read is held so.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Numbers {
    /// In single precision.
    F32(Tensor<f32>),
    /// In double precision.
    F64(Tensor<f64>),
}

impl Numbers {
    pub(super) fn of<T: Float>(tensor: &Tensor<T>) -> Numbers {
        let any: &dyn Any = tensor;
        match (any.downcast_ref::<Tensor<f32>>(), any.downcast_ref::<Tensor<f64>>()) {
            (Some(single), _) => Numbers::F32(single.clone()),
            (_, Some(double)) => Numbers::F64(double.clone()),
            _ => Numbers::F64(tensor.cast()),
        }
    }

    pub(super) fn number(v: f64) -> Numbers {
        Numbers::F64(Tensor::scalar(v))
    }

    /// Its sizes.
    pub fn shape(&self) -> &Shape {
        match self {
            Numbers::F32(t) => t.shape(),
            Numbers::F64(t) => t.shape(),
        }
    }

    /// How many elements it has.
    pub fn numel(&self) -> usize {
        self.shape().numel()
    }

    /// Its only element.
    ///
    /// # Errors
    /// If it has none, or several.
    pub fn item(&self) -> Result<f64> {
        match self {
            Numbers::F32(t) => t.item().map(f64::from),
            Numbers::F64(t) => t.item(),
        }
    }

    /// Its elements in row-major order.
    pub fn to_vec(&self) -> Vec<f64> {
        match self {
            Numbers::F32(t) => {
                t.contiguous().as_slice().unwrap_or_default().iter().copied().map(f64::from).collect()
            }
            Numbers::F64(t) => t.to_vec(),
        }
    }

    /// It as a tensor of any type.
    pub fn cast<T: Element>(&self) -> Tensor<T> {
        match self {
            Numbers::F32(t) => t.cast(),
            Numbers::F64(t) => t.cast(),
        }
    }
}

impl Serialize for Numbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Numbers::F32(t) => t.cast::<f64>().serialize(serializer),
            Numbers::F64(t) => t.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Numbers, D::Error> {
        Tensor::deserialize(deserializer).map(Numbers::F64)
    }
}
