//! Looking values up in a codebook: a few shared values stand for many weights. The derivative sums over all places
//! that share a value, and the derivative of that sum looks up again.
use super::{Rule, operands};
use crate::{
    error::Checked,
    tape::{Float, Var, sweep::Step},
    tensor::{Shape, Tensor},
};
use std::borrow::Cow;

/// The code of a place that has no value: it is zero and gives no gradient.
pub(crate) const NO_CODE: u32 = u32::MAX;

/// A table of values and a tensor of codes into it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Codebook {
    /// `[k] -> shape of the codes`: the value of each code.
    Lookup { codes: Tensor<u32> },
    /// `shape of the codes -> [k]`: for each value, the sum over the places that have its code.
    Collect { codes: Tensor<u32>, k: usize },
}

impl<T: Float> Rule<T> for Codebook {
    fn name(&self) -> &str {
        match self {
            Codebook::Lookup { .. } => "lookup",
            Codebook::Collect { .. } => "collect",
        }
    }

    fn options(&self) -> Cow<'static, str> {
        let (Codebook::Lookup { codes } | Codebook::Collect { codes, .. }) = self;
        Cow::Owned(format!("codes={}", codes.shape()))
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [x] = operands(x)?;
        let values = x.contiguous();
        let values = values.as_slice().unwrap_or_default();
        match self {
            Codebook::Lookup { codes } => {
                if x.rank() != 1 {
                    return Err(format!("takes values [k], not {}", x.shape()));
                }
                let codes = codes.contiguous();
                let list = codes.as_slice().unwrap_or_default();
                if let Some(bad) = list.iter().find(|&&c| c != NO_CODE && c as usize >= values.len()) {
                    return Err(format!("code {bad} has no value: there are {}", values.len()));
                }
                // A code without a value is far outside the table, so one look tells both.
                Ok(Tensor::build(codes.shape().clone(), |out| {
                    for (o, &code) in out.iter_mut().zip(list) {
                        *o = values.get(code as usize).copied().unwrap_or_default();
                    }
                }))
            }
            Codebook::Collect { codes, k } => {
                if x.shape() != codes.shape() {
                    return Err(format!(
                        "takes the shape of the codes, {}, not {}",
                        codes.shape(),
                        x.shape()
                    ));
                }
                // Many small numbers go into few sums: in f64, and always in the same order.
                let mut sums = vec![0.0f64; *k];
                for (v, &code) in values.iter().zip(codes.contiguous().as_slice().unwrap_or_default()) {
                    if let Some(sum) = sums.get_mut(code as usize) {
                        *sum += v.to_f64();
                    }
                }
                Ok(Tensor::from_fn(Shape::new(&[*k]), |i| T::from_f64(sums[i])))
            }
        }
    }

    fn keeps(&self, _: u32) -> u32 {
        0
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let g = step.grad().clone();
        let op = match self {
            Codebook::Lookup { codes } => {
                Codebook::Collect { codes: codes.clone(), k: step.input_shape(0).numel() }
            }
            Codebook::Collect { codes, .. } => Codebook::Lookup { codes: codes.clone() },
        };
        step.give(0, g.tape().apply(op, &[&g]));
    }
}

impl<'t, T: Float> Var<'t, T> {
    /// `[k] -> shape of the codes`: the value of each code, zero for [`NO_CODE`].
    #[track_caller]
    pub(crate) fn lookup(&self, codes: &Tensor<u32>) -> Var<'t, T> {
        self.tape().apply(Codebook::Lookup { codes: codes.clone() }, &[self])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GradCheck, Tape};

    #[test]
    fn places_with_one_code_share_value_and_gradient() {
        let codes = Tensor::new([2, 3], vec![0, 2, NO_CODE, 2, 2, 1]).unwrap();
        let tape = Tape::<f64>::new();
        let values = tape.input([10.0, 20.0, 30.0]);
        let w = values.lookup(&codes);
        assert_eq!(w.to_vec().unwrap(), [10.0, 30.0, 0.0, 30.0, 30.0, 20.0]);
        let weights = tape.constant([[1.0, 2.0, 4.0], [8.0, 16.0, 32.0]]);
        let grads = (w * weights).sum().backward().unwrap();
        assert_eq!(grads.get(&values).unwrap().to_vec(), [1.0, 32.0, 26.0]);
        let codes = codes.clone();
        GradCheck::new()
            .second_order()
            .check(
                move |x| x[0].lookup(&codes).tanh() * &x[1],
                &[Tensor::from([0.3, -0.2, 0.9]), Tensor::linspace(-1.0, 1.0, 6).reshape([2, 3]).unwrap()],
            )
            .unwrap();
    }

    #[test]
    fn a_code_without_a_value_is_an_error() {
        let tape = Tape::<f32>::new();
        let w = tape.input([1.0, 2.0]).lookup(&Tensor::from([0u32, 2]));
        assert!(w.value().unwrap_err().to_string().contains("code 2 has no value: there are 2"));
    }
}
