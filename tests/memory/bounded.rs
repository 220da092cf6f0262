//! Damaged and hostile files take little memory, whatever they say of themselves.
use super::{ALONE, most};
use kolmo::compress::{Artifact, Entry, EntryData};
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

/// The sections' predictors take a few megabytes at most; a thousand files of less than a kilobyte never took more, those with a
/// right checksum and large numbers in their headers included.
#[test]
fn a_thousand_damaged_files_take_little_memory() {
    const BOUND: isize = 64 << 20;
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
        assert!(most < BOUND, "round {round}: {most} bytes for a file of {}", file.len());
    }
    assert!(errors > 500, "{errors}");
}
