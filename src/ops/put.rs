//! Writing elements to positions of a copy: what scatters are made of.
use super::{
    checks::{check_shape, operands},
    list::{Float, Put},
    take::NOWHERE,
};
use crate::{
    error::Checked,
    real::About,
    tape::{Rule, Step, Var},
    tensor::{Shape, Tensor, room::filled},
};
use std::borrow::Cow;

impl<T: Float> Rule<T> for Put {
    fn name(&self) -> &str {
        "put"
    }

    fn about(&self) -> About {
        About::formula(
            "a, with elements of b at positions",
            &["ȳ, with zeros at the positions", "elements of ȳ, by position"],
            "Of elements with one position the last stays, and it alone has a gradient.",
        )
        .exact()
    }

    fn options(&self) -> Cow<'static, str> {
        Cow::Owned(format!("index={}", self.positions.shape()))
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [x, src] = operands(x)?;
        let (x, src) = (x.contiguous().made()?, src.contiguous().made()?);
        let positions = self.positions.contiguous().made()?;
        let list = positions.as_slice().unwrap_or_default();
        let outside = |p: &&u32| **p != NOWHERE && **p as usize >= x.numel();
        if let Some(bad) = list.iter().find(outside) {
            return Err(format!("there is no element {bad}: {} has {}", x.shape(), x.numel()));
        }
        Ok(Tensor::build(x.shape().clone(), |out| {
            out.copy_from_slice(x.as_slice().unwrap_or_default());
            for (&v, &p) in src.as_slice().unwrap_or_default().iter().zip(list) {
                // NOWHERE is far outside.
                if let Some(o) = out.get_mut(p as usize) {
                    *o = v;
                }
            }
        }))
    }

    fn keeps(&self, _: u32) -> u32 {
        0
    }

    fn check(&self, x: &[&Tensor<T>], y: &Shape) -> Checked<()> {
        let [x, src] = operands(x)?;
        check_shape(x.shape(), y)?;
        check_shape(self.positions.shape(), src.shape())
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let g = step.take_grad();
        if step.wants(0) {
            let zeros = g.tape().constant(Tensor::zeros(self.positions.shape().clone()));
            step.give(0, g.tape().apply(self.clone(), &[&g, &zeros]));
        }
        if step.wants(1) {
            step.give(1, g.elements(self.positions.clone()));
        }
    }
}

/// Positions below `n`, with [`NOWHERE`] for all but the last of equal ones.
fn last_of_each(positions: &Tensor<u32>, n: usize) -> Checked<Tensor<u32>> {
    let mut taken = filled(n.div_ceil(64), 0u64)?;
    let list = positions.contiguous().made()?;
    let list = list.as_slice().unwrap_or_default();
    Tensor::build(positions.shape().clone(), |out| {
        for (out, &p) in out.iter_mut().zip(list).rev() {
            let (word, bit) = (taken.get_mut(p as usize / 64), 1 << (p % 64));
            *out = match word {
                Some(word) if *word & bit == 0 => {
                    *word |= bit;
                    p
                }
                _ => NOWHERE,
            };
        }
    })
    .made()
}

impl<'t, T: Float> Var<'t, T> {
    /// This tensor with the elements of `src` at positions of the flattened tensor, as many as `src` has: of
    /// equal positions the last counts.
    #[track_caller]
    pub(crate) fn put(&self, positions: &Tensor<u32>, src: &Var<'t, T>) -> Var<'t, T> {
        match last_of_each(positions, self.numel()) {
            Ok(positions) => self.tape().apply(Put { positions }, &[self, src]),
            Err(message) => self.tape().fail_op("put", message, &[self, src]),
        }
    }
}
