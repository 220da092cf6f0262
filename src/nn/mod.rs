//! Parameters, the walk that finds them in a model, layers and initialisers.
pub mod init;
mod layers;
mod param;
mod param_serial;
pub(crate) mod walk;

pub use layers::{Dropout, Layer, Linear, Relu, Sequential, Sigmoid, Silu, Tanh};
pub use param::{Param, Parametrize};
pub use walk::{Path, named_params, visit_params};
