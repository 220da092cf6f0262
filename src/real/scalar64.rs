//! The functions of `f64` for one number at a time. The steps are those of the vector loops; those that leave
//! ordinary arguments as they are, are left out for these, since a scalar waits for each.
pub(super) use super::{
    erf64::erf,
    math64::{cos, expm1, log, log1p, sin, sin_cos, tanh},
};
use super::{
    math64::{self, power_of_two, reduce},
    steps64::fma,
};

/// `eˣ`.
#[inline(always)]
pub(super) fn exp<const FMA: bool>(x: f64) -> f64 {
    // Neither the argument nor the result meets a limit: scaling by a power of two doesn't round.
    if x.abs() < 700.0 {
        let (p, n) = reduce::<FMA>(x);
        let scale = power_of_two(n);
        return if FMA { fma::<FMA>(p, scale, scale) } else { (1.0 + p) * scale };
    }
    math64::exp::<FMA>(x)
}

/// `1 / (1 + e⁻ˣ)`.
#[inline(always)]
pub(super) fn sigmoid<const FMA: bool>(x: f64) -> f64 {
    math64::sigmoid_by::<FMA>(x, exp::<FMA>(-x.abs()))
}
