//! Numbers in formats for people, above all JSON, which has neither NaN nor infinities: there they are the
//! strings `"NaN"`, `"inf"` and `"-inf"`. Other formats get numbers as they are.
//!
//! A field with `#[serde(with = "crate::numbers")]` is written so with all floats inside of it. What is read
//! may have `null` for a number, too: that is what `serde_json` makes of NaN.
mod de;
mod names;
mod ser;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use ser::Inside;

/// Writes a value with all numbers inside of it.
pub(crate) fn serialize<V: Serialize + ?Sized, S: Serializer>(v: &V, to: S) -> Result<S::Ok, S::Error> {
    v.serialize(ser::Named(to))
}

/// Reads what [`serialize`] wrote.
pub(crate) fn deserialize<'de, V: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<V, D::Error> {
    V::deserialize(de::Named(from))
}

/// A value as JSON.
pub(crate) fn to_json<V: Serialize + ?Sized>(v: &V) -> serde_json::Result<String> {
    let mut text = Vec::new();
    serialize(v, &mut serde_json::Serializer::new(&mut text))?;
    String::from_utf8(text).map_err(serde::ser::Error::custom)
}

/// The value of a text of JSON.
pub(crate) fn from_json<'de, V: Deserialize<'de>>(text: &'de str) -> serde_json::Result<V> {
    let mut from = serde_json::Deserializer::from_str(text);
    let value = deserialize(&mut from)?;
    from.end()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Kind {
        Unit,
        New(f32),
        Pair(f64, u8),
        Fields { a: Option<f64>, b: Vec<f64> },
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct All {
        x: f64,
        y: Option<f64>,
        z: Option<f64>,
        name: String,
        list: Vec<(String, f64)>,
        map: BTreeMap<u32, f32>,
        kinds: Vec<Kind>,
    }

    fn all(v: f64) -> All {
        All {
            x: v,
            y: Some(v),
            z: None,
            name: "inf".into(),
            list: vec![("NaN".into(), v), ("é".into(), 0.1)],
            map: [(7, v as f32)].into(),
            kinds: vec![
                Kind::Unit,
                Kind::New(v as f32),
                Kind::Pair(v, 3),
                Kind::Fields { a: Some(v), b: vec![v, -0.0] },
            ],
        }
    }

    #[test]
    fn every_number_comes_back_at_any_depth() {
        for v in [1.0 / 3.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, 5e-324] {
            let text = to_json(&all(v)).unwrap();
            assert_eq!(from_json::<All>(&text).unwrap(), all(v), "{text}");
        }
        let text = to_json(&all(f64::NAN)).unwrap();
        assert_eq!(to_json(&from_json::<All>(&text).unwrap()).unwrap(), text);
        assert!(text.contains(r#""x":"NaN","y":"NaN","z":null,"name":"inf""#), "{text}");
        assert_eq!(to_json(&all(0.25)).unwrap(), serde_json::to_string(&all(0.25)).unwrap());
    }

    #[test]
    fn old_nulls_are_nan_and_other_texts_are_no_numbers() {
        assert!(from_json::<(f64, u8)>("[null, 1]").unwrap().0.is_nan());
        assert_eq!(
            from_json::<Vec<f32>>(r#"[1, -2, 3.5, "-inf"]"#).unwrap(),
            [1.0, -2.0, 3.5, f32::NEG_INFINITY]
        );
        let error = from_json::<f64>(r#""one""#).unwrap_err().to_string();
        assert!(error.contains(r#"invalid type: string "one""#) && error.contains("NaN"), "{error}");
        assert!(from_json::<u32>(r#""NaN""#).is_err() && from_json::<f64>("1 2").is_err());
    }
}
