//! The largest elements of the windows in a line of an image.
use super::{FloatElement, vectorised::vectorised};

vectorised! {
    /// The positions in `data` of the first largest element of each of a line of windows; a NaN is the largest. The first window
    /// begins at `first`, the others follow `stride` columns apart; all lie inside, and lines are `width` apart.
    pub(crate) fn largest(data: &[T], first: usize, width: usize, kernel: [usize; 2], stride: usize, out: &mut [u32]) {
        if kernel == [2, 2] && stride == 2 {
            let row = |k: usize| &data[first + k * width..][..2 * out.len()];
            return of_four(row(0).as_chunks().0, row(1).as_chunks().0, first as u32, width as u32, out);
        }
        // As a constant, a step of two becomes vector code.
        match stride {
            2 => side_by_side(data, first, width, kernel, 2, out),
            _ => side_by_side(data, first, width, kernel, stride, out),
        }
    }
}

/// Any windows: one element of each of some neighbours after the other.
#[inline(always)]
fn side_by_side<T: FloatElement>(
    data: &[T],
    first: usize,
    width: usize,
    kernel: [usize; 2],
    stride: usize,
    out: &mut [u32],
) {
    const SIDE: usize = 16;
    for (out, block) in out.chunks_mut(SIDE).zip(0..) {
        let first = first + block * SIDE * stride;
        let (mut most, mut at) = ([T::default(); SIDE], [0; SIDE]);
        for r in 0..kernel[0] {
            for k in 0..kernel[1] {
                let from = first + r * width + k;
                let line = &data[from..][..(out.len() - 1) * stride + 1];
                for i in 0..out.len() {
                    let next = (line[i * stride], (from + i * stride) as u32);
                    let best = larger((most[i], at[i]), next);
                    (most[i], at[i]) = if r + k == 0 { next } else { best };
                }
            }
        }
        out.copy_from_slice(&at[..out.len()]);
    }
}

/// Windows of two by two elements side by side, which become vector code.
#[inline(always)]
fn of_four<T: FloatElement>(upper: &[[T; 2]], lower: &[[T; 2]], first: u32, width: u32, out: &mut [u32]) {
    if out.len() >= 16 {
        return run(upper, lower, first, width, out);
    }
    // Of a short line most would be the rest of a loop: in blocks of four.
    let (blocks, rest) = out.as_chunks_mut::<4>();
    let done = 4 * blocks.len();
    for ((out, upper), (lower, k)) in
        blocks.iter_mut().zip(upper.as_chunks::<4>().0).zip(lower.as_chunks::<4>().0.iter().zip(0..))
    {
        run(upper, lower, first + 8 * k, width, out);
    }
    run(&upper[done..], &lower[done..], first + 2 * done as u32, width, rest);
}

#[inline(always)]
fn run<T: FloatElement>(upper: &[[T; 2]], lower: &[[T; 2]], first: u32, width: u32, out: &mut [u32]) {
    let (upper, lower) = (&upper[..out.len()], &lower[..out.len()]);
    for i in 0..out.len() {
        let at = first + 2 * i as u32;
        let mut best = (upper[i][0], at);
        best = larger(best, (upper[i][1], at + 1));
        best = larger(best, (lower[i][0], at + width));
        best = larger(best, (lower[i][1], at + width + 1));
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
