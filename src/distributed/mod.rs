//! Several processes that train one model.
mod agree;
mod communicator;
mod layout;
mod local;
mod slots;
mod state;
mod step;
mod tree;

pub(crate) use agree::{agree, alike, told_by};
pub use communicator::{Alone, Bytes, Communicator, Traffic};
pub(crate) use layout::Layout;
pub use local::Local;
pub(crate) use slots::{SlotSum, random_of};
pub(crate) use state::whole_state;
pub(crate) use step::Sums;
