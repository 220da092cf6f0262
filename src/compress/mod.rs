//! Models made small: pruning, shared values, distillation; entropy coding and the `.kolmo` file; lengths in bits.
//!
//! A model is pruned with [`prune`], or learns which weights it doesn't need ([`Variational`], [`Gates`]); its weights are tied to a
//! few values with [`quantize`], which can be felt in training ([`Quantizer`](quantize::Quantizer)); with [`rate`](fn@rate) in the loss it
//! finds by itself which weights and values are worth their bits. It is trained against a larger
//! one with [`distill`], and whole channels are cut out of it with [`Channels`]. A [`Recipe`] says stages of that in a file.
//!
//! [`pack`] makes an [`Artifact`] of a model, which is written to a file; [`unpack`] puts a file into a model, and [`Compact`] runs it
//! as it is stored. A [`Ledger`] tells bytes, multiply-adds and time, [`description_length`] the bits that all of that comes to.

mod affine;
mod calibrate;
pub mod coding;
mod compact;
mod curvature;
pub mod distill;
mod fake;
pub mod format;
mod gates;
mod ledger;
mod length;
mod low_rank;
mod models;
mod pack;
pub mod prune;
pub mod quantize;
mod rate;
pub mod recipe;
mod runner;
pub mod scores;
mod structure;
mod variational;

pub use crate::real::half::{f16_bits, f16_to_f32, round_to_f16};
pub use affine::{Affine, Along};
pub use compact::{Int8Linear, SparseLinear};
pub use curvature::Curvature;
pub use format::{Artifact, Entry, EntryData, Part, PartSize, Sizes};
pub use gates::{Gate, Gates};
pub use ledger::{Latency, Ledger, Work};
pub use length::{data_length, description_length};
pub use low_rank::{hashed, low_rank};
pub use pack::{pack, unpack};
pub use rate::rate;
pub use recipe::{Recipe, Task};
pub use runner::{Compact, CompactLinear};
pub use structure::Channels;
pub use variational::Variational;

use crate::{
    error::{Error, Result},
    param::inventory,
    tensor::Shape,
};
use serde::Serialize;

/// The usual choice of what is pruned and quantised: weights of two axes or more, not biases and gains.
///
/// ```
/// use kolmo::{Shape, compress::matrices};
/// assert!(matrices("fc.weight", &Shape::new(&[10, 20])) && !matrices("fc.bias", &Shape::new(&[10])));
/// ```
pub fn matrices(_name: &str, shape: &Shape) -> bool {
    shape.rank() >= 2
}

/// Every parameter.
pub fn everything(_name: &str, _shape: &Shape) -> bool {
    true
}

/// That something was found to be worked on: a filter that picks nothing is a slip.
fn picks_some<M: Serialize + ?Sized>(what: &'static str, model: &M, found: usize) -> Result<()> {
    match found {
        0 => Err(Error::invalid(what, format!("the filter picks no parameter: {}", inventory(model)))),
        _ => Ok(()),
    }
}

/// Runs the body for each parameter that is a field of the model, those of `f32` first, then those of `f64`.
macro_rules! each_field {
    ($model:expr, |$name:ident, $p:ident| $body:expr) => {{
        crate::param::visit_fields($model, |path, $p: &crate::nn::Param<f32>| {
            let $name = path.to_string();
            $body
        });
        crate::param::visit_fields($model, |path, $p: &crate::nn::Param<f64>| {
            let $name = path.to_string();
            $body
        });
    }};
}
use each_field;
