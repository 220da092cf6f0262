//! What a program does in the midst of a run.
use crate::{
    error::Result,
    ops::Float,
    tape::Gradients,
    train::{History, Record},
};
use std::fmt;

/// Where a run is in a step, for [`on_gradients`](crate::train::Trainer::on_gradients) and
/// [`on_step`](crate::train::Trainer::on_step).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct StepInfo {
    /// The number of the step in the whole run, from 1.
    pub step: u64,
    /// The number of its epoch, from 1.
    pub epoch: u64,
    /// The learning rate.
    pub lr: f64,
    /// The mean loss of its examples, before the step.
    pub loss: f64,
}

/// Whether a run goes on after an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Control {
    /// As long as there are epochs.
    #[default]
    Continue,
    /// No further.
    Stop,
}

type OnGradients<'a, T> = Box<dyn FnMut(&StepInfo, &mut Gradients<T>) -> Result<()> + 'a>;
type OnStep<'a> = Box<dyn FnMut(&StepInfo) -> Result<()> + 'a>;
type OnEpoch<'a> = Box<dyn FnMut(&Record) -> Result<Control> + 'a>;

pub(super) struct Hooks<'a, T: Float> {
    pub on_gradients: Option<OnGradients<'a, T>>,
    pub on_step: Option<OnStep<'a>>,
    pub on_epoch: Option<OnEpoch<'a>>,
}

impl<T: Float> Default for Hooks<'_, T> {
    fn default() -> Self {
        Hooks { on_gradients: None, on_step: None, on_epoch: None }
    }
}

impl<T: Float> fmt::Debug for Hooks<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = [
            ("on_gradients", self.on_gradients.is_some()),
            ("on_step", self.on_step.is_some()),
            ("on_epoch", self.on_epoch.is_some()),
        ];
        f.debug_list().entries(there.iter().filter(|(_, there)| *there).map(|(name, _)| name)).finish()
    }
}

impl<T: Float> Hooks<'_, T> {
    /// What is to be done after the last epoch of a history.
    pub fn ask(&mut self, history: &History) -> Result<Control> {
        match (&mut self.on_epoch, history.last()) {
            (Some(on_epoch), Some(record)) => on_epoch(record),
            _ => Ok(Control::Continue),
        }
    }
}
