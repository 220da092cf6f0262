//! Weights as safetensors files, by the dotted names of parameters. Names and layouts are PyTorch's: a model whose fields are
//! named as there reads what `safetensors.torch.save_file(model.state_dict(), …)` wrote, and the other way round.
use crate::{
    compress::f16_to_f32,
    error::{Error, Result},
    files::write_atomically,
    nn::{Param, named_params},
    tape::Float,
    tensor::{Shape, Tensor},
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::Serialize;
use std::{collections::BTreeMap, path::Path};

/// Writes the parameters of the model, as the model uses them (masked, from their codebooks), in full precision. The file is
/// whole or not there.
///
/// # Errors
/// The file can't be written; a parametrisation fails.
pub fn save_safetensors<M: Serialize + ?Sized>(model: &M, path: impl AsRef<Path>) -> Result<()> {
    let mut tensors: Vec<(String, Dtype, Shape, Vec<u8>)> = Vec::new();
    fn bytes<T: Float, const N: usize>(p: &Param<T>, word: fn(f64) -> [u8; N]) -> Result<(Shape, Vec<u8>)> {
        let value = p.effective()?;
        Ok((value.shape().clone(), value.to_vec().iter().flat_map(|v| word(v.to_f64())).collect()))
    }
    for (name, p) in fields::<f32, M>(model) {
        let (shape, data) = bytes(&p, |v| (v as f32).to_le_bytes())?;
        tensors.push((name, Dtype::F32, shape, data));
    }
    for (name, p) in fields::<f64, M>(model) {
        let (shape, data) = bytes(&p, f64::to_le_bytes)?;
        tensors.push((name, Dtype::F64, shape, data));
    }
    let wrong = |e: safetensors::SafeTensorError| Error::invalid("save_safetensors", e.to_string());
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        Ok((name.as_str(), TensorView::new(*dtype, shape.to_vec(), data).map_err(wrong)?))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    let file = safetensors::serialize(views, None).map_err(wrong)?;
    let path = path.as_ref();
    write_atomically(path, &file).map_err(|e| Error::io(path, e))
}

/// Puts the tensors of a file into the parameters of the same names. 16-bit floats, `f32`, `f64` and whole numbers are
/// converted. Masks, codebooks and own operations of a parameter are gone then.
///
/// # Errors
/// The file can't be read or is damaged; names that it lacks or has too many, shapes that differ: all of them are told at once,
/// and the model is as it was.
pub fn load_safetensors<M: Serialize + ?Sized>(model: &M, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let file = SafeTensors::deserialize(&bytes)
        .map_err(|e| Error::format(path.display().to_string(), "its header", e.to_string()))?;
    let mut left: BTreeMap<String, TensorView> = file.tensors().into_iter().collect();
    let (mut missing, mut wrong) = (Vec::new(), Vec::new());
    let mut jobs: Vec<Box<dyn FnOnce()>> = Vec::new();
    fn plan<T: Float>(
        fields: Vec<(String, Param<T>)>,
        left: &mut BTreeMap<String, TensorView>,
        missing: &mut Vec<String>,
        wrong: &mut Vec<String>,
        jobs: &mut Vec<Box<dyn FnOnce()>>,
    ) {
        for (name, p) in fields {
            match left.remove(&name) {
                None => missing.push(name),
                Some(view) => match value::<T>(&view, &p.shape()) {
                    Ok(value) => jobs.push(Box::new(move || p.replace(value))),
                    Err(message) => wrong.push(format!("{name} {message}")),
                },
            }
        }
    }
    plan(fields::<f32, M>(model), &mut left, &mut missing, &mut wrong, &mut jobs);
    plan(fields::<f64, M>(model), &mut left, &mut missing, &mut wrong, &mut jobs);
    let lists = [
        ("missing from the file", missing),
        ("not in the model", left.into_keys().collect()),
        ("unfit", wrong),
    ];
    let told = lists.iter().filter(|(_, names)| !names.is_empty());
    let told: Vec<String> = told.map(|(what, names)| format!("{what}: {}", names.join(", "))).collect();
    if !told.is_empty() {
        return Err(Error::invalid("load_safetensors", told.join("; ")));
    }
    jobs.into_iter().for_each(|job| job());
    Ok(())
}

/// The parameters that are fields of the model; the centroids of codebooks are not.
fn fields<T: Float, M: Serialize + ?Sized>(model: &M) -> Vec<(String, Param<T>)> {
    let all = named_params::<T, M>(model);
    let tied: Vec<u64> = all.iter().filter_map(|(_, p)| Some(p.codebook()?.1.id())).collect();
    all.into_iter().filter(|(_, p)| !tied.contains(&p.id())).collect()
}

/// The file's tensor as the parameter needs it.
fn value<T: Float>(view: &TensorView, shape: &Shape) -> Result<Tensor<T>, String> {
    if *view.shape() != shape[..] {
        return Err(format!("is {} in the file, {shape} in the model", Shape::new(view.shape())));
    }
    fn words<const N: usize>(data: &[u8], f: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        data.as_chunks::<N>().0.iter().map(|&word| f(word)).collect()
    }
    let data = view.data();
    let numbers = match view.dtype() {
        Dtype::F16 => words(data, |w| f16_to_f32(u16::from_le_bytes(w)).into()),
        Dtype::BF16 => words(data, |w| f32::from_bits(u32::from(u16::from_le_bytes(w)) << 16).into()),
        Dtype::F32 => words(data, |w| f32::from_le_bytes(w).into()),
        Dtype::F64 => words(data, f64::from_le_bytes),
        Dtype::I32 => words(data, |w| i32::from_le_bytes(w).into()),
        Dtype::I64 => words(data, |w| i64::from_le_bytes(w) as f64),
        Dtype::U8 => words(data, |[b]| b.into()),
        other => {
            return Err(format!(
                "has elements of type {other:?}; F16, BF16, F32, F64, I32, I64 and U8 are read"
            ));
        }
    };
    Tensor::new(shape, numbers.into_iter().map(T::from_f64).collect()).map_err(|e| e.to_string())
}
