//! Parameters of models: the handle, what stands between a tensor and its use, and the walk that finds
//! parameters in a model.
// In the order in which rustdoc shows their methods of `Param` and of `Tape`.
mod handle;
mod state;

mod packed;

mod on_tape;

mod copy;
mod serial;
mod steps;
mod walk;

pub use crate::ids::ParamId;
pub use copy::deep_copy;
pub use handle::{Form, Param, ParamState, Parametrize, Steps};
pub(crate) use steps::{Groups, round_to_steps, share_of_gradient};
pub use walk::{Path, named_params, visit_params};
pub(crate) use walk::{inventory, shown, visit_fields, visit_places};
