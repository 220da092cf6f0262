//! The promises of the `.kolmo` file: here, that what is written comes back; beside it, that damage is
//! noticed and nothing is believed (`damage`), and that the bytes stay near the entropy of what they hold
//! (`sizes`).
mod damage;
mod pieces;
mod python;
mod sizes;

use std::collections::BTreeMap;

use kolmo::{
    Error,
    compress::{Artifact, Entry, EntryData, Part, Shift, round_to_f16},
};
use proptest::prelude::*;

/// A small generator of its own, so that no test depends on a crate's stream of numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Nearly normal: the sum of twelve uniform numbers.
    fn normal(&mut self) -> f32 {
        ((0..12).map(|_| self.uniform()).sum::<f64>() - 6.0) as f32
    }
}

fn one(shape: &[usize], data: EntryData) -> Artifact {
    Artifact { meta: BTreeMap::new(), entries: vec![Entry { name: "w".into(), shape: shape.to_vec(), data }] }
}

fn masked(shape: &[usize], mask: Vec<bool>) -> Artifact {
    let codes = vec![0; mask.iter().filter(|&&keep| keep).count()];
    one(shape, EntryData::Codebook { mask: Some(mask), codes, centroids: vec![1.0], centroid_bits: 16 })
}

/// 784-300-100-10, pruned to a twentieth, 16 centroids for each layer, biases in half precision.
fn lenet() -> Artifact {
    let mut random = Random(1);
    let mut artifact = Artifact::default();
    artifact.meta.insert("architecture".into(), r#"{"layers":[784,300,100,10],"activation":"relu"}"#.into());
    for (layer, [rows, cols]) in [[300, 784], [100, 300], [10, 100]].into_iter().enumerate() {
        let mask: Vec<bool> = (0..rows * cols).map(|_| random.below(20) == 0).collect();
        let kept = mask.iter().filter(|&&keep| keep).count();
        let mut centroids: Vec<f32> = (0..16).map(|_| round_to_f16(random.normal())).collect();
        centroids.sort_by(f32::total_cmp);
        let codes = (0..kept).map(|_| random.below(16) as u32).collect();
        let data = EntryData::Codebook { mask: Some(mask), codes, centroids, centroid_bits: 16 };
        artifact.entries.push(Entry {
            name: format!("fc{}.weight", layer + 1),
            shape: vec![rows, cols],
            data,
        });
        let bias = EntryData::Half((0..rows).map(|_| round_to_f16(random.normal() * 0.1)).collect());
        artifact.entries.push(Entry { name: format!("fc{}.bias", layer + 1), shape: vec![rows], data: bias });
    }
    artifact
}

/// A file of every kind of entry and way to store it, in few bytes.
fn small() -> Artifact {
    let mut random = Random(7);
    let mut artifact = Artifact::default();
    artifact.meta.insert("architecture".into(), r#"{"layers":[6,5]}"#.into());
    artifact.meta.insert("note".into(), "a flipped bit is noticed – ä".into());
    let mut add = |name: &str, shape: &[usize], data| {
        artifact.entries.push(Entry { name: name.into(), shape: shape.to_vec(), data });
    };
    add("dense", &[2, 3], EntryData::Dense(vec![0.1, -2.5, f32::INFINITY, -0.0, 1e-40, 3.0]));
    add(
        "half",
        &[4],
        EntryData::Half(vec![0.5, -0.25, 65504.0, 6e-8].into_iter().map(round_to_f16).collect()),
    );
    add("empty", &[0, 7], EntryData::Dense(vec![]));
    add("scalar", &[], EntryData::Half(vec![2.0]));
    let mask: Vec<bool> = (0..300).map(|i| i % 15 < 5 && random.below(3) > 0).collect();
    let kept = mask.iter().filter(|&&keep| keep).count();
    let codes = (0..kept).map(|_| random.below(3).max(random.below(5)) as u32).collect();
    let centroids = vec![-0.5, -0.125, 0.0625, 0.25, 0.75];
    add(
        "block.weight",
        &[20, 15],
        EntryData::Codebook { mask: Some(mask), codes, centroids, centroid_bits: 32 },
    );
    let codes = (0..200).map(|i| if i % 7 < 5 { 8 } else { random.below(16) as u32 }).collect();
    let centroids = (0..16).map(|i| (i as f32 - 8.0) * 0.1).collect();
    add("block.proj", &[10, 20], EntryData::Codebook { mask: None, codes, centroids, centroid_bits: 32 });
    // Rows that are images 9 wide, mostly kept, with codes that lie in patches, and many sorted centroids.
    let mask: Vec<bool> = (0..12 * 81).map(|i| (i % 9 + i / 9 % 9) % 9 < 7 && random.below(9) > 0).collect();
    let kept = (0..12 * 81).filter(|&i| mask[i]);
    let codes = kept.map(|i| (i % 9 / 3 * 4 + random.below(4) as usize) as u32).collect();
    let centroids = (0..12).map(|i| round_to_f16((i as f32 - 5.5) * 0.04)).collect();
    add(
        "block.image",
        &[12, 81],
        EntryData::Codebook { mask: Some(mask), codes, centroids, centroid_bits: 16 },
    );
    let codes = (0..81).map(|_| random.below(4) as u32).collect();
    let centroids = vec![-1.0, -0.5, 0.5, 1.0];
    add("block.conv", &[3, 3, 3, 3], EntryData::Codebook { mask: None, codes, centroids, centroid_bits: 16 });
    artifact
}

/// The kinds of entries that came later.
fn newer() -> Artifact {
    let mut random = Random(9);
    let mut artifact = Artifact::default();
    let mut add = |name: &str, shape: &[usize], data| {
        artifact.entries.push(Entry { name: name.into(), shape: shape.to_vec(), data });
    };
    add("brain", &[2, 2], EntryData::Bf16(vec![1.5, -0.25, f32::from_bits(0x7180_0000), f32::NEG_INFINITY]));
    let mut shifted = |name: &str, by| {
        let codes = (0..40).map(|_| random.below(16) as u32).collect();
        let centroids = (0..16).map(|i| i as f32).collect();
        let weights = EntryData::Codebook { mask: None, codes, centroids, centroid_bits: 16 };
        let scaled = Box::new(scaled(&[4, 10], 5, weights));
        add(name, &[4, 10], EntryData::Shifted { scaled, by });
    };
    shifted("zeros", Shift::ZeroPoints(vec![7, 8, 0, 15, 9, 8, 8, 8]));
    shifted("offsets", Shift::Offsets { values: vec![0.5, -0.25, 1.0, 2.0, 0.0, 0.5, 0.5, -3.0], bits: 16 });
    let values = vec![0.1, -0.2, 1.0, 2.0, 0.0, 0.5, 0.5, -3.0];
    shifted("wide offsets", Shift::Offsets { values, bits: 32 });
    artifact
}

/// Weights with a scale for each `group` neighbours of a row.
fn scaled(shape: &[usize], group: usize, weights: EntryData) -> EntryData {
    let rows = if shape.len() > 1 { shape[0] } else { 1 };
    let cols = shape.iter().product::<usize>().checked_div(rows).unwrap_or(0);
    let count = if group == 0 { 1 } else { rows * cols.div_ceil(group) };
    let scales = (0..count).map(|i| 0.25 + 0.5 * (i % 7) as f32).collect();
    EntryData::Scaled { weights: Box::new(weights), group, scales, scale_bits: 16 }
}

#[test]
fn scales_multiply_the_neighbours_that_share_them() {
    let codes = vec![0, 1, 2, 2, 1, 0, 2, 2, 2, 2];
    let weights =
        EntryData::Codebook { mask: None, codes, centroids: vec![-1.0, 0.0, 1.0], centroid_bits: 16 };
    let artifact = one(&[2, 5], scaled(&[2, 5], 3, weights));
    let bytes = artifact.to_bytes().unwrap();
    let back = Artifact::from_bytes(&bytes).unwrap();
    assert_eq!(back, artifact);
    assert_eq!(back.entries[0].to_dense(), [-0.25, 0.0, 0.25, 0.75, 0.0, -1.25, 1.25, 1.25, 1.75, 1.75]);
    let sizes = artifact.sizes().unwrap();
    assert_eq!(sizes.total(), bytes.len());
    assert!((1..=8).contains(&sizes.part(Part::Scales)), "four of 16 bits at most");
}

#[test]
fn a_small_file_comes_back_and_its_sizes_add_up() {
    for artifact in [Artifact::default(), small(), newer(), lenet()] {
        let bytes = artifact.to_bytes().unwrap();
        assert_eq!(Artifact::from_bytes(&bytes).unwrap(), artifact);
        assert_eq!(artifact.sizes().unwrap().total(), bytes.len());
    }
}

#[test]
fn the_bytes_of_version_1_do_not_change() {
    let hex: String = small().to_bytes().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN);
    assert_eq!(Artifact::from_bytes(&unhex(GOLDEN)).unwrap(), small());
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
}

/// The bytes of `small()`.
const GOLDEN: &str = "\
    6b6c6d6f01f60284012a26b91a9e10f1400575e62cde31057f8461b830e92644e4213f17287b85b8728802ed7d4e01077053\
    005b8611270e95692f359f41f1bdec211aa10b0e79e47b5f1c8afcc544d65c728c112565ea6cd48c4ed1ee969ad9928e2893\
    c86534cd6240efb4c9d0352ee29ec474e86565da278463bcdeb8224cd4b1c2deaddca7abaa09e1a4b5c25507b57b150b708f\
    7adbc6d50a04fff705410be9f3c81ea28a70a91e6ec01fb91b570292d4e2abba1ffa30a1e84b4673cd414206e459517df01b\
    fff01c29cde269261d738221c76c24016d29661349fb72bb4494d3f2eb884075690ec467c2333331f73b33c131189880bdc5\
    d48123baaa96602b402b318d80cd5293c5bf08e24afc859d958b7063c329eb5c163820f49dd644a8c0bdcabe3f771eee6f9a\
    800f6e521a7704447d94ea90c33a63888eae2cd8382d857b4e7360c5bf37c7b6f03e590a2cf105a4a74e842e17a5c0b7dc30\
    ce4b72e3c10263f5e9c0874b3b6247a2607a2094290150eb0b35bd45ecef4351a7727e0d23489bbea8792267c3dc75a4537b\
    a39177283bf219c96f5d2267c05cdeddfcfedc8aa26bc9d2ef0c6bf2fc258e6cb29943ae75cef6e1c05c5a6d8ccee63e82e7\
    704d6e93130f8031cbee90eeb0424b3238021c1c0a4bcd0f755663aed145d963d1130ca37c437aa303893ded0d7d219790be\
    993936664e98a88e01eb9e0c5688acd43714afdc6e48af5ec01b9903ae228cf0d59d1a3c54d0ef6b1bf924ed13d698d01210\
    7f7f4c4a96c03f19a3f4c40c4319c6787894fb84ffb75844466970cc3d877473382ebf3e57b9c41e7cd1cb69ceb71a38cec0\
    5d627504";

#[test]
fn saving_replaces_the_file_and_leaves_nothing_else() {
    let directory = crate::Folder::new("format");
    let path = directory.join("model.kolmo");
    Artifact::default().save(&path).unwrap();
    small().save(&path).unwrap();
    let loaded = Artifact::load(&path).unwrap();
    let files = std::fs::read_dir(&*directory).unwrap().count();
    let missing = Artifact::load(directory.join("none.kolmo")).unwrap_err();
    let nowhere = small().save(directory.join("none/model.kolmo")).unwrap_err();
    assert_eq!(loaded, small());
    assert_eq!(files, 1);
    assert!(matches!(missing, Error::Io { path, .. } if path.ends_with("none.kolmo")));
    assert!(matches!(nowhere, Error::Io { .. }));
}

fn any_entry() -> impl Strategy<Value = (Vec<usize>, EntryData)> {
    let shape = prop::collection::vec(0usize..9, 0..4);
    (shape, any::<u64>(), 0..8u8, 1..=256usize).prop_map(|(shape, seed, kind, k)| {
        let mut random = Random(seed);
        let count: usize = shape.iter().product();
        let density = random.uniform();
        let centroid_bits = if kind % 2 == 0 { 16 } else { 32 };
        let mut value = |bits| match random.below(4) {
            0 => random.below(5) as f32,
            _ if bits == 16 => round_to_f16(random.normal()),
            _ => random.normal() * 1e20,
        };
        let values: Vec<f32> = (0..count).map(|_| value(centroid_bits)).collect();
        let centroids: Vec<f32> = (0..k).map(|_| value(centroid_bits)).collect();
        let data = match kind {
            0 => EntryData::Half(values),
            1 => EntryData::Dense(values),
            _ => {
                let mask: Vec<bool> = (0..count).map(|_| random.uniform() < density).collect();
                let mask = (kind < 4).then_some(mask);
                let kept = mask.as_ref().map_or(count, |mask| mask.iter().filter(|&&keep| keep).count());
                let codes =
                    (0..kept).map(|_| random.below(k as u64).min(random.below(k as u64)) as u32).collect();
                let weights = EntryData::Codebook { mask, codes, centroids, centroid_bits };
                if kind < 6 { weights } else { scaled(&shape, random.below(9) as usize, weights) }
            }
        };
        (shape, data)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_artifact_comes_back(
        entries in prop::collection::btree_map("[a-c.é]{0,12}", any_entry(), 0..5),
        meta in prop::collection::btree_map(".{0,8}", ".{0,40}", 0..4),
    ) {
        let entries = entries.into_iter().map(|(name, (shape, data))| Entry { name, shape, data });
        let artifact = Artifact { meta, entries: entries.collect() };
        let bytes = artifact.to_bytes().unwrap();
        prop_assert_eq!(Artifact::from_bytes(&bytes).unwrap(), artifact.clone());
        prop_assert_eq!(artifact.sizes().unwrap().total(), bytes.len());
    }
}
