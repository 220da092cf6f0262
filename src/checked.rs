//! Values that come from outside: whatever serde reads goes through the same check as what a program makes.
use crate::error::Checked;

/// A type whose fields have to go together.
pub(crate) trait Check {
    /// What is wrong, beginning with the field.
    fn check(&self) -> Checked<()>;
}

/// Reads a type through serde field by field, as its derive would, and refuses what its [`Check`] refuses, by
/// its name. The compiler holds the list of fields against the type's; what serde is told of them stands
/// there again.
macro_rules! checked {
    ($(#[$m:meta])* $name:ident { $($(#[$fm:meta])* $field:ident: $t:ty),* $(,)? }) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(serde::Deserialize)]
                $(#[$m])*
                struct $name { $($(#[$fm])* $field: $t),* }
                let $name { $($field),* } = serde::Deserialize::deserialize(deserializer)?;
                $crate::checked::sound(stringify!($name), Self { $($field),* })
            }
        }
    };
    ($name:ident<T> { $($(#[$fm:meta])* $field:ident: $t:ty),* $(,)? }) => {
        impl<'de, T: $crate::ops::Float + serde::Deserialize<'de>> serde::Deserialize<'de> for $name<T> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(serde::Deserialize)]
                #[serde(bound(deserialize = "T: serde::Deserialize<'de>"))]
                struct $name<T: $crate::ops::Float> { $($(#[$fm])* $field: $t),* }
                let $name { $($field),* } = serde::Deserialize::deserialize(deserializer)?;
                $crate::checked::sound(stringify!($name), Self { $($field),* })
            }
        }
    };
    ($name:ident($t:ty)) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(serde::Deserialize)]
                struct $name($t);
                let $name(inner) = serde::Deserialize::deserialize(deserializer)?;
                $crate::checked::sound(stringify!($name), Self(inner))
            }
        }
    };
}
pub(crate) use checked;

/// The value, if its check finds nothing.
pub(crate) fn sound<V: Check, E: serde::de::Error>(name: &str, value: V) -> Result<V, E> {
    match value.check() {
        Ok(()) => Ok(value),
        Err(message) => Err(E::custom(format!("{name}: {message}"))),
    }
}

/// That an option is a number of the range that words describe.
pub(crate) fn option(field: &str, value: f64, fits: bool, expected: &str) -> Checked<()> {
    if fits { Ok(()) } else { Err(format!("{field} is {value}, expected {expected}")) }
}

/// That an option is a finite number above 0.
pub(crate) fn positive(field: &str, value: f64) -> Checked<()> {
    option(field, value, value > 0.0 && value.is_finite(), "a finite number above 0")
}

/// That an option is a finite number of at least 0.
pub(crate) fn not_negative(field: &str, value: f64) -> Checked<()> {
    option(field, value, value >= 0.0 && value.is_finite(), "a finite number of at least 0")
}

/// That an option is at least 0 and below 1.
pub(crate) fn below_one(field: &str, value: f64) -> Checked<()> {
    option(field, value, (0.0..1.0).contains(&value), "at least 0 and below 1")
}

/// That an option is a finite number.
pub(crate) fn finite(field: &str, value: f64) -> Checked<()> {
    option(field, value, value.is_finite(), "a finite number")
}

/// That an option is a probability.
pub(crate) fn probability(field: &str, value: f64) -> Checked<()> {
    option(field, value, (0.0..=1.0).contains(&value), "0 to 1")
}
