//! Several arrays with names in one file of NumPy's (`.npz`): a zip archive of `.npy` files.
use super::NpyArray;
use crate::{
    error::{Error, Result},
    files::write_atomically,
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{Cursor, Read, Write},
    path::Path,
};

/// The arrays of an `.npz` file by name, compressed or not.
///
/// # Errors
/// The file can't be read, is no archive, or one of its members is no array.
pub fn read_npz(path: impl AsRef<Path>) -> Result<BTreeMap<String, NpyArray>> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let wrong = |at: &str, message: String| Error::format(path.display().to_string(), at, message);
    let mut archive = zip::ZipArchive::new(file).map_err(|e| wrong("its directory", e.to_string()))?;
    let mut arrays = BTreeMap::new();
    for i in 0..archive.len() {
        let member = archive.by_index(i).map_err(|e| wrong("its directory", e.to_string()))?;
        let name = member.name().to_string();
        // Grows with what is really there, so that a false size can't ask for memory.
        let (mut bytes, size) = (Vec::new(), member.size());
        member.take(size).read_to_end(&mut bytes).map_err(|e| wrong(&name, e.to_string()))?;
        let array = NpyArray::parse(&bytes).map_err(|e| wrong(&name, e.to_string()))?;
        arrays.insert(name.strip_suffix(".npy").unwrap_or(&name).to_string(), array);
    }
    Ok(arrays)
}

/// Writes arrays with names into an `.npz` file, not compressed, whole or not at all.
///
/// ```
/// use kolmo::{Tensor, data::{read_npz, write_npz}};
/// let path = std::env::temp_dir().join(format!("kolmo-{}.npz", std::process::id()));
/// write_npz(&path, [("x", Tensor::<f32>::ones([2, 3]).into()), ("y", Tensor::from([1u32, 0]).into())])?;
/// let arrays = read_npz(&path)?;
/// assert_eq!(arrays["x"].shape(), &[2, 3]);
/// assert_eq!(arrays["y"].to_tensor::<u32>().to_vec(), [1, 0]);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), kolmo::Error>(())
/// ```
pub fn write_npz<N: AsRef<str>>(
    path: impl AsRef<Path>,
    arrays: impl IntoIterator<Item = (N, NpyArray)>,
) -> Result<()> {
    let path = path.as_ref();
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let plain = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, array) in arrays {
        let name = name.as_ref();
        let started = archive.start_file(format!("{name}.npy"), plain.large_file(true));
        started.map_err(|e| Error::invalid("write_npz", format!("{name}: {e}")))?;
        archive.write_all(&array.to_bytes()).map_err(|e| Error::io(path, e))?;
    }
    let file = archive.finish().map_err(|e| Error::invalid("write_npz", e.to_string()))?;
    write_atomically(path, &file.into_inner()).map_err(|e| Error::io(path, e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::read_npy;

    fn floats(t: &NpyArray) -> (Vec<usize>, Vec<f64>) {
        (t.shape().to_vec(), t.to_tensor::<f64>().to_vec())
    }

    #[test]
    fn types_and_orders_that_numpy_wrote() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/interchange/");
        let arrays = read_npz(format!("{folder}numpy.npz")).unwrap();
        let get = |name: &str| floats(&arrays[name]);
        let six = (vec![2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        for name in ["f2", "f4", "f8", "big_f4", "fortran", "i1", "i8", "big_u2", "u4"] {
            assert_eq!(get(name), six, "{name}");
        }
        assert_eq!(get("negative"), (vec![3], vec![-1.0, -128.0, 127.0]));
        assert_eq!(get("bool"), (vec![2], vec![1.0, 0.0]));
        assert_eq!(get("scalar"), (vec![], vec![2.5]));
        assert_eq!(get("empty"), (vec![0, 4], vec![]));
        assert_eq!(arrays["i8"].to_tensor::<i64>().to_vec()[5], 5);
        assert_eq!(floats(&read_npy(format!("{folder}numpy.npy")).unwrap()), six);
    }
}
