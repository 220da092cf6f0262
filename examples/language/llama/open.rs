//! Models of Llama's kind as others pass them on: one GGUF file, or a folder of Hugging Face's; with what
//! makes tokens of texts.
use crate::{
    folder::{self, Fails},
    model::{Llama, Sizes},
};
use kolmo::{
    data::{Gguf, Safetensors},
    train::{LoadOptions, load_gguf, load_safetensors_with},
};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use tokenizers::{
    AddedToken, Tokenizer, decoders,
    models::bpe::{BPE, Vocab},
    pre_tokenizers,
};

/// A model without its weights, and where these are.
pub struct Source {
    pub model: Llama,
    pub tokenizer: Tokenizer,
    /// What ends a text.
    pub ends: Vec<u32>,
    /// How turns of a conversation are written, if the model has a template for it.
    pub template: Option<String>,
    weights: Weights,
}

enum Weights {
    Gguf(Gguf),
    Folder(PathBuf),
}

/// What `config.json` says.
#[derive(Deserialize)]
struct Config {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_parameters: Option<Rope>,
    rope_scaling: Option<serde_json::Value>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    eos_token_id: Option<Ids>,
}

/// Where newer files have the base of the rotary places.
#[derive(Deserialize)]
struct Rope {
    rope_theta: f64,
    #[serde(default = "plain")]
    rope_type: String,
}

fn plain() -> String {
    "default".into()
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(u32),
    Some(Vec<u32>),
}

#[derive(Default, Deserialize)]
struct TokenizerConfig {
    chat_template: Option<String>,
}

impl Source {
    /// Opens a file or a folder, and reads what stands before its weights.
    pub fn open(path: &Path) -> Fails<Source> {
        let told = |why| format!("{}: {why}", path.display());
        if path.is_dir() { Source::of_folder(path) } else { Source::of_gguf(path) }
            .map_err(|why| told(why).into())
    }

    fn of_gguf(path: &Path) -> Fails<Source> {
        let file = Gguf::open(path)?;
        let architecture: &str = file.value("general.architecture")?;
        if architecture != "llama" {
            return Err(format!("the model is a {architecture:?}: \"llama\" is read").into());
        }
        let size = |key: &str| file.value::<usize>(&format!("llama.{key}"));
        let (width, heads) = (size("embedding_length")?, size("attention.head_count")?);
        let tokens: &[kolmo::data::GgufValue] = file.value("tokenizer.ggml.tokens")?;
        let sizes = Sizes {
            vocabulary: tokens.len(),
            width,
            wide: size("feed_forward_length")?,
            blocks: size("block_count")?,
            heads,
            kv_heads: size("attention.head_count_kv").unwrap_or(heads),
            head_width: size("attention.key_length").unwrap_or(width / heads.max(1)),
            eps: file.value("llama.attention.layer_norm_rms_epsilon")?,
            rope_base: file.value("llama.rope.freq_base").unwrap_or(1e4),
            interleaved: true,
            tied: !file.tensors().iter().any(|tensor| tensor.name() == "output.weight"),
        };
        Ok(Source {
            model: Llama::blank(sizes.checked()?)?,
            tokenizer: tokenizer(&file)?,
            ends: file.value("tokenizer.ggml.eos_token_id").into_iter().collect(),
            template: file.value("tokenizer.chat_template").map(str::to_string).ok(),
            weights: Weights::Gguf(file),
        })
    }

    fn of_folder(path: &Path) -> Fails<Source> {
        let config: Config = folder::config(path)?;
        if config.model_type != "llama" || config.attention_bias || config.mlp_bias {
            let kind = &config.model_type;
            return Err(format!("the model is a {kind:?}: \"llama\" without biases is read").into());
        }
        let other = config.rope_parameters.as_ref().is_some_and(|rope| rope.rope_type != "default");
        if other || config.rope_scaling.is_some() {
            return Err("the model's rotary places are scaled: those that aren't are read".into());
        }
        let theta = config.rope_parameters.map(|rope| rope.rope_theta).or(config.rope_theta);
        let heads = config.num_attention_heads;
        let sizes = Sizes {
            vocabulary: config.vocab_size,
            width: config.hidden_size,
            wide: config.intermediate_size,
            blocks: config.num_hidden_layers,
            heads,
            kv_heads: config.num_key_value_heads.unwrap_or(heads),
            head_width: config.head_dim.unwrap_or(config.hidden_size / heads.max(1)),
            eps: config.rms_norm_eps,
            rope_base: theta.unwrap_or(1e4),
            interleaved: false,
            tied: config.tie_word_embeddings,
        };
        let ends = match config.eos_token_id {
            Some(Ids::One(id)) => vec![id],
            Some(Ids::Some(ids)) => ids,
            None => Vec::new(),
        };
        // Newer folders have the template in a file of its own.
        let text = |name: &str| std::fs::read_to_string(path.join(name)).ok();
        let beside = text("tokenizer_config.json").and_then(|text| serde_json::from_str(&text).ok());
        let beside: TokenizerConfig = beside.unwrap_or_default();
        Ok(Source {
            model: Llama::blank(sizes.checked()?)?,
            tokenizer: folder::tokenizer(path)?,
            ends,
            template: text("chat_template.jinja").or(beside.chat_template),
            weights: Weights::Folder(path.to_path_buf()),
        })
    }

    /// Puts the weights into the model, held as they are in the file.
    pub fn load(&self) -> Fails<()> {
        let options = LoadOptions::new().as_stored(true);
        match &self.weights {
            Weights::Gguf(file) => drop(load_gguf(&self.model, file, &options)?),
            Weights::Folder(path) => {
                // Some have the embedding twice where it is tied, and what older programs computed with.
                let more = |name: &str| name == "output.weight" || name.ends_with("rotary_emb.inv_freq");
                let options = options.rename(ggml_name).strict(false);
                let report = load_safetensors_with(&self.model, path, &options)?;
                let unknown = report.unexpected.into_iter().filter(|name| !more(name));
                let wrong: Vec<String> =
                    report.missing.into_iter().chain(report.mismatched).chain(unknown).collect();
                if !wrong.is_empty() {
                    let file = Safetensors::open(path)?;
                    return Err(format!("{file:?}: missing, unfit or unknown: {}", wrong.join(", ")).into());
                }
            }
        }
        Ok(())
    }
}

/// Hugging Face's names, part by part, and those of GGUF files.
const NAMES: [(&str, &str); 13] = [
    ("model.embed_tokens", "token_embd"),
    ("model.norm", "output_norm"),
    ("lm_head", "output"),
    ("model.layers", "blk"),
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// The name in GGUF files of what Hugging Face calls so.
pub fn ggml_name(name: &str) -> String {
    NAMES.iter().fold(name.to_string(), |name, (theirs, ours)| name.replace(theirs, ours))
}

/// The other way round.
pub fn hugging_face_name(name: &str) -> String {
    let parts = name.split('.').map(|part| {
        let found = NAMES.iter().find(|(_, ours)| *ours == part);
        found.map_or(part, |(theirs, _)| theirs)
    });
    parts.collect::<Vec<_>>().join(".")
}

/// The tokenizer that a file of a model with byte pairs describes.
fn tokenizer(file: &Gguf) -> Fails<Tokenizer> {
    let (kind, split): (&str, &str) =
        (file.value("tokenizer.ggml.model")?, file.value("tokenizer.ggml.pre").unwrap_or("default"));
    if kind != "gpt2" || split != "smollm" {
        let told = format!("tokens are made by {kind:?} with {split:?}: \"gpt2\" with \"smollm\" is known");
        return Err((told + ", or give the folder of tokenizer.json").into());
    }
    let tokens = file.value::<Vec<&str>>("tokenizer.ggml.tokens")?;
    let vocabulary = (0..).zip(&tokens).map(|(i, token)| (token.to_string(), i)).collect();
    let pair = |pair: &str| pair.split_once(' ').map(|(a, b)| (a.to_string(), b.to_string()));
    let merges = file.value::<Vec<&str>>("tokenizer.ggml.merges")?.into_iter().filter_map(pair).collect();
    let bpe = BPE::builder().vocab_and_merges::<Vocab>(vocabulary, merges).build()?;
    let mut tokenizer = Tokenizer::new(bpe);
    let digits = pre_tokenizers::digits::Digits::new(true);
    let bytes = pre_tokenizers::byte_level::ByteLevel::new(false, true, true);
    tokenizer
        .with_pre_tokenizer(Some(pre_tokenizers::sequence::Sequence::new(vec![digits.into(), bytes.into()])));
    tokenizer.with_decoder(Some(decoders::byte_level::ByteLevel::default()));
    // Those that stand for no text.
    let control = file.value::<Vec<u32>>("tokenizer.ggml.token_type").unwrap_or_default();
    let control = control.iter().zip(&tokens).filter(|(kind, _)| **kind == 3);
    let control: Vec<AddedToken> = control.map(|(_, token)| AddedToken::from(*token, true)).collect();
    tokenizer.add_special_tokens(&control);
    Ok(tokenizer)
}
