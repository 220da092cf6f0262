//! Losses: how far a model's answer is from what it should be. Each is a method of the answer, takes the
//! target and PyTorch's options, and is folded by a [`Reduction`].
// In the order in which rustdoc shows their methods of `Var`.
pub(crate) mod classes;

pub(crate) mod binary;
mod distance;
mod likelihood;

mod ctc;

mod checks;
mod penalty;
mod reduction;

pub use classes::CrossEntropy;
pub use distance::TripletMargin;
pub use penalty::{elastic_net_penalty, l1_penalty, l2_penalty};
pub use reduction::Reduction;
