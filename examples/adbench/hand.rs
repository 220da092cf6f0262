//! Hand tracking, an objective of ADBench: how far measured points lie from the skin of a hand in a pose, and
//! the Jacobian of that. A pose has 26 numbers: how the hand is turned (3), where it is (3), how each of five
//! fingers is bent (4).
#![allow(dead_code)] // Not every program needs all of it.
use super::{
    hand_model::{Affine, BONES, Model, compose},
    numbers::Numbers,
    rotation::rotate,
};
use kolmo::{Error, Number, Result, Tape, Tensor, Var, number::Dual};

/// Numbers of a pose.
pub const POSE: usize = 26;

pub struct Input {
    pub model: Model,
    pub points: Vec<Point>,
    /// Whether a point lies somewhere on a triangle, at two further unknowns, and not on a vertex
    /// ("complicated").
    pub on_triangles: bool,
    /// On triangles the two coordinates of each point in its triangle; then the pose.
    pub variables: Vec<f64>,
}

pub struct Point {
    /// The vertex or triangle it is measured on.
    pub on: usize,
    pub place: [f64; 3],
}

/// A file of ADBench, simple or complicated.
pub fn read(model: Model, name: &str, text: &str) -> Result<Input> {
    let mut numbers = Numbers::new(name, text);
    let (n, _) = (numbers.count(1..=10_000_000)?, numbers.count(POSE..=POSE)?);
    let on_triangles = text.split_whitespace().count() > 2 + 4 * n + POSE;
    let (most, what) = match on_triangles {
        true => (model.triangles.len(), "triangles"),
        false => (model.vertices.len(), "vertices"),
    };
    if most == 0 {
        return Err(Error::Format {
            what: name.into(),
            offset: "model".into(),
            message: format!("it has no {what}"),
        });
    }
    let points = (0..n).map(|_| Ok(Point { on: numbers.count(0..=most - 1)?, place: numbers.array()? }));
    let points = points.collect::<Result<_>>()?;
    let variables = numbers.take(POSE + if on_triangles { 2 * n } else { 0 })?;
    numbers.end()?;
    Ok(Input { model, points, on_triangles, variables })
}

/// What turns the skin of each bone from rest to the pose; where the hand is comes after it.
fn bones<R: Number>(model: &Model, pose: &[R]) -> Vec<Affine<R>> {
    let [zero, one] = [0.0, 1.0].map(R::constant);
    let turn = [pose[0], pose[1], pose[2]];
    let columns = [[one, zero, zero], [zero, one, zero], [zero, zero, one]].map(|axis| rotate(turn, axis));
    let hand: Affine<R> = std::array::from_fn(|i| if i % 4 == 3 { zero } else { columns[i % 4][i / 4] });
    let mut absolute: Vec<Affine<R>> = Vec::with_capacity(BONES);
    let mut skin = Vec::with_capacity(BONES);
    for (i, bone) in model.bones.iter().enumerate() {
        let base = bone.base.map(R::constant);
        // Of the bones of a finger the second bends in two directions, the third and fourth in one.
        let (finger, part) = (i.div_ceil(4), (i + 3) % 4);
        let relative = match (pose.get(2 + 4 * finger..6 + 4 * finger), part) {
            (Some(&[x, z, ..]), 1) if finger > 0 => compose(&base, &bent(x, z)),
            (Some(&[_, _, x, _]), 2) | (Some(&[_, _, _, x]), 3) if finger > 0 => {
                compose(&base, &bent(x, zero))
            }
            _ => base,
        };
        let all = match bone.parent {
            Some(parent) => compose(&absolute[parent], &relative),
            None => relative,
        };
        skin.push(compose(&hand, &compose(&all, &bone.inverse.map(R::constant))));
        absolute.push(all);
    }
    skin
}

/// A turn about the first axis by `x`, then about the third by `z`.
fn bent<R: Number>(x: R, z: R) -> Affine<R> {
    let ((s, c), (sz, cz)) = (x.sin_cos(), z.sin_cos());
    let zero = R::constant(0.0);
    [cz, -(sz * c), sz * s, zero, sz, cz * c, -(cz * s), zero, zero, s, c, zero]
}

/// Where a vertex is: linear in the bones.
fn vertex<R: Number>(model: &Model, index: usize, bones: &[Affine<R>], pose: &[R]) -> [R; 3] {
    std::array::from_fn(|axis| {
        let mut place = pose[3 + axis];
        for &(bone, weighted) in &model.vertices[index].0 {
            place = place + R::dot(&bones[bone][4 * axis..4 * axis + 4], &weighted.map(R::constant));
        }
        place
    })
}

/// The three errors of a point; `u` are its coordinates on its triangle.
fn errors_of<R: Number>(p: &Input, point: &Point, u: [R; 2], bones: &[Affine<R>], pose: &[R]) -> [R; 3] {
    let place = if p.on_triangles {
        let [a, b, c] = p.model.triangles[point.on].map(|i| vertex(&p.model, i, bones, pose));
        let rest = R::constant(1.0) - u[0] - u[1];
        std::array::from_fn(|i| u[0] * a[i] + u[1] * b[i] + rest * c[i])
    } else {
        vertex(&p.model, point.on, bones, pose)
    };
    std::array::from_fn(|i| -place[i] + point.place[i])
}

/// All errors, of any kind of number.
pub fn errors<R: Number>(p: &Input, variables: &[R]) -> Vec<R> {
    let (us, pose) = variables.split_at(variables.len() - POSE);
    let bones = bones(&p.model, pose);
    let u = |i: usize| us.get(2 * i..2 * i + 2).map_or([R::constant(0.0); 2], |u| [u[0], u[1]]);
    p.points.iter().enumerate().flat_map(|(i, point)| errors_of(p, point, u(i), &bones, pose)).collect()
}

/// Errors, and their Jacobian row by row: on triangles the two coordinates come first, those of the row's own
/// point.
pub struct Derivatives {
    pub errors: Vec<f64>,
    pub jacobian: Vec<f64>,
    pub columns: usize,
}

/// By dual numbers from beginning to end: as many directions as unknowns of a row.
pub fn forward(p: &Input) -> Derivatives {
    if p.on_triangles { forward_of::<{ POSE + 2 }>(p) } else { forward_of::<POSE>(p) }
}

fn forward_of<const N: usize>(p: &Input) -> Derivatives {
    let (us, pose) = p.variables.split_at(p.variables.len() - POSE);
    let variable = |(i, &v): (usize, &f64)| Dual::<f64, N>::variable(v, N - POSE + i);
    let pose: Vec<_> = pose.iter().enumerate().map(variable).collect();
    let bones = bones(&p.model, &pose);
    let n = p.points.len();
    let mut found = Derivatives {
        errors: Vec::with_capacity(3 * n),
        jacobian: Vec::with_capacity(3 * n * N),
        columns: N,
    };
    for (i, point) in p.points.iter().enumerate() {
        let u = std::array::from_fn(|k| Dual::variable(us.get(2 * i + k).copied().unwrap_or(0.0), k));
        for error in errors_of(p, point, u, &bones, &pose) {
            found.errors.push(error.re);
            found.jacobian.extend(error.eps);
        }
    }
    found
}

/// By a tape of scalars: a reverse sweep for each row.
pub fn reverse(tape: &mut Tape<f64>, p: &Input) -> Result<Derivatives> {
    tape.reset();
    let variables = tape.scalars(&p.variables);
    let errors = errors(p, &variables);
    let sparse = tape.sparse_jacobian(&errors, &variables)?;
    let first = variables.len() - POSE;
    let columns = POSE + if p.on_triangles { 2 } else { 0 };
    let mut jacobian = vec![0.0; errors.len() * columns];
    for (i, row) in jacobian.chunks_mut(columns).enumerate() {
        for (j, v) in sparse.row(i) {
            row[if j < first { j % 2 } else { j - first + columns - POSE }] = v;
        }
    }
    Ok(Derivatives { errors: errors.iter().map(|e| e.value()).collect(), jacobian, columns })
}

/// Which bones a vertex follows, as a matrix `[vertices, 4 · bones]`: what the bones are multiplied with.
pub fn skin(model: &Model) -> Result<Tensor<f64>> {
    let mut skin = Tensor::zeros([model.vertices.len(), 4 * BONES]);
    for (i, vertex) in model.vertices.iter().enumerate() {
        for &(bone, weighted) in &vertex.0 {
            for (k, w) in weighted.into_iter().enumerate() {
                let j = 4 * bone + k;
                let before = skin.get([i, j]).unwrap_or(0.0);
                skin.set([i, j], before + w)?;
            }
        }
    }
    Ok(skin)
}

/// Scalars inside, tensors outside: the bones as dual numbers, then all vertices and all their derivatives by
/// one matrix product, since a vertex is linear in the bones. `skin` is that of the model.
pub fn both(p: &Input, skin: &Tensor<f64>) -> Result<Derivatives> {
    let (us, pose) = p.variables.split_at(p.variables.len() - POSE);
    let pose: Vec<_> = pose.iter().enumerate().map(|(i, &v)| Dual::<f64, POSE>::variable(v, i)).collect();
    let bones = bones(&p.model, &pose);
    let (width, n) = (1 + POSE, p.points.len() as isize);
    let part = |d: Dual<f64, POSE>, k: usize| if k == 0 { d.re } else { d.eps[k - 1] };
    // [4 · bones, 3 axes, value and derivatives]
    let bones = Tensor::from_fn([4 * BONES, 3 * width], |i| {
        let (row, axis, k) = (i / (3 * width), i / width % 3, i % width);
        part(bones[row / 4][4 * axis + row % 4], k)
    });
    let place = Tensor::from_fn([3, width], |i| part(pose[3 + i / width], i % width));
    let tape = Tape::inference();
    let vertices = tape.constant(skin).matmul(&tape.constant(bones)).reshape([-1, 3, width as isize]);
    let vertices = vertices + place;
    let rows = |pick: &dyn Fn(&Point) -> usize| -> Result<Tensor<u32>> {
        Tensor::new([p.points.len()], p.points.iter().map(|p| pick(p) as u32).collect())
    };
    let points = p.points.iter().flat_map(|p| p.place).flat_map(|v| std::iter::once(v).chain([0.0; POSE]));
    let points = tape.constant(Tensor::new([p.points.len(), 3, width], points.collect())?);
    let (off, columns) = if p.on_triangles {
        let corner = |k: usize| -> Result<Var<'_, f64>> {
            Ok(vertices.index_select(0, &rows(&|point| p.model.triangles[point.on][k])?))
        };
        let u = |k: usize| -> Result<Var<'_, f64>> {
            Ok(tape.constant(Tensor::new(
                [p.points.len(), 1, 1],
                us.iter().skip(k).step_by(2).copied().collect(),
            )?))
        };
        let (c, u0, u1) = (corner(2)?, u(0)?, u(1)?);
        let (a, b) = (corner(0)? - &c, corner(1)? - &c);
        let off = points - (u0 * &a + u1 * &b + c);
        // The derivatives along a triangle are its sides.
        let sides = [&a, &b].map(|side| -side.narrow(2, 0, 1));
        (tape.cat(&[&off.narrow(2, 0, 1), &sides[0], &sides[1], &off.narrow(2, 1, POSE)], 2), 3 + POSE)
    } else {
        (points - vertices.index_select(0, &rows(&|point| point.on)?), 1 + POSE)
    };
    let rows = off.reshape([3 * n, columns as isize]);
    let [errors, jacobian] = [rows.narrow(1, 0, 1), rows.narrow(1, 1, columns - 1)];
    Ok(Derivatives {
        errors: errors.value()?.to_vec(),
        jacobian: jacobian.value()?.to_vec(),
        columns: columns - 1,
    })
}
