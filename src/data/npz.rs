//! Several arrays with names in one file of NumPy's (`.npz`): a zip archive of `.npy` files.
use super::NpyArray;
use crate::{
    error::{Error, Result},
    files::{self, write_readable},
};
use std::{
    collections::BTreeMap,
    io::{Cursor, Read, Seek, SeekFrom, Write},
    path::Path,
};

/// The arrays of an `.npz` file by name, compressed or not.
///
/// # Errors
/// The file can't be read, is no archive, or one of its members is no array.
#[doc(alias = "np.load")]
pub fn read_npz(path: impl AsRef<Path>) -> Result<BTreeMap<String, NpyArray>> {
    read_npz_at(path.as_ref())
}

fn read_npz_at(path: &Path) -> Result<BTreeMap<String, NpyArray>> {
    read_all(path, files::open(path)?)
}

fn read_all(path: &Path, mut from: impl Read + Seek) -> Result<BTreeMap<String, NpyArray>> {
    let wrong = |at: &str, message: String| Error::format(path.display().to_string(), at, message);
    let length = from.seek(SeekFrom::End(0)).map_err(|e| Error::io(path, e))?;
    let mut archive = zip::ZipArchive::new(from).map_err(|e| wrong("its directory", e.to_string()))?;
    let (mut arrays, mut packed) = (BTreeMap::new(), 0u64);
    for i in 0..archive.len() {
        let member = archive.by_index(i).map_err(|e| wrong("its directory", e.to_string()))?;
        let full = member.name().to_string();
        // Members that share bytes could stand for any amount of memory in a small file.
        packed = packed.saturating_add(member.compressed_size());
        if packed > length {
            let message = format!("members up to this one claim {packed} bytes of the file's {length}");
            return Err(wrong(&full, message));
        }
        let name = full.strip_suffix(".npy").unwrap_or(&full);
        // Reads on behind the array, where the archive's checksum is looked at.
        let array = NpyArray::read(&full, member).map_err(|e| wrong(&full, e.to_string()))?;
        if arrays.insert(name.to_string(), array).is_some() {
            return Err(wrong(&full, format!("two arrays are called {name:?}")));
        }
    }
    Ok(arrays)
}

/// Writes arrays with names into an `.npz` file, not compressed, whole or not at all.
///
/// ```
/// use kolmo::{Tensor, data::{read_npz, write_npz}};
/// let path = std::env::temp_dir().join(format!("kolmo-{}.npz", std::process::id()));
/// write_npz([("x", Tensor::<f32>::ones([2, 3]).into()), ("y", Tensor::from([1u32, 0]).into())], &path)?;
/// let arrays = read_npz(&path)?;
/// assert_eq!(arrays["x"].shape(), &[2, 3]);
/// assert_eq!(arrays["y"].to_tensor::<u32>().to_vec(), [1, 0]);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), kolmo::Error>(())
/// ```
#[doc(alias = "savez")]
pub fn write_npz<N: AsRef<str>>(
    arrays: impl IntoIterator<Item = (N, NpyArray)>,
    path: impl AsRef<Path>,
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
    write_readable(path, &file.into_inner(), |bytes| read_all(path, Cursor::new(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{data::read_npy, tensor::Tensor};

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

    #[test]
    fn damage_is_an_error_that_names_the_file_and_the_array() {
        let path = std::env::temp_dir().join(format!("kolmo-damaged-{}.npz", std::process::id()));
        let twice = [("x", Tensor::from([1u8, 2]).into()), ("x.npy", Tensor::from([3u8]).into())];
        assert!(write_npz(twice, &path).is_ok(), "x.npy.npy is another name");
        write_npz([("x", Tensor::<f32>::ones([40]).into()), ("y", Tensor::from([1u8]).into())], &path)
            .unwrap();
        let good = std::fs::read(&path).unwrap();
        for cut in 0..good.len() {
            std::fs::write(&path, &good[..cut]).unwrap();
            let error = read_npz(&path).unwrap_err().to_string();
            assert!(error.contains("kolmo-damaged"), "{error}");
        }
        // In the middle of the numbers: only the checksum knows.
        let mut bad = good.clone();
        bad[250] ^= 1;
        std::fs::write(&path, &bad).unwrap();
        let error = read_npz(&path).unwrap_err().to_string();
        assert!(error.contains("x.npy") && error.contains("hecksum"), "{error}");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn members_that_share_bytes_are_refused() {
        let path = std::env::temp_dir().join(format!("kolmo-shared-{}.npz", std::process::id()));
        write_npz([("x", Tensor::<f32>::ones([400]).into())], &path).unwrap();
        let good = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let find = |mark: &[u8; 4]| good.windows(4).position(|w| w == mark).unwrap();
        let (directory, end) = (find(b"PK\x01\x02"), find(b"PK\x05\x06"));
        let mut second = good[directory..end].to_vec();
        second[46] = b'y';
        let mut bad = [&good[..end], &second, &good[end..]].concat();
        let size = (2 * second.len() as u32).to_le_bytes();
        let at = end + second.len();
        (bad[at + 8], bad[at + 10]) = (2, 2);
        bad[at + 12..at + 16].copy_from_slice(&size);
        assert!(read_all(&path, Cursor::new(&good)).is_ok());
        let error = read_all(&path, Cursor::new(&bad)).unwrap_err().to_string();
        assert!(error.contains("y.npy") && error.contains("claim"), "{error}");
    }
}
