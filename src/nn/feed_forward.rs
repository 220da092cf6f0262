//! What a transformer's layers are made from.
use crate::{ops::Float, options::options, tape::Var};
use serde::{Deserialize, Serialize};

/// The function between the two products of a transformer's feed-forward part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FeedForwardActivation {
    /// `max(x, 0)`
    #[default]
    Relu,
    /// `x · Φ(x)`
    Gelu,
}

impl FeedForwardActivation {
    #[track_caller]
    pub(super) fn of<'t, T: Float>(self, x: &Var<'t, T>) -> Var<'t, T> {
        match self {
            FeedForwardActivation::Relu => x.relu(),
            FeedForwardActivation::Gelu => x.gelu(),
        }
    }
}

options! {
    /// What a transformer's layers are made from besides their sizes, with PyTorch's names and defaults.
    TransformerOptions {
        /// Width of the layer between the two products (default 2048).
        dim_feedforward(usize): usize = 2048,
        /// Probability that a part's result, or a weight of the attention, is dropped in training (default 0.1).
        dropout(f64): f64 = 0.1,
        /// Between the two products (default ReLU).
        activation(FeedForwardActivation): FeedForwardActivation = FeedForwardActivation::Relu,
        /// Whether normalisation comes before each part (default no: after the sum with its input).
        norm_first(bool): bool = false,
        /// Whether products and normalisations have biases (default yes).
        bias(bool): bool = true,
    }
}
