//! Models made small: pruning, shared values, distillation; entropy coding and the `.kolmo` file; lengths in
//! bits.
//!
//! A model is pruned with [`prune`], or learns which weights it doesn't need ([`Variational`], [`Gates`]);
//! its weights are tied to a few values with [`quantize`], which can be felt in training
//! ([`Quantizer`](quantize::Quantizer)); with [`rate`](fn@rate) in the loss it finds by itself which weights
//! and values are worth their bits. It is trained against a larger one with [`distill`], and whole channels
//! are cut out of it with [`Channels`]. A [`Recipe`] says stages of that in a file.
//!
//! [`pack`] makes an [`Artifact`] of a model, which is written to a file; [`unpack`] puts a file into a
//! model, which then runs on weights as they are stored ([`Packed`]); a [`MappedModel`] runs from its file. Large models
//! are rounded to few bits by [`WeightOnly`](quantize::WeightOnly), and fine-tuned on top of them by [`Lora`]. A [`CostReport`] tells bytes, multiply-adds and time,
//! [`description_length`] the bits that all of that comes to. [`Standalone`] prints a model as a source that needs
//! nothing else.
//!
//! ```
//! use kolmo::{Random, nn::Linear};
//! use kolmo::compress::{Artifact, description_length, matrices, pack, prune::{self, Amount}, quantize, unpack};
//! let net = Linear::new(64, 10, &mut Random::new(0));
//! let dense = description_length(&net)?;
//! prune::global(&net, Amount::Density(0.2), matrices)?; // a mask, which stays while one trains on
//! quantize::codebooks(&net, 8, matrices)?; // eight values for the weights that are left
//! let file = pack(&net, &[])?.to_bytes()?;
//! assert_eq!(8 * file.len() as u64, description_length(&net)?);
//! assert!(8 * 8 * file.len() < dense as usize); // an eighth of the dense one
//!
//! let copy = Linear::new(64, 10, &mut Random::new(1));
//! unpack(&Artifact::from_bytes(&file)?, &copy)?;
//! assert_eq!(copy.weight.effective()?, net.weight.effective()?);
//! # Ok::<(), kolmo::Error>(())
//! ```

mod affine;
mod blockwise;
mod budget;
mod calibrate;
mod calibration;
mod card;
pub mod coding;
mod compact;
mod curvature;
pub mod distill;
mod fake;
mod feedback;
mod filter;
mod fold;
pub mod format;
mod forms;
mod gates;
mod gptq;
mod half;
mod kept;
mod ledger;
mod length;
mod lora;
mod low_rank;
mod mapped;
mod models;
mod pack;
mod pieces;
mod program;
pub mod prune;
pub mod quantize;
mod rate;
pub mod recipe;
pub mod scores;
mod sparse_gpt;
mod structure;
mod targets;
mod unpack;
mod variational;
mod weight_only;

pub use crate::kernels::packed::{Activations, Codes, HalfFloat, Packed};
pub use crate::nn::filter::{all_params, matrices};
pub use crate::real::half::{f16_bits_to_f32, f32_to_f16_bits, round_to_f16};
pub use affine::{Affine, Along};
pub use blockwise::block_by_block;
pub use calibration::Calibration;
pub use card::ModelCard;
pub use compact::{Int8Linear, SparseLinear};
pub use curvature::ObsSolver;
pub use format::{Artifact, Entry, EntryData, Part, PartSize, Shift, Sizes};
pub use gates::{Gate, Gates};
pub use ledger::{CostReport, Latency, Work};
pub use length::{data_bits, description_length};
pub use lora::{Adapters, Lora};
pub use low_rank::{LowRank, hash_weights, low_rank};
pub use mapped::{MappedModel, save_mapped};
pub use pack::pack;
pub use program::Standalone;
#[cfg(feature = "onnx")]
pub(crate) use program::{Windows, fit, windows};
pub use rate::rate;
pub use recipe::{Recipe, Task};
pub use structure::Channels;
pub use unpack::unpack;
pub use variational::Variational;
