//! A tensor as a page shows it: its range, a few elements as they are, and a picture small enough for a row.
use crate::inspect::Numbers;
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
    /// To seven digits, as the next.
    pub mean: Num,
    /// √Σv²
    pub norm: Num,
    /// Elements that are NaN or infinite; they don't count in the numbers above.
    pub strange: usize,
    pub zeros: usize,
    /// The first elements, exactly.
    pub first: Vec<Num>,
    /// Means of equal parts: of the elements in order, or of a matrix with so many rows.
    pub points: Points,
    pub rows: Option<usize>,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Points {
    /// To three digits.
    Line(Vec<Num>),
    /// A letter for each: `a` to `q` for eighths of the largest size from -8 to 8, so `i` for 0; `!` where it is
    /// not finite. A long tape has tens of thousands of these.
    Grid(String),
}

impl Picture {
    pub fn of(t: &Numbers) -> Picture {
        let v = t.to_vec();
        let finite = || v.iter().copied().filter(|v| v.is_finite());
        let count = finite().count();
        let fold = |from: f64, f: fn(f64, f64) -> f64| match count {
            0 => f64::NAN,
            _ => finite().fold(from, f),
        };
        let (points, rows) = points(t.shape(), &v);
        Picture {
            shape: t.shape().to_vec(),
            min: Num(fold(f64::INFINITY, f64::min)),
            max: Num(fold(f64::NEG_INFINITY, f64::max)),
            mean: rounded::<7>(fold(0.0, |a, b| a + b) / count as f64),
            norm: rounded::<7>(finite().map(|v| v * v).sum::<f64>().sqrt()),
            strange: v.len() - count,
            zeros: v.iter().filter(|v| **v == 0.0).count(),
            first: v.iter().take(SAMPLE).copied().map(Num).collect(),
            points,
            rows,
        }
    }
}

fn points(shape: &[usize], v: &[f64]) -> (Points, Option<usize>) {
    let columns = shape.last().copied().unwrap_or(1);
    let rows = v.len().checked_div(columns).unwrap_or(0);
    if v.len() < 2 {
        return (Points::Line(Vec::new()), None);
    }
    if rows > 1 && columns > 1 {
        let (r, c) = (rows.min(GRID.0), columns.min(GRID.1));
        let cell = |i: usize, j: usize| {
            let (top, bottom) = (i * rows / r, (i + 1) * rows / r);
            let (left, right) = (j * columns / c, (j + 1) * columns / c);
            mean((top..bottom).flat_map(|row| &v[row * columns + left..row * columns + right]))
        };
        let cells: Vec<f64> = (0..r * c).map(|k| cell(k / c, k % c)).collect();
        return (Points::Grid(letters(&cells)), Some(r));
    }
    let n = v.len().min(LINE);
    let part = |k: usize| mean(&v[k * v.len() / n..(k + 1) * v.len() / n]);
    (Points::Line((0..n).map(|k| rounded::<3>(part(k))).collect()), None)
}

/// Each as a letter, see [`Points::Grid`].
fn letters(cells: &[f64]) -> String {
    let largest = cells.iter().filter(|v| v.is_finite()).fold(0.0, |most: f64, v| most.max(v.abs()));
    let letter = |v: f64| match (v.is_finite(), largest > 0.0) {
        (false, _) => '!',
        (true, false) => 'i',
        (true, true) => char::from((i32::from(b'i') + (v / largest * 8.0).round() as i32) as u8),
    };
    cells.iter().map(|&v| letter(v)).collect()
}

/// To so many digits.
fn rounded<const N: usize>(v: f64) -> Num {
    Num(format!("{v:.0$e}", N - 1).parse().unwrap_or(v))
}

fn mean<'a>(part: impl IntoIterator<Item = &'a f64>) -> f64 {
    let (mut sum, mut n) = (0.0, 0.0);
    for v in part {
        sum += v;
        n += 1.0;
    }
    sum / n
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;

    #[test]
    fn large_tensors_become_small_pictures_with_exact_ends() {
        let t = Tensor::from_fn([1000, 300], |i| i as f64);
        let p = Picture::of(&Numbers::F64(t));
        assert_eq!((p.min, p.max, p.rows), (Num(0.0), Num(299_999.0), Some(8)));
        let Points::Grid(letters) = &p.points else { panic!("{:?}", p.points) };
        // The first cell's mean, of 125 rows, is 0.53 of an eighth of the last one's.
        assert_eq!((letters.len(), &letters[..1], &letters[191..]), (8 * 24, "j", "q"));
        assert_eq!(p.first[7], Num(7.0));
        assert!(serde_json::to_string(&p).unwrap().len() < 500);
    }

    #[test]
    fn letters_are_eighths_of_the_largest_size() {
        assert_eq!(letters(&[-2.0, -1.0, 0.0, 0.13, f64::NAN, 2.0]), "aeij!q");
        assert_eq!(letters(&[0.0, f64::INFINITY]), "i!");
        // Beside the largest of all numbers the smallest is none.
        assert_eq!(letters(&[f64::MAX, -f64::MIN_POSITIVE]), "qi");
    }

    #[test]
    fn what_is_not_finite_is_counted_apart() {
        let p = Picture::of(&Numbers::F64(Tensor::from([1.0, f64::NAN, f64::INFINITY, 3.0])));
        assert_eq!((p.min, p.max, p.mean, p.strange), (Num(1.0), Num(3.0), Num(2.0), 2));
        let json = serde_json::to_string(&p).unwrap();
        assert!(json.contains(r#""first":[1.0,"NaN","inf",3.0]"#), "{json}");
    }
}
