//! Parameters, the walk that finds them in a model, layers and initialisers.
mod activation;
mod attention;
mod conv;
mod embedding;
mod fit;
pub mod init;
mod layers;
mod norm;
mod norm_axes;
pub(crate) mod outline;
mod positions;
mod recurrent;
mod transformer;

pub use activation::{
    Celu, Elu, Gelu, GeluTanh, Glu, Hardshrink, Hardsigmoid, Hardswish, Hardtanh, Identity, LeakyRelu,
    LogSigmoid, LogSoftmax, Mish, PRelu, Relu, Relu6, Selu, Sigmoid, Silu, Softmax, Softplus, Softshrink,
    Softsign, Tanh, Tanhshrink,
};
pub use attention::{AttentionMasks, MultiheadAttention};
pub use conv::{
    AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool1d, AvgPool2d, Conv1d, Conv2d, ConvTranspose1d,
    ConvTranspose2d, Dropout2d, Flatten, MaxPool1d, MaxPool2d, Upsample,
};
pub use embedding::Embedding;
pub use layers::{Dropout, Layer, Linear, Sequential};
pub use norm::{BatchNorm, BatchNorm1d, BatchNorm2d, InstanceNorm};
pub use norm_axes::{GroupNorm, LayerNorm, RmsNorm};
pub use positions::sinusoidal_positions;
pub use recurrent::{Recurrent, RecurrentMode, State};
pub use transformer::{
    FeedForwardActivation, TransformerDecoder, TransformerDecoderLayer, TransformerEncoder,
    TransformerEncoderLayer, TransformerOptions,
};

pub use crate::param::{
    Form, Param, ParamId, ParamState, Parametrize, Path, Steps, deep_copy, named_params, visit_params,
};
