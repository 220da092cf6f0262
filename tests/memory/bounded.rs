//! Damaged and hostile files take little memory, whatever they say of themselves.
use super::{ALONE, most};
use kolmo::{
    Tensor,
    compress::{Artifact, Compact, CompactLinear, Entry, EntryData, unpack},
    nn::Param,
};
use std::sync::PoisonError;

fn artifact() -> Artifact {
    let entry = |name: &str, shape: &[usize], data| Entry { name: name.into(), shape: shape.to_vec(), data };
    let codebook = |n: usize, mask: bool, k: usize| EntryData::Codebook {
        mask: mask.then(|| (0..n).map(|i| i % 3 == 0).collect()),
        codes: (0..if mask { n.div_ceil(3) } else { n }).map(|i| (i * i % k) as u32).collect(),
        centroids: (0..k).map(|i| i as f32 - 2.0).collect(),
        centroid_bits: 16,
    };
    let scaled = EntryData::Scaled {
        weights: Box::new(codebook(120, false, 5)),
        group: 4,
        scales: (0..30).map(|i| i as f32 + 1.0).collect(),
        scale_bits: 16,
    };
    let values = (0..40).map(|i| (i as f32).sin()).collect();
    Artifact {
        meta: [("made by".into(), "a test".into())].into(),
        entries: vec![
            entry("dense", &[5, 8], EntryData::Dense(values)),
            entry("masked", &[20, 15], codebook(300, true, 7)),
            entry("all", &[10, 20], codebook(200, false, 16)),
            entry("scaled", &[10, 12], scaled),
        ],
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

/// What a file may make us allocate: the predictors' tables, a few megabytes, and for each of its bytes what the coder can have squeezed
/// into it: 5,680 decisions, each an element of a mask and of codes.
fn bound(bytes: usize) -> isize {
    (16 << 20) + (1 << 16) * bytes as isize
}

/// Those with a right checksum and large numbers in their headers included.
#[test]
fn a_thousand_damaged_files_take_little_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let bytes = artifact().to_bytes().unwrap();
    assert!(bytes.len() < 1000, "{}", bytes.len());
    let body = &bytes[..bytes.len() - 4];
    let mut state = 7u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let mut errors = 0;
    for round in 0..1000 {
        let mut file = body.to_vec();
        match round % 4 {
            0 => file.truncate(5 + random(file.len() - 5)),
            // The largest number that has so many bytes, in the place of others.
            1 => {
                let at = 5 + random(file.len() - 5);
                let number = [&vec![0xff; random(5)][..], &[0x7f]].concat();
                file.splice(at..at, number);
            }
            _ => {
                let at = 5 + random(file.len() - 5);
                file[at] = random(256) as u8;
            }
        }
        let checksum = crc32(&file).to_le_bytes();
        file.extend(checksum);
        let (artifact, most) = most(|| Artifact::from_bytes(&file));
        errors += usize::from(artifact.is_err());
        assert!(most < bound(file.len()), "round {round}: {most} bytes for a file of {}", file.len());
    }
    assert!(errors > 500, "{errors}");
}

fn number(mut n: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while n >= 0x80 {
        bytes.push(n as u8 | 0x80);
        n >>= 7;
    }
    bytes.push(n as u8);
    bytes
}

/// A file with a flat header of these bytes, and sections.
fn craft(header: &[u8], sections: &[u8]) -> Vec<u8> {
    let mut file = b"klmo\x01".to_vec();
    file.extend(number(header.len() as u64 * 2 + 1));
    file.extend(number(header.len() as u64));
    file.extend(header);
    file.extend(sections);
    let checksum = crc32(&file).to_le_bytes();
    file.extend(checksum);
    file
}

/// Everything that is done with a file of unknown origin.
fn used(file: &[u8]) -> usize {
    let Ok(artifact) = Artifact::from_bytes(file) else { return 0 };
    let dense: usize = artifact.entries.iter().map(|entry| entry.to_dense().len()).sum();
    for entry in &artifact.entries {
        let name = entry.name.strip_suffix("weight").unwrap_or("").trim_end_matches('.');
        let _ = CompactLinear::of(&artifact, name);
    }
    let mut with_layers = artifact.clone();
    with_layers.meta.insert("layers".into(), "Linear".into());
    let _ = (Compact::of(&artifact), Compact::of(&with_layers), artifact.sizes());
    let _ = unpack(&artifact, &Param::<f32>::new(Tensor::zeros([2, 3])));
    dense
}

#[test]
fn shapes_and_counts_are_not_believed() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (huge, zero) = (1u64 << 31, 0u64);
    let shapes: [&[u64]; 8] = [
        &[huge, zero],
        &[zero, huge],
        &[huge, huge, zero],
        &[zero, huge, huge],
        &[huge],
        &[1 << 20, 1 << 11],
        &[zero],
        &[huge, 1],
    ];
    // Kinds with flat and coded parts, masks, common codes and scales, and the numbers that follow them.
    let kinds: [(u64, &[u64]); 9] = [
        (0, &[0]),
        (4, &[0]),
        (1, &[0]),
        (2, &[1, 0, 0]),
        (2 | 8, &[1, 0, 0, 0]),
        (2 | 8 | 32, &[2, 0, 0, 0]),
        (2 | 16, &[2, 1, 0, 0, 0]),
        (2 | 1024, &[1, 0, 0, 1, 0]),
        (2 | 8 | 128 | 1024, &[256, 1 << 16, 0, 0, 0, huge, 0]),
    ];
    for shape in shapes {
        for (kind, numbers) in kinds {
            for name in ["weight", "w"] {
                let mut header = vec![0, 1, 0, name.len() as u8];
                header.extend(name.bytes());
                let after = [&[shape.len() as u64][..], shape, &[kind], numbers].concat();
                header.extend(after.into_iter().flat_map(number));
                for sections in [&[][..], &[0; 64]] {
                    let file = craft(&header, sections);
                    let (_, most) = most(|| used(&file));
                    assert!(
                        most < bound(file.len()),
                        "{shape:?}, {kind}, {numbers:?}: {most} bytes of {}",
                        file.len()
                    );
                }
            }
        }
    }
}

/// A name shares its beginning with the one before it: a header could tell very many long ones in little space.
#[test]
fn names_that_share_a_long_beginning_take_little_memory() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for long in [1000, 30_000] {
        let count = 5_000u64;
        let mut header = vec![0];
        header.extend(number(count));
        header.extend(number(0));
        header.extend(number(long));
        header.extend(vec![b'a'; long as usize]);
        header.extend([0, 4, 0]);
        for i in 1..count {
            header.extend(number(long - 3));
            header.push(3);
            header.extend([i / 1600, i / 40 % 40, i % 40].map(|d| b'A' + d as u8));
            header.extend([0, 4, 0]);
        }
        let file = craft(&header, &[]);
        let (_, most) = most(|| used(&file));
        assert!(most < bound(file.len()), "{long}: {most} bytes of {}", file.len());
        // Each name is held a few times at most.
        assert!(most < (16 << 20) + 4 * 1024 * count as isize, "{long}: {most}");
    }
}
