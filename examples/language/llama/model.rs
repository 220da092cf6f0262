//! A model of Llama's kind: what it is made of, under the names that GGUF files have, and one step through
//! it.
use kolmo::{
    Result, Tape, Tensor, Var,
    data::Gguf,
    nn::{Embedding, KvCache, Layer, Linear, RmsNorm},
    ops::AttentionOptions,
    train::{LoadOptions, load_gguf},
};
use serde::Serialize;

#[derive(Serialize)]
pub struct Llama {
    token_embd: Embedding,
    blk: Vec<Block>,
    output_norm: RmsNorm,
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

#[derive(Clone, Copy)]
struct Sizes {
    heads: usize,
    kv_heads: usize,
    rope_base: f64,
}

/// A layer whose weights are to be loaded: one zero, however large it is.
fn blank(inputs: usize, outputs: usize) -> Result<Linear> {
    Linear::from_weights(Tensor::zeros([1, 1]).expand([outputs, inputs])?, None)
}

impl Llama {
    /// A model of a file's sizes, without its weights.
    pub fn blank(file: &Gguf) -> Result<Llama> {
        let size = |key: &str| file.value::<usize>(&format!("llama.{key}"));
        let (width, wide, eps) = (
            size("embedding_length")?,
            size("feed_forward_length")?,
            file.value::<f64>("llama.attention.layer_norm_rms_epsilon")?,
        );
        let (heads, kv_heads) = (size("attention.head_count")?, size("attention.head_count_kv")?);
        let rope_base = file.value::<f64>("llama.rope.freq_base")?;
        let narrow = width / heads * kv_heads;
        let norm = || RmsNorm { eps: Some(eps), ..RmsNorm::new([width]) };
        let block = |_| -> Result<Block> {
            Ok(Block {
                attn_norm: norm(),
                attn_q: blank(width, width)?,
                attn_k: blank(width, narrow)?,
                attn_v: blank(width, narrow)?,
                attn_output: blank(width, width)?,
                ffn_norm: norm(),
                ffn_gate: blank(width, wide)?,
                ffn_up: blank(width, wide)?,
                ffn_down: blank(wide, width)?,
            })
        };
        Ok(Llama {
            token_embd: Embedding::from_weights(Tensor::zeros([1, 1]).expand([size("vocab_size")?, width])?)?,
            blk: (0..size("block_count")?).map(block).collect::<Result<_>>()?,
            output_norm: norm(),
            sizes: Sizes { heads, kv_heads, rope_base },
        })
    }

    /// The weights of a file, held as they are there.
    pub fn load(&self, file: &Gguf) -> Result<()> {
        load_gguf(self, file, &LoadOptions::new().as_stored(true)).map(drop)
    }

    /// A cache of each layer, of no places.
    pub fn caches(&self) -> Vec<KvCache> {
        self.blk.iter().map(|_| KvCache::new()).collect()
    }

    /// The logits of what follows each of these tokens, which follow those in the caches: `[tokens,
    /// vocabulary]`; of the last one alone if `last` says so. Without caches nothing came before.
    pub fn forward<'t>(&self, tape: &'t Tape, tokens: &[u32], caches: &mut [KvCache], last: bool) -> Var<'t> {
        let mut x = self.token_embd.forward(&Tensor::from(tokens), tape);
        for (i, block) in self.blk.iter().enumerate() {
            x = block.forward(&x, self.sizes, caches.get_mut(i));
        }
        let x = if last { x.narrow(0, tokens.len() - 1, 1) } else { x };
        self.output_norm.forward(&x).linear(&tape.param(&self.token_embd.weight), None)
    }
}

impl Block {
    fn forward<'t>(&self, x: &Var<'t>, sizes: Sizes, cache: Option<&mut KvCache>) -> Var<'t> {
        let places = x.dim(0) as isize;
        let by_head = |x: Var<'t>, heads: usize| x.reshape([places, heads as isize, -1]).transpose(0, 1);
        let h = self.attn_norm.forward(x);
        let start = cache.as_ref().map_or(0, |cache| cache.len());
        // Files of llama.cpp have neighbours turned together.
        let q = by_head(self.attn_q.forward(&h), sizes.heads).rotary_interleaved(start, sizes.rope_base);
        let k = by_head(self.attn_k.forward(&h), sizes.kv_heads).rotary_interleaved(start, sizes.rope_base);
        let v = by_head(self.attn_v.forward(&h), sizes.kv_heads);
        let (k, v) = match cache {
            Some(cache) => cache.append(&k, &v),
            None => (k, v),
        };
        let options = AttentionOptions::new().causal_lower_right(true);
        let seen = q.scaled_dot_product_attention(&k, &v, &options).transpose(0, 1).reshape([places, -1]);
        let x = x + self.attn_output.forward(&seen);
        let h = self.ffn_norm.forward(&x);
        &x + self.ffn_down.forward(&(self.ffn_gate.forward(&h).silu() * self.ffn_up.forward(&h)))
    }
}
