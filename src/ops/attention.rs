//! Attention: weighted means of values, by the likeness of queries and keys.
use super::{
    checks::sharing,
    list::{Attend, Float},
};
use crate::{tape::Var, tensor::Tensor};
use std::borrow::Cow;

/// What a query may not see, or sees less of; it broadcasts to `[…, queries, keys]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AttentionMask<'t, T: Float> {
    /// Only pairs that are true take part. A query without any gives zeros.
    Bool(Tensor<bool>),
    /// Added to the scores. A query whose row is -∞ throughout gives zeros.
    Additive(Var<'t, T>),
}

impl<T: Float> From<Tensor<bool>> for AttentionMask<'_, T> {
    fn from(mask: Tensor<bool>) -> Self {
        AttentionMask::Bool(mask)
    }
}

impl<T: Float> From<&Tensor<bool>> for AttentionMask<'_, T> {
    fn from(mask: &Tensor<bool>) -> Self {
        AttentionMask::Bool(mask.clone())
    }
}

impl<'t, T: Float> From<Var<'t, T>> for AttentionMask<'t, T> {
    fn from(bias: Var<'t, T>) -> Self {
        AttentionMask::Additive(bias)
    }
}

impl<'t, T: Float> From<&Var<'t, T>> for AttentionMask<'t, T> {
    fn from(bias: &Var<'t, T>) -> Self {
        AttentionMask::Additive(bias.clone())
    }
}

/// Options of [`Var::scaled_dot_product_attention`], with PyTorch's names and defaults.
///
/// ```
/// use kolmo::{Tape, Tensor, ops::AttentionOptions};
/// let tape = Tape::<f32>::inference();
/// let x = tape.constant(Tensor::ones([2, 4, 5, 8])); // [batch, heads, length, width]
/// let y = x.scaled_dot_product_attention(&x, &x, &AttentionOptions::new().is_causal(true));
/// assert_eq!(y.shape(), &[2, 4, 5, 8]);
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until they are given to what they are for"]
pub struct AttentionOptions<'t, T: Float> {
    attn_mask: Option<AttentionMask<'t, T>>,
    is_causal: bool,
    causal_lower_right: bool,
    dropout_p: f64,
    scale: Option<f64>,
}

impl<T: Float> Default for AttentionOptions<'_, T> {
    fn default() -> Self {
        AttentionOptions {
            attn_mask: None,
            is_causal: false,
            causal_lower_right: false,
            dropout_p: 0.0,
            scale: None,
        }
    }
}

impl<'t, T: Float> AttentionOptions<'t, T> {
    /// All pairs, no dropout, PyTorch's scale.
    pub fn new() -> Self {
        AttentionOptions::default()
    }

    /// Which pairs take part (default: all): a `Tensor<bool>`, true where they do, or a [`Var`] that is added
    /// to the scores.
    pub fn attn_mask(self, mask: impl Into<AttentionMask<'t, T>>) -> Self {
        AttentionOptions { attn_mask: Some(mask.into()), ..self }
    }

    /// Whether a query sees only keys up to its own place (default no), both counted from the first; instead
    /// of a mask.
    pub fn is_causal(self, is_causal: bool) -> Self {
        AttentionOptions { is_causal, ..self }
    }

    /// Whether a query sees only keys up to its own place (default no), both counted from the last: of `l`
    /// queries and `s` keys the i-th sees the first i + s - l, or none. So it is where the queries are the
    /// end of a longer sequence, whose keys a [`KvCache`](crate::nn::KvCache) holds. Instead of a mask or
    /// [`is_causal`](AttentionOptions::is_causal).
    pub fn causal_lower_right(self, causal_lower_right: bool) -> Self {
        AttentionOptions { causal_lower_right, ..self }
    }

    /// Probability that a weight is dropped in training (default 0).
    pub fn dropout_p(self, dropout_p: f64) -> Self {
        AttentionOptions { dropout_p, ..self }
    }

    /// What scores are multiplied by (default `1 / √d`).
    pub fn scale(self, scale: impl Into<Option<f64>>) -> Self {
        AttentionOptions { scale: scale.into(), ..self }
    }
}

/// # Attention
impl<'t, T: Float> Var<'t, T> {
    /// `softmax(q·kᵀ · scale + mask) · v` (Vaswani et al., 2017): `self` are queries `[…, l, d]`, keys
    /// `[…, s, d]`, values `[…, s, e]`. Where there are more heads (third axis from the end) of queries than
    /// of keys, neighbouring ones share.
    #[track_caller]
    pub fn scaled_dot_product_attention(
        &self,
        key: &Var<'t, T>,
        value: &Var<'t, T>,
        options: &AttentionOptions<'t, T>,
    ) -> Var<'t, T> {
        let operands = [self, key, value];
        if let Some(failed) = operands.iter().find(|v| v.failed_id().is_some()) {
            return (*failed).clone();
        }
        if operands.iter().any(|v| v.rank() < 2)
            || self.dim(-1) != key.dim(-1)
            || key.dim(-2) != value.dim(-2)
        {
            let message = format!(
                "takes queries […, l, d], keys […, s, d] and values […, s, e], not {}, {} and {}",
                self.shape(),
                key.shape(),
                value.shape()
            );
            return self.tape().fail_op("scaled_dot_product_attention", message, &operands);
        }
        let ways = [options.is_causal, options.causal_lower_right, options.attn_mask.is_some()];
        if ways.into_iter().filter(|&way| way).count() > 1 {
            let message = "takes a mask, is_causal or causal_lower_right, not more than one of them";
            return self.tape().fail_op("scaled_dot_product_attention", message, &operands);
        }
        let y = self.attend(key, value, options);
        let mask = match &options.attn_mask {
            Some(AttentionMask::Additive(bias)) => Some(bias),
            _ => None,
        };
        y.named("scaled_dot_product_attention", &[&operands[..], mask.as_slice()].concat())
    }

    /// Attention of operands that fit each other.
    #[track_caller]
    pub(crate) fn attend(
        &self,
        key: &Var<'t, T>,
        value: &Var<'t, T>,
        options: &AttentionOptions<'t, T>,
    ) -> Var<'t, T> {
        fn lead<'a, T: Float>(v: &'a Var<'_, T>) -> &'a [usize] {
            v.shape().split_at(v.rank().saturating_sub(2)).0
        }
        let keep = match &options.attn_mask {
            Some(AttentionMask::Bool(keep)) => Some(keep.clone()),
            _ => None,
        };
        let plain = keep.is_some() == options.attn_mask.is_some()
            && (options.dropout_p == 0.0 || !self.tape().is_training());
        let scores = lead(self).iter().copied().chain([self.dim(-2), key.dim(-2)]).collect();
        let fits =
            keep.as_ref().is_none_or(|keep| keep.lack().is_none() && keep.layout().expand(&scores).is_ok());
        let fused = plain && fits && lead(key) == lead(value);
        // Heads that share keys need copies of them for gradients alone.
        let constant = [self, key, value].iter().all(|v| v.node().is_none());
        let [key, value] = match fused && constant && sharing(self.shape(), key.shape()).is_some() {
            true => [key, value].map(Cow::Borrowed),
            false => [key, value].map(|v| Cow::Owned(self.shared(v))),
        };
        let (key, value) = (&*key, &*value);
        if fused && sharing(self.shape(), key.shape()).is_some_and(|each| each == 1 || constant) {
            let (causal, lower_right) = (options.is_causal, options.causal_lower_right);
            let op = Attend { causal, lower_right, scale: self.attention_scale(options), keep };
            return self.tape().apply(op, &[self, key, value]);
        }
        self.attention_weights(key, options).matmul(value)
    }

    fn attention_scale(&self, options: &AttentionOptions<'t, T>) -> f64 {
        options.scale.unwrap_or(1.0 / (self.dim(-1).max(1) as f64).sqrt())
    }

    /// The weights by which values are summed, `[…, l, s]`, dropout included.
    #[track_caller]
    pub(crate) fn attention_weights(
        &self,
        key: &Var<'t, T>,
        options: &AttentionOptions<'t, T>,
    ) -> Var<'t, T> {
        let scores = (self * self.attention_scale(options)).matmul(&key.mt());
        let hidden = |scores: Var<'t, T>, keep: &Tensor<bool>| {
            scores.masked_fill(&keep.logical_not(), f64::NEG_INFINITY).masked_softmax()
        };
        let weights = match &options.attn_mask {
            None if options.causal_lower_right => {
                let (l, s) = (scores.dim(-2), scores.dim(-1));
                let keep = Tensor::from_fn([l, s], |i| i % s.max(1) + l <= i / s.max(1) + s);
                hidden(scores, &keep)
            }
            None if options.is_causal => scores.causal_softmax(),
            None => scores.softmax(-1),
            Some(AttentionMask::Additive(bias)) => (scores + bias).masked_softmax(),
            Some(AttentionMask::Bool(keep)) => hidden(scores, keep),
        };
        weights.dropout(options.dropout_p)
    }

    /// Keys or values with each head repeated for as many heads of queries as there are to it.
    fn shared(&self, other: &Var<'t, T>) -> Var<'t, T> {
        if self.rank() < 3 || other.rank() < 3 {
            return other.clone();
        }
        let (own, heads) = (self.dim(-3), other.dim(-3));
        if heads == own || heads == 0 || own % heads != 0 {
            return other.clone();
        }
        other.repeat_interleave(&Tensor::from([(own / heads) as u32]), Some(-3))
    }
}
