//! Sines and cosines of `f64` where all angles are of a usual size. A loop that might call a function for huge ones is
//! no vector code.
use super::{
    FloatElement,
    vectorised::{MulAdd, vectorised},
};
use crate::real::math64::NEAR;

vectorised! {
    fn are_near(x: &[T]) -> bool {
        let near = T::constant(NEAR);
        let mut all = true;
        for &x in x {
            all &= x.abs().less(near);
        }
        all
    }
}

vectorised! {
    fn sines fused fma (x: &[T], out: &mut [T]) {
        let x = &x[..out.len()];
        for i in 0..out.len() {
            out[i] = fma.near_sin(x[i]);
        }
    }
}

vectorised! {
    fn cosines fused fma (x: &[T], out: &mut [T]) {
        let x = &x[..out.len()];
        for i in 0..out.len() {
            out[i] = fma.near_cos(x[i]);
        }
    }
}

/// The sines, unless an angle isn't below [`NEAR`] in size. Whether it was done.
pub(crate) fn near_sines(x: &[f64], out: &mut [f64]) -> bool {
    let near = are_near(x);
    if near {
        sines(x, out);
    }
    near
}

/// The cosines, as [`near_sines`].
pub(crate) fn near_cosines(x: &[f64], out: &mut [f64]) -> bool {
    let near = are_near(x);
    if near {
        cosines(x, out);
    }
    near
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::real::Arithmetic;

    #[test]
    fn sines_are_those_of_single_numbers() {
        let x: Vec<f64> = (0..1003).map(|i| (f64::from(i) - 500.0) * 1.7 * f64::from(i % 7).exp()).collect();
        let mut out = vec![0.0; x.len()];
        assert!(near_sines(&x, &mut out));
        assert_eq!(out, x.iter().map(|&x| Arithmetic::sin(x)).collect::<Vec<_>>());
        assert!(near_cosines(&x, &mut out));
        assert_eq!(out, x.iter().map(|&x| Arithmetic::cos(x)).collect::<Vec<_>>());
        for huge in [1e6, -1e9, 1e300, f64::INFINITY, f64::NAN] {
            let mut x = x.clone();
            x[501] = huge;
            assert!(!near_sines(&x, &mut out) && !near_cosines(&x, &mut out), "{huge}");
        }
    }
}
