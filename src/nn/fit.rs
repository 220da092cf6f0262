//! What layers say of parameters and inputs that don't go together: by the layer's name, what it takes, what
//! it was given.
use crate::{
    checked::Check,
    error::{Checked, Error, Result},
    ops::Float,
    param::Param,
    tape::Var,
    tensor::Shape,
};

/// That a parameter has these sizes.
pub(super) fn shaped<T: Float>(field: &str, p: &Param<T>, sizes: &[usize]) -> Checked<()> {
    let shape = sizes_of(p)?;
    if shape[..] == *sizes { Ok(()) } else { Err(format!("{field} has shape {shape}, expected {sizes:?}")) }
}

/// The sizes of a parameter, or why there was no room for it.
pub(super) fn sizes_of<T: Float>(p: &Param<T>) -> Checked<Shape> {
    p.value().there().map(|()| p.shape())
}

/// The same of one that may be missing.
pub(super) fn shaped_if<T: Float>(field: &str, p: &Option<Param<T>>, sizes: &[usize]) -> Checked<()> {
    p.as_ref().map_or(Ok(()), |p| shaped(field, p, sizes))
}

/// The message of a field that is a layer itself.
pub(super) fn within(field: &str, check: Checked<()>) -> Checked<()> {
    check.map_err(|message| format!("{field}: {message}"))
}

/// A layer that a user put together, if its check finds nothing.
pub(super) fn sound<L: Check>(name: &'static str, layer: L) -> Result<L> {
    layer.check().map_err(|message| Error::invalid(name, message))?;
    Ok(layer)
}

/// What a layer gives instead of its value, if something is wrong: the first failure of its inputs, or one of
/// its own.
#[track_caller]
pub(super) fn refused<'t, T: Float>(
    layer: &str,
    inputs: &[&Var<'t, T>],
    check: impl FnOnce() -> Checked<()>,
) -> Option<Var<'t, T>> {
    if let Some(failed) = inputs.iter().find(|v| v.failed_id().is_some()) {
        return Some((*failed).clone());
    }
    match (check(), inputs.first()) {
        (Err(message), Some(x)) => Some(x.tape().fail_op(layer, message, inputs)),
        _ => None,
    }
}
