//! The one schedule with a memory: it watches a figure of the run.
use crate::{
    checked::{Check, below_one, checked, finite, not_negative},
    error::{Checked, Error, Result},
};
use serde::{Deserialize, Serialize};

/// By how much a figure must be better than the best one to count.
///
/// ```
/// use kolmo::optim::{ReduceLrOnPlateau, Threshold};
/// let schedule = ReduceLrOnPlateau::new(0.1).threshold(Threshold::Absolute(0.01));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Threshold {
    /// By this part of the best figure.
    Relative(#[serde(with = "crate::numbers")] f64),
    /// By this much.
    Absolute(#[serde(with = "crate::numbers")] f64),
}

/// Multiplies the learning rate by a factor when a figure has stopped getting better, as
/// `torch.optim.lr_scheduler.ReduceLROnPlateau`.
///
/// ```
/// use kolmo::optim::ReduceLrOnPlateau;
/// let mut schedule = ReduceLrOnPlateau::new(0.1).factor(0.5).patience(1);
/// let rates: Vec<f64> = [1.0, 1.0, 1.0, 0.5].iter().map(|loss| schedule.step(*loss)).collect::<Result<_, _>>()?;
/// assert_eq!(rates, [0.1, 0.1, 0.05, 0.05]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[must_use]
pub struct ReduceLrOnPlateau {
    #[serde(with = "crate::numbers")]
    lr: f64,
    maximize: bool,
    #[serde(with = "crate::numbers")]
    factor: f64,
    patience: u64,
    threshold: Threshold,
    cooldown: u64,
    #[serde(with = "crate::numbers")]
    min_lr: f64,
    #[serde(with = "crate::numbers")]
    eps: f64,
    #[serde(with = "crate::numbers", default)]
    best: Option<f64>,
    bad: u64,
    cooling: u64,
}

checked!(ReduceLrOnPlateau {
    #[serde(with = "crate::numbers")]
    lr: f64,
    maximize: bool,
    #[serde(with = "crate::numbers")]
    factor: f64,
    patience: u64,
    threshold: Threshold,
    cooldown: u64,
    #[serde(with = "crate::numbers")]
    min_lr: f64,
    #[serde(with = "crate::numbers")]
    eps: f64,
    #[serde(with = "crate::numbers", default)]
    best: Option<f64>,
    bad: u64,
    cooling: u64,
});

impl Check for ReduceLrOnPlateau {
    fn check(&self) -> Checked<()> {
        let (Threshold::Relative(threshold) | Threshold::Absolute(threshold)) = self.threshold;
        below_one("factor", self.factor)?;
        finite("threshold", threshold)?;
        for (field, value) in [("lr", self.lr), ("min_lr", self.min_lr), ("eps", self.eps)] {
            not_negative(field, value)?;
        }
        Ok(())
    }
}

impl ReduceLrOnPlateau {
    /// Starts at this learning rate and watches a figure that should fall.
    pub fn new(lr: f64) -> Self {
        ReduceLrOnPlateau {
            lr,
            maximize: false,
            factor: 0.1,
            patience: 10,
            threshold: Threshold::Relative(1e-4),
            cooldown: 0,
            min_lr: 0.0,
            eps: 1e-8,
            best: None,
            bad: 0,
            cooling: 0,
        }
    }

    /// The figure should rise, as an accuracy does (PyTorch's mode `max`; default off).
    pub fn maximize(self, maximize: bool) -> Self {
        Self { maximize, ..self }
    }

    /// What the rate is multiplied by, below 1 (default 0.1).
    pub fn factor(self, factor: f64) -> Self {
        Self { factor, ..self }
    }

    /// How many steps without progress are let pass (default 10).
    pub fn patience(self, patience: u64) -> Self {
        Self { patience, ..self }
    }

    /// By how much a figure must be better to count (default 1e-4 of the best one).
    pub fn threshold(self, threshold: Threshold) -> Self {
        Self { threshold, ..self }
    }

    /// How many steps after a reduction no step counts as one without progress (default 0).
    pub fn cooldown(self, cooldown: u64) -> Self {
        Self { cooldown, ..self }
    }

    /// The rate never falls below this (default 0).
    pub fn min_lr(self, min_lr: f64) -> Self {
        Self { min_lr, ..self }
    }

    /// A reduction by less than this is left out (default 1e-8).
    pub fn eps(self, eps: f64) -> Self {
        Self { eps, ..self }
    }

    /// The rate as it is.
    pub fn lr(&self) -> f64 {
        self.lr
    }

    /// Takes the newest figure and gives the rate to go on with.
    pub fn step(&mut self, figure: f64) -> Result<f64> {
        self.check().map_err(|message| Error::invalid("ReduceLrOnPlateau", message))?;
        let better = match self.best {
            // Anything is better than nothing, except NaN and what could not be worse.
            None if self.maximize => figure > f64::NEG_INFINITY,
            None => figure < f64::INFINITY,
            Some(best) => {
                let sign = if self.maximize { 1.0 } else { -1.0 };
                let bar = match self.threshold {
                    Threshold::Relative(part) => best * (1.0 + sign * part),
                    Threshold::Absolute(much) => best + sign * much,
                };
                if self.maximize { figure > bar } else { figure < bar }
            }
        };
        if better {
            (self.best, self.bad) = (Some(figure), 0);
        } else {
            self.bad = self.bad.saturating_add(1);
        }
        if self.cooling > 0 {
            (self.cooling, self.bad) = (self.cooling - 1, 0);
        }
        if self.bad > self.patience {
            let lr = (self.lr * self.factor).max(self.min_lr);
            if self.lr - lr > self.eps {
                self.lr = lr;
            }
            (self.cooling, self.bad) = (self.cooldown, 0);
        }
        Ok(self.lr)
    }
}
