//! Functions of one tensor as they go into files: the variant's name, and its options by their names, as
//! serde's derive has it. But that makes two visitors of each of seventy variants; here all have the same.
use super::list::Unary;
use crate::real::table::elementary;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{EnumAccess, Error, IgnoredAny, MapAccess, VariantAccess, Visitor},
    ser::SerializeStructVariant,
};
use std::fmt;

/// The most options of a function.
const MOST: usize = 3;

/// A variant's name, those of its options, and their values, followed by zeros.
type Written = (&'static str, &'static [&'static str], [f64; MOST]);

macro_rules! names {
    (
        base { $( $(#[$bm:meta])* $bn:ident $bv:ident ($($bp:ident),*) $bk:tt $bf:tt |$($bx:ident),*| $bd:expr $(, $bi:tt)?; )* }
        made { $( $(#[$mm:meta])* $mn:ident $mv:ident ($($mp:ident),*) $mk:tt |$mvx:ident| $me:expr, |$($mx:ident),*| $md:expr $(, $mi:tt)?; )* }
        $($rest:tt)*
    ) => {
        names! { all $( $bv ($($bp),*) )* $( $mv ($($mp),*) )* }
    };
    (all $( $variant:ident ($($p:ident),*) )*) => {
        const VARIANTS: &[&str] = &["Neg", $( stringify!($variant), )*];

        impl Unary {
            pub(super) fn written(&self) -> Written {
                match *self {
                    Unary::Neg => ("Neg", &[], [0.0; MOST]),
                    $( Unary::$variant { $($p),* } => {
                        (stringify!($variant), &[$( stringify!($p) ),*], filled([$( $p ),*]))
                    } )*
                }
            }

            /// The function of this name, with all options 0.
            fn of(name: &str) -> Option<Unary> {
                Some(match name {
                    "Neg" => Unary::Neg,
                    $( stringify!($variant) => Unary::$variant { $( $p: 0.0 ),* }, )*
                    _ => return None,
                })
            }

            /// The values of its options, to be changed.
            fn options(&mut self) -> [Option<&mut f64>; MOST] {
                match self {
                    Unary::Neg => [None, None, None],
                    $( Unary::$variant { $($p),* } => places([$( $p ),*]), )*
                }
            }
        }
    };
}
elementary!(names);

fn filled<const N: usize>(options: [f64; N]) -> [f64; MOST] {
    let mut all = [0.0; MOST];
    all.iter_mut().zip(options).for_each(|(place, v)| *place = v);
    all
}

fn places<const N: usize>(options: [&mut f64; N]) -> [Option<&mut f64>; MOST] {
    let mut all = [None, None, None];
    all.iter_mut().zip(options).for_each(|(place, v)| *place = Some(v));
    all
}

impl Serialize for Unary {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (name, options, values) = self.written();
        let index = VARIANTS.iter().position(|v| *v == name).unwrap_or_default() as u32;
        if *self == Unary::Neg {
            return to.serialize_unit_variant("Unary", index, name);
        }
        let mut to = to.serialize_struct_variant("Unary", index, name, options.len())?;
        for (option, v) in options.iter().zip(values) {
            to.serialize_field(option, &v)?;
        }
        to.end()
    }
}

impl<'de> Deserialize<'de> for Unary {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Unary, D::Error> {
        from.deserialize_enum("Unary", VARIANTS, Function)
    }
}

struct Function;

impl<'de> Visitor<'de> for Function {
    type Value = Unary;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a function of one tensor")
    }
    fn visit_enum<A: EnumAccess<'de>>(self, from: A) -> Result<Unary, A::Error> {
        let (name, from) = from.variant::<String>()?;
        match Unary::of(&name) {
            None => Err(A::Error::unknown_variant(&name, VARIANTS)),
            Some(Unary::Neg) => from.unit_variant().map(|()| Unary::Neg),
            Some(f) => from.struct_variant(f.written().1, Options(f)),
        }
    }
}

/// Reads the options of a function.
struct Options(Unary);

impl<'de> Visitor<'de> for Options {
    type Value = Unary;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "the options of {}", self.0.written().0)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Unary, A::Error> {
        let Options(mut f) = self;
        let (_, names, _) = f.written();
        let mut places = f.options();
        while let Some(name) = from.next_key::<String>()? {
            match names.iter().position(|n| *n == name) {
                None => drop(from.next_value::<IgnoredAny>()?),
                Some(k) => match places.get_mut(k).and_then(Option::take) {
                    None => return Err(A::Error::duplicate_field(names[k])),
                    Some(place) => *place = from.next_value()?,
                },
            }
        }
        match names.iter().zip(&places).find(|(_, place)| place.is_some()) {
            Some((name, _)) => Err(A::Error::missing_field(name)),
            None => Ok(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::{from_json, to_json};

    #[test]
    fn functions_have_the_names_and_options_of_their_variants() {
        let cases = [
            (Unary::Neg, r#""Neg""#),
            (Unary::Exp {}, r#"{"Exp":{}}"#),
            (
                Unary::Hardtanh { min_val: -0.5, max_val: 2.0 },
                r#"{"Hardtanh":{"min_val":-0.5,"max_val":2.0}}"#,
            ),
            (Unary::ClampMax { max: f64::INFINITY }, r#"{"ClampMax":{"max":"inf"}}"#),
        ];
        for (f, text) in cases {
            assert_eq!(to_json(&f).unwrap(), text);
            assert_eq!(from_json::<Unary>(text).unwrap(), f);
        }
        let turned = r#"{"Hardtanh":{"max_val":2,"more":[1],"min_val":-0.5}}"#;
        assert_eq!(from_json::<Unary>(turned).unwrap(), Unary::Hardtanh { min_val: -0.5, max_val: 2.0 });
        for (text, told) in [
            (r#"{"Expo":{}}"#, "unknown variant `Expo`, expected one of `Neg`, `Exp`"),
            (r#"{"Elu":{}}"#, "missing field `alpha`"),
            (r#"{"Elu":{"alpha":1,"alpha":1}}"#, "duplicate field `alpha`"),
            (r#"{"Elu":1}"#, "expected the options of Elu"),
        ] {
            let error = from_json::<Unary>(text).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
