//! Several processes that train one model.
mod agree;
mod communicator;
mod layout;
mod local;
#[cfg(feature = "mpi")]
mod mpi;
mod slots;
mod state;
mod step;
mod tree;
mod world;

pub(crate) use agree::{agree, alike, told_by};
pub use communicator::{Alone, Bytes, Communicator, Traffic};
pub(crate) use layout::Layout;
pub use local::Local;
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
pub(crate) use slots::{SlotSum, random_of};
pub(crate) use state::whole_state;
pub(crate) use step::Sums;
pub use world::world;
