//! What a file of weights holds: `.kolmo` files of all versions, mapped ones too, safetensors (a file, an index
//! or a folder) and GGUF. Texts and the model card, then each tensor with its kind, bits a number, and how its
//! values are spread between the smallest and the largest; bytes by layer.
//!
//! `cargo run --release --example inspect_file FILE`; without a file, one from the tests.
use kolmo::{
    Error, Result, Tensor,
    compress::{Artifact, EntryData, MappedModel, ModelCard, Packed},
    data::{Gguf, Safetensors},
    nn::Param,
};
use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read, Write},
    path::Path,
};

/// Classes of a picture of values.
const CLASSES: usize = 24;

struct Line {
    name: String,
    shape: Vec<usize>,
    kind: String,
    bytes: usize,
    spread: String,
}

fn main() -> Result<()> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/first_version/model.kolmo");
    let path = std::env::args_os().nth(1).unwrap_or_else(|| default.into());
    match std::io::stdout().write_all(told(Path::new(&path))?.as_bytes()) {
        // Who reads no further has seen enough.
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Error::custom(e)),
        _ => Ok(()),
    }
}

/// All about a file.
fn told(path: &Path) -> Result<String> {
    let mut start = [0; 8];
    if path.is_file() {
        let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut start));
        read.map_err(|e| Error::custom(format!("{}: {e}", path.display())))?;
    }
    let (what, meta, lines) = match start {
        [b'k', b'l', b'm', b'o', 2, ..] => mapped(path)?,
        [b'k', b'l', b'm', b'o', version, ..] => coded(path, version)?,
        [b'G', b'G', b'U', b'F', ..] => gguf(path)?,
        _ => safetensors(path)?,
    };
    let mut all = String::new();
    let mut say = |text: String| all.extend([&text, "\n"]);
    say(format!("{}: {what}\n", path.display()));
    let card = ModelCard::of(&meta);
    if !card.is_empty() {
        say(format!("== model card\n\n{card}"));
    }
    for (key, text) in meta.iter().filter(|(key, _)| !key.starts_with("card.")) {
        let short: String = text.chars().take(80).collect();
        say(format!("{key}: {short}{}", if short.len() < text.len() { " …" } else { "" }));
    }
    say("\n== tensors\n".into());
    let width = |of: fn(&Line) -> usize| lines.iter().map(of).max().unwrap_or(0);
    let (name, kind) = (width(|line| line.name.len()), width(|line| line.kind.len()));
    let shape = width(|line| format!("{:?}", line.shape).len());
    for line in &lines {
        let numbers = line.shape.iter().product::<usize>();
        say(format!(
            "{:<name$}  {:<shape$}  {:<kind$}  {:>5.2} bits  {}",
            line.name,
            format!("{:?}", line.shape),
            line.kind,
            8.0 * line.bytes as f64 / numbers.max(1) as f64,
            line.spread
        ));
    }
    say("\n== bytes by layer\n".into());
    let mut layers: Vec<(&str, usize, usize)> = Vec::new();
    for line in &lines {
        let layer = line.name.rsplit_once('.').map_or("", |(layer, _)| layer);
        let numbers = line.shape.iter().product::<usize>();
        match layers.iter_mut().find(|(name, ..)| *name == layer) {
            Some(found) => (found.1, found.2) = (found.1 + line.bytes, found.2 + numbers),
            None => layers.push((layer, line.bytes, numbers)),
        }
    }
    let sum = |of: fn(&(&str, usize, usize)) -> usize| layers.iter().map(of).sum::<usize>();
    layers.push(("all of them", sum(|l| l.1), sum(|l| l.2)));
    layers
        .iter()
        .for_each(|(name, bytes, numbers)| say(format!("{bytes:>12} bytes  {numbers:>12} numbers  {name}")));
    Ok(all)
}

type Found = (String, BTreeMap<String, String>, Vec<Line>);

/// A coded `.kolmo` file.
fn coded(path: &Path, version: u8) -> Result<Found> {
    let artifact = Artifact::load(path)?;
    let sizes = artifact.sizes()?;
    let lines = artifact.entries.iter().map(|entry| Line {
        name: entry.name.clone(),
        shape: entry.shape.clone(),
        kind: kind(&entry.data),
        bytes: sizes.entry(&entry.name),
        spread: spread(&entry.to_dense()),
    });
    Ok((
        format!("a .kolmo file of version {version}, {} bytes", sizes.total()),
        artifact.meta.clone(),
        lines.collect(),
    ))
}

fn kind(data: &EntryData) -> String {
    match data {
        EntryData::Dense(_) => "f32".into(),
        EntryData::Half(_) => "f16".into(),
        EntryData::Bf16(_) => "bf16".into(),
        EntryData::Codebook { mask, centroids, .. } => {
            format!("{} values{}", centroids.len(), if mask.is_some() { ", pruned" } else { "" })
        }
        EntryData::Scaled { weights, group: 0, .. } => format!("{}, scaled", kind(weights)),
        EntryData::Scaled { weights, group, .. } => format!("{}, scaled by {group}", kind(weights)),
        EntryData::Shifted { scaled, .. } => format!("{}, shifted", kind(scaled)),
        EntryData::Packed(packed) => held(packed),
        _ => "of a newer version".into(),
    }
}

/// How packed weights are held.
fn held(packed: &Packed<f32>) -> String {
    match (packed.codes(), packed.half_float()) {
        (Some(codes), _) => format!("{} bits in groups of {}", codes.bits(), codes.group()),
        (_, Some(half)) => format!("{half:?}").to_lowercase(),
        _ => "packed".into(),
    }
}

/// A mapped `.kolmo` file: parameters of its names and shapes are a model that it can be loaded into.
fn mapped(path: &Path) -> Result<Found> {
    let file = MappedModel::open(path)?;
    let model: BTreeMap<&str, Param> =
        file.tensors().map(|(name, shape)| (name, Param::new(Tensor::zeros(shape)))).collect();
    file.load(&model)?;
    let lines =
        file.tensors().filter_map(|(name, _)| Some((name, model.get(name)?.value()))).map(|(name, value)| {
            Line {
                name: name.into(),
                shape: value.shape().to_vec(),
                kind: value.packed().map_or("floats".into(), |packed| held(&packed)),
                bytes: value.packed().map_or(4 * value.numel(), |packed| packed.bytes()),
                spread: spread(&value.to_vec()),
            }
        });
    let lines = lines.collect();
    Ok(("a mapped .kolmo file".into(), file.meta().clone(), lines))
}

fn gguf(path: &Path) -> Result<Found> {
    let file = Gguf::open(path)?;
    let lines = file.tensors().iter().map(|tensor| Line {
        name: tensor.name().into(),
        shape: tensor.shape().to_vec(),
        kind: tensor.dtype().into(),
        bytes: tensor.byte_len().unwrap_or(0),
        spread: spread_of(file.tensor(tensor.name())),
    });
    let meta = file.metadata().iter().map(|(key, value)| (key.clone(), format!("{value:?}"))).collect();
    Ok(("a GGUF file".into(), meta, lines.collect()))
}

fn safetensors(path: &Path) -> Result<Found> {
    let file = Safetensors::open(path)?;
    let lines = file.tensors().iter().map(|tensor| {
        // `BF16`, `I64`, `F8_E4M3`: the first number is that of the bits; `BOOL` has none.
        let dtype = tensor.dtype();
        let digits: String =
            dtype.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        Line {
            name: tensor.name().into(),
            shape: tensor.shape().to_vec(),
            bytes: tensor.shape().numel() * digits.parse().unwrap_or(8) / 8,
            kind: dtype,
            spread: spread_of(file.tensor(tensor.name())),
        }
    });
    Ok(("safetensors".into(), BTreeMap::new(), lines.collect()))
}

/// That of a tensor, or why it can't be read.
fn spread_of(tensor: Result<Tensor>) -> String {
    tensor.map_or_else(|e| e.to_string(), |tensor| spread(&tensor.to_vec()))
}

/// The smallest and the largest value, how often those between them are there, and zeros apart.
fn spread(values: &[f32]) -> String {
    let zeros = values.iter().filter(|v| **v == 0.0).count();
    let others = || values.iter().filter(|v| v.is_finite() && **v != 0.0);
    let (low, high) = others().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
    let mut counts = [0usize; CLASSES];
    for v in others() {
        let part = (v - low) / (high - low).max(f32::MIN_POSITIVE);
        counts[((part * CLASSES as f32) as usize).min(CLASSES - 1)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let bar = |&n: &usize| [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][(8 * n).div_ceil(most)];
    let picture: String = counts.iter().map(bar).collect();
    let share = 100.0 * zeros as f64 / values.len().max(1) as f64;
    match low <= high {
        true => format!("{low:>10.3e} [{picture}] {high:>10.3e}  {share:.1} % zeros"),
        false => format!("{share:.1} % zeros"),
    }
}
