//! Fine-tuning by adapters of low rank beside the model's weights, which stay as they are held; and the
//! adapters in a folder of their own, in peft's form.
use crate::{
    folder::Fails,
    model::Llama,
    open::{ggml_name, hugging_face_name},
    perplexity::perplexity,
    train::train,
};
use clap::Args;
use kolmo::{
    Random, Tensor,
    compress::{Adapters, Lora},
    nn::{Param, named_params},
    train::{load_safetensors, save_safetensors},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

#[derive(Args)]
pub struct Tuning {
    /// Trains adapters of low rank on a text; the last tenth is only predicted.
    #[arg(long, value_name = "TEXT")]
    pub tune: Option<PathBuf>,
    /// A folder of adapters: written after tuning, else read.
    #[arg(long)]
    pub adapters: Option<PathBuf>,
    #[arg(long, default_value_t = 8)]
    rank: usize,
    /// What adapters are multiplied by, times the rank.
    #[arg(long, default_value_t = 8.0)]
    alpha: f64,
    #[arg(long, default_value_t = 0.0)]
    dropout: f64,
    /// The weights that get adapters, by Hugging Face's names.
    #[arg(long, value_delimiter = ',', default_value = "q_proj,v_proj")]
    targets: Vec<String>,
    #[arg(long, default_value_t = 100)]
    pub steps: usize,
    /// Windows in a step.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    #[arg(long, default_value_t = 1e-3)]
    lr: f64,
}

/// `adapter_config.json`, as peft has it.
#[derive(Serialize, Deserialize)]
struct Config {
    peft_type: String,
    #[serde(default)]
    task_type: Option<String>,
    #[serde(flatten)]
    lora: Lora,
    target_modules: Vec<String>,
}

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// Puts adapters beside the weights that are named.
fn attach(model: &Llama, lora: Lora, targets: &[String], rng: &mut Random) -> Fails<Adapters> {
    let end = |target: &String| {
        let known = ["self_attn", "mlp"].map(|part| format!("{part}.{target}"));
        let found = known.iter().map(|name| (name, ggml_name(name))).find(|(theirs, ours)| *theirs != ours);
        let names = "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and down_proj";
        Ok(format!(".{}.weight", found.ok_or(format!("no weight is a {target:?}: there are {names}"))?.1))
    };
    let ends: Vec<String> = targets.iter().map(end).collect::<Fails<_>>()?;
    Ok(lora.attach(model, |name, _| ends.iter().any(|end| name.ends_with(end)), rng)?)
}

/// The adapters by their names in a file: peft's, or those of a GGUF file, whose queries and keys have
/// another order, so that adapters don't fit both.
fn named(adapters: &Adapters, model: &Llama) -> BTreeMap<String, Param> {
    let name = |name: String| match model.is_interleaved() {
        true => name,
        false => format!("base_model.model.{}", hugging_face_name(&name)),
    };
    named_params(adapters).into_iter().map(|(of, p)| (name(of), p)).collect()
}

/// Trains adapters as the options say; the perplexity of what is held out, before and after.
pub fn tune(model: &Llama, tokens: &[u32], window: usize, seed: u64, options: &Tuning) -> Fails<(f64, f64)> {
    let rng = &mut Random::new(seed);
    let (texts, held_out) = tokens.split_at(tokens.len() - tokens.len() / 10);
    if texts.len() <= window || held_out.len() < window {
        let count = tokens.len();
        return Err(format!("{count} tokens: tuning takes a text of ten windows of {window}, or more").into());
    }
    let before = perplexity(model, held_out, window, usize::MAX)?.0;
    println!("held out: perplexity {before:.4}");
    let lora = Lora::new(options.rank).lora_alpha(options.alpha).lora_dropout(options.dropout);
    let adapters = attach(model, lora, &options.targets, rng)?;
    let weights: usize = named_params::<f32>(&adapters).iter().map(|(_, p)| p.shape().numel()).sum();
    println!("adapters of {weights} weights");
    train(
        &adapters,
        options.steps,
        |_| options.lr,
        |tape| {
            let mut losses = Vec::new();
            for _ in 0..options.batch.max(1) {
                let start = rng.randint(0..texts.len() - window)?;
                let text = &texts[start..=start + window];
                let logits = model.forward(tape, &text[..window], &mut [], false);
                losses.push(logits.cross_entropy(&Tensor::from(&text[1..])));
            }
            Ok(losses.iter().skip(1).fold(losses[0].clone(), |sum, loss| sum + loss) / losses.len() as f64)
        },
    )?;
    let after = perplexity(model, held_out, window, usize::MAX)?.0;
    println!("held out: perplexity {after:.4}");
    if let Some(folder) = &options.adapters {
        let target_modules = options.targets.clone();
        let task_type = Some("CAUSAL_LM".into());
        save(
            model,
            &adapters,
            &Config { peft_type: "LORA".into(), task_type, lora, target_modules },
            folder,
        )?;
    }
    Ok((before, after))
}

fn save(model: &Llama, adapters: &Adapters, config: &Config, folder: &Path) -> Fails<()> {
    fs::create_dir_all(folder)?;
    let path = folder.join(WEIGHTS);
    save_safetensors(&named(adapters, model), &path)?;
    kolmo::data::write_file(serde_json::to_string_pretty(config)?, folder.join(CONFIG))?;
    println!("{}: {} bytes", path.display(), fs::metadata(&path)?.len());
    Ok(())
}

/// Puts the adapters of a folder beside a model's weights.
pub fn load(model: &Llama, folder: &Path) -> Fails<()> {
    let told = |why: String| format!("{}: {why}", folder.join(CONFIG).display());
    let text = fs::read_to_string(folder.join(CONFIG)).map_err(|why| told(why.to_string()))?;
    let config: Config = serde_json::from_str(&text).map_err(|why| told(why.to_string()))?;
    let adapters = attach(model, config.lora, &config.target_modules, &mut Random::new(0))?;
    Ok(load_safetensors(&named(&adapters, model), folder.join(WEIGHTS))?)
}
