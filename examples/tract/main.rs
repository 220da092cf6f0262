//! Runs the ONNX files of a folder by `tract`, an engine in Rust, on the inputs beside them, and compares with the
//! outputs beside them: those that `examples/onnx` writes.
//!
//! ```sh
//! cargo run --release -p kolmo-onnx --example onnx          # the models, into target/onnx
//! cargo run -p kolmo-tract --example tract target/onnx      # the same by tract
//! ```
use std::path::{Path, PathBuf};
use tract_onnx::prelude::*;

type Fails<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The largest difference that is taken for the same, of 1 or of the largest element.
const TOLERANCE: f64 = 1e-5;

/// Models of which tract 0.23 makes something else than the standard says: `Celu` without its factor α, and layers of
/// direction `reverse` forward.
const OTHERWISE: [&str; 5] = ["activations", "gru", "lstm", "rnn", "rnn_relu"];

fn main() -> Fails<()> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("tract FOLDER")?);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?.filter_map(|e| Some(e.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    paths.sort();
    let (mut near, mut otherwise, mut far) = (0, 0, 0);
    for path in &paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        match one(path) {
            Ok(apart) if apart <= TOLERANCE => {
                near += 1;
                println!("{name:<28} {apart:9.1e}");
            }
            Ok(apart) if OTHERWISE.contains(&&*name) => {
                otherwise += 1;
                println!("{name:<28} {apart:9.1e}  as tract has it");
            }
            Ok(apart) => {
                far += 1;
                println!("{name:<28} {apart:9.1e}  too far");
            }
            Err(error) => println!("{name:<28} {error}"),
        }
    }
    let refused = paths.len() - near - otherwise - far;
    println!(
        "{near} of {} models give the same, {otherwise} what tract alone gives, {far} don't, {refused} can't be run",
        paths.len()
    );
    if far > 0 || near == 0 { Err("not all that can be run give the same".into()) } else { Ok(()) }
}

/// The largest difference of a model's results, made for the sizes of its inputs.
fn one(path: &Path) -> Fails<f64> {
    let read = |what: &str| -> Fails<Vec<Tensor>> {
        let files = (0..).map(|i| path.with_extension(format!("{what}_{i}.npy")));
        files.take_while(|file| file.exists()).map(|file| array(&file)).collect()
    };
    let (inputs, outputs) = (read("input")?, read("output")?);
    let run = || -> TractResult<TVec<TValue>> {
        let mut model = tract_onnx::onnx().model_for_path(path)?;
        for (i, x) in inputs.iter().enumerate() {
            model.set_input_fact(i, InferenceFact::dt_shape(x.datum_type(), x.shape()))?;
        }
        let inputs = inputs.iter().cloned().map(TValue::from).collect();
        model.into_optimized()?.into_runnable()?.run(inputs)
    };
    let results = run().map_err(|error| format!("{error:#}").replace('\n', " "))?;
    if outputs.len() != results.len() {
        return Err(format!("{} results, not {}", results.len(), outputs.len()).into());
    }
    results.iter().zip(&outputs).try_fold(0.0f64, |most, (a, b)| Ok(most.max(apart(a, b)?)))
}

fn apart(a: &Tensor, b: &Tensor) -> Fails<f64> {
    if a.shape() != b.shape() {
        return Ok(f64::INFINITY);
    }
    let (a, b) = (a.to_plain_array_view::<f32>()?, b.to_plain_array_view::<f32>()?);
    let most = b.iter().filter(|v| v.is_finite()).fold(1.0f64, |most, v| most.max(f64::from(v.abs())));
    let far = a.iter().zip(&b).map(|(a, b)| match a == b || a.is_nan() && b.is_nan() {
        true => 0.0,
        false => f64::from((a - b).abs()) / most,
    });
    Ok(far.fold(0.0, |most, far| if far.is_nan() { f64::INFINITY } else { most.max(far) }))
}

/// A file of NumPy's, of `f32` or `i64`, row after row.
fn array(path: &Path) -> Fails<Tensor> {
    let bytes = std::fs::read(path)?;
    let told = || format!("{}: not an array of NumPy's of <f4 or <i8", path.display());
    let (start, rest) = bytes.split_at_checked(10).ok_or_else(told)?;
    let (header, data) =
        rest.split_at_checked(usize::from(u16::from_le_bytes([start[8], start[9]]))).ok_or_else(told)?;
    let header = std::str::from_utf8(header)?;
    let sizes = header.split(['(', ')']).nth(1).ok_or_else(told)?.split(',').map(str::trim);
    let sizes = sizes.filter(|size| !size.is_empty()).map(str::parse);
    let sizes: Vec<usize> = sizes.collect::<std::result::Result<_, _>>()?;
    let floats = data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b));
    let integers = data.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b));
    Ok(match header {
        _ if header.contains("'<f4'") => Tensor::from_shape(&sizes, &floats.collect::<Vec<f32>>())?,
        _ if header.contains("'<i8'") => Tensor::from_shape(&sizes, &integers.collect::<Vec<i64>>())?,
        _ => return Err(told().into()),
    })
}
