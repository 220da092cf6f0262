//! The whole way of a tiny model of random weights, in both forms in which models are passed on.
use super::{
    Options,
    chat::{ChatMl, Talk},
    folder::Fails,
    goal::Goal,
    open::{Source, hugging_face_name},
    perplexity::perplexity,
    run, stored, tune,
};
use clap::Parser;
use kolmo::{
    Random, Tape, Tensor,
    compress::{matrices, pack, quantize::WeightOnly, save_mapped},
    nn::{Param, Sampling, init, named_params},
    train::save_safetensors,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

const TEMPLATE: &str = "{% if first %}{{ '<|im_start|>system\nYou are small<|im_end|>\n' }}{% endif %}\
    {{ '<|im_start|>' + message['role'] }}";
pub const WIDTH: usize = 16;
pub const WIDE: usize = 24;
pub const HEADS: usize = 4;
pub const KV_HEADS: usize = 2;

/// A folder of a test's own, gone when the test is over.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("kolmo-llama-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Tokens, single bytes and those that stand for no text, and two pairs.
fn tokens() -> Vec<String> {
    let mut bytes: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    bytes.sort_unstable();
    let control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].map(String::from).into_iter();
    control.chain(bytes.iter().map(char::to_string)).chain(["th", "the"].map(String::from)).collect()
}

/// Random weights under the names of GGUF files.
fn weights() -> BTreeMap<String, Tensor> {
    let rng = &mut Random::new(0);
    let mut all = BTreeMap::new();
    let (vocabulary, head) = (tokens().len(), WIDTH / HEADS);
    let mut matrix = |name: String, out: usize, inputs: usize| {
        all.insert(name + ".weight", init::normal([out, inputs], 0.0, 0.3, rng));
    };
    matrix("token_embd".into(), vocabulary, WIDTH);
    for block in 0..2 {
        for (name, out, inputs) in [
            ("attn_q", WIDTH, WIDTH),
            ("attn_k", KV_HEADS * head, WIDTH),
            ("attn_v", KV_HEADS * head, WIDTH),
            ("attn_output", WIDTH, WIDTH),
            ("ffn_gate", WIDE, WIDTH),
            ("ffn_up", WIDE, WIDTH),
            ("ffn_down", WIDTH, WIDE),
        ] {
            matrix(format!("blk.{block}.{name}"), out, inputs);
        }
    }
    let norms = ["blk.0.attn", "blk.0.ffn", "blk.1.attn", "blk.1.ffn", "output"];
    all.extend(norms.map(|name| (format!("{name}_norm.weight"), init::normal([WIDTH], 1.0, 0.2, rng))));
    all
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// A GGUF file of these weights.
fn gguf(weights: &BTreeMap<String, Tensor>, architecture: &str) -> Vec<u8> {
    let (u32s, tokens) = (|v: usize| (v as u32).to_le_bytes().to_vec(), tokens());
    let list = |kind: usize, all: Vec<Vec<u8>>| {
        [u32s(kind), (all.len() as u64).to_le_bytes().to_vec(), all.concat()].concat()
    };
    let float = |v: f32| v.to_le_bytes().to_vec();
    let control = |i: usize| u32s(if i < 3 { 3 } else { 1 });
    let keys = [
        ("general.architecture", 8, text(architecture)),
        ("llama.embedding_length", 4, u32s(WIDTH)),
        ("llama.feed_forward_length", 4, u32s(WIDE)),
        ("llama.block_count", 4, u32s(2)),
        ("llama.attention.head_count", 4, u32s(HEADS)),
        ("llama.attention.head_count_kv", 4, u32s(KV_HEADS)),
        ("llama.attention.layer_norm_rms_epsilon", 6, float(1e-5)),
        ("llama.rope.freq_base", 6, float(1000.0)),
        ("tokenizer.ggml.model", 8, text("gpt2")),
        ("tokenizer.ggml.pre", 8, text("smollm")),
        ("tokenizer.ggml.tokens", 9, list(8, tokens.iter().map(|token| text(token)).collect())),
        ("tokenizer.ggml.token_type", 9, list(5, (0..tokens.len()).map(control).collect())),
        ("tokenizer.ggml.merges", 9, list(8, vec![text("t h"), text("th e")])),
        ("tokenizer.ggml.eos_token_id", 4, u32s(0)),
        ("tokenizer.chat_template", 8, text(TEMPLATE)),
    ];
    let counts = [weights.len() as u64, keys.len() as u64].map(u64::to_le_bytes).concat();
    let keys = keys.map(|(key, kind, value)| [text(key), u32s(kind), value].concat()).concat();
    let (mut entries, mut numbers) = (Vec::new(), Vec::new());
    for (name, tensor) in weights {
        let sizes = tensor.shape().iter().rev().flat_map(|&size| (size as u64).to_le_bytes()).collect();
        let start = (numbers.len() as u64).to_le_bytes().to_vec();
        entries.extend([text(name), u32s(tensor.rank()), sizes, u32s(0), start].concat());
        numbers.extend(tensor.to_vec().iter().flat_map(|v| v.to_le_bytes()));
        numbers.resize(numbers.len().next_multiple_of(32), 0);
    }
    let mut bytes = [&b"GGUF\x03\0\0\0"[..], &counts, &keys, &entries].concat();
    bytes.resize(bytes.len().next_multiple_of(32), 0);
    [bytes, numbers].concat()
}

/// The same weights in a folder, in two files, with the rows of queries and keys in halves.
fn hugging_face(weights: &BTreeMap<String, Tensor>, source: &Source, folder: &Path) -> Fails<()> {
    let head = WIDTH / HEADS;
    let turned = |name: &str, tensor: &Tensor| -> Tensor {
        if !name.contains("attn_q.") && !name.contains("attn_k.") {
            return tensor.clone();
        }
        let values = tensor.to_vec();
        Tensor::from_fn(tensor.shape(), |i| {
            let (row, col) = (i / WIDTH, i % WIDTH);
            let (half, at) = (row % head / (head / 2), row % (head / 2));
            values[(row / head * head + 2 * at + half) * WIDTH + col]
        })
    };
    let mut shards = [BTreeMap::new(), BTreeMap::new()];
    for (i, (name, tensor)) in weights.iter().enumerate() {
        shards[i % 2].insert(hugging_face_name(name), Param::new(turned(name, tensor)));
    }
    let mut map = BTreeMap::new();
    for (i, shard) in shards.iter().enumerate() {
        save_safetensors(shard, folder.join(format!("{i}.safetensors")))?;
        map.extend(shard.keys().map(|name| (name.clone(), format!("{i}.safetensors"))));
    }
    let index = serde_json::json!({"metadata": {}, "weight_map": map});
    fs::write(folder.join("model.safetensors.index.json"), index.to_string())?;
    fs::write(folder.join("config.json"), config().to_string())?;
    fs::write(
        folder.join("tokenizer_config.json"),
        serde_json::json!({"chat_template": TEMPLATE}).to_string(),
    )?;
    source.tokenizer.save(folder.join("tokenizer.json"), false)
}

fn config() -> serde_json::Value {
    serde_json::json!({
        "model_type": "llama", "vocab_size": tokens().len(), "hidden_size": WIDTH, "intermediate_size": WIDE,
        "num_hidden_layers": 2, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS,
        "rms_norm_eps": 1e-5, "rope_theta": 1000.0, "tie_word_embeddings": true, "eos_token_id": [0, 2],
    })
}

/// Both forms, loaded.
pub fn both(folder: &Folder) -> [Source; 2] {
    let (weights, file) = (weights(), folder.0.join("tiny.gguf"));
    fs::write(&file, gguf(&weights, "llama")).unwrap();
    let of_gguf = Source::open(&file).unwrap();
    hugging_face(&weights, &of_gguf, &folder.0).unwrap();
    let all = [of_gguf, Source::open(&folder.0).unwrap()];
    all.iter().for_each(|source| source.load().unwrap());
    all
}

pub const TEXT: &str = "the other the weather, <|im_end|> rather the";

fn logits(source: &Source) -> Vec<f32> {
    let tokens = source.tokenizer.encode(TEXT, true).unwrap();
    let tape = Tape::inference();
    source.model.forward(&tape, tokens.get_ids(), &mut source.model.caches(), false).to_vec().unwrap()
}

pub fn near(a: &[f32], b: &[f32], by: f32) -> bool {
    let most = a.iter().fold(0f32, |most, v| most.max(v.abs()));
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= by * most)
}

#[test]
fn a_file_and_a_folder_are_the_same_model() {
    let folder = Folder::new("both");
    let [a, b] = both(&folder);
    let [ids, same] = [&a, &b].map(|source| source.tokenizer.encode(TEXT, true).unwrap().get_ids().to_vec());
    assert!(ids == same && ids.contains(&2) && ids.len() < TEXT.len() - 20, "{ids:?}");
    assert!(near(&logits(&a), &logits(&b), 1e-5));
    assert_eq!((a.ends, b.ends), (vec![0], vec![0, 2]));
    assert!(a.template.as_deref() == Some(TEMPLATE) && b.template.as_deref() == Some(TEMPLATE));
}

#[test]
fn a_talk_goes_on_from_all_that_was_said() {
    let folder = Folder::new("talk");
    for source in both(&folder) {
        let greedy = || Talk::new(&source, Sampling::new().temperature(0.0), 0);
        let [first, second] = ["the end", "another"]
            .map(|text| source.tokenizer.encode(text, true).unwrap().get_ids().to_vec());
        let mut talk = greedy();
        let silent = |_: &str| Ok(());
        let answer = talk.go_on(&first, 6, &[], silent).unwrap().tokens;
        let next = talk.go_on(&second, 6, &[], silent).unwrap().tokens;
        let all = [&first[..], &answer, &second].concat();
        assert_eq!(greedy().go_on(&all, 6, &[], silent).unwrap().tokens, next);
        // A token that ends an answer is no part of it.
        let cut = answer.iter().position(|token| *token == answer[3]).unwrap();
        assert_eq!(greedy().go_on(&first, 6, &answer[3..4], silent).unwrap().tokens, answer[..cut]);

        let form = ChatMl::of(source.template.as_deref(), &source.tokenizer).unwrap();
        let mut out = Vec::new();
        form.talk(&mut greedy(), None, 4, &b"hello\n\nagain\n"[..], &mut out).unwrap();
        assert!(!out.is_empty());
        // The opening is the template's own; without a template there are no turns.
        let opened = |system: Option<&str>| {
            let mut out = Vec::new();
            form.talk(&mut greedy(), system, 8, &b"hello"[..], &mut out).unwrap();
            out
        };
        assert!(
            opened(None) == opened(Some("You are small")) && opened(None) != opened(Some("You are large"))
        );
        for template in [None, Some("{{ message }}")] {
            assert!(ChatMl::of(template, &source.tokenizer).is_err());
        }
    }
}

#[test]
fn compressed_weights_go_through_both_kinds_of_files() {
    let folder = Folder::new("compress");
    for mut source in both(&folder) {
        let before = logits(&source);
        WeightOnly::new(4).groups(8).apply(&source.model, matrices).unwrap();
        let rounded = logits(&source);
        assert!(!near(&before, &rounded, 1e-3));
        let paths = ["mapped", "packed"].map(|name| folder.0.join(name));
        save_mapped(&source.model, &[], &paths[0]).unwrap();
        pack(&source.model, &[]).unwrap().save(&paths[1]).unwrap();
        for path in &paths {
            source.load().unwrap();
            assert_eq!(logits(&source), before);
            stored(&mut source.model, path).unwrap();
            assert_eq!(logits(&source), rounded, "{}", path.display());
        }
    }
    let goal = |text: &str| text.parse::<Goal>();
    assert_eq!((goal("4"), goal("60MB")), (Ok(Goal::Bits(4)), Ok(Goal::Bytes(60_000_000))));
    assert_eq!((goal("9"), goal("1kB")), (Ok(Goal::Bytes(9)), Ok(Goal::Bytes(1000))));
    for wrong in ["", "0", "MB", "4 bits", "9999999999999GB", "-1"] {
        assert!(goal(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn tuning_helps_and_adapters_come_back_from_their_folder() {
    let folder = Folder::new("tune");
    let saved = folder.0.join("adapters");
    for (i, source) in both(&folder).into_iter().enumerate() {
        WeightOnly::new(8).groups(8).apply(&source.model, matrices).unwrap();
        let tokens =
            source.tokenizer.encode("the cat and the dog, ".repeat(60), true).unwrap().get_ids().to_vec();
        let adapters = saved.to_str().unwrap();
        let line =
            ["llama", "--model", "-", "--tune", "-", "--adapters", adapters, "--rank", "4", "--lr", "0.02"];
        let more = ["--steps", "40", "--batch", "2", "--targets", "q_proj,v_proj,o_proj,down_proj"];
        let options = Options::parse_from(line.into_iter().chain(more));
        let (before, after) = tune::tune(&source.model, &tokens, 16, 0, &options.tuning).unwrap();
        assert!(after < 0.2 * before, "{before} {after}");
        let weights = named_params::<f32>(&source.model);
        assert!(weights.iter().all(|(_, p)| !p.is_trainable()) && weights[0].1.value().packed().is_some());
        let size = fs::metadata(saved.join("adapter_model.safetensors")).unwrap().len();
        assert!(size < 20_000, "{size}");
        let names = kolmo::data::Safetensors::open(saved.join("adapter_model.safetensors")).unwrap();
        let first = [
            "blk.0.attn_output.lora_A.weight",
            "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight",
        ];
        assert_eq!(names.tensors()[0].name(), first[i]);
        let tuned = logits(&source);
        source.load().unwrap();
        WeightOnly::new(8).groups(8).apply(&source.model, matrices).unwrap();
        tune::load(&source.model, &saved).unwrap();
        assert!(near(&logits(&source), &tuned, 1e-6));
        // Rounded with what the adapters add, which are gone then.
        WeightOnly::new(8).groups(8).apply(&source.model, matrices).unwrap();
        let merged = perplexity(&source.model, &tokens, 16, usize::MAX).unwrap().0;
        assert!(merged < 0.3 * before, "{before} {merged}");
        assert!(tune::tune(&source.model, &tokens[..100], 16, 0, &options.tuning).is_err());
    }
}

#[test]
fn what_is_no_model_of_this_kind_is_told() {
    let folder = Folder::new("other");
    drop(both(&folder));
    let refused = |path: &Path, part: &str| {
        let error = Source::open(path).and_then(|source| source.load()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}: expected {part}");
    };
    let file = folder.0.join("other.gguf");
    fs::write(&file, gguf(&weights(), "bert")).unwrap();
    refused(&file, "the model is a \"bert\": \"llama\" is read");
    for (key, value, part) in [
        ("model_type", "qwen2".into(), "the model is a \"qwen2\""),
        ("rope_scaling", serde_json::json!({"type": "linear"}), "rotary places are scaled"),
        ("num_key_value_heads", 3.into(), "heads are to share keys evenly"),
        ("num_attention_heads", 0.into(), "a size is 0"),
        ("num_hidden_layers", 3.into(), "missing, unfit or unknown: blk.2.attn_norm.weight"),
        ("hidden_size", "x".into(), "config.json: invalid type"),
    ] {
        let mut changed = config();
        changed[key] = value;
        fs::write(folder.0.join("config.json"), changed.to_string()).unwrap();
        refused(&folder.0, part);
    }
    fs::remove_file(folder.0.join("config.json")).unwrap();
    refused(&folder.0, "config.json: No such file");
}

#[test]
fn options_lead_to_what_they_say() {
    let folder = Folder::new("run");
    drop(both(&folder));
    let path = |name: &str| folder.0.join(name).to_str().unwrap().to_string();
    let (file, text, out, logits) = (path("tiny.gguf"), path("text"), path("out"), path("logits"));
    fs::write(&text, TEXT.repeat(5)).unwrap();
    let done = |options: &[&str]| run(&Options::parse_from(["llama", "--model"].iter().chain(options)));
    done(&[&file, "--tokens", "5"]).unwrap();
    done(&[&file, "--compress", "4", "--group", "8", "--out", &out, "--perplexity", &text, "--window", "9"])
        .unwrap();
    done(&[&file, "--weights", &out, "--logits", &logits]).unwrap();
    done(&[&file, "--compress", "4", "--activations", "int8", "--tokens", "5"]).unwrap();
    assert!(fs::metadata(&logits).unwrap().len() > 1000);
    let (hugging_face, torchao) = (folder.0.to_str().unwrap(), path("torchao"));
    done(&[hugging_face, "--bits", "4", "--group", "8", "--torchao", &torchao, "--tokens", "1"]).unwrap();
    let names = kolmo::data::Safetensors::open(&torchao).unwrap();
    assert_eq!(names.tensors()[0].name(), "model.embed_tokens._weight_qdata");
    let error = done(&[&file, "--torchao", &torchao]).unwrap_err().to_string();
    assert!(error.contains("--torchao takes a model from a folder"), "{error}");
    let error = done(&[&file, "--compress", "60MB"]).unwrap_err().to_string();
    assert!(error.contains("--calibrate TEXT is needed"), "{error}");
    let calibrated = ["--calibrate", &text, "--window", "9", "--tokens", "1"];
    done(&[&[&file, "--compress", "4", "--method", "gptq", "--group", "8"], &calibrated[..]].concat())
        .unwrap();
    let size = |bytes: &str| {
        let packed = path("packed");
        done(&[&[&file, "--compress", bytes, "--pack", &packed], &calibrated[..]].concat()).unwrap();
        let output = |weights: &[&str]| done(&[&[&file, "--logits", &logits], weights].concat());
        output(&["--weights", &packed]).unwrap();
        fs::metadata(&packed).unwrap().len()
    };
    let (small, large) = (size("3kB"), size("6kB"));
    assert!(small < large && large < 9000, "{small} {large}");
    let picture = path("picture.svg");
    let sizes = ["--sizes", "8,4,3kB", "--beside", &file, "--picture", &picture, "--perplexity", &text];
    done(&[&[&file[..]], &sizes[..], &calibrated[..]].concat()).unwrap();
    assert!(fs::read_to_string(&picture).unwrap().contains("MB of the file"));
    let error = done(&[&file, "--sizes", "8"]).unwrap_err().to_string();
    assert!(error.contains("take --perplexity TEXT"), "{error}");
    let error = done(&[&file, "--perplexity", &text, "--window", "1000"]).unwrap_err().to_string();
    assert!(error.contains("has no window of 1000"), "{error}");
}

#[test]
fn the_first_token_of_a_window_counts_as_many() {
    let folder = Folder::new("first");
    let [source, _] = both(&folder);
    let file = folder.0.join("tiny.gguf");
    let window: Vec<u32> = (10..26).collect();
    let tokens = |_: &Path| Ok(window.clone());
    let squares = |gradients: bool, first: &str| -> f32 {
        let arguments = ["llama", "--model", file.to_str().unwrap(), "--calibrate", "TEXT", "--first-tokens"];
        let options = Options::parse_from(arguments.iter().chain(&[first]));
        let seen = options.compressing.calibrated(&source.model, 16, tokens, gradients).unwrap();
        let all = named_params::<f32>(&source.model);
        let (_, p) = all.iter().find(|(name, _)| name.contains("attn_v")).unwrap();
        seen.second_moments(p).unwrap().to_vec().iter().step_by(WIDTH + 1).sum()
    };
    for gradients in [false, true] {
        // 15 rows of a norm's result, and 256 more.
        let ratio = squares(gradients, "256") / squares(gradients, "0");
        assert!(ratio > 10.0 && ratio < 30.0, "{ratio}");
    }
}
