//! A BERT, and vectors for lines by the means of what it makes of their tokens. Fields have the names of the
//! state dictionary, so that files need no others.
use crate::folder::{Fails, bar, blank, config, tokenizer};
use kolmo::{
    Result, Tape, Tensor, Var,
    nn::{Embedding, Layer, LayerNorm, Linear},
    onnx::Export,
    ops::AttentionOptions,
    train::{LoadOptions, load_safetensors_with},
};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path};
use tokenizers::{Tokenizer, TruncationParams};

/// What `config.json` says.
#[derive(Clone, Deserialize)]
struct Sizes {
    hidden_size: usize,
    intermediate_size: usize,
    model_type: String,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    layer_norm_eps: f64,
    hidden_act: String,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    vocab_size: usize,
}

/// What `sentence_bert_config.json` says.
#[derive(Deserialize)]
struct Limits {
    max_seq_length: usize,
}

#[derive(Serialize)]
pub struct Bert {
    embeddings: Embeddings,
    pub encoder: Encoder,
}

#[derive(Serialize)]
pub struct Embeddings {
    word_embeddings: Embedding,
    position_embeddings: Embedding,
    token_type_embeddings: Embedding,
    #[serde(rename = "LayerNorm")]
    norm: LayerNorm,
}

#[derive(Serialize)]
pub struct Encoder {
    pub layer: Vec<Block>,
}

#[derive(Serialize)]
pub struct Block {
    pub attention: Attention,
    pub intermediate: Dense,
    pub output: Output,
    #[serde(skip)]
    pub head_width: isize,
}

#[derive(Serialize)]
pub struct Attention {
    #[serde(rename = "self")]
    pub parts: Parts,
    pub output: Output,
}

#[derive(Serialize)]
pub struct Parts {
    pub query: Linear,
    pub key: Linear,
    pub value: Linear,
}

#[derive(Serialize)]
pub struct Dense {
    pub dense: Linear,
}

/// What is added to the input, and the norm of the sum.
#[derive(Serialize)]
pub struct Output {
    pub dense: Linear,
    #[serde(rename = "LayerNorm")]
    norm: LayerNorm,
}

impl Bert {
    /// A model of these sizes, without its weights.
    fn blank(sizes: &Sizes) -> Result<Bert> {
        let (width, wide) = (sizes.hidden_size, sizes.intermediate_size);
        let norm = || LayerNorm { eps: sizes.layer_norm_eps, ..LayerNorm::new([width]) };
        let table = |n| Embedding::from_weights(Tensor::zeros([1, 1]).expand([n, width])?);
        let linear = |inputs, outputs| blank(inputs, outputs, true);
        let block = |_| -> Result<Block> {
            let parts = Parts {
                query: linear(width, width)?,
                key: linear(width, width)?,
                value: linear(width, width)?,
            };
            Ok(Block {
                attention: Attention { parts, output: Output { dense: linear(width, width)?, norm: norm() } },
                intermediate: Dense { dense: linear(width, wide)? },
                output: Output { dense: linear(wide, width)?, norm: norm() },
                head_width: (width / sizes.num_attention_heads.max(1)) as isize,
            })
        };
        Ok(Bert {
            embeddings: Embeddings {
                word_embeddings: table(sizes.vocab_size)?,
                position_embeddings: table(sizes.max_position_embeddings)?,
                token_type_embeddings: table(sizes.type_vocab_size)?,
                norm: norm(),
            },
            encoder: Encoder { layer: (0..sizes.num_hidden_layers).map(block).collect::<Result<_>>()? },
        })
    }

    /// Tokens `[lines, places]` -> `[lines, places, width]`; `options` say which of them count.
    fn forward<'t>(
        &self,
        tokens: &Tensor<u32>,
        options: &AttentionOptions<'t, f32>,
        tape: &'t Tape,
    ) -> Var<'t> {
        self.blocks(&self.embedded(tokens, tape), options, |_, _| {})
    }

    pub fn embedded<'t>(&self, tokens: &Tensor<u32>, tape: &'t Tape) -> Var<'t> {
        let Embeddings { word_embeddings, position_embeddings, token_type_embeddings, norm } =
            &self.embeddings;
        let at = Tensor::from_fn([tokens.dim(1)], |i| i as u32);
        let x = word_embeddings.forward(tokens, tape)
            + position_embeddings.forward(&at, tape)
            + token_type_embeddings.forward(&Tensor::from([0u32]), tape);
        norm.forward(&x)
    }

    /// What all blocks make of that, and each of what came before it.
    pub fn blocks<'t>(
        &self,
        x: &Var<'t>,
        options: &AttentionOptions<'t, f32>,
        mut each: impl FnMut(&Var<'t>, &Var<'t>),
    ) -> Var<'t> {
        self.encoder.layer.iter().fold(x.clone(), |x, block| {
            let next = block.forward(&x, options);
            each(&x, &next);
            next
        })
    }
}

impl Block {
    fn forward<'t>(&self, x: &Var<'t>, options: &AttentionOptions<'t, f32>) -> Var<'t> {
        let (lines, places) = (x.dim(0) as isize, x.dim(1) as isize);
        // However many heads are left.
        let by_head = |x: Var<'t>| x.reshape([lines, places, -1, self.head_width]).transpose(1, 2);
        let Attention { parts, output } = &self.attention;
        let [q, k, v] = [&parts.query, &parts.key, &parts.value].map(|part| by_head(part.forward(x)));
        let seen = q.scaled_dot_product_attention(&k, &v, options);
        let x = output.forward(&seen.transpose(1, 2).reshape([lines, places, -1]), x);
        self.output.forward(&self.intermediate.dense.forward(&x).gelu(), &x)
    }
}

impl Output {
    fn forward<'t>(&self, found: &Var<'t>, x: &Var<'t>) -> Var<'t> {
        self.norm.forward(&(x + self.dense.forward(found)))
    }
}

/// A model with what makes tokens of lines.
pub struct Sentences {
    pub bert: Bert,
    pub tokenizer: Tokenizer,
    width: usize,
}

impl Sentences {
    /// The model in a folder.
    pub fn open(folder: &Path) -> Fails<Sentences> {
        let sizes: Sizes = config(folder)?;
        if sizes.model_type != "bert" || sizes.hidden_act != "gelu" {
            let (kind, act) = (&sizes.model_type, &sizes.hidden_act);
            return Err(
                format!("the model is a {kind:?} with {act:?}: \"bert\" with \"gelu\" is read").into()
            );
        }
        if sizes.num_attention_heads == 0 || !sizes.hidden_size.is_multiple_of(sizes.num_attention_heads) {
            let (heads, width) = (sizes.num_attention_heads, sizes.hidden_size);
            return Err(format!("{heads} heads don't divide a width of {width}").into());
        }
        let bert = Bert::blank(&sizes)?;
        // What is beside the encoder, such as a pooler, isn't used.
        let report = load_safetensors_with(&bert, folder, &LoadOptions::new().strict(false).prefix("bert."))?;
        let unfit = [report.missing, report.mismatched].concat();
        if !unfit.is_empty() {
            return Err(format!("{}: missing or unfit: {}", folder.display(), unfit.join(", ")).into());
        }
        let mut tokenizer = tokenizer(folder)?;
        // Of places there are so many, and what the model was trained on may be shorter.
        let limits: Option<Limits> = fs::read_to_string(folder.join("sentence_bert_config.json"))
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok());
        let most = limits.map_or(usize::MAX, |limits| limits.max_seq_length);
        let max_length = most.min(sizes.max_position_embeddings);
        tokenizer
            .with_padding(None)
            .with_truncation(Some(TruncationParams { max_length, ..Default::default() }))?;
        Ok(Sentences { bert, tokenizer, width: sizes.hidden_size })
    }

    /// Writes the model as an ONNX file: from the tokens of a line, however many, to its vector.
    pub fn export(&self, path: &Path) -> Fails<()> {
        let vocabulary = self.bert.embeddings.word_embeddings.weight.shape()[0];
        let tokens = Tensor::from_fn([1, 6], |i| (7 * i % vocabulary) as u32);
        let export = Export::new().input_names(["tokens"]).output_names(["vector"]);
        let export = export.dynamic_axes("places", &[(0, 1)]);
        fn vector<'t>(x: Var<'t>) -> Var<'t> {
            x.sum_dim(1, false).normalize(2.0, 1, 1e-12)
        }
        let all = AttentionOptions::new;
        export.save(
            &self.bert,
            &[],
            &[&tokens],
            |tape, _, tokens| vec![vector(self.bert.forward(&tokens[0], &all(), tape))],
            path,
        )?;
        Ok(())
    }

    /// The tokens of a line, as the model takes them.
    pub fn tokens(&self, line: &str) -> Fails<Tensor<u32>> {
        let ids = self.tokenizer.encode(line, true)?.get_ids().to_vec();
        Ok(Tensor::new([1, ids.len()], ids)?)
    }

    /// All that has weights, for walks over their names.
    pub fn weights(&self) -> &impl Serialize {
        &self.bert
    }

    /// A vector of length 1 for each line, `[lines, width]`, `batch` lines at a time.
    pub fn embed(&self, lines: &[&str], batch: usize) -> Fails<Tensor> {
        let mut all = vec![0.0; lines.len() * self.width];
        let (mut tape, bar) = (Tape::inference(), bar(lines.len(), "lines"));
        self.each_batch(lines, batch, &mut tape, |_, some, run| {
            for (&i, vector) in some.iter().zip(run()?.to_vec()?.chunks_exact(self.width)) {
                all[i * self.width..][..self.width].copy_from_slice(vector);
            }
            bar.inc(some.len() as u64);
            Ok(())
        })?;
        bar.finish_and_clear();
        Ok(Tensor::new([lines.len(), self.width], all)?)
    }

    /// Calls with the places of some lines and what makes their vectors, which have length 1, on the tape,
    /// for `batch` lines after the others.
    pub fn each_batch(
        &self,
        lines: &[&str],
        batch: usize,
        tape: &mut Tape,
        mut each: impl for<'t> FnMut(&'t Tape, &[usize], &dyn Fn() -> Result<Var<'t>>) -> Fails<()>,
    ) -> Fails<()> {
        let tokens = self.tokenizer.encode_batch(lines.to_vec(), true)?;
        // Lines of about one length together: little is filled up.
        let mut order: Vec<usize> = (0..lines.len()).collect();
        order.sort_by_key(|&i| tokens[i].len());
        for some in order.chunks(batch.max(1)) {
            tape.reset();
            let tape = &*tape;
            let filled = Filled::new(&some.iter().map(|&i| tokens[i].get_ids()).collect::<Vec<_>>());
            each(tape, some, &|| self.vectors(&filled, tape))?;
        }
        Ok(())
    }

    /// The vectors of lines, `[lines, width]`, of length 1.
    pub fn vectors<'t>(&self, lines: &Filled, tape: &'t Tape) -> Result<Var<'t>> {
        // Lines, heads and queries see the same keys.
        let options = AttentionOptions::new().attn_mask(lines.keys()?);
        pooled(&self.bert.forward(&lines.ids, &options, tape), &lines.there)
    }
}

/// Lines of tokens filled up to the longest one's length.
pub struct Filled {
    pub ids: Tensor<u32>,
    pub there: Tensor<bool>,
}

impl Filled {
    pub fn new(lines: &[&[u32]]) -> Filled {
        let places = lines.iter().map(|line| line.len()).max().unwrap_or(0);
        let at = |i: usize| lines[i / places].get(i % places).copied();
        let shape = [lines.len(), places];
        Filled {
            ids: Tensor::from_fn(shape, |i| at(i).unwrap_or(0)),
            there: Tensor::from_fn(shape, |i| at(i).is_some()),
        }
    }

    pub fn keys(&self) -> Result<Tensor<bool>> {
        self.there.unsqueeze(1)?.unsqueeze(1)
    }
}

/// The mean of the places that are there, `[lines, places, width]` -> `[lines, width]`, of length 1.
fn pooled<'t>(x: &Var<'t>, there: &Tensor<bool>) -> Result<Var<'t>> {
    let there = x.tape().constant(there.cast::<f32>().unsqueeze(1)?);
    let sum = there.matmul(x).squeeze(1);
    // The length of a sum of vectors is not that of a mean, which goes when both are divided by it.
    Ok(sum.normalize(2.0, 1, 1e-12))
}
