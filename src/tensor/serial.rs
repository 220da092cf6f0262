//! Tensors through serde: `{"shape": [2, 3], "data": [...]}`, checked on the way in. In JSON an element that
//! is not finite is the string `"NaN"`, `"inf"` or `"-inf"`.
use super::{Element, Shape, Tensor};
use crate::numbers::Inside;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeStruct};

impl<T: Element + Serialize> Serialize for Tensor<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut s = serializer.serialize_struct("Tensor", 2)?;
        s.serialize_field("shape", self.shape())?;
        s.serialize_field("data", &Inside(&self.to_vec()))?;
        s.end()
    }
}

impl<'de, T: Element + Deserialize<'de>> Deserialize<'de> for Tensor<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tensor<T>, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename = "Tensor", bound = "T: Deserialize<'de>")]
        struct Plain<T> {
            shape: Shape,
            #[serde(deserialize_with = "crate::numbers::deserialize")]
            data: Vec<T>,
        }
        let plain = Plain::deserialize(deserializer)?;
        Tensor::new(plain.shape, plain.data).map_err(de::Error::custom)
    }
}
