//! Parameters, the walk that finds them in a model, layers and initialisers.
mod param;
pub(crate) mod walk;

pub use param::Param;
pub use walk::{Path, named_params, visit_params};
