//! Damaged and hostile files take little memory, whatever they say of themselves.
use super::{
    most,
    readers::{READERS, Reader, artifact, bound, crc32, used},
};
use kolmo::compress::Artifact;

/// Those with a right checksum and large numbers in their headers included.
pub fn a_thousand_damaged_files_take_little_memory() {
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

/// Reads damaged copies of a reader's files.
fn bounded(reader: &Reader) {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bounded-{}", reader.name));
    let mut state = 1u64;
    let mut random = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    for bytes in (reader.seeds)() {
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
            std::fs::write(&path, (reader.whole)(&file)).unwrap();
            let (read, most) = most(|| (reader.read)(&path));
            let bound = (reader.bound)(file.len());
            assert!(most < bound, "{}, {round}: {most} bytes for a file of {}", reader.name, file.len());
            read.into_iter().for_each(|used| used());
        }
    }
    std::fs::remove_file(&path).unwrap();
}

pub fn damaged_files_of_every_kind_take_little_memory() {
    READERS.iter().for_each(bounded);
}

/// A PNG of a hundred bytes that claims 11,000 × 11,000 pixels.
#[cfg(feature = "images")]
pub fn a_picture_takes_no_more_than_its_bytes_can_tell() {
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
    let (result, most) = most(|| kolmo::data::ImageFolder::load(&root, Default::default()).map(drop));
    let error = result.unwrap_err().to_string();
    assert!(error.contains("large.png") && error.contains("11000 × 11000"), "{error}");
    assert!(most < super::readers::BUFFERS, "{most} bytes for a file of {}", png.len());
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

pub fn shapes_and_counts_are_not_believed() {
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

/// A name shares its beginning with the one before it: a header could tell very many long ones in little
/// space.
pub fn names_that_share_a_long_beginning_take_little_memory() {
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
