//! What stands before the numbers of a GGUF file: its metadata, and which tensors there are. Counts, lengths
//! and places are held against the file's length before anything is done by them.
use super::{
    blocks::{Block, Kind, read},
    value::GgufValue,
};
use crate::{
    error::{Error, Result},
    tensor::Shape,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Arguments,
    io::{Read, Seek, SeekFrom},
};

/// The most axes that a tensor of ggml has.
const AXES: u32 = 4;
/// How deep lists may lie in lists.
const DEPTH: usize = 4;
/// What the numbers begin at a multiple of, if the metadata don't say.
const ALIGNMENT: u64 = 32;
/// The fewest bytes of a key with its value, and of a tensor's entry.
const PAIR: u64 = 8 + 4 + 1;
const ENTRY: u64 = 8 + 4 + 4 + 8;

/// Where a file's bytes are.
pub(super) trait Source: Read + Seek + Send {}
impl<S: Read + Seek + Send> Source for S {}

/// A tensor in a GGUF file: its name, shape and type.
#[derive(Clone, Debug)]
pub struct GgufTensor {
    name: String,
    shape: Shape,
    /// A type, or the number of one that isn't known.
    pub(super) kind: Result<&'static Kind, u32>,
    pub(super) start: u64,
    bytes: u64,
}

impl GgufTensor {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sizes, the axis along which neighbours lie last: the other way round than in the file, and as in
    /// PyTorch.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// ggml's name of the element type, such as `F16` or `Q4_K`; `unknown` of one that came later.
    pub fn dtype(&self) -> &'static str {
        self.kind.map_or("unknown", |kind| kind.name)
    }

    /// How many bytes its elements take in the file, scales included, where the type is read.
    pub fn byte_len(&self) -> Option<usize> {
        let block = self.block().ok()?;
        Some(self.shape.numel() / block.values * block.bytes)
    }

    /// How its elements lie, or that they aren't read.
    pub(super) fn block(&self) -> Result<&'static Block, String> {
        let block = self.kind.ok().and_then(|kind| kind.block.as_ref());
        block.ok_or_else(|| {
            let kind = self.kind.map_or_else(|number| format!("number {number}"), |kind| kind.name.into());
            format!("has elements of type {kind}; {} are read", read())
        })
    }
}

pub(super) struct Header {
    pub metadata: BTreeMap<String, GgufValue>,
    pub tensors: Vec<GgufTensor>,
}

/// Reads the header of a file that `what` is the name of.
pub(super) fn header(from: &mut dyn Source, what: &str) -> Result<Header> {
    let length = from.seek(SeekFrom::End(0)).and_then(|length| from.rewind().map(|()| length));
    let length = length.map_err(|e| Error::format(what, "its end", e.to_string()))?;
    let mut cursor = Cursor { from, what, at: 0, length };
    if cursor.left() < 4 || cursor.next()? != *b"GGUF" {
        return Err(cursor.wrong(0, "this is no GGUF file: it should begin with GGUF"));
    }
    match u32::from_le_bytes(cursor.next()?) {
        2 | 3 => {}
        version if version.swap_bytes() < 1 << 16 => {
            return Err(cursor.wrong(4, "the most significant byte is first; files with it last are read"));
        }
        version => return Err(cursor.wrong(4, format!("version {version} is not 2 or 3"))),
    }
    let tensors = cursor.count(format_args!("tensors"), ENTRY)?;
    let pairs = cursor.count(format_args!("keys"), PAIR)?;
    let mut metadata = BTreeMap::new();
    for _ in 0..pairs {
        let at = cursor.at;
        let key = cursor.text(format_args!("a key"))?;
        let kind = u32::from_le_bytes(cursor.next()?);
        let value = cursor.value(&key, kind, 0)?;
        if let Some(twice) = metadata.insert(key.clone(), value).map(|_| key) {
            return Err(cursor.wrong(at, format!("the key {twice:?} is there twice")));
        }
    }
    let alignment = match metadata.get("general.alignment") {
        None => ALIGNMENT,
        Some(GgufValue::Unsigned(n)) if n.is_power_of_two() => *n,
        Some(other) => {
            let message = format!("general.alignment is {}, not a power of two", other.told());
            return Err(cursor.wrong(cursor.at, message));
        }
    };
    let mut list = Vec::with_capacity(tensors);
    for _ in 0..tensors {
        list.push(cursor.tensor(alignment)?);
    }
    // The places were counted from where the numbers begin.
    let place = |at: u64| {
        let start = cursor.at.checked_next_multiple_of(alignment);
        start.and_then(|start| start.checked_add(at)).unwrap_or(u64::MAX)
    };
    for tensor in &mut list {
        tensor.start = place(tensor.start);
        let GgufTensor { name, shape, start, bytes, .. } = &*tensor;
        if start.saturating_add(*bytes) > length {
            let message = format!(
                "tensor {name:?} of shape {shape} and type {} needs {bytes} bytes, and the file ends at \
                 byte {length}",
                tensor.dtype()
            );
            return Err(cursor.wrong(*start, message));
        }
    }
    separate(&list).map_err(|(at, message)| cursor.wrong(at, message))?;
    Ok(Header { metadata, tensors: list })
}

/// That each tensor has a name and bytes of its own: in those of others a small file could hold any amount of
/// numbers.
fn separate(tensors: &[GgufTensor]) -> Result<(), (u64, String)> {
    let mut names = BTreeSet::new();
    if let Some(twice) = tensors.iter().find(|tensor| !names.insert(&*tensor.name)) {
        return Err((twice.start, format!("the name {:?} is there twice", twice.name)));
    }
    let mut list: Vec<&GgufTensor> = tensors.iter().filter(|tensor| tensor.bytes > 0).collect();
    list.sort_unstable_by_key(|tensor| tensor.start);
    let over = list.windows(2).find(|pair| pair[0].start + pair[0].bytes > pair[1].start);
    over.map_or(Ok(()), |pair| {
        let [a, b] = [&pair[0].name, &pair[1].name];
        Err((pair[1].start, format!("tensors {a:?} and {b:?} lie in the same bytes")))
    })
}

/// A place in a file from which is read.
struct Cursor<'a> {
    from: &'a mut dyn Source,
    what: &'a str,
    at: u64,
    length: u64,
}

impl Cursor<'_> {
    fn wrong(&self, at: u64, message: impl Into<String>) -> Error {
        Error::format(self.what, format!("byte {at}"), message)
    }

    fn left(&self) -> u64 {
        self.length.saturating_sub(self.at)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        if bytes.len() as u64 > self.left() {
            return Err(self.wrong(self.at, "the file ends before its header does"));
        }
        self.from.read_exact(bytes).map_err(|e| self.wrong(self.at, e.to_string()))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn next<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// A number of things, each of which takes `least` bytes or more of what is left. Their name is only made
    /// where it is told: a long key could stand above very many texts.
    fn count(&mut self, what: Arguments, least: u64) -> Result<usize> {
        let at = self.at;
        let count = u64::from_le_bytes(self.next()?);
        let fits = count.checked_mul(least).is_some_and(|bytes| bytes <= self.left());
        usize::try_from(count).ok().filter(|_| fits).ok_or_else(|| {
            let message = format!("{count} {what} have no room in the {} bytes that follow", self.left());
            self.wrong(at, message)
        })
    }

    fn text(&mut self, what: Arguments) -> Result<String> {
        let at = self.at;
        let mut bytes = vec![0; self.count(format_args!("bytes of {what}"), 1)?];
        self.fill(&mut bytes)?;
        String::from_utf8(bytes).map_err(|e| self.wrong(at, format!("{what} is no text in UTF-8: {e}")))
    }

    fn value(&mut self, key: &str, kind: u32, depth: usize) -> Result<GgufValue> {
        /// Through the type in the file to the widest of its kind.
        macro_rules! number {
            ($kind:ident, $t:ty) => {
                GgufValue::$kind(<$t>::from_le_bytes(self.next()?).into())
            };
        }
        let at = self.at;
        Ok(match kind {
            0 => number!(Unsigned, u8),
            1 => number!(Signed, i8),
            2 => number!(Unsigned, u16),
            3 => number!(Signed, i16),
            4 => number!(Unsigned, u32),
            5 => number!(Signed, i32),
            6 => number!(Float, f32),
            7 => match self.next()? {
                [0] => GgufValue::Bool(false),
                [1] => GgufValue::Bool(true),
                [other] => {
                    return Err(self.wrong(at, format!("{key:?} is {other}, not 0 (false) or 1 (true)")));
                }
            },
            8 => GgufValue::Text(self.text(format_args!("the value of {key:?}"))?),
            9 if depth >= DEPTH => {
                return Err(self.wrong(at, format!("{key:?} has more than {DEPTH} lists in each other")));
            }
            9 => {
                let kind = u32::from_le_bytes(self.next()?);
                let least = match kind {
                    2 | 3 => 2,
                    4..=6 => 4,
                    8 | 10..=12 => 8,
                    9 => 12,
                    _ => 1,
                };
                let count = self.count(format_args!("values of {key:?}"), least)?;
                let mut list = Vec::with_capacity(count);
                for _ in 0..count {
                    list.push(self.value(key, kind, depth + 1)?);
                }
                GgufValue::List(list)
            }
            10 => number!(Unsigned, u64),
            11 => number!(Signed, i64),
            12 => number!(Float, f64),
            _ => {
                let message = format!("the value of {key:?} has type {kind}; 0 (u8) to 12 (f64) are known");
                return Err(self.wrong(at, message));
            }
        })
    }

    /// A tensor, whose place is not yet one in the file.
    fn tensor(&mut self, alignment: u64) -> Result<GgufTensor> {
        let at = self.at;
        let name = self.text(format_args!("a tensor's name"))?;
        let rank = u32::from_le_bytes(self.next()?);
        if rank > AXES {
            return Err(self.wrong(at, format!("tensor {name:?} has {rank} axes, and {AXES} are the most")));
        }
        let mut sizes = Vec::new();
        for _ in 0..rank {
            sizes.push(u64::from_le_bytes(self.next()?));
        }
        sizes.reverse();
        let number = u32::from_le_bytes(self.next()?);
        let start = u64::from_le_bytes(self.next()?);
        let kind = Kind::of(number).ok_or(number);
        let block = kind.ok().and_then(|kind| kind.block).map(|b| (b.values as u64, b.bytes as u64));
        // The sizes' product, also of those beside one that is 0, must be a number.
        let most = sizes.iter().try_fold(1u64, |n, &size| n.checked_mul(size.max(1)));
        let most = most.and_then(|n| n.checked_mul(block.map_or(1, |(_, bytes)| bytes)));
        if most.is_none_or(|n| n > isize::MAX as u64) {
            return Err(self.wrong(at, format!("tensor {name:?} of shape {sizes:?} fits into no memory")));
        }
        let row = sizes.last().copied().unwrap_or(1);
        let bytes = match block {
            Some((values, _)) if !row.is_multiple_of(values) => {
                let message = format!(
                    "tensor {name:?} has rows of {row}, and {} has blocks of {values}",
                    kind.map_or("", |kind| kind.name)
                );
                return Err(self.wrong(at, message));
            }
            Some((values, bytes)) => sizes.iter().product::<u64>() / values * bytes,
            None => 0,
        };
        if !start.is_multiple_of(alignment) {
            let message = format!("tensor {name:?} begins at {start}, no multiple of {alignment}");
            return Err(self.wrong(at, message));
        }
        let shape: Shape = sizes.iter().map(|&size| size as usize).collect();
        Ok(GgufTensor { name, shape, kind, start, bytes })
    }
}
