//! Reports on a program that a tape recorded, and on the model behind it: what only a tape can tell.
//!
//! | question | report |
//! | --- | --- |
//! | Where does the time go? | [`Observation::profile`] |
//! | What is kept for the reverse sweep, and which rule reads it? | [`Tape::memory`](crate::Tape::memory) |
//! | Is the gradient the only possible one? | [`Observation::kinks`] |
//! | What does rounding cost, and how many bits does each parameter need? | [`Observation::rounding`] |
//! | Where do two runs part? | [`Tape::diff`](crate::Tape::diff) |
//! | Can the computation be run and checked elsewhere? | [`SavedTape`] |
//! | Which gradients vanish or explode? | [`Gradients::statistics`](crate::Gradients::statistics) |
//! | Which units are always zero? | [`Tape::dead_units`](crate::Tape::dead_units) |
//! | What is the model made of, and what does it cost? | [`summary`] |
//!
//! Each report prints as a table and goes through serde. Those on statements tell for each where it comes
//! from, its [`Origin`], and add up [`GroupBy`] operation, layer or source line; `with_names` gives layers
//! the names that they have in a model.
// In the order in which rustdoc shows their methods of `Tape`.
mod listing;

mod gather;
mod profile;

mod memory;

mod dead;
mod kinks;
mod rounding;

mod diff;

mod explore;

mod differences;
mod dot;
mod gradient;
mod graph;
mod in_use;
mod layers;
mod numbers;
mod observation;
mod origin;
mod saved;
mod summary;
mod table;

pub use dead::{Activation, DeadUnits};
pub use diff::{Difference, DifferenceKind};
pub(crate) use differences::CentralDifference;
pub use explore::Explorer;
pub use gradient::{GradientFlag, GradientStatistics, ParameterGradient};
pub use kinks::{Kink, Kinks};
pub use memory::{KeptTensor, Memory, MemoryGroup};
pub use numbers::Numbers;
pub use origin::{GroupBy, Origin};
pub use profile::{Call, Profile, ProfileGroup};
pub use rounding::{Rounding, RoundingError};
pub use saved::{Replay, SavedTape};
pub use summary::{Operation, Parameter, Summary, summary};

pub use listing::{Argument, Listing, Row};
pub use observation::{Constant, Flow, Kept, Observation, Observed};
