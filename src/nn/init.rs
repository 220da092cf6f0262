//! Starting values of parameters, by PyTorch's names and formulas.
use crate::{
    error::{Error, Result},
    ops::{Float, random::normals},
    tape::Random,
    tensor::{
        Shape, Tensor,
        room::{listed, room},
        shape::addressable,
    },
};

/// Which size of a weight `[out, in, …]` the variance is kept over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fan {
    /// Inputs of a unit: keeps the variance in the forward pass.
    In,
    /// Outputs of a unit: keeps it in the backward pass.
    Out,
}

/// The function that follows a weight, for the starting value that keeps variances; a word names it as in
/// PyTorch.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Nonlinearity {
    /// None.
    Linear,
    /// `1 / (1 + e⁻ˣ)`
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `max(x, 0)`
    Relu,
    /// `max(x, a·x)` with this slope.
    LeakyRelu(f64),
    /// Scaled exponential linear unit.
    Selu,
}

impl Nonlinearity {
    /// The gain that PyTorch recommends: 1, 1, 5/3, √2, `√(2 / (1 + a²))`, 3/4.
    ///
    /// ```
    /// use kolmo::nn::init::Nonlinearity;
    /// assert_eq!("tanh".parse::<Nonlinearity>()?.gain(), 5.0 / 3.0);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn gain(self) -> f64 {
        match self {
            Nonlinearity::Linear | Nonlinearity::Sigmoid => 1.0,
            Nonlinearity::Tanh => 5.0 / 3.0,
            Nonlinearity::Relu => 2f64.sqrt(),
            Nonlinearity::LeakyRelu(slope) => (2.0 / (1.0 + slope * slope)).sqrt(),
            Nonlinearity::Selu => 0.75,
        }
    }
}

impl std::str::FromStr for Nonlinearity {
    type Err = Error;

    fn from_str(name: &str) -> Result<Nonlinearity> {
        Ok(match name {
            "linear" | "conv1d" | "conv2d" | "conv3d" | "conv_transpose1d" | "conv_transpose2d"
            | "conv_transpose3d" => Nonlinearity::Linear,
            "sigmoid" => Nonlinearity::Sigmoid,
            "tanh" => Nonlinearity::Tanh,
            "relu" => Nonlinearity::Relu,
            "leaky_relu" => Nonlinearity::LeakyRelu(0.01),
            "selu" => Nonlinearity::Selu,
            _ => {
                let message = format!("{name} is none of linear, sigmoid, tanh, relu, leaky_relu, selu");
                return Err(Error::invalid("Nonlinearity", message));
            }
        })
    }
}

/// Inputs and outputs of a unit of a weight `[out, in, …]`: the trailing sizes are the field that each sees.
pub fn fans(shape: &Shape) -> Result<(usize, usize)> {
    if shape.rank() < 2 {
        return Err(Error::invalid("fans", format!("shape {shape} has fewer than two axes")));
    }
    addressable(shape).map_err(|message| Error::invalid("fans", message))?;
    let field: usize = shape[2..].iter().product();
    Ok((shape[1] * field, shape[0] * field))
}

/// Uniform in `[low, high)`.
///
/// ```
/// use kolmo::{Random, Tensor, nn::init};
/// let w: Tensor = init::uniform([10, 20], -0.1, 0.1, &mut Random::new(0));
/// assert!(w.to_vec().iter().all(|v| v.abs() <= 0.1));
/// ```
#[doc(alias("rand", "uniform_"))]
pub fn uniform<T: Float>(shape: impl Into<Shape>, low: f64, high: f64, rng: &mut Random) -> Tensor<T> {
    if low < high && (high - low).is_finite() {
        return Tensor::from_fn(shape, |_| T::from_f64(rng.uniform_range(low..high)));
    }
    // Empty and infinite ranges have one sensible answer.
    Tensor::full(shape, T::from_f64(low))
}

/// Normal with this mean and standard deviation.
#[doc(alias("randn", "normal_"))]
pub fn normal<T: Float>(shape: impl Into<Shape>, mean: f64, std: f64, rng: &mut Random) -> Tensor<T> {
    normals(shape.into(), mean, std, rng)
}

/// Glorot's uniform values: bound `gain · √(6 / (fan_in + fan_out))`.
#[doc(alias = "xavier_uniform_")]
pub fn xavier_uniform<T: Float>(shape: impl Into<Shape>, gain: f64, rng: &mut Random) -> Result<Tensor<T>> {
    let shape = shape.into();
    let (fan_in, fan_out) = fans(&shape)?;
    let bound = gain * (6.0 / (fan_in + fan_out) as f64).sqrt();
    Ok(uniform(shape, -bound, bound, rng))
}

/// Glorot's normal values: deviation `gain · √(2 / (fan_in + fan_out))`.
#[doc(alias = "xavier_normal_")]
pub fn xavier_normal<T: Float>(shape: impl Into<Shape>, gain: f64, rng: &mut Random) -> Result<Tensor<T>> {
    let shape = shape.into();
    let (fan_in, fan_out) = fans(&shape)?;
    Ok(normal(shape, 0.0, gain * (2.0 / (fan_in + fan_out) as f64).sqrt(), rng))
}

/// He's uniform values: bound `gain · √(3 / fan)`, with `gain = √2` for ReLU.
///
/// ```
/// use kolmo::{Random, Tensor, nn::init::{self, Fan, Nonlinearity}};
/// let gain = Nonlinearity::Relu.gain();
/// let w: Tensor = init::kaiming_uniform([64, 100], gain, Fan::In, &mut Random::new(0))?;
/// assert!(w.to_vec().iter().all(|v| v.abs() <= 0.245)); // √2 · √(3 / 100)
/// # Ok::<(), kolmo::Error>(())
/// ```
#[doc(alias = "kaiming_uniform_")]
pub fn kaiming_uniform<T: Float>(
    shape: impl Into<Shape>,
    gain: f64,
    fan: Fan,
    rng: &mut Random,
) -> Result<Tensor<T>> {
    let shape = shape.into();
    let bound = gain * (3.0 / pick(&shape, fan)?).sqrt();
    Ok(uniform(shape, -bound, bound, rng))
}

/// He's normal values: deviation `gain / √fan`, with `gain = √2` for ReLU.
#[doc(alias = "kaiming_normal_")]
pub fn kaiming_normal<T: Float>(
    shape: impl Into<Shape>,
    gain: f64,
    fan: Fan,
    rng: &mut Random,
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

/// Normal with this mean and deviation, drawn again while outside of `[low, high]`. Such a draw must have a
/// chance: a range that none of a thousand draws meets gives its nearer end.
pub fn trunc_normal<T: Float>(
    shape: impl Into<Shape>,
    mean: f64,
    std: f64,
    low: f64,
    high: f64,
    rng: &mut Random,
) -> Tensor<T> {
    Tensor::from_fn(shape, |_| {
        let found = (0..1000).map(|_| rng.normal(mean, std)).find(|v| (low..=high).contains(v));
        T::from_f64(found.unwrap_or(if mean < low { low } else { high }))
    })
}

/// Orthonormal rows or columns, whichever are fewer, times `gain` (Saxe et al., 2014); axes from the second
/// on count as one.
///
/// ```
/// use kolmo::{Random, Tape, nn::init};
/// let w = init::orthogonal::<f64>([2, 3], 1.0, &mut Random::new(0))?;
/// let tape = Tape::inference();
/// let w = tape.constant(w);
/// assert!((w.matmul(&w.t()) - tape.constant([[1.0, 0.0], [0.0, 1.0]])).abs().amax_dim([], false).item()? < 1e-12);
/// # Ok::<(), kolmo::Error>(())
/// ```
pub fn orthogonal<T: Float>(shape: impl Into<Shape>, gain: f64, rng: &mut Random) -> Result<Tensor<T>> {
    let shape = shape.into();
    if shape.rank() < 2 {
        return Err(Error::invalid("orthogonal", format!("shape {shape} has fewer than two axes")));
    }
    let named = |message| Error::invalid("orthogonal", message);
    addressable(&shape).map_err(named)?;
    let (rows, columns) = (shape[0], shape[1..].iter().product::<usize>());
    let (long, short) = (rows.max(columns), rows.min(columns));
    // Gram and Schmidt, twice: the second time takes away what rounding left.
    let mut basis: Vec<Vec<f64>> = room(short).map_err(named)?;
    for _ in 0..short {
        let mut v: Vec<f64> = listed(long, (0..long).map(|_| rng.normal(0.0, 1.0))).map_err(named)?;
        for u in basis.iter().chain(&basis) {
            let dot: f64 = v.iter().zip(u).map(|(a, b)| a * b).sum();
            v.iter_mut().zip(u).for_each(|(a, b)| *a -= dot * b);
        }
        let norm = v.iter().map(|a| a * a).sum::<f64>().sqrt();
        v.iter_mut().for_each(|a| *a /= norm);
        basis.push(v);
    }
    let at = |i: usize| {
        let (r, c) = (i / columns, i % columns);
        gain * if rows <= columns { basis[r][c] } else { basis[c][r] }
    };
    Tensor::from_fn(shape, |i| T::from_f64(at(i))).made().map_err(named)
}

/// Normal with deviation `std`, of which a share of each column is zero (Martens, 2010): `[out, in]`.
pub fn sparse<T: Float>(shape: [usize; 2], sparsity: f64, std: f64, rng: &mut Random) -> Result<Tensor<T>> {
    if !(0.0..=1.0).contains(&sparsity) {
        return Err(Error::invalid("sparse", format!("sparsity {sparsity} is not from 0 to 1")));
    }
    let [rows, columns] = shape;
    let mut values: Tensor<T> = normal(shape, 0.0, std, rng);
    values.ok()?;
    let zeros = (sparsity * rows as f64).ceil() as usize;
    for column in 0..columns {
        for row in rand::seq::index::sample(rng, rows, zeros.min(rows)) {
            values.as_mut_slice()[row * columns + column] = T::default();
        }
    }
    Ok(values)
}

/// Weights of a convolution `[out, in / groups, …]` that copies its first channels, in each group by itself.
pub fn dirac<T: Float>(shape: impl Into<Shape>, groups: usize) -> Result<Tensor<T>> {
    let shape = shape.into();
    if !(3..=5).contains(&shape.rank()) || groups == 0 || !shape[0].is_multiple_of(groups) {
        let message = format!(
            "takes weights of a convolution and groups that divide its outputs, not {shape} and {groups}"
        );
        return Err(Error::invalid("dirac", message));
    }
    let each = shape[0] / groups;
    let mut values = Tensor::zeros(&shape);
    values.ok()?;
    for out in 0..shape[0] {
        let mut index = vec![out, out % each];
        index.extend(shape[2..].iter().map(|size| size / 2));
        if out % each < shape[1] {
            values.set(&index, T::constant(1.0))?;
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_numbers_are_drawn_one_after_the_other() {
        let (mut rng, mut same) = (Random::new(3), Random::new(3));
        rng.uniform();
        same.uniform();
        let drawn: Tensor<f64> = normal([301, 100], 0.5, 2.0, &mut rng);
        assert_eq!(drawn.to_vec(), (0..30_100).map(|_| same.normal(0.5, 2.0)).collect::<Vec<_>>());
        assert_eq!(rng, same);
    }

    #[test]
    fn truncated_draws_stay_inside() {
        let values = trunc_normal::<f64>([10_000], 1.0, 2.0, -1.0, 2.0, &mut Random::new(0)).to_vec();
        assert!(values.iter().all(|v| (-1.0..=2.0).contains(v)));
        let mean = values.iter().sum::<f64>() / 1e4;
        // That of the normal distribution between -1 and +1/2 deviations.
        assert!(
            (mean - (1.0 + 2.0 * (0.241_970_7 - 0.352_065_3) / (0.691_462_5 - 0.158_655_3))).abs() < 0.03,
            "{mean}"
        );
        assert_eq!(trunc_normal::<f64>([2], 0.0, 1.0, 90.0, 91.0, &mut Random::new(0)).to_vec(), [90.0; 2]);
    }

    #[test]
    fn tall_matrices_have_orthonormal_columns() {
        let w = orthogonal::<f64>([5, 1, 3], 2.0, &mut Random::new(1)).unwrap().to_vec();
        for a in 0..3 {
            for b in 0..3 {
                let dot: f64 = (0..5).map(|r| w[r * 3 + a] * w[r * 3 + b]).sum();
                assert!((dot - if a == b { 4.0 } else { 0.0 }).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn sparse_columns_and_copied_channels() {
        let w = sparse::<f32>([10, 4], 0.25, 1.0, &mut Random::new(2)).unwrap().to_vec();
        for c in 0..4 {
            assert_eq!((0..10).filter(|r| w[r * 4 + c] == 0.0).count(), 3);
        }
        assert!(sparse::<f32>([2, 2], 1.5, 1.0, &mut Random::new(2)).is_err());
        let w = dirac::<f32>([4, 1, 3], 2).unwrap().to_vec();
        assert_eq!(w, [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert!(dirac::<f32>([4, 1], 1).is_err() && dirac::<f32>([4, 1, 3], 3).is_err());
    }
}
