//! Starting values of parameters, by PyTorch's names and formulas.
use crate::{
    error::{Error, Result},
    tape::Float,
    tensor::{Shape, Tensor},
};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal, Uniform};

/// Which size of a weight `[out, in, …]` the variance is kept over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// Inputs of a unit: keeps the variance in the forward pass.
    In,
    /// Outputs of a unit: keeps it in the backward pass.
    Out,
}

/// Inputs and outputs of a unit of a weight `[out, in, …]`: the trailing sizes are the field that each sees.
pub fn fans(shape: &Shape) -> Result<(usize, usize)> {
    if shape.rank() < 2 {
        return Err(Error::invalid("fans", format!("shape {shape} has fewer than two axes")));
    }
    let field: usize = shape[2..].iter().product();
    Ok((shape[1] * field, shape[0] * field))
}

/// Uniform in `[low, high)`.
pub fn uniform<T: Float>(shape: impl Into<Shape>, low: f64, high: f64, rng: &mut impl Rng) -> Tensor<T> {
    match Uniform::new(low, high) {
        Ok(d) => Tensor::from_fn(shape, |_| T::from_f64(d.sample(rng))),
        // Empty and infinite ranges have one sensible answer.
        Err(_) => Tensor::full(shape, T::from_f64(low)),
    }
}

/// Normal with this mean and standard deviation.
pub fn normal<T: Float>(shape: impl Into<Shape>, mean: f64, std: f64, rng: &mut impl Rng) -> Tensor<T> {
    Tensor::from_fn(shape, |_| {
        let z: f64 = StandardNormal.sample(rng);
        T::from_f64(mean + std * z)
    })
}

/// Glorot's uniform values: bound `gain · √(6 / (fan_in + fan_out))`.
pub fn xavier_uniform<T: Float>(shape: impl Into<Shape>, gain: f64, rng: &mut impl Rng) -> Result<Tensor<T>> {
    let shape = shape.into();
    let (fan_in, fan_out) = fans(&shape)?;
    let bound = gain * (6.0 / (fan_in + fan_out) as f64).sqrt();
    Ok(uniform(shape, -bound, bound, rng))
}

/// Glorot's normal values: deviation `gain · √(2 / (fan_in + fan_out))`.
pub fn xavier_normal<T: Float>(shape: impl Into<Shape>, gain: f64, rng: &mut impl Rng) -> Result<Tensor<T>> {
    let shape = shape.into();
    let (fan_in, fan_out) = fans(&shape)?;
    Ok(normal(shape, 0.0, gain * (2.0 / (fan_in + fan_out) as f64).sqrt(), rng))
}

/// He's uniform values: bound `gain · √(3 / fan)`, with `gain = √2` for ReLU.
pub fn kaiming_uniform<T: Float>(
    shape: impl Into<Shape>,
    gain: f64,
    fan: Fan,
    rng: &mut impl Rng,
) -> Result<Tensor<T>> {
    let shape = shape.into();
    let bound = gain * (3.0 / pick(&shape, fan)?).sqrt();
    Ok(uniform(shape, -bound, bound, rng))
}

/// He's normal values: deviation `gain / √fan`, with `gain = √2` for ReLU.
pub fn kaiming_normal<T: Float>(
    shape: impl Into<Shape>,
    gain: f64,
    fan: Fan,
    rng: &mut impl Rng,
) -> Result<Tensor<T>> {
    let shape = shape.into();
    let std = gain / pick(&shape, fan)?.sqrt();
    Ok(normal(shape, 0.0, std, rng))
}

fn pick(shape: &Shape, fan: Fan) -> Result<f64> {
    let (fan_in, fan_out) = fans(shape)?;
    Ok(match fan {
        Fan::In => fan_in,
        Fan::Out => fan_out,
    } as f64)
}
