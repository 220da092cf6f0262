//! Optimisers: they walk a model, and change each parameter that has a gradient, in one pass over its memory.
//! Options and defaults are PyTorch's; an option that makes no sense is an error of the first step.
mod adagrad;
mod adam;
mod adamax;
mod ema;
mod group;
mod lbfgs;
mod line_search;
mod lion;
mod nadam;
mod optimizer;
mod plateau;
mod radam;
mod rmsprop;
mod rule;
mod schedule;
mod sequence;
mod sgd;
mod shard;

pub use adagrad::{Adadelta, Adagrad};
pub use adam::{Adam, AdamW};
pub use adamax::Adamax;
pub use ema::Ema;
pub use group::Group;
pub use lbfgs::Lbfgs;
pub use lion::Lion;
pub use nadam::NAdam;
pub(crate) use optimizer::Slot;
pub use optimizer::{OptimState, Optimizer};
pub use plateau::{ReduceLrOnPlateau, Threshold};
pub use radam::RAdam;
pub use rmsprop::RmsProp;
pub use schedule::{
    ConstantLr, CosineAnnealingLr, CosineAnnealingWarmRestarts, CyclicLr, CyclicMode, ExponentialLr,
    LinearLr, MultiStepLr, OneCycleLr, PolynomialLr, Schedule, StepLr, WarmupCosineLr,
};
pub use sequence::{AnySchedule, ChainedLr, SequentialLr};
pub use sgd::Sgd;
pub use shard::Shard;
