//! All readers of files, for what damages them: files to begin with, what reads one and what is then done
//! with it, and what it may take of memory. The fuzzer's targets (`fuzz/`) are made of them as well.
#[cfg(feature = "formats")]
#[path = "formats.rs"]
mod formats;

use kolmo::{
    Random, Tape, Tensor,
    compress::{Artifact, Entry, EntryData, Recipe, unpack},
    data,
    inspect::SavedTape,
    nn::{Layer, Linear, Param, Sequential, Tanh},
    optim::{AdamW, Optimizer},
    train,
};
use std::path::{Path, PathBuf};

/// What is done with something that was read.
pub type Use = Box<dyn FnOnce()>;

/// A reader of files.
pub struct Reader {
    pub name: &'static str,
    /// Files that it reads, as far as they are to be damaged.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// The file of such bytes: what has a checksum gets one that is right.
    pub whole: fn(&[u8]) -> Vec<u8>,
    /// Reads a file, and gives what can be done with it.
    pub read: fn(&Path) -> Option<Use>,
    /// The most bytes of memory that it may take for a file of so many.
    pub bound: fn(usize) -> isize,
}

pub const READERS: &[Reader] = &[
    Reader { name: "kolmo", seeds: artifacts, whole: sealed, read: read_artifact, bound },
    Reader { name: "safetensors", seeds: weights, whole: same, read: read_weights, bound: few },
    Reader { name: "index", seeds: indices, whole: same, read: read_index, bound: few },
    Reader { name: "npy", seeds: npy, whole: same, read: read_npy, bound: few },
    #[cfg(feature = "formats")]
    Reader {
        name: "npz",
        seeds: formats::npz,
        whole: same,
        read: formats::read_npz,
        bound: formats::archived,
    },
    Reader { name: "gguf", seeds: ggufs, whole: same, read: read_gguf, bound: few },
    #[cfg(feature = "formats")]
    Reader { name: "onnx", seeds: formats::graphs, whole: same, read: formats::read_graph, bound: lists },
    Reader { name: "checkpoint", seeds: checkpoints, whole: same, read: read_checkpoint, bound: few },
    Reader { name: "tape", seeds: tapes, whole: same, read: read_tape, bound: lists },
    Reader { name: "idx", seeds: idx, whole: same, read: read_idx, bound: packed },
    Reader { name: "cifar10", seeds: cifar10, whole: same, read: read_cifar10, bound: few },
    Reader { name: "table", seeds: tables, whole: same, read: read_table, bound: few },
    Reader { name: "recipe", seeds: recipes, whole: same, read: read_recipe, bound: lists },
    #[cfg(feature = "images")]
    Reader { name: "picture", seeds: pictures, whole: same, read: read_picture, bound: packed },
];

fn same(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

/// What readers take is bounded by what is there, whatever the file says: at most this many times its length,
/// and buffers.
pub const TIMES: isize = 64;
pub const BUFFERS: isize = 1 << 20;

/// Of arrays and weights.
pub fn few(bytes: usize) -> isize {
    BUFFERS + TIMES * bytes as isize
}

/// Of JSON, whose shortest value, an empty list, becomes a value of any type.
fn lists(bytes: usize) -> isize {
    BUFFERS + 1024 * bytes as isize
}

/// Of what is packed by deflate: as many bytes as one can stand for, and as many times as [`few`] what they
/// are.
fn packed(bytes: usize) -> isize {
    BUFFERS + 1032 * TIMES * bytes as isize
}

/// What a file may make us allocate: the predictors' tables, a few megabytes, and for each of its bytes what
/// the coder can have squeezed into it: 5,680 decisions, each an element of a mask and of codes.
pub fn bound(bytes: usize) -> isize {
    (16 << 20) + (1 << 16) * bytes as isize
}

fn stored_at(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data")).join(name)
}

fn stored(name: &str) -> Vec<u8> {
    let path = stored_at(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn all(names: &[&str]) -> Vec<Vec<u8>> {
    names.iter().map(|name| stored(name)).collect()
}

type Net = Sequential<(Linear, Tanh, Linear)>;

/// The model of the files in `first_version`.
fn net() -> Net {
    let rng = &mut Random::new(9);
    Sequential((Linear::new(6, 5, rng), Tanh, Linear::new(5, 3, rng)))
}

/// A step of training, if it can be done.
fn train(net: &Net, optimizer: &mut AdamW) {
    let tape = Tape::new();
    let x = Tensor::from_fn([4, 6], |i| (i as f32 * 0.37).sin());
    if let Ok(grads) = net.forward(&tape.input(x)).square().sum().backward() {
        let _ = optimizer.step(net, &grads);
    }
}

pub fn artifact() -> Artifact {
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

pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

fn sealed(bytes: &[u8]) -> Vec<u8> {
    if bytes.get(4) == Some(&3) {
        return sealed_pieces(bytes.to_vec());
    }
    [bytes, &crc32(bytes).to_le_bytes()].concat()
}

/// Where the checksum of a file with pieces lies.
pub fn head(bytes: &[u8]) -> Option<usize> {
    let mut at = 5;
    let mut number = || {
        let mut number = 0u64;
        for shift in (0..63).step_by(7) {
            let byte = *bytes.get(at)?;
            at += 1;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    };
    let (_, header, sections) = (number()?, number()?, number()?);
    at.checked_add(usize::try_from(header.checked_add(sections)?).ok()?)
}

/// With the checksums of the head, and of all behind it as one piece.
pub fn sealed_pieces(mut bytes: Vec<u8>) -> Vec<u8> {
    let Some(head) = head(&bytes).filter(|head| head + 8 <= bytes.len()) else { return bytes };
    let (checksum, piece) = (crc32(&bytes[..head]), crc32(&bytes[head + 8..]));
    bytes[head..head + 4].copy_from_slice(&checksum.to_le_bytes());
    bytes[head + 4..head + 8].copy_from_slice(&piece.to_le_bytes());
    bytes
}

fn artifacts() -> Vec<Vec<u8>> {
    // Each entry alone as well: what is small is stored as it is, and can be changed byte by byte.
    let one = |entry: Entry| Artifact { meta: Default::default(), entries: vec![entry] };
    let small = Entry { name: "w".into(), shape: vec![2], data: EntryData::Dense(vec![0.5, 1.0]) };
    let alone = artifact().entries.into_iter().chain([small]).map(one);
    let mut files: Vec<Vec<u8>> = alone.chain([artifact()]).map(|a| a.to_bytes().unwrap()).collect();
    files.push(stored("first_version/model.kolmo"));
    files.iter_mut().for_each(|file| file.truncate(file.len() - 4));
    // In pieces, one in each file.
    let pieces = artifact().entries.into_iter().map(one).filter_map(|artifact| artifact.in_pieces().ok());
    let packed = |artifact: &Artifact| matches!(artifact.entries[0].data, EntryData::Packed(_));
    files.extend(pieces.filter(packed).map(|artifact| artifact.to_bytes().unwrap()));
    files
}

fn read_artifact(path: &Path) -> Option<Use> {
    let artifact = Artifact::load(path).ok()?;
    used(&std::fs::read(path).unwrap());
    Some(Box::new(move || {
        let again = Artifact::from_bytes(&artifact.to_bytes().unwrap()).unwrap();
        assert_eq!(again.entries.len(), artifact.entries.len());
        let _ = unpack(&artifact, &net());
    }))
}

/// Everything that is done with a file of unknown origin.
pub fn used(file: &[u8]) -> usize {
    let Ok(artifact) = Artifact::from_bytes(file) else { return 0 };
    let dense: usize = artifact.entries.iter().map(|entry| entry.to_dense().len()).sum();
    let _ = artifact.sizes();
    let _ = unpack(&artifact, &Param::<f32>::new(Tensor::zeros([2, 3])));
    dense
}

fn weights() -> Vec<Vec<u8>> {
    all(&[
        "first_version/plain.safetensors",
        "first_version/run.best.safetensors",
        "interchange/mlp.safetensors",
    ])
}

fn read_weights(path: &Path) -> Option<Use> {
    let net = net();
    train::load_safetensors(&net, path).ok()?;
    Some(Box::new(move || train(&net, &mut AdamW::new(0.1))))
}

fn indices() -> Vec<Vec<u8>> {
    let names = data::Safetensors::open(stored_at("interchange/mlp.safetensors")).unwrap();
    let names = names.tensors().iter().map(|t| format!("{:?}: \"kolmo.shard\"", t.name()));
    let names = names.collect::<Vec<_>>().join(", ");
    let all = format!("{{\"metadata\": {{\"total_size\": 1}}, \"weight_map\": {{{names}}}}}");
    vec![all.into_bytes(), br#"{"weight_map": {"a": "kolmo.shard"}}"#.to_vec()]
}

/// An index beside the one file that it can name.
fn read_index(path: &Path) -> Option<Use> {
    let folder = path.with_extension("shards");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(path, folder.join("index.json")).unwrap();
    std::fs::copy(stored_at("interchange/mlp.safetensors"), folder.join("kolmo.shard")).unwrap();
    let file = data::Safetensors::open(folder.join("index.json"));
    std::fs::remove_dir_all(folder).unwrap();
    let file = file.ok()?;
    Some(Box::new(move || file.tensors().iter().for_each(|t| drop(file.packed_tensor::<f64>(t.name())))))
}

fn npy() -> Vec<Vec<u8>> {
    all(&["first_version/array.npy", "interchange/numpy.npy"])
}

fn read_npy(path: &Path) -> Option<Use> {
    let array = data::read_npy(path).ok()?;
    Some(Box::new(move || {
        let (floats, bytes) = (array.to_tensor::<f32>(), array.to_bytes());
        assert_eq!(
            data::NpyArray::parse(&bytes).map(|a| a.shape().clone()).ok().as_ref(),
            Some(floats.shape())
        );
    }))
}

/// Two keys and three tensors in few bytes, and every type.
fn ggufs() -> Vec<Vec<u8>> {
    let mut small = b"GGUF\x03\0\0\0".to_vec();
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    small.extend([3u64, 2].map(u64::to_le_bytes).concat());
    small.extend([&text("n")[..], &[10, 0, 0, 0], &7u64.to_le_bytes()].concat());
    small.extend(
        [&text("t")[..], &[9, 0, 0, 0, 8, 0, 0, 0], &2u64.to_le_bytes(), &text("a"), &text("bc")].concat(),
    );
    // Of eight floats, of blocks of 18 bytes that stand for 32 values, and of 84 that stand for 256.
    for (name, size, kind, start) in [("a", 8u64, 0u8, 0u64), ("b", 32, 2, 32), ("c", 256, 10, 64)] {
        let at = [&[kind, 0, 0, 0][..], &start.to_le_bytes()].concat();
        small.extend([&text(name)[..], &[1, 0, 0, 0], &size.to_le_bytes(), &at].concat());
    }
    small.resize(small.len().next_multiple_of(32) + 64 + 84, 0x3c);
    [vec![small], all(&["gguf/types.gguf"])].concat()
}

fn read_gguf(path: &Path) -> Option<Use> {
    let file = data::Gguf::open(path).ok()?;
    let read = |t: &data::GgufTensor| file.tensor::<f64>(t.name()).ok();
    let tensors: Vec<_> = file.tensors().iter().filter_map(read).collect();
    Some(Box::new(move || {
        let size: usize = tensors.iter().map(|t| t.to_vec().len()).sum();
        let texts = file.metadata().keys().filter_map(|key| file.value::<Vec<&str>>(key).ok()).count();
        let _ = (size, texts, format!("{file:?} {:?} {:?}", file.metadata(), file.tensors()));
        let _ = train::load_gguf(&net(), &file, &train::LoadOptions::new().strict(false));
    }))
}

fn checkpoints() -> Vec<Vec<u8>> {
    all(&["first_version/plain.checkpoint", "first_version/run.checkpoint"])
}

fn read_checkpoint(path: &Path) -> Option<Use> {
    let (net, mut adam) = (net(), AdamW::new(0.5));
    train::load_checkpoint::<f32, _, _, serde_json::Value>(&net, &mut adam, path).ok()?;
    Some(Box::new(move || train(&net, &mut adam)))
}

fn tapes() -> Vec<Vec<u8>> {
    all(&["first_version/tape.json"])
}

fn read_tape(path: &Path) -> Option<Use> {
    let tape = SavedTape::load(path).ok()?;
    Some(Box::new(move || drop((tape.replay::<f32>(), tape.listing().to_string()))))
}

fn idx() -> Vec<Vec<u8>> {
    let plain = [&[0, 0, 8, 2, 0, 0, 0, 20, 0, 0, 0, 10][..], &[7; 200]].concat();
    // As gzip writes it without packing: a block of 5 bytes and its contents.
    let size = (plain.len() as u16).to_le_bytes();
    let block = [&[1][..], &size, &size.map(|b| !b), &plain].concat();
    let end = [crc32(&plain).to_le_bytes(), (plain.len() as u32).to_le_bytes()].concat();
    vec![plain, [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255][..], &block, &end].concat()]
}

fn read_idx(path: &Path) -> Option<Use> {
    let bytes = data::read_idx(path).ok()?;
    Some(Box::new(move || drop(bytes.cast::<f32>().to_vec())))
}

fn cifar10() -> Vec<Vec<u8>> {
    vec![[[3; 3073], [9; 3073]].concat()]
}

fn read_cifar10(path: &Path) -> Option<Use> {
    let (images, labels) = data::read_cifar10(path).ok()?;
    Some(Box::new(move || drop((images.cast::<f32>().to_vec(), labels.to_vec()))))
}

fn tables() -> Vec<Vec<u8>> {
    vec![
        ("x,y\n".to_string() + &"1.5,b\n".repeat(100)).into_bytes(),
        b"\xef\xbb\xbf\"a \"\"name\"\"\";b\r\n1;\"2\n3\"\n\n 4e5 ;NaN\n".to_vec(),
    ]
}

fn read_table(path: &Path) -> Option<Use> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let known = data::CharTokenizer::fit(&text);
    let tokens = known.encode(&text).unwrap();
    assert_eq!(known.decode(&tokens).unwrap(), text);
    let _ = data::random_windows(&tokens, 3, 5, &mut Random::new(0));
    let tables = [(b',', true), (b';', false)]
        .map(|(by, header)| data::CsvOptions::new().delimiter(by).header(header).read(path).ok());
    Some(Box::new(move || {
        for table in tables.iter().flatten() {
            for name in table.names() {
                let _ = table.numbers(&[name]);
                if let Ok((classes, names)) = table.classes(name) {
                    assert_eq!(table.to_labels_with(name, &names).unwrap().to_vec(), classes.to_vec());
                }
            }
        }
    }))
}

fn recipes() -> Vec<Vec<u8>> {
    let own = br#"{"about": "", "stages": [{"stage": "prune", "density": 0.5, "rounds": 2, "epochs": 1},
        {"stage": "steps", "bits": 4, "group": 2}, {"stage": "half"}]}"#;
    vec![stored("first_version/recipe.json"), own.to_vec()]
}

fn read_recipe(path: &Path) -> Option<Use> {
    let recipe = Recipe::load(path).ok()?;
    Some(Box::new(move || {
        let net = Linear::new(4, 2, &mut Random::new(0));
        let _ = recipe.run(&net, &mut |_: &Linear, _: &kolmo::compress::Task| Ok(()));
    }))
}

/// A grey picture of 2 × 2 in a PNG that packs nothing.
#[cfg(feature = "images")]
fn pictures() -> Vec<Vec<u8>> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let body = [&kind[..], data].concat();
        [&(data.len() as u32).to_be_bytes()[..], &body, &crc32(&body).to_be_bytes()].concat()
    };
    let rows = [0, 10, 20, 0, 30, 40];
    let (mut a, mut b) = (1u32, 0u32);
    rows.iter().for_each(|&byte| (a, b) = (a + byte as u32, b + a + byte as u32));
    let packed = [&[0x78, 1, 1, 6, 0, 249, 255][..], &rows, &(b << 16 | a).to_be_bytes()].concat();
    let header = [0, 0, 0, 2, 0, 0, 0, 2, 8, 0, 0, 0, 0];
    let parts = [chunk(b"IHDR", &header), chunk(b"IDAT", &packed), chunk(b"IEND", &[])];
    vec![[&b"\x89PNG\r\n\x1a\n"[..], &parts.concat()].concat()]
}

#[cfg(feature = "images")]
fn read_picture(path: &Path) -> Option<Use> {
    let root = path.with_extension("pictures");
    std::fs::create_dir_all(root.join("a")).unwrap();
    std::fs::copy(path, root.join("a/picture")).unwrap();
    let read = data::ImageFolder::load(&root, data::ImageOptions::default());
    std::fs::remove_dir_all(&root).unwrap();
    let read = read.ok()?;
    Some(Box::new(move || drop(read.images.to_vec())))
}
