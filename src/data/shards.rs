//! Weights in safetensors files, one or several by an index, as models are passed on. How they come into a
//! model is the business of `train`.
use crate::{
    error::{Error, Result},
    files::{self, Map},
    kernels::packed::{HalfFloat, Packed},
    ops::Float,
    real::half::f16_bits_to_f32,
    tensor::{Shape, Tensor},
};
use safetensors::{Dtype, SafeTensors, tensor::Metadata};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    marker::PhantomData,
    ops::Range,
    path::{Component, Path},
};

/// What a folder has: one file, or an index of several.
const ONE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Tensors in a safetensors file, or in several by the index that lies beside them, as large models are
/// passed on. The files are mapped: what isn't asked for isn't read. So they must not be changed or cut as
/// long as this lives; they may be removed, or replaced by others.
///
/// [`load_safetensors_with`](crate::train::load_safetensors_with) puts the tensors into a model.
///
/// ```
/// use kolmo::{Random, data::Safetensors, nn::Linear, train::save_safetensors};
/// let folder = std::env::temp_dir().join(format!("kolmo_shards_{}", std::process::id()));
/// std::fs::create_dir_all(&folder).unwrap();
/// let layer = Linear::new(3, 2, &mut Random::new(0));
/// save_safetensors(&layer, folder.join("a.safetensors"))?;
/// let index = r#"{"weight_map": {"weight": "a.safetensors", "bias": "a.safetensors"}}"#;
/// std::fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
///
/// let file = Safetensors::open(&folder)?;
/// let names: Vec<&str> = file.tensors().iter().map(|tensor| tensor.name()).collect();
/// assert_eq!(names, ["bias", "weight"]);
/// assert_eq!(file.tensor::<f32>("weight")?, layer.weight.value());
/// # std::fs::remove_dir_all(folder).unwrap();
/// # Ok::<(), kolmo::Error>(())
/// ```
pub struct Safetensors {
    what: String,
    files: Vec<Map>,
    tensors: Vec<SafetensorsTensor>,
}

/// A tensor in a safetensors file: its name, shape and type.
#[derive(Clone, Debug)]
pub struct SafetensorsTensor {
    name: String,
    shape: Shape,
    dtype: Dtype,
    file: usize,
    bytes: Range<usize>,
}

impl SafetensorsTensor {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The sizes of the axes.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The element type's name in the format, such as `F32` or `BF16`.
    pub fn dtype(&self) -> String {
        format!("{:?}", self.dtype)
    }
}

#[derive(Deserialize)]
struct Index {
    weight_map: Pairs<String>,
}

impl Safetensors {
    /// Maps a safetensors file; all files that an index names, a `.json` with a `weight_map`; or of a folder
    /// its `model.safetensors` or `model.safetensors.index.json`. The headers are read. An index names files
    /// that lie beside it, and each tensor in them once; what it says of sizes isn't looked at.
    ///
    /// # Errors
    /// A file can't be read, is none, or is damaged or cut off; an index that names files elsewhere, or
    /// that doesn't name the tensors that are there.
    #[doc(alias("safe_open", "load_file"))]
    pub fn open(path: impl AsRef<Path>) -> Result<Safetensors> {
        Safetensors::open_at(path.as_ref())
    }

    fn open_at(path: &Path) -> Result<Safetensors> {
        let path = match (files::is_folder(path), path.join(ONE)) {
            (false, _) => path.to_path_buf(),
            (true, one) if files::exists(&one) => one,
            (true, _) => path.join(INDEX),
        };
        let what = path.display().to_string();
        let mut all = Safetensors { what, files: Vec::new(), tensors: Vec::new() };
        match path.extension().is_some_and(|end| end == "json") {
            true => all.add_shards(&path)?,
            false => all.add(&path)?,
        }
        all.tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The files that an index names.
    fn add_shards(&mut self, path: &Path) -> Result<()> {
        let wrong = |message: String| Error::format(path.display().to_string(), "its weight_map", message);
        let Index { weight_map: Pairs(pairs) } = serde_json::from_str(&files::read_text(path)?)
            .map_err(|e| Error::format(path.display().to_string(), "its text", format!("no index: {e}")))?;
        if let Some(name) = twice(&pairs) {
            return Err(wrong(format!("the name {name:?} is there twice")));
        }
        let place: BTreeMap<&str, &str> = pairs.iter().map(|(name, file)| (&**name, &**file)).collect();
        for (name, file) in &place {
            let mut parts = Path::new(file).components();
            let plain = matches!(parts.next(), Some(Component::Normal(_))) && parts.next().is_none();
            if !plain || file.contains(['/', '\\', ':', '\0']) {
                return Err(wrong(format!("{name:?} is to be in {file:?}: shards lie beside the index")));
            }
        }
        for &file in &place.values().collect::<BTreeSet<_>>() {
            let (before, shard) = (self.tensors.len(), path.with_file_name(file));
            if !files::exists(&shard) {
                return Err(wrong(format!("there is no file {file:?} beside the index")));
            }
            self.add(&shard)?;
            for SafetensorsTensor { name, .. } in &self.tensors[before..] {
                match place.get(&**name) {
                    Some(found) if found == file => {}
                    Some(found) => {
                        return Err(wrong(format!("{name:?} is to be in {found:?}, and is in {file:?}")));
                    }
                    None => return Err(wrong(format!("{name:?} is in {file:?}, and not in the index"))),
                }
            }
        }
        let found: BTreeSet<&str> = self.tensors.iter().map(|tensor| &*tensor.name).collect();
        match place.iter().find(|(name, _)| !found.contains(*name)) {
            Some((name, file)) => Err(wrong(format!("{name:?} is to be in {file:?}, and isn't"))),
            None => Ok(()),
        }
    }

    fn add(&mut self, path: &Path) -> Result<()> {
        let map = Map::open(path)?;
        let (_, metadata, start) = opened(map.bytes()).map_err(|message| {
            Error::format(path.display().to_string(), "its header", format!("no safetensors file: {message}"))
        })?;
        // In an order that is the same each time, and errors with it.
        for (name, info) in metadata.tensors().into_iter().collect::<BTreeMap<_, _>>() {
            let (from, to) = info.data_offsets;
            let shape = info.shape.iter().copied().collect();
            let bytes = start + from..start + to;
            self.tensors.push(SafetensorsTensor {
                name,
                shape,
                dtype: info.dtype,
                file: self.files.len(),
                bytes,
            });
        }
        self.files.push(map);
        Ok(())
    }

    /// The tensors, in the order of their names.
    pub fn tensors(&self) -> &[SafetensorsTensor] {
        &self.tensors
    }

    /// The values of a tensor as floats. No more of the file is read.
    ///
    /// # Errors
    /// There is no tensor of this name; its type isn't read.
    pub fn tensor<T: Float>(&self, name: &str) -> Result<Tensor<T>> {
        let found = self.find(name)?;
        self.read(found).map_err(|message| self.wrong(name, message))
    }

    /// A tensor as the file holds it: floats of 16 bits in two axes or more stay so.
    ///
    /// # Errors
    /// As [`tensor`](Safetensors::tensor).
    pub fn packed_tensor<T: Float>(&self, name: &str) -> Result<Tensor<T>> {
        let found = self.find(name)?;
        self.read_packed(found).map_err(|message| self.wrong(name, message))
    }

    pub(crate) fn read<T: Float>(&self, tensor: &SafetensorsTensor) -> Result<Tensor<T>, String> {
        let SafetensorsTensor { shape, dtype, file, bytes, .. } = tensor;
        let bytes = self.files.get(*file).and_then(|map| map.bytes().get(bytes.clone()));
        values(*dtype, bytes.unwrap_or_default(), shape)
    }

    pub(crate) fn read_packed<T: Float>(&self, tensor: &SafetensorsTensor) -> Result<Tensor<T>, String> {
        let value = self.read(tensor)?;
        let half = match tensor.dtype {
            Dtype::F16 => HalfFloat::F16,
            Dtype::BF16 => HalfFloat::Bf16,
            _ => return Ok(value),
        };
        if value.rank() < 2 || value.numel() == 0 {
            return Ok(value);
        }
        Ok(Packed::half(&value, half)?.into())
    }

    fn find(&self, name: &str) -> Result<&SafetensorsTensor> {
        let found = self.tensors.binary_search_by(|tensor| tensor.name.as_str().cmp(name));
        found.ok().and_then(|at| self.tensors.get(at)).ok_or_else(|| {
            self.wrong(name, format!("there are {} tensors, and none of this name", self.tensors.len()))
        })
    }

    fn wrong(&self, name: &str, message: String) -> Error {
        Error::format(&*self.what, format!("{name:?}"), message)
    }
}

impl fmt::Debug for Safetensors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Safetensors { what, files, tensors } = self;
        let mut shown = f.debug_struct("Safetensors");
        shown.field("file", what).field("files", &files.len()).field("tensors", &tensors.len()).finish()
    }
}

/// The tensors of a safetensors file, its header, and where the numbers begin; or what is wrong with it.
pub(crate) fn opened(bytes: &[u8]) -> Result<(SafeTensors<'_>, Metadata, usize), String> {
    // Of a name that is there twice the second tensor would count, and the gap that the first leaves be
    // complained of.
    if let Some(name) = header(bytes).and_then(|Pairs(pairs)| twice(&pairs)) {
        return Err(format!("the name {name:?} is there twice"));
    }
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
    let (length, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
    Ok((file, metadata, 8 + length))
}

/// The names in a header, if it is one.
fn header(bytes: &[u8]) -> Option<Pairs<IgnoredAny>> {
    let (len, rest) = bytes.split_first_chunk::<8>()?;
    serde_json::from_slice(rest.get(..usize::try_from(u64::from_le_bytes(*len)).ok()?)?).ok()
}

/// A name that is there twice.
fn twice<V>(pairs: &[(String, V)]) -> Option<String> {
    let mut names: Vec<&String> = pairs.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone())
}

/// The pairs of an object, also of names that are there twice.
struct Pairs<V>(Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Pairs<V>, D::Error> {
        struct Map<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Map<V> {
            type Value = Pairs<V>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object with names")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<V>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        from.deserialize_map(Map(PhantomData))
    }
}

/// The numbers of a tensor of a file.
pub(crate) fn values<T: Float>(dtype: Dtype, data: &[u8], shape: &Shape) -> Result<Tensor<T>, String> {
    fn words<T: Float, const N: usize>(data: &[u8], f: impl Fn([u8; N]) -> f64) -> Vec<T> {
        data.as_chunks::<N>().0.iter().map(|&word| T::from_f64(f(word))).collect()
    }
    let numbers = match dtype {
        Dtype::F16 => words(data, |w| f16_bits_to_f32(u16::from_le_bytes(w)).into()),
        Dtype::BF16 => words(data, |w| f32::from_bits(u32::from(u16::from_le_bytes(w)) << 16).into()),
        Dtype::F32 => words(data, |w| f32::from_le_bytes(w).into()),
        Dtype::F64 => words(data, f64::from_le_bytes),
        Dtype::I32 => words(data, |w| i32::from_le_bytes(w).into()),
        Dtype::I64 => words(data, |w| i64::from_le_bytes(w) as f64),
        Dtype::U8 => words(data, |[b]| b.into()),
        Dtype::I8 => words(data, |[b]| (b as i8).into()),
        other => {
            return Err(format!(
                "has elements of type {other:?}; F16, BF16, F32, F64, I32, I64, I8 and U8 are read"
            ));
        }
    };
    Tensor::new(shape, numbers).map_err(|e| e.to_string())
}
