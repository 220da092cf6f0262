//! When to stop.
use crate::{
    checked::{Check, checked, not_negative},
    error::{Checked, Error, Result},
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
#[derive(Clone, Debug, PartialEq, Serialize)]
#[must_use]
pub struct EarlyStopping {
    patience: u64,
    #[serde(with = "crate::numbers")]
    min_delta: f64,
    maximize: bool,
    #[serde(with = "crate::numbers", default)]
    best: Option<f64>,
    waited: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    monitor: Option<String>,
}

checked!(EarlyStopping {
    patience: u64,
    #[serde(with = "crate::numbers")]
    min_delta: f64,
    maximize: bool,
    #[serde(with = "crate::numbers", default)]
    best: Option<f64>,
    waited: u64,
    #[serde(default)]
    monitor: Option<String>,
});

impl Check for EarlyStopping {
    fn check(&self) -> Checked<()> {
        not_negative("min_delta", self.min_delta)
    }
}

impl EarlyStopping {
    /// Stops after so many numbers in a row that are no better than the best before them.
    pub fn new(patience: u64) -> EarlyStopping {
        EarlyStopping { patience, min_delta: 0.0, maximize: false, best: None, waited: 0, monitor: None }
    }

    /// What is better by no more than this doesn't count (default 0).
    pub fn min_delta(self, min_delta: f64) -> EarlyStopping {
        EarlyStopping { min_delta, ..self }
    }

    /// Larger is better, as with accuracies (default: smaller, as with losses).
    pub fn maximize(self, maximize: bool) -> EarlyStopping {
        EarlyStopping { maximize, ..self }
    }

    /// The name of what a [`Trainer`](super::Trainer) is judged by (default: the first of its metrics): a
    /// metric, or `loss`, the mean over the examples that the epoch trained on.
    pub fn monitor(self, name: impl Into<String>) -> EarlyStopping {
        EarlyStopping { monitor: Some(name.into()), ..self }
    }

    /// The number of an epoch that counts.
    pub(super) fn watched(&self, metrics: &[(String, f64)], loss: f64, epoch: u64) -> Result<f64> {
        let found = match self.monitor.as_deref() {
            None => metrics.first().map(|(_, value)| *value),
            Some("loss") => Some(loss),
            Some(name) => metrics.iter().find(|(other, _)| other == name).map(|(_, value)| *value),
        };
        found.ok_or_else(|| {
            let names: Vec<&str> = metrics.iter().map(|(name, _)| name.as_str()).collect();
            let message = match &self.monitor {
                None => format!(
                    "early_stopping judges by the first metric, and after epoch {epoch} there is none"
                ),
                Some(name) => {
                    format!("early_stopping judges by {name:?}, and after epoch {epoch} there are {names:?}")
                }
            };
            Error::invalid("Trainer", message)
        })
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

    /// The best number so far.
    pub fn best(&self) -> Option<f64> {
        self.best
    }
}
