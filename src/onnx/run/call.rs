//! What an operator is called with: its node, what its inputs are worth, and its attributes.
use crate::{
    error::Checked,
    onnx::{
        proto::{Attribute, Node},
        value::{Value, sound},
    },
    tape::{Tape, Var},
    tensor::Tensor,
};

/// A node with what its inputs are worth.
pub(in crate::onnx) struct Call<'a, 't> {
    pub node: &'a Node,
    pub tape: &'t Tape<f32>,
    pub x: Vec<Option<Value<'t>>>,
    /// The version of the operators.
    pub opset: u64,
}

/// The results, in the order of the node's outputs; fewer if some are never given.
pub(in crate::onnx) type Values<'t> = Vec<Value<'t>>;

/// What an operator does.
pub(in crate::onnx) type Run = for<'a, 't> fn(&Call<'a, 't>) -> Checked<Values<'t>>;

/// One result of floats.
pub(super) fn float<'t>(v: Var<'t, f32>) -> Checked<Values<'t>> {
    Ok(vec![Value::Float(sound(v)?)])
}

impl<'t> Call<'_, 't> {
    pub fn given(&self, i: usize) -> Option<&Value<'t>> {
        self.x.get(i).and_then(Option::as_ref)
    }

    pub fn value(&self, i: usize) -> Checked<&Value<'t>> {
        self.given(i).ok_or_else(|| format!("input {i} is missing"))
    }

    pub fn float(&self, i: usize) -> Checked<Var<'t, f32>> {
        match self.value(i)? {
            Value::Float(v) => Ok(v.clone()),
            other => Err(format!("input {i} takes floats, not {}", other.kind())),
        }
    }

    pub fn optional_float(&self, i: usize) -> Checked<Option<Var<'t, f32>>> {
        self.given(i).map(|_| self.float(i)).transpose()
    }

    /// A list of whole numbers.
    pub fn list(&self, i: usize) -> Checked<Vec<i64>> {
        self.value(i)?.integers().map(|t| t.to_vec())
    }

    pub fn optional_list(&self, i: usize) -> Checked<Option<Vec<i64>>> {
        self.given(i).map(|_| self.list(i)).transpose()
    }

    /// One number that doesn't hang on inputs of the model.
    pub fn number(&self, i: usize) -> Checked<Option<f64>> {
        match self.given(i) {
            None => Ok(None),
            Some(Value::Float(v)) if v.tape().is_traced() && v.node().is_some() => {
                Err(format!("input {i} must not be computed from the model's inputs"))
            }
            Some(Value::Float(v)) => v.tensor().item().map(|v| Some(v.into())).map_err(|e| e.to_string()),
            Some(other) => match other.integers()?.to_vec()[..] {
                [v] => Ok(Some(v as f64)),
                _ => Err(format!("input {i} takes one number")),
            },
        }
    }

    pub fn int_or(&self, name: &str, otherwise: i64) -> i64 {
        match self.node.attribute(name) {
            Some(Attribute::Int(v)) => *v,
            _ => otherwise,
        }
    }

    pub fn float_or(&self, name: &str, otherwise: f64) -> f64 {
        match self.node.attribute(name) {
            // The decimal number that was meant.
            Some(Attribute::Float(v)) => v.to_string().parse().unwrap_or(f64::from(*v)),
            _ => otherwise,
        }
    }

    pub fn text_or<'b>(&'b self, name: &str, otherwise: &'b str) -> &'b str {
        match self.node.attribute(name) {
            Some(Attribute::Text(v)) => v,
            _ => otherwise,
        }
    }

    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.node.attribute(name) {
            Some(Attribute::Ints(v)) => Some(v),
            _ => None,
        }
    }

    /// Sizes of an attribute, one for each of so many axes.
    pub fn sizes(&self, name: &str, axes: usize, otherwise: usize) -> Checked<Vec<usize>> {
        let Some(list) = self.ints(name) else { return Ok(vec![otherwise; axes]) };
        let sizes: Option<Vec<usize>> =
            list.iter().map(|&v| usize::try_from(v).ok().filter(|&v| v < 1 << 31)).collect();
        sizes
            .filter(|sizes| sizes.len() == axes)
            .ok_or_else(|| format!("{name} {list:?}: {axes} numbers of 0 or more are needed"))
    }

    /// An axis of a tensor of so many.
    pub fn axis(&self, axis: i64, rank: usize) -> Checked<usize> {
        crate::tensor::shape::axis_of(axis as isize, rank)
    }

    /// An attribute with only one value that is known.
    pub fn only(&self, name: &str, value: i64) -> Checked<()> {
        match self.int_or(name, value) {
            v if v == value => Ok(()),
            v => Err(format!("{name} is {v}: {value} is done here")),
        }
    }

    /// Axes as an attribute in older versions, as an input in newer ones.
    pub fn axes(&self, input: usize) -> Checked<Option<Vec<i64>>> {
        match self.ints("axes") {
            Some(axes) => Ok(Some(axes.to_vec())),
            None => self.optional_list(input),
        }
    }

    pub fn constant(&self, value: Tensor<f32>) -> Var<'t, f32> {
        self.tape.constant(value)
    }
}
