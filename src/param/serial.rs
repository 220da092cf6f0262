//! Parameters through serde: `{"shape": [2], "data": [0.5, 0.25]}`, and with what stands between tensor and
//! use `"mask": [true, false]`, `"codebook": {"codes": [1, 0], "centroids": [-0.5, 0.5]}` and
//! `"steps": {"bits": 4, "group": 0, "sizes": [0.1]}`. All is checked on the way in.
use super::{
    handle::{Form, Param, ParamState, Steps},
    packed::thawed,
};
use crate::{
    numbers::Inside,
    ops::Float,
    tensor::{Shape, Tensor},
};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
    ser::SerializeStruct,
};
use std::{any::Any, cell::RefCell, fmt, marker::PhantomData, sync::Arc};

#[derive(Serialize, Deserialize)]
#[serde(bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>"))]
struct Codebook<T> {
    codes: Vec<u32>,
    #[serde(with = "crate::numbers")]
    centroids: Vec<T>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename = "Steps", bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de>"))]
struct Sizes<T> {
    bits: u32,
    group: usize,
    #[serde(with = "crate::numbers")]
    sizes: Vec<T>,
}

/// The name under which a parameter announces itself to a walk.
pub(super) const PARAM: &str = "kolmo::Param";

/// What a parameter hands to its serialiser: what it holds, or, to a walk that listens, itself.
struct Probe<'a, T: Float>(&'a Param<T>);

/// A parameter of whatever floats.
pub(super) type AnyParam = Arc<dyn Any + Send + Sync>;

/// What parameters on this thread do when they meet serde.
enum Meeting {
    /// They are written and read.
    Plain,
    /// A walk waits for one: it is handed over, and nothing is written.
    Walk(Option<AnyParam>),
    /// A model is being copied: they are numbered, and made anew by number.
    Copy(Vec<AnyParam>),
}

thread_local!(static MEETING: RefCell<Meeting> = const { RefCell::new(Meeting::Plain) });

/// Puts back what parameters did before, be it by a panic.
struct Before(Meeting);

impl Drop for Before {
    fn drop(&mut self) {
        MEETING.replace(std::mem::replace(&mut self.0, Meeting::Plain));
    }
}

/// Runs `serialize` of something that announced itself as a parameter, and takes the parameter if its floats
/// are these.
pub(super) fn caught<T: Float, R>(serialize: impl FnOnce() -> R) -> (R, Option<Param<T>>) {
    let before = MEETING.replace(Meeting::Walk(None));
    let result = serialize();
    match MEETING.replace(before) {
        Meeting::Walk(caught) => (result, caught.and_then(Param::from_any)),
        _ => (result, None),
    }
}

/// Runs `serialize`, which sees numbers in place of parameters, and gives the parameters.
pub(super) fn numbered<R>(serialize: impl FnOnce() -> R) -> (R, Vec<AnyParam>) {
    let before = Before(MEETING.replace(Meeting::Copy(Vec::new())));
    let result = serialize();
    let found = MEETING.replace(Meeting::Plain);
    drop(before);
    (result, if let Meeting::Copy(found) = found { found } else { Vec::new() })
}

/// Runs `deserialize`, which sees numbers in place of these parameters.
pub(super) fn by_number<R>(params: Vec<AnyParam>, deserialize: impl FnOnce() -> R) -> R {
    let _before = Before(MEETING.replace(Meeting::Copy(params)));
    deserialize()
}

impl<T: Float> Serialize for Probe<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = MEETING.with_borrow_mut(|meeting| match meeting {
            Meeting::Plain => None,
            Meeting::Walk(caught) => {
                *caught = Some(self.0.any());
                Some(0)
            }
            Meeting::Copy(all) => {
                all.push(self.0.any());
                Some(all.len() as u64 - 1)
            }
        });
        match number {
            None => write(self.0, serializer),
            Some(number) => serializer.serialize_u64(number),
        }
    }
}

/// Writes what a parameter holds. Formats that don't name their fields always have all five of them.
fn write<T: Float, S: Serializer>(p: &Param<T>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut state = p.state();
    if state.value.source().is_some() {
        // In parts that any format has a place for.
        state = thawed(&state.value);
    }
    let mask = state.mask.as_ref().map(Tensor::to_vec);
    let codebook = state
        .codebook()
        .map(|(codes, centroids)| Codebook { codes: codes.to_vec(), centroids: centroids.value().to_vec() });
    let steps = state.steps().map(|steps| Sizes {
        bits: steps.bits,
        group: steps.group,
        sizes: steps.sizes.value().to_vec(),
    });
    let all = !serializer.is_human_readable();
    let (with_mask, with_codebook) = (all || mask.is_some(), all || codebook.is_some());
    let with_steps = all || steps.is_some();
    let fields = 2 + usize::from(with_mask) + usize::from(with_codebook) + usize::from(with_steps);
    let mut s = serializer.serialize_struct("Param", fields)?;
    s.serialize_field("shape", state.value.shape())?;
    s.serialize_field("data", &Inside(&state.value.to_vec()))?;
    if with_mask {
        s.serialize_field("mask", &mask)?;
    }
    if with_codebook {
        s.serialize_field("codebook", &codebook)?;
    }
    if with_steps {
        s.serialize_field("steps", &steps)?;
    }
    s.end()
}

impl<T: Float> Serialize for Param<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(PARAM, &Probe(self))
    }
}

impl<'de, T: Float + Deserialize<'de>> Deserialize<'de> for Param<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Param<T>, D::Error> {
        deserializer.deserialize_newtype_struct(PARAM, Newtype(PhantomData))
    }
}

struct Newtype<T>(PhantomData<T>);

impl<'de, T: Float + Deserialize<'de>> Visitor<'de> for Newtype<T> {
    type Value = Param<T>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a parameter")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Param<T>, D::Error> {
        if MEETING.with_borrow(|meeting| matches!(meeting, Meeting::Copy(_))) {
            let number = u64::deserialize(deserializer)? as usize;
            let any = MEETING.with_borrow(|meeting| match meeting {
                Meeting::Copy(all) => all.get(number).cloned(),
                _ => None,
            });
            let param = any.and_then(Param::from_any);
            return param.ok_or_else(|| de::Error::custom("a parameter that the model didn't have"));
        }
        #[derive(Deserialize)]
        #[serde(rename = "Param", bound = "T: Deserialize<'de>")]
        struct Plain<T> {
            shape: Shape,
            #[serde(deserialize_with = "crate::numbers::deserialize")]
            data: Vec<T>,
            #[serde(default = "none")]
            mask: Option<Vec<bool>>,
            #[serde(default = "none")]
            codebook: Option<Codebook<T>>,
            #[serde(default = "none")]
            steps: Option<Sizes<T>>,
        }
        // `default` alone would ask that T has one.
        fn none<V>() -> Option<V> {
            None
        }
        let plain: Plain<T> = Plain::deserialize(deserializer)?;
        let build = || -> crate::Result<Param<T>> {
            let mut state = ParamState::dense(Tensor::new(plain.shape.clone(), plain.data)?);
            let mask = plain.mask.map(|mask| Tensor::new(plain.shape.clone(), mask));
            state.mask = mask.transpose()?;
            let steps = plain.steps.map(|Sizes { bits, group, sizes }| Steps {
                bits,
                group,
                sizes: Param::new(Tensor::from(sizes)),
            });
            state.form = match (plain.codebook, steps) {
                (None, None) => Form::Dense,
                (None, Some(steps)) => Form::Codes(steps),
                (Some(book), steps) => {
                    let centroids = Param::new(Tensor::from(book.centroids));
                    centroids.set_trainable(steps.is_none());
                    Form::Codebook { codes: Tensor::new(plain.shape, book.codes)?, centroids, steps }
                }
            };
            Param::from_state(state)
        };
        build().map_err(de::Error::custom)
    }
}
