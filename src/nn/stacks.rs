//! Transformers: their layers one after the other.
use super::{
    AttentionMasks, Layer, LayerNorm, TransformerDecoderLayer, TransformerEncoderLayer, TransformerOptions,
    fit::within,
    transformer::{layer_norm, norm},
};
use crate::{
    checked::{Check, checked},
    error::{Checked, Result},
    ops::Float,
    tape::{Random, Var},
};
use serde::Serialize;

/// Encoder layers one after the other, and a normalisation at the end where
/// [`norm_first`](TransformerOptions::norm_first) is set.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, nn::{AttentionMasks, TransformerEncoder, TransformerOptions}};
/// let options = TransformerOptions::new().dim_feedforward(32).norm_first(true);
/// let encoder = TransformerEncoder::with_options(8, 2, 3, options, &mut Random::new(0))?;
/// let tape = Tape::new();
/// let y = encoder.forward(&tape.constant(Tensor::ones([4, 5, 8])), &AttentionMasks::new());
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

impl TransformerEncoder {
    /// As many layers of this width and as many heads, with PyTorch's options.
    ///
    /// # Errors
    /// The heads don't divide the width.
    pub fn new(d_model: usize, nhead: usize, num_layers: usize, rng: &mut Random) -> Result<Self> {
        TransformerEncoder::with_options(d_model, nhead, num_layers, TransformerOptions::new(), rng)
    }

    /// The same with other options.
    ///
    /// # Errors
    /// The heads don't divide the width; the dropout isn't from 0 to 1.
    pub fn with_options(
        d_model: usize,
        nhead: usize,
        num_layers: usize,
        options: TransformerOptions,
        rng: &mut Random,
    ) -> Result<Self> {
        TransformerEncoder::with_dtype(d_model, nhead, num_layers, options, rng)
    }
}

impl<T: Float> TransformerEncoder<T> {
    /// As [`with_options`](TransformerEncoder::with_options) with numbers of another type.
    ///
    /// # Errors
    /// As there.
    pub fn with_dtype(
        d_model: usize,
        nhead: usize,
        num_layers: usize,
        options: TransformerOptions,
        rng: &mut Random,
    ) -> Result<Self> {
        let layers =
            (0..num_layers).map(|_| TransformerEncoderLayer::with_dtype(d_model, nhead, options, rng));
        let layers = layers.collect::<Result<_>>()?;
        let norm = options.norm_first.then(|| layer_norm(d_model, options));
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

impl TransformerDecoder {
    /// As many layers of this width and as many heads, with PyTorch's options.
    ///
    /// # Errors
    /// The heads don't divide the width.
    pub fn new(d_model: usize, nhead: usize, num_layers: usize, rng: &mut Random) -> Result<Self> {
        TransformerDecoder::with_options(d_model, nhead, num_layers, TransformerOptions::new(), rng)
    }

    /// The same with other options.
    ///
    /// # Errors
    /// The heads don't divide the width; the dropout isn't from 0 to 1.
    pub fn with_options(
        d_model: usize,
        nhead: usize,
        num_layers: usize,
        options: TransformerOptions,
        rng: &mut Random,
    ) -> Result<Self> {
        TransformerDecoder::with_dtype(d_model, nhead, num_layers, options, rng)
    }
}

impl<T: Float> TransformerDecoder<T> {
    /// As [`with_options`](TransformerDecoder::with_options) with numbers of another type.
    ///
    /// # Errors
    /// As there.
    pub fn with_dtype(
        d_model: usize,
        nhead: usize,
        num_layers: usize,
        options: TransformerOptions,
        rng: &mut Random,
    ) -> Result<Self> {
        let layers =
            (0..num_layers).map(|_| TransformerDecoderLayer::with_dtype(d_model, nhead, options, rng));
        let layers = layers.collect::<Result<_>>()?;
        let norm = options.norm_first.then(|| layer_norm(d_model, options));
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
