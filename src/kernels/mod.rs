//! Loops over plain slices and strides, with the vector instructions and threads of the machine. Knows no tape;
//! nearly all `unsafe` of the crate is here.
pub(crate) mod isa;
pub(crate) mod matmul;
pub(crate) mod threads;
