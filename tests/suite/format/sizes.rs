//! What files weigh, against the entropy of what they hold.
use std::collections::BTreeMap;

use kolmo::compress::{Artifact, Entry, EntryData, Part};

use super::{Random, lenet, masked, one};

fn mask_bytes(shape: &[usize], mask: Vec<bool>) -> f64 {
    masked(shape, mask).sizes().unwrap().part(Part::Mask) as f64
}

/// `-log2` of the probability of each symbol, by the symbols' frequencies, in bytes.
fn entropy_bytes<S: Ord>(symbols: impl IntoIterator<Item = S>) -> f64 {
    let mut counts = BTreeMap::new();
    symbols.into_iter().for_each(|symbol| *counts.entry(symbol).or_insert(0.0) += 1.0);
    let total: f64 = counts.values().sum();
    counts.values().map(|n| -n * (n / total).log2()).sum::<f64>() / 8.0
}

#[test]
fn structure_costs_less_than_100_bytes() {
    let sizes = lenet().sizes().unwrap();
    let structure = sizes.part(Part::Header) + sizes.part(Part::Checksum);
    assert!(structure < 100, "{structure} bytes of structure in\n{sizes}");
}

/// Layers of a deep model repeat their names and shapes: 1,200 entries in less than 3 bytes each.
#[test]
fn long_names_with_shared_prefixes_cost_little() {
    let mut artifact = Artifact::default();
    for block in 0..100 {
        for part in ["q", "k", "v", "out", "up", "down"] {
            for (kind, shape) in [("weight", vec![4, 4]), ("bias", vec![4])] {
                let values = vec![0.0; shape.iter().product()];
                let name = format!("transformer.blocks.{block}.attention.{part}.{kind}");
                artifact.entries.push(Entry { name, shape, data: EntryData::Half(values) });
            }
        }
    }
    let header = artifact.sizes().unwrap().part(Part::Header);
    assert!(header < 3600, "{header}");
    assert_eq!(Artifact::from_bytes(&artifact.to_bytes().unwrap()).unwrap(), artifact);
}

#[test]
fn a_random_mask_costs_its_entropy() {
    for (shape, density) in [([300, 784], 0.05), ([100, 300], 0.05), ([10, 100], 0.05), ([300, 784], 0.5)] {
        let mut random = Random(3);
        let mask: Vec<bool> = (0..shape[0] * shape[1]).map(|_| random.uniform() < density).collect();
        let entropy = entropy_bytes(mask.iter().copied());
        let bytes = mask_bytes(&shape, mask);
        assert!(bytes <= 1.03 * entropy + 20.0, "{shape:?} at {density}: {bytes} bytes for {entropy}");
    }
}

/// Every fifth column is empty, as MNIST's border is: it costs next to nothing, and pruning of whole rows
/// too.
#[test]
fn blank_columns_and_rows_cost_next_to_nothing() {
    let mut random = Random(4);
    let kept: Vec<bool> = (0..300 * 784).map(|_| random.uniform() < 0.05).collect();
    let full = mask_bytes(&[300, 784], kept.clone());
    let blank = |keep: fn(usize, usize) -> bool| {
        let mask = kept.iter().enumerate().map(|(i, &kept)| kept && keep(i / 784, i % 784)).collect();
        mask_bytes(&[300, 784], mask)
    };
    let columns = blank(|_, col| col % 5 != 0);
    assert!(columns < 0.83 * full, "{columns} of {full}");
    let rows = blank(|row, _| row % 5 != 0);
    assert!(rows < 0.83 * full, "{rows} of {full}");
    assert!(blank(|_, _| false) < 100.0);
}

/// Weights of an image model stand in patches: known neighbours in the image halve the cost.
#[test]
fn patches_of_an_image_are_found() {
    let mut random = Random(5);
    let mut mask = vec![false; 100 * 784];
    for row in mask.chunks_mut(784) {
        let (y, x) = (4 + random.below(12), 4 + random.below(12));
        for (i, cell) in row.iter_mut().enumerate() {
            let (dy, dx) = (i as u64 / 28, i as u64 % 28);
            *cell = (y..y + 8).contains(&dy) && (x..x + 8).contains(&dx) && random.below(10) > 0;
        }
    }
    let entropy = entropy_bytes(mask.iter().copied());
    let bytes = mask_bytes(&[100, 784], mask);
    assert!(bytes < 0.5 * entropy, "{bytes} of {entropy}");
}

#[test]
fn codes_cost_their_entropy_and_less_if_they_follow_a_pattern() {
    let mut random = Random(6);
    let shape = [100, 200];
    let centroids: Vec<f32> = (0..16).map(|i| i as f32).collect();
    let cost = |codes: Vec<u32>| {
        let data = EntryData::Codebook { mask: None, codes, centroids: centroids.clone(), centroid_bits: 16 };
        one(&shape, data).sizes().unwrap().part(Part::Codes) as f64
    };
    let normal: Vec<u32> =
        (0..20_000).map(|_| (random.normal() * 2.5 + 8.0).clamp(0.0, 15.0) as u32).collect();
    let entropy = entropy_bytes(normal.iter().copied());
    assert!(cost(normal.clone()) <= 1.02 * entropy + 20.0, "{} for {entropy}", cost(normal));
    // Flat codes are stored flat: four bits each.
    let flat = cost((0..20_000).map(|_| random.below(16) as u32).collect());
    assert!(flat <= 10_001.0, "{flat}");
    let column_by_column = cost((0..20_000).map(|i| ((i % 200) / 50 * 4 + random.below(4)) as u32).collect());
    assert!(column_by_column < 0.6 * flat, "{column_by_column}");
}

/// Mostly-zero codes without a mask cost no more than the entropy of which weights are zero, and of the
/// others.
#[test]
fn a_common_code_without_a_mask_is_set_apart() {
    let mut random = Random(8);
    let codes: Vec<u32> =
        (0..100 * 300).map(|_| if random.below(10) > 0 { 8 } else { random.below(16) as u32 }).collect();
    let entropy = entropy_bytes(codes.iter().copied());
    let centroids = (0..16).map(|i| (i as f32 - 8.0) * 0.01).collect();
    let data = EntryData::Codebook { mask: None, codes, centroids, centroid_bits: 32 };
    let sizes = one(&[100, 300], data).sizes().unwrap();
    let bytes = (sizes.part(Part::Mask) + sizes.part(Part::Codes)) as f64;
    assert!(bytes < 1.03 * entropy + 20.0, "{bytes} for {entropy}");
    assert_eq!(sizes.part(Part::Codebook), 5, "a uniform quantiser is its scale and its zero");
}
