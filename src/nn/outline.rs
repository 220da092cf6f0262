//! Which layers a [`Sequential`](super::Sequential) has, by name: a serde serialiser that writes nothing and
//! notices structs.
use serde::ser::{self, Impossible, Serialize, Serializer};
use std::fmt;

/// The names of a model's layers in their order; `None` if it is anything but layers in a row.
pub(crate) fn outline<M: Serialize + ?Sized>(model: &M) -> Option<Vec<&'static str>> {
    let mut names = Vec::new();
    model.serialize(Outline { names: &mut names, inside: false }).ok().map(|()| names)
}

struct Outline<'a> {
    names: &'a mut Vec<&'static str>,
    /// Whether a row of layers is around it.
    inside: bool,
}

impl<'a> Outline<'a> {
    fn layer(self, name: &'static str) -> Result<Outline<'a>, Other> {
        match self.inside {
            true => {
                self.names.push(name);
                Ok(self)
            }
            false => Err(Other),
        }
    }

    fn element<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), Other> {
        value.serialize(Outline { names: self.names, inside: true })
    }
}

/// Something that is no row of layers.
#[derive(Debug)]
struct Other;

impl fmt::Display for Other {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the model isn't a row of layers")
    }
}

impl std::error::Error for Other {}

impl ser::Error for Other {
    fn custom<M: fmt::Display>(_: M) -> Other {
        Other
    }
}

macro_rules! other {
    ($($f:ident($($t:ty),*) -> $r:ty;)*) => {$(
        fn $f(self, $(_: $t),*) -> Result<$r, Other> { Err(Other) }
    )*};
}

impl<'a> Serializer for Outline<'a> {
    type Ok = ();
    type Error = Other;
    type SerializeSeq = Outline<'a>;
    type SerializeTuple = Outline<'a>;
    type SerializeTupleStruct = Impossible<(), Other>;
    type SerializeTupleVariant = Impossible<(), Other>;
    type SerializeMap = Impossible<(), Other>;
    type SerializeStruct = Outline<'a>;
    type SerializeStructVariant = Impossible<(), Other>;

    other! {
        serialize_bool(bool) -> (); serialize_i8(i8) -> (); serialize_i16(i16) -> (); serialize_i32(i32) -> ();
        serialize_i64(i64) -> (); serialize_u8(u8) -> (); serialize_u16(u16) -> (); serialize_u32(u32) -> ();
        serialize_u64(u64) -> (); serialize_f32(f32) -> (); serialize_f64(f64) -> (); serialize_char(char) -> ();
        serialize_str(&str) -> (); serialize_bytes(&[u8]) -> (); serialize_none() -> (); serialize_unit() -> ();
        serialize_unit_variant(&'static str, u32, &'static str) -> ();
        serialize_tuple_struct(&'static str, usize) -> Impossible<(), Other>;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Impossible<(), Other>;
        serialize_map(Option<usize>) -> Impossible<(), Other>;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Impossible<(), Other>;
    }
    fn serialize_some<V: Serialize + ?Sized>(self, _: &V) -> Result<(), Other> {
        Err(Other)
    }
    fn serialize_newtype_variant<V: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &V,
    ) -> Result<(), Other> {
        Err(Other)
    }
    fn serialize_unit_struct(self, name: &'static str) -> Result<(), Other> {
        self.layer(name).map(drop)
    }
    fn serialize_newtype_struct<V: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &V,
    ) -> Result<(), Other> {
        match name {
            "Sequential" => value.serialize(Outline { names: self.names, inside: true }),
            _ => Err(Other),
        }
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Outline<'a>, Other> {
        if self.inside { Ok(self) } else { Err(Other) }
    }
    fn serialize_tuple(self, _: usize) -> Result<Outline<'a>, Other> {
        if self.inside { Ok(self) } else { Err(Other) }
    }
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Outline<'a>, Other> {
        self.layer(name)
    }
}

macro_rules! elements {
    ($($trait:ident)*) => {$(
        impl ser::$trait for Outline<'_> {
            type Ok = ();
            type Error = Other;
            fn serialize_element<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), Other> {
                self.element(value)
            }
            fn end(self) -> Result<(), Other> { Ok(()) }
        }
    )*};
}
elements!(SerializeSeq SerializeTuple);

impl ser::SerializeStruct for Outline<'_> {
    type Ok = ();
    type Error = Other;
    fn serialize_field<V: Serialize + ?Sized>(&mut self, _: &'static str, _: &V) -> Result<(), Other> {
        Ok(()) // What a layer has inside is no layer of the row.
    }
    fn end(self) -> Result<(), Other> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Random,
        nn::{Linear, Relu, Sequential, Tanh},
    };

    #[test]
    fn rows_of_layers_are_told_and_nothing_else() {
        let linear = || Linear::new(2, 2, &mut Random::new(0));
        let nested = Sequential((linear(), Sequential((Tanh, linear())), Relu));
        assert_eq!(outline(&nested).unwrap(), ["Linear", "Tanh", "Linear", "Relu"]);
        assert_eq!(outline(&Sequential(vec![linear(), linear()])).unwrap(), ["Linear"; 2]);
        assert!(outline(&linear()).is_none() && outline(&vec![linear()]).is_none());
        #[derive(serde::Serialize)]
        struct Own(Linear);
        assert!(outline(&Sequential((Own(linear()), Relu))).is_none());
        #[derive(serde::Serialize)]
        struct Net {
            layers: Sequential<(Linear, Linear)>,
        }
        assert!(outline(&Net { layers: Sequential((linear(), linear())) }).is_none());
    }
}
