//! A computation of fixed shapes, recorded once and run again on other values.
//!
//! What is run is the tape itself: its nodes, less those that no result needs and those that are computed
//! twice, in an order that is settled beforehand. Neither layers nor shape checks are gone through again,
//! neighbouring operations element by element run block by block in one pass, and a value is let go after its
//! last use.
//!
//! One that was recorded for one example runs for many at once: `each` is that run, `slopes` the derivative
//! that it needs as operations, `examples` what is asked of it.
//!
//! Scalars have programs of their own, which are recorded without a tape: [`scalars`].
mod batch;
mod build;
mod chain;
mod derivative;
mod each;
mod examples;
mod memory;
mod operand;
mod plan;
mod record;
mod run;
mod scalars;
mod slopes;

pub(crate) use operand::Operand;
pub(crate) use record::Recorded;
pub use run::Program;
pub use scalars::ScalarProgram;
