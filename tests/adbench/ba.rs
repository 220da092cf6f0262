//! Bundle adjustment: how far each observed point lies from where its camera should see it, and the sparse Jacobian of that.
use kolmo::{Real, Result, Scalar, Sparse, Tape};
use std::ops::{Add, Div, Mul, Sub};

pub struct Input {
    /// Rotation (3), centre (3), focal length, principal point (2), distortion (2).
    camera: [f64; 11],
    point: [f64; 3],
    weight: f64,
    feature: [f64; 2],
    cameras: usize,
    points: usize,
    pub observations: usize,
}

/// The benchmark's files hold one camera, one point and one observation, to be repeated.
pub fn read(text: &str) -> Input {
    let mut words = text.split_whitespace().map(|w| w.parse::<f64>().unwrap());
    let [cameras, points, observations] = std::array::from_fn(|_| words.next().unwrap() as usize);
    let mut next = || words.next().unwrap();
    let (camera, point) = (std::array::from_fn(|_| next()), std::array::from_fn(|_| next()));
    let weight = next();
    Input { camera, point, weight, feature: [next(), next()], cameras, points, observations }
}

#[inline(always)]
fn dot<R: Real>(a: [R; 3], b: [R; 3]) -> R {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Rodrigues' formula.
#[inline(always)]
fn rotate<R: Real>(r: [R; 3], x: [R; 3]) -> [R; 3] {
    let cross = |a: [R; 3], b: [R; 3]| {
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    };
    let square = dot(r, r);
    if square.primal() == 0.0 {
        let c = cross(r, x);
        return std::array::from_fn(|i| x[i] + c[i]);
    }
    let angle = square.sqrt();
    let (sin, cos, inverse) = (angle.sin(), angle.cos(), R::of(1.0) / angle);
    let axis = r.map(|v| v * inverse);
    let (turned, along) = (cross(axis, x), dot(axis, x) * (R::of(1.0) - cos));
    std::array::from_fn(|i| x[i] * cos + turned[i] * sin + axis[i] * along)
}

/// The two errors of one observation from camera, point and weight.
#[inline(always)]
fn project<R: Real>(v: [R; 15], feature: [f64; 2]) -> [R; 2]
where
    f64: Add<R, Output = R> + Sub<R, Output = R> + Mul<R, Output = R> + Div<R, Output = R>,
{
    let [r0, r1, r2, c0, c1, c2, focal, u0, v0, k1, k2, x0, x1, x2, weight] = v;
    let [x, y, z] = rotate([r0, r1, r2], [x0 - c0, x1 - c1, x2 - c2]);
    let depth = 1.0 / z;
    let (px, py) = (x * depth, y * depth);
    let square = px * px + py * py;
    let bent = focal * (1.0 + square * (k1 + k2 * square));
    [weight * (px * bent + u0 - feature[0]), weight * (py * bent + v0 - feature[1])]
}

/// What an observation depends on: its camera, its point, its weight.
#[inline(always)]
fn arguments<R: Copy>(camera: &[R], point: &[R], weight: R) -> [R; 15] {
    std::array::from_fn(|k| {
        if k < 11 {
            camera[k]
        } else if k < 14 {
            point[k - 11]
        } else {
            weight
        }
    })
}

fn weight_error<R: Real>(w: R) -> R {
    R::of(1.0) - w * w
}

/// All errors as plain numbers: two for each observation, then one for each weight.
pub fn values(p: &Input) -> Vec<f64> {
    let mut errors = Vec::with_capacity(3 * p.observations);
    let (cameras, points) = (vec![p.camera; p.cameras], vec![p.point; p.points]);
    let weights = vec![p.weight; p.observations];
    for (i, &w) in weights.iter().enumerate() {
        let (c, x) = (&cameras[i % p.cameras], &points[i % p.points]);
        errors.extend(project(arguments(c, x, w), p.feature));
    }
    errors.extend(weights.iter().map(|&w| weight_error(w)));
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
    let (cameras, points) = (p.camera.repeat(p.cameras), p.point.repeat(p.points));
    let all = tape.scalars(&[cameras, points, vec![p.weight; p.observations]].concat());
    let (cameras, rest) = all.split_at(11 * p.cameras);
    let (points, weights) = rest.split_at(3 * p.points);
    let mut errors: Vec<Scalar> = Vec::with_capacity(3 * p.observations);
    for (i, &w) in weights.iter().enumerate() {
        let (c, x) = (&cameras[i % p.cameras * 11..], &points[i % p.points * 3..]);
        let v = arguments(c, x, w);
        errors.extend(match way {
            Way::Plain => project(v, p.feature),
            Way::Preaccumulated => tape.preaccumulate(|| project(v, p.feature)),
            Way::Forward => Scalar::forward(v, |v| project(v, p.feature)),
        });
    }
    errors.extend(weights.iter().map(|&w| weight_error(w)));
    tape.sparse_jacobian_into(&errors, &all, jacobian)?;
    Ok(errors.iter().map(|e| e.value()).collect())
}
