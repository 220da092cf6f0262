//! Learning rates as functions of the step, under the names of `torch.optim.lr_scheduler`. A schedule holds
//! its options and no state: a run that goes on at step t asks for the rate at t.
use crate::{
    checked::{Check, checked},
    error::{Checked, Error, Result},
    real::Arithmetic,
};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// A learning rate for each step (or epoch) from 0. Any function `u64 -> f64` is one, as PyTorch's
/// `LambdaLR`.
///
/// ```
/// use kolmo::optim::{Adam, CosineAnnealingLr, Optimizer, Schedule};
/// let schedule = CosineAnnealingLr::new(1e-3, 100);
/// let mut adam: Adam = Adam::new(1e-3);
/// for step in 0..100 {
///     adam.set_lr(schedule.lr(step)?);
///     // a training step
/// }
/// assert_eq!((|step: u64| 0.1 / (step + 1) as f64).lr(1)?, 0.05);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[doc(alias = "lr_scheduler")]
pub trait Schedule {
    /// The rate at a step; an error if the schedule's options make no sense.
    fn lr(&self, step: u64) -> Result<f64>;
}

impl<F: Fn(u64) -> f64> Schedule for F {
    fn lr(&self, step: u64) -> Result<f64> {
        Ok(self(step))
    }
}

fn positive(name: &'static str, option: &str, value: u64) -> Result<()> {
    match value {
        0 => Err(Error::invalid(name, format!("{option} is 0, expected at least 1"))),
        _ => Ok(()),
    }
}

/// Between the two values: all of `from` at 0, all of `to` at 1, along half a cosine.
fn cosine(from: f64, to: f64, part: f64) -> f64 {
    to + (from - to) * (1.0 + Arithmetic::cos(PI * part)) / 2.0
}

/// An option of a schedule, to be checked when it is read.
trait Field {
    fn check(&self, field: &str) -> Checked<()>;
}

impl Field for f64 {
    fn check(&self, field: &str) -> Checked<()> {
        crate::checked::finite(field, *self)
    }
}

/// Any such number or word can be one; the schedule itself knows more.
macro_rules! any {
    ($($t:ty)*) => {$(impl Field for $t { fn check(&self, _: &str) -> Checked<()> { Ok(()) } })*};
}
any!(u64 Option<u64> Vec<u64> bool);

impl Field for CyclicMode {
    fn check(&self, field: &str) -> Checked<()> {
        match self {
            CyclicMode::ExpRange(gamma) => gamma.check(field),
            _ => Ok(()),
        }
    }
}

/// That a schedule has a rate to begin with.
pub(super) fn sound(schedule: &impl Schedule) -> Checked<()> {
    match schedule.lr(0) {
        Ok(lr) if lr.is_finite() => Ok(()),
        Ok(lr) => Err(format!("its options give a learning rate of {lr}")),
        Err(Error::Invalid { message, .. }) => Err(message),
        Err(e) => Err(e.to_string()),
    }
}

/// A schedule: its fields with what they are by default, and its rate at step `$t`.
macro_rules! schedule {
    (
        $(#[$m:meta])*
        $name:ident { $($need:ident: $nt:ty),* $(; $($(#[$om:meta])* $option:ident: $ot:ty = $default:expr),*)? }
        |$this:ident, $t:ident| $body:expr
    ) => {
        $(#[$m])*
        #[derive(Clone, Debug, PartialEq, Serialize)]
        #[must_use = "a schedule does nothing until it is asked for a rate"]
        pub struct $name { $($need: $nt,)* $($($option: $ot,)*)? }

        checked!($name { $($need: $nt,)* $($($option: $ot,)*)? });

        impl Check for $name {
            fn check(&self) -> Checked<()> {
                $(self.$need.check(stringify!($need))?;)*
                $($(self.$option.check(stringify!($option))?;)*)?
                sound(self)
            }
        }

        impl $name {
            /// With the other options at their defaults.
            pub fn new($($need: $nt),*) -> Self {
                $name { $($need,)* $($($option: $default,)*)? }
            }
            $($(
                $(#[$om])*
                pub fn $option(self, $option: $ot) -> Self {
                    $name { $option, ..self }
                }
            )*)?
        }

        impl Schedule for $name {
            fn lr(&self, $t: u64) -> Result<f64> {
                let $this = self;
                $body
            }
        }
    };
}

schedule! {
    /// `lr · γ^⌊t / step_size⌋`
    ///
    /// ```
    /// use kolmo::optim::{StepLr, Schedule};
    /// assert_eq!(StepLr::new(0.1, 30).gamma(0.5).lr(30)?, 0.05);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    StepLr { lr: f64, step_size: u64;
        /// γ (default 0.1).
        gamma: f64 = 0.1
    }
    |s, t| {
        positive("StepLr", "step_size", s.step_size)?;
        Ok(s.lr * Arithmetic::pow(s.gamma, (t / s.step_size.max(1)) as f64))
    }
}

schedule! {
    /// `lr · γⁿ` after n of the milestones.
    ///
    /// ```
    /// use kolmo::optim::{MultiStepLr, Schedule};
    /// assert_eq!(MultiStepLr::new(1.0, vec![10, 20]).gamma(0.5).lr(20)?, 0.25);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    MultiStepLr { lr: f64, milestones: Vec<u64>;
        /// γ (default 0.1).
        gamma: f64 = 0.1
    }
    |s, t| Ok(s.lr * Arithmetic::pow(s.gamma, s.milestones.iter().filter(|&&m| m <= t).count() as f64))
}

schedule! {
    /// `lr · γᵗ`
    ///
    /// ```
    /// use kolmo::optim::{ExponentialLr, Schedule};
    /// assert_eq!(ExponentialLr::new(1.0, 0.5).lr(2)?, 0.25);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ExponentialLr { lr: f64, gamma: f64 }
    |s, t| Ok(s.lr * Arithmetic::pow(s.gamma, t as f64))
}

schedule! {
    /// `lr · factor` for the first `total_iters` steps, then `lr`; with 0 steps the factor stays, as in PyTorch.
    ///
    /// ```
    /// use kolmo::optim::{ConstantLr, Schedule};
    /// assert_eq!(ConstantLr::new(1.0).factor(0.5).lr(4)?, 0.5);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ConstantLr { lr: f64;
        /// The factor, from 0 to 1 (default 1/3).
        factor: f64 = 1.0 / 3.0,
        /// The number of steps with the factor (default 5).
        total_iters: u64 = 5
    }
    |s, t| {
        if !(0.0..=1.0).contains(&s.factor) {
            return Err(Error::invalid("ConstantLr", format!("factor is {}, expected 0 to 1", s.factor)));
        }
        Ok(if t < s.total_iters || s.total_iters == 0 { s.lr * s.factor } else { s.lr })
    }
}

schedule! {
    /// From `lr · start_factor` in a straight line to `lr · end_factor`, and on at that: a warm-up. With 0 steps the first
    /// factor stays, as in PyTorch.
    ///
    /// ```
    /// use kolmo::optim::{LinearLr, Schedule};
    /// assert_eq!(LinearLr::new(1.0).start_factor(0.5).total_iters(10).lr(5)?, 0.75);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    LinearLr { lr: f64;
        /// The factor at step 0, above 0 and up to 1 (default 1/3).
        start_factor: f64 = 1.0 / 3.0,
        /// The factor from step `total_iters` on, from 0 to 1 (default 1).
        end_factor: f64 = 1.0,
        /// The number of steps from one to the other (default 5).
        total_iters: u64 = 5
    }
    |s, t| {
        let (start, end) = (s.start_factor, s.end_factor);
        if !(start > 0.0 && start <= 1.0 && (0.0..=1.0).contains(&end)) {
            let message = format!("factors {start} and {end}: expected above 0 up to 1, and 0 to 1");
            return Err(Error::invalid("LinearLr", message));
        }
        let part = match s.total_iters {
            0 => 0.0,
            n => t.min(n) as f64 / n as f64,
        };
        Ok(s.lr * (start + (end - start) * part))
    }
}

schedule! {
    /// `lr · (1 - t / total_iters)^power`, then 0; with 0 steps `lr` stays, as in PyTorch.
    ///
    /// ```
    /// use kolmo::optim::{PolynomialLr, Schedule};
    /// assert_eq!(PolynomialLr::new(1.0, 10).power(2.0).lr(5)?, 0.25);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    PolynomialLr { lr: f64, total_iters: u64;
        /// The power (default 1).
        power: f64 = 1.0
    }
    |s, t| {
        if s.total_iters == 0 {
            return Ok(s.lr);
        }
        Ok(s.lr * Arithmetic::pow(1.0 - t.min(s.total_iters) as f64 / s.total_iters as f64, s.power))
    }
}

schedule! {
    /// `eta_min + (lr - eta_min)(1 + cos(πt / t_max)) / 2` (Loshchilov and Hutter, 2017); it rises again after `t_max`.
    ///
    /// ```
    /// use kolmo::optim::{CosineAnnealingLr, Schedule};
    /// assert_eq!(CosineAnnealingLr::new(1.0, 10).eta_min(0.5).lr(10)?, 0.5);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    CosineAnnealingLr { lr: f64, t_max: u64;
        /// The lowest rate (default 0).
        eta_min: f64 = 0.0
    }
    |s, t| {
        positive("CosineAnnealingLr", "t_max", s.t_max)?;
        Ok(cosine(s.lr, s.eta_min, t as f64 / s.t_max as f64))
    }
}

schedule! {
    /// Cosine annealing that starts anew after `t_0` steps, then after `t_0 · t_mult`, `t_0 · t_mult²`, …
    /// (Loshchilov and Hutter, 2017).
    ///
    /// ```
    /// use kolmo::optim::{CosineAnnealingWarmRestarts, Schedule};
    /// assert_eq!(CosineAnnealingWarmRestarts::new(1.0, 10).t_mult(2).lr(30)?, 1.0);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    CosineAnnealingWarmRestarts { lr: f64, t_0: u64;
        /// How much longer each round is than the last (default 1).
        t_mult: u64 = 1,
        /// The lowest rate (default 0).
        eta_min: f64 = 0.0
    }
    |s, t| {
        positive("CosineAnnealingWarmRestarts", "t_0", s.t_0)?;
        positive("CosineAnnealingWarmRestarts", "t_mult", s.t_mult)?;
        let (mut t, mut round) = (t, s.t_0);
        if s.t_mult == 1 {
            t %= round;
        }
        while t >= round {
            t -= round;
            round = round.saturating_mul(s.t_mult);
        }
        Ok(cosine(s.lr, s.eta_min, t as f64 / round as f64))
    }
}

schedule! {
    /// Up to `max_lr` and down again over `total_steps` (Smith and Topin, 2018), and on at the last rate.
    ///
    /// ```
    /// use kolmo::optim::{OneCycleLr, Schedule};
    /// assert_eq!(OneCycleLr::new(1.0, 100).lr(29)?, 1.0);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    OneCycleLr { max_lr: f64, total_steps: u64;
        /// The part of the steps in which the rate rises (default 0.3).
        pct_start: f64 = 0.3,
        /// Straight lines instead of cosines (PyTorch's `anneal_strategy="linear"`; default off).
        linear: bool = false,
        /// The first rate is `max_lr / div_factor` (default 25).
        div_factor: f64 = 25.0,
        /// The last rate is the first over this (default 1e4).
        final_div_factor: f64 = 1e4,
        /// Down to the first rate as fast as up, then to the last one (default off).
        three_phase: bool = false
    }
    |s, t| {
        positive("OneCycleLr", "total_steps", s.total_steps)?;
        if !(0.0..=1.0).contains(&s.pct_start) {
            let message = format!("pct_start is {}, expected 0 to 1", s.pct_start);
            return Err(Error::invalid("OneCycleLr", message));
        }
        let first = s.max_lr / s.div_factor;
        let (last, total) = (first / s.final_div_factor, s.total_steps as f64);
        let up = s.pct_start * total - 1.0;
        let t = (t as f64).min(total - 1.0);
        let down = if s.three_phase { 2.0 * s.pct_start * total - 2.0 } else { total - 1.0 };
        let (from, to, start, end) = if t <= up {
            (first, s.max_lr, 0.0, up)
        } else if t <= down || !s.three_phase {
            (s.max_lr, if s.three_phase { first } else { last }, up, down)
        } else {
            (first, last, down, total - 1.0)
        };
        let part = if end > start { (t - start) / (end - start) } else { 1.0 };
        Ok(if s.linear { from + (to - from) * part } else { cosine(from, to, part) })
    }
}

/// How the height of a [`CyclicLr`]'s cycles changes.
///
/// ```
/// use kolmo::optim::{CyclicLr, CyclicMode, Schedule};
/// let schedule = CyclicLr::new(0.0, 1.0).step_size_up(10).mode(CyclicMode::Triangular2);
/// assert_eq!((schedule.lr(10)?, schedule.lr(30)?), (1.0, 0.5));
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum CyclicMode {
    /// All are as high as the first.
    Triangular,
    /// Each is half as high as the one before.
    Triangular2,
    /// The height is multiplied by this number with every step.
    ExpRange(f64),
}

schedule! {
    /// From `base_lr` to `max_lr` and back in straight lines, over and over (Smith, 2017).
    ///
    /// ```
    /// use kolmo::optim::{CyclicLr, Schedule};
    /// assert_eq!(CyclicLr::new(0.5, 1.0).step_size_up(10).lr(10)?, 1.0);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    CyclicLr { base_lr: f64, max_lr: f64;
        /// Steps on the way up (default 2000).
        step_size_up: u64 = 2000,
        /// Steps on the way down (default: as many as up).
        step_size_down: Option<u64> = None,
        /// How the height changes (default [`CyclicMode::Triangular`]).
        mode: CyclicMode = CyclicMode::Triangular
    }
    |s, t| {
        let down = s.step_size_down.unwrap_or(s.step_size_up);
        positive("CyclicLr", "step_size_up", s.step_size_up)?;
        positive("CyclicLr", "step_size_down", down)?;
        let (up, down) = (s.step_size_up as f64, down as f64);
        let cycle = (t as f64 / (up + down)).floor();
        let at = t as f64 - cycle * (up + down);
        let height = (s.max_lr - s.base_lr) * if at <= up { at / up } else { (up + down - at) / down };
        Ok(s.base_lr + height * match s.mode {
            CyclicMode::Triangular => 1.0,
            CyclicMode::Triangular2 => Arithmetic::pow(0.5f64, cycle),
            CyclicMode::ExpRange(gamma) => Arithmetic::pow(gamma, t as f64),
        })
    }
}

schedule! {
    /// A straight line to `lr` over `warmup` steps, `lr · (t + 1) / (warmup + 1)`, so that the first step moves
    /// something; then half a cosine that reaches `eta_min` at step `total`.
    ///
    /// ```
    /// use kolmo::optim::{WarmupCosineLr, Schedule};
    /// assert_eq!(WarmupCosineLr::new(1.0, 3, 100).lr(1)?, 0.5);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    WarmupCosineLr { lr: f64, warmup: u64, total: u64;
        /// The lowest rate (default 0).
        eta_min: f64 = 0.0
    }
    |s, t| {
        if s.total <= s.warmup {
            let message = format!("{} steps in all, {} of warm-up: expected more in all", s.total, s.warmup);
            return Err(Error::invalid("WarmupCosineLr", message));
        }
        if t < s.warmup {
            return Ok(s.lr * (t + 1) as f64 / (s.warmup + 1) as f64);
        }
        let part = (t.min(s.total) - s.warmup) as f64 / (s.total - s.warmup) as f64;
        Ok(cosine(s.lr, s.eta_min, part))
    }
}
