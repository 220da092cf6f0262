//! The objectives that are programs of numbers: those of ADBench, which its examples share, and a determinant
//! by minors.
use crate::{
    Result, ba,
    gmm::{self, Prior},
    hand,
    hand_model::{BONES, Bone, Model, Vertex},
    lstm,
    modules::unknown,
    protocol::{Runs, read},
};
use kolmo::{Number, ScalarProgram, Tape, number::Dual};
use serde::Deserialize;
use serde_json::{Value, json};

/// Rows of a matrix one after the other; each must have as many columns.
pub fn flat(what: &str, rows: &[Vec<f64>], columns: usize) -> Result<Vec<f64>> {
    if rows.iter().any(|row| row.len() != columns) {
        return Err(format!("every row of {what} should have {columns} numbers").into());
    }
    Ok(rows.concat())
}

/// An array that should be of that length.
fn long(what: &str, length: usize, expected: usize) -> Result<()> {
    if length == expected { Ok(()) } else { Err(format!("{what}: {length}, expected {expected}").into()) }
}

#[derive(Deserialize)]
struct BundleAdjustment {
    n: usize,
    m: usize,
    p: usize,
    cam: [f64; ba::CAMERA],
    x: [f64; ba::POINT],
    w: f64,
    feat: [f64; 2],
}

pub fn ba(function: &str, input: Value, runs: &mut Runs) -> Result<Value> {
    let BundleAdjustment { n, m, p: count, cam, x, w, feat } = read(input)?;
    if n == 0 || m == 0 || count == 0 {
        return Err("there should be a camera, a point and an observation at least".into());
    }
    let p = ba::repeated([n, m, count], cam, x, w, feat);
    match function {
        "objective" => {
            let errors = runs.time(|| Ok::<_, kolmo::Error>(ba::values(&p, &p.variables)))?;
            let (of_places, of_weights) = errors.split_at(2 * count);
            Ok(json!({
                "reproj_error": { "elements": &of_places[..2], "repeated": count },
                "w_err": { "element": of_weights[0], "repeated": count },
            }))
        }
        "jacobian" => {
            let mut found = Csr::default();
            runs.time(|| sparse(&ba::program()?, &p, &mut found))?;
            Ok(
                json!({ "rows": ends(&found.starts), "cols": ends(&found.places), "vals": ends(&found.values) }),
            )
        }
        _ => unknown(function),
    }
}

/// A sparse matrix: where each row starts, and the column and the value of each entry.
#[derive(Default)]
struct Csr {
    starts: Vec<u32>,
    places: Vec<u32>,
    values: Vec<f64>,
}

/// The Jacobian of all errors with respect to all cameras, points and weights, in the memory of another one.
fn sparse(program: &ScalarProgram, p: &ba::Input, found: &mut Csr) -> Result<(), kolmo::Error> {
    let Csr { starts, places, values } = found;
    starts.clear();
    places.clear();
    values.clear();
    values.extend_from_slice(ba::replayed(program, p)?.1.as_slice().unwrap_or_default());
    let (_, _, weights) = p.parts(&p.variables);
    values.extend(weights.iter().map(|&w| ba::weight_error(Dual::<f64, 1>::variable(w, 0)).eps[0]));

    let first_point = ba::CAMERA * p.cameras;
    let first_weight = first_point + ba::POINT * p.points;
    let mut end = 0;
    starts.push(end);
    for (i, o) in p.observations.iter().enumerate() {
        let (camera, point) = (ba::CAMERA * o.camera, first_point + ba::POINT * o.point);
        for _ in 0..2 {
            places.extend((camera..camera + ba::CAMERA).map(|j| j as u32));
            places.extend((point..point + ba::POINT).map(|j| j as u32));
            places.push((first_weight + i) as u32);
            end += (ba::CAMERA + ba::POINT + 1) as u32;
            starts.push(end);
        }
    }
    places.extend((0..weights.len()).map(|i| (first_weight + i) as u32));
    starts.extend((0..weights.len()).map(|i| end + 1 + i as u32));
    Ok(())
}

/// What GradBench wants of a long list: the first thirty and the last.
fn ends<V: Copy>(all: &[V]) -> Vec<V> {
    all.iter().take(30).chain(all.last()).copied().collect()
}

#[derive(Deserialize)]
struct Mixture {
    d: usize,
    k: usize,
    n: usize,
    x: Vec<Vec<f64>>,
    m: f64,
    gamma: f64,
    alpha: Vec<f64>,
    mu: Vec<Vec<f64>>,
    q: Vec<Vec<f64>>,
    l: Vec<Vec<f64>>,
}

pub fn gmm(function: &str, input: Value, runs: &mut Runs) -> Result<Value> {
    let Mixture { d, k, n, x, m, gamma, alpha, mu, q, l } = read(input)?;
    if d == 0 || k == 0 || n == 0 {
        return Err("there should be a dimension, a component and a point at least".into());
    }
    let lower = d * (d - 1) / 2;
    for (what, rows, expected) in [("mu", &mu, k), ("q", &q, k), ("l", &l, k), ("x", &x, n)] {
        long(what, rows.len(), expected)?;
    }
    long("alpha", alpha.len(), k)?;
    let factors: Vec<Vec<f64>> = q.into_iter().zip(l).map(|(q, l)| [q, l].concat()).collect();
    let p = gmm::Input {
        d,
        k,
        n,
        alphas: alpha,
        means: flat("mu", &mu, d)?,
        icf: flat("q with l", &factors, d + lower)?,
        x: flat("x", &x, d)?,
        gamma,
        m,
        prior: Prior::Added,
    };
    match function {
        "objective" => {
            let mut tape = Tape::inference();
            let value = runs.time(|| {
                tape.reset();
                gmm::of_tensors(&p, gmm::parameters(&p)?.map(|v| tape.constant(v)).each_ref())?.item()
            })?;
            Ok(value.into())
        }
        "jacobian" => {
            let mut tape = Tape::new();
            let (_, gradient) = runs.time(|| gmm::tensors(&mut tape, &p))?;
            let (alpha, rest) = gradient.split_at(k);
            let (mu, factors) = rest.split_at(k * d);
            let parts = || factors.chunks(d + lower).map(|part| part.split_at(d));
            Ok(json!({
                "alpha": alpha,
                "mu": mu.chunks(d).collect::<Vec<_>>(),
                "q": parts().map(|(q, _)| q).collect::<Vec<_>>(),
                "l": parts().map(|(_, l)| l).collect::<Vec<_>>(),
            }))
        }
        _ => unknown(function),
    }
}

#[derive(Deserialize)]
struct HandTracking {
    theta: [f64; hand::POSE],
    data: HandData,
    us: Vec<[f64; 2]>,
}

#[derive(Deserialize)]
struct HandData {
    model: HandModel,
    correspondences: Vec<usize>,
    points: Vec<[f64; 3]>,
}

#[derive(Deserialize)]
struct HandModel {
    parents: Vec<i64>,
    base_relatives: Vec<[[f64; 4]; 4]>,
    inverse_base_absolutes: Vec<[[f64; 4]; 4]>,
    base_positions: Vec<[f64; 4]>,
    weights: Vec<Vec<f64>>,
    triangles: Vec<[usize; 3]>,
    is_mirrored: bool,
}

impl HandModel {
    fn model(self) -> Result<Model> {
        if self.is_mirrored {
            return Err("mirrored hands aren't known here".into());
        }
        let lengths = [self.parents.len(), self.base_relatives.len(), self.inverse_base_absolutes.len()];
        lengths.into_iter().try_for_each(|length| long("bones", length, BONES))?;
        long("weights", self.weights.len(), self.base_positions.len())?;
        flat("weights", &self.weights, BONES)?;
        if self.triangles.iter().flatten().any(|&i| i >= self.base_positions.len()) {
            return Err("a triangle has a corner that is no vertex".into());
        }
        let affine = |m: [[f64; 4]; 4]| std::array::from_fn(|i| m[i / 4][i % 4]);
        let matrices = self.base_relatives.into_iter().zip(self.inverse_base_absolutes);
        let bones =
            self.parents.into_iter().zip(matrices).enumerate().map(|(i, (parent, (base, inverse)))| {
                let parent = match usize::try_from(parent) {
                    Ok(parent) if parent < i => Some(parent),
                    Err(_) if parent == -1 => None,
                    _ => return Err(format!("bone {i} should come after its parent, {parent}").into()),
                };
                Ok(Bone { parent, base: affine(base), inverse: affine(inverse) })
            });
        let vertices = self.base_positions.iter().zip(self.weights).map(|(place, weights)| {
            let follows = weights.into_iter().enumerate().filter(|(_, w)| *w != 0.0);
            Vertex(follows.map(|(bone, w)| (bone, place.map(|v| w * v))).collect())
        });
        Ok(Model {
            bones: bones.collect::<Result<_>>()?,
            vertices: vertices.collect(),
            triangles: self.triangles,
        })
    }
}

pub fn ht(function: &str, input: Value, runs: &mut Runs) -> Result<Value> {
    let HandTracking { theta, data, us } = read(input)?;
    let HandData { model, correspondences, points } = data;
    let (model, on_triangles) = (model.model()?, !us.is_empty());
    long("correspondences", correspondences.len(), points.len())?;
    if on_triangles {
        long("us", us.len(), points.len())?;
    }
    let most = if on_triangles { model.triangles.len() } else { model.vertices.len() };
    if correspondences.iter().any(|&on| on >= most) {
        return Err("a point lies on what isn't there".into());
    }
    let points =
        correspondences.into_iter().zip(points).map(|(on, place)| hand::Point { on, place }).collect();
    let variables = us.into_iter().flatten().chain(theta).collect();
    let p = hand::Input { model, points, on_triangles, variables };
    match function {
        "objective" => Ok(runs.time(|| Ok::<_, kolmo::Error>(hand::errors(&p, &p.variables)))?.into()),
        "jacobian" => {
            let found = if p.points.len() < p.model.vertices.len() {
                runs.time(|| Ok::<_, kolmo::Error>(hand::forward(&p)))?
            } else {
                // All vertices at once.
                let skin = hand::skin(&p.model)?;
                runs.time(|| hand::both(&p, &skin))?
            };
            Ok(json!(found.jacobian.chunks(found.columns).collect::<Vec<_>>()))
        }
        _ => unknown(function),
    }
}

#[derive(Deserialize)]
struct Lstm {
    main_params: Vec<Vec<f64>>,
    extra_params: Vec<Vec<f64>>,
    state: Vec<Vec<f64>>,
    sequence: Vec<Vec<f64>>,
}

pub fn lstm(function: &str, input: Value, runs: &mut Runs) -> Result<Value> {
    let Lstm { main_params, extra_params, state, sequence } = read(input)?;
    let layers = main_params.len() / 2;
    let bits = sequence.first().map_or(0, Vec::len);
    if layers == 0 || bits == 0 || sequence.len() < 2 {
        return Err("there should be a layer, a bit and two characters at least".into());
    }
    for (what, length, expected) in [
        ("rows of main_params", main_params.len(), 2 * layers),
        ("rows of extra_params", extra_params.len(), 3),
        ("rows of state", state.len(), 2 * layers),
    ] {
        long(what, length, expected)?;
    }
    let p = lstm::Input {
        layers,
        bits,
        main: flat("main_params", &main_params, 4 * bits)?,
        extra: flat("extra_params", &extra_params, bits)?,
        state: flat("state", &state, bits)?,
        sequence: flat("sequence", &sequence, bits)?,
    };
    match function {
        "objective" => Ok(runs.time(|| Ok::<_, kolmo::Error>(lstm::value(&p)))?.into()),
        "jacobian" => {
            let mut tape = Tape::new();
            Ok(runs.time(|| lstm::scalars(&mut tape, &p))?.1.into())
        }
        _ => unknown(function),
    }
}

#[derive(Deserialize)]
#[allow(non_snake_case)]
struct Determinant {
    A: Vec<f64>,
    ell: usize,
}

pub fn det(function: &str, input: Value, runs: &mut Runs) -> Result<Value> {
    let Determinant { A: a, ell } = read(input)?;
    // More rows take years, and would not fit the set of columns.
    if ell == 0 || ell > 20 {
        return Err(format!("ell is {ell}; a matrix should have from 1 to 20 rows").into());
    }
    long("A", a.len(), ell * ell)?;
    let all = (1 << ell) - 1;
    match function {
        "primal" => Ok(runs.time(|| Ok::<_, kolmo::Error>(minor(&a, ell, all, &|_, minor| minor())))?.into()),
        "gradient" => {
            let mut tape = Tape::new();
            let gradient = runs.time(|| {
                tape.reset();
                let a = tape.scalars(&a);
                // A minor of five rows is one statement, and what it is made of is gone.
                let whole = |rows, minor: &dyn Fn() -> _| {
                    if rows == 5 { tape.preaccumulate(|| [minor()])[0] } else { minor() }
                };
                let grads = minor(&a, ell, all, &whole).backward()?;
                Ok::<_, kolmo::Error>(a.iter().map(|&a| grads.scalar(a)).collect::<Vec<_>>())
            })?;
            Ok(gradient.into())
        }
        _ => unknown(function),
    }
}

/// The determinant of the last rows and those columns whose bits are set, expanded along the first of these
/// rows. `whole` may make short what a minor leaves on a tape; it is told how many rows that has.
fn minor<R: Number>(a: &[R], ell: usize, columns: u32, whole: &impl Fn(u32, &dyn Fn() -> R) -> R) -> R {
    let rows = columns.count_ones();
    let expand = || {
        let row = &a[(ell - rows as usize) * ell..];
        if rows == 1 {
            return row[columns.trailing_zeros() as usize];
        }
        let (mut sum, mut left, mut positive) = (None, columns, true);
        while left != 0 {
            let column = left.trailing_zeros();
            let term = row[column as usize] * minor(a, ell, columns & !(1 << column), whole);
            sum = Some(match sum {
                None => term,
                Some(sum) if positive => sum + term,
                Some(sum) => sum - term,
            });
            (left, positive) = (left & (left - 1), !positive);
        }
        sum.unwrap_or(R::constant(1.0))
    };
    whole(rows, &expand)
}
