//! Losses: how far a model's answer is from what it should be. Each is a method of the answer, takes the target and
//! PyTorch's options, and is folded by a [`Reduction`].
pub(crate) mod binary;
mod checks;
pub(crate) mod classes;
mod ctc;
mod distance;
mod likelihood;
mod penalty;
mod reduction;

pub use classes::CrossEntropy;
pub use distance::TripletMargin;
pub use penalty::{elastic_net_penalty, l1_penalty, l2_penalty};
pub use reduction::Reduction;
