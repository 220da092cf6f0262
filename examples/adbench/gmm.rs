//! The logarithm of the likelihood of a Gaussian mixture with a Wishart prior, an objective of ADBench:
//! F = -ND/2 log 2π + Σᵢ lse(βᵢ) - N lse(α) + K·C - S, βᵢₖ = αₖ + Σ qₖ - ½ |Qₖ (xᵢ - μₖ)|², as a program of
//! scalars, of tensors, and of both. Qₖ is the inverse of the Cholesky factor of a covariance: lower
//! triangular, exp qₖ on the diagonal.
#![allow(dead_code)] // Not every program needs all of it.
use super::numbers::Numbers;
use kolmo::{Number, Result, ScalarProgram, Tape, Tensor, Var, fuse, number::Arithmetic};
use std::{
    f64::consts::{LN_2, PI},
    iter::Sum,
};

/// Points, and the parameters of a mixture.
pub struct Input {
    pub d: usize,
    pub k: usize,
    pub n: usize,
    /// Logarithms of the weights, up to a constant.
    pub alphas: Vec<f64>,
    pub means: Vec<f64>,
    /// Per component: d logarithms of the diagonal, then the lower triangle column by column.
    pub icf: Vec<f64>,
    /// Point by point.
    pub x: Vec<f64>,
    pub gamma: f64,
    pub m: f64,
    pub prior: Prior,
}

/// With which sign the prior enters.
#[derive(Clone, Copy, PartialEq)]
pub enum Prior {
    /// As a logarithm of a probability does: + K·C - S.
    Added,
    /// The other way round, as in ADBench, whose golden values have it so.
    Subtracted,
}

pub type Program = fn(&mut Tape<f64>, &Input) -> Result<(f64, Vec<f64>)>;

/// A file of ADBench.
pub fn read(name: &str, text: &str) -> Result<Input> {
    let mut numbers = Numbers::new(name, text);
    let (d, k, n) = (numbers.count(1..=1000)?, numbers.count(1..=10_000)?, numbers.count(1..=100_000_000)?);
    let input = Input {
        d,
        k,
        n,
        alphas: numbers.take(k)?,
        means: numbers.take(k * d)?,
        icf: numbers.take(k * (d + d * (d - 1) / 2))?,
        x: numbers.take(n * d)?,
        gamma: numbers.next()?,
        m: numbers.next()?,
        prior: Prior::Subtracted,
    };
    numbers.end()?;
    Ok(input)
}

impl Input {
    fn sign(&self) -> f64 {
        if self.prior == Prior::Added { 1.0 } else { -1.0 }
    }

    /// -ND/2 log 2π + K·C: what depends on no parameter.
    fn constant(&self) -> f64 {
        let (d, k, n) = (self.d as f64, self.k as f64, self.n as f64);
        let nu = d + self.m + 1.0;
        let log_gamma: f64 = d * (d - 1.0) / 4.0 * PI.ln()
            + (1..=self.d).map(|j| Arithmetic::lgamma(nu / 2.0 + (1.0 - j as f64) / 2.0)).sum::<f64>();
        let c = nu * d * (self.gamma.ln() - 0.5 * LN_2) - log_gamma;
        -n * d / 2.0 * (2.0 * PI).ln() + self.sign() * k * c
    }
}

fn logsumexp<R: Number + Sum>(v: &[R]) -> R {
    // A number like any other, not a plain one that is read: so a program can do it again.
    let max =
        v.iter().map(|s| s.fixed()).reduce(|a, b| a.maximum(b)).unwrap_or(R::constant(f64::NEG_INFINITY));
    v.iter().map(|&s| (s - max).exp()).sum::<R>().log() + max
}

/// The components: lower triangles row by row with the diagonal at the end of each, αₖ + Σ qₖ, and S of the
/// prior.
struct Components<R> {
    rows: Vec<R>,
    sums: Vec<R>,
    prior: R,
}

fn components<R: Number + Sum>(p: &Input, alphas: &[R], icf: &[R]) -> Components<R> {
    let (d, per) = (p.d, p.d + p.d * (p.d - 1) / 2);
    let (mut rows, mut sums) = (Vec::with_capacity(p.k * per), Vec::with_capacity(p.k));
    let mut prior = R::constant(0.0);
    for (part, &alpha) in icf.chunks(per).zip(alphas) {
        let (q, l) = part.split_at(d);
        let (sum, start): (R, _) = (q.iter().copied().sum(), rows.len());
        for (i, &q) in q.iter().enumerate() {
            // Column j has d - 1 - j entries, of rows j + 1 to d - 1.
            rows.extend((0..i).map(|j| l[j * (2 * d - 1 - j) / 2 + i - j - 1]));
            rows.push(q.exp());
        }
        prior = prior + (R::dot(&rows[start..], &rows[start..]) * (0.5 * p.gamma * p.gamma) - sum * p.m);
        sums.push(alpha + sum);
    }
    Components { rows, sums, prior }
}

/// βᵢₖ of some points and every component, point by point.
fn betas<R: Number + Sum>(p: &Input, points: &[f64], means: &[R], c: &Components<R>) -> Vec<R> {
    let d = p.d;
    let mut betas = Vec::with_capacity(points.len() / d * p.k);
    let (mut centred, mut y) = (vec![c.prior; d], vec![c.prior; d]);
    for x in points.chunks(d) {
        for (k, mut rest) in c.rows.chunks(c.rows.len() / p.k).enumerate() {
            for i in 0..d {
                centred[i] = means[k * d + i] - x[i];
            }
            for (i, y) in y.iter_mut().enumerate() {
                let (row, next) = rest.split_at(i + 1);
                *y = R::dot(row, &centred[..=i]);
                rest = next;
            }
            betas.push(c.sums[k] - R::dot(&y, &y) * 0.5);
        }
    }
    betas
}

/// Points of one block.
const BLOCK: usize = 20;

/// The objective of any kind of number; `block` may make short what the points of a block leave on a tape.
fn objective<R: Number + Sum>(
    p: &Input,
    [alphas, means, icf]: [&[R]; 3],
    block: impl Fn(&dyn Fn() -> R) -> R,
) -> R {
    let c = components(p, alphas, icf);
    let points = p.x.chunks(BLOCK * p.d);
    let points = points.map(|x| block(&|| betas(p, x, means, &c).chunks(p.k).map(logsumexp).sum()));
    points.sum::<R>() - logsumexp(alphas) * p.n as f64 - c.prior * p.sign() + p.constant()
}

/// The objective as a plain number.
pub fn value(p: &Input) -> f64 {
    objective(p, [&p.alphas, &p.means, &p.icf], |points| points())
}

pub fn scalars(tape: &mut Tape<f64>, p: &Input) -> Result<(f64, Vec<f64>)> {
    tape.reset();
    let [alphas, means, icf] = [&p.alphas, &p.means, &p.icf].map(|v| tape.scalars(v));
    // A block's statements stay in the cache; on the tape it is a handful.
    let block = |points: &dyn Fn() -> _| tape.preaccumulate(|| [points()])[0];
    let y = objective(p, [&alphas, &means, &icf], block);
    let grads = y.backward()?;
    let all = alphas.iter().chain(&means).chain(&icf);
    Ok((y.value(), all.map(|&s| grads.scalar(s)).collect()))
}

/// The objective recorded once, of its parameters: alphas, means, inverse covariance factors.
pub fn program(p: &Input) -> Result<ScalarProgram> {
    ScalarProgram::new(p.alphas.len() + p.means.len() + p.icf.len(), |x| {
        let (alphas, rest) = x.split_at(p.alphas.len());
        let (means, icf) = rest.split_at(p.means.len());
        vec![objective(p, [alphas, means, icf], |points| points())]
    })
}

/// Scalars inside, where the triangular products are; tensors outside, for the sums over components.
pub fn mixed(tape: &mut Tape<f64>, p: &Input) -> Result<(f64, Vec<f64>)> {
    tape.reset();
    let [alphas, means, icf] = [&p.alphas, &p.means, &p.icf].map(|v| tape.scalars(v));
    let c = components(p, &alphas, &icf);
    let (betas, prior) = (betas(p, &p.x, &means, &c), c.prior);
    let points = tape.stack_scalars(&betas, [p.n, p.k]).logsumexp(1, false).sum();
    let weights = tape.stack_scalars(&alphas, [p.k]).logsumexp(0, false) * p.n as f64;
    let y = points - weights - tape.lift(prior * p.sign()) + p.constant();
    let grads = y.backward()?;
    let all = alphas.iter().chain(&means).chain(&icf);
    Ok((y.item()?, all.map(|&s| grads.scalar(s)).collect()))
}

/// The objective of tensors: alphas `[k]`, means `[k, d]`, inverse covariance factors
/// `[k, d + d (d - 1) / 2]`.
pub fn of_tensors<'t>(p: &Input, [alphas, means, icf]: [&Var<'t, f64>; 3]) -> Result<Var<'t, f64>> {
    let (d, k, n, tape) = (p.d, p.k, p.n, alphas.tape());
    let lower = d * (d - 1) / 2;
    let (q, l) = (icf.narrow(1, 0, d), icf.narrow(1, d, lower));
    // Where each entry of the lower triangle goes, as a matrix of zeros and ones.
    let mut place = Tensor::zeros([lower, d * d]);
    let columns = (0..d).flat_map(|i| (i + 1..d).map(move |j| (i, j)));
    for (entry, (i, j)) in columns.enumerate() {
        place.set([entry, j * d + i], 1.0)?;
    }
    let (rows, size) = (k as isize, d as isize);
    let diagonal = q.exp();
    let triangle = l.matmul(&tape.constant(place)).reshape([rows, size, size]);
    let matrix = triangle + diagonal.reshape([rows, size, 1]) * Tensor::eye(d);
    // Q (x - μ) as Q x - Q μ, so that nothing is centred for each component.
    let turned = matrix.transpose(1, 2);
    let x = tape.constant(Tensor::new([1, n, d], p.x.clone())?).matmul(&turned);
    let far =
        fuse!(|x, mean| (x - mean).square()).apply([&x, &means.reshape([rows, 1, size]).matmul(&turned)]);
    let betas = (alphas + q.sum_dim(1, false)).reshape([rows, 1]) - far.sum_dim(2, false) * 0.5;
    let prior = (diagonal.square().sum() + l.square().sum()) * (0.5 * p.gamma * p.gamma) - q.sum() * p.m;
    let points = betas.logsumexp(0, false).sum();
    Ok(points - alphas.logsumexp(0, false) * n as f64 - prior * p.sign() + p.constant())
}

/// The parameters as tensors, in the order of [`of_tensors`].
pub fn parameters(p: &Input) -> Result<[Tensor<f64>; 3]> {
    let per = p.d + p.d * (p.d - 1) / 2;
    let [alphas, means, icf] = [&p.alphas, &p.means, &p.icf].map(|v| v.clone());
    Ok([Tensor::from(alphas), Tensor::new([p.k, p.d], means)?, Tensor::new([p.k, per], icf)?])
}

pub fn tensors(tape: &mut Tape<f64>, p: &Input) -> Result<(f64, Vec<f64>)> {
    tape.reset();
    let inputs = parameters(p)?.map(|v| tape.input(v));
    let y = of_tensors(p, inputs.each_ref())?;
    let grads = y.backward()?;
    let gradient = inputs.iter().filter_map(|v| grads.get(v)).flat_map(|g| g.to_vec()).collect();
    Ok((y.item()?, gradient))
}
