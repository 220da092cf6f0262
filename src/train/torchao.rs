//! Weights in few bits out to PyTorch, as torchao keeps them in safetensors files.
use super::{
    loading::Fields,
    weights::{Entry, write},
};
use crate::{
    data::opened,
    error::{Error, Result},
    kernels::packed::Packed,
    ops::Float,
    param::Param,
    tensor::Shape,
};
use safetensors::Dtype;
use serde::Serialize;
use serde_json::{Value, json};
use std::{collections::HashMap, path::Path};

/// Writes the parameters of the model for PyTorch with
/// [torchao](https://github.com/pytorch/ao), whose `unflatten_tensor_state_dict` makes a state dictionary of
/// the file. Matrices of whole numbers with scales, such as those of
/// [`WeightOnly`](crate::compress::quantize::WeightOnly) and `Q4_0` and `Q8_0` in GGUF files, become its
/// `IntxUnpackedToInt8Tensor` of as many bits: of `fc.weight` the file has `fc._weight_qdata` (bytes,
/// `[out, in]`), `fc._weight_scale` and `fc._weight_zero_point` (`[out, groups]`), which stand for
/// `(qdata - zero_point) · scale`. Everything else is written in full, as
/// [`save_safetensors`](super::save_safetensors) does it: codebooks, values with offsets, rows that are no
/// whole number of groups.
///
/// ```
/// use kolmo::{Random, compress::{matrices, quantize::WeightOnly}, nn::Linear};
/// use kolmo::{data::Safetensors, train::save_torchao};
/// #[derive(serde::Serialize)]
/// struct Net { fc: Linear }
/// let net = Net { fc: Linear::new(64, 2, &mut Random::new(0)) };
/// WeightOnly::new(4).groups(32).apply(&net, matrices)?;
/// let path = std::env::temp_dir().join(format!("kolmo_torchao_{}.safetensors", std::process::id()));
/// save_torchao(&net, &path)?;
/// let file = Safetensors::open(&path)?;
/// let tensors = file.tensors().iter();
/// let told: Vec<_> = tensors.map(|t| format!("{} {} {}", t.name(), t.dtype(), t.shape())).collect();
/// let parts = ["qdata I8 [2, 64]", "scale F32 [2, 2]", "zero_point I8 [2, 2]"];
/// assert_eq!(told[..3], parts.map(|part| format!("fc._weight_{part}")));
/// assert_eq!(told[3], "fc.bias F32 [2]");
/// # drop(file);
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// The file can't be written; a parametrisation fails.
#[doc(alias = "flatten_tensor_state_dict")]
pub fn save_torchao<M: Serialize + ?Sized>(model: &M, path: impl AsRef<Path>) -> Result<()> {
    save_fields(Fields::of(model), path.as_ref())
}

fn save_fields(fields: Fields, path: &Path) -> Result<()> {
    let (mut entries, mut told, mut names) = (Vec::new(), HashMap::new(), Vec::new());
    for (name, p) in fields.singles {
        told.insert(name.clone(), add(&name, &p, &mut entries)?.to_string());
        names.push(name);
    }
    for (name, p) in fields.doubles {
        entries.push(Entry::new(name.clone(), &p.effective()?));
        told.insert(name.clone(), plain().to_string());
        names.push(name);
    }
    told.insert("tensor_names".into(), json!(names).to_string());
    write(path, "save_torchao", entries, Some(told), |bytes| {
        opened(bytes).map(|_| ()).map_err(|message| Error::invalid("save_torchao", message))
    })
}

fn plain() -> Value {
    json!({"_type": "Tensor"})
}

/// Adds a parameter's tensors, and says what they are.
fn add<T: Float>(name: &str, p: &Param<T>, entries: &mut Vec<Entry>) -> Result<Value> {
    let value = p.effective()?;
    let whole = value.packed().and_then(|packed| Whole::of(&packed));
    // torchao's names have the module's before that of the weight.
    let (Some(whole), Some((module, weight))) = (whole, name.rsplit_once('.')) else {
        entries.push(Entry::new(name.to_string(), &value));
        return Ok(plain());
    };
    let Whole { bits, block, shape, groups, codes, scales, zeros } = whole;
    let scales = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
    let bytes = |codes: Vec<i8>| codes.into_iter().map(|code| code as u8).collect();
    for (part, dtype, shape, data) in [
        ("qdata", Dtype::I8, shape, bytes(codes)),
        ("scale", Dtype::F32, groups.clone(), scales),
        ("zero_point", Dtype::I8, groups, bytes(zeros)),
    ] {
        entries.push(Entry::raw(format!("{module}._{weight}_{part}"), dtype, shape, data));
    }
    let dtype = |name: &str| json!({"_type": "torch.dtype", "_data": name});
    let data = json!({
        "target_dtype": dtype(&format!("int{bits}")),
        "block_size": block,
        "dtype": dtype("float32"),
        "activation_quantization": null,
    });
    let parts = ["qdata", "scale", "zero_point"];
    Ok(json!({"_type": "IntxUnpackedToInt8Tensor", "_data": data, "_tensor_data_names": parts}))
}

/// A matrix of whole numbers of so many bits with their sign, `(code - zero) · scale` by blocks.
struct Whole {
    bits: u32,
    block: [usize; 2],
    shape: Shape,
    groups: Shape,
    codes: Vec<i8>,
    scales: Vec<f32>,
    zeros: Vec<i8>,
}

impl Whole {
    /// The same numbers as what is packed, if it has this form.
    fn of<T: Float>(packed: &Packed<T>) -> Option<Whole> {
        let codes = packed.codes()?;
        let [rows, cols] = packed.shape()[..] else { return None };
        let block = if codes.group() == 0 { [rows, cols] } else { [1, codes.group().min(cols)] };
        let count = [rows.checked_div(block[0])?, cols.checked_div(block[1])?];
        let fits = codes.offsets().is_none() && codes.pruned().is_none() && cols == count[1] * block[1];
        let (bits, scales) = (codes.bits(), codes.scales().filter(|_| fits)?);
        // Codes from 0 become numbers from the lowest of so many bits on, and zero points with them.
        let (lowest, most) = (-(1i32 << (bits - 1)), 1i32 << bits);
        let low = codes.value(0).to_f64();
        let follow = (0..most).all(|code| codes.value(code as u8).to_f64() == low + f64::from(code));
        let base = if follow && low.fract() == 0.0 && low.abs() < 1e3 { -low as i32 } else { return None };
        let zero = |zero: u8| i8::try_from(i32::from(zero) + base + lowest).ok();
        let zeros = codes.zero_points().unwrap_or_else(|| vec![0; scales.len()]);
        Some(Whole {
            bits,
            block,
            shape: packed.shape().clone(),
            groups: count.into(),
            codes: codes.to_vec().into_iter().map(|code| (i32::from(code) + lowest) as i8).collect(),
            scales: scales.iter().map(|scale| scale.to_f64() as f32).collect(),
            zeros: zeros.into_iter().map(zero).collect::<Option<_>>()?,
        })
    }
}
