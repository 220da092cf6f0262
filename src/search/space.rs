//! What is searched: names with ranges of numbers or lists of choices. Inside, a value is a place from 0 to 1.
use crate::{
    error::{Checked, Error, Result},
    real::Arithmetic,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The values of one name.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Axis {
    Float { low: f64, high: f64, log: bool },
    Integer { low: i64, high: i64, log: bool },
    Choice(Vec<Value>),
}

/// Names with the values that they can have, in order.
///
/// ```
/// use kolmo::search::Space;
/// let space = Space::new()
///     .log_float("lr", 1e-4, 1e-1)         // as many from 1e-4 to 1e-3 as from 1e-2 to 1e-1
///     .float("momentum", 0.0, 0.99)
///     .integer("layers", 1, 4)             // both ends among them
///     .choice("optimizer", ["sgd", "adam"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
#[must_use]
pub struct Space(pub(super) Vec<(String, Axis)>);

impl Space {
    /// Without a name.
    pub fn new() -> Space {
        Space::default()
    }

    fn with(mut self, name: impl Into<String>, axis: Axis) -> Space {
        self.0.push((name.into(), axis));
        self
    }

    /// Numbers from `low` to `high`.
    pub fn float(self, name: impl Into<String>, low: f64, high: f64) -> Space {
        self.with(name, Axis::Float { low, high, log: false })
    }

    /// The same by their logarithms; `low` is above 0.
    pub fn log_float(self, name: impl Into<String>, low: f64, high: f64) -> Space {
        self.with(name, Axis::Float { low, high, log: true })
    }

    /// Whole numbers from `low` to `high`, which is one of them.
    pub fn integer(self, name: impl Into<String>, low: i64, high: i64) -> Space {
        self.with(name, Axis::Integer { low, high, log: false })
    }

    /// The same by their logarithms; `low` is above 0.
    pub fn log_integer(self, name: impl Into<String>, low: i64, high: i64) -> Space {
        self.with(name, Axis::Integer { low, high, log: true })
    }

    /// One of a list, which have no order among them.
    pub fn choice<V: Into<Value>>(
        self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Space {
        self.with(name, Axis::Choice(values.into_iter().map(V::into).collect()))
    }

    /// What is wrong with it.
    pub(super) fn check(&self) -> Result<()> {
        for (i, (name, axis)) in self.0.iter().enumerate() {
            let again = self.0.iter().take(i).any(|(other, _)| other == name);
            let wrong = if again { Err("it is there twice".into()) } else { axis.check() };
            wrong.map_err(|message| Error::invalid("Space", format!("{name:?}: {message}")))?;
        }
        Ok(())
    }
}

impl Axis {
    fn check(&self) -> Checked<()> {
        let fits = match *self {
            Axis::Float { low, high, log } => {
                // The width, too, must be a number.
                low < high && (high - low).is_finite() && (!log || low > 0.0)
            }
            // All of them are floats.
            Axis::Integer { low, high, log } => {
                low <= high && low >= -(1 << 52) && high <= 1 << 52 && (!log || low > 0)
            }
            Axis::Choice(ref values) => !values.is_empty(),
        };
        if fits { Ok(()) } else { Err(format!("nothing, or no end, is in {self:?}")) }
    }

    /// The numbers that places 0 and 1 stand for, and whether places go by logarithms: whole numbers have half
    /// a number more on either side.
    fn ends(&self) -> (f64, f64, bool) {
        match *self {
            Axis::Float { low, high, log } => (low, high, log),
            Axis::Integer { low, high, log } => (low as f64 - 0.5, high as f64 + 0.5, log),
            Axis::Choice(ref values) => (0.0, values.len() as f64, false),
        }
    }

    /// How many choices there are, if it isn't a number.
    pub fn choices(&self) -> Option<usize> {
        match self {
            Axis::Choice(values) => Some(values.len()),
            _ => None,
        }
    }

    /// The value at a place from 0 to 1.
    pub fn value(&self, place: f64) -> Value {
        let (low, high, log) = self.ends();
        let number = match log {
            true => Arithmetic::exp(Arithmetic::log(low) * (1.0 - place) + Arithmetic::log(high) * place),
            false => low + (high - low) * place,
        };
        match self {
            Axis::Float { low, high, .. } => number.clamp(*low, *high).into(),
            Axis::Integer { low, high, .. } => (number.round() as i64).clamp(*low, *high).into(),
            Axis::Choice(values) => values.get((number as usize).min(values.len() - 1)).cloned().into(),
        }
    }

    /// Where a value is; of a choice, the middle of its part.
    pub fn place(&self, value: &Value) -> Option<f64> {
        let (low, high, log) = self.ends();
        let number = match self {
            Axis::Choice(values) => values.iter().position(|v| v == value)? as f64 + 0.5,
            _ => value.as_f64()?,
        };
        let along = |v: f64| if log { Arithmetic::log(v) } else { v };
        Some(((along(number) - along(low)) / (along(high) - along(low))).clamp(0.0, 1.0))
    }

    /// Its values on a grid of so many numbers, all different.
    pub fn grid(&self, steps: usize) -> Vec<Value> {
        let (steps, ends) = (steps.max(1), self.ends());
        let middle = |i: usize| (i as f64 + 0.5) / steps as f64;
        let mut values: Vec<Value> = match self {
            Axis::Choice(values) => return values.clone(),
            // One number is the middle; of more the first and the last are the ends.
            Axis::Float { .. } if steps == 1 => vec![self.value(0.5)],
            Axis::Float { .. } => (0..steps).map(|i| self.value(i as f64 / (steps - 1) as f64)).collect(),
            Axis::Integer { .. } if steps as f64 >= ends.1 - ends.0 => return self.all(),
            Axis::Integer { low, high, .. } if steps > 1 => {
                let inner = (1..steps - 1).map(|i| self.value(i as f64 / (steps - 1) as f64));
                std::iter::once((*low).into()).chain(inner).chain([(*high).into()]).collect()
            }
            Axis::Integer { .. } => vec![self.value(middle(0))],
        };
        values.dedup();
        values
    }

    fn all(&self) -> Vec<Value> {
        match *self {
            Axis::Integer { low, high, .. } => (low..=high).map(Value::from).collect(),
            _ => Vec::new(),
        }
    }
}

/// The values of one trial, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(pub(super) BTreeMap<String, Value>);

impl Settings {
    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Names and values, ordered by the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    fn as_kind<'a, V>(
        &'a self,
        name: &str,
        kind: &str,
        read: impl FnOnce(&'a Value) -> Option<V>,
    ) -> Result<V> {
        let found = self.get(name);
        found.and_then(read).ok_or_else(|| {
            let found = found.map_or("isn't there".into(), |value| format!("is {value}"));
            Error::invalid("Settings", format!("{name:?} {found}, not {kind}"))
        })
    }

    /// A number.
    pub fn float(&self, name: &str) -> Result<f64> {
        self.as_kind(name, "a number", Value::as_f64)
    }

    /// A whole number.
    pub fn integer(&self, name: &str) -> Result<i64> {
        self.as_kind(name, "a whole number", Value::as_i64)
    }

    /// A whole number that isn't negative.
    pub fn size(&self, name: &str) -> Result<usize> {
        self.as_kind(name, "a size", |v| v.as_u64().and_then(|v| usize::try_from(v).ok()))
    }

    /// A text.
    pub fn text(&self, name: &str) -> Result<&str> {
        self.as_kind(name, "a text", Value::as_str)
    }

    /// A text of JSON in which every string `"$name"` is replaced by the value of that name: a
    /// [`Recipe`](crate::compress::Recipe) with holes.
    ///
    /// ```
    /// use kolmo::{compress::Recipe, search::{Search, Space}};
    /// let space = Space::new().float("density", 0.02, 0.5);
    /// let recipe = r#"{"stages": [{"stage": "prune", "density": "$density"}, {"stage": "half"}]}"#;
    /// Search::new(space, ["bytes"]).trials(2).run(|trial| {
    ///     let recipe = Recipe::from_json(&trial.settings.fill(recipe)?)?;
    ///     Ok([("bytes", recipe.stages.len() as f64)]) // where the recipe would be run
    /// })?;
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// The text isn't JSON, or has a name that isn't there.
    pub fn fill(&self, text: &str) -> Result<String> {
        let wrong = |e: serde_json::Error| Error::invalid("Settings", format!("the text isn't JSON: {e}"));
        let mut value = serde_json::from_str(text).map_err(wrong)?;
        self.fill_value(&mut value)?;
        Ok(value.to_string())
    }

    fn fill_value(&self, value: &mut Value) -> Result<()> {
        match value {
            Value::String(text) => {
                if let Some(name) = text.strip_prefix('$') {
                    *value = self.as_kind(name, "a value", Some)?.clone();
                }
                Ok(())
            }
            Value::Array(values) => values.iter_mut().try_for_each(|value| self.fill_value(value)),
            Value::Object(fields) => fields.values_mut().try_for_each(|value| self.fill_value(value)),
            _ => Ok(()),
        }
    }
}
