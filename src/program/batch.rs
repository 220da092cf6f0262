//! Inputs and indices of many examples, as they are given to a program that was recorded for one.
use super::run::{Program, same_number};
use crate::{
    error::{Error, Result},
    ops::{Float, examples::many},
    tensor::{Element, Shape, Tensor},
};

/// Inputs and indices with an axis of examples in front of what was recorded, and how many examples there are.
pub(super) struct Batch<T: Float> {
    pub n: usize,
    pub inputs: Vec<Tensor<T>>,
    pub indices: Vec<Tensor<u32>>,
}

/// Inputs and indices of one example.
type Example<T> = (Vec<Tensor<T>>, Vec<Tensor<u32>>);

impl<T: Float> Batch<T> {
    pub fn example(&self, i: usize) -> Result<Example<T>> {
        fn one<A: Element>(all: &[Tensor<A>], i: usize) -> Result<Vec<Tensor<A>>> {
            all.iter().map(|t| Ok(t.select(0, i as isize)?.contiguous())).collect()
        }
        Ok((one(&self.inputs, i)?, one(&self.indices, i)?))
    }
}

/// What was recorded with an axis of examples in front: of one example `[1, …]`, `[n, …]` will do.
fn with_examples<A: Element>(
    (what, i): (&str, usize),
    recorded: &Shape,
    given: &Tensor<A>,
    n: &mut Option<usize>,
) -> Result<Tensor<A>> {
    let whole = given.rank() > 0 && given.shape()[1..] == recorded[..];
    let ones = given.rank() > 0 && recorded.first() == Some(&1) && given.shape()[1..] == recorded[1..];
    if !whole && !ones {
        let short = match recorded.first() {
            Some(1) => format!(" or [n{}]", sizes(&recorded[1..])),
            _ => String::new(),
        };
        let message = format!(
            "{what} {i} had shape {recorded} when it was recorded: for n examples it is [n{}]{short}, not {}",
            sizes(recorded),
            given.shape()
        );
        return Err(Error::invalid("run_each", message));
    }
    let (own, first) = (given.dim(0), n.get_or_insert(given.dim(0)));
    if own != *first {
        let message = format!("{what} {i} has {own} examples, what came before has {first}");
        return Err(Error::invalid("run_each", message));
    }
    Ok(given.reshaped(&many(own, recorded)))
}

fn sizes(shape: &[usize]) -> String {
    shape.iter().map(|size| format!(", {size}")).collect()
}

impl<T: Float> Program<T> {
    /// Inputs and indices of many examples, looked at.
    pub(super) fn batch(&self, inputs: &[&Tensor<T>], indices: &[&Tensor<u32>]) -> Result<Batch<T>> {
        same_number("inputs", self.inputs.len(), inputs.len())?;
        same_number("indices", self.indices.len(), indices.len())?;
        let mut n = None;
        let each = self.inputs.iter().zip(inputs).enumerate();
        let inputs = each.map(|(i, ((_, shape), x))| with_examples(("input", i), shape, x, &mut n));
        let inputs = inputs.collect::<Result<_>>()?;
        let each = self.indices.iter().zip(indices).enumerate();
        let indices = each.map(|(i, ((_, shape), x))| with_examples(("index", i), shape, x, &mut n));
        let indices = indices.collect::<Result<_>>()?;
        let n = n.ok_or_else(|| {
            Error::invalid("run_each", "the program has neither inputs nor indices, so there are no examples")
        })?;
        Ok(Batch { n, inputs, indices })
    }
}
