//! Parameters, the walk that finds them in a model, layers and initialisers.
//!
//! # When a type must be written
//!
//! | written | its numbers |
//! | --- | --- |
//! | `Linear::new(64, 32, rng)`, `Conv2d::with_options(…)`, `Recurrent::lstm(…)` | `f32` |
//! | `Linear::<f64>::with_dtype(64, 32, rng)` | `f64`; without `::<f64>` where a field or a function says so |
//! | `Linear::from_weights(w, None)`, [`Param::new(t)`](Param::new), `tape.constant(t)` | those of the tensors |
//! | `Tape::new()`, `Adam::new(1e-3)` | those that they meet; one that meets nothing: `Tape::<f32>::new()` |
//! | `named_params(&net)` | as the result is used; otherwise `named_params::<f32>(&net)` |
//!
//! Types of layers are `f32` where nothing is said: a field `Linear` is a `Linear<f32>`. A constructor with
//! options besides sizes gives them to `with_dtype`, too.
//!
//! ```
//! use kolmo::{Float, Random, Tape, Tensor, nn::{Layer, Linear, Sequential, Tanh}};
//! let rng = &mut Random::new(0);
//! let net = Sequential((Linear::new(2, 8, rng), Tanh, Linear::new(8, 1, rng)));
//! let tape = Tape::new(); // of f32, as the net that it meets
//! assert_eq!(net.forward(&tape.constant(Tensor::ones([5, 2]))).shape(), &[5, 1]);
//!
//! fn deep<T: Float>(rng: &mut Random) -> Sequential<(Linear<T>, Tanh, Linear<T>)> {
//!     Sequential((Linear::with_dtype(2, 8, rng), Tanh, Linear::with_dtype(8, 1, rng)))
//! }
//! let y = deep::<f64>(rng).forward(&Tape::new().constant([[0.0, 1.0]])).item()?;
//! # let _: f64 = y;
//! # Ok::<(), kolmo::Error>(())
//! ```
mod activation;
mod attention;
mod cache;
mod conv;
mod embedding;
mod feed_forward;
pub mod filter;
mod fit;
pub mod init;
mod layers;
mod masks;
mod norm;
mod norm_axes;
mod positions;
mod recurrent;
mod sampling;
mod stacks;
mod transformer;

pub use activation::{
    Celu, Elu, Gelu, GeluTanh, Glu, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, Identity, LeakyRelu,
    LogSigmoid, LogSoftmax, Mish, PRelu, Relu, Relu6, Selu, Sigmoid, Silu, Softmax, Softplus, Softshrink,
    Softsign, Tanh, Tanhshrink,
};
pub use attention::{MultiheadAttention, MultiheadAttentionOptions};
pub use cache::KvCache;
pub use conv::{
    AdaptiveAvgPool2d, AdaptiveMaxPool2d, AdaptiveSize, AvgPool1d, AvgPool2d, Conv1d, Conv2d,
    ConvTranspose1d, ConvTranspose2d, Dropout2d, Flatten, MaxPool1d, MaxPool2d, Upsample,
};
pub use embedding::Embedding;
pub use feed_forward::{FeedForwardActivation, TransformerOptions};
pub use layers::{Dropout, Layer, Linear, Sequential};
pub use masks::AttentionMasks;
pub use norm::{BatchNorm, BatchNorm1d, BatchNorm2d, InstanceNorm};
pub use norm_axes::{GroupNorm, LayerNorm, RmsNorm};
pub use positions::sinusoidal_positions;
pub use recurrent::{Recurrent, RecurrentMode, RecurrentOptions, State};
pub use sampling::Sampling;
pub use stacks::{TransformerDecoder, TransformerEncoder};
pub use transformer::{TransformerDecoderLayer, TransformerEncoderLayer};

pub use crate::param::{
    Form, Param, ParamId, ParamState, Parametrize, Path, Steps, deep_copy, named_params, visit_params,
};
