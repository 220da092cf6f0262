//! Starting values. Random numbers can't be PyTorch's, but their bounds and deviations are: of one number
//! and the same one scaled, from the same generator, the scale is known.
use crate::case::{Call, Outs, Stop, one, unknown};
use kolmo::{
    Float, Random, Tensor,
    nn::{
        Linear,
        init::{self, Fan, Nonlinearity},
    },
};

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    match c.op.as_str() {
        "init.calculate_gain" => {
            let named: Nonlinearity = c.text(0, "nonlinearity", "")?.parse()?;
            let gain = match (named, c.num_opt(1, "param")?) {
                (Nonlinearity::LeakyRelu(_), Some(slope)) => Nonlinearity::LeakyRelu(slope),
                _ => named,
            };
            one(gain.gain())
        }
        "init.gains" => gains(c),
        "init.kaiming" => kaiming(c),
        _ => unknown(),
    }
}

/// How much larger than the first number of one distribution that of another is, of the same generator.
fn ratio<T: Float>(of: Result<Tensor<T>, kolmo::Error>, unit: &Tensor<T>) -> Result<f64, Stop> {
    Ok(of?.to_vec()[0].to_f64() / unit.to_vec()[0].to_f64())
}

fn bound<T: Float>(of: impl FnOnce(&mut Random) -> Result<Tensor<T>, kolmo::Error>) -> Result<f64, Stop> {
    ratio(of(&mut Random::new(4)), &init::uniform([1], -1.0, 1.0, &mut Random::new(4)))
}

fn deviation<T: Float>(of: impl FnOnce(&mut Random) -> Result<Tensor<T>, kolmo::Error>) -> Result<f64, Stop> {
    ratio(of(&mut Random::new(4)), &init::normal([1], 0.0, 1.0, &mut Random::new(4)))
}

fn shape<T: Float>(c: &Call<T>) -> Result<kolmo::tensor::Shape, Stop> {
    let sizes = c.dims(0, "shape")?.unwrap_or_default();
    Ok(sizes.into_iter().map(|d| d as usize).collect())
}

/// The results by the alphabet of their names, as the cases are read.
fn gains<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let shape = shape(c)?;
    let (fan_in, fan_out) = init::fans(&shape)?;
    let relu = Nonlinearity::Relu.gain();
    let linear = bound(|rng| Ok(Linear::<T>::with_dtype(fan_in, 1, rng).weight.value()))?;
    Ok(vec![
        (fan_in as f64).into(),
        (fan_out as f64).into(),
        deviation::<T>(|rng| init::kaiming_normal(&shape, relu, Fan::In, rng))?.into(),
        bound::<T>(|rng| init::kaiming_uniform(&shape, relu, Fan::In, rng))?.into(),
        linear.into(),
        deviation::<T>(|rng| init::xavier_normal(&shape, 1.0, rng))?.into(),
        bound::<T>(|rng| init::xavier_uniform(&shape, 1.0, rng))?.into(),
    ])
}

fn kaiming<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    let shape = shape(c)?;
    let (fan_in, fan_out) = init::fans(&shape)?;
    let (fan, size) = match c.text(usize::MAX, "mode", "fan_in")?.as_str() {
        "fan_in" => (Fan::In, fan_in),
        _ => (Fan::Out, fan_out),
    };
    let gain = match c.text(usize::MAX, "nonlinearity", "leaky_relu")?.parse()? {
        Nonlinearity::LeakyRelu(_) => Nonlinearity::LeakyRelu(c.num(usize::MAX, "a", 0.0)?),
        other => other,
    };
    Ok(vec![
        (size as f64).into(),
        deviation::<T>(|rng| init::kaiming_normal(&shape, gain.gain(), fan, rng))?.into(),
        bound::<T>(|rng| init::kaiming_uniform(&shape, gain.gain(), fan, rng))?.into(),
    ])
}
