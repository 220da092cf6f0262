//! Runs the models of a folder on their inputs and compares what they give.
use super::Result;
use kolmo::{Tape, Tensor, data::read_npy, onnx::Model};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The files `NAME.input_0.npy`, `NAME.input_1.npy`, … of a model.
fn files(model: &Path, what: &str) -> Vec<PathBuf> {
    (0..).map(|i| model.with_extension(format!("{what}_{i}.npy"))).take_while(|path| path.exists()).collect()
}

/// The largest difference of two tensors, of 1 or of the largest element.
fn apart(a: &Tensor, b: &Tensor) -> f64 {
    if a.shape() != b.shape() {
        return f64::INFINITY;
    }
    let (a, b) = (a.to_vec(), b.to_vec());
    let most = b.iter().filter(|v| v.is_finite()).fold(1.0f64, |most, v| most.max(f64::from(v.abs())));
    let far = a.iter().zip(&b).map(|(a, b)| match a == b || a.is_nan() && b.is_nan() {
        true => 0.0,
        false => f64::from((a - b).abs()) / most,
    });
    far.fold(0.0, |most, far| if far.is_nan() { f64::INFINITY } else { most.max(far) })
}

/// The largest difference of a model's results, with another number of examples, too, if it takes any.
fn one(path: &Path) -> kolmo::Result<f64> {
    let model = Model::load(path)?;
    let given = files(path, "input").iter().map(read_npy).collect::<kolmo::Result<Vec<_>>>()?;
    let tape = Tape::inference();
    let (mut inputs, mut indices) = (Vec::new(), Vec::new());
    for array in &given {
        match array.dtype() {
            "f4" | "<f4" | "f8" | "<f8" | "f2" | "<f2" => {
                inputs.push(tape.constant(array.to_tensor::<f32>()))
            }
            _ => indices.push(array.to_tensor::<u32>()),
        }
    }
    let results = model.forward(&tape, &inputs, &indices);
    let mut most = 0.0f64;
    for (result, file) in results.iter().zip(files(path, "output")) {
        most = most.max(apart(result.value()?, &read_npy(file)?.to_tensor()));
    }
    Ok(most)
}

/// Tells of each model how near its results come; of models of others what isn't known is no failure.
pub fn check(folder: &Path, tolerance: f64, others: bool) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    paths.sort();
    let (mut near, mut far, mut refused) = (0, 0, 0);
    for path in &paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        match one(path) {
            Ok(apart) if apart <= tolerance => {
                near += 1;
                if !others {
                    println!("{name:<28} {apart:9.1e}");
                }
            }
            Ok(apart) => {
                far += 1;
                println!("{name:<28} {apart:9.1e}  too far");
            }
            Err(error) => {
                refused += 1;
                println!("{name:<28} {}", error.to_string().lines().next().unwrap_or_default());
            }
        }
    }
    println!("{near} of {} models give the same, {far} don't, {refused} can't be run", paths.len());
    if far > 0 || refused > 0 && !others { Err("not all models give the same".into()) } else { Ok(()) }
}
