//! Reductions and scans: PyTorch's calls as the library's.
use crate::case::{Call, Outs, one, unknown};
use kolmo::Float;

pub fn call<'t, T: Float>(c: &Call<'t, T>) -> Outs<'t, T> {
    match c.op.as_str() {
        "sum" => {
            let x = c.var(0, "input")?;
            one(x.sum_dim(&c.dims(1, "dim")?.unwrap_or_default(), c.flag(2, "keepdim", false)?))
        }
        _ => unknown(),
    }
}
