//! A tiny BERT of random weights in a folder that the test writes, against plain sums.
use super::{Options, compress::likeness, model::Sentences, nearest, run};
use clap::Parser;
use kolmo::{
    Random, Tape, Tensor,
    nn::{Param, init},
    train::save_safetensors,
};
use std::{collections::BTreeMap, fs, path::PathBuf};
use tokenizers::{
    Tokenizer,
    models::wordlevel::WordLevel,
    pre_tokenizers::whitespace::WhitespaceSplit,
    processors::template::{TemplateProcessing, TemplateProcessingBuilderError},
};

const WIDTH: usize = 12;
const WIDE: usize = 20;
const HEADS: usize = 3;
const WORDS: usize = 10;

/// A folder of a test's own, gone when the test is over.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

type Weights = BTreeMap<String, Param>;

fn weights() -> Weights {
    let rng = &mut Random::new(0);
    let mut all = BTreeMap::new();
    let mut add = |name: &str, shape: &[usize], mean: f64| {
        all.insert(name.to_string(), Param::new(init::normal(shape, mean, 0.4, rng)));
    };
    for (table, n) in [("word", WORDS), ("position", 16), ("token_type", 2)] {
        add(&format!("embeddings.{table}_embeddings.weight"), &[n, WIDTH], 0.0);
    }
    let mut layers = vec![("embeddings.LayerNorm".to_string(), None)];
    for block in ["encoder.layer.0", "encoder.layer.1"] {
        for (name, sizes) in [
            ("attention.self.query", Some([WIDTH, WIDTH])),
            ("attention.self.key", Some([WIDTH, WIDTH])),
            ("attention.self.value", Some([WIDTH, WIDTH])),
            ("attention.output.dense", Some([WIDTH, WIDTH])),
            ("attention.output.LayerNorm", None),
            ("intermediate.dense", Some([WIDE, WIDTH])),
            ("output.dense", Some([WIDTH, WIDE])),
            ("output.LayerNorm", None),
        ] {
            layers.push((format!("{block}.{name}"), sizes));
        }
    }
    for (name, sizes) in layers {
        let (weight, mean) = sizes.map_or((vec![WIDTH], 1.0), |sizes| (sizes.to_vec(), 0.0));
        add(&format!("{name}.weight"), &weight, mean);
        add(&format!("{name}.bias"), &weight[..1], 0.0);
    }
    // Beside what is used.
    add("pooler.dense.weight", &[WIDTH, WIDTH], 0.0);
    all
}

fn folder(name: &str, weights: &Weights) -> Folder {
    let folder = std::env::temp_dir().join(format!("kolmo-bert-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    save_safetensors(weights, folder.join("model.safetensors")).unwrap();
    let config = serde_json::json!({
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": WIDTH, "intermediate_size": WIDE,
        "num_hidden_layers": 2, "num_attention_heads": HEADS, "layer_norm_eps": 1e-12, "vocab_size": WORDS,
        "max_position_embeddings": 16, "type_vocab_size": 2,
    });
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let words = ["[PAD]", "[CLS]", "[SEP]", "?", "a", "b", "c", "d", "e", "f"];
    let vocabulary = (0..).zip(words).map(|(i, word)| (word.to_string(), i)).collect();
    let model = WordLevel::builder().vocab(vocabulary).unk_token("?".into()).build().unwrap();
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(WhitespaceSplit));
    let around: Result<_, TemplateProcessingBuilderError> = TemplateProcessing::builder()
        .try_single("[CLS] $A [SEP]")
        .unwrap()
        .special_tokens(vec![("[CLS]", 1), ("[SEP]", 2)])
        .build();
    tokenizer.with_post_processor(Some(around.unwrap()));
    tokenizer.save(folder.join("tokenizer.json"), false).unwrap();
    Folder(folder)
}

/// `W·x + b`.
fn linear(all: &Weights, name: &str, x: &[f64]) -> Vec<f64> {
    let [w, b] = ["weight", "bias"].map(|part| all[&format!("{name}.{part}")].value().to_vec());
    let row = |(row, b): (&[f32], &f32)| {
        row.iter().zip(x).map(|(w, x)| f64::from(*w) * x).sum::<f64>() + f64::from(*b)
    };
    w.chunks(x.len()).zip(&b).map(row).collect()
}

fn norm(all: &Weights, name: &str, x: &[f64]) -> Vec<f64> {
    let [w, b] = ["weight", "bias"].map(|part| all[&format!("{name}.LayerNorm.{part}")].value().to_vec());
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / x.len() as f64;
    let one =
        |(x, (w, b)): (&f64, (&f32, &f32))| (x - mean) / variance.sqrt() * f64::from(*w) + f64::from(*b);
    x.iter().zip(w.iter().zip(&b)).map(one).collect()
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// The vector of a line by itself, by the book.
fn by_hand(all: &Weights, tokens: &[usize]) -> Vec<f64> {
    let row = |table: &str, i: usize| -> Vec<f64> {
        let list = all[&format!("embeddings.{table}_embeddings.weight")].value().to_vec();
        list[i * WIDTH..][..WIDTH].iter().map(|v| f64::from(*v)).collect()
    };
    let one = |(i, token): (usize, &usize)| {
        sum(&sum(&row("word", *token), &row("position", i)), &row("token_type", 0))
    };
    let mut x: Vec<Vec<f64>> =
        tokens.iter().enumerate().map(one).map(|x| norm(all, "embeddings", &x)).collect();
    for block in 0..2 {
        let name = |part: &str| format!("encoder.layer.{block}.{part}");
        let [q, k, v] = ["query", "key", "value"].map(|part| {
            x.iter().map(|x| linear(all, &name(&format!("attention.self.{part}")), x)).collect::<Vec<_>>()
        });
        let head = WIDTH / HEADS;
        let seen = |i: usize| -> Vec<f64> {
            let mut out = vec![0.0; WIDTH];
            for at in (0..WIDTH).step_by(head) {
                let score = |k: &Vec<f64>| {
                    (0..head).map(|d| q[i][at + d] * k[at + d]).sum::<f64>() / (head as f64).sqrt()
                };
                let weights: Vec<f64> = k.iter().map(|k| score(k).exp()).collect();
                let all: f64 = weights.iter().sum();
                for (weight, v) in weights.iter().zip(&v) {
                    (0..head).for_each(|d| out[at + d] += weight / all * v[at + d]);
                }
            }
            out
        };
        let after = |i: usize| {
            let found = linear(all, &name("attention.output.dense"), &seen(i));
            let x = norm(all, &name("attention.output"), &sum(&x[i], &found));
            let wide = linear(all, &name("intermediate.dense"), &x);
            let wide = Tape::<f64>::inference().constant(Tensor::from(wide)).gelu().to_vec().unwrap();
            norm(all, &name("output"), &sum(&x, &linear(all, &name("output.dense"), &wide)))
        };
        x = (0..tokens.len()).map(after).collect();
    }
    let mean = x.iter().skip(1).fold(x[0].clone(), |mean, x| sum(&mean, x));
    let length = mean.iter().map(|v| v * v).sum::<f64>().sqrt();
    mean.iter().map(|v| v / length).collect()
}

#[test]
fn lines_of_different_lengths_are_what_each_is_by_itself() {
    let weights = weights();
    let folder = folder("lines", &weights);
    let model = Sentences::open(&folder.0).unwrap();
    let lines = ["a b c d e f a b", "c", "", "zzz b", "a b c", "f e d c b a f e d c b a f e d c b a"];
    let ids = [
        &[4, 5, 6, 7, 8, 9, 4, 5][..],
        &[6],
        &[],
        &[3, 5],
        &[4, 5, 6],
        &[9, 8, 7, 6, 5, 4, 9, 8, 7, 6, 5, 4, 9, 8],
    ];
    for batch in [1, 2, 6] {
        let vectors = model.embed(&lines, batch).unwrap();
        for (i, (vector, ids)) in vectors.to_vec().chunks(WIDTH).zip(ids).enumerate() {
            let expected = by_hand(&weights, &[&[1], ids, &[2]].concat());
            let apart =
                vector.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
            assert!(apart < 1e-5, "line {i} in batches of {batch}: {apart} apart");
        }
    }
}

#[test]
fn an_onnx_file_gives_the_vectors_of_lines_of_any_length() {
    let folder = folder("onnx", &weights());
    let model = Sentences::open(&folder.0).unwrap();
    let path = folder.0.join("model.onnx");
    model.export(&path).unwrap();
    let (again, tape) = (kolmo::onnx::Model::load(&path).unwrap(), Tape::inference());
    for line in ["a b c", "d", "a b c d e f"] {
        let own = model.embed(&[line], 1).unwrap().to_vec();
        let vector = again.forward(&tape, &[], &[model.tokens(line).unwrap()])[0].to_vec().unwrap();
        assert!(
            own.iter().zip(&vector).all(|(a, b)| (a - b).abs() < 1e-5),
            "{line}: {vector:?}, not {own:?}"
        );
    }
}

#[test]
fn a_model_in_fewer_bits_comes_back_from_its_file() {
    let folder = folder("compressed", &weights());
    let path = |name: &str| folder.0.join(name).to_str().unwrap().to_string();
    let (text, packed, out) = (path("text"), path("packed"), path("out"));
    let lines = ["a b c d e f a b", "c", "b", "a b c", "f e d c b a", "d e a d", "e e f", "b a d c"];
    fs::write(&text, lines.join("\n")).unwrap();
    let given = ["sentence", "--model", folder.0.to_str().unwrap(), "--lines", &text];
    let done = |more: &[&str]| run(&Options::parse_from(given.iter().chain(more)));
    let vectors = || kolmo::data::Safetensors::open(&out).unwrap().tensor::<f32>("vectors").unwrap();
    let mut all = Vec::new();
    for how in [&[][..], &["--compress", "8"], &["--compress", "3kB", "--calibrate", &text]] {
        done(&[how, &["--pack", &packed, "--out", &out]].concat()).unwrap();
        let before = vectors();
        assert!(how.len() < 4 || fs::metadata(&packed).unwrap().len() <= 3000);
        done(&["--weights", &packed, "--out", &out]).unwrap();
        assert_eq!(vectors(), before, "{how:?}");
        all.push(before);
    }
    let alike: Vec<f64> = all.iter().map(|vectors| likeness(&all[0], vectors).unwrap().0).collect();
    assert!(alike[0] > 0.999_999 && alike[1] > 0.999 && alike[1] < 1.0 - 1e-7, "{alike:?}");
    assert!(alike[2] > 0.9 && alike[2] < 1.0 - 1e-7, "{alike:?}");
    let picture = path("picture.svg");
    done(&["--sizes", "8,3kB", "--calibrate", &text, "--picture", &picture]).unwrap();
    assert!(fs::read_to_string(&picture).unwrap().contains("1 - mean cosine"));
    let error = done(&["--compress", "3kB"]).unwrap_err().to_string();
    assert!(error.contains("--calibrate TEXT is needed"), "{error}");
}

#[test]
fn a_pruned_model_learns_from_the_whole_and_comes_back_from_its_file() {
    let folder = folder("pruned", &weights());
    let path = |name: &str| folder.0.join(name).to_str().unwrap().to_string();
    let (text, packed, out) = (path("text"), path("packed"), path("out"));
    let lines = ["a b c d e f a b", "c", "b", "a b c", "f e d c b a", "d e a d", "e e f", "b a d c"];
    fs::write(&text, lines.join("\n")).unwrap();
    let given = ["sentence", "--model", folder.0.to_str().unwrap(), "--lines", &text, "--out", &out];
    let done = |more: &[&str]| run(&Options::parse_from(given.iter().chain(more)));
    let vectors = || kolmo::data::Safetensors::open(&out).unwrap().tensor::<f32>("vectors").unwrap();
    done(&[]).unwrap();
    let whole = vectors();
    let how = ["--prune-units", "0.5", "--prune-heads", "0.5", "--prune-blocks", "1", "--calibrate", &text];
    let mut alike = Vec::new();
    for steps in ["0", "60"] {
        done(&[&how[..], &["--distill", steps, "--distill-lr", "0.01", "--pack", &packed]].concat()).unwrap();
        let before = vectors();
        done(&["--weights", &packed]).unwrap();
        assert_eq!(vectors(), before);
        alike.push(likeness(&whole, &before).unwrap().0);
    }
    assert!(alike[1] > alike[0] + 0.5 * (1.0 - alike[0]), "{alike:?}");
    let error = done(&["--prune-blocks", "2", "--calibrate", &text]).unwrap_err().to_string();
    assert!(error.contains("there are 2, and one is to be left"), "{error}");
}

#[test]
fn what_does_not_fit_is_told() {
    let mut weights = weights();
    weights.remove("encoder.layer.1.output.dense.bias");
    weights.insert("embeddings.LayerNorm.bias".into(), Param::new(Tensor::zeros([5])));
    let folder = folder("unfit", &weights);
    let error = Sentences::open(&folder.0).err().unwrap().to_string();
    assert!(
        error.contains(
            "missing or unfit: encoder.layer.1.output.dense.bias, embeddings.LayerNorm.bias is [5]"
        ),
        "{error}"
    );
    let config = folder.0.join("config.json");
    for (from, to, part) in [
        ("\"bert\"", "\"gpt2\"", "a \"gpt2\""),
        ("\"num_attention_heads\":3", "\"num_attention_heads\":5", "5 heads"),
    ] {
        let text = fs::read_to_string(&config).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&config, text.replace(from, to)).unwrap();
        let error = Sentences::open(&folder.0).err().unwrap().to_string();
        assert!(error.contains(part), "{error}");
        fs::write(&config, text).unwrap();
    }
}

#[test]
fn the_nearest_come_first() {
    let angle = |i: usize| i as f32 * 0.9;
    let all = Tensor::from_fn([600, 2], |i| if i % 2 == 0 { angle(i / 2).cos() } else { angle(i / 2).sin() });
    let query = Tensor::from([[1.0, 0.0]]);
    let found = nearest(&query, &all, 3, |_, _| true).unwrap();
    let mut expected: Vec<usize> = (0..600).collect();
    expected.sort_by(|a, b| angle(*b).cos().total_cmp(&angle(*a).cos()));
    assert_eq!(found.iter().map(|(_, i, _)| *i).collect::<Vec<_>>(), expected[..3]);
    let pairs = nearest(&all, &all, 5, |i, j| i < j).unwrap();
    let all = (0..600).flat_map(|i| (0..i).map(move |j| (angle(i) - angle(j)).cos()));
    let best = all.fold(-1.0, f32::max);
    assert!(pairs.iter().all(|(likeness, i, j)| j < i && (likeness - best).abs() < 1e-4), "{pairs:?}");
}
