//! Views, joins, splits and padding: PyTorch's calls as the library's.
use crate::case::{Call, Outs, one, unknown};
use kolmo::Float;

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    match c.op.as_str() {
        "reshape" => {
            let shape = c.dims(1, "shape")?.unwrap_or_default();
            one(c.var(0, "input")?.reshape(shape))
        }
        _ => unknown(),
    }
}
