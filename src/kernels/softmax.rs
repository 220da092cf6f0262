//! Lines of numbers turned into their softmax.
use super::{
    FloatElement,
    reduce::{Largest, Sum, row_body},
    vectorised::{MulAdd, vectorised},
};

vectorised! {
    /// Scores that aren't kept become -∞. Whether one is kept.
    pub(crate) fn hide(keep: &[bool], scores: &mut [T]) -> bool {
        let (keep, hidden) = (&keep[..scores.len()], T::constant(f64::NEG_INFINITY));
        let mut any = false;
        for i in 0..scores.len() {
            any |= keep[i];
            scores[i] = T::select(keep[i], scores[i], hidden);
        }
        any
    }
}

vectorised! {
    /// Each line of `n` elements turned into its softmax or, with `log`, the logarithm of that.
    pub(crate) fn softmax_lines fused fma (x: &[T], n: usize, log: bool, out: &mut [T]) {
        for (x, out) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
            let top = row_body(Largest, x);
            for (o, &x) in out.iter_mut().zip(x) {
                *o = fma.exp(x - top);
            }
            let sum = row_body(Sum, out);
            if log {
                // The largest first: what is left is exact where the sum is 1.
                let rest = sum.log();
                out.iter_mut().zip(x).for_each(|(o, &x)| *o = x - top - rest);
            } else {
                let by = T::constant(1.0) / sum;
                out.iter_mut().for_each(|o| *o = *o * by);
            }
        }
    }
}
