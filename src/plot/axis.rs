//! What an axis can show: its ends, its labels, and what of a curve lies between them.
use crate::error::Checked;
use crate::real::Arithmetic;
use plotters::coord::{
    ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter},
    types::RangedCoordf64,
};
use std::ops::Range;

/// Beyond this the width of a range, or its pixels, may be infinite.
const LARGEST: f64 = 1e300;

/// One axis of a chart. On a logarithmic one numbers are the logarithms to base 10 of what they stand for.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    ends: (f64, f64),
    log: bool,
}

impl Axis {
    pub(super) fn new(ends: (f64, f64), log: bool) -> Axis {
        Axis { ends, log }
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(v: &f64) -> String {
        number(*v, 0.0)
    }

    fn format_ext(&self, v: &f64) -> String {
        if self.log { number(Arithmetic::pow(10f64, *v), 0.0) } else { number(*v, self.ends.1 - self.ends.0) }
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.ends.0..self.ends.1).map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        let most = hint.max_num_points();
        let even = RangedCoordf64::from(self.ends.0..self.ends.1);
        if !self.log {
            return even.key_points(hint);
        }
        let (low, high) = (self.ends.0.min(self.ends.1), self.ends.0.max(self.ends.1));
        // The finest division of each power of ten that leaves room for every label, or of the powers
        // themselves.
        let powers = || (low.floor() as i64..=high.ceil() as i64).map(|power| power as f64);
        for steps in [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]] {
            let points = powers()
                .flat_map(|power| steps.iter().map(move |step: &f64| power + Arithmetic::log10(*step)));
            let points: Vec<f64> = points.filter(|p| (low..=high).contains(p)).collect();
            if (2..=most).contains(&points.len()) {
                return points;
            }
        }
        even.key_points(hint)
    }

    fn range(&self) -> Range<f64> {
        self.ends.0..self.ends.1
    }
}

/// Ends that can be drawn between: a range that is empty, or has too few numbers in it, is widened about its
/// middle.
pub(super) fn ends(name: &str, (a, b): (f64, f64), log: bool) -> Checked<(f64, f64)> {
    if !(a.abs() <= LARGEST && b.abs() <= LARGEST) {
        return Err(if log {
            let (a, b) = (Arithmetic::pow(10f64, a), Arithmetic::pow(10f64, b));
            format!("{name} from {a} to {b}: both ends of a logarithmic axis must be positive and finite")
        } else {
            format!("{name} from {a} to {b}: both ends must be numbers between ±{LARGEST:e}")
        });
    }
    let (middle, size) = (a + (b - a) / 2.0, a.abs().max(b.abs()));
    if (b - a).abs() > 1e-10 * size && (b - a).abs() > 1e-12 {
        return Ok((a, b));
    }
    let half = if a == b { (size * 1e-9).max(0.5) } else { (size * 1e-9).max(1e-12) };
    Ok(if b < a { (middle + half, middle - half) } else { (middle - half, middle + half) })
}

/// From the smallest to the largest of those that are finite, with a margin of this share; never empty.
pub(super) fn range(values: impl Iterator<Item = f64>, margin: f64) -> (f64, f64) {
    let finite = values.filter(|v| v.is_finite());
    let (a, b) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
    match a.partial_cmp(&b) {
        Some(std::cmp::Ordering::Less) => (a - margin * (b - a), b + margin * (b - a)),
        Some(std::cmp::Ordering::Equal) => (a - 0.5, b + 0.5),
        _ => (0.0, 1.0),
    }
}

/// A label's number without the dust of its computation, on an axis of this width.
pub(super) fn number(v: f64, width: f64) -> String {
    if v.abs() < 1e-9 * width.abs() {
        return "0".into();
    }
    // Ten digits, without the zeros at their end.
    let v: f64 = format!("{v:.9e}").parse().unwrap_or(v);
    if (1e-4..1e9).contains(&v.abs()) { format!("{v}") } else { format!("{v:e}") }
}

/// Whether a point lies in a picture with these ends.
pub(super) fn inside(p: (f64, f64), x: (f64, f64), y: (f64, f64)) -> bool {
    let within = |v: f64, (a, b): (f64, f64)| (a.min(b)..=a.max(b)).contains(&v);
    within(p.0, x) && within(p.1, y)
}

/// The parts of a curve that lie in a picture with these ends.
pub(super) fn clipped(points: &[(f64, f64)], x: (f64, f64), y: (f64, f64)) -> Vec<Vec<(f64, f64)>> {
    if points.iter().all(|&p| inside(p, x, y)) {
        return vec![points.to_vec()];
    }
    let mut parts: Vec<Vec<(f64, f64)>> = Vec::new();
    for pair in points.windows(2) {
        let Some((from, to)) = segment(pair[0], pair[1], x, y) else { continue };
        match parts.last_mut() {
            Some(part) if part.last() == Some(&from) => part.push(to),
            _ => parts.push(vec![from, to]),
        }
    }
    parts
}

/// What is left of a straight line between two points (Liang and Barsky, 1984).
fn segment(
    from: (f64, f64),
    to: (f64, f64),
    x: (f64, f64),
    y: (f64, f64),
) -> Option<((f64, f64), (f64, f64))> {
    let (mut begin, mut end) = (0.0f64, 1.0f64);
    for (a, b, (low, high)) in [(from.0, to.0, x), (from.1, to.1, y)] {
        let (low, high, way) = (low.min(high), low.max(high), b - a);
        if way == 0.0 {
            if !(low..=high).contains(&a) {
                return None;
            }
            continue;
        }
        // Where along the way it comes in, and where it goes out.
        let (s, t) = ((low - a) / way, (high - a) / way);
        (begin, end) = (begin.max(s.min(t)), end.min(s.max(t)));
    }
    // The ends themselves, where they are inside, to the bit.
    let at = |t: f64| match t {
        0.0 => from,
        1.0 => to,
        _ => (from.0 + t * (to.0 - from.0), from.1 + t * (to.1 - from.1)),
    };
    (begin <= end).then(|| (at(begin), at(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_finite_and_apart() {
        let same = |a: f64, b: f64| assert_eq!(ends("x", (a, b), false), Ok((a, b)));
        same(0.0, 1.0);
        same(3.0, -2.0);
        same(0.553147, 0.553148);
        for (a, b) in [(1.0, 1.0), (1e17, 1e17 + 32.0), (0.0, 5e-324), (1.0, 1.0 - 1e-16), (-1e300, -1e300)] {
            let (low, high) = ends("x", (a, b), false).unwrap();
            assert!(
                (high - low).abs() > 1e-10 * a.abs() && (high > low) == (b >= a),
                "{a} {b}: {low} {high}"
            );
        }
        for (a, b) in
            [(0.0, f64::INFINITY), (f64::NAN, 1.0), (0.0, f64::NAN), (f64::NEG_INFINITY, 0.0), (-1e301, 1.0)]
        {
            assert!(ends("x", (a, b), false).unwrap_err().contains("x from"));
        }
        assert_eq!(range([f64::NAN, 2.0, f64::INFINITY, 4.0].into_iter(), 0.0), (2.0, 4.0));
    }

    #[test]
    fn a_logarithmic_axis_is_divided_by_powers_of_ten() {
        let labels = |from: f64, to: f64, most: usize| {
            let axis = Axis::new((from.log10(), to.log10()), true);
            axis.key_points(most).into_iter().map(|v| axis.format_ext(&v)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(labels(900.0, 25e3, 10), "1000 2000 5000 10000 20000");
        assert_eq!(labels(1.0, 1e6, 8), "1 10 100 1000 10000 100000 1000000");
        let few = labels(1e-12, 1.0, 5);
        assert!((2..=5).contains(&few.split(' ').count()), "{few}");
    }

    #[test]
    fn labels_have_their_digits_whatever_the_scale() {
        let labels = [0.1 + 0.2, 5e-17, 1e-12, 2.5e20, -1.5].map(|v| number(v, 1e-3));
        assert_eq!(labels, ["0.3", "0", "0", "2.5e20", "-1.5"]);
        assert_eq!(number(3e-12, 1e-11), "3e-12");
    }

    #[test]
    fn what_lies_outside_is_cut_off() {
        let (x, y) = ((0.0, 1.0), (0.0, 1.0));
        let all = [(-1.0, 0.5), (0.5, 0.5), (0.5, 1e200), (2.0, 2.0), (0.25, 0.25), (0.5, 0.25)];
        let parts = clipped(&all, x, (1.0, 0.0));
        assert_eq!(parts[0], [(0.0, 0.5), (0.5, 0.5), (0.5, 1.0)]);
        assert_eq!(parts[1], [(1.0, 1.0), (0.25, 0.25), (0.5, 0.25)]);
        assert_eq!(clipped(&all[4..], x, y), [all[4..].to_vec()]);
        assert!(clipped(&[(2.0, 0.0), (2.0, 1.0)], x, y).is_empty());
    }
}
