//! The reader in Python, which was written after docs/format.md, finds in files what Rust put there, and reads
//! and refuses what Rust does.
use super::{Random, newer, small};
use kolmo::{
    Tape, Tensor,
    compress::{Artifact, Entry, EntryData, MappedModel, Shift, matrices, quantize::WeightOnly, save_mapped},
    nn::Linear,
};
use std::{collections::BTreeMap, path::Path, process::Command};

/// The folder from which Python imports the reader.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/python");

fn python() -> Command {
    let mut command = Command::new(std::env::var("PYTHON").unwrap_or_else(|_| "python3".into()));
    command.env("PYTHONPATH", FOLDER).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Numbers without order that are the same in every run.
fn number(i: usize) -> f32 {
    ((i as f64 * 0.7548776662).fract() - 0.5) as f32
}

fn entry(name: &str, shape: &[usize], data: EntryData) -> Entry {
    Entry { name: name.into(), shape: shape.to_vec(), data }
}

fn codes(mask: Option<Vec<bool>>, n: usize, centroids: Vec<f32>, centroid_bits: u32) -> EntryData {
    let kept = mask.as_ref().map_or(n, |m| m.iter().filter(|&&k| k).count());
    let k = centroids.len();
    let code = |i: usize| ((number(3 * i) + 0.5).powi(2) * k as f32) as u32 % k as u32;
    EntryData::Codebook { mask, codes: (0..kept).map(code).collect(), centroids, centroid_bits }
}

fn artifact() -> Artifact {
    let half = |i: usize| kolmo::compress::round_to_f16(number(i));
    let sorted = |k: usize, f: &dyn Fn(usize) -> f32| {
        let mut values: Vec<f32> = (0..k).map(f).collect();
        values.sort_by(f32::total_cmp);
        values
    };
    // A blank border, as of images of 12 × 12, and a convolution.
    let border = |i: usize| !(3..9).contains(&(i % 12)) || !(3..9).contains(&(i / 12 % 12));
    let mask = |n: usize| (0..n).map(|i| !border(i) && number(i) > -0.2).collect::<Vec<bool>>();
    let sparse = |n: usize| (0..n).map(|i| number(7 * i) > 0.3).collect::<Vec<bool>>();
    let dense = |n: usize| (0..n).map(|i| number(7 * i) > -0.4).collect::<Vec<bool>>();
    let uniform = (0..16).map(|i| (i as f32 - 5.0) * 0.037).collect();
    let numbers = |k: i32| (0..k).map(|i| (i - k / 2) as f32).collect();
    let scaled = |weights, group, n: usize, scale_bits| EntryData::Scaled {
        weights: Box::new(weights),
        group,
        scales: (0..n).map(|i| if scale_bits == 16 { half(i).abs() } else { number(i).abs() }).collect(),
        scale_bits,
    };
    Artifact {
        meta: BTreeMap::from([("architecture".into(), "a few, für alle".into())]),
        entries: vec![
            entry("floats", &[7, 9], EntryData::Dense((0..63).map(number).collect())),
            entry("halves", &[40], EntryData::Half((0..40).map(half).collect())),
            entry("image.weight", &[30, 144], codes(Some(mask(30 * 144)), 0, sorted(8, &half), 16)),
            entry("conv.weight", &[6, 4, 3, 3], codes(Some(sparse(216)), 0, sorted(5, &number), 32)),
            entry("most", &[20, 30], codes(Some(dense(600)), 0, sorted(3, &half), 16)),
            entry("all", &[25, 8], codes(None, 200, sorted(2, &half), 16)),
            entry("uniform", &[50, 8], codes(None, 400, uniform, 32)),
            entry("one", &[5], codes(None, 5, vec![1.5], 16)),
            entry("channels", &[6, 50], scaled(codes(None, 300, numbers(15), 16), 50, 6, 16)),
            entry("groups", &[5, 3, 3, 3], scaled(codes(Some(sparse(135)), 0, numbers(7), 16), 8, 20, 32)),
            entry("one scale", &[4, 4], scaled(codes(None, 16, numbers(3), 32), 0, 1, 16)),
            entry("none", &[0, 3], EntryData::Dense(Vec::new())),
        ],
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

#[test]
#[ignore = "needs python3 with numpy, or another of that kind named by $PYTHON"]
fn python_reads_what_was_written() {
    let mut pieces = artifact();
    for (name, bits, centroids) in [("offsets", 16, 16), ("wide offsets", 32, 9)] {
        let scaled = EntryData::Scaled {
            weights: Box::new(codes(None, 900, (0..centroids).map(|i| i as f32).collect(), 16)),
            group: 8,
            scales: (0..120).map(|i| kolmo::compress::round_to_f16(0.01 + number(i).abs())).collect(),
            scale_bits: 16,
        };
        let values = (0..120).map(|i| kolmo::compress::round_to_f16(number(i + 7))).collect();
        let by = Shift::Offsets { values, bits };
        pieces.entries.push(entry(name, &[20, 45], EntryData::Shifted { scaled: Box::new(scaled), by }));
    }
    let by = Shift::ZeroPoints((0..18).map(|i| 120 + i).collect());
    let scales = (0..18).map(|i| 0.5 + number(i).abs()).collect();
    let numbers = (0..256).map(|i| i as f32).collect();
    let weights = Box::new(codes(None, 18 * 20, numbers, 16));
    let scaled = Box::new(EntryData::Scaled { weights, group: 20, scales, scale_bits: 32 });
    pieces.entries.push(entry("zeros", &[18, 20], EntryData::Shifted { scaled, by }));
    pieces.entries.push(entry("brain", &[17, 9], EntryData::Bf16((0..153).map(number).collect())));
    pieces.entries.push(entry("large", &[64, 65], EntryData::Dense((0..64 * 65).map(number).collect())));
    python_reads(&artifact());
    python_reads(&pieces);
    python_reads(&pieces.in_pieces().unwrap());
}

fn python_reads(artifact: &Artifact) {
    let folder = crate::Folder::new("python");
    let path = folder.join("model.kolmo");
    artifact.save(&path).unwrap();
    let output = python().args(["-m", "kolmo_reader"]).arg(&path).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for entry in &artifact.entries {
        let values = entry.to_dense();
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let shape: Vec<String> = entry.shape.iter().map(usize::to_string).collect();
        let line = format!(
            "{} [{}]: {} not zero, checksum {:08x}",
            entry.name,
            shape.join(", "),
            values.iter().filter(|v| **v != 0.0).count(),
            crc32(&bytes)
        );
        assert!(text.contains(&line), "expected\n{line}\nin\n{text}");
    }
    assert!(text.starts_with("architecture: a few, für alle"));
}

/// Files that claim what they don't hold: an error that says so, and no memory for it.
#[test]
#[ignore = "needs python3 with numpy, or another of that kind named by $PYTHON"]
fn python_believes_no_claims() {
    let folder = crate::Folder::new("python-claims");
    let read = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).unwrap();
        // With a gigabyte of memory at most, should it believe one.
        let limited = "import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30)); \
                       runpy.run_module('kolmo_reader', run_name='__main__')";
        let output =
            python().env("OPENBLAS_NUM_THREADS", "1").args(["-c", limited]).arg(&path).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let number = |mut n: u64| {
        let mut bytes = Vec::new();
        while n >= 0x80 {
            bytes.push(n as u8 | 0x80);
            n >>= 7;
        }
        bytes.push(n as u8);
        bytes
    };
    let craft = |numbers: &[u64]| {
        let mut header = vec![0, 1, 0, 1, b'w'];
        header.extend(numbers.iter().flat_map(|&n| number(n)));
        let mut file =
            [&b"klmo\x01"[..], &number(header.len() as u64 * 2 + 1), &number(header.len() as u64)].concat();
        file.extend(header);
        let checksum = crc32(&file).to_le_bytes();
        file.extend(checksum);
        file
    };
    let claims: [(&str, &[u64], bool); 8] = [
        ("large", &[1, 1 << 40, 0, 0], false),
        ("many", &[2, 1 << 31, 1 << 31, 0, 0], false),
        ("axes", &[1 << 40, 1, 0, 0], false),
        ("values", &[1, 1 << 31, 0, 0], false),
        ("codes", &[1, 1 << 30, 2, 1, 0, 0], false),
        ("mask", &[2, 1 << 30, 1, 10, 1, 0, 0, 0], false),
        ("centroids", &[1, 0, 2, 1 << 40, 0, 0], false),
        ("empty", &[2, 1 << 31, 0, 10, 1, 0, 0, 0], true),
    ];
    for (name, numbers, fine) in claims {
        let (success, errors) = read(name, &craft(numbers));
        assert_eq!(success, fine, "{name}: {errors}");
        assert!(fine || errors.contains("ValueError"), "{name}: {errors}");
    }
    let whole = artifact().to_bytes().unwrap();
    for length in [0, 3, 7, 100, whole.len() - 1] {
        let (success, errors) = read("cut", &whole[..length]);
        assert!(!success && errors.contains("cut short"), "{length}: {errors}");
    }
}

/// What Rust makes of a file: the checksum of all its tensors, or none.
fn read_by_rust(path: &Path) -> Option<u32> {
    let bytes = std::fs::read(path).unwrap();
    let values: Vec<f32> = if bytes.starts_with(b"klmo\x02") {
        let net = two_layers(9);
        MappedModel::open(path).and_then(|file| file.load(&net)).ok()?;
        let all = [&net.0.weight, net.0.bias.as_ref()?, &net.1.weight, net.1.bias.as_ref()?];
        let values = all.map(|p| (Tape::inference().param(p) * 1.0).value().map(Tensor::to_vec));
        values.into_iter().collect::<kolmo::Result<Vec<_>>>().ok()?.concat()
    } else {
        Artifact::from_bytes(&bytes).ok()?.entries.iter().flat_map(Entry::to_dense).collect()
    };
    // One NaN is like another: processors differ in what they make of their bits.
    let bytes = values.iter().flat_map(|v| if v.is_nan() { f32::NAN } else { *v }.to_le_bytes());
    Some(crc32(&bytes.collect::<Vec<u8>>()))
}

fn two_layers(seed: u64) -> (Linear, Linear) {
    let rng = &mut kolmo::Random::new(seed);
    (Linear::new(20, 10, rng), Linear::new(10, 3, rng))
}

/// Files of a name and bytes, read by both.
fn alike(files: &[(String, Vec<u8>)]) -> usize {
    let folder = crate::Folder::new("python-alike");
    let paths: Vec<_> = files.iter().enumerate().map(|(i, _)| folder.join(i.to_string())).collect();
    files.iter().zip(&paths).for_each(|((_, bytes), path)| std::fs::write(path, bytes).unwrap());
    let output = python().args(["-m", "kolmo_reader", "--check"]).args(&paths).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    let mut read = 0;
    for ((name, _), path) in files.iter().zip(&paths) {
        let line =
            lines.next().unwrap_or_else(|| panic!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
        match read_by_rust(path) {
            Some(checksum) => assert_eq!(line, format!("read {checksum:08x}"), "{name}"),
            None => assert!(line.starts_with("refused"), "{name}: {line}"),
        }
        read += usize::from(line.starts_with("read"));
    }
    read
}

#[test]
#[ignore = "needs python3 with numpy, or another of that kind named by $PYTHON"]
fn python_reads_and_refuses_what_rust_does() {
    let folder = crate::Folder::new("python-mapped");
    let mut mapped = Vec::new();
    for (bits, group) in [(0, 0), (3, 0), (4, 8), (5, 16), (8, 32)] {
        let net = two_layers(1);
        if bits > 0 {
            let form = WeightOnly::new(bits);
            let form = if group > 0 { form.groups(group) } else { form };
            form.apply(&net, matrices).unwrap();
        }
        let path = folder.join("mapped.kolmo");
        save_mapped(&net, &[("made", "für einen Test")], &path).unwrap();
        mapped.push(std::fs::read(&path).unwrap());
    }
    let whole = |bytes: &[u8]| (String::from("whole"), bytes.to_vec());
    let coded = [small(), newer()].map(|artifact| artifact.to_bytes().unwrap());
    let mut pieces = artifact();
    pieces.entries.push(entry("large", &[64, 65], EntryData::Dense((0..64 * 65).map(number).collect())));
    let pieces = pieces.in_pieces().unwrap().to_bytes().unwrap();
    let files: Vec<_> = mapped.iter().chain(&coded).chain([&pieces]).map(|bytes| whole(bytes)).collect();
    assert_eq!(alike(&files), files.len());

    // A bit of each byte, and the file cut behind it. What fills up a mapped file may be anything.
    for (name, bytes, step) in
        [("mapped", &mapped[2], 1), ("coded", &coded[0], 1), ("newer", &coded[1], 3), ("pieces", &pieces, 37)]
    {
        let mut files = Vec::new();
        for at in (0..bytes.len()).step_by(step) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            files.push((format!("{name}, byte {at}"), damaged));
            files.push((format!("{name}, cut behind {at}"), bytes[..at].to_vec()));
        }
        let read = alike(&files);
        assert!(read == 0 || name == "mapped" && read < files.len() / 4, "{name}: {read}");
    }

    // Behind a checksum that fits.
    let mut random = Random(3);
    let mut files = Vec::new();
    for round in 0..600 {
        let bytes = &coded[round % 2];
        let mut body = bytes[..bytes.len() - 4].to_vec();
        for _ in 0..1 + random.below(3) {
            let at = 5 + random.below(body.len() as u64 - 5) as usize;
            match random.below(4) {
                0 => body[at] = random.next() as u8,
                1 => body.truncate(at.max(9)),
                2 => body.insert(at, random.next() as u8),
                _ => body[at] ^= 1 << random.below(8),
            }
        }
        let checksum = crc32(&body).to_le_bytes();
        body.extend(checksum);
        files.push((format!("round {round}"), body));
    }
    let read = alike(&files);
    assert!(read > 0 && read < 300, "{read}");
}
