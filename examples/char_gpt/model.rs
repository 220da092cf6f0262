//! A small GPT (Radford et al., 2019): tokens and places to vectors, blocks of attention and two products,
//! scores of the next token. Only structs with fields: names of parameters are those of the fields.
use kolmo::{
    Random, Result, Tensor, Var,
    nn::{AttentionMasks, Embedding, Layer, LayerNorm, Linear, MultiheadAttention, init, named_params},
};
use serde::{Deserialize, Serialize};

/// The sizes of a model.
#[derive(Clone, Copy)]
pub struct Config {
    pub vocabulary: usize,
    pub block_size: usize,
    pub layers: usize,
    pub heads: usize,
    pub width: usize,
    pub dropout: f64,
}

#[derive(Serialize, Deserialize)]
pub struct Gpt {
    pub wte: Embedding,
    pub wpe: Embedding,
    pub blocks: Vec<Block>,
    pub ln_f: LayerNorm,
    /// Scores of the next token; [`Gpt::new`] ties its weight to `wte`.
    pub lm_head: Linear,
    pub dropout: f64,
}

#[derive(Serialize, Deserialize)]
pub struct Block {
    pub ln_1: LayerNorm,
    pub attn: MultiheadAttention,
    pub ln_2: LayerNorm,
    pub fc: Linear,
    pub proj: Linear,
    pub dropout: f64,
}

impl Block {
    pub fn new(width: usize, heads: usize, dropout: f64, rng: &mut Random) -> Result<Block> {
        let attn = MultiheadAttention::new(width, heads, rng)?;
        Ok(Block {
            ln_1: LayerNorm::new([width]),
            attn: MultiheadAttention { dropout, ..attn },
            ln_2: LayerNorm::new([width]),
            fc: Linear::new(width, 4 * width, rng),
            proj: Linear::new(4 * width, width, rng),
            dropout,
        })
    }

    fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
        let h = self.ln_1.forward(x);
        let x = x + self.attn.forward(&h, &h, &h, &AttentionMasks::causal()).dropout(self.dropout);
        let h = self.fc.forward(&self.ln_2.forward(&x)).gelu_tanh();
        &x + self.proj.forward(&h).dropout(self.dropout)
    }
}

impl Gpt {
    /// A model with GPT-2's starting values.
    pub fn new(c: Config, rng: &mut Random) -> Result<Gpt> {
        let wte = Embedding::new(c.vocabulary, c.width, rng);
        let blocks = (0..c.layers).map(|_| Block::new(c.width, c.heads, c.dropout, rng));
        let gpt = Gpt {
            blocks: blocks.collect::<Result<_>>()?,
            wpe: Embedding::new(c.block_size, c.width, rng),
            ln_f: LayerNorm::new([c.width]),
            // A clone is another handle to the same tensor.
            lm_head: Linear { weight: wte.weight.clone(), bias: None },
            wte,
            dropout: c.dropout,
        };
        for (name, p) in named_params::<f32>(&gpt) {
            if name.ends_with("bias") {
                p.set(Tensor::zeros(p.shape()));
            } else if p.shape().rank() == 2 {
                // What is added to the stream, twice in each block, begins smaller.
                let added = name.ends_with("out_proj.weight") || name.ends_with(".proj.weight");
                let std = if added { 0.02 / (2.0 * c.layers as f64).sqrt() } else { 0.02 };
                p.set(init::normal(p.shape(), 0.0, std, rng));
            }
        }
        Ok(gpt)
    }

    /// Scores `[n, length, vocabulary]` of the token after each of `[n, length]`.
    pub fn forward<'t>(&self, tape: &'t kolmo::Tape, tokens: &Tensor<u32>) -> Var<'t> {
        let places = Tensor::from_fn([tokens.dim(-1)], |i| i as u32);
        let mut x = self.wte.forward(tokens, tape) + self.wpe.forward(&places, tape);
        x = x.dropout(self.dropout);
        for block in &self.blocks {
            x = block.forward(&x);
        }
        self.lm_head.forward(&self.ln_f.forward(&x))
    }

    /// The mean cross entropy of the right next tokens, in nats.
    pub fn loss<'t>(&self, tape: &'t kolmo::Tape, tokens: &Tensor<u32>, next: &Tensor<u32>) -> Var<'t> {
        let scores = self.forward(tape, tokens);
        let classes = scores.dim(-1) as isize;
        match next.reshape([-1]) {
            Ok(next) => scores.reshape([-1, classes]).cross_entropy(&next),
            Err(_) => scores.cross_entropy(next),
        }
    }
}
