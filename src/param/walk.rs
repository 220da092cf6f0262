//! Finding the parameters of a model: a serde serialiser that writes nothing and notices [`Param`]s.
use super::{
    handle::{Param, Steps},
    serial::{PARAM, caught},
};
use crate::ids::ParamId;
use crate::ops::Float;
use serde::ser::{self, Serialize, Serializer};
use smallvec::SmallVec;
use std::{
    cell::RefCell,
    fmt::{self, Write as _},
};

/// Where in a model the walk is; prints as a dotted name: `blocks.0.attn.weight`.
#[derive(Clone, Debug, Default)]
pub struct Path(SmallVec<[Segment; 8]>, &'static str);

impl Path {
    /// The name of the struct whose field the parameter is, such as `Linear`; empty if it is not the field of
    /// a struct.
    pub fn owner(&self) -> &'static str {
        self.1
    }
}

#[derive(Clone, Debug)]
enum Segment {
    Field(&'static str),
    Index(usize),
    Key(Key),
}

/// A map's key as text; a short one, as almost always, without memory of its own.
#[derive(Clone, Debug, Default)]
struct Key(SmallVec<[u8; 32]>);

impl fmt::Write for Key {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(".")?;
            }
            match segment {
                Segment::Field(name) => f.write_str(name)?,
                Segment::Index(i) => write!(f, "{i}")?,
                Segment::Key(key) => write!(f, "{key}")?,
            }
        }
        Ok(())
    }
}

/// Calls `f` with each parameter of a model and its place, in the order of the model's fields. A parameter
/// that appears twice (tied weights) is visited at its first place only.
///
/// A parameter whose weights are tied to a codebook is followed by its centroids, under `<name>.codebook`,
/// one whose weights are whole numbers of steps by the steps' sizes, under `<name>.steps`.
///
/// A model is any type that serde can serialise. Only parameters of element type `T` are visited; fields that
/// serde skips are not seen.
///
/// ```
/// use kolmo::{Random, nn::{Linear, Param, visit_params}};
/// let layer = Linear::new(3, 2, &mut Random::new(0));
/// let mut weights = 0;
/// visit_params(&layer, |_, p: &Param| weights += p.shape().numel());
/// assert_eq!(weights, 8);
/// ```
pub fn visit_params<T: Float, M: Serialize + ?Sized>(model: &M, f: impl FnMut(&Path, &Param<T>)) {
    walk(model, true, false, f);
}

/// The parameters that the model's fields are: not codebooks and step sizes, which belong to these.
pub(crate) fn visit_fields<T: Float, M: Serialize + ?Sized>(model: &M, f: impl FnMut(&Path, &Param<T>)) {
    walk(model, false, false, f);
}

/// The fields of a model that are parameters, each at all of its places.
pub(crate) fn visit_places<T: Float, M: Serialize + ?Sized>(model: &M, f: impl FnMut(&Path, &Param<T>)) {
    walk(model, false, true, f);
}

fn walk<T: Float, M: Serialize + ?Sized>(
    model: &M,
    beside: bool,
    again: bool,
    mut f: impl FnMut(&Path, &Param<T>),
) {
    thread_local!(static SEEN: RefCell<Vec<ParamId>> = const { RefCell::new(Vec::new()) });
    // Taken out while in use: a visit may start another one.
    let mut seen = SEEN.take();
    seen.clear();
    let mut path = Path::default();
    let mut visit = |path: &Path, p: &Param<T>| {
        if again || !seen.contains(&p.id()) {
            seen.push(p.id());
            f(path, p);
        }
    };
    // Only a model's own Serialize could fail; then the walk ends there.
    let _ = model.serialize(Walker { path: &mut path, visit: &mut visit, beside });
    SEEN.set(seen);
}

/// The parameters of a model with their dotted names, in order.
///
/// ```
/// use kolmo::nn::{Param, named_params};
/// use kolmo::Tensor;
///
/// #[derive(serde::Serialize)]
/// struct Layer {
///     weight: Param,
///     scale: f32,
/// }
/// #[derive(serde::Serialize)]
/// struct Model {
///     layers: Vec<Layer>,
/// }
/// let layer = || Layer { weight: Param::new(Tensor::zeros([2, 2])), scale: 1.0 };
/// let model = Model { layers: vec![layer(), layer()] };
/// let names: Vec<String> = named_params::<f32>(&model).into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["layers.0.weight", "layers.1.weight"]);
/// ```
#[must_use]
#[doc(alias("named_parameters", "parameters"))]
pub fn named_params<T: Float>(model: &(impl Serialize + ?Sized)) -> Vec<(String, Param<T>)> {
    let mut found = Vec::new();
    visit_params(model, |path, p: &Param<T>| found.push((path.to_string(), p.clone())));
    found
}

/// A parameter's name in a message: a parameter that is a whole model has none.
pub(crate) fn shown(name: &str) -> &str {
    if name.is_empty() { "the parameter" } else { name }
}

/// What a model has, for a message about something that isn't there: names, shapes and types of its
/// parameters.
pub(crate) fn inventory<M: Serialize + ?Sized>(model: &M) -> String {
    /// More are only counted.
    const LISTED: usize = 12;
    fn list<T: Float, M: Serialize + ?Sized>(model: &M, all: &mut Vec<String>) {
        visit_params(model, |path, p: &Param<T>| {
            all.push(format!("{} {} of {}", shown(&path.to_string()), p.shape(), T::NAME));
        });
    }
    let mut all = Vec::new();
    list::<f32, M>(model, &mut all);
    list::<f64, M>(model, &mut all);
    let more = all.len().saturating_sub(LISTED);
    all.truncate(LISTED);
    match (all.is_empty(), more) {
        (true, _) => "there are no parameters in the model".into(),
        (_, 0) => format!("the model has {}", all.join(", ")),
        _ => format!("the model has {} and {more} more", all.join(", ")),
    }
}

struct Walker<'a, T: Float> {
    path: &'a mut Path,
    visit: &'a mut dyn FnMut(&Path, &Param<T>),
    beside: bool,
}

impl<T: Float> Walker<'_, T> {
    fn again(&mut self) -> Walker<'_, T> {
        Walker { path: self.path, visit: self.visit, beside: self.beside }
    }

    fn inside<V: Serialize + ?Sized>(&mut self, segment: Segment, value: &V) -> Result<(), Stop> {
        self.path.0.push(segment);
        let result = value.serialize(self.again());
        self.path.0.pop();
        result
    }
}

/// A walk can't go on; only a model's own `Serialize` can cause this.
#[derive(Debug)]
struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the model's Serialize failed")
    }
}

impl std::error::Error for Stop {}

impl ser::Error for Stop {
    fn custom<M: fmt::Display>(_: M) -> Stop {
        Stop
    }
}

/// A sequence, map or struct on the walk: the walker, how many elements it has passed, a map's next key, a
/// struct's name.
struct Elements<'a, T: Float>(Walker<'a, T>, usize, Option<Key>, &'static str);

macro_rules! nothing {
    ($($f:ident($t:ty))*) => {$(
        fn $f(self, _: $t) -> Result<(), Stop> { Ok(()) }
    )*};
}

impl<'a, T: Float> Serializer for Walker<'a, T> {
    type Ok = ();
    type Error = Stop;
    type SerializeSeq = Elements<'a, T>;
    type SerializeTuple = Elements<'a, T>;
    type SerializeTupleStruct = Elements<'a, T>;
    type SerializeTupleVariant = Elements<'a, T>;
    type SerializeMap = Elements<'a, T>;
    type SerializeStruct = Elements<'a, T>;
    type SerializeStructVariant = Elements<'a, T>;

    nothing! {
        serialize_bool(bool) serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64) serialize_f32(f32)
        serialize_f64(f64) serialize_char(char) serialize_str(&str) serialize_bytes(&[u8])
        serialize_unit_struct(&'static str)
    }
    fn serialize_none(self) -> Result<(), Stop> {
        Ok(())
    }
    fn serialize_some<V: Serialize + ?Sized>(self, value: &V) -> Result<(), Stop> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), Stop> {
        Ok(())
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Stop> {
        Ok(())
    }
    fn serialize_newtype_struct<V: Serialize + ?Sized>(
        mut self,
        name: &'static str,
        value: &V,
    ) -> Result<(), Stop> {
        if name != PARAM {
            return value.serialize(self);
        }
        let (result, param) = caught(|| value.serialize(self.again()));
        if let Some(param) = param {
            (self.visit)(self.path, &param);
            if let Some((_, centroids)) = param.codebook().filter(|_| self.beside) {
                self.path.0.push(Segment::Field("codebook"));
                (self.visit)(self.path, &centroids);
                self.path.0.pop();
            }
            if let Some(Steps { sizes, .. }) = param.steps().filter(|_| self.beside) {
                self.path.0.push(Segment::Field("steps"));
                (self.visit)(self.path, &sizes);
                self.path.0.pop();
            }
        }
        result
    }
    fn serialize_newtype_variant<V: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &V,
    ) -> Result<(), Stop> {
        value.serialize(self)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Elements<'a, T>, Stop> {
        Ok(Elements(self, 0, None, ""))
    }
    fn serialize_tuple(self, _: usize) -> Result<Elements<'a, T>, Stop> {
        Ok(Elements(self, 0, None, ""))
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Elements<'a, T>, Stop> {
        Ok(Elements(self, 0, None, ""))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Elements<'a, T>, Stop> {
        Ok(Elements(self, 0, None, ""))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Elements<'a, T>, Stop> {
        Ok(Elements(self, 0, None, ""))
    }
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Elements<'a, T>, Stop> {
        Ok(Elements(self, 0, None, name))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Elements<'a, T>, Stop> {
        Ok(Elements(self, 0, None, ""))
    }
}

macro_rules! elements {
    ($($trait:ident $f:ident)*) => {$(
        impl<T: Float> ser::$trait for Elements<'_, T> {
            type Ok = ();
            type Error = Stop;
            fn $f<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), Stop> {
                self.1 += 1;
                self.0.inside(Segment::Index(self.1 - 1), value)
            }
            fn end(self) -> Result<(), Stop> { Ok(()) }
        }
    )*};
}
elements! {
    SerializeSeq serialize_element SerializeTuple serialize_element
    SerializeTupleStruct serialize_field SerializeTupleVariant serialize_field
}

macro_rules! fields {
    ($($trait:ident)*) => {$(
        impl<T: Float> ser::$trait for Elements<'_, T> {
            type Ok = ();
            type Error = Stop;
            fn serialize_field<V: Serialize + ?Sized>(&mut self, name: &'static str, value: &V) -> Result<(), Stop> {
                self.0.path.1 = self.3;
                self.0.inside(Segment::Field(name), value)
            }
            fn end(self) -> Result<(), Stop> { Ok(()) }
        }
    )*};
}
fields!(SerializeStruct SerializeStructVariant);

impl<T: Float> ser::SerializeMap for Elements<'_, T> {
    type Ok = ();
    type Error = Stop;
    fn serialize_key<K: Serialize + ?Sized>(&mut self, key: &K) -> Result<(), Stop> {
        // Keys of maps are texts or numbers, which print through serde's own formatter.
        self.2 = Some(key_text(key));
        Ok(())
    }
    fn serialize_value<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), Stop> {
        self.1 += 1;
        let segment = self.2.take().map_or(Segment::Index(self.1 - 1), Segment::Key);
        self.0.path.1 = self.3;
        self.0.inside(segment, value)
    }
    fn end(self) -> Result<(), Stop> {
        Ok(())
    }
}

/// A map's key as text.
fn key_text<K: Serialize + ?Sized>(key: &K) -> Key {
    struct Show<'a, K: ?Sized>(&'a K);
    impl<K: Serialize + ?Sized> fmt::Display for Show<'_, K> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.serialize(f)
        }
    }
    let mut text = Key::default();
    // What can't be text is no name, and a text can't fail.
    let _ = write!(text, "{}", Show(key));
    text
}
