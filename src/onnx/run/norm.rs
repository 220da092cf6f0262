//! Normalisation, and whole numbers of steps.
use super::call::{Call, Run, Values, float};
use crate::{
    error::Checked,
    onnx::value::{Value, sound},
    tape::Var,
    tensor::Tensor,
};

pub(super) const OPERATORS: &[(&str, Run)] = &[
    ("BatchNormalization", |c| {
        c.only("training_mode", 0)?;
        let (x, weight, bias) = (c.float(0)?, c.float(1)?, c.float(2)?);
        let (mean, variance, eps) = (c.float(3)?, c.float(4)?, c.float_or("epsilon", 1e-5));
        float(x.batch_norm(Some((&mean, &variance)), Some(&weight), Some(&bias), eps))
    }),
    ("DequantizeLinear", dequantize),
    ("GroupNormalization", |c| {
        let (x, weight, bias) = (c.float(0)?, c.float(1)?, c.float(2)?);
        let groups = usize::try_from(c.int_or("num_groups", 1)).unwrap_or(0);
        let eps = c.float_or("epsilon", 1e-5);
        if c.opset >= 21 {
            return float(x.group_norm(groups, Some(&weight), Some(&bias), eps));
        }
        // One weight for each group.
        let each = (x.dim(1) / groups.max(1)) as isize;
        let [weight, bias] =
            [weight, bias].map(|v| v.unsqueeze(1).expand([groups as isize, each]).reshape([-1]));
        float(x.group_norm(groups, Some(&weight), Some(&bias), eps))
    }),
    ("InstanceNormalization", |c| {
        let (x, weight, bias) = (c.float(0)?, c.float(1)?, c.float(2)?);
        float(x.instance_norm(None, Some(&weight), Some(&bias), c.float_or("epsilon", 1e-5)))
    }),
    ("LayerNormalization", |c| {
        let (x, weight, bias) = (c.float(0)?, c.float(1)?, c.optional_float(2)?);
        if c.node.outputs.iter().skip(1).any(|name| !name.is_empty()) {
            return Err("mean and deviation as results aren't given here".into());
        }
        let axis = c.axis(c.int_or("axis", -1), x.rank())?;
        let sizes = x.shape()[axis..].to_vec();
        float(x.layer_norm(&sizes, Some(&weight), bias.as_ref(), c.float_or("epsilon", 1e-5)))
    }),
    ("LRN", |c| {
        let size = usize::try_from(c.int_or("size", 1)).unwrap_or(0);
        let [alpha, beta, bias] =
            [("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)].map(|(n, v)| c.float_or(n, v));
        // An even number of neighbours has one more behind than before.
        if size.is_multiple_of(2) {
            return Err(format!("size {size}: odd ones are done here"));
        }
        float(c.float(0)?.local_response_norm(size, alpha, beta, bias))
    }),
    ("LpNormalization", |c| {
        let (x, p) = (c.float(0)?, c.int_or("p", 2) as f64);
        let axis = c.axis(c.int_or("axis", -1), x.rank())? as isize;
        float(x.normalize(p, axis, 1e-12))
    }),
    ("QuantizeLinear", quantize),
    ("RMSNormalization", |c| {
        let (x, weight) = (c.float(0)?, c.float(1)?);
        let axis = c.axis(c.int_or("axis", -1), x.rank())?;
        let sizes = x.shape()[axis..].to_vec();
        float(x.rms_norm(&sizes, Some(&weight), Some(c.float_or("epsilon", 1e-5))))
    }),
];

/// Scales and zero points for each element of a tensor.
fn spread<'t>(c: &Call<'_, 't>, part: &Var<'t, f32>, shape: &[usize]) -> Checked<Var<'t, f32>> {
    let rank = shape.len();
    if part.rank() == 0 || part.numel() == 1 {
        return sound(part.reshape([]));
    }
    let axis = c.axis(c.int_or("axis", 1), rank)?;
    match usize::try_from(c.int_or("block_size", 0)) {
        Ok(0) if part.rank() == 1 && part.dim(0) == shape[axis] => {
            let sizes: Vec<isize> = (0..rank).map(|i| if i == axis { -1 } else { 1 }).collect();
            sound(part.reshape(sizes))
        }
        Ok(block @ 1..) if part.rank() == rank && part.shape()[axis].saturating_mul(block) >= shape[axis] => {
            let index = Tensor::from_fn([shape[axis]], |i| (i / block) as u32);
            sound(part.index_select(axis as isize, &index))
        }
        _ => Err(format!("scales {} don't fit {shape:?}", part.shape())),
    }
}

fn dequantize<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let (x, scale) = (c.value(0)?, c.float(1)?);
    let codes = match x {
        // What `QuantizeLinear` gave.
        Value::Float(codes) => codes.clone(),
        other => c.constant(other.integers()?.cast()),
    };
    let shape = codes.shape().to_vec();
    let scale = spread(c, &scale, &shape)?;
    let codes = match c.given(2) {
        Some(zero) => sound(&codes - spread(c, &zero.floats(c.tape), &shape)?)?,
        None => codes,
    };
    float(codes * scale)
}

/// Codes, which stay floats on the tape: of the range that the zero point's type has.
fn quantize<'t>(c: &Call<'_, 't>) -> Checked<Values<'t>> {
    let (x, scale) = (c.float(0)?, c.float(1)?);
    let shape = x.shape().to_vec();
    let scale = spread(c, &scale, &shape)?;
    let kind = c.int_or("output_dtype", 2) as u32;
    let (bits, _) = crate::onnx::proto::kind::about(kind).ok_or("codes of an unknown type")?;
    let all = (1u64 << bits.min(32)) as f64;
    let low = if crate::onnx::proto::kind::is_signed(kind) { -all / 2.0 } else { 0.0 };
    let high = low + all - 1.0;
    let steps = sound(x / scale)?;
    let codes = match c.given(2) {
        Some(zero) => sound(steps.round() + spread(c, &zero.floats(c.tape), &shape)?)?,
        None => sound(steps.round())?,
    };
    let codes = codes.clamp(low, high);
    // Differentiated as if they weren't rounded.
    float(&steps + (codes - &steps).held())
}
