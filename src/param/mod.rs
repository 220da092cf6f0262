//! Parameters of models: the handle, what stands between a tensor and its use, and the walk that finds parameters in a model.
mod copy;
mod handle;
mod on_tape;
mod serial;
mod state;
mod steps;
mod walk;

pub use copy::deep_copy;
pub use handle::{Form, Param, ParamState, Parametrize, Steps};
pub(crate) use steps::{Groups, round_to_steps, share_of_gradient};
pub use walk::{Path, named_params, visit_params};
pub(crate) use walk::{inventory, shown, visit_fields, visit_places};
