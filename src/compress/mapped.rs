//! Models as files that are mapped: weights run from the file's own bytes, and what isn't used isn't read.
//! What the bytes are is said in `docs/format.md`.
use super::{
    filter::each_field,
    format::crc32,
    unpack::{Held, put},
};
use crate::{
    error::{Checked, Error, Result},
    files::{Map, write_atomically},
    kernels::packed::{Form, Packed, Piece},
    ops::Float,
    param::{Param, ParamState, shown},
    tensor::{Shape, Tensor},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

/// The first bytes, the version and what fills up eight; then the length of the header and its checksum.
const START: &[u8; 8] = b"klmo\x02\0\0\0";
const HEADER: usize = 20;
/// Where pieces begin: vectors and lines of the cache are whole.
const ALIGNED: usize = 64;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    meta: BTreeMap<String, String>,
    entries: Vec<Line>,
}

/// What a header says of a tensor.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    shape: Vec<usize>,
    form: Kind,
    pieces: Vec<Place>,
}

/// How a tensor's elements are written.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    F32,
    F64,
    Packed(Form),
}

/// Where bytes lie, counted from the file's beginning, and their checksum.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    at: usize,
    len: usize,
    crc32: u32,
}

/// A file that [`save_mapped`] wrote, mapped into memory. Opening and loading look at its header alone; the
/// checksum of a weight is looked at when the weight is first used, and what is wrong then is that
/// operation's error.
///
/// The system reads the file as weights are used, and may forget them again when memory is short; several
/// processes share them. So the file must not be changed or cut as long as something that came of it lives:
/// it may be removed, or replaced by another, as [`save_mapped`] does it.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, nn::{Layer, Linear}};
/// use kolmo::compress::{MappedModel, matrices, quantize::WeightOnly, save_mapped};
/// let net = Linear::new(64, 32, &mut Random::new(0));
/// WeightOnly::new(4).groups(32).apply(&net, matrices)?;
/// let path = std::env::temp_dir().join(format!("kolmo-mapped-{}.kolmo", std::process::id()));
/// save_mapped(&net, &[("made", "as an example")], &path)?;
///
/// let copy = Linear::new(64, 32, &mut Random::new(1));
/// let file = MappedModel::open(&path)?;
/// file.load(&copy)?;
/// # std::fs::remove_file(&path).unwrap();
/// let tape = Tape::inference();
/// let x = tape.constant(Tensor::ones([1, 64]));
/// assert_eq!(copy.forward(&x).to_vec()?, net.forward(&x).to_vec()?);
/// assert_eq!(file.meta()["made"], "as an example");
/// # Ok::<(), kolmo::Error>(())
/// ```
pub struct MappedModel {
    what: String,
    map: Arc<Map>,
    header: Header,
}

/// Writes a model so that it runs from the file: its weights as they are held, those that are
/// [packed](super::Packed) as they are computed with, all others as floats. That file is larger than the
/// coded one of [`pack`](super::pack), and there at once. It is whole or not there.
///
/// # Errors
/// A parametrisation fails; the file can't be written; the machine has its numbers the other way round.
pub fn save_mapped<M: Serialize + ?Sized>(
    model: &M,
    meta: &[(&str, &str)],
    path: impl AsRef<Path>,
) -> Result<()> {
    let mut all: Vec<Result<Content>> = Vec::new();
    each_field!(model, |name, p| all.push(content(name, p)));
    let meta = meta.iter().map(|(key, text)| (key.to_string(), text.to_string())).collect();
    write(all.into_iter().collect::<Result<_>>()?, meta, path.as_ref())
}

/// A tensor to be written, piece by piece.
struct Content {
    name: String,
    shape: Vec<usize>,
    form: Kind,
    pieces: Vec<Vec<u8>>,
}

fn content<T: Float>(name: String, p: &Param<T>) -> Result<Content> {
    let (value, shape) = (p.effective()?, p.shape().to_vec());
    let (form, pieces) = match value.packed().filter(|packed| **packed.shape() == shape) {
        Some(packed) => {
            packed
                .sound()
                .map_err(|why| Error::invalid("save_mapped", format!("{}: {why}", shown(&name))))?;
            let (form, pieces) = packed.pieces();
            (Kind::Packed(form), pieces.into_iter().map(<[u8]>::to_vec).collect())
        }
        None => {
            let values = value.to_vec();
            match size_of::<T>() {
                4 => {
                    let bytes = values.iter().flat_map(|v| (v.to_f64() as f32).to_le_bytes());
                    (Kind::F32, vec![bytes.collect()])
                }
                _ => (Kind::F64, vec![values.iter().flat_map(|v| v.to_f64().to_le_bytes()).collect()]),
            }
        }
    };
    Ok(Content { name, shape, form, pieces })
}

fn write(all: Vec<Content>, meta: BTreeMap<String, String>, path: &Path) -> Result<()> {
    little_endian("save_mapped")?;
    // The header's length hangs on the places, and these on its length: they are written as wide as they can
    // get.
    let header = |first: usize| {
        let mut at = first;
        let entries = all.iter().map(|content| {
            let pieces = content.pieces.iter().map(|bytes| {
                let place = Place { at, len: bytes.len(), crc32: crc32(bytes) };
                at = (at + bytes.len()).next_multiple_of(ALIGNED);
                place
            });
            let (name, shape) = (content.name.clone(), content.shape.clone());
            Line { name, shape, form: content.form, pieces: pieces.collect() }
        });
        let header = Header { entries: entries.collect(), meta: meta.clone() };
        serde_json::to_vec(&header).map_err(|e| Error::invalid("save_mapped", e.to_string()))
    };
    let (mut first, mut text) = (0, header(0)?);
    while (HEADER + text.len()).next_multiple_of(ALIGNED) > first {
        first = (HEADER + text.len()).next_multiple_of(ALIGNED);
        text = header(first)?;
    }
    let mut bytes = START.to_vec();
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(crc32(&text).to_le_bytes());
    bytes.extend(text);
    bytes.resize(first, 0);
    for piece in all.iter().flat_map(|content| &content.pieces) {
        bytes.resize(bytes.len().next_multiple_of(ALIGNED), 0);
        bytes.extend_from_slice(piece);
    }
    write_atomically(path, &bytes).map_err(|e| Error::io(path, e))
}

fn little_endian(what: &'static str) -> Result<()> {
    match cfg!(target_endian = "little") {
        true => Ok(()),
        false => {
            Err(Error::invalid(what, "this machine has the most significant byte first, the file the last"))
        }
    }
}

impl MappedModel {
    /// Maps a file.
    ///
    /// # Errors
    /// It can't be read, is no such file, or its header is damaged or tells of bytes that aren't there.
    pub fn open(path: impl AsRef<Path>) -> Result<MappedModel> {
        MappedModel::open_at(path.as_ref())
    }

    fn open_at(path: &Path) -> Result<MappedModel> {
        little_endian("MappedModel::open")?;
        let what = path.display().to_string();
        let map = Arc::new(Map::open(path)?);
        let header = header(map.bytes()).map_err(|(at, why)| Error::format(&*what, at, why))?;
        Ok(MappedModel { what, map, header })
    }

    /// The texts that were written with the model.
    pub fn meta(&self) -> &BTreeMap<String, String> {
        &self.header.meta
    }

    /// Names and shapes of the tensors, in the file's order.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, Shape)> {
        self.header.entries.iter().map(|line| (&*line.name, Shape::new(&line.shape)))
    }

    /// Puts the file's tensors into the parameters of the same names, as [`unpack`](super::unpack) does.
    ///
    /// # Errors
    /// As there: the model is as it was then.
    pub fn load<M: Serialize + ?Sized>(&self, model: &M) -> Result<()> {
        let entries = self.header.entries.iter().map(|line| (&*line.name, Mapped { file: self, line }));
        put("MappedModel::load", entries.collect(), Vec::new(), model)
    }
}

impl std::fmt::Debug for MappedModel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MappedModel({}, {} tensors)", self.what, self.header.entries.len())
    }
}

/// The header of a file, whose places lie in it; or where it is wrong, and how.
fn header(bytes: &[u8]) -> Result<Header, (String, String)> {
    let wrong = |at: &str, why: String| (at.to_string(), why);
    match bytes.get(..START.len()) {
        Some(start) if start == START => {}
        Some([b'k', b'l', b'm', b'o', 1, ..]) => {
            return Err(wrong("byte 4", "version 1 is a coded file, which Artifact::load reads".into()));
        }
        _ => return Err(wrong("byte 0", format!("expected the mark of a mapped .kolmo file, {START:02x?}"))),
    }
    let number = |at: usize| bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
    let length = number(8).and_then(|length| usize::try_from(length).ok());
    let text = length.and_then(|length| bytes.get(HEADER..HEADER.checked_add(length)?));
    let text = text.ok_or_else(|| wrong("byte 8", "the header is longer than the file".into()))?;
    let expected = bytes.get(16..HEADER).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    if expected != Some(crc32(text)) {
        return Err(wrong("byte 16", "the header's checksum is another: it is damaged".into()));
    }
    let header: Header = serde_json::from_slice(text).map_err(|e| wrong("its header", e.to_string()))?;
    let mut names = BTreeSet::new();
    for line in &header.entries {
        let at = format!("entry {:?}", line.name);
        if !names.insert(&line.name) {
            return Err(wrong(&at, "the name is there twice".into()));
        }
        for Place { at: from, len, .. } in &line.pieces {
            let end = from.checked_add(*len).filter(|end| *end <= bytes.len() && from % ALIGNED == 0);
            if end.is_none() {
                let why = format!(
                    "{len} bytes from {from} on aren't in the file, or begin at no multiple of {ALIGNED}"
                );
                return Err(wrong(&at, why));
            }
        }
    }
    Ok(header)
}

/// A tensor of a mapped file.
struct Mapped<'a> {
    file: &'a MappedModel,
    line: &'a Line,
}

impl Held for Mapped<'_> {
    fn shape(&self) -> &[usize] {
        &self.line.shape
    }

    fn state<T: Float>(&self, shape: &Shape) -> Checked<ParamState<T>> {
        let Mapped { file, line } = self;
        let piece = |place: &Place| Piece { map: file.map.clone(), at: place.at, len: place.len };
        let pieces: Vec<Piece> = line.pieces.iter().map(piece).collect();
        let (what, places, mapped) = (file.what.clone(), line.pieces.clone(), pieces.clone());
        let seal = move || {
            let damaged =
                mapped.iter().zip(&places).find(|(piece, place)| crc32(piece.bytes()) != place.crc32);
            damaged.map_or(Ok(()), |(piece, _)| {
                Err(format!(
                    "{what}: the {} bytes from {} on are damaged: their checksum is another",
                    piece.len, piece.at
                ))
            })
        };
        let width = match line.form {
            Kind::Packed(form) => {
                let packed = Packed::of_pieces(shape, &form, &pieces, seal)?;
                return Ok(ParamState::dense(packed.into()));
            }
            Kind::F32 => 4,
            Kind::F64 => 8,
        };
        seal()?;
        let bytes = match &pieces[..] {
            [piece] if shape.numel().checked_mul(width) == Some(piece.len) => piece.bytes(),
            _ => return Err(format!("its bytes aren't those of shape {shape}")),
        };
        let values = Tensor::build(shape.clone(), |out| {
            for (out, bytes) in out.iter_mut().zip(bytes.chunks_exact(width)) {
                *out = match *bytes {
                    [a, b, c, d] => T::from_f64(f64::from(f32::from_le_bytes([a, b, c, d]))),
                    _ => T::from_f64(f64::from_le_bytes(bytes.try_into().unwrap_or_default())),
                };
            }
        });
        values.made().map(ParamState::dense)
    }
}
