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
