//! Quantiles of the normal distribution, of which most need no branch.
use super::vectorised::for_machine;
use crate::real::special::{is_middle, middle_quantile, normal_quantile};

/// [`normal_quantile`] of each number, in its place.
pub(crate) fn normal_quantiles(x: &mut [f64]) {
    const BLOCK: usize = 64;
    for x in x.chunks_mut(BLOCK) {
        let mut all = [0.0; BLOCK];
        let out = &mut all[..x.len()];
        quick(x, out);
        for (x, y) in x.iter_mut().zip(all) {
            *x = if is_middle(*x) { y } else { normal_quantile(*x) };
        }
    }
}

fn quick(x: &[f64], out: &mut [f64]) {
    for_machine!(middles(x: &[f64], out: &mut [f64]))
}

#[inline(always)]
fn middles(x: &[f64], out: &mut [f64]) {
    let x = &x[..out.len()];
    for i in 0..out.len() {
        out[i] = middle_quantile(x[i]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_those_of_single_numbers() {
        let x: Vec<f64> =
            (-999..1000).map(|i| f64::from(i) / 1000.0).chain([0.85, -0.85, 1.0, 0.0, -0.0]).collect();
        let mut found = x.clone();
        normal_quantiles(&mut found);
        let bits = |x: f64| x.to_bits();
        assert!(x.iter().zip(&found).all(|(&x, &y)| bits(normal_quantile(x)) == bits(y)));
    }
}
