//! A model of Llama's kind: what it is made of, under the names that GGUF files have, and one step through
//! it.
use crate::{
    fit::{count, fit},
    folder::{Fails, blank},
};
use kolmo::{
    Result, Tape, Tensor, Var,
    compress::{Calibration, quantize::ColumnScales},
    nn::{Embedding, KvCache, Layer, Linear, Param, RmsNorm},
    ops::AttentionOptions,
    tensor::Shape,
};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
pub struct Llama {
    token_embd: Embedding,
    blk: Vec<Block>,
    output_norm: RmsNorm,
    /// None where tokens are told by their own vectors.
    output: Option<Linear>,
    #[serde(skip)]
    sizes: Sizes,
}

#[derive(Serialize)]
struct Block {
    attn_norm: RmsNorm,
    attn_q: Linear,
    attn_k: Linear,
    attn_v: Linear,
    attn_output: Linear,
    ffn_norm: RmsNorm,
    ffn_gate: Linear,
    ffn_up: Linear,
    ffn_down: Linear,
}

/// What a file says of its model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    pub vocabulary: usize,
    pub width: usize,
    pub wide: usize,
    pub blocks: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_width: usize,
    pub eps: f64,
    pub rope_base: f64,
    /// Whether neighbours of queries and keys are turned together, as files of llama.cpp have them, and not
    /// the halves, as Hugging Face's.
    pub interleaved: bool,
    /// Whether the embedding is what the last layer takes.
    pub tied: bool,
}

impl Sizes {
    /// That they are sizes of a model.
    pub fn checked(self) -> Fails<Sizes> {
        let Sizes { vocabulary, width, wide, heads, kv_heads, head_width, .. } = self;
        if [vocabulary, width, wide, heads, kv_heads, head_width].contains(&0) {
            return Err(format!("a size is 0: {self:?}").into());
        }
        if !heads.is_multiple_of(kv_heads) || !head_width.is_multiple_of(2) {
            let why = format!("{heads} heads of {head_width} numbers with {kv_heads} of keys");
            return Err(format!("{why}: heads are to share keys evenly, and numbers to be pairs").into());
        }
        Ok(self)
    }
}

impl Llama {
    /// A model of these sizes, without its weights.
    pub fn blank(sizes: Sizes) -> Result<Llama> {
        let Sizes { width, wide, head_width, .. } = sizes;
        let norm = || RmsNorm { eps: Some(sizes.eps), ..RmsNorm::new([width]) };
        let linear = |inputs, outputs| blank(inputs, outputs, false);
        let (all, shared) = (sizes.heads * head_width, sizes.kv_heads * head_width);
        let block = |_| -> Result<Block> {
            Ok(Block {
                attn_norm: norm(),
                attn_q: linear(width, all)?,
                attn_k: linear(width, shared)?,
                attn_v: linear(width, shared)?,
                attn_output: linear(all, width)?,
                ffn_norm: norm(),
                ffn_gate: linear(width, wide)?,
                ffn_up: linear(width, wide)?,
                ffn_down: linear(wide, width)?,
            })
        };
        Ok(Llama {
            token_embd: Embedding::from_weights(Tensor::zeros([1, 1]).expand([sizes.vocabulary, width])?)?,
            blk: (0..sizes.blocks).map(block).collect::<Result<_>>()?,
            output_norm: norm(),
            output: if sizes.tied { None } else { Some(linear(width, sizes.vocabulary)?) },
            sizes,
        })
    }

    /// See [`Sizes::interleaved`].
    pub fn is_interleaved(&self) -> bool {
        self.sizes.interleaved
    }

    /// A cache of each layer, of no places.
    pub fn caches(&self) -> Vec<KvCache> {
        self.blk.iter().map(|_| KvCache::new()).collect()
    }

    /// The logits of what follows each of these tokens, which follow those in the caches: `[…, tokens]` ->
    /// `[…, tokens, vocabulary]`; of the last one alone if `last` says so. Without caches nothing came before.
    pub fn forward<'t>(
        &self,
        tape: &'t Tape,
        tokens: impl Into<Tensor<u32>>,
        caches: &mut [KvCache],
        last: bool,
    ) -> Var<'t> {
        self.through(tape, &tokens.into(), caches, last, false)
    }

    /// The logits of what follows each of these tokens, to the bit as if they had come one by one, if all
    /// matrices are packed.
    pub fn forward_apart<'t>(
        &self,
        tape: &'t Tape,
        tokens: impl Into<Tensor<u32>>,
        caches: &mut [KvCache],
    ) -> Var<'t> {
        self.through(tape, &tokens.into(), caches, false, true)
    }

    fn through<'t>(
        &self,
        tape: &'t Tape,
        tokens: &Tensor<u32>,
        caches: &mut [KvCache],
        last: bool,
        apart: bool,
    ) -> Var<'t> {
        let mut x = self.token_embd.forward(tokens, tape);
        for (i, block) in self.blk.iter().enumerate() {
            x = block.forward(&x, self.sizes, caches.get_mut(i), apart);
        }
        self.logits(&if last { x.narrow(-2, tokens.dim(-1).saturating_sub(1), 1) } else { x })
    }

    /// Vectors of tokens.
    pub fn embedded<'t>(&self, tape: &'t Tape, tokens: impl Into<Tensor<u32>>) -> Var<'t> {
        self.token_embd.forward(&tokens.into(), tape)
    }

    /// What all blocks make of such vectors, and each of what came before it.
    pub fn blocks<'t>(&self, x: &Var<'t>, mut each: impl FnMut(&Var<'t>, &Var<'t>)) -> Var<'t> {
        self.blk.iter().fold(x.clone(), |x, block| {
            let next = block.forward(&x, self.sizes, None, false);
            each(&x, &next);
            next
        })
    }

    /// Takes a block out.
    pub fn remove(&mut self, block: usize) {
        self.blk.remove(block);
    }

    /// Makes the model ready for the weights of a file, whose model may have been pruned.
    pub fn fit(&mut self, file: &BTreeMap<String, Shape>) -> Fails<()> {
        self.blk.truncate(count(file, "blk.").max(1));
        fit(self, file, |name| match name.rsplit('.').nth(1)? {
            "attn_q" | "attn_k" | "attn_v" | "ffn_gate" | "ffn_up" => Some(0),
            "attn_output" | "ffn_down" => Some(1),
            _ => None,
        })?;
        for (i, block) in self.blk.iter().enumerate() {
            let size = |layer: &Linear, axis: usize| layer.weight.shape()[axis];
            let [q, k, v] = [&block.attn_q, &block.attn_k, &block.attn_v].map(|layer| size(layer, 0));
            let [gate, up] = [&block.ffn_gate, &block.ffn_up].map(|layer| size(layer, 0));
            let fit = k > 0 && k == v && q % k == 0 && k % self.sizes.head_width == 0 && gate == up;
            if !fit || size(&block.attn_output, 1) != q || size(&block.ffn_down, 1) != gate {
                let why = format!("queries of {q}, keys of {k}, values of {v}, gates of {gate}, {up} units");
                return Err(format!("sizes in block {i} of the file don't fit each other: {why}").into());
            }
        }
        Ok(())
    }

    fn logits<'t>(&self, x: &Var<'t>) -> Var<'t> {
        let x = self.output_norm.forward(x);
        match &self.output {
            Some(output) => output.forward(&x),
            None => x.linear(&x.tape().param(&self.token_embd.weight), None),
        }
    }

    /// The same with all that comes from outside given, so that it can be recorded: keys and values of the places
    /// before, `[texts, heads, before, width]` for each block, tokens `[texts, tokens]` and their places `[tokens]`,
    /// and the [angles](Llama::angles) of all places. Gives the logits, then keys and values of all places so far.
    pub fn step<'t>(
        &self,
        tape: &'t Tape,
        past: &[Var<'t>],
        [tokens, places]: [&Tensor<u32>; 2],
        angles: &[Param; 2],
    ) -> Vec<Var<'t>> {
        let [cos, sin] = angles.each_ref().map(|table| tape.param(table).index_select(0, places));
        let mut x = self.token_embd.forward(tokens, tape);
        let mut kept = Vec::new();
        for (block, past) in self.blk.iter().zip(past.chunks(2)) {
            let [q, k, v] = block.queries_keys_values(&x, self.sizes);
            let [q, k] = [q, k].map(|x| turned(&x, [&cos, &sin], self.sizes.interleaved));
            let [k, v] = [(k, 0), (v, 1)].map(|(x, i)| match past.get(i) {
                Some(past) => tape.cat(&[past, &x], -2),
                None => x,
            });
            let options = AttentionOptions::new().causal_lower_right(true);
            x = block.rest(&x, &q.scaled_dot_product_attention(&k, &v, &options));
            kept.extend([k, v]);
        }
        [vec![self.logits(&x)], kept].concat()
    }

    /// Cosines and sines by which queries and keys are turned at so many places, `[places, width / 2]`: parameters, so
    /// that reading them is recorded.
    pub fn angles(&self, places: usize) -> [Param; 2] {
        let Sizes { head_width, rope_base, .. } = self.sizes;
        let half = head_width / 2;
        let angle =
            |i: usize| (i / half) as f64 / rope_base.powf((2 * (i % half)) as f64 / head_width as f64);
        [f64::cos, f64::sin].map(|f| Param::new(Tensor::from_fn([places, half], |i| f(angle(i)) as f32)))
    }

    /// The shapes of keys and values of so many places, of each block.
    pub fn kept_shapes(&self, texts: usize, places: usize) -> Vec<[usize; 4]> {
        let width = self.sizes.head_width;
        let of = |layer: &Linear| [texts, layer.weight.shape()[0] / width, places, width];
        self.blk.iter().flat_map(|block| [of(&block.attn_k), of(&block.attn_v)]).collect()
    }

    pub fn depth(&self) -> usize {
        self.blk.len()
    }
}

/// `[…, places, width]` turned by the angles of its places: neighbours together, or halves.
fn turned<'t>(x: &Var<'t>, [cos, sin]: [&Var<'t>; 2], interleaved: bool) -> Var<'t> {
    let (x, each, cos, sin) = match interleaved {
        true => (x.reshape(with(x, &[-1, 2])), 1, cos.unsqueeze(-1), sin.unsqueeze(-1)),
        false => (x.clone(), x.dim(-1) / 2, cos.clone(), sin.clone()),
    };
    let [a, b] = [0, each].map(|start| x.narrow(-1, start, each));
    let y = x.tape().cat(&[&(&a * &cos - &b * &sin), &(&b * &cos + &a * &sin)], -1);
    if interleaved { y.flatten(-2, -1) } else { y }
}

impl Llama {
    /// Scales the columns of all matrices that take a norm's result, values or what is gated, and what gives
    /// them their inputs the other way; the embedding stays as it is.
    pub fn fold(&self, scales: ColumnScales, calibration: &Calibration) -> Result<()> {
        for block in &self.blk {
            let norm = |norm: &RmsNorm| norm.weight.clone();
            let heads = scales.heads(self.sizes.head_width);
            let [q, k, v] = [&block.attn_q, &block.attn_k, &block.attn_v].map(|layer| &layer.weight);
            let [gate, up] = [&block.ffn_gate, &block.ffn_up].map(|layer| &layer.weight);
            if let Some(norm) = norm(&block.attn_norm) {
                scales.fold(&[&norm], &[q, k, v], calibration)?;
            }
            heads.fold(&[v], &[&block.attn_output.weight], calibration)?;
            if let Some(norm) = norm(&block.ffn_norm) {
                scales.fold(&[&norm], &[gate, up], calibration)?;
            }
            scales.fold(&[up], &[&block.ffn_down.weight], calibration)?;
        }
        Ok(())
    }
}

impl Block {
    fn forward<'t>(&self, x: &Var<'t>, sizes: Sizes, cache: Option<&mut KvCache>, apart: bool) -> Var<'t> {
        let start = cache.as_ref().map_or(0, |cache| cache.len());
        let turned = |x: Var<'t>| match sizes.interleaved {
            true => x.rotary_interleaved(start, sizes.rope_base),
            false => x.rotary(start, sizes.rope_base),
        };
        let [q, k, v] = self.queries_keys_values(x, sizes);
        let [q, k] = [q, k].map(turned);
        let (k, v) = match cache {
            Some(cache) => cache.append(&k, &v),
            None => (k, v),
        };
        let options = AttentionOptions::new().causal_lower_right(true);
        let attended = if apart {
            // Products of several queries would add in another order than those of one.
            let one = |at: usize| {
                let [k, v] = [&k, &v].map(|x| x.narrow(-2, 0, start + at + 1));
                q.narrow(-2, at, 1).scaled_dot_product_attention(&k, &v, &options)
            };
            let all: Vec<Var<'t>> = (0..q.dim(-2)).map(one).collect();
            x.tape().cat(&all.iter().collect::<Vec<_>>(), -2)
        } else {
            q.scaled_dot_product_attention(&k, &v, &options)
        };
        self.rest(x, &attended)
    }

    /// By head: `[…, places, width] -> […, heads, places, head_width]`.
    fn queries_keys_values<'t>(&self, x: &Var<'t>, sizes: Sizes) -> [Var<'t>; 3] {
        let h = self.attn_norm.forward(x);
        [&self.attn_q, &self.attn_k, &self.attn_v].map(|layer| {
            let x = layer.forward(&h);
            // However many heads are left.
            x.reshape(with(&x, &[-1, sizes.head_width as isize])).transpose(-3, -2)
        })
    }

    /// What comes behind attention.
    fn rest<'t>(&self, x: &Var<'t>, attended: &Var<'t>) -> Var<'t> {
        let x = x + self.attn_output.forward(&attended.transpose(-3, -2).reshape(with(x, &[-1])));
        let h = self.ffn_norm.forward(&x);
        &x + self.ffn_down.forward(&(self.ffn_gate.forward(&h).silu() * self.ffn_up.forward(&h)))
    }
}

/// The sizes of a value with others for the last one.
fn with(x: &Var<'_>, last: &[isize]) -> Vec<isize> {
    let lead = x.shape().iter().take(x.rank().saturating_sub(1)).map(|&size| size as isize);
    lead.chain(last.iter().copied()).collect()
}
