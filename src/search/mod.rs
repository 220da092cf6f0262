//! Searches for settings: trials over a space of hyper-parameters, of which some figures are to be small. The
//! same seed makes the same trials on any number of threads or processes, and a search that was broken off
//! goes on from its file.
//!
//! ```
//! use kolmo::{Result, search::{Method, Search, Space, Trial}};
//! let space = Space::new().log_float("lr", 1e-4, 1.0).integer("width", 4, 64).choice("norm", ["batch", "layer"]);
//! let found = Search::new(space, ["loss"]).method(Method::Tpe).trials(40).run(|trial: &Trial| {
//!     // Where a model would be trained.
//!     let (lr, width) = (trial.settings.float("lr")?, trial.settings.integer("width")?);
//!     let norm = if trial.settings.text("norm")? == "layer" { 0.0 } else { 0.5 };
//!     Ok([("loss", (lr.log10() + 2.0).abs() + 1.0 / width as f64 + norm)])
//! })?;
//! let best = found.best().unwrap();
//! assert!(best.measured["loss"] < 0.3 && best.settings.text("norm")? == "layer");
//! # Ok::<(), kolmo::Error>(())
//! ```
mod plan;
mod propose;
mod report;
mod run;
mod space;
mod tpe;

pub use plan::{Method, Search, Trial};
pub use report::{Finished, Report};
pub use space::{Settings, Space};
