//! Numbers through serde with NaN and the infinities, which JSON doesn't have: they are strings.
use crate::tensor::{Shape, Tensor};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Number {
    Finite(f64),
    Other(Other),
}

#[derive(Serialize, Deserialize)]
enum Other {
    NaN,
    #[serde(rename = "inf")]
    Inf,
    #[serde(rename = "-inf")]
    NegInf,
}

impl From<f64> for Number {
    fn from(v: f64) -> Number {
        match v {
            v if v.is_finite() => Number::Finite(v),
            v if v.is_nan() => Number::Other(Other::NaN),
            v if v > 0.0 => Number::Other(Other::Inf),
            _ => Number::Other(Other::NegInf),
        }
    }
}

impl From<Number> for f64 {
    fn from(v: Number) -> f64 {
        match v {
            Number::Finite(v) => v,
            Number::Other(Other::NaN) => f64::NAN,
            Number::Other(Other::Inf) => f64::INFINITY,
            Number::Other(Other::NegInf) => f64::NEG_INFINITY,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Plain {
    shape: Shape,
    data: Vec<Number>,
}

impl Plain {
    fn of(t: &Tensor<f64>) -> Plain {
        Plain { shape: t.shape().clone(), data: t.to_vec().into_iter().map(Number::from).collect() }
    }

    fn tensor(self) -> crate::Result<Tensor<f64>> {
        Tensor::new(self.shape, self.data.into_iter().map(f64::from).collect())
    }
}

/// One number.
pub mod number {
    use super::*;

    pub fn serialize<S: Serializer>(v: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        Number::from(*v).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Number::deserialize(deserializer).map(f64::from)
    }
}

/// A tensor.
pub mod tensor {
    use super::*;

    pub fn serialize<S: Serializer>(t: &Tensor<f64>, serializer: S) -> Result<S::Ok, S::Error> {
        Plain::of(t).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tensor<f64>, D::Error> {
        Plain::deserialize(deserializer)?.tensor().map_err(D::Error::custom)
    }
}

/// A tensor that may be missing.
pub mod optional {
    use super::*;

    pub fn serialize<S: Serializer>(t: &Option<Tensor<f64>>, serializer: S) -> Result<S::Ok, S::Error> {
        t.as_ref().map(Plain::of).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Tensor<f64>>, D::Error> {
        let plain = Option::<Plain>::deserialize(deserializer)?;
        plain.map(Plain::tensor).transpose().map_err(D::Error::custom)
    }
}
