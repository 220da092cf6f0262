//! Arithmetic that is generic over what a number is: a plain float, a lane of a vector loop, a dual number, a
//! scalar on a tape. An expression is written once and runs on all of them.
pub(crate) mod about;
mod base;
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "instructions that not every machine has"))]
mod dispatch;
mod dual;
mod erf64;
pub(crate) mod half;
mod lane;
pub(crate) mod lane_math;
pub(crate) mod math32;
pub(crate) mod math64;
pub(crate) mod named;
pub(crate) mod number;
mod scalar64;
pub(crate) mod slopes;
pub(crate) mod special;
mod steps64;
pub(crate) mod table;
mod trig64;

pub(crate) use about::About;
pub(crate) use base::powi;
pub use dual::Dual;
pub use lane::Lane;
pub use number::{Arithmetic, Mask, Number};
