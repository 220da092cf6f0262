//! Weights of language models as llama.cpp keeps them: GGUF files of version 2 and 3, by
//! [their description](https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). How they come into a model
//! is the business of `train`.
mod blocks;
mod header;
mod value;

pub use header::GgufTensor;
pub use value::{GgufField, GgufValue};

use crate::{
    error::{Error, Result},
    files,
    kernels::packed::{HalfFloat, Packed, Parts, Values},
    ops::Float,
    tensor::{Tensor, room::filled},
};
use blocks::{Block, Held, Lists, Worth};
use header::{Header, Source, header};
use std::{
    collections::BTreeMap,
    fmt,
    io::{Cursor, SeekFrom},
    path::Path,
    sync::{Mutex, PoisonError},
};

/// Values that are unpacked at a time: whole blocks of every type.
const PIECE: usize = 1 << 13;

/// A GGUF file, as llama.cpp keeps language models: its metadata, its tensors, and a tensor's values when
/// they are asked for, as numbers of 32 or 64 bits. Types `F32`, `F16`, `BF16`, `Q4_0`, `Q4_1`, `Q5_0`,
/// `Q5_1`, `Q8_0`, `Q2_K` to `Q6_K`, `IQ4_NL`, `IQ4_XS` and `MXFP4` are read; a file may have others beside them. [Its
/// description](https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) says what there is in it.
///
/// [`load_gguf`](crate::train::load_gguf) puts the tensors into a model.
///
/// ```
/// use kolmo::data::Gguf;
/// // A file with one key and one tensor: two rows of a block of 32 whole numbers, each with its scale.
/// let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
/// let (u32, u64) = (|v: u32| v.to_le_bytes().to_vec(), |v: u64| v.to_le_bytes().to_vec());
/// let head = [b"GGUF".to_vec(), u32(3), u64(1), u64(1)].concat();
/// let key = [text("tiny.block_count"), u32(4), u32(7)].concat();
/// let tensor = [text("w"), u32(2), u64(32), u64(2), u32(8), u64(0)].concat();
/// let mut bytes = [head, key, tensor].concat();
/// bytes.resize(bytes.len().next_multiple_of(32), 0);
/// for scale in [0x3c00u16, 0x3800] {
///     // 1 and 1/2, in 16 bits.
///     bytes.extend(scale.to_le_bytes());
///     bytes.extend((0..32).map(|i| i - 16i8).map(|code| code as u8));
/// }
///
/// let file = Gguf::parse(bytes)?;
/// assert_eq!(file.value::<usize>("tiny.block_count")?, 7);
/// let w = &file.tensors()[0];
/// assert_eq!((w.name(), &w.shape()[..], w.dtype()), ("w", &[2, 32][..], "Q8_0"));
/// let values = file.tensor::<f32>("w")?;
/// assert_eq!((values.get(&[0, 0]), values.get(&[1, 31])), (Some(-16.0), Some(7.5)));
/// # Ok::<(), kolmo::Error>(())
/// ```
pub struct Gguf {
    what: String,
    metadata: BTreeMap<String, GgufValue>,
    tensors: Vec<GgufTensor>,
    /// Read by one at a time, since it has one position.
    source: Mutex<Box<dyn Source>>,
}

impl Gguf {
    /// Opens a file and reads what stands before its numbers. It stays open: what is read later is of the
    /// same file, whatever takes its name.
    ///
    /// # Errors
    /// The file can't be read, is no GGUF file of version 2 or 3, or is damaged or cut off: names that are
    /// there twice, texts that aren't UTF-8, tensors that lie in each other's bytes or behind the end.
    #[doc(alias = "GGUFReader")]
    pub fn open(path: impl AsRef<Path>) -> Result<Gguf> {
        Gguf::open_at(path.as_ref())
    }

    fn open_at(path: &Path) -> Result<Gguf> {
        Gguf::of(path.display().to_string(), Box::new(files::open(path)?))
    }

    /// The same of the bytes of a file.
    ///
    /// # Errors
    /// As [`open`](Gguf::open).
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Result<Gguf> {
        Gguf::of("gguf".into(), Box::new(Cursor::new(bytes.into())))
    }

    fn of(what: String, mut source: Box<dyn Source>) -> Result<Gguf> {
        let Header { metadata, tensors } = header(&mut *source, &what)?;
        Ok(Gguf { what, metadata, tensors, source: Mutex::new(source) })
    }

    /// All metadata by their keys.
    pub fn metadata(&self) -> &BTreeMap<String, GgufValue> {
        &self.metadata
    }

    /// The value of a key as a type of Rust: `file.value::<usize>("llama.block_count")`,
    /// `file.value::<Vec<&str>>("tokenizer.ggml.tokens")`.
    ///
    /// # Errors
    /// There is no such key; its value is another kind of thing, or doesn't fit the type.
    pub fn value<'a, V: GgufField<'a>>(&'a self, key: &str) -> Result<V> {
        let Some(value) = self.metadata.get(key) else {
            let keys: Vec<&str> = self.metadata.keys().take(100).map(String::as_str).collect();
            return Err(self.wrong("its metadata", format!("no {key:?}; there are {}", keys.join(", "))));
        };
        V::of(value).ok_or_else(|| {
            self.wrong("its metadata", format!("{key:?} is {}, not {}", value.told(), V::wanted()))
        })
    }

    /// The tensors, in the file's order.
    pub fn tensors(&self) -> &[GgufTensor] {
        &self.tensors
    }

    /// The values of a tensor. No more of the file is read.
    ///
    /// # Errors
    /// There is no tensor of this name; its type isn't read; the file can't be read, or there is no room.
    pub fn tensor<T: Float>(&self, name: &str) -> Result<Tensor<T>> {
        let found = self.find(name)?;
        self.read(found).map_err(|message| self.wrong(&format!("{name:?}"), message))
    }

    /// A tensor as the file holds it: weights in few bits stay so, and become floats only where they are used
    /// one by one. Vectors and floats of 32 bits are plain.
    ///
    /// ```no_run
    /// let file = kolmo::data::Gguf::open("model.gguf")?;
    /// let weight = file.packed_tensor::<f32>("blk.0.ffn_up.weight")?;
    /// println!("{:?}", weight.packed());
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`tensor`](Gguf::tensor).
    pub fn packed_tensor<T: Float>(&self, name: &str) -> Result<Tensor<T>> {
        let found = self.find(name)?;
        self.read_packed(found).map_err(|message| self.wrong(&format!("{name:?}"), message))
    }

    /// The values of one of the file's tensors, or why they can't be had.
    pub(crate) fn read<T: Float>(&self, tensor: &GgufTensor) -> Result<Tensor<T>, String> {
        let block = tensor.block()?;
        Tensor::try_build(tensor.shape().clone(), |values| {
            let mut floats = vec![0.0; values.len().min(PIECE)];
            let mut pieces = values.chunks_mut(PIECE);
            self.each(tensor, block, |bytes| {
                block.unpack(bytes, &mut floats);
                let values = pieces.next().unwrap_or_default().iter_mut();
                values.zip(&floats).for_each(|(v, &float)| *v = T::from_f64(float.into()));
            })
        })
    }

    /// One of the file's tensors as the file holds it.
    pub(crate) fn read_packed<T: Float>(&self, tensor: &GgufTensor) -> Result<Tensor<T>, String> {
        let (block, shape) = (tensor.block()?, tensor.shape());
        if shape.rank() < 2 || shape.numel() == 0 {
            return self.read(tensor);
        }
        let coded = match block.held {
            Held::F32 => return self.read(tensor),
            Held::F16 => return Ok(Packed::half(&self.read(tensor)?, HalfFloat::F16)?.into()),
            Held::Bf16 => return Ok(Packed::half(&self.read(tensor)?, HalfFloat::Bf16)?.into()),
            Held::Codes(coded) => coded,
        };
        let groups = shape.numel() / coded.group;
        let offset_count = if coded.offsets { groups } else { 0 };
        let mut codes = filled(shape.numel(), 0u8)?;
        let (mut scales, mut offsets) = (filled(groups, 0.0)?, filled(offset_count, 0.0)?);
        let mut at = 0;
        self.each(tensor, block, |bytes| {
            let values = at..at + bytes.len() / block.bytes * block.values;
            let own =
                |list: &mut [f32]| values.start / coded.group..(values.end / coded.group).min(list.len());
            let (of_scales, of_offsets) = (own(&mut scales), own(&mut offsets));
            let lists = Lists {
                codes: &mut codes[values.clone()],
                scales: &mut scales[of_scales],
                offsets: if coded.offsets { &mut offsets[of_offsets] } else { &mut [] },
            };
            (coded.take)(bytes, lists);
            at = values.end;
        })?;
        let floats = |list: &[f32]| -> Vec<T> { list.iter().map(|&v| T::from_f64(v.into())).collect() };
        let (scales, offsets) = (floats(&scales), floats(&offsets));
        let parts = Parts {
            bits: coded.bits,
            codes: &|i| codes[i],
            values: match coded.worth {
                Worth::From(low) => Values::From(low),
                Worth::Table(table) => {
                    let at = |code: usize| T::from_f64(table.get(code).copied().unwrap_or_default().into());
                    Values::Table(Box::new(std::array::from_fn(at)))
                }
            },
            pruned: None,
            group: coded.group,
            scales: Some(&scales),
            zeros: None,
            offsets: coded.offsets.then_some(&offsets[..]),
        };
        Ok(Packed::of_codes(shape, &parts)?.into())
    }

    /// The bytes of a tensor, so many whole blocks at a time as [`PIECE`] values have.
    fn each(&self, tensor: &GgufTensor, block: &Block, mut f: impl FnMut(&[u8])) -> Result<(), String> {
        let broken = |e: std::io::Error| e.to_string();
        let mut bytes = vec![0; tensor.shape().numel().min(PIECE) / block.values * block.bytes];
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        source.seek(SeekFrom::Start(tensor.start)).map_err(broken)?;
        let mut left = tensor.shape().numel();
        while left > 0 {
            let values = left.min(PIECE);
            let bytes = &mut bytes[..values / block.values * block.bytes];
            source.read_exact(bytes).map_err(broken)?;
            f(bytes);
            left -= values;
        }
        Ok(())
    }

    fn find(&self, name: &str) -> Result<&GgufTensor> {
        let found = self.tensors.iter().find(|tensor| tensor.name() == name);
        found.ok_or_else(|| {
            let message = format!("the file has {} tensors, and none of this name", self.tensors.len());
            self.wrong(&format!("{name:?}"), message)
        })
    }

    fn wrong(&self, at: &str, message: String) -> Error {
        Error::format(&*self.what, at, message)
    }
}

impl fmt::Debug for Gguf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gguf { what, metadata, tensors, .. } = self;
        let mut shown = f.debug_struct("Gguf");
        shown.field("file", what).field("metadata", &metadata.len()).field("tensors", &tensors.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> Vec<u8> {
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/gguf/types.gguf")).unwrap()
    }

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
    }

    fn key(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
        [&text(name)[..], &kind.to_le_bytes(), value].concat()
    }

    fn tensor(name: &str, sizes: &[u64], kind: u32, start: u64) -> Vec<u8> {
        let sizes_there = sizes.iter().flat_map(|size| size.to_le_bytes()).collect();
        let rank = (sizes.len() as u32).to_le_bytes().to_vec();
        [text(name), rank, sizes_there, kind.to_le_bytes().to_vec(), start.to_le_bytes().to_vec()].concat()
    }

    /// A file of these, and 128 bytes of numbers.
    fn file(keys: &[Vec<u8>], tensors: &[Vec<u8>]) -> Vec<u8> {
        let counts = [tensors.len() as u64, keys.len() as u64].map(u64::to_le_bytes).concat();
        let mut bytes = [&b"GGUF\x03\0\0\0"[..], &counts, &keys.concat(), &tensors.concat()].concat();
        bytes.resize(bytes.len().next_multiple_of(32) + 128, 0);
        bytes
    }

    fn refused(bytes: Vec<u8>, part: &str) {
        let error = Gguf::parse(bytes).unwrap_err().to_string();
        assert!(error.starts_with("gguf: at byte ") && error.contains(part), "{error}: expected {part}");
    }

    #[test]
    fn metadata_of_every_type_and_nothing_else() {
        let mut bytes = fixture();
        for version in [3, 2] {
            bytes[4] = version;
            let file = Gguf::parse(bytes.clone()).unwrap();
            assert_eq!((file.metadata().len(), file.tensors().len()), (16, 16));
            assert_eq!(file.value::<u64>("of.u64").unwrap(), u64::MAX);
            assert_eq!(file.value::<i64>("of.i64").unwrap(), i64::MIN);
            assert_eq!((file.value::<u8>("of.u8").unwrap(), file.value::<i8>("of.i8").unwrap()), (200, -100));
            let sixteen = (file.value::<u16>("of.u16").unwrap(), file.value::<i16>("of.i16").unwrap());
            assert_eq!(sixteen, (60_000, -30_000));
            let both = (file.value::<u32>("of.u32").unwrap(), file.value::<i32>("of.i32").unwrap());
            assert_eq!(both, (4_000_000_000, -2_000_000_000));
            assert_eq!((file.value("of.f32").unwrap(), file.value("of.f64").unwrap()), (0.1f32, 0.1f64));
            assert!(file.value::<bool>("of.bool").unwrap());
            assert_eq!(file.value::<&str>("of.text").unwrap(), "größer");
            assert_eq!(file.value::<Vec<&str>>("of.texts").unwrap(), ["a", "", "▁the"]);
            assert_eq!(file.value::<Vec<f64>>("of.numbers").unwrap(), [1.5, -2.0]);
            let error = file.value::<u8>("of.u16").unwrap_err().to_string();
            assert!(error.contains("\"of.u16\" is 60000, not a whole number that fits u8"), "{error}");
            let error = file.value::<u8>("of").unwrap_err().to_string();
            assert!(error.contains("no \"of\"; there are general.alignment, general.arch"), "{error}");
        }
    }

    #[test]
    fn a_tensor_is_read_by_name_as_either_float() {
        let path = std::env::temp_dir().join(format!("kolmo-types-{}.gguf", std::process::id()));
        std::fs::write(&path, fixture()).unwrap();
        let file = Gguf::open(&path).unwrap();
        // Whatever takes its name.
        std::fs::remove_file(&path).unwrap();
        let fourth = &file.tensors()[3];
        assert_eq!((fourth.dtype(), &fourth.shape()[..]), ("Q4_0", &[2, 32][..]));
        assert_eq!(file.tensors()[0].shape(), &[3, 2, 5]);
        assert_eq!((fourth.byte_len(), file.tensors()[0].byte_len()), (Some(36), Some(120)));
        for tensor in file.tensors() {
            let (a, b) = (file.tensor::<f32>(tensor.name()), file.tensor::<f64>(tensor.name()));
            assert_eq!(a.unwrap().cast::<f64>(), b.unwrap(), "{tensor:?}");
        }
        let error = file.tensor::<f32>("q4").unwrap_err().to_string();
        assert!(error.contains(".gguf: at \"q4\": the file has 16 tensors"), "{error}");
    }

    #[test]
    fn types_that_are_not_read_are_named_beside_those_that_are() {
        let list = [tensor("a", &[256], 16, 0), tensor("b", &[7], 77, 32), tensor("c", &[16], 0, 64)];
        let file = Gguf::parse(file(&[], &list)).unwrap();
        assert_eq!([0, 1].map(|i| file.tensors()[i].dtype()), ["IQ2_XXS", "unknown"]);
        for (name, part) in [("a", "type IQ2_XXS; F32, F16, BF16, Q4_0,"), ("b", "type number 77; F32")] {
            let error = file.tensor::<f32>(name).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("MXFP4 are read"), "{error}");
        }
        assert_eq!(file.tensor::<f32>("c").unwrap(), Tensor::zeros([16]));
    }

    #[test]
    fn what_does_not_hold_together_is_told_with_its_place() {
        let one = |t: Vec<u8>| file(&[], &[t]);
        let pair = |name: &str, kind: u32, value: &[u8]| file(&[key(name, kind, value)], &[]);
        refused(b"GGML".to_vec(), "at byte 0: this is no GGUF file");
        refused(b"GGUF\x01\0\0\0".to_vec(), "version 1 is not 2 or 3");
        refused(b"GGUF\0\0\0\x03".to_vec(), "most significant byte is first");
        refused([&b"GGUF\x03\0\0\0"[..], &[255; 16]].concat(), "18446744073709551615 tensors have no room");
        refused(pair("a", 8, &[255; 8]), "bytes of the value of \"a\" have no room");
        refused(pair("a", 8, &[1, 0, 0, 0, 0, 0, 0, 0, 0xff]), "\"a\" is no text in UTF-8");
        refused(pair("a", 7, &[2]), "\"a\" is 2, not 0 (false) or 1 (true)");
        refused(pair("a", 13, &[]), "\"a\" has type 13; 0 (u8) to 12 (f64)");
        refused(
            pair("a", 9, &[0, 0, 0, 0, 255, 255, 0, 0, 0, 0, 0, 0]),
            "65535 values of \"a\" have no room",
        );
        let nested = [9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0].repeat(1000);
        refused(pair("a", 9, &nested), "more than 4 lists in each other");
        refused(pair("general.alignment", 4, &[48, 0, 0, 0]), "general.alignment is 48, not a power of two");
        refused(pair("general.alignment", 7, &[1]), "general.alignment is true, not a power of two");
        refused(file(&[key("a", 0, &[1]), key("a", 0, &[1])], &[]), "the key \"a\" is there twice");
        refused(one(tensor("w", &[1; 5], 0, 0)), "\"w\" has 5 axes, and 4 are the most");
        refused(one(tensor("w", &[1 << 33, 1 << 33], 0, 0)), "[8589934592, 8589934592] fits into no memory");
        refused(one(tensor("w", &[0, 1 << 33, 1 << 33], 0, 0)), "fits into no memory");
        refused(one(tensor("w", &[33], 2, 0)), "\"w\" has rows of 33, and Q4_0 has blocks of 32");
        refused(one(tensor("w", &[], 2, 0)), "rows of 1, and Q4_0");
        refused(one(tensor("w", &[4], 0, 8)), "begins at 8, no multiple of 32");
        refused(one(tensor("w", &[33], 0, 0)), "shape [33] and type F32 needs 132 bytes, and the file ends");
        refused(one(tensor("w", &[4], 0, u64::MAX - 31)), "needs 16 bytes, and the file ends");
        let two = |a: &str, size, at| file(&[], &[tensor(a, &[size], 0, 0), tensor("b", &[1], 0, at)]);
        refused(two("b", 1, 32), "the name \"b\" is there twice");
        refused(two("a", 9, 32), "tensors \"a\" and \"b\" lie in the same bytes");
        assert!(Gguf::parse(two("a", 8, 32)).is_ok());
        let wide = file(&[key("general.alignment", 10, &[0, 0, 0, 0, 0, 0, 0, 128])], &[]);
        assert!(Gguf::parse(wide).is_ok(), "no tensors, and so no place for one");
    }

    #[test]
    fn damage_is_an_error_and_no_panic() {
        let good = fixture();
        let starts =
            Gguf::parse(&good[..]).unwrap().tensors().iter().map(|t| t.start as usize).min().unwrap();
        for cut in 0..good.len() {
            // The last tensor's bytes end with the file, but for what fills it up.
            if let Ok(file) = Gguf::parse(&good[..cut]) {
                assert!(cut > good.len() - 64 && file.tensor::<f32>("mxfp4.weight").is_ok(), "{cut}");
            }
        }
        for at in 0..starts {
            for flip in [1u8, 0x10, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= flip;
                let Ok(file) = Gguf::parse(bad) else { continue };
                file.tensors().iter().for_each(|t| drop(file.tensor::<f32>(t.name())));
            }
        }
    }
}
