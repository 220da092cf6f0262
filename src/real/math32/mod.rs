//! Elementary functions of `f32` that the compiler turns into vector code when they stand in a plain loop:
//! no branches, no tables, no calls. They know nothing of slices and tapes; `f64` is next door in `math64`.
//!
//! `FMA` says that the loop is compiled where fused multiply-add is an instruction. Errors are at most, in
//! units of the last place, and in both variants:
//!
//! | functions | ulp |
//! | --- | --- |
//! | `exp` `exp2` | 1.1 |
//! | `expm1` | 1.6 |
//! | `log` `log1p` | 1.0 |
//! | `log2` `log10` | 2.0 |
//! | `sin` `cos`, for arguments up to 10⁹ | 1.6 |
//! | `tanh` `sigmoid` `softplus` | 1.4, 1.8, 1.7 |
//! | `erf` | 1.6 |
//! | the others, on `f64` inside ([`wide`]) | 0.51 |
//!
//! Subnormal arguments and results are kept. Special points are those of C.
mod erf;
mod exp;
mod inverse;
mod log;
mod pow;
mod steps;
#[cfg(test)]
mod tests;
mod trig;
mod wide;

pub use erf::{erf, erfc};
#[allow(unused_imports)]
pub use exp::{cosh, exp, exp2, expm1, sigmoid, sinh, softplus, tanh};
pub use inverse::{acos, acosh, asin, asinh, atan, atan2, atanh};
pub use log::{log, log1p, log2, log10};
pub use pow::pow;
pub use trig::{cos, sin, tan};
