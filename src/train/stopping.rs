//! When to stop.
use crate::{
    checked::{Check, checked, not_negative},
    error::Checked,
};
use serde::Serialize;

/// Says when a number has not become better for some time: the loss on examples that are not trained on, as a
/// rule.
///
/// ```
/// use kolmo::train::EarlyStopping;
/// let mut stopping = EarlyStopping::new(2);
/// let losses = [0.9, 0.5, 0.6, 0.4, 0.4, 0.45];
/// assert_eq!(losses.iter().position(|&loss| stopping.update(loss)), Some(5));
/// assert_eq!(stopping.best(), Some(0.4));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[must_use]
pub struct EarlyStopping {
    patience: u32,
    #[serde(with = "crate::numbers")]
    min_delta: f64,
    maximize: bool,
    #[serde(with = "crate::numbers", default)]
    best: Option<f64>,
    waited: u32,
}

checked!(EarlyStopping {
    patience: u32,
    #[serde(with = "crate::numbers")]
    min_delta: f64,
    maximize: bool,
    #[serde(with = "crate::numbers", default)]
    best: Option<f64>,
    waited: u32,
});

impl Check for EarlyStopping {
    fn check(&self) -> Checked<()> {
        not_negative("min_delta", self.min_delta)
    }
}

impl EarlyStopping {
    /// Stops after so many numbers in a row that are no better than the best before them.
    pub fn new(patience: u32) -> EarlyStopping {
        EarlyStopping { patience, min_delta: 0.0, maximize: false, best: None, waited: 0 }
    }

    /// What is better by no more than this doesn't count (default 0).
    pub fn min_delta(self, min_delta: f64) -> EarlyStopping {
        EarlyStopping { min_delta, ..self }
    }

    /// Larger is better, as with accuracies (default: smaller, as with losses).
    pub fn maximize(self, maximize: bool) -> EarlyStopping {
        EarlyStopping { maximize, ..self }
    }

    /// Takes the next number in; true if it is time to stop. NaN is never better.
    #[must_use = "it tells whether to stop, and stops nothing itself"]
    pub fn update(&mut self, value: f64) -> bool {
        if self.is_better(value, self.best) {
            (self.best, self.waited) = (Some(value), 0);
        } else {
            self.waited = self.waited.saturating_add(1);
        }
        self.waited >= self.patience.max(1)
    }

    /// Whether a number is better than another by enough, or the first that is one.
    pub(super) fn is_better(&self, value: f64, than: Option<f64>) -> bool {
        match (than, self.maximize) {
            (None, _) => !value.is_nan(),
            (Some(best), false) => value < best - self.min_delta,
            (Some(best), true) => value > best + self.min_delta,
        }
    }

    /// Whether the last number was the best so far.
    pub fn is_best(&self) -> bool {
        self.best.is_some() && self.waited == 0
    }

    /// The best number so far.
    pub fn best(&self) -> Option<f64> {
        self.best
    }
}
