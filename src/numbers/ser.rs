//! A serialiser around another, which gets names instead of numbers that are not finite, where people are to
//! read it.
use super::names::NAMES;
use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use std::fmt::Display;

/// The serialiser, or one of its sequences, maps and structs.
pub(super) struct Named<S>(pub S);

/// A value whose numbers are written so.
pub(crate) struct Inside<'a, V: ?Sized>(pub &'a V);

impl<V: Serialize + ?Sized> Serialize for Inside<'_, V> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(Named(to))
    }
}

fn name(v: f64) -> Option<&'static str> {
    let known = || NAMES.iter().find(|(_, known)| *known == v || known.is_nan() && v.is_nan());
    if v.is_finite() { None } else { known().map(|(name, _)| *name) }
}

macro_rules! pass {
    ($($f:ident($($a:ident: $t:ty),*))*) => {$(
        fn $f(self, $($a: $t),*) -> Result<S::Ok, S::Error> { self.0.$f($($a),*) }
    )*};
}

macro_rules! begin {
    ($($f:ident($($a:ident: $t:ty),*) $kind:ident)*) => {$(
        fn $f(self, $($a: $t),*) -> Result<Self::$kind, S::Error> { self.0.$f($($a),*).map(Named) }
    )*};
}

impl<S: Serializer> Serializer for Named<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Named<S::SerializeSeq>;
    type SerializeTuple = Named<S::SerializeTuple>;
    type SerializeTupleStruct = Named<S::SerializeTupleStruct>;
    type SerializeTupleVariant = Named<S::SerializeTupleVariant>;
    type SerializeMap = Named<S::SerializeMap>;
    type SerializeStruct = Named<S::SerializeStruct>;
    type SerializeStructVariant = Named<S::SerializeStructVariant>;

    pass! {
        serialize_bool(v: bool) serialize_i8(v: i8) serialize_i16(v: i16) serialize_i32(v: i32)
        serialize_i64(v: i64) serialize_i128(v: i128) serialize_u8(v: u8) serialize_u16(v: u16)
        serialize_u32(v: u32) serialize_u64(v: u64) serialize_u128(v: u128) serialize_char(v: char)
        serialize_str(v: &str) serialize_bytes(v: &[u8]) serialize_none() serialize_unit()
        serialize_unit_struct(name: &'static str)
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str)
    }
    begin! {
        serialize_seq(len: Option<usize>) SerializeSeq
        serialize_tuple(len: usize) SerializeTuple
        serialize_tuple_struct(name: &'static str, len: usize) SerializeTupleStruct
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            SerializeTupleVariant
        serialize_map(len: Option<usize>) SerializeMap
        serialize_struct(name: &'static str, len: usize) SerializeStruct
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, len: usize)
            SerializeStructVariant
    }

    fn serialize_f32(self, v: f32) -> Result<S::Ok, S::Error> {
        match name(v.into()).filter(|_| self.0.is_human_readable()) {
            Some(name) => self.0.serialize_str(name),
            None => self.0.serialize_f32(v),
        }
    }
    fn serialize_f64(self, v: f64) -> Result<S::Ok, S::Error> {
        match name(v).filter(|_| self.0.is_human_readable()) {
            Some(name) => self.0.serialize_str(name),
            None => self.0.serialize_f64(v),
        }
    }
    fn serialize_some<V: Serialize + ?Sized>(self, v: &V) -> Result<S::Ok, S::Error> {
        self.0.serialize_some(&Inside(v))
    }
    fn serialize_newtype_struct<V: Serialize + ?Sized>(
        self,
        name: &'static str,
        v: &V,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_struct(name, &Inside(v))
    }
    fn serialize_newtype_variant<V: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        v: &V,
    ) -> Result<S::Ok, S::Error> {
        self.0.serialize_newtype_variant(name, index, variant, &Inside(v))
    }
    fn collect_str<V: Display + ?Sized>(self, v: &V) -> Result<S::Ok, S::Error> {
        self.0.collect_str(v)
    }
    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! elements {
    ($($trait:ident $f:ident($($name:ident)?))*) => {$(
        impl<S: $trait> $trait for Named<S> {
            type Ok = S::Ok;
            type Error = S::Error;
            fn $f<V: Serialize + ?Sized>(&mut self, $($name: &'static str,)? v: &V) -> Result<(), S::Error> {
                self.0.$f($($name,)? &Inside(v))
            }
            fn end(self) -> Result<S::Ok, S::Error> {
                self.0.end()
            }
        }
    )*};
}
elements! {
    SerializeSeq serialize_element() SerializeTuple serialize_element()
    SerializeTupleStruct serialize_field() SerializeTupleVariant serialize_field()
    SerializeStruct serialize_field(name) SerializeStructVariant serialize_field(name)
}

impl<S: SerializeMap> SerializeMap for Named<S> {
    type Ok = S::Ok;
    type Error = S::Error;
    fn serialize_key<K: Serialize + ?Sized>(&mut self, key: &K) -> Result<(), S::Error> {
        self.0.serialize_key(key)
    }
    fn serialize_value<V: Serialize + ?Sized>(&mut self, v: &V) -> Result<(), S::Error> {
        self.0.serialize_value(&Inside(v))
    }
    fn end(self) -> Result<S::Ok, S::Error> {
        self.0.end()
    }
}
