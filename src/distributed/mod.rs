//! Several processes that train one model, to the same bits as one: [`Trainer::communicator`] takes one of
//! these processes' ends. The batch of a step is a number of slots whose gradients are added in a fixed tree;
//! a process computes some slots, and owns a range of each parameter.
//!
//! | for | there is |
//! | --- | --- |
//! | whatever has started the program | [`world`] |
//! | threads of one process | [`Local`] |
//! | one process | [`Alone`] |
//! | a way of your own | [`Communicator`] |
//! | metrics of which each measures a part | [`sum_parts`] |
//!
//! [`Trainer::communicator`]: crate::train::Trainer::communicator
mod agree;
mod communicator;
mod divide;
mod in_step;
mod layout;
mod local;
#[cfg(feature = "mpi")]
mod mpi;
mod parts;
mod slots;
mod step;
mod tree;
mod world;

pub(crate) use agree::{agree, alike, told_by};
pub use communicator::{Alone, Bytes, Communicator, Traffic};
pub(crate) use divide::{divide, put_bytes, take_bytes};
pub(crate) use in_step::SlotsInStep;
pub(crate) use layout::Layout;
pub use local::Local;
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
pub use parts::sum_parts;
pub(crate) use slots::{SlotSum, random_of};
pub(crate) use step::Sums;
pub use world::world;
