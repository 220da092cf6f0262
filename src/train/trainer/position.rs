//! Where a run of the trainer is, as its checkpoint keeps it.
use crate::{
    data::DataLoader,
    tape::Random,
    train::{EarlyStopping, History},
};
use serde::{Deserialize, Serialize};

/// Where a run is: all that isn't the model's or the optimiser's.
#[derive(Serialize, Deserialize)]
pub(super) struct Position {
    pub loader: DataLoader,
    pub epoch: u64,
    pub batch: usize,
    pub step: u64,
    /// Of this epoch: the sum of the examples' losses, and how many they were.
    pub losses: (f64, u64),
    pub random: Random,
    pub stopping: Option<EarlyStopping>,
    /// What the weights in the file of the best were judged by.
    #[serde(default)]
    pub kept: Option<f64>,
    pub stopped: bool,
    /// Of a batch, if it is cut into some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<usize>,
    /// Whether batch normalisation is by all of these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_step: bool,
    pub history: History,
}
