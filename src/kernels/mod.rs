//! Loops over slices and strides: vector code, threads, and all the `unsafe` there is but for the tape's statement buffer.
pub(crate) mod accumulate;
pub(crate) mod compact;
pub(crate) mod conv;
pub(crate) mod dense;
pub(crate) mod isa;
pub(crate) mod lane_math;
pub(crate) mod map;
pub(crate) mod math32;
pub(crate) mod math64;
pub(crate) mod matmul;
pub(crate) mod pool;
pub(crate) mod reduce;
pub(crate) mod special;
pub(crate) mod standardize;
pub(crate) mod strided;
pub(crate) mod threads;
pub(crate) mod update;
