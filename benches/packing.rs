//! How long weights take to become a file and back, and how long the file is: `packing [GGUF [FROM [TO [THREADS
//! [FORM]]]]]`, of matrices of a GGUF file as they are stored there and rounded in several ways, or of 8 million
//! random weights. The last column is the length of the streams that small models have, if the matrices are few.
#![allow(clippy::disallowed_methods)]
use kolmo::{
    Random, Result, Tensor,
    compress::{
        Artifact, HalfFloat, all_params, description_length, pack,
        prune::{self, Amount},
        quantize::{self, WeightOnly},
        unpack,
    },
    data::Gguf,
    nn::{Param, deep_copy, init},
};
use std::time::Instant;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let number = |i: usize| words.get(i).and_then(|word| word.parse::<usize>().ok());
    kolmo::runtime::set_num_threads(number(3).unwrap_or_else(kolmo::runtime::num_threads));
    println!(
        "{:<24}{:>12}{:>10}{:>10}{:>10}{:>8}{:>8}{:>12}",
        "", "bytes", "bits each", "pack s", "unpack s", "cpu s", "cpu s", "streams"
    );
    let floats: Vec<Param> = match words.first() {
        None => random(),
        Some(path) => {
            let file = Gguf::open(path)?;
            let (from, to) = (number(1).unwrap_or(0), number(2).unwrap_or(usize::MAX));
            let all = file.tensors().iter().filter(|t| t.shape().len() > 1).take(to).skip(from);
            let stored = all.clone().map(|t| Ok(Param::new(file.packed_tensor(t.name())?)));
            measure("as stored", &stored.collect::<Result<Vec<Param>>>()?)?;
            if words.get(4).is_some_and(|word| word == "stored") {
                return Ok(());
            }
            all.map(|t| Ok(Param::new(file.tensor(t.name())?))).collect::<Result<_>>()?
        }
    };
    let only = |name: &str| words.get(4).is_none_or(|word| name.contains(word.as_str()));
    for (name, bits) in [("4 bits, zero points", 4), ("8 bits, zero points", 8)] {
        if only(name) {
            let model = deep_copy(&floats)?;
            WeightOnly::new(bits).groups(32).apply(&model, all_params)?;
            measure(name, &model)?;
        }
    }
    if only("16 values") {
        let model = deep_copy(&floats)?;
        quantize::codebooks(&model, 16, all_params)?;
        quantize::freeze(&model)?;
        measure("16 values", &model)?;
    }
    if only("half") {
        let model = deep_copy(&floats)?;
        quantize::store_half(&model, HalfFloat::F16, all_params)?;
        measure("half precision", &model)?;
        let model = deep_copy(&floats)?;
        prune::layerwise(&model, Amount::Density(0.5), all_params)?;
        quantize::to_half(&model);
        measure("half, half of them 0", &model)?;
    }
    if only("floats") {
        measure("floats", &floats)?;
    }
    Ok(())
}

/// Eight matrices of a million weights.
fn random() -> Vec<Param> {
    let rng = &mut Random::new(0);
    (0..8).map(|_| Param::new(init::normal([1024, 1024], 0.0, 0.05, rng))).collect()
}

/// Seconds, and those that processors were at it, where the system tells.
fn timed<V>(best: &mut [f64; 2], f: impl FnOnce() -> Result<V>) -> Result<V> {
    let spent = || -> Option<f64> {
        let text = std::fs::read_to_string("/proc/self/stat").ok()?;
        let fields = text.rsplit(')').next()?.split_whitespace().skip(11).take(2);
        Some(fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0)
    };
    let (start, before) = (Instant::now(), spent());
    let value = f()?;
    best[0] = best[0].min(start.elapsed().as_secs_f64());
    best[1] = best[1].min(spent().zip(before).map_or(f64::NAN, |(after, before)| after - before));
    Ok(value)
}

/// The least of three times each.
fn measure(name: &str, model: &Vec<Param>) -> Result<()> {
    let numbers: usize = model.iter().map(|p| p.shape().numel()).sum();
    let ([mut packing, mut unpacking], mut length) = ([[f64::MAX; 2]; 2], 0);
    let blank: Vec<Param> = model.iter().map(|p| Param::new(Tensor::zeros(p.shape()))).collect();
    for _ in 0..3 {
        let bytes = timed(&mut packing, || pack(model, &[])?.to_bytes())?;
        length = bytes.len();
        timed(&mut unpacking, || unpack(&Artifact::from_bytes(&bytes)?, &blank))?;
    }
    let same = model.iter().zip(&blank).all(|(a, b)| a.effective().ok() == b.effective().ok());
    let bits = 8.0 * length as f64 / numbers as f64;
    // Each alone is small.
    let streams = match numbers < 12_000_000 {
        true => model.iter().map(description_length).sum::<Result<u64>>()? / 8,
        false => 0,
    };
    println!(
        "{name:<24}{length:>12}{bits:>10.3}{:>10.3}{:>10.3}{:>8.2}{:>8.2}{streams:>12} {}",
        packing[0],
        unpacking[0],
        packing[1],
        unpacking[1],
        if same { "" } else { "not the same" }
    );
    Ok(())
}
