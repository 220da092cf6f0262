//! What flows through the graph of a file when it is run: floats on the tape, and whole numbers and truths beside it.
use super::proto::Data;
use crate::{
    error::Checked,
    ops::list::Test,
    tape::{Tape, Var},
    tensor::{Element, Shape, Tensor, shape::broadcast},
};

#[derive(Clone)]
pub(super) enum Value<'t> {
    Float(Var<'t, f32>),
    Int(Tensor<i64>),
    Bool(Tensor<bool>),
    /// Truths that were found from floats, as ones and zeros on the tape.
    Mask(Var<'t, f32>),
    /// Indices that came from outside, as they are.
    Index(Tensor<u32>),
}

/// Elements that can be moved without a look at them.
pub(super) trait Movable: Sized {
    fn reshape_as(&self, sizes: &[isize]) -> Checked<Self>;
    fn permuted(&self, axes: &[isize]) -> Checked<Self>;
    /// Every `step`-th of an axis from `start` on, also backwards.
    fn sliced(&self, axis: usize, start: usize, len: usize, step: isize) -> Checked<Self>;
    fn picked(&self, axis: usize, index: &Tensor<u32>) -> Checked<Self>;
    fn expanded(&self, shape: &Shape) -> Checked<Self>;
    fn joined(all: &[&Self], axis: usize) -> Checked<Self>;
}

fn there<V>(result: crate::Result<V>) -> Checked<V> {
    result.map_err(|e| e.to_string())
}

/// The first element that every `step`-th from `start` on reaches, also backwards, and how many there are up to the
/// last one.
fn stretch(start: usize, len: usize, step: isize) -> (usize, usize) {
    let far = len.saturating_sub(1).saturating_mul(step.unsigned_abs());
    (if step < 0 { start.saturating_sub(far) } else { start }, far.saturating_add(1))
}

/// The value, or why it failed.
pub(super) fn sound<'t>(v: Var<'t, f32>) -> Checked<Var<'t, f32>> {
    match v.ok() {
        Ok(()) => Ok(v),
        Err(crate::Error::Op(e)) => Err(format!("{}: {}", e.op, e.message)),
        Err(other) => Err(other.to_string()),
    }
}

impl<'t> Movable for Var<'t, f32> {
    fn reshape_as(&self, sizes: &[isize]) -> Checked<Self> {
        sound(self.reshape(sizes))
    }

    fn permuted(&self, axes: &[isize]) -> Checked<Self> {
        sound(self.permute(axes))
    }

    fn sliced(&self, axis: usize, start: usize, len: usize, step: isize) -> Checked<Self> {
        if len == 0 {
            return sound(self.narrow(axis as isize, 0, 0));
        }
        let (first, size) = stretch(start, len, step);
        let parts = self.narrow(axis as isize, first, size);
        let parts = match step.unsigned_abs() {
            1 => parts,
            step => parts.index_select(axis as isize, &Tensor::from_fn([len], |i| (i * step) as u32)),
        };
        sound(if step < 0 { parts.flip([axis as isize]) } else { parts })
    }

    fn picked(&self, axis: usize, index: &Tensor<u32>) -> Checked<Self> {
        sound(self.index_select(axis as isize, index))
    }

    fn expanded(&self, shape: &Shape) -> Checked<Self> {
        let sizes: Vec<isize> = shape.iter().map(|&n| n as isize).collect();
        if self.shape() == shape { Ok(self.clone()) } else { sound(self.expand(sizes)) }
    }

    fn joined(all: &[&Self], axis: usize) -> Checked<Self> {
        let first = all.first().ok_or("nothing to join")?;
        sound(first.tape().cat(all, axis as isize))
    }
}

impl<A: Element> Movable for Tensor<A> {
    fn reshape_as(&self, sizes: &[isize]) -> Checked<Self> {
        there(self.reshape(sizes))
    }

    fn permuted(&self, axes: &[isize]) -> Checked<Self> {
        there(self.permute(axes))
    }

    fn sliced(&self, axis: usize, start: usize, len: usize, step: isize) -> Checked<Self> {
        if len == 0 {
            return there(self.narrow(axis as isize, 0, 0));
        }
        let (first, size) = stretch(start, len, step);
        let part = there(self.narrow(axis as isize, first, size))?;
        let rows: Vec<u32> =
            (0..len).map(|i| (if step < 0 { len - 1 - i } else { i } * step.unsigned_abs()) as u32).collect();
        there(part.index_select(axis as isize, &Tensor::from(rows)))
    }

    fn picked(&self, axis: usize, index: &Tensor<u32>) -> Checked<Self> {
        there(self.index_select(axis as isize, index))
    }

    fn expanded(&self, shape: &Shape) -> Checked<Self> {
        there(self.expand(shape.clone()))
    }

    fn joined(all: &[&Self], axis: usize) -> Checked<Self> {
        there(Tensor::cat(all, axis as isize))
    }
}

/// The same done with whatever a value is.
macro_rules! moved {
    ($value:expr, $x:ident => $e:expr) => {
        match $value {
            $crate::onnx::value::Value::Float($x) => $crate::onnx::value::Value::Float($e),
            $crate::onnx::value::Value::Mask($x) => $crate::onnx::value::Value::Mask($e),
            $crate::onnx::value::Value::Int($x) => $crate::onnx::value::Value::Int($e),
            $crate::onnx::value::Value::Bool($x) => $crate::onnx::value::Value::Bool($e),
            $crate::onnx::value::Value::Index($x) => $crate::onnx::value::Value::Index($e),
        }
    };
}
pub(super) use moved;

impl<'t> Value<'t> {
    pub fn of(data: &Data, tape: &'t Tape<f32>) -> Value<'t> {
        match data {
            Data::Float(t) => Value::Float(tape.constant(t)),
            Data::Int(t) => Value::Int(t.clone()),
            Data::Bool(t) => Value::Bool(t.clone()),
        }
    }

    pub fn shape(&self) -> &Shape {
        match self {
            Value::Float(v) | Value::Mask(v) => v.shape(),
            Value::Int(t) => t.shape(),
            Value::Bool(t) => t.shape(),
            Value::Index(t) => t.shape(),
        }
    }

    pub fn kind(&self) -> &'static str {
        match self {
            Value::Float(_) => "floats",
            Value::Int(_) | Value::Index(_) => "whole numbers",
            Value::Bool(_) | Value::Mask(_) => "truths",
        }
    }

    /// Whole numbers.
    pub fn integers(&self) -> Checked<Tensor<i64>> {
        match self {
            Value::Int(t) => Ok(t.clone()),
            Value::Index(t) => Ok(t.cast()),
            Value::Bool(t) => Ok(t.cast()),
            other => Err(format!("takes whole numbers, not {}", other.kind())),
        }
    }

    /// Floats; whole numbers as constants.
    pub fn floats(&self, tape: &'t Tape<f32>) -> Var<'t, f32> {
        match self {
            Value::Float(v) | Value::Mask(v) => v.clone(),
            Value::Int(t) => tape.constant(t.cast::<f32>()),
            Value::Bool(t) => tape.constant(t.cast::<f32>()),
            Value::Index(t) => tape.constant(t.cast::<f32>()),
        }
    }

    /// Truths as ones and zeros on the tape.
    pub fn mask(&self, tape: &'t Tape<f32>) -> Checked<Var<'t, f32>> {
        match self {
            Value::Mask(v) => Ok(v.clone()),
            Value::Bool(t) => Ok(tape.constant(t.cast::<f32>())),
            other => Err(format!("takes truths, not {}", other.kind())),
        }
    }
}

/// Two tensors broadcast to each other, element by element.
pub(super) fn zip<A: Element, B: Element, C: Element>(
    a: &Tensor<A>,
    b: &Tensor<B>,
    f: impl Fn(A, B) -> C,
) -> Checked<Tensor<C>> {
    let shape = broadcast(a.shape(), b.shape())?;
    let (a, b) = (a.expanded(&shape)?.to_vec(), b.expanded(&shape)?.to_vec());
    Tensor::new(shape, a.into_iter().zip(b).map(|(a, b)| f(a, b)).collect()).map_err(|e| e.to_string())
}

/// A comparison on the tape, as ones and zeros.
pub(super) fn compare<'t>(test: Test, a: &Var<'t, f32>, b: &Var<'t, f32>) -> Checked<Var<'t, f32>> {
    let shape = broadcast(a.shape(), b.shape())?;
    let (a, b) = (a.expanded(&shape)?, b.expanded(&shape)?);
    sound(a.tape().apply(test, &[&a, &b]))
}
