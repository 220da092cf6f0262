//! IDX files, the format of MNIST and its relatives, plain or compressed with gzip.
use crate::{
    error::{Error, Result},
    files,
    tensor::{Shape, Tensor},
};
use std::{
    io::{BufRead, ErrorKind, Read},
    path::Path,
};

/// Most elements that a file may claim to have.
const LIMIT: usize = 1 << 31;
/// How every gzip file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The bytes of an IDX file of unsigned bytes with its sizes, big-endian: 0, 0, 8, rank, then the sizes. What
/// gzip made, in one or several members, is unpacked, whatever its name.
///
/// # Errors
/// The file can't be read; it is no IDX file of bytes; it is shorter or longer than its sizes say, or
/// damaged.
pub fn read_idx(path: impl AsRef<Path>) -> Result<Tensor<u8>> {
    read_idx_at(path.as_ref())
}

fn read_idx_at(path: &Path) -> Result<Tensor<u8>> {
    let mut file = files::open(path)?;
    let packed = file.fill_buf().map_err(|e| Error::io(path, e))?.starts_with(&GZIP);
    let mut reader: Box<dyn Read> =
        if packed { Box::new(flate2::bufread::MultiGzDecoder::new(file)) } else { Box::new(file) };
    let wrong =
        |at: usize, message: String| Error::format(path.display().to_string(), format!("byte {at}"), message);
    // What gzip finds wrong, and a place where there is nothing more.
    let broken = |at: usize, e: std::io::Error, cut: &str| match e.kind() {
        ErrorKind::UnexpectedEof => wrong(at, cut.into()),
        _ if packed => wrong(at, format!("the file can't be unpacked: {e}")),
        _ => Error::io(path, e),
    };
    let mut word = [0u8; 4];
    let mut next = |word: &mut [u8; 4], at: usize| {
        reader.read_exact(word).map_err(|e| broken(at, e, "the file ends before its header does"))
    };
    next(&mut word, 0)?;
    let [0, 0, 8, rank] = word else {
        return Err(wrong(0, format!("expected 0, 0, 8 (bytes) and the rank, found {word:?}")));
    };
    let mut shape = Shape::default();
    for i in 0..rank {
        next(&mut word, 4 + 4 * i as usize)?;
        shape.push(u32::from_be_bytes(word) as usize);
        if shape.numel() > LIMIT {
            return Err(wrong(4 + 4 * i as usize, format!("shape {shape} has more than {LIMIT} elements")));
        }
    }
    // Grows with what is really there, so that a false header can't ask for memory.
    let (mut data, at) = (Vec::new(), 4 + 4 * rank as usize);
    let expected = shape.numel() as u64;
    let read = reader.take(expected + 1).read_to_end(&mut data);
    read.map_err(|e| broken(at + data.len(), e, "the packed file is cut off"))?;
    if data.len() as u64 != expected {
        let found = if data.len() as u64 > expected { "more".to_string() } else { data.len().to_string() };
        return Err(wrong(at, format!("shape {shape} needs {expected} bytes, found {found}")));
    }
    Tensor::new(shape, data)
}

/// Images and labels of MNIST or a set of the same form from a folder with the four files of its
/// distribution, with or without `.gz`: training images `[60000, 784]` from 0 to 1, training labels, test
/// images, test labels.
pub fn mnist(folder: impl AsRef<Path>) -> Result<[(Tensor<f32>, Tensor<u32>); 2]> {
    mnist_at(folder.as_ref())
}

fn mnist_at(folder: &Path) -> Result<[(Tensor<f32>, Tensor<u32>); 2]> {
    let open = |name: &str| {
        let packed = folder.join(format!("{name}.gz"));
        read_idx(if packed.exists() { packed } else { folder.join(name) })
    };
    let load = |part: &str| -> Result<(Tensor<f32>, Tensor<u32>)> {
        let images = open(&format!("{part}-images-idx3-ubyte"))?;
        let labels = open(&format!("{part}-labels-idx1-ubyte"))?;
        let n = images.dim(0);
        if images.rank() != 3 || labels.rank() != 1 || labels.numel() != n {
            let message = format!(
                "{part}: images {} and labels {} don't belong together",
                images.shape(),
                labels.shape()
            );
            return Err(Error::format(folder.display().to_string(), part, message));
        }
        let (bytes, pixels) = (images.to_vec(), images.dim(1) * images.dim(2));
        Ok((Tensor::from_fn([n, pixels], |i| bytes[i] as f32 / 255.0), labels.cast()))
    };
    Ok([load("train")?, load("t10k")?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::{fs, io::Write};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn packed_in_any_way_and_named_in_any_way_it_is_the_same() {
        let plain = [&[0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3][..], &[1, 2, 3, 4, 5, 6]].concat();
        let (head, tail) = plain.split_at(14);
        let path = std::env::temp_dir().join(format!("kolmo-idx-{}", std::process::id()));
        let read = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            read_idx(&path)
        };
        let members = [gzip(head), gzip(tail)].concat();
        for bytes in [&plain, &gzip(&plain), &members] {
            assert_eq!(read(bytes).unwrap().to_vec(), [1, 2, 3, 4, 5, 6]);
            for cut in 0..bytes.len() {
                let error = read(&bytes[..cut]).unwrap_err().to_string();
                assert!(error.contains("kolmo-idx") && error.contains("byte"), "{cut}: {error}");
            }
            assert!(read(&[&bytes[..], &bytes[..]].concat()).is_err(), "twice as long");
        }
        let mut damaged = gzip(&plain);
        let crc = damaged.len() - 8;
        damaged[crc] ^= 1;
        assert!(read(&damaged).unwrap_err().to_string().contains("can't be unpacked"));
        let wide = [0, 0, 8, 4, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255];
        assert!(read(&wide).map_or(true, |t| t.numel() == 0));
        fs::remove_file(&path).unwrap();
    }
}
