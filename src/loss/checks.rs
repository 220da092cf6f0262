//! What losses ask of their operands and options.
use crate::{
    error::Checked,
    ops::Float,
    tape::Var,
    tensor::{Shape, shape::broadcast},
};

/// That answer and target have one shape, for losses where it is nearly always an oversight if they haven't:
/// `[6, 1]` and `[6]` would make 36 losses.
pub(super) fn one_shape<T: Float>(answer: &Var<'_, T>, target: &Var<'_, T>) -> Checked<()> {
    if answer.shape() == target.shape() || target.failed_id().is_some() {
        return Ok(());
    }
    let shapes = format!("answers {} and targets {} must have one shape", answer.shape(), target.shape());
    Err(match common(answer, target) {
        Ok(shape) => format!(
            "{shapes}: reshape one of them; if every answer is to meet every target it broadcasts to, expand both to {shape}"
        ),
        Err(_) => shapes,
    })
}

/// That two operands broadcast to each other, and to what.
pub(super) fn common<T: Float>(a: &Var<'_, T>, b: &Var<'_, T>) -> Checked<Shape> {
    broadcast(a.shape(), b.shape())
}

/// That an option is in its range.
pub(super) fn accepted(ok: bool, message: impl FnOnce() -> String) -> Checked<()> {
    if ok { Ok(()) } else { Err(message()) }
}
