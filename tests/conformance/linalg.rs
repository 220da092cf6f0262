//! Products, decompositions and matrix norms: PyTorch's calls as the library's.
use crate::case::{Call, Outs, one, unknown};
use kolmo::Float;

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    match c.op.as_str() {
        "matmul" => one(c.var(0, "input")?.matmul(&c.var(1, "other")?)),
        _ => unknown(),
    }
}
