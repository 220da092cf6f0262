//! Models to ONNX files and from them, with the feature `onnx`.
//!
//! [`Export`] records a function and writes its operations as the nodes of a graph; [`Model`] reads a graph as a model.
//! The repository's `docs/onnx.md` has tables of what becomes what, and says what was checked.
mod attention;
mod codes;
mod constants;
mod dim;
mod emit;
mod export;
mod functions;
mod means;
mod model;
mod operations;
mod patterns;
mod pooling;
mod proto;
mod read;
mod recurrent;
mod run;
mod seen;
mod taken;
mod tensors;
mod value;
mod weights;

pub use export::Export;
pub use model::Model;
