//! Weights of others without loss in fewer bytes: a GGUF file's tensors as it holds them (blocks of few bits
//! with their scales), or those of safetensors files (whole numbers of 8 bits, floats), in a `.kolmo` file,
//! from which all are read back and compared to the bit.
//!
//! ```sh
//! cargo run --release --example repack -- model.gguf model.kolmo
//! ```
use clap::Parser;
use kolmo::{
    Error, Result, Tensor,
    compress::{Artifact, Entry, EntryData, pack, unpack},
    data::{Gguf, Safetensors},
    nn::Param,
};
use std::{collections::BTreeMap, path::PathBuf, time::Instant};

#[derive(Parser)]
struct Options {
    /// A GGUF file, a safetensors file, or a folder or index of several.
    file: PathBuf,
    /// The `.kolmo` file to be written.
    out: PathBuf,
}

/// Tensors as their file holds them, and those that are whole numbers of 8 bits.
struct Weights {
    held: BTreeMap<String, Param>,
    bytes: Vec<String>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let weights = read(&options.file)?;
    let numbers: usize = weights.held.values().map(|p| p.shape().numel()).sum();
    let began = Instant::now();
    repacked(&weights)?.save(&options.out)?;
    let (packing, began) = (began.elapsed().as_secs_f64(), Instant::now());
    let differ = differing(&weights, &Artifact::load(&options.out)?)?;
    let unpacking = began.elapsed().as_secs_f64();
    if let Some(name) = differ {
        return Err(Error::custom(format!("{name} did not come back")));
    }
    let bytes = std::fs::metadata(&options.out).map_err(Error::custom)?.len();
    println!(
        "{} tensors of {numbers} numbers in {bytes} bytes, {:.3} bits each; {packing:.1} s, and all back in {unpacking:.1} s",
        weights.held.len(),
        8.0 * bytes as f64 / numbers.max(1) as f64
    );
    Ok(())
}

fn read(path: &PathBuf) -> Result<Weights> {
    let mut start = [0; 4];
    if path.is_file() {
        let file = std::fs::File::open(path).and_then(|mut file| std::io::Read::read(&mut file, &mut start));
        file.map_err(|why| Error::custom(format!("{}: {why}", path.display())))?;
    }
    let (mut held, mut bytes) = (BTreeMap::new(), Vec::new());
    if start == *b"GGUF" {
        let file = Gguf::open(path)?;
        for tensor in file.tensors() {
            held.insert(tensor.name().to_string(), Param::new(file.packed_tensor::<f32>(tensor.name())?));
        }
    } else {
        let file = Safetensors::open(path)?;
        for tensor in file.tensors() {
            held.insert(tensor.name().to_string(), Param::new(file.packed_tensor::<f32>(tensor.name())?));
            match tensor.dtype().as_str() {
                "I8" | "U8" => bytes.push(tensor.name().to_string()),
                "F16" | "BF16" | "F32" => {}
                other => {
                    let name = tensor.name();
                    return Err(Error::custom(format!(
                        "{name} is {other}: I8, U8, F16, BF16 and F32 are repacked"
                    )));
                }
            }
        }
    }
    Ok(Weights { held, bytes })
}

/// All of them; whole numbers as codes of a table of those that there are.
fn repacked(weights: &Weights) -> Result<Artifact> {
    let floats: BTreeMap<&String, &Param> =
        weights.held.iter().filter(|(name, _)| !weights.bytes.contains(name)).collect();
    let mut artifact = pack(&floats, &[])?;
    for name in &weights.bytes {
        let value = weights.held[name].value();
        let mut centroids = value.to_vec();
        centroids.sort_unstable_by(f32::total_cmp);
        centroids.dedup();
        let code = |v: f32| centroids.partition_point(|&centroid| centroid < v) as u32;
        let codes = value.to_vec().into_iter().map(code).collect();
        let data = EntryData::Codebook { mask: None, codes, centroids, centroid_bits: 16 };
        artifact.entries.push(Entry { name: name.clone(), shape: value.shape().to_vec(), data });
    }
    artifact.entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    artifact.in_pieces()
}

/// The first tensor that isn't in the file to the bit, if one isn't.
fn differing(weights: &Weights, artifact: &Artifact) -> Result<Option<String>> {
    let blank = |(name, p): (&String, &Param)| (name.clone(), Param::new(Tensor::zeros(p.shape())));
    let back: BTreeMap<String, Param> = weights.held.iter().map(blank).collect();
    unpack(artifact, &back)?;
    let bits = |p: &Param| p.value().to_vec().into_iter().map(f32::to_bits).collect::<Vec<u32>>();
    let same = |name: &String, p: &Param| bits(p) == bits(&back[name]);
    Ok(weights.held.iter().find(|(name, p)| !same(name, p)).map(|(name, _)| name.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kolmo::{
        Random,
        compress::{matrices, quantize::WeightOnly},
        nn::Linear,
        train::save_torchao,
    };

    #[test]
    fn whole_numbers_and_floats_come_back_to_the_bit() {
        let net = [Linear::new(64, 48, &mut Random::new(0)), Linear::new(48, 16, &mut Random::new(1))];
        WeightOnly::new(8).groups(16).apply(&net, matrices).unwrap();
        let folder = std::env::temp_dir().join(format!("kolmo-repack-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("net.safetensors");
        save_torchao(&net, &path).unwrap();
        let weights = read(&path);
        std::fs::remove_dir_all(&folder).unwrap();
        let weights = weights.unwrap();
        assert!(!weights.bytes.is_empty() && weights.bytes.len() < weights.held.len());
        let bytes = repacked(&weights).unwrap().to_bytes().unwrap();
        let mut artifact = Artifact::from_bytes(&bytes).unwrap();
        assert_eq!(differing(&weights, &artifact).unwrap(), None);
        let size = |(name, p): (&String, &Param)| {
            let each = if weights.bytes.contains(name) { 1 } else { 4 };
            each * p.shape().numel()
        };
        let plain: usize = weights.held.iter().map(size).sum();
        assert!(bytes.len() < plain, "{} bytes for {plain}", bytes.len());
        let name = weights.bytes[0].clone();
        let entry = artifact.entries.iter_mut().find(|entry| entry.name == name).unwrap();
        entry.data = EntryData::Dense(vec![0.5; entry.shape.iter().product()]);
        assert_eq!(differing(&weights, &artifact).unwrap(), Some(name));
    }
}
