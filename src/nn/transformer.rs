//! The blocks of transformers (Vaswani et al., 2017), and what tells them the places of a sequence's
//! elements. Names of parameters are PyTorch's; sequences are `[n, length, width]`.
use super::{
    AttentionMasks, Layer, LayerNorm, Linear, MultiheadAttention,
    fit::{refused, shaped, within},
};
use crate::{
    checked::{Check, checked, probability},
    error::{Checked, Result},
    ops::Float,
    tape::{Random, Var},
};
use serde::{Deserialize, Serialize};

/// The function between the two products of a transformer's feed-forward part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FeedForwardActivation {
    /// `max(x, 0)`
    #[default]
    Relu,
    /// `x · Φ(x)`
    Gelu,
}

impl FeedForwardActivation {
    #[track_caller]
    fn of<'t, T: Float>(self, x: &Var<'t, T>) -> Var<'t, T> {
        match self {
            FeedForwardActivation::Relu => x.relu(),
            FeedForwardActivation::Gelu => x.gelu(),
        }
    }
}

/// What a transformer's layers are made from, with PyTorch's defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use = "options do nothing until they are given to what they are for"]
pub struct TransformerOptions {
    /// Width of the layer between the two products (2048).
    pub dim_feedforward: usize,
    /// Probability that a part's result, or a weight of the attention, is dropped in training (0.1).
    pub dropout: f64,
    /// Between the two products (ReLU).
    pub activation: FeedForwardActivation,
    /// Whether normalisation comes before each part (no: after the sum with its input).
    pub norm_first: bool,
    /// Whether products and normalisations have biases (yes).
    pub bias: bool,
}

impl Default for TransformerOptions {
    fn default() -> Self {
        TransformerOptions {
            dim_feedforward: 2048,
            dropout: 0.1,
            activation: FeedForwardActivation::Relu,
            norm_first: false,
            bias: true,
        }
    }
}

/// The two products of a layer, and how its parts are put together.
macro_rules! layer {
    ($(#[$m:meta])* $name:ident { $($(#[$fm:meta])* $field:ident: $t:ty),* } [$($attention:ident),*] [$($norm:ident),*]) => {
        $(#[$m])*
        #[derive(Clone, Debug, Serialize)]
        pub struct $name<T: Float = f32> {
            $($(#[$fm])* pub $field: $t,)*
            /// `[dim_feedforward, d_model]`
            pub linear1: Linear<T>,
            /// `[d_model, dim_feedforward]`
            pub linear2: Linear<T>,
            /// Between the two.
            pub activation: FeedForwardActivation,
            /// Whether normalisation comes before each part.
            pub norm_first: bool,
            /// Probability that a part's result is dropped in training.
            pub dropout: f64,
        }

        checked!($name<T> {
            $($field: $t,)*
            linear1: Linear<T>,
            linear2: Linear<T>,
            activation: FeedForwardActivation,
            norm_first: bool,
            dropout: f64,
        });

        impl<T: Float> Check for $name<T> {
            fn check(&self) -> Checked<()> {
                let width = self.width();
                $(
                    within(stringify!($attention), self.$attention.check())?;
                    shaped(concat!(stringify!($attention), ": out_proj: weight"), &self.$attention.out_proj.weight, &[width, width])?;
                )*
                $(norm(stringify!($norm), &self.$norm, width)?;)*
                within("linear1", self.linear1.check())?;
                within("linear2", self.linear2.check())?;
                let inner = self.linear1.weight.shape().dim(0);
                shaped("linear1: weight", &self.linear1.weight, &[inner, width])?;
                shaped("linear2: weight", &self.linear2.weight, &[width, inner])?;
                probability("dropout", self.dropout)
            }
        }

        impl<T: Float> $name<T> {
            /// Length of a sequence's elements.
            fn width(&self) -> usize {
                self.self_attn.out_proj.weight.shape().dim(-1)
            }

            /// `x + part(norm(x))`, or `norm(x + part(x))`.
            #[track_caller]
            fn part<'t>(
                &self,
                x: &Var<'t, T>,
                norm: &LayerNorm<T>,
                part: impl Fn(&Var<'t, T>) -> Var<'t, T>,
            ) -> Var<'t, T> {
                if self.norm_first {
                    x + part(&norm.forward(x)).dropout(self.dropout)
                } else {
                    norm.forward(&(x + part(x).dropout(self.dropout)))
                }
            }

            #[track_caller]
            fn feed_forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
                self.linear2.forward(&self.activation.of(&self.linear1.forward(x)).dropout(self.dropout))
            }
        }
    };
}

layer! {
    /// Attention of a sequence to itself, then two products for each of its elements, both added to what came in.
    TransformerEncoderLayer {
        /// Attention to the sequence itself.
        self_attn: MultiheadAttention<T>,
        /// Of the attention.
        norm1: LayerNorm<T>,
        /// Of the products.
        norm2: LayerNorm<T>
    } [self_attn] [norm1, norm2]
}

layer! {
    /// Attention of a sequence to itself, then to another one, the encoder's, then two products for each element.
    TransformerDecoderLayer {
        /// Attention to the sequence itself.
        self_attn: MultiheadAttention<T>,
        /// Attention to the encoder's results.
        multihead_attn: MultiheadAttention<T>,
        /// Of the attention to itself.
        norm1: LayerNorm<T>,
        /// Of the attention to the other.
        norm2: LayerNorm<T>,
        /// Of the products.
        norm3: LayerNorm<T>
    } [self_attn, multihead_attn] [norm1, norm2, norm3]
}

/// That a normalisation is of vectors of this length.
fn norm<T: Float>(field: &str, norm: &LayerNorm<T>, width: usize) -> Checked<()> {
    within(field, norm.check())?;
    if norm.normalized_shape == [width] {
        return Ok(());
    }
    Err(format!("{field}: normalized_shape is {:?}, expected [{width}]", norm.normalized_shape))
}

/// That an input is one sequence or several, of vectors of this length.
fn sequences<T: Float>(x: &Var<'_, T>, width: usize) -> Checked<()> {
    match x.shape()[..] {
        [_, own] | [_, _, own] if own == width => Ok(()),
        _ => Err(format!("takes [n, length, {width}], not {}", x.shape())),
    }
}

/// Layers of a width, with or without biases.
struct Parts<'r> {
    d_model: usize,
    heads: usize,
    options: TransformerOptions,
    rng: &'r mut Random,
}

impl Parts<'_> {
    fn attention<T: Float>(&mut self) -> Result<MultiheadAttention<T>> {
        let new = MultiheadAttention::new(self.d_model, self.heads, self.rng)?;
        let new = MultiheadAttention { dropout: self.options.dropout, ..new };
        if self.options.bias {
            return Ok(new);
        }
        Ok(MultiheadAttention { in_proj_bias: None, out_proj: new.out_proj.bias(false), ..new })
    }

    fn linear<T: Float>(&mut self, inputs: usize, outputs: usize) -> Linear<T> {
        let new = Linear::new(inputs, outputs, self.rng);
        if self.options.bias { new } else { new.bias(false) }
    }

    fn norm<T: Float>(&self) -> LayerNorm<T> {
        let new = LayerNorm::new([self.d_model]);
        if self.options.bias { new } else { LayerNorm { bias: None, ..new } }
    }
}

impl<T: Float> TransformerEncoderLayer<T> {
    /// A layer of this width and as many heads.
    ///
    /// # Errors
    /// The heads don't divide the width.
    pub fn new(
        d_model: usize,
        heads: usize,
        options: TransformerOptions,
        rng: &mut Random,
    ) -> Result<Self> {
        let mut parts = Parts { d_model, heads, options, rng };
        Ok(TransformerEncoderLayer {
            self_attn: parts.attention()?,
            linear1: parts.linear(d_model, options.dim_feedforward),
            linear2: parts.linear(options.dim_feedforward, d_model),
            norm1: parts.norm(),
            norm2: parts.norm(),
            activation: options.activation,
            norm_first: options.norm_first,
            dropout: options.dropout,
        })
    }

    /// `[n, length, d_model]` to the same shape.
    #[track_caller]
    pub fn forward<'t>(&self, x: &Var<'t, T>, masks: &AttentionMasks<'t, T>) -> Var<'t, T> {
        let fits = || {
            self.check()?;
            sequences(x, self.width())
        };
        if let Some(failed) = refused("TransformerEncoderLayer", &[x], fits) {
            return failed;
        }
        let x = self.part(x, &self.norm1, |x| self.self_attn.forward(x, x, x, masks));
        self.part(&x, &self.norm2, |x| self.feed_forward(x))
    }
}

impl<T: Float> TransformerDecoderLayer<T> {
    /// A layer of this width and as many heads.
    ///
    /// # Errors
    /// The heads don't divide the width.
    pub fn new(
        d_model: usize,
        heads: usize,
        options: TransformerOptions,
        rng: &mut Random,
    ) -> Result<Self> {
        let mut parts = Parts { d_model, heads, options, rng };
        Ok(TransformerDecoderLayer {
            self_attn: parts.attention()?,
            multihead_attn: parts.attention()?,
            linear1: parts.linear(d_model, options.dim_feedforward),
            linear2: parts.linear(options.dim_feedforward, d_model),
            norm1: parts.norm(),
            norm2: parts.norm(),
            norm3: parts.norm(),
            activation: options.activation,
            norm_first: options.norm_first,
            dropout: options.dropout,
        })
    }

    /// `[n, length, d_model]` to the same shape; `memory` is `[n, other length, d_model]`.
    #[track_caller]
    pub fn forward<'t>(
        &self,
        x: &Var<'t, T>,
        memory: &Var<'t, T>,
        masks: &AttentionMasks<'t, T>,
        memory_masks: &AttentionMasks<'t, T>,
    ) -> Var<'t, T> {
        let fits = || {
            self.check()?;
            sequences(x, self.width())?;
            within("memory", sequences(memory, self.width()))
        };
        if let Some(failed) = refused("TransformerDecoderLayer", &[x, memory], fits) {
            return failed;
        }
        let x = self.part(x, &self.norm1, |x| self.self_attn.forward(x, x, x, masks));
        let x = self.part(&x, &self.norm2, |x| self.multihead_attn.forward(x, memory, memory, memory_masks));
        self.part(&x, &self.norm3, |x| self.feed_forward(x))
    }
}

/// Encoder layers one after the other, and a normalisation at the end where
/// [`norm_first`](TransformerOptions::norm_first) is set.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, nn::{AttentionMasks, TransformerEncoder, TransformerOptions}};
/// let options = TransformerOptions { dim_feedforward: 32, ..Default::default() };
/// let encoder = TransformerEncoder::<f32>::new(8, 2, 3, options, &mut Random::new(0))?;
/// let tape = Tape::new();
/// let y = encoder.forward(&tape.constant(Tensor::ones([4, 5, 8])), &AttentionMasks::default());
/// assert_eq!(y.shape(), &[4, 5, 8]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct TransformerEncoder<T: Float = f32> {
    /// The layers.
    pub layers: Vec<TransformerEncoderLayer<T>>,
    /// After the last.
    pub norm: Option<LayerNorm<T>>,
}

checked!(TransformerEncoder<T> { layers: Vec<TransformerEncoderLayer<T>>, norm: Option<LayerNorm<T>> });

impl<T: Float> Check for TransformerEncoder<T> {
    fn check(&self) -> Checked<()> {
        stacked(self.layers.iter().map(|layer| (layer.width(), layer.check())), &self.norm)
    }
}

/// That layers, each with its width and what is wrong with it, and a normalisation are of one width.
fn stacked<T: Float>(
    layers: impl Iterator<Item = (usize, Checked<()>)>,
    last: &Option<LayerNorm<T>>,
) -> Checked<()> {
    let mut width = None;
    for (i, (own, check)) in layers.enumerate() {
        within(&format!("layers.{i}"), check)?;
        if *width.get_or_insert(own) != own {
            return Err(format!("layers.{i}: its width is {own}, that of layers.0 {}", width.unwrap_or(own)));
        }
    }
    match (last, width) {
        (Some(last), Some(width)) => norm("norm", last, width),
        (Some(last), None) => within("norm", last.check()),
        (None, _) => Ok(()),
    }
}

impl<T: Float> TransformerEncoder<T> {
    /// As many layers of this width and as many heads.
    ///
    /// # Errors
    /// The heads don't divide the width.
    pub fn new(
        d_model: usize,
        heads: usize,
        num_layers: usize,
        options: TransformerOptions,
        rng: &mut Random,
    ) -> Result<Self> {
        let layers = (0..num_layers).map(|_| TransformerEncoderLayer::new(d_model, heads, options, rng));
        let layers = layers.collect::<Result<_>>()?;
        let norm = options.norm_first.then(|| Parts { d_model, heads, options, rng }.norm());
        Ok(TransformerEncoder { layers, norm })
    }

    /// `[n, length, d_model]` to the same shape.
    #[track_caller]
    pub fn forward<'t>(&self, x: &Var<'t, T>, masks: &AttentionMasks<'t, T>) -> Var<'t, T> {
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.forward(&x, masks);
        }
        self.norm.as_ref().map_or_else(|| x.clone(), |norm| norm.forward(&x))
    }
}

/// Decoder layers one after the other, and a normalisation at the end where
/// [`norm_first`](TransformerOptions::norm_first) is set.
#[derive(Clone, Debug, Serialize)]
pub struct TransformerDecoder<T: Float = f32> {
    /// The layers.
    pub layers: Vec<TransformerDecoderLayer<T>>,
    /// After the last.
    pub norm: Option<LayerNorm<T>>,
}

checked!(TransformerDecoder<T> { layers: Vec<TransformerDecoderLayer<T>>, norm: Option<LayerNorm<T>> });

impl<T: Float> Check for TransformerDecoder<T> {
    fn check(&self) -> Checked<()> {
        stacked(self.layers.iter().map(|layer| (layer.width(), layer.check())), &self.norm)
    }
}

impl<T: Float> TransformerDecoder<T> {
    /// As many layers of this width and as many heads.
    ///
    /// # Errors
    /// The heads don't divide the width.
    pub fn new(
        d_model: usize,
        heads: usize,
        num_layers: usize,
        options: TransformerOptions,
        rng: &mut Random,
    ) -> Result<Self> {
        let layers = (0..num_layers).map(|_| TransformerDecoderLayer::new(d_model, heads, options, rng));
        let layers = layers.collect::<Result<_>>()?;
        let norm = options.norm_first.then(|| Parts { d_model, heads, options, rng }.norm());
        Ok(TransformerDecoder { layers, norm })
    }

    /// `[n, length, d_model]` to the same shape; `memory` is `[n, other length, d_model]`.
    #[track_caller]
    pub fn forward<'t>(
        &self,
        x: &Var<'t, T>,
        memory: &Var<'t, T>,
        masks: &AttentionMasks<'t, T>,
        memory_masks: &AttentionMasks<'t, T>,
    ) -> Var<'t, T> {
        let mut x = x.clone();
        for layer in &self.layers {
            x = layer.forward(&x, memory, masks, memory_masks);
        }
        self.norm.as_ref().map_or_else(|| x.clone(), |norm| norm.forward(&x))
    }
}
