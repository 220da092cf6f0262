//! Multi-head attention with PyTorch's names and layouts of weights. Sequences are `[n, length, width]` or,
//! for one, `[length, width]`.
use super::{
    Layer, Linear,
    fit::{refused, shaped, shaped_if, within},
    init,
};
use crate::{
    checked::{Check, checked, probability},
    error::{Checked, Error, Result},
    ops::{AttentionMask, AttentionOptions, Float, Pad},
    param::Param,
    tape::Var,
    tensor::Tensor,
};
use rand::Rng;
use serde::Serialize;

/// What the queries of a layer may see; all by default.
///
/// What is true takes part, as in [`Var::scaled_dot_product_attention`]; the masks of PyTorch's layers say
/// the opposite.
#[derive(Clone, Debug)]
#[doc(alias("attn_mask", "key_padding_mask"))]
pub struct AttentionMasks<'t, T: Float = f32> {
    /// Pairs of queries and keys, `[l, s]`, or whatever broadcasts to `[n, heads, l, s]`.
    pub pairs: Option<AttentionMask<'t, T>>,
    /// Keys, `[n, s]`, for sequences of different lengths; `[s]` without the axis n.
    pub keys: Option<Tensor<bool>>,
    /// Whether a query sees only keys up to its own place.
    pub is_causal: bool,
}

impl<T: Float> Default for AttentionMasks<'_, T> {
    fn default() -> Self {
        AttentionMasks { pairs: None, keys: None, is_causal: false }
    }
}

impl<'t, T: Float> AttentionMasks<'t, T> {
    /// Each query sees the keys up to its own place.
    pub fn causal() -> Self {
        AttentionMasks { is_causal: true, ..AttentionMasks::default() }
    }

    /// That they fit so many sequences, heads, queries and keys.
    fn check(&self, [n, heads, queries, keys]: [usize; 4], single: bool) -> Checked<()> {
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
    fn options(&self, x: &Var<'t, T>, queries: usize, keys: usize, extra: usize) -> AttentionOptions<'t, T> {
        if self.keys.is_none() && self.pairs.is_none() && (extra == 0 || !self.is_causal) {
            return AttentionOptions { is_causal: self.is_causal, ..AttentionOptions::default() };
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
        AttentionOptions { mask: Some(mask), ..AttentionOptions::default() }
    }
}

/// Attention by several heads, each of which sees its own projections of queries, keys and values (Vaswani et
/// al., 2017).
///
/// ```
/// use kolmo::{Random, Tape, Tensor, nn::{AttentionMasks, MultiheadAttention}};
/// let layer = MultiheadAttention::<f32>::new(8, 2, &mut Random::new(0))?;
/// let tape = Tape::new();
/// let x = tape.constant(Tensor::ones([4, 5, 8])); // 4 sequences of 5
/// assert_eq!(layer.forward(&x, &x, &x, &AttentionMasks::causal()).shape(), &[4, 5, 8]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct MultiheadAttention<T: Float = f32> {
    /// Projections of queries, keys and values, one below the other: `[3 · embed, embed]`.
    pub in_proj_weight: Param<T>,
    /// `[3 · embed]`, zeros at first.
    pub in_proj_bias: Option<Param<T>>,
    /// From the heads' results, side by side, to the output.
    pub out_proj: Linear<T>,
    /// A key that every query sees besides the others, `[1, 1, embed]` (default none).
    pub bias_k: Option<Param<T>>,
    /// Its value.
    pub bias_v: Option<Param<T>>,
    /// Whether every query sees a key and value of zeros too (default no).
    pub add_zero_attn: bool,
    /// Heads.
    pub num_heads: usize,
    /// Probability that a weight of the attention is dropped in training (default 0).
    pub dropout: f64,
}

checked!(MultiheadAttention<T> {
    in_proj_weight: Param<T>,
    in_proj_bias: Option<Param<T>>,
    out_proj: Linear<T>,
    bias_k: Option<Param<T>>,
    bias_v: Option<Param<T>>,
    add_zero_attn: bool,
    num_heads: usize,
    dropout: f64,
});

impl<T: Float> Check for MultiheadAttention<T> {
    fn check(&self) -> Checked<()> {
        within("out_proj", self.out_proj.check())?;
        let width = self.width();
        shaped("out_proj: weight", &self.out_proj.weight, &[width, width])?;
        if self.num_heads == 0 || width == 0 || !width.is_multiple_of(self.num_heads) {
            return Err(format!("num_heads {} doesn't divide a width of {width}", self.num_heads));
        }
        let three = width.saturating_mul(3);
        shaped("in_proj_weight", &self.in_proj_weight, &[three, width])?;
        shaped_if("in_proj_bias", &self.in_proj_bias, &[three])?;
        shaped_if("bias_k", &self.bias_k, &[1, 1, width])?;
        shaped_if("bias_v", &self.bias_v, &[1, 1, width])?;
        if self.bias_k.is_some() != self.bias_v.is_some() {
            return Err("has one of bias_k and bias_v, expected both or none".into());
        }
        probability("dropout", self.dropout)
    }
}

impl<T: Float> MultiheadAttention<T> {
    fn width(&self) -> usize {
        self.out_proj.weight.shape().dim(-1)
    }

    /// That the layer can work with these.
    fn takes(&self, [query, key, value]: [&Var<'_, T>; 3], masks: &AttentionMasks<'_, T>) -> Checked<()> {
        self.check()?;
        let width = self.width();
        let single = query.rank() == 2;
        let sequences = |v: &Var<'_, T>| match v.shape()[..] {
            [length, own] if single && own == width => Some((1, length)),
            [n, length, own] if !single && own == width => Some((n, length)),
            _ => None,
        };
        match [query, key, value].map(sequences) {
            [Some((n, queries)), Some(keys), Some(values)] if keys == values && keys.0 == n => {
                masks.check([n, self.num_heads, queries, keys.1], single)
            }
            _ => Err(format!(
                "takes queries [n, length, {width}], keys and values [n, other length, {width}], not {}, {} and {}",
                query.shape(),
                key.shape(),
                value.shape()
            )),
        }
    }

    /// A layer with PyTorch's starting values.
    ///
    /// # Errors
    /// The heads don't divide the width.
    pub fn new(embed_dim: usize, num_heads: usize, rng: &mut impl Rng) -> Result<Self> {
        if num_heads == 0 || !embed_dim.is_multiple_of(num_heads) {
            let message = format!("{num_heads} heads don't divide a width of {embed_dim}");
            return Err(Error::invalid("MultiheadAttention", message));
        }
        let out_proj = Linear::new(embed_dim, embed_dim, rng);
        if let Some(bias) = &out_proj.bias {
            bias.set(Tensor::zeros([embed_dim]));
        }
        Ok(MultiheadAttention {
            in_proj_weight: Param::new(init::xavier_uniform(
                [embed_dim.saturating_mul(3), embed_dim],
                1.0,
                rng,
            )?),
            in_proj_bias: Some(Param::new(Tensor::zeros([embed_dim.saturating_mul(3)]))),
            out_proj,
            bias_k: None,
            bias_v: None,
            add_zero_attn: false,
            num_heads,
            dropout: 0.0,
        })
    }

    /// Queries `[n, l, embed]`, keys and values `[n, s, embed]` to `[n, l, embed]`. For self-attention give
    /// one value thrice.
    #[track_caller]
    pub fn forward<'t>(
        &self,
        query: &Var<'t, T>,
        key: &Var<'t, T>,
        value: &Var<'t, T>,
        masks: &AttentionMasks<'t, T>,
    ) -> Var<'t, T> {
        self.run(query, key, value, masks, false).0
    }

    /// The same, and beside it the weights by which values were summed, `[n, heads, l, s]`.
    #[track_caller]
    pub fn forward_with_weights<'t>(
        &self,
        query: &Var<'t, T>,
        key: &Var<'t, T>,
        value: &Var<'t, T>,
        masks: &AttentionMasks<'t, T>,
    ) -> (Var<'t, T>, Var<'t, T>) {
        let (y, weights) = self.run(query, key, value, masks, true);
        let failed = y.clone();
        (y, weights.unwrap_or(failed))
    }

    /// The result, and the weights if they are asked for: without them no scores are kept.
    #[track_caller]
    fn run<'t>(
        &self,
        query: &Var<'t, T>,
        key: &Var<'t, T>,
        value: &Var<'t, T>,
        masks: &AttentionMasks<'t, T>,
        weights: bool,
    ) -> (Var<'t, T>, Option<Var<'t, T>>) {
        let operands = [query, key, value];
        if let Some(failed) = refused("MultiheadAttention", &operands, || self.takes(operands, masks)) {
            return (failed, None);
        }
        if query.rank() == 2 {
            let [query, key, value] = operands.map(|v| v.unsqueeze(0));
            let (y, weights) = self.run(&query, &key, &value, masks, weights);
            return (y.squeeze(0), weights.map(|w| w.squeeze(0)));
        }
        let (tape, width) = (query.tape(), self.width());
        let [q, mut k, mut v] = self.projected(query, key, value);
        let keys = k.dim(1);
        let own = [&self.bias_k, &self.bias_v].map(|p| p.as_ref().map(|p| tape.param(p)));
        if let [Some(bias_k), Some(bias_v)] = own {
            let longer = |x: &Var<'t, T>, bias: &Var<'t, T>| {
                let each = bias.expand_to(&[x.dim(0), 1, width].into_iter().collect());
                tape.cat(&[x, &each], 1)
            };
            (k, v) = (longer(&k, &bias_k), longer(&v, &bias_v));
        }
        if self.add_zero_attn {
            [k, v] = [k, v].map(|x| x.pad(&[0, 0, 0, 1], Pad::Constant(0.0)));
        }
        let options = AttentionOptions {
            dropout_p: self.dropout,
            ..masks.options(query, query.dim(1), keys, k.dim(1) - keys)
        };
        let heads = |x: &Var<'t, T>| {
            let sizes = [x.dim(0), x.dim(1), self.num_heads, width / self.num_heads];
            x.reshape_to(&sizes.into_iter().collect()).transpose(1, 2)
        };
        let shape = q.shape().clone();
        let [q, k, v] = [&q, &k, &v].map(heads);
        let weights = weights.then(|| q.attention_weights(&k, &options));
        let y = match &weights {
            Some(weights) => weights.matmul(&v),
            None => q.attend(&k, &v, &options),
        };
        (self.out_proj.forward(&y.transpose(1, 2).reshape_to(&shape)), weights)
    }

    /// Queries, keys and values of all heads side by side.
    #[track_caller]
    fn projected<'t>(&self, query: &Var<'t, T>, key: &Var<'t, T>, value: &Var<'t, T>) -> [Var<'t, T>; 3] {
        let tape = query.tape();
        let weight = tape.param(&self.in_proj_weight);
        let bias = tape.optional_param(&self.in_proj_bias);
        let width = query.dim(-1);
        if query.same_as(key) && query.same_as(value) {
            let all = query.linear(&weight, bias.as_ref());
            return [0, 1, 2].map(|i| all.strided(2, i * width, width, 1));
        }
        let mut part = 0;
        [query, key, value].map(|x| {
            let rows = |v: &Var<'t, T>| v.strided(0, part * width, width, 1);
            let y = x.linear(&rows(&weight), bias.as_ref().map(rows).as_ref());
            part += 1;
            y
        })
    }
}
