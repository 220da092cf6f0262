//! Weights that training rounds to floats of 16 bits, with masters of full precision underneath.
use super::filter::{each_field, picks_some};
use crate::{
    error::{Error, Result},
    kernels::packed::HalfFloat,
    ops::Float,
    param::Parametrize,
    real::half::{bf16_bits_to_f32, f32_to_bf16_bits, round_to_f16},
    tape::{CustomOp, Var},
    tensor::{Shape, Tensor},
};
use serde::Serialize;

/// Rounds the weights that `filter` picks to floats of 16 bits each time the model uses them; what optimisers
/// change are masters of full precision underneath, whose gradients are those of the rounded weights
/// (Micikevicius et al., 2018). [`freeze`](super::quantize::freeze) drops the masters: the rounded weights
/// are then all that is held. Arithmetic is that of the model's floats throughout.
///
/// With [`Tape::set_half_activations`](crate::Tape::set_half_activations) what a sweep reads is held in
/// bfloat16 as well.
///
/// ```
/// use kolmo::{Random, compress::{HalfFloat, matrices, quantize}, nn::Linear};
/// let net = Linear::new(64, 32, &mut Random::new(0));
/// quantize::mixed_precision(&net, HalfFloat::Bf16, matrices)?;
/// let used = net.weight.effective()?; // as trained
/// assert!(used != net.weight.value());
/// quantize::freeze(&net)?;
/// assert_eq!(net.weight.value().packed().unwrap().bytes(), 64 * 32 * 2);
/// assert_eq!(net.weight.effective()?, used);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// A filter that picks no parameter.
#[doc(alias("amp", "autocast", "bfloat16"))]
pub fn mixed_precision<M: Serialize + ?Sized>(
    model: &M,
    kind: HalfFloat,
    filter: impl Fn(&str, &Shape) -> bool,
) -> Result<()> {
    let mut picked = 0;
    each_field!(model, |name, p| {
        if filter(&name, &p.shape()) {
            p.parametrize(ToHalf(kind));
            picked += 1;
        }
    });
    picks_some("mixed_precision", model, picked)
}

struct ToHalf(HalfFloat);

impl<T: Float> Parametrize<T> for ToHalf {
    fn apply<'t>(&self, weight: &Var<'t, T>) -> Var<'t, T> {
        weight.tape().custom(ToHalf(self.0), &[weight])
    }

    fn half(&self) -> Option<HalfFloat> {
        Some(self.0)
    }
}

impl<T: Float> CustomOp<T> for ToHalf {
    fn name(&self) -> &str {
        match self.0 {
            HalfFloat::F16 => "to_f16",
            HalfFloat::Bf16 => "to_bf16",
        }
    }

    fn forward(&self, inputs: &[&Tensor<T>]) -> Result<Tensor<T>> {
        let fail = |message: String| Error::invalid("mixed_precision", message);
        let [x] = inputs else { return Err(fail("takes one tensor".into())) };
        let values = x.list().map_err(fail)?;
        let round = |v: T| {
            let v = v.to_f64() as f32;
            T::from_f32(match self.0 {
                HalfFloat::F16 => round_to_f16(v),
                HalfFloat::Bf16 => bf16_bits_to_f32(f32_to_bf16_bits(v)),
            })
        };
        Ok(Tensor::build(x.shape().clone(), |out| {
            out.iter_mut().zip(values.iter()).for_each(|(out, v)| *out = round(*v));
        }))
    }

    fn backward<'t>(&self, _: &[Var<'t, T>], _: &Var<'t, T>, grad: &Var<'t, T>) -> Vec<Option<Var<'t, T>>> {
        vec![Some(grad.clone())]
    }
}
