//! Tensors in pieces: they come back, whoever codes them, one by one; damage is noticed where it is met.
use super::{Random, newer, one, small};
use kolmo::{
    Tensor,
    compress::{Artifact, EntryData, HalfFloat, Shift, pack, quantize, unpack},
    nn::Param,
    runtime::{num_threads, set_num_threads},
};

/// Each form, with rows for several pieces of 16 rows, as columns are many.
fn wide() -> Artifact {
    let mut random = Random(5);
    let columns = 1 << 16;
    let weights = EntryData::Codebook {
        mask: None,
        codes: (0..20 * columns).map(|_| (random.below(6) + random.below(6)) as u32).collect(),
        centroids: (0..11).map(|i| i as f32 - 5.0).collect(),
        centroid_bits: 16,
    };
    let groups = 20 * columns / 512;
    let scales = (0..groups).map(|i| 1.0 + (i % 7) as f32).collect();
    let scaled =
        Box::new(EntryData::Scaled { weights: Box::new(weights), group: 512, scales, scale_bits: 16 });
    let by = Shift::Offsets { values: (0..groups).map(|i| (i % 5) as f32).collect(), bits: 16 };
    one(&[20, columns], EntryData::Shifted { scaled, by })
}

fn all() -> Vec<Artifact> {
    [small(), newer(), wide()].map(|artifact| artifact.in_pieces().unwrap()).into()
}

#[test]
fn every_form_comes_back() {
    for (artifact, plain) in all().into_iter().zip([small(), newer(), wide()]) {
        assert!(artifact.entries.iter().any(|entry| matches!(entry.data, EntryData::Packed(_))));
        let bytes = artifact.to_bytes().unwrap();
        assert_eq!(artifact.sizes().unwrap().total(), bytes.len());
        let found = Artifact::from_bytes(&bytes).unwrap();
        assert_eq!(found.meta, plain.meta);
        for (found, plain) in found.entries.iter().zip(&plain.entries) {
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            assert_eq!((&found.name, &found.shape), (&plain.name, &plain.shape));
            assert_eq!(bits(found.to_dense()), bits(plain.to_dense()), "{}", found.name);
        }
        assert_eq!(found.to_bytes().unwrap(), bytes);
    }
}

#[test]
fn the_bytes_are_the_same_for_any_number_of_threads() {
    let (artifact, threads) = (wide().in_pieces().unwrap(), num_threads());
    let files = [1, 2, 3].map(|n| {
        set_num_threads(n);
        artifact.to_bytes().unwrap()
    });
    set_num_threads(threads);
    assert!(files[0] == files[1] && files[0] == files[2]);
}

#[test]
fn large_models_are_in_pieces_and_small_ones_are_not() {
    // Mostly zeros, which are soon coded.
    let value = |i: usize| if i % 4099 == 77 { i as f32 / 617.0 - 3.0 } else { 0.0 };
    let model = |n: usize| Param::new(Tensor::from_fn([n, 2048], value));
    let version = |model: &Param| pack(model, &[]).unwrap().to_bytes().unwrap()[4];
    let (large, small) = (model(2048), model(16));
    assert_eq!((version(&large), version(&small)), (3, 1));
    for half in [false, true] {
        if half {
            quantize::store_half(&large, HalfFloat::F16, |_, _| true).unwrap();
        }
        let bytes = pack(&large, &[]).unwrap().to_bytes().unwrap();
        let copy = Param::new(Tensor::zeros([2048, 2048]));
        unpack(&Artifact::from_bytes(&bytes).unwrap(), &copy).unwrap();
        assert!(copy.effective().unwrap() == large.effective().unwrap(), "{half}");
        assert_eq!(copy.value().packed().is_some(), half);
        let wide = Param::<f64>::new(Tensor::zeros([2048, 2048]));
        unpack(&Artifact::from_bytes(&bytes).unwrap(), &wide).unwrap();
        assert_eq!(
            wide.effective().unwrap().to_vec()[77],
            f64::from(large.effective().unwrap().to_vec()[77])
        );
    }
}

#[test]
fn damage_is_noticed_and_others_can_be_read() {
    for artifact in &all()[..2] {
        let bytes = artifact.to_bytes().unwrap();
        for bit in (0..8 * bytes.len()).step_by(3) {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Artifact::from_bytes(&damaged).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(Artifact::from_bytes(&bytes[..length]).is_err(), "{length}");
        }
        assert!(Artifact::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
    }
    let mut artifact = newer().in_pieces().unwrap();
    artifact.entries.retain(|entry| matches!(entry.data, EntryData::Packed(_)));
    let mut bytes = artifact.to_bytes().unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let folder = crate::Folder::new("pieces");
    let path = folder.join("model.kolmo");
    std::fs::write(&path, &bytes).unwrap();
    let damaged = artifact.entries.pop().unwrap().name;
    let error = Artifact::load(&path).unwrap_err().to_string();
    assert!(error.contains(&format!("{damaged:?}: piece: checksum")), "{error}");
    let others = Artifact::load_some(&path, |name| name != damaged).unwrap();
    assert_eq!(others.entries.len(), artifact.entries.len());
    for (found, entry) in others.entries.iter().zip(&artifact.entries) {
        assert_eq!((&found.name, found.to_dense()), (&entry.name, entry.to_dense()));
    }
    // Small files as well.
    newer().save(&path).unwrap();
    let some = Artifact::load_some(&path, |name| name.contains("brain")).unwrap();
    assert_eq!(some.entries.len(), newer().entries.iter().filter(|e| e.name.contains("brain")).count());
}

/// Behind checksums that fit nothing panics, and what is read can be written.
#[test]
fn hostile_pieces_are_errors() {
    let mut random = Random(11);
    let (mut errors, mut whole) = (0, 0);
    for entry in small().entries.into_iter().chain(newer().entries) {
        let Ok(artifact) = one(&entry.shape, entry.data).in_pieces() else { continue };
        let bytes = artifact.to_bytes().unwrap();
        if bytes[4] != 3 {
            continue;
        }
        for _ in 0..150 {
            let mut body = bytes.clone();
            for _ in 0..1 + random.below(3) {
                let at = 5 + random.below(body.len() as u64 - 5) as usize;
                match random.below(4) {
                    0 => body[at] = random.next() as u8,
                    1 => body.truncate(at.max(40)),
                    2 => body.insert(at, random.next() as u8),
                    _ => body[at] ^= 1 << random.below(8),
                }
            }
            match Artifact::from_bytes(&sealed(body)) {
                Err(_) => errors += 1,
                Ok(artifact) => {
                    whole += 1;
                    let again = artifact.to_bytes().unwrap();
                    assert_eq!(Artifact::from_bytes(&again).unwrap().entries.len(), artifact.entries.len());
                }
            }
        }
    }
    assert!(errors > 300, "{errors} of {}", errors + whole);
}

/// With the checksums of the head, and of all behind it as one piece.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 5;
    let mut number = || {
        let mut number = 0usize;
        for shift in (0..63).step_by(7) {
            let byte = bytes.get(at).copied().unwrap_or(0);
            at += 1;
            number |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        number
    };
    let (_, header, sections) = (number(), number(), number());
    let head = at.saturating_add(header).saturating_add(sections);
    if head.saturating_add(8) <= bytes.len() {
        let (checksum, piece) =
            (super::damage::crc32(&bytes[..head]), super::damage::crc32(&bytes[head + 8..]));
        bytes[head..head + 4].copy_from_slice(&checksum.to_le_bytes());
        bytes[head + 4..head + 8].copy_from_slice(&piece.to_le_bytes());
    }
    bytes
}
