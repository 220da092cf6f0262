//! The singular values of bidiagonal matrices without vectors: differential quotient-difference steps with shifts
//! (Fernando and Parlett, 1994; Parlett and Marques, 2000), one division an element.
use crate::{error::Checked, tensor::room::filled};

/// Steps for each value, after which they have long converged.
const STEPS: usize = 60;

/// The squares of the singular values, in any order, of a matrix with this diagonal and these elements right of it.
/// The largest should be about 1.
pub(super) fn squared_values([mut q, mut e]: [Vec<f64>; 2]) -> Checked<Vec<f64>> {
    q.iter_mut().chain(&mut e).for_each(|x| *x *= *x);
    let largest = q.iter().chain(&e).fold(0.0, |most: f64, &x| most.max(x));
    let small = |e: f64| e <= f64::EPSILON * f64::EPSILON * largest;
    let (mut next, mut shifts) = (filled(2 * q.len(), 0.0)?, filled(q.len(), 0.0)?);
    let (next_q, next_e) = next.split_at_mut(q.len());
    let mut end = q.len().saturating_sub(1);
    let mut known = None;
    for _ in 0..STEPS * q.len() {
        while end > 0 && small(e[end - 1]) {
            (end, known) = (end - 1, None);
        }
        if end == 0 {
            break;
        }
        let start = e[..end].iter().rposition(|&e| small(e)).map_or(0, |i| i + 1);
        let (q, e) = (&mut q[start..=end], &mut e[start..end]);
        let last = end - start;
        if q[0] < q[last] / 2.0 && known.is_none() {
            // The small values are found first, at the end.
            q.reverse();
            e.reverse();
        }
        let shift = known.take().unwrap_or_else(|| estimate(q, e));
        match step(q, e, &mut next_q[..=last], &mut next_e[..last], shift) {
            Ok(()) => {
                q.copy_from_slice(&next_q[..=last]);
                e.copy_from_slice(&next_e[..last]);
                shifts[start..=end].iter_mut().for_each(|s| *s += shift);
            }
            // The shift was above the smallest value. Where only the end shows it, the next one is close.
            Err(Some(over)) if shift + over > 0.0 => {
                known = Some((shift + over) * (1.0 - 2.0 * f64::EPSILON))
            }
            Err(_) => known = Some(if shift < f64::EPSILON * largest { 0.0 } else { shift / 4.0 }),
        }
    }
    q.iter_mut().zip(shifts).for_each(|(q, s)| *q += s);
    Ok(q)
}

/// The smaller value of the last two columns alone, and less the nearer those before them come: seldom above the
/// smallest of all.
fn estimate(q: &[f64], e: &[f64]) -> f64 {
    let (&[.., f, h], &[.., g]) = (q, e) else { return 0.0 };
    let sum = f + g + h;
    let smaller = 2.0 * f * h / (sum + (sum * sum - 4.0 * f * h).max(0.0).sqrt());
    match (q, e) {
        (&[.., before, _, _], &[.., near, _]) => smaller * (1.0 - (g / f * near / before).sqrt()).max(0.25),
        _ => smaller,
    }
}

/// One step; or, if the shift was too large, what was left at the end if only there it was below 0.
fn step(q: &[f64], e: &[f64], next_q: &mut [f64], next_e: &mut [f64], shift: f64) -> Result<(), Option<f64>> {
    let (Some((&first, q)), Some((last, next_q))) = (q.split_first(), next_q.split_last_mut()) else {
        return Ok(());
    };
    let (mut d, mut least) = (first - shift, f64::INFINITY);
    for (((&q, &e), next_q), next_e) in q.iter().zip(e).zip(next_q).zip(next_e) {
        least = if d < least { d } else { least };
        *next_q = d + e;
        *next_e = e * (q / *next_q);
        d = d * q / *next_q - shift;
    }
    *last = d;
    match (least >= 0.0, d >= 0.0) {
        (true, true) => Ok(()),
        (true, false) => Err(Some(d)),
        _ => Err(None),
    }
}
