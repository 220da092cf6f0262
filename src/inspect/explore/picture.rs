//! A tensor as a page shows it: its range, a few elements as they are, and a picture small enough for a row.
use crate::tensor::Tensor;
use serde::{Serialize, Serializer};

/// The most points of a line, and the most rows and columns of a heat map.
const LINE: usize = 48;
const GRID: (usize, usize) = (8, 24);
/// Elements that are shown as they are.
const SAMPLE: usize = 8;

/// A number; in JSON a string where it is not finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Num(pub f64);

impl Serialize for Num {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::numbers::serialize(&self.0, serializer)
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Picture {
    pub shape: Vec<usize>,
    pub min: Num,
    pub max: Num,
    pub mean: Num,
    /// √Σv²
    pub norm: Num,
    /// Elements that are NaN or infinite; they don't count in the numbers above.
    pub strange: usize,
    pub zeros: usize,
    /// The first elements, exactly.
    pub first: Vec<Num>,
    /// Means of equal parts, to three digits: of the elements in order, or of a matrix with so many rows.
    pub points: Vec<Num>,
    pub rows: Option<usize>,
}

impl Picture {
    pub fn of(t: &Tensor<f64>) -> Picture {
        let v = t.to_vec();
        let finite: Vec<f64> = v.iter().copied().filter(|v| v.is_finite()).collect();
        let fold = |from: f64, f: fn(f64, f64) -> f64| match finite.is_empty() {
            true => f64::NAN,
            false => finite.iter().copied().fold(from, f),
        };
        let (points, rows) = points(t.shape(), &v);
        Picture {
            shape: t.shape().to_vec(),
            min: Num(fold(f64::INFINITY, f64::min)),
            max: Num(fold(f64::NEG_INFINITY, f64::max)),
            mean: Num(fold(0.0, |a, b| a + b) / finite.len() as f64),
            norm: Num(finite.iter().map(|v| v * v).sum::<f64>().sqrt()),
            strange: v.len() - finite.len(),
            zeros: v.iter().filter(|v| **v == 0.0).count(),
            first: v.iter().take(SAMPLE).copied().map(Num).collect(),
            points,
            rows,
        }
    }
}

fn points(shape: &[usize], v: &[f64]) -> (Vec<Num>, Option<usize>) {
    let columns = shape.last().copied().unwrap_or(1);
    let rows = v.len().checked_div(columns).unwrap_or(0);
    if v.len() < 2 {
        return (Vec::new(), None);
    }
    if rows > 1 && columns > 1 {
        let (r, c) = (rows.min(GRID.0), columns.min(GRID.1));
        let cell = |i: usize, j: usize| {
            let (top, bottom) = (i * rows / r, (i + 1) * rows / r);
            let (left, right) = (j * columns / c, (j + 1) * columns / c);
            mean((top..bottom).flat_map(|row| &v[row * columns + left..row * columns + right]))
        };
        return ((0..r * c).map(|k| cell(k / c, k % c)).collect(), Some(r));
    }
    let n = v.len().min(LINE);
    ((0..n).map(|k| mean(&v[k * v.len() / n..(k + 1) * v.len() / n])).collect(), None)
}

/// The mean to three digits.
fn mean<'a>(part: impl IntoIterator<Item = &'a f64>) -> Num {
    let (mut sum, mut n) = (0.0, 0.0);
    for v in part {
        sum += v;
        n += 1.0;
    }
    let mean: f64 = sum / n;
    Num(format!("{mean:.2e}").parse().unwrap_or(mean))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_tensors_become_small_pictures_with_exact_ends() {
        let t = Tensor::from_fn([1000, 300], |i| i as f64);
        let p = Picture::of(&t);
        assert_eq!((p.min, p.max, p.rows), (Num(0.0), Num(299_999.0), Some(8)));
        assert_eq!(p.points.len(), 8 * 24);
        assert_eq!(p.first[7], Num(7.0));
        assert!(serde_json::to_string(&p).unwrap().len() < 5000);
    }

    #[test]
    fn what_is_not_finite_is_counted_apart() {
        let p = Picture::of(&Tensor::from([1.0, f64::NAN, f64::INFINITY, 3.0]));
        assert_eq!((p.min, p.max, p.mean, p.strange), (Num(1.0), Num(3.0), Num(2.0), 2));
        let json = serde_json::to_string(&p).unwrap();
        assert!(json.contains(r#""first":[1.0,"NaN","inf",3.0]"#), "{json}");
    }
}
