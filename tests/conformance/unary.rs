//! Functions of one tensor: PyTorch's calls as the library's.
use crate::case::{Call, Outs, one, unknown};
use kolmo::Float;

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    match c.op.as_str() {
        "exp" => one(c.var(0, "input")?.exp()),
        _ => unknown(),
    }
}
