//! Damaged, truncated and hostile files, and artifacts that can't be written.
use kolmo::compress::{Artifact, EntryData};
use proptest::prelude::*;

use super::{Random, lenet, masked, newer, one, scaled, small};

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = small().to_bytes().unwrap();
    for bit in 0..8 * bytes.len() {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Artifact::from_bytes(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn truncated_and_lengthened_files_are_errors() {
    for artifact in [small(), newer(), lenet()] {
        let bytes = artifact.to_bytes().unwrap();
        let step = bytes.len().div_ceil(500);
        for length in (0..bytes.len()).step_by(step) {
            assert!(Artifact::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
        assert!(Artifact::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }
}

pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        (0..8).for_each(|_| crc = crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 });
    }
    !crc
}

fn seal(mut body: Vec<u8>) -> Vec<u8> {
    let checksum = crc32(&body);
    body.extend(checksum.to_le_bytes());
    body
}

/// Behind a checksum that fits, everything else must hold too: no panic, no endless loop, no huge allocation.
/// What still reads as an artifact must be one that can be written again.
#[test]
fn damage_with_a_right_checksum_never_panics() {
    let mut random = Random(9);
    let mut errors = 0;
    let weights = small().entries.swap_remove(5).data;
    let with_scales = one(&[10, 20], scaled(&[10, 20], 7, weights));
    let files = [small(), newer(), with_scales, lenet()].map(|artifact| artifact.to_bytes().unwrap());
    for round in 0..2000 {
        let bytes = &files[if round % 20 == 0 { 2 } else { round % 2 }];
        let mut body = bytes[..bytes.len() - 4].to_vec();
        for _ in 0..1 + random.below(4) {
            let at = random.below(body.len() as u64) as usize;
            match random.below(4) {
                0 => body[at] = random.next() as u8,
                1 => body.truncate(at.max(5)),
                2 => body.insert(at, random.next() as u8),
                _ => body[at] ^= 1 << random.below(8),
            }
        }
        match Artifact::from_bytes(&seal(body)) {
            Err(_) => errors += 1,
            Ok(artifact) => {
                let again = Artifact::from_bytes(&artifact.to_bytes().unwrap()).unwrap();
                assert_eq!(again.entries.len(), artifact.entries.len());
            }
        }
    }
    assert!(errors > 1000, "{errors}");
}

/// A file with a flat header of the given bytes, and sections.
fn craft(header: &[u8], sections: &[u8]) -> Vec<u8> {
    let mut body = b"klmo\x01".to_vec();
    body.extend([header.len() as u8 * 2 + 1, header.len() as u8]);
    body.extend(header);
    body.extend(sections);
    seal(body)
}

/// No meta; one entry `w` with the rest as given.
fn craft_entry(rest: &[u8], sections: &[u8]) -> kolmo::Result<Artifact> {
    Artifact::from_bytes(&craft(&[&[0, 1, 0, 1, b'w'], rest].concat(), sections))
}

#[test]
fn nothing_is_made_on_a_files_word_alone() {
    // Dense [2], flat, 8 bytes: the frame of the following is right.
    let good = craft_entry(&[1, 2, 4, 8], &[0, 0, 0, 63, 0, 0, 128, 63]);
    assert!(good.is_ok(), "{good:?}");
    let huge = [0x80, 0x80, 0x80, 0x80, 8]; // 2^31
    let message = |rest: &[u8], sections: &[u8]| craft_entry(rest, sections).unwrap_err().to_string();
    assert_eq!(
        message(&[&[1][..], &huge, &[0, 4]].concat(), &[1, 2, 3, 4]),
        "entry \"w\": values: at byte 24: expected at most 68160 decisions in 4 bytes, found 68719476736"
    );
    assert_eq!(
        message(&[&[2][..], &huge, &huge, &[0, 4]].concat(), &[]),
        "entry \"w\": at byte 23: expected at most 2^31 elements, found shape [2147483648, 2147483648]"
    );
    // A codebook with a mask [2^31], one centroid, sections of 1, 2 and 1 bytes.
    assert_eq!(
        message(&[&[1][..], &huge, &[10, 1, 1, 2, 1]].concat(), &[0; 4]),
        "entry \"w\": mask: at byte 24: expected at most 51120 decisions in 1 bytes, found 2147483648"
    );
    assert_eq!(
        message(&[1, 2, 4, 9], &[0; 8]),
        "entry \"w\": at byte 16: expected 9 bytes of values, found 8 left"
    );
    assert_eq!(
        message(&[33], &[]),
        "entry \"w\": at byte 12: expected number of axes of at most 32, found 33"
    );
    // No elements, but many rows: no loop over them.
    let empty = craft_entry(&[&[2][..], &huge, &[0, 10, 0, 0, 0, 0]].concat(), &[]).unwrap();
    assert_eq!(empty.entries[0].shape, [1 << 31, 0]);
}

#[test]
fn errors_say_what_was_expected_and_where() {
    let message = |bytes: &[u8]| Artifact::from_bytes(bytes).unwrap_err().to_string();
    assert_eq!(
        message(b"PK\x03\x04...."),
        "the mark of a .kolmo file: at byte 0: expected [6b, 6c, 6d, 6f], found [50, 4b, 03, 04]"
    );
    for cut in [&b""[..], b"kl", b"klmo"] {
        assert!(message(cut).contains("cut short"), "{}", message(cut));
    }
    assert_eq!(
        message(b"klmo\x02"),
        "version: at byte 4: expected 1, found 2: it is a mapped file, which MappedModel::open reads"
    );
    let bytes = small().to_bytes().unwrap();
    let cut = message(&bytes[..bytes.len() - 1]);
    assert!(
        cut.starts_with(&format!("checksum of the bytes before it: at byte {}:", bytes.len() - 5)),
        "{cut}"
    );
    assert!(cut.ends_with("the file is damaged or cut short"), "{cut}");
}

#[test]
fn what_does_not_fit_together_is_not_written() {
    let message = |artifact: Artifact| artifact.to_bytes().unwrap_err().to_string();
    let codebook = |mask, codes, centroids, centroid_bits| {
        one(&[2, 2], EntryData::Codebook { mask, codes, centroids, centroid_bits })
    };
    assert_eq!(
        message(one(&[2, 3], EntryData::Dense(vec![1.0; 5]))),
        "Artifact: entry \"w\": number of values: expected 6, found 5"
    );
    assert_eq!(
        message(codebook(Some(vec![true; 4]), vec![0; 3], vec![0.5], 16)),
        "Artifact: entry \"w\": number of codes: expected 4, found 3"
    );
    assert_eq!(
        message(codebook(None, vec![0, 1, 2, 1], vec![0.5, 1.0], 16)),
        "Artifact: entry \"w\": code: expected less than 2, found 2"
    );
    assert_eq!(
        message(codebook(None, vec![0; 4], vec![0.5], 8)),
        "Artifact: entry \"w\": centroid_bits: expected 16 or 32, found 8"
    );
    assert_eq!(
        message(one(&[1], EntryData::Half(vec![1e6]))),
        "Artifact: entry \"w\": value: expected within the range of half precision, ±65504, found 1000000"
    );
    let weights =
        || EntryData::Codebook { mask: None, codes: vec![0; 4], centroids: vec![0.5], centroid_bits: 16 };
    let scaled = |weights, group, scales, scale_bits| {
        one(&[2, 2], EntryData::Scaled { weights: Box::new(weights), group, scales, scale_bits })
    };
    assert_eq!(
        message(scaled(weights(), 2, vec![1.0; 3], 16)),
        "Artifact: entry \"w\": number of scales: expected 2, found 3"
    );
    assert_eq!(
        message(scaled(weights(), 0, vec![1.0], 8)),
        "Artifact: entry \"w\": scale_bits: expected 16 or 32, found 8"
    );
    assert_eq!(
        message(scaled(EntryData::Dense(vec![1.0; 4]), 0, vec![1.0], 16)),
        "Artifact: entry \"w\": weights with scales: expected a codebook, found something else"
    );
    let mut twice = one(&[], EntryData::Dense(vec![1.0]));
    twice.entries.push(twice.entries[0].clone());
    assert_eq!(
        message(twice),
        "Artifact: entry \"w\": name: expected one not used before, found it a second time"
    );
}

/// The reader's bound on what bytes can hold leaves room for the most that the coder can squeeze into them.
#[test]
fn a_layer_pruned_away_is_within_the_readers_bounds() {
    for keep in [false, true] {
        let artifact = masked(&[1000, 2000], vec![keep; 2_000_000]);
        let bytes = artifact.to_bytes().unwrap();
        assert!(bytes.len() < 1000, "{}", bytes.len());
        assert_eq!(Artifact::from_bytes(&bytes).unwrap(), artifact);
    }
    let zeros = one(&[100_000], EntryData::Dense(vec![0.0; 100_000]));
    assert_eq!(Artifact::from_bytes(&zeros.to_bytes().unwrap()).unwrap(), zeros);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Artifact::from_bytes(&body);
        let _ = Artifact::from_bytes(&seal([&b"klmo\x01"[..], &body].concat()));
    }
}
