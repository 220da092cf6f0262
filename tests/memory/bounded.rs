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

/// What readers take is bounded by what is there, whatever the file says: at most this many times its length, and buffers.
const TIMES: isize = 64;
const BUFFERS: isize = 1 << 20;

/// Reads files of these bytes and of damaged copies of them.
fn bounded<V>(name: &str, bytes: &[u8], read: impl Fn(&std::path::Path) -> kolmo::Result<V>) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut state = 1u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    for round in 0..300 {
        let mut file = bytes.to_vec();
        match round % 3 {
            0 => file.truncate(random(bytes.len() + 1)),
            1 => (0..4).for_each(|_| file[random(bytes.len().min(160))] = random(256) as u8),
            // A digit, and so a size, that is many.
            _ => {
                let at = random(bytes.len().min(160));
                file.splice(at..at, [b'9'; 9]);
            }
        }
        std::fs::write(&path, &file).unwrap();
        let (_, most) = most(|| read(&path).map(drop));
        let bound = BUFFERS + TIMES * file.len() as isize;
        assert!(most < bound, "{name}, round {round}: {most} bytes for a file of {}", file.len());
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn damaged_files_of_data_take_little_memory() {
    use kolmo::{Tensor, data, nn::Param, train};
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let made = |write: &dyn Fn(&std::path::Path)| {
        let path = folder.join("bounded-good");
        write(&path);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        bytes
    };
    let idx = [&[0, 0, 8, 2, 0, 0, 0, 20, 0, 0, 0, 10][..], &[7; 200]].concat();
    bounded("bounded-idx", &idx, |p| data::read_idx(p));
    let array = Tensor::<f32>::from_fn([10, 20], |i| i as f32);
    bounded("bounded-npy", &made(&|p| data::write_npy(p, array.clone()).unwrap()), |p| data::read_npy(p));
    let npz = made(&|p| data::write_npz(p, [("x", array.clone().into())]).unwrap());
    bounded("bounded-npz", &npz, |p| data::read_npz(p));
    let csv = "x,y\n".to_string() + &"1.5,b\n".repeat(100);
    bounded("bounded-csv", csv.as_bytes(), |p| data::Table::read(p, b',', true));
    let model = Param::new(array);
    let weights = made(&|p| train::save_safetensors(&model, p).unwrap());
    bounded("bounded-safetensors", &weights, |p| train::load_safetensors(&model, p));
    let mut adam = kolmo::optim::Adam::<f32>::new(0.1);
    let run = made(&|p| train::save_checkpoint(p, &model, &adam, &()).unwrap());
    let adam = std::cell::RefCell::new(&mut adam);
    bounded("bounded-checkpoint", &run, |p| {
        train::load_checkpoint::<f32, _, _, ()>(p, &model, &mut **adam.borrow_mut())
    });
}

/// A PNG of a hundred bytes that claims 11,000 × 11,000 pixels.
#[cfg(feature = "images")]
#[test]
fn a_picture_takes_no_more_than_its_bytes_can_tell() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let body = [&kind[..], data].concat();
        [&(data.len() as u32).to_be_bytes()[..], &body, &crc32(&body).to_be_bytes()].concat()
    };
    let side = 11_000u32.to_be_bytes();
    let header = [&side[..], &side, &[8, 6, 0, 0, 0]].concat();
    let packed = [0x78, 0x9c, 0x63, 0, 0, 0, 1, 0, 1];
    let parts = [chunk(b"IHDR", &header), chunk(b"IDAT", &packed), chunk(b"IEND", &[])];
    let png = [&b"\x89PNG\r\n\x1a\n"[..], &parts.concat()].concat();
    let root = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("bounded-pictures");
    std::fs::create_dir_all(root.join("a")).unwrap();
    std::fs::write(root.join("a/large.png"), &png).unwrap();
    let (result, most) = most(|| kolmo::data::image_folder(&root, Default::default()).map(drop));
    let error = result.unwrap_err().to_string();
    assert!(error.contains("large.png") && error.contains("11000 × 11000"), "{error}");
    assert!(most < BUFFERS, "{most} bytes for a file of {}", png.len());
    std::fs::remove_dir_all(&root).unwrap();
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
