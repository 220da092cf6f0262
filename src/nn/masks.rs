//! Which keys the queries of a layer of attention may see.
use crate::{
    error::Checked,
    ops::{AttentionMask, AttentionOptions, Float, Pad},
    tape::Var,
    tensor::Tensor,
};

/// What the queries of a layer may see; all by default.
///
/// What is true takes part, as in [`Var::scaled_dot_product_attention`]; the masks of PyTorch's layers say
/// the opposite.
///
/// ```
/// use kolmo::{Tensor, nn::AttentionMasks};
/// let lengths = Tensor::from([[true, true, true], [true, false, false]]); // 3 keys, and 1
/// let masks = AttentionMasks::<f32>::new().key_mask(lengths).is_causal(true);
/// # drop(masks);
/// ```
#[derive(Clone, Debug)]
#[must_use = "masks do nothing until they are given to a layer"]
#[doc(alias("attn_mask", "key_padding_mask"))]
pub struct AttentionMasks<'t, T: Float = f32> {
    pairs: Option<AttentionMask<'t, T>>,
    keys: Option<Tensor<bool>>,
    is_causal: bool,
}

impl<T: Float> Default for AttentionMasks<'_, T> {
    fn default() -> Self {
        AttentionMasks { pairs: None, keys: None, is_causal: false }
    }
}

impl<'t, T: Float> AttentionMasks<'t, T> {
    /// Every query sees all keys.
    pub fn new() -> Self {
        AttentionMasks::default()
    }

    /// Each query sees the keys up to its own place.
    pub fn causal() -> Self {
        AttentionMasks::new().is_causal(true)
    }

    /// Which pairs of queries and keys take part: `[l, s]`, or whatever broadcasts to `[n, heads, l, s]`; a
    /// `Tensor<bool>`, or a [`Var`] that is added to the scores.
    pub fn pair_mask(self, mask: impl Into<AttentionMask<'t, T>>) -> Self {
        AttentionMasks { pairs: Some(mask.into()), ..self }
    }

    /// Which keys take part, `[n, s]`, for sequences of different lengths; `[s]` without the axis n.
    pub fn key_mask(self, mask: impl Into<Tensor<bool>>) -> Self {
        AttentionMasks { keys: Some(mask.into()), ..self }
    }

    /// Whether a query sees only keys up to its own place (default no).
    pub fn is_causal(self, is_causal: bool) -> Self {
        AttentionMasks { is_causal, ..self }
    }

    /// That they fit so many sequences, heads, queries and keys.
    pub(super) fn check(&self, [n, heads, queries, keys]: [usize; 4], single: bool) -> Checked<()> {
        let all = [n, heads, queries, keys];
        let fits = |shape: &[usize], to: &[usize]| {
            let axes = shape.iter().rev().zip(to.iter().rev());
            shape.len() <= to.len() && axes.clone().all(|(&size, &to)| size == to || size == 1)
        };
        if let Some(mask) = &self.keys
            && (!fits(mask.shape(), &[n, keys]) || mask.rank() == 0)
        {
            let takes = if single { format!("[{keys}]") } else { format!("[{n}, {keys}]") };
            return Err(format!("the mask of keys has shape {}, expected {takes}", mask.shape()));
        }
        let pairs = match &self.pairs {
            Some(AttentionMask::Bool(mask)) => mask.shape(),
            Some(AttentionMask::Additive(mask)) if mask.failed_id().is_none() => mask.shape(),
            _ => return Ok(()),
        };
        match fits(pairs, &all) {
            true => Ok(()),
            false => Err(format!(
                "the mask of pairs has shape {pairs}, expected [{queries}, {keys}] or what broadcasts to {all:?}"
            )),
        }
    }

    /// All in one, for as many queries and keys, and `extra` keys more that everybody sees.
    #[track_caller]
    pub(super) fn options(
        &self,
        x: &Var<'t, T>,
        queries: usize,
        keys: usize,
        extra: usize,
    ) -> AttentionOptions<'t, T> {
        if self.keys.is_none() && self.pairs.is_none() && (extra == 0 || !self.is_causal) {
            return AttentionOptions::new().is_causal(self.is_causal);
        }
        let tape = x.tape();
        // Ones and zeros, which broadcast and multiply as any numbers.
        let sees = |i: usize| !self.is_causal || i % keys.max(1) <= i / keys.max(1);
        let mut keep = tape.constant(Tensor::from_fn([queries, keys], sees).cast::<T>());
        if let Some(mask) = &self.keys {
            let mask = tape.constant(mask.cast::<T>());
            keep = keep * if mask.rank() == 2 { mask.unsqueeze(1).unsqueeze(1) } else { mask };
        }
        let mut bias = None;
        match &self.pairs {
            Some(AttentionMask::Bool(pairs)) => keep = keep * tape.constant(pairs.cast::<T>()),
            Some(AttentionMask::Additive(pairs)) => bias = Some(pairs + &keep * 0.0),
            None => {}
        }
        let with = |v: Var<'t, T>, value: f64| match extra {
            0 => v,
            _ => v.pad(&[0, extra as isize], Pad::Constant(value)),
        };
        let keep = with(keep, 1.0);
        let mask = match (bias, keep.failed_id()) {
            (Some(bias), None) => {
                let hidden = keep.tensor().to_vec();
                let hidden = Tensor::from_fn(keep.shape(), |i| hidden[i] == T::default());
                AttentionMask::Additive(with(bias, 0.0).masked_fill(&hidden, f64::NEG_INFINITY))
            }
            (Some(bias), Some(_)) => AttentionMask::Additive(bias),
            (None, None) => AttentionMask::Bool(keep.tensor().cast()),
            (None, Some(_)) => AttentionMask::Additive(keep),
        };
        AttentionOptions::new().attn_mask(mask)
    }
}
