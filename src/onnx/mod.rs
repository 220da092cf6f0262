//! Models to ONNX files and from them.
mod attention;
mod codes;
mod emit;
mod export;
mod functions;
mod model;
mod operations;
mod patterns;
mod proto;
mod read;
mod recurrent;
mod run;
mod seen;
mod value;
mod weights;

pub use export::Export;
pub use model::Model;
