//! Weights as safetensors files, by the dotted names of parameters. Names and layouts are PyTorch's: a model
//! whose fields are named as there reads what `safetensors.torch.save_file(model.state_dict(), …)` wrote, and
//! the other way round. NumPy's and GGUF files go the same way.
use super::loading::{Fields, LoadOptions, LoadReport, Stored, Unfit, load};
#[cfg(feature = "npz")]
use crate::data::{NpyArray, read_npz, write_npz};
use crate::{
    data::{Gguf, GgufTensor, Safetensors, SafetensorsTensor, opened, values},
    error::{Error, Result},
    files::write_readable,
    ops::Float,
    tensor::{Shape, Tensor},
};
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorInfo, TensorView},
};
use serde::Serialize;
use std::{collections::HashMap, fmt, ops::Range, path::Path};

/// Writes the parameters of the model, as the model uses them (masked, from their codebooks), in full
/// precision. The file is whole or not there.
///
/// ```
/// use kolmo::{Random, nn::Linear, train::{load_safetensors, save_safetensors}};
/// let layer = |seed| Linear::new(3, 2, &mut Random::new(seed));
/// let (a, b) = (layer(0), layer(1));
/// let path = std::env::temp_dir().join(format!("kolmo_weights_{}.safetensors", std::process::id()));
/// save_safetensors(&a, &path)?;
/// load_safetensors(&b, &path)?;
/// assert_eq!(a.weight.value(), b.weight.value());
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// The file can't be written; a parametrisation fails.
#[doc(alias("save", "save_file", "state_dict"))]
pub fn save_safetensors<M: Serialize + ?Sized>(model: &M, path: impl AsRef<Path>) -> Result<()> {
    save_fields(Fields::of(model), path.as_ref())
}

fn save_fields(fields: Fields, path: &Path) -> Result<()> {
    let mut entries = Vec::new();
    for (name, p) in fields.singles {
        entries.push(Entry::new(name, &p.effective()?));
    }
    for (name, p) in fields.doubles {
        entries.push(Entry::new(name, &p.effective()?));
    }
    write(path, "save_safetensors", entries, None, |bytes| {
        opened(bytes).map(|_| ()).map_err(|message| Error::invalid("save_safetensors", message))
    })
}

/// A tensor of a file.
pub(super) struct Entry {
    pub name: String,
    dtype: Dtype,
    shape: Shape,
    pub data: Vec<u8>,
}

impl Entry {
    pub(super) fn new<T: Float>(name: String, value: &Tensor<T>) -> Entry {
        let (dtype, data) = match size_of::<T>() {
            4 => {
                (Dtype::F32, value.to_vec().iter().flat_map(|v| (v.to_f64() as f32).to_le_bytes()).collect())
            }
            _ => (Dtype::F64, value.to_vec().iter().flat_map(|v| v.to_f64().to_le_bytes()).collect()),
        };
        Entry { name, dtype, shape: value.shape().clone(), data }
    }

    /// Keeps of a tensor of this shape the bytes of a range of its elements, unless it is that already. Gives
    /// where they begin.
    pub(super) fn cut(&mut self, whole: &Shape, range: Range<usize>) -> usize {
        let size = self.dtype.bitsize() / 8;
        let bytes = range.start * size..range.end * size;
        if self.data.len() != bytes.len() {
            self.data = self.data.get(bytes.clone()).unwrap_or_default().to_vec();
        }
        self.shape = whole.clone();
        bytes.start
    }

    /// How many bytes all of it has.
    pub(super) fn len(&self) -> usize {
        self.shape.numel() * self.dtype.bitsize() / 8
    }

    /// FNV-1a of what is in a header of it.
    pub(super) fn hash(&self, start: u64) -> u64 {
        let text = format!("{} {} {};", self.name, self.dtype, self.shape);
        text.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// Numbers of a type as they are.
    pub(super) fn raw(name: String, dtype: Dtype, shape: Shape, data: Vec<u8>) -> Entry {
        Entry { name, dtype, shape, data }
    }

    /// What was read.
    pub(super) fn of(name: String, view: &TensorView) -> Entry {
        let shape = view.shape().iter().copied().collect();
        Entry { name, dtype: view.dtype(), shape, data: view.data().to_vec() }
    }

    /// Its numbers as those of a tensor.
    pub(super) fn value<T: Float>(&self) -> Result<Tensor<T>, String> {
        values(self.dtype, &self.data, &self.shape)
    }

    pub(super) fn mask(name: String, value: &Tensor<bool>) -> Entry {
        let data = value.to_vec().into_iter().map(u8::from).collect();
        Entry { name, dtype: Dtype::BOOL, shape: value.shape().clone(), data }
    }

    pub(super) fn bytes(name: String, bytes: &[u8]) -> Entry {
        Entry { name, dtype: Dtype::U8, shape: [bytes.len()].into(), data: bytes.to_vec() }
    }

    pub(super) fn codes(name: String, value: &Tensor<u32>) -> Entry {
        let data = value.to_vec().iter().flat_map(|v| v.to_le_bytes()).collect();
        Entry { name, dtype: Dtype::U32, shape: value.shape().clone(), data }
    }
}

/// What a file of such tensors begins with, as [`safetensors::serialize`] makes it, and where the tensors are
/// behind that.
pub(super) fn header(
    what: &'static str,
    entries: &[Entry],
    metadata: Option<HashMap<String, String>>,
) -> Result<(Vec<u8>, Vec<usize>)> {
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by(|&a, &b| {
        let (a, b) = (&entries[a], &entries[b]);
        b.dtype.cmp(&a.dtype).then(a.name.cmp(&b.name))
    });
    let (mut starts, mut tensors, mut end) = (vec![0; entries.len()], Vec::new(), 0);
    for i in order {
        let Entry { name, dtype, shape, .. } = &entries[i];
        starts[i] = end;
        end += entries[i].len();
        let info = TensorInfo { dtype: *dtype, shape: shape.to_vec(), data_offsets: (starts[i], end) };
        tensors.push((name.clone(), info));
    }
    let wrong = |e: &dyn fmt::Display| Error::invalid(what, e.to_string());
    let all = Metadata::new(metadata, tensors).map_err(|e| wrong(&e))?;
    let mut json = serde_json::to_vec(&all).map_err(|e| wrong(&e))?;
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend(json);
    Ok((bytes, starts))
}

/// Writes a file that `read` can read, whole or not at all.
pub(super) fn write(
    path: &Path,
    what: &'static str,
    entries: Vec<Entry>,
    metadata: Option<HashMap<String, String>>,
    read: impl FnOnce(&[u8]) -> Result<()>,
) -> Result<()> {
    let wrong = |e: safetensors::SafeTensorError| Error::invalid(what, e.to_string());
    let mut views = Vec::new();
    for e in &entries {
        views.push((e.name.as_str(), TensorView::new(e.dtype, e.shape.to_vec(), &e.data).map_err(wrong)?));
    }
    let file = safetensors::serialize(views, metadata).map_err(wrong)?;
    write_readable(path, &file, read)
}

/// Puts the tensors of a file into the parameters of the same names. 16-bit floats, `f32`, `f64` and whole
/// numbers are converted. Masks, codebooks and own operations of a parameter are gone then. The file may be
/// several, by an index, or be in a folder: see [`Safetensors::open`]. What the model has no name for isn't
/// read; as long as this runs nobody may cut the file.
///
/// # Errors
/// The file can't be read or is damaged; names that it lacks or has too many, shapes that differ: all of them
/// are told at once, and the model is as it was.
#[doc(alias("load_state_dict", "load_file", "torch.load"))]
pub fn load_safetensors<M: Serialize + ?Sized>(model: &M, path: impl AsRef<Path>) -> Result<()> {
    load_fields(Fields::of(model), path.as_ref(), &LoadOptions::new()).map(drop)
}

/// [`load_safetensors`] of a part of a file, or into a part of a model, as the options say; and what became
/// of which name.
///
/// ```
/// use kolmo::{Random, nn::Linear, train::{LoadOptions, load_safetensors_with, save_safetensors}};
/// #[derive(serde::Serialize)]
/// struct Trained { encoder: Linear, head: Linear }
/// #[derive(serde::Serialize)]
/// struct New { body: Linear, classes: Linear }
/// let rng = &mut Random::new(0);
/// let trained = Trained { encoder: Linear::new(4, 3, rng), head: Linear::new(3, 2, rng) };
/// let new = New { body: Linear::new(4, 3, rng), classes: Linear::new(3, 10, rng) };
/// let path = std::env::temp_dir().join(format!("kolmo_part_{}.safetensors", std::process::id()));
/// save_safetensors(&trained, &path)?;
/// let options = LoadOptions::new().strict(false).rename(|name| name.replace("encoder.", "body."));
/// let report = load_safetensors_with(&new, &path, &options)?;
/// assert_eq!(new.body.weight.value(), trained.encoder.weight.value());
/// assert_eq!(report.missing, ["classes.weight", "classes.bias"]);
/// assert_eq!(report.unexpected, ["head.bias", "head.weight"]);
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// As [`load_safetensors`]; if not strict, elements of a type that isn't read, and a file that has nothing of
/// the model.
pub fn load_safetensors_with<M: Serialize + ?Sized>(
    model: &M,
    path: impl AsRef<Path>,
    options: &LoadOptions,
) -> Result<LoadReport> {
    load_fields(Fields::of(model), path.as_ref(), options)
}

fn load_fields(fields: Fields, path: &Path, options: &LoadOptions) -> Result<LoadReport> {
    let file = Safetensors::open(path)?;
    let tensors = file.tensors().iter().map(|tensor| (tensor.name().to_string(), (&file, tensor)));
    load("load_safetensors", fields, tensors.collect(), options)
}

/// Writes the parameters of the model, as the model uses them, as arrays of NumPy by their dotted names.
///
/// # Errors
/// The file can't be written; a parametrisation fails.
#[cfg(feature = "npz")]
pub fn save_npz<M: Serialize + ?Sized>(model: &M, path: impl AsRef<Path>) -> Result<()> {
    let Fields { singles, doubles, .. } = Fields::of(model);
    let mut arrays: Vec<(String, NpyArray)> = Vec::new();
    for (name, p) in singles {
        arrays.push((name, p.effective()?.into()));
    }
    for (name, p) in doubles {
        arrays.push((name, p.effective()?.into()));
    }
    write_npz(arrays, path)
}

/// Puts the arrays of an `.npz` file into the parameters of the same names, as [`load_safetensors`] does.
///
/// # Errors
/// As there.
#[cfg(feature = "npz")]
pub fn load_npz<M: Serialize + ?Sized>(model: &M, path: impl AsRef<Path>) -> Result<()> {
    load("load_npz", Fields::of(model), read_npz(path)?, &LoadOptions::new()).map(drop)
}

/// Puts the tensors of a GGUF file into the parameters of the names that the options make of theirs, as
/// [`load_safetensors_with`] does. Shapes are PyTorch's: of a linear layer `[out, in]`. What the file's maker
/// changed stays so: of Llama models, llama.cpp has the rows of each head of `attn_q` and `attn_k` in another
/// order, with neighbours turned together.
///
/// ```no_run
/// use kolmo::{Random, data::Gguf, nn::Linear, train::{LoadOptions, load_gguf}};
/// #[derive(serde::Serialize)]
/// struct Block { gate: Linear, down: Linear }
/// let file = Gguf::open("model.gguf")?;
/// let (wide, narrow) = (file.value("llama.feed_forward_length")?, file.value("llama.embedding_length")?);
/// let rng = &mut Random::new(0);
/// let first = Block {
///     gate: Linear::new(narrow, wide, rng).bias(false),
///     down: Linear::new(wide, narrow, rng).bias(false),
/// };
/// let options = LoadOptions::new().strict(false).prefix("blk.0.").rename(|name| name.replace("ffn_", ""));
/// let report = load_gguf(&first, &file, &options)?;
/// assert!(report.missing.is_empty());
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// As [`load_safetensors_with`]: the model is as it was.
pub fn load_gguf<M: Serialize + ?Sized>(model: &M, file: &Gguf, options: &LoadOptions) -> Result<LoadReport> {
    let tensors = file.tensors().iter().map(|tensor| (tensor.name().to_string(), (file, tensor)));
    load("load_gguf", Fields::of(model), tensors.collect(), options)
}

impl Stored for (&Gguf, &GgufTensor) {
    fn value<T: Float>(&self, shape: &Shape, as_stored: bool) -> Result<Tensor<T>, Unfit> {
        let (file, tensor) = self;
        same_shape(tensor.shape(), shape).map_err(Unfit::Shape)?;
        if as_stored { file.read_packed(tensor) } else { file.read(tensor) }.map_err(Unfit::Type)
    }
}

impl Stored for (&Safetensors, &SafetensorsTensor) {
    fn value<T: Float>(&self, shape: &Shape, as_stored: bool) -> Result<Tensor<T>, Unfit> {
        let (file, tensor) = self;
        same_shape(tensor.shape(), shape).map_err(Unfit::Shape)?;
        if as_stored { file.read_packed(tensor) } else { file.read(tensor) }.map_err(Unfit::Type)
    }
}

#[cfg(feature = "npz")]
impl Stored for NpyArray {
    fn value<T: Float>(&self, shape: &Shape, _: bool) -> Result<Tensor<T>, Unfit> {
        same_shape(self.shape(), shape).map_err(Unfit::Shape)?;
        Ok(self.to_tensor())
    }
}

/// The file's tensor as the parameter needs it.
pub(super) fn value<T: Float>(view: &TensorView, shape: &Shape) -> Result<Tensor<T>, String> {
    same_shape(view.shape(), shape)?;
    values(view.dtype(), view.data(), shape)
}

fn same_shape(found: &[usize], shape: &Shape) -> Result<(), String> {
    match *found == shape[..] {
        true => Ok(()),
        false => Err(format!("is {} in the file, {shape} in the model", Shape::new(found))),
    }
}
