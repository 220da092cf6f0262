//! A step length along a line by the strong Wolfe conditions (Nocedal and Wright, Numerical Optimization,
//! algorithms 3.5 and 3.6, with the safeguards of Schmidt's minFunc that `torch.optim.LBFGS` uses too).
use crate::error::Result;

/// Conditions: `f(t) <= f(0) + C1·t·f'(0)` and `|f'(t)| <= C2·|f'(0)|`.
const C1: f64 = 1e-4;
const C2: f64 = 0.9;
const MOST: usize = 25;

/// A place on the line: step length, value, slope along the line, and the gradient.
#[derive(Clone)]
pub(super) struct Point {
    pub t: f64,
    pub f: f64,
    pub slope: f64,
    pub grad: Vec<f64>,
}

/// The point to go to, and how many points were looked at. `longest` is the largest element of the direction;
/// a bracket that moves no weight by `tolerance` is not searched further.
pub(super) fn strong_wolfe(
    start: Point,
    t: f64,
    longest: f64,
    tolerance: f64,
    mut look: impl FnMut(f64) -> Result<Point>,
) -> Result<(Point, usize)> {
    // A value that is no number counts as too high.
    let too_high = |p: &Point| p.f.is_nan() || p.f > start.f + C1 * p.t * start.slope;
    let flat = |p: &Point| p.slope.abs() <= -C2 * start.slope;

    // Longer and longer steps until a good one, or two that have one between them.
    let (mut before, mut new, mut tries) = (start.clone(), look(t)?, 0);
    let (mut low, mut high) = loop {
        if tries == MOST {
            break (start.clone(), new);
        }
        if too_high(&new) || (tries > 1 && new.f >= before.f) {
            break (before, new);
        }
        if flat(&new) {
            return Ok((new, tries + 1));
        }
        if new.slope >= 0.0 {
            break (before, new);
        }
        let t = cubic(&before, &new, new.t + 0.01 * (new.t - before.t), new.t * 10.0);
        (before, new) = (new, look(t)?);
        tries += 1;
    };
    if high.f < low.f {
        std::mem::swap(&mut low, &mut high);
    }

    // Narrower and narrower brackets.
    let mut near_edge = false;
    while tries < MOST && (high.t - low.t).abs() * longest >= tolerance {
        let (min, max) = (low.t.min(high.t), low.t.max(high.t));
        let (mut t, margin) = (cubic(&low, &high, min, max), 0.1 * (max - min));
        let close = (max - t).min(t - min) < margin;
        // Twice in a row at an edge makes too little progress.
        let stuck = close && (near_edge || t >= max || t <= min);
        if stuck {
            t = if (t - max).abs() < (t - min).abs() { max - margin } else { min + margin };
        }
        near_edge = close && !stuck;
        let new = look(t)?;
        tries += 1;
        if too_high(&new) || new.f >= low.f {
            high = new;
            if high.f < low.f {
                std::mem::swap(&mut low, &mut high);
            }
            continue;
        }
        let done = flat(&new);
        if !done && new.slope * (high.t - low.t) >= 0.0 {
            high = low;
        }
        low = new;
        if done {
            break;
        }
    }
    Ok((low, tries + 1))
}

/// Where the cubic through two points with these slopes is lowest, within bounds; their middle if it has no
/// minimum.
fn cubic(a: &Point, b: &Point, min: f64, max: f64) -> f64 {
    let (a, b) = if a.t <= b.t { (a, b) } else { (b, a) };
    let d = a.slope + b.slope - 3.0 * (a.f - b.f) / (a.t - b.t);
    let square = d * d - a.slope * b.slope;
    if square.is_nan() || square < 0.0 {
        return (min + max) / 2.0;
    }
    let root = square.sqrt();
    let t = b.t - (b.t - a.t) * ((b.slope + root - d) / (b.slope - a.slope + 2.0 * root));
    t.max(min).min(max)
}
