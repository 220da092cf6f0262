//! The largest elements of the windows in a line of an image.
use super::{FloatElement, vectorised::vectorised};

vectorised! {
    /// The positions in `data` of the first largest element of each of a line of windows; a NaN is the largest. The first window
    /// begins at `first`, the others follow `stride` columns apart; all lie inside, and lines are `width` apart.
    pub(crate) fn largest(data: &[T], first: usize, width: usize, kernel: [usize; 2], stride: usize, out: &mut [u32]) {
        let row = |k: usize| data[first + k * width..][..2 * out.len()].as_chunks().0;
        match (kernel, stride) {
            ([1, 2], 2) => return of_pairs([row(0)], first as u32, width as u32, out),
            ([2, 2], 2) => return of_pairs([row(0), row(1)], first as u32, width as u32, out),
            _ => {}
        }
        if stride == 2 && kernel[1] >= 2 {
            return side_by_side(data, first, width, kernel, out);
        }
        for (w, place) in out.iter_mut().enumerate() {
            let start = first + w * stride;
            let mut best = (data[start], start as u32);
            for r in 0..kernel[0] {
                let from = start + r * width;
                for (k, &v) in data[from..from + kernel[1]].iter().enumerate() {
                    best = larger(best, (v, (from + k) as u32));
                }
            }
            *place = best.1;
        }
    }
}

/// Windows two columns apart: of some neighbours one element each after the other, which become vector code.
#[inline(always)]
fn side_by_side<T: FloatElement>(
    data: &[T],
    first: usize,
    width: usize,
    kernel: [usize; 2],
    out: &mut [u32],
) {
    const SIDE: usize = 16;
    for (out, block) in out.chunks_mut(SIDE).zip(0..) {
        let n = out.len().min(SIDE);
        let (mut most, mut places) = ([T::default(); SIDE], [0; SIDE]);
        let (most, places) = (&mut most[..n], &mut places[..n]);
        for r in 0..kernel[0] {
            for k in 0..kernel[1] {
                // In pairs of which all lie inside: the first column as the first of them, others as the second.
                let second = usize::from(k > 0);
                let from = first + 2 * SIDE * block + r * width + k - second;
                let pairs = &data[from..].as_chunks::<2>().0[..n];
                let from = (from + second) as u32;
                for i in 0..n {
                    let next = (if k > 0 { pairs[i][1] } else { pairs[i][0] }, from + 2 * i as u32);
                    let best = larger((most[i], places[i]), next);
                    (most[i], places[i]) = if r + k == 0 { next } else { best };
                }
            }
        }
        out.copy_from_slice(places);
    }
}

/// Windows of two columns, side by side, in one row or two: they become vector code.
#[inline(always)]
fn of_pairs<T: FloatElement, const R: usize>(rows: [&[[T; 2]]; R], first: u32, width: u32, out: &mut [u32]) {
    if out.len() >= 16 {
        return run(rows, first, width, out);
    }
    // Of a short line most would be the rest of a loop: in blocks of four.
    let (blocks, rest) = out.as_chunks_mut::<4>();
    let mut done = 0;
    for out in blocks {
        let mut four = rows;
        for row in &mut four {
            *row = &row[done..done + 4];
        }
        run(four, first + 2 * done as u32, width, out);
        done += 4;
    }
    let mut left = rows;
    for row in &mut left {
        *row = &row[done..];
    }
    run(left, first + 2 * done as u32, width, rest);
}

// Plain indices become vector code.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
fn run<T: FloatElement, const R: usize>(mut rows: [&[[T; 2]]; R], first: u32, width: u32, out: &mut [u32]) {
    for row in &mut rows {
        *row = &row[..out.len()];
    }
    for i in 0..out.len() {
        let at = first + 2 * i as u32;
        let mut best = (rows[0][i][0], at);
        for k in 0..R {
            let at = at + k as u32 * width;
            // The first with itself makes no difference.
            best = larger(best, (rows[k][i][0], at));
            best = larger(best, (rows[k][i][1], at + 1));
        }
        out[i] = best.1;
    }
}

/// The second if it is larger, or NaN where the first isn't.
#[inline(always)]
fn larger<T: FloatElement>(most: (T, u32), next: (T, u32)) -> (T, u32) {
    let nan = |v: T| v.partial_cmp(&v).is_none();
    let take = (next.0 > most.0) | (nan(next.0) & !nan(most.0));
    (if take { next.0 } else { most.0 }, if take { next.1 } else { most.1 })
}
