//! The objectives that are programs of tensors: k-means, least squares, the logarithm of a sum of
//! exponentials, and a differential equation.
use crate::{
    Result,
    modules::unknown,
    objectives::flat,
    protocol::{Runs, read},
};
use kolmo::{Tape, Tensor, Var, autodiff::Block, fuse, nn::Param};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct KMeans {
    points: Vec<Vec<f64>>,
    centroids: Vec<Vec<f64>>,
}

pub fn kmeans(function: &str, input: Value, runs: &mut Runs) -> Result<Value> {
    let KMeans { points, centroids } = read(input)?;
    let d = points.first().map_or(0, Vec::len);
    if d == 0 || centroids.is_empty() {
        return Err("there should be a dimension, a point and a centroid at least".into());
    }
    let matrix = |what, rows: &[Vec<f64>]| -> Result<Tensor<f64>> {
        Ok(Tensor::new([rows.len(), d], flat(what, rows, d)?)?)
    };
    let (points, centroids) = (matrix("points", &points)?, matrix("centroids", &centroids)?);
    match function {
        "cost" => {
            let mut tape = Tape::inference();
            let cost = runs.time(|| {
                tape.reset();
                cost(&points, &tape.constant(&centroids))?.item()
            })?;
            Ok(cost.into())
        }
        "dir" => {
            let mut tape = Tape::new();
            let step = runs.time(|| {
                tape.reset();
                let c = tape.input(&centroids);
                // The Hessian is diagonal, so its product with ones is that diagonal.
                let slope = cost(&points, &c)?.grad(&[&c])?.remove(0);
                let curvature = slope.vjp(&tape.constant(Tensor::ones(centroids.shape())), &[&c])?.remove(0);
                (slope / curvature).value().cloned()
            })?;
            Ok(json!(step.to_vec().chunks(d).collect::<Vec<_>>()))
        }
        _ => unknown(function),
    }
}

/// Σ of the squared distance of each point, `[n, d]`, to the nearest of the centroids, `[k, d]`. The derivative
/// of a least element is that of this element, so only the nearest ones are recorded.
fn cost<'t>(points: &Tensor<f64>, centroids: &Var<'t, f64>) -> Result<Var<'t, f64>, kolmo::Error> {
    let nearest = nearest(points, centroids.value()?)?;
    Ok((points - centroids.index_select(0, &nearest)).square().sum())
}

/// Which centroid is nearest to each point.
fn nearest(points: &Tensor<f64>, centroids: &Tensor<f64>) -> Result<Tensor<u32>, kolmo::Error> {
    // So many that their distances to all centroids stay in the cache.
    let rows = (1 << 18) / centroids.dim(0);
    let tape = Tape::inference();
    let (points, centroids) = (tape.constant(points), tape.constant(centroids));
    // |p - c|² less |p|², which is the same for all centroids.
    let (length, twice) = (centroids.square().sum_dim(1, false), (centroids * 2.0).transpose(0, 1));
    let parts = points.split(rows.max(1), 0);
    let nearest = parts.iter().map(|part| (&length - part.matmul(&twice)).value()?.argmin(1, false));
    Tensor::cat(&nearest.collect::<Result<Vec<_>, _>>()?, 0)
}

#[derive(Deserialize)]
struct Polynomial {
    x: Vec<f64>,
    n: usize,
}

pub fn llsq(function: &str, input: Value, runs: &mut Runs) -> Result<Value> {
    let Polynomial { x, n } = read(input)?;
    if x.is_empty() || n < 2 || n.saturating_mul(x.len()) > 1 << 30 {
        return Err("there should be a coefficient and two points at least, and at most 2^30 products".into());
    }
    value_and_gradient(function, Tensor::from(x), runs, |x| residual(x, n))
}

/// ½ Σᵢ (sign tᵢ - Σⱼ xⱼ tᵢʲ)² with n numbers tᵢ from -1 to 1.
fn residual<'t>(x: &Var<'t, f64>, n: usize) -> Result<Var<'t, f64>, kolmo::Error> {
    let t: Vec<f64> = (0..n).map(|i| -1.0 + i as f64 * 2.0 / (n - 1) as f64).collect();
    let mut powers = vec![1.0; n];
    powers.reserve(n * (x.numel() - 1));
    for start in (0..n * (x.numel() - 1)).step_by(n) {
        powers.extend_from_within(start..);
        powers[start + n..].iter_mut().zip(&t).for_each(|(power, t)| *power *= t);
    }
    let powers = x.tape().constant(Tensor::new([x.numel(), n], powers)?);
    let signs = Tensor::from(t.iter().map(|&t| if t == 0.0 { 0.0 } else { t.signum() }).collect::<Vec<_>>());
    Ok((signs - x.matmul(&powers)).square().sum() * 0.5)
}

#[derive(Deserialize)]
struct Numbers {
    x: Vec<f64>,
}

pub fn lse(function: &str, input: Value, runs: &mut Runs) -> Result<Value> {
    let Numbers { x } = read(input)?;
    if x.is_empty() {
        return Err("there should be a number at least".into());
    }
    value_and_gradient(function, Tensor::from(x), runs, |x| {
        // Whatever is taken off and added again, the derivative is that of the exponentials.
        let most = x.detach().max();
        Ok((x - &most).exp().sum().log() + most)
    })
}

/// The functions of a module that has a value, `primal`, and its `gradient`.
fn value_and_gradient(
    function: &str,
    x: Tensor<f64>,
    runs: &mut Runs,
    f: impl for<'t> Fn(&Var<'t, f64>) -> Result<Var<'t, f64>, kolmo::Error>,
) -> Result<Value> {
    match function {
        "primal" => {
            let mut tape = Tape::inference();
            let value = runs.time(|| {
                tape.reset();
                f(&tape.constant(&x))?.item()
            })?;
            Ok(value.into())
        }
        "gradient" => {
            let mut tape = Tape::new();
            let gradient = runs.time(|| {
                tape.reset();
                let x = tape.input(&x);
                let grads = f(&x)?.backward()?;
                Ok::<_, kolmo::Error>(grads.get(&x).map_or(vec![], |g| g.to_vec()))
            })?;
            Ok(gradient.into())
        }
        _ => unknown(function),
    }
}

#[derive(Deserialize)]
struct Equation {
    x: Vec<f64>,
    s: usize,
}

pub fn ode(function: &str, input: Value, runs: &mut Runs) -> Result<Value> {
    let Equation { x, s } = read(input)?;
    if x.is_empty() || s == 0 {
        return Err("there should be a number and a step at least".into());
    }
    let (last, x) = (x.len() - 1, Tensor::from(x));
    match function {
        "primal" => {
            let mut tape = Tape::inference();
            let y = runs.time(|| {
                tape.reset();
                solution(&tape.constant(&x), s).value().cloned()
            })?;
            Ok(y.to_vec().into())
        }
        _ => value_and_gradient(function, x, runs, |x| Ok(solution(x, s).narrow(0, last, 1).sum())),
    }
}

/// y₀' = x₀, yᵢ' = xᵢ yᵢ₋₁, from y = 0 at time 0 to time 2 by `s` steps. What is inside a step is computed again
/// when it is swept.
fn solution<'t>(x: &Var<'t, f64>, s: usize) -> Var<'t, f64> {
    let mut y = x.tape().constant(Tensor::zeros(x.shape()));
    for _ in 0..s {
        y = x.tape().checkpoint(Step { h: 2.0 / s as f64 }, &[x, &y]);
    }
    y
}

/// A step of Runge and Kutta's fourth order.
struct Step {
    h: f64,
}

impl Block<f64> for Step {
    fn params(&self) -> Vec<Param<f64>> {
        Vec::new()
    }

    fn forward<'t>(&self, inputs: &[Var<'t, f64>]) -> Var<'t, f64> {
        let [x, y] = inputs else { return inputs[0].clone() };
        let (h, sixth) = (self.h, self.h / 6.0);
        let one = x.tape().constant([1.0]);
        let slope = |y: &Var<'t, f64>| x * x.tape().cat(&[&one, &y.narrow(0, 0, x.numel() - 1)], 0);
        let after = |k: &Var<'t, f64>, h: f64| fuse!([h] | y, k | y + k * h).apply([y, k]);
        let k1 = slope(y);
        let k2 = slope(&after(&k1, h / 2.0));
        let k3 = slope(&after(&k2, h / 2.0));
        let k4 = slope(&after(&k3, h));
        let step = fuse!([sixth] | y, a, b, c, d | y + (a + 2.0 * b + 2.0 * c + d) * sixth);
        step.apply([y, &k1, &k2, &k3, &k4])
    }
}
