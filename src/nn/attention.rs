//! Multi-head attention with PyTorch's names and layouts of weights. Sequences are `[n, length, width]` or,
//! for one, `[length, width]`.
use super::{
    AttentionMasks, Layer, Linear,
    fit::{refused, shaped, shaped_if, sizes_of, within},
    init,
};
use crate::{
    checked::{Check, checked, probability},
    error::{Checked, Error, Result},
    ops::{Float, Pad},
    options::options,
    param::Param,
    tape::{Random, Var},
    tensor::Tensor,
};
use serde::Serialize;

options! {
    /// What a [`MultiheadAttention`] is made from besides its sizes, with PyTorch's names and defaults.
    MultiheadAttentionOptions {
        /// Probability that a weight of the attention is dropped in training (default 0).
        dropout(f64): f64 = 0.0,
        /// Whether the projections have biases (default yes).
        bias(bool): bool = true,
        /// Whether every query sees a key and value besides the others that are trained (default no).
        add_bias_kv(bool): bool = false,
        /// Whether every query sees a key and value of zeros too (default no).
        add_zero_attn(bool): bool = false,
        /// Width of the keys (default that of the queries).
        kdim(impl Into<Option<usize>>): Option<usize> = None,
        /// Width of the values (default that of the queries).
        vdim(impl Into<Option<usize>>): Option<usize> = None,
    }
}

/// Attention by several heads, each of which sees its own projections of queries, keys and values (Vaswani et
/// al., 2017).
///
/// ```
/// use kolmo::{Random, Tape, Tensor, nn::{AttentionMasks, MultiheadAttention}};
/// let layer = MultiheadAttention::new(8, 2, &mut Random::new(0))?;
/// let tape = Tape::new();
/// let x = tape.constant(Tensor::ones([4, 5, 8])); // 4 sequences of 5
/// assert_eq!(layer.forward(&x, &x, &x, &AttentionMasks::causal()).shape(), &[4, 5, 8]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct MultiheadAttention<T: Float = f32> {
    /// Projections of queries, keys and values, one below the other: `[3 · embed, embed]`.
    pub in_proj_weight: Option<Param<T>>,
    /// Instead of it, where keys or values have another width: the queries' `[embed, embed]`.
    pub q_proj_weight: Option<Param<T>>,
    /// The keys', `[embed, kdim]`.
    pub k_proj_weight: Option<Param<T>>,
    /// The values', `[embed, vdim]`.
    pub v_proj_weight: Option<Param<T>>,
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
    in_proj_weight: Option<Param<T>>,
    q_proj_weight: Option<Param<T>>,
    k_proj_weight: Option<Param<T>>,
    v_proj_weight: Option<Param<T>>,
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
        let [key, value] = self.key_and_value_widths()?;
        shaped_if("in_proj_weight", &self.in_proj_weight, &[three, width])?;
        shaped_if("q_proj_weight", &self.q_proj_weight, &[width, width])?;
        shaped_if("k_proj_weight", &self.k_proj_weight, &[width, key])?;
        shaped_if("v_proj_weight", &self.v_proj_weight, &[width, value])?;
        shaped_if("in_proj_bias", &self.in_proj_bias, &[three])?;
        shaped_if("bias_k", &self.bias_k, &[1, 1, width])?;
        shaped_if("bias_v", &self.bias_v, &[1, 1, width])?;
        if self.bias_k.is_some() != self.bias_v.is_some() {
            return Err("has one of bias_k and bias_v, expected both or none".into());
        }
        probability("dropout", self.dropout)
    }
}

impl MultiheadAttention {
    /// A layer with PyTorch's starting values.
    ///
    /// # Errors
    /// The heads don't divide the width.
    pub fn new(embed_dim: usize, num_heads: usize, rng: &mut Random) -> Result<Self> {
        MultiheadAttention::with_options(embed_dim, num_heads, MultiheadAttentionOptions::new(), rng)
    }

    /// The same with other options.
    ///
    /// ```
    /// use kolmo::{Random, Tape, Tensor, nn::{AttentionMasks, MultiheadAttention, MultiheadAttentionOptions}};
    /// let options = MultiheadAttentionOptions::new().kdim(3).vdim(5).add_bias_kv(true);
    /// let layer = MultiheadAttention::with_options(8, 2, options, &mut Random::new(0))?;
    /// let tape = Tape::new();
    /// let [q, k, v] = [[6, 8], [7, 3], [7, 5]].map(|sizes| tape.constant(Tensor::ones(sizes)));
    /// assert_eq!(layer.forward(&q, &k, &v, &AttentionMasks::new()).shape(), &[6, 8]);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// The heads don't divide the width; the dropout isn't from 0 to 1.
    pub fn with_options(
        embed_dim: usize,
        num_heads: usize,
        options: MultiheadAttentionOptions,
        rng: &mut Random,
    ) -> Result<Self> {
        MultiheadAttention::with_dtype(embed_dim, num_heads, options, rng)
    }
}

impl<T: Float> MultiheadAttention<T> {
    fn width(&self) -> usize {
        self.out_proj.weight.shape().dim(-1)
    }

    /// Widths of keys and values.
    fn key_and_value_widths(&self) -> Checked<[usize; 2]> {
        match (&self.in_proj_weight, &self.q_proj_weight, &self.k_proj_weight, &self.v_proj_weight) {
            (Some(_), None, None, None) => Ok([self.width(); 2]),
            (None, Some(_), Some(key), Some(value)) => Ok([sizes_of(key)?.dim(-1), sizes_of(value)?.dim(-1)]),
            _ => Err("takes in_proj_weight alone, or q_proj_weight, k_proj_weight and v_proj_weight".into()),
        }
    }

    /// That the layer can work with these.
    fn takes(&self, [query, key, value]: [&Var<'_, T>; 3], masks: &AttentionMasks<'_, T>) -> Checked<()> {
        self.check()?;
        let (width, single) = (self.width(), query.rank() == 2);
        let [kdim, vdim] = self.key_and_value_widths()?;
        let sequences = |v: &Var<'_, T>, width: usize| match v.shape()[..] {
            [length, own] if single && own == width => Some((1, length)),
            [n, length, own] if !single && own == width => Some((n, length)),
            _ => None,
        };
        match [sequences(query, width), sequences(key, kdim), sequences(value, vdim)] {
            [Some((n, queries)), Some(keys), Some(values)] if keys == values && keys.0 == n => {
                masks.check([n, self.num_heads, queries, keys.1], single)
            }
            _ => {
                let rest = match kdim == vdim {
                    true => format!("keys and values [n, other length, {kdim}]"),
                    false => format!("keys [n, other length, {kdim}], values [n, other length, {vdim}]"),
                };
                let [q, k, v] = [query, key, value].map(Var::shape);
                Err(format!("takes queries [n, length, {width}], {rest}, not {q}, {k} and {v}"))
            }
        }
    }

    /// As [`with_options`](MultiheadAttention::with_options) with numbers of another type:
    /// `MultiheadAttention::<f64>::with_dtype(…)`.
    ///
    /// # Errors
    /// As there.
    pub fn with_dtype(
        embed_dim: usize,
        num_heads: usize,
        options: MultiheadAttentionOptions,
        rng: &mut Random,
    ) -> Result<Self> {
        if num_heads == 0 || !embed_dim.is_multiple_of(num_heads) {
            let message = format!("{num_heads} heads don't divide a width of {embed_dim}");
            return Err(Error::invalid("MultiheadAttention", message));
        }
        probability("dropout", options.dropout).map_err(|e| Error::invalid("MultiheadAttention", e))?;
        let (kdim, vdim) = (options.kdim.unwrap_or(embed_dim), options.vdim.unwrap_or(embed_dim));
        let three = embed_dim.saturating_mul(3);
        let out_proj = Linear::with_dtype(embed_dim, embed_dim, rng).bias(options.bias);
        if let Some(bias) = &out_proj.bias {
            bias.set(Tensor::zeros([embed_dim]));
        }
        let one = kdim == embed_dim && vdim == embed_dim;
        let mut weight = |there: bool, rows: usize, columns: usize| {
            there.then(|| init::xavier_uniform([rows, columns], 1.0, rng).map(Param::new)).transpose()
        };
        let in_proj_weight = weight(one, three, embed_dim)?;
        let q_proj_weight = weight(!one, embed_dim, embed_dim)?;
        let k_proj_weight = weight(!one, embed_dim, kdim)?;
        let v_proj_weight = weight(!one, embed_dim, vdim)?;
        let mut extra = || {
            let new = || init::xavier_normal([1, 1, embed_dim], 1.0, rng).map(Param::new);
            options.add_bias_kv.then(new).transpose()
        };
        Ok(MultiheadAttention {
            in_proj_weight,
            q_proj_weight,
            k_proj_weight,
            v_proj_weight,
            in_proj_bias: options.bias.then(|| Param::new(Tensor::zeros([three]))),
            out_proj,
            bias_k: extra()?,
            bias_v: extra()?,
            add_zero_attn: options.add_zero_attn,
            num_heads,
            dropout: options.dropout,
        })
    }

    /// Queries `[n, l, embed]`, keys `[n, s, kdim]` and values `[n, s, vdim]` to `[n, l, embed]`. For
    /// self-attention give one value thrice.
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
        let options = masks.options(query, query.dim(1), keys, k.dim(1) - keys).dropout_p(self.dropout);
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
        let bias = tape.optional_param(&self.in_proj_bias);
        let width = query.dim(-1);
        let own = [&self.q_proj_weight, &self.k_proj_weight, &self.v_proj_weight];
        let weight = tape.optional_param(&self.in_proj_weight);
        if let Some(weight) = weight.as_ref().filter(|_| query.same_as(key) && query.same_as(value)) {
            let all = query.linear(weight, bias.as_ref());
            return [0, 1, 2].map(|i| all.strided(2, i * width, width, 1));
        }
        let mut part = 0;
        [query, key, value].map(|x| {
            let rows = |v: &Var<'t, T>| v.strided(0, part * width, width, 1);
            let own = own.get(part).and_then(|own| tape.optional_param(own));
            // The check found one of both.
            let weight = weight.as_ref().map(rows).or(own);
            let y = weight.map_or_else(|| x.clone(), |w| x.linear(&w, bias.as_ref().map(rows).as_ref()));
            part += 1;
            y
        })
    }
}
