//! The tape: it records what a program does to scalars and tensors, and differentiates it backwards.
//!
//! One id space holds both kinds of statements in the order in which they happened. `parts` has the types;
//! `statements` is the buffer of scalar statements, `node` how an operation on tensors becomes a node,
//! `sweep` walks both backwards, and `step` is a node's turn in that. Which operations there are is not known
//! here: that is the folder `ops`.
// In the order in which rustdoc shows their methods of `Tape` and of `Var`.
mod modes;
mod node;
mod scalar;
mod var;

mod sweep;

mod mixing;

mod custom;

mod block;
mod observe;

mod gradients;
mod ids;
mod leaf;
mod mixed;
mod no_tensors;
mod parts;
mod peers;
pub(crate) mod random;
mod statements;
mod step;
mod sweep_state;
mod trace;
mod watch;
mod witness;
mod witnessed;

pub use custom::CustomOp;
pub(crate) use ids::{BESIDE, EXTRA, NodeId, OUTPUT, RESULT, StatementId, operand_in, slots};
pub(crate) use leaf::{Leaf, Stored};
pub(crate) use mixed::Mixed;
pub(crate) use modes::Restore;
pub(crate) use parts::{Flows, Kept, Node, Op, Rule, with_floats};
pub use parts::{Gradients, Step, Tape, TapeFloat, TapeNumber, Var};
pub(crate) use peers::{Join, Peers};
pub use random::Random;
pub use scalar::Scalar;
pub(crate) use statements::TENSOR;
pub(crate) use sweep_state::{Parts, Sweep};
pub(crate) use trace::{Choice, Trace};
pub(crate) use watch::{Place, Seen, Watch};
pub(crate) use witness::Witness;
