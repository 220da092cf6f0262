//! The blocks of transformers (Vaswani et al., 2017), and what tells them the places of a sequence's
//! elements. Names of parameters are PyTorch's; sequences are `[n, length, width]`.
use super::{
    AttentionMasks, FeedForwardActivation, Layer, LayerNorm, Linear, MultiheadAttention,
    MultiheadAttentionOptions, TransformerOptions,
    fit::{refused, shaped, within},
};
use crate::{
    checked::{Check, checked, probability},
    error::{Checked, Result},
    ops::Float,
    tape::{Random, Var},
};
use serde::Serialize;

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
            pub(super) fn width(&self) -> usize {
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
pub(super) fn norm<T: Float>(field: &str, norm: &LayerNorm<T>, width: usize) -> Checked<()> {
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
    nhead: usize,
    options: TransformerOptions,
    rng: &'r mut Random,
}

impl Parts<'_> {
    fn attention<T: Float>(&mut self) -> Result<MultiheadAttention<T>> {
        let TransformerOptions { dropout, bias, .. } = self.options;
        let options = MultiheadAttentionOptions::new().dropout(dropout).bias(bias);
        MultiheadAttention::with_dtype(self.d_model, self.nhead, options, self.rng)
    }

    fn linear<T: Float>(&mut self, inputs: usize, outputs: usize) -> Linear<T> {
        Linear::with_dtype(inputs, outputs, self.rng).bias(self.options.bias)
    }
}

/// A normalisation of vectors of this length.
pub(super) fn layer_norm<T: Float>(length: usize, options: TransformerOptions) -> LayerNorm<T> {
    let new = LayerNorm::with_dtype([length]);
    if options.bias { new } else { LayerNorm { bias: None, ..new } }
}

impl TransformerEncoderLayer {
    /// A layer of this width and as many heads, with PyTorch's options.
    ///
    /// # Errors
    /// The heads don't divide the width.
    pub fn new(d_model: usize, nhead: usize, rng: &mut Random) -> Result<Self> {
        TransformerEncoderLayer::with_options(d_model, nhead, TransformerOptions::new(), rng)
    }

    /// The same with other options.
    ///
    /// # Errors
    /// The heads don't divide the width; the dropout isn't from 0 to 1.
    pub fn with_options(
        d_model: usize,
        nhead: usize,
        options: TransformerOptions,
        rng: &mut Random,
    ) -> Result<Self> {
        TransformerEncoderLayer::with_dtype(d_model, nhead, options, rng)
    }
}

impl<T: Float> TransformerEncoderLayer<T> {
    /// As [`with_options`](TransformerEncoderLayer::with_options) with numbers of another type.
    ///
    /// # Errors
    /// As there.
    pub fn with_dtype(
        d_model: usize,
        nhead: usize,
        options: TransformerOptions,
        rng: &mut Random,
    ) -> Result<Self> {
        let mut parts = Parts { d_model, nhead, options, rng };
        Ok(TransformerEncoderLayer {
            self_attn: parts.attention()?,
            linear1: parts.linear(d_model, options.dim_feedforward),
            linear2: parts.linear(options.dim_feedforward, d_model),
            norm1: layer_norm(d_model, options),
            norm2: layer_norm(d_model, options),
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

impl TransformerDecoderLayer {
    /// A layer of this width and as many heads, with PyTorch's options.
    ///
    /// # Errors
    /// The heads don't divide the width.
    pub fn new(d_model: usize, nhead: usize, rng: &mut Random) -> Result<Self> {
        TransformerDecoderLayer::with_options(d_model, nhead, TransformerOptions::new(), rng)
    }

    /// The same with other options.
    ///
    /// # Errors
    /// The heads don't divide the width; the dropout isn't from 0 to 1.
    pub fn with_options(
        d_model: usize,
        nhead: usize,
        options: TransformerOptions,
        rng: &mut Random,
    ) -> Result<Self> {
        TransformerDecoderLayer::with_dtype(d_model, nhead, options, rng)
    }
}

impl<T: Float> TransformerDecoderLayer<T> {
    /// As [`with_options`](TransformerDecoderLayer::with_options) with numbers of another type.
    ///
    /// # Errors
    /// As there.
    pub fn with_dtype(
        d_model: usize,
        nhead: usize,
        options: TransformerOptions,
        rng: &mut Random,
    ) -> Result<Self> {
        let mut parts = Parts { d_model, nhead, options, rng };
        Ok(TransformerDecoderLayer {
            self_attn: parts.attention()?,
            multihead_attn: parts.attention()?,
            linear1: parts.linear(d_model, options.dim_feedforward),
            linear2: parts.linear(options.dim_feedforward, d_model),
            norm1: layer_norm(d_model, options),
            norm2: layer_norm(d_model, options),
            norm3: layer_norm(d_model, options),
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
