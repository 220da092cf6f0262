//! The model of hand tracking: bones, and a skin whose vertices follow several bones each. Read from
//! ADBench's files, or made up.
#![allow(dead_code)] // Not every program needs all of it.
use super::numbers::{self, Numbers};
use kolmo::{Error, Result};
use std::path::Path;

/// A rotation (or any linear map) and a shift: three rows of four numbers.
pub type Affine<R> = [R; 12];

pub struct Model {
    /// A bone comes after its parent.
    pub bones: Vec<Bone>,
    pub vertices: Vec<Vertex>,
    pub triangles: Vec<[usize; 3]>,
}

pub struct Bone {
    pub parent: Option<usize>,
    /// From the bone to its parent while nothing is bent.
    pub base: Affine<f64>,
    /// From the hand's coordinates to the bone's, while nothing is bent.
    pub inverse: Affine<f64>,
}

/// The bones that it follows, each with (w·x, w·y, w·z, w) of its weight and the vertex' place.
pub struct Vertex(pub Vec<(usize, [f64; 4])>);

/// The bones of five fingers of four, between the wrist and the forearm.
pub const BONES: usize = 22;

impl Model {
    /// The files `bones.txt`, `vertices.txt` and `triangles.txt` of a folder.
    pub fn read(folder: &Path) -> Result<Model> {
        let file = |name: &str| -> Result<(String, String)> {
            let path = folder.join(name);
            Ok((path.display().to_string(), numbers::text(&path)?))
        };
        let [bones, vertices, triangles] =
            [file("bones.txt")?, file("vertices.txt")?, file("triangles.txt")?];
        let files = [&bones, &vertices, &triangles].map(|(name, text)| (name.as_str(), text.as_str()));
        Model::parse(files)
    }

    /// The three files, each as name and text.
    pub fn parse([bones, vertices, triangles]: [(&str, &str); 3]) -> Result<Model> {
        let mut model = Model { bones: Vec::new(), vertices: Vec::new(), triangles: Vec::new() };
        let mut numbers = Numbers::new(bones.0, bones.1);
        for i in 0..BONES {
            numbers.word()?;
            let parent = match numbers.next::<i64>()? {
                -1 => None,
                parent => Some(below(bones.0, "parent", usize::try_from(parent).unwrap_or(i), i)?),
            };
            // The fourth row of each is 0, 0, 0, 1.
            let [base, inverse] = [numbers.array::<16>()?, numbers.array::<16>()?];
            let [base, inverse] = [base, inverse].map(|m| std::array::from_fn(|i| m[i]));
            model.bones.push(Bone { parent, base, inverse });
        }
        numbers.end()?;
        for (i, line) in vertices.1.lines().enumerate() {
            let name = format!("{}, line {}", vertices.0, i + 1);
            let mut numbers = Numbers::new(&name, line);
            let [x, y, z] = numbers.array()?;
            numbers.array::<5>()?;
            let follows = (0..numbers.count(1..=BONES)?).map(|_| {
                let bone = below(&name, "bone", numbers.next()?, BONES)?;
                let weight: f64 = numbers.next()?;
                Ok((bone, [weight * x, weight * y, weight * z, weight]))
            });
            model.vertices.push(Vertex(follows.collect::<Result<_>>()?));
            numbers.end()?;
        }
        for (i, line) in triangles.1.lines().enumerate() {
            let name = format!("{}, line {}", triangles.0, i + 1);
            let mut numbers = Numbers::new(&name, line);
            let mut corner = || below(&name, "vertex", numbers.next()?, model.vertices.len());
            model.triangles.push([corner()?, corner()?, corner()?]);
            numbers.end()?;
        }
        Ok(model)
    }

    /// Straight fingers that fan out from the wrist: around each bone two rings of six vertices, between
    /// bones they follow both.
    pub fn made_up() -> Model {
        let mut model = Model { bones: Vec::new(), vertices: Vec::new(), triangles: Vec::new() };
        let unit = |shift: [f64; 3], turn: f64| {
            let (sin, cos) = turn.sin_cos();
            [cos, -sin, 0.0, shift[0], sin, cos, 0.0, shift[1], 0.0, 0.0, 1.0, shift[2]]
        };
        model.bones.push(Bone { parent: None, base: unit([0.0; 3], 0.0), inverse: unit([0.0; 3], 0.0) });
        for finger in 0..5 {
            let (fan, scale) =
                (0.8 - 0.35 * f64::from(finger), [0.7, 0.95, 1.0, 0.95, 0.75][finger as usize]);
            // From each bone to its first joint: nothing, the palm, and two parts of the finger.
            for (i, length) in [0.0, 0.9, 0.4, 0.3].into_iter().enumerate() {
                let length = length * scale;
                let before: f64 = [0.0, 0.9, 1.3, 1.6][i] * scale;
                let (parent, base) = match i {
                    0 => (0, unit([0.0; 3], fan)),
                    _ => (model.bones.len() - 1, unit([0.0, length, 0.0], 0.0)),
                };
                let inverse = unit([0.0, -before, 0.0], 0.0);
                model.bones.push(Bone {
                    parent: Some(parent),
                    base,
                    inverse: compose(&inverse, &unit([0.0; 3], -fan)),
                });
            }
            model.finger(finger as usize, fan, scale);
        }
        model.bones.push(Bone { parent: Some(0), base: unit([0.0; 3], 0.0), inverse: unit([0.0; 3], 0.0) });
        model
    }

    /// The skin of a finger: rings along it, and triangles between neighbouring rings.
    fn finger(&mut self, finger: usize, fan: f64, scale: f64) {
        let (first, bone) = (self.vertices.len(), 1 + 4 * finger);
        // How far along the finger, the bones that a ring follows, and how much it follows the second.
        let rings =
            [(0.3, 0, 0.0), (0.8, 0, 0.2), (0.95, 0, 0.7), (1.1, 1, 0.0), (1.25, 1, 0.3), (1.35, 1, 0.7)];
        let rings = rings.into_iter().chain([(1.45, 2, 0.0), (1.57, 2, 0.3), (1.63, 2, 0.7), (1.8, 2, 1.0)]);
        for (along, one, share) in rings {
            for corner in 0..6 {
                let (sin, cos) = (f64::from(corner) * std::f64::consts::PI / 3.0).sin_cos();
                let (across, along, up) = (0.1 * cos, along * scale, 0.1 * sin);
                let place =
                    [across * fan.cos() - along * fan.sin(), across * fan.sin() + along * fan.cos(), up];
                let follow = |bone: usize, w: f64| (bone, [w * place[0], w * place[1], w * place[2], w]);
                self.vertices
                    .push(Vertex(vec![follow(bone + one, 1.0 - share), follow(bone + one + 1, share)]));
            }
        }
        for i in first..self.vertices.len() - 6 {
            let next = if (i - first) % 6 == 5 { i - 5 } else { i + 1 };
            self.triangles.extend([[i, next, i + 6], [next, next + 6, i + 6]]);
        }
    }
}

fn below(name: &str, what: &str, index: usize, count: usize) -> Result<usize> {
    if index < count {
        return Ok(index);
    }
    let message = format!("{what} {index}, but there are {count}");
    Err(Error::Format { what: name.into(), offset: what.into(), message })
}

/// First `b`, then `a`.
pub fn compose<R: kolmo::Number>(a: &Affine<R>, b: &Affine<R>) -> Affine<R> {
    std::array::from_fn(|i| {
        let (row, j) = (&a[i / 4 * 4..], i % 4);
        let turned = row[0] * b[j] + row[1] * b[4 + j] + row[2] * b[8 + j];
        if j == 3 { turned + row[3] } else { turned }
    })
}
