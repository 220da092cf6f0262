//! Several schedules as one: in turn, or multiplied.
use super::schedule::*;
use crate::{
    checked::{Check, checked},
    error::{Checked, Error, Result},
};
use serde::{Deserialize, Serialize};

/// Schedules in turn: each counts its steps from 0 when its turn comes, as PyTorch's `SequentialLR`.
///
/// ```
/// use kolmo::optim::{CosineAnnealingLr, LinearLr, Schedule, SequentialLr};
/// let warm_up = LinearLr::new(0.1).start_factor(0.1).total_iters(10);
/// let schedule = SequentialLr::new(warm_up).then(10, CosineAnnealingLr::new(0.1, 90));
/// assert_eq!((schedule.lr(0)?, schedule.lr(10)?), (0.010000000000000002, 0.1));
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[must_use]
pub struct SequentialLr {
    first: Box<AnySchedule>,
    then: Vec<(u64, AnySchedule)>,
}

checked!(SequentialLr { first: Box<AnySchedule>, then: Vec<(u64, AnySchedule)> });

impl Check for SequentialLr {
    fn check(&self) -> Checked<()> {
        sound(self)
    }
}

impl SequentialLr {
    /// Starts with this one.
    pub fn new(first: impl Into<AnySchedule>) -> Self {
        SequentialLr { first: Box::new(first.into()), then: Vec::new() }
    }

    /// From step `milestone` on it is another one's turn.
    pub fn then(mut self, milestone: u64, next: impl Into<AnySchedule>) -> Self {
        self.then.push((milestone, next.into()));
        self
    }
}

impl Schedule for SequentialLr {
    fn lr(&self, step: u64) -> Result<f64> {
        if !self.then.is_sorted_by_key(|(milestone, _)| *milestone) {
            return Err(Error::invalid("SequentialLr", "the milestones are not in order"));
        }
        match self.then.iter().rfind(|(milestone, _)| *milestone <= step) {
            Some((milestone, schedule)) => schedule.lr(step - milestone),
            None => self.first.lr(step),
        }
    }
}

/// The product of several schedules' rates: all but one have the rate 1 and act as factors. What PyTorch's
/// `ChainedScheduler` does with schedules that multiply.
///
/// ```
/// use kolmo::optim::{ChainedLr, ExponentialLr, LinearLr, Schedule};
/// let schedule = ChainedLr::new(ExponentialLr::new(0.1, 0.5)).and(LinearLr::new(1.0).start_factor(0.5));
/// assert_eq!(schedule.lr(0)?, 0.05);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[must_use]
pub struct ChainedLr(Vec<AnySchedule>);

checked!(ChainedLr(Vec<AnySchedule>));

impl Check for ChainedLr {
    fn check(&self) -> Checked<()> {
        if self.0.is_empty() { Err("is of no schedule, expected one at least".into()) } else { sound(self) }
    }
}

impl ChainedLr {
    /// One schedule.
    pub fn new(first: impl Into<AnySchedule>) -> Self {
        ChainedLr(vec![first.into()])
    }

    /// Times another one.
    pub fn and(mut self, next: impl Into<AnySchedule>) -> Self {
        self.0.push(next.into());
        self
    }
}

impl Schedule for ChainedLr {
    fn lr(&self, step: u64) -> Result<f64> {
        self.0.iter().try_fold(1.0, |product, schedule| Ok(product * schedule.lr(step)?))
    }
}

/// The type of any of the schedules, and how one of them becomes it.
macro_rules! any_schedule {
    ($(#[$m:meta])* $($name:ident)*) => {
        $(#[$m])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[allow(missing_docs)]
        #[non_exhaustive]
        pub enum AnySchedule { $($name($name),)* }

        impl Schedule for AnySchedule {
            fn lr(&self, step: u64) -> Result<f64> {
                match self { $(AnySchedule::$name(schedule) => schedule.lr(step),)* }
            }
        }

        $(impl From<$name> for AnySchedule {
            fn from(schedule: $name) -> AnySchedule {
                AnySchedule::$name(schedule)
            }
        })*
    };
}

any_schedule! {
    /// Any of the schedules, to be one of several or read from a file.
    ///
    /// ```
    /// use kolmo::optim::{AnySchedule, Schedule};
    /// let text = r#"{"StepLr": {"lr": 0.1, "step_size": 30, "gamma": 0.5}}"#;
    /// let schedule: AnySchedule = serde_json::from_str(text).unwrap();
    /// assert_eq!(schedule.lr(30)?, 0.05);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    StepLr MultiStepLr ExponentialLr ConstantLr LinearLr PolynomialLr CosineAnnealingLr CosineAnnealingWarmRestarts
    OneCycleLr CyclicLr WarmupCosineLr SequentialLr ChainedLr
}
