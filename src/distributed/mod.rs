//! Several processes that train one model.
mod communicator;
mod local;

pub use communicator::{Alone, Bytes, Communicator, Traffic};
pub use local::Local;
