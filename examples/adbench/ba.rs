//! Bundle adjustment, an objective of ADBench: how far each observed point lies from where its camera should
//! see it, and the sparse Jacobian of that with respect to all cameras, points and weights.
#![allow(dead_code)] // Not every program needs all of it.
use super::{
    numbers::Numbers,
    rotation::{rotate, rotate_either},
};
use kolmo::{Number, Result, Scalar, ScalarProgram, Tape, Tensor, autodiff::Sparse};
use std::ops::{Add, Div, Mul, Sub};

/// Values of a camera: rotation (3), centre (3), focal length, principal point (2), distortion (2).
pub const CAMERA: usize = 11;
/// Values of a point.
pub const POINT: usize = 3;

pub struct Input {
    pub cameras: usize,
    pub points: usize,
    pub observations: Vec<Observation>,
    /// All cameras, all points, and one weight for each observation.
    pub variables: Vec<f64>,
}

/// Where in its picture a camera saw a point.
pub struct Observation {
    pub camera: usize,
    pub point: usize,
    pub feature: [f64; 2],
}

/// A file of ADBench: one camera, one point and one observation, to be repeated.
pub fn read(name: &str, text: &str) -> Result<Input> {
    let mut numbers = Numbers::new(name, text);
    let limits = 1..=10_000_000;
    let (cameras, points) = (numbers.count(limits.clone())?, numbers.count(limits.clone())?);
    let observations = numbers.count(limits)?;
    let (camera, point) = (numbers.array()?, numbers.array()?);
    let (weight, feature) = (numbers.next()?, numbers.array()?);
    numbers.end()?;
    Ok(repeated([cameras, points, observations], camera, point, weight, feature))
}

/// So many cameras, points and observations, all alike; there is one of each at least.
pub fn repeated(
    [cameras, points, observations]: [usize; 3],
    camera: [f64; CAMERA],
    point: [f64; POINT],
    weight: f64,
    feature: [f64; 2],
) -> Input {
    let variables = [camera.repeat(cameras), point.repeat(points), vec![weight; observations]].concat();
    let observation = |i| Observation { camera: i % cameras, point: i % points, feature };
    Input { cameras, points, observations: (0..observations).map(observation).collect(), variables }
}

impl Input {
    /// Cameras, points and weights.
    pub fn parts<'a, R>(&self, variables: &'a [R]) -> (&'a [R], &'a [R], &'a [R]) {
        let (cameras, rest) = variables.split_at(CAMERA * self.cameras);
        let (points, weights) = rest.split_at(POINT * self.points);
        (cameras, points, weights)
    }
}

/// The two errors of one observation from camera, point and weight.
#[inline(always)]
fn project<R: Number>(v: [R; 15], feature: [f64; 2]) -> [R; 2]
where
    f64: Add<R, Output = R> + Sub<R, Output = R> + Mul<R, Output = R> + Div<R, Output = R>,
{
    let [r0, r1, r2, c0, c1, c2, .., x0, x1, x2, _] = v;
    see(v, rotate([r0, r1, r2], [x0 - c0, x1 - c1, x2 - c2]), feature)
}

/// The same from where the point lies before the camera.
#[inline(always)]
fn see<R, F>(v: [R; 15], [x, y, z]: [R; 3], feature: [F; 2]) -> [R; 2]
where
    R: Number + Sub<F, Output = R>,
    f64: Add<R, Output = R> + Sub<R, Output = R> + Mul<R, Output = R> + Div<R, Output = R>,
{
    let [.., focal, u0, v0, k1, k2, _, _, _, weight] = v;
    let depth = 1.0 / z;
    let (px, py) = (x * depth, y * depth);
    let square = px * px + py * py;
    let bent = focal * (1.0 + square * (k1 + k2 * square));
    let [fx, fy] = feature;
    [weight * (px * bent + u0 - fx), weight * (py * bent + v0 - fy)]
}

/// What each observation depends on: its camera, its point, its weight.
#[inline(always)]
fn arguments<R: Copy>(p: &Input, variables: &[R], mut each: impl FnMut([R; 15], [f64; 2])) {
    let (cameras, points, weights) = p.parts(variables);
    for (o, &weight) in p.observations.iter().zip(weights) {
        let (camera, point) = (&cameras[o.camera * CAMERA..], &points[o.point * POINT..]);
        let argument = |k| {
            if k < CAMERA {
                camera[k]
            } else if k < CAMERA + POINT {
                point[k - CAMERA]
            } else {
                weight
            }
        };
        each(std::array::from_fn(argument), o.feature);
    }
}

pub fn weight_error<R: Number>(w: R) -> R {
    R::constant(1.0) - w * w
}

/// All errors as plain numbers: two for each observation, then one for each weight.
pub fn values(p: &Input, variables: &[f64]) -> Vec<f64> {
    let mut errors = Vec::with_capacity(3 * p.observations.len());
    arguments(p, variables, |v, feature| errors.extend(project(v, feature)));
    errors.extend(p.parts(variables).2.iter().map(|&w| weight_error(w)));
    errors
}

/// How the program of an observation gets onto the tape.
#[derive(Clone, Copy, Debug)]
pub enum Way {
    /// One statement per operation.
    Plain,
    /// One per result, made of them by a reverse sweep.
    Preaccumulated,
    /// One per result, its derivatives carried forward.
    Forward,
}

/// The errors; their Jacobian with respect to cameras, points and weights goes to `jacobian`.
pub fn derivatives(
    tape: &mut Tape<f64>,
    p: &Input,
    way: Way,
    jacobian: &mut Sparse<f64>,
) -> Result<Vec<f64>> {
    tape.reset();
    let all = tape.scalars(&p.variables);
    let mut errors: Vec<Scalar> = Vec::with_capacity(3 * p.observations.len());
    arguments(p, &all, |v, feature| {
        errors.extend(match way {
            Way::Plain => project(v, feature),
            Way::Preaccumulated => tape.preaccumulate(|| project(v, feature)),
            Way::Forward => Scalar::forward(v, |v| project(v, feature)),
        });
    });
    errors.extend(p.parts(&all).2.iter().map(|&w| weight_error(w)));
    tape.sparse_jacobian_into(&errors, &all, jacobian)?;
    Ok(errors.iter().map(|e| e.value()).collect())
}

/// The program of one observation, recorded once: 15 inputs, and the feature as data.
pub fn program() -> Result<ScalarProgram> {
    ScalarProgram::with_data(15, 2, |v, feature| {
        let v: [_; 15] = std::array::from_fn(|i| v[i]);
        let [r0, r1, r2, c0, c1, c2, .., x0, x1, x2, _] = v;
        see(v, rotate_either([r0, r1, r2], [x0 - c0, x1 - c1, x2 - c2]), [feature[0], feature[1]]).to_vec()
    })
}

/// All errors, and all derivatives of each observation's two: `[n, 2, 15]`.
pub fn replayed(program: &ScalarProgram, p: &Input) -> Result<(Vec<f64>, Tensor<f64>)> {
    let mut rows = Vec::with_capacity(p.observations.len() * 17);
    arguments(p, &p.variables, |v, feature| {
        rows.extend_from_slice(&v);
        rows.extend_from_slice(&feature);
    });
    let (errors, jacobian) = program.jacobian(&Tensor::new([p.observations.len(), 17], rows)?)?;
    let mut errors = errors.to_vec();
    errors.extend(p.parts(&p.variables).2.iter().map(|&w| weight_error(w)));
    Ok((errors, jacobian))
}
