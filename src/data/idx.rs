//! IDX files, the format of MNIST and its relatives, plain or compressed with gzip.
use crate::{
    error::{Error, Result},
    tensor::{Shape, Tensor},
};
use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::Path,
};

/// Most elements that a file may claim to have.
const LIMIT: usize = 1 << 31;

/// The bytes of an IDX file of unsigned bytes with its sizes, big-endian: 0, 0, 8, rank, then the sizes. A name that ends in `.gz` is
/// unpacked.
///
/// # Errors
/// The file can't be read; it is no IDX file of bytes; it is shorter or longer than its sizes say.
pub fn read_idx(path: impl AsRef<Path>) -> Result<Tensor<u8>> {
    let path = path.as_ref();
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    let mut reader: Box<dyn Read> = if path.extension().is_some_and(|e| e == "gz") {
        Box::new(flate2::read::GzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let wrong =
        |at: usize, message: String| Error::format(path.display().to_string(), format!("byte {at}"), message);
    let mut word = [0u8; 4];
    let mut next = |word: &mut [u8; 4], at: usize| {
        reader.read_exact(word).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => wrong(at, "the file ends before its header does".into()),
            _ => Error::io(path, e),
        })
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
    let mut data = Vec::new();
    let expected = shape.numel() as u64;
    reader.take(expected + 1).read_to_end(&mut data).map_err(|e| Error::io(path, e))?;
    if data.len() as u64 != expected {
        let at = 4 + 4 * rank as usize;
        let found = if data.len() as u64 > expected { "more".to_string() } else { data.len().to_string() };
        return Err(wrong(at, format!("shape {shape} needs {expected} bytes, found {found}")));
    }
    Tensor::new(shape, data)
}

/// Images and labels of MNIST or a set of the same form from a folder with the four files of its distribution, with or
/// without `.gz`: training images `[60000, 784]` from 0 to 1, training labels, test images, test labels.
pub fn mnist(folder: impl AsRef<Path>) -> Result<[(Tensor<f32>, Tensor<u32>); 2]> {
    let folder = folder.as_ref();
    let open = |name: &str| {
        let packed = folder.join(format!("{name}.gz"));
        read_idx(if packed.exists() { packed } else { folder.join(name) })
    };
    let load = |part: &str| -> Result<(Tensor<f32>, Tensor<u32>)> {
        let images = open(&format!("{part}-images-idx3-ubyte"))?;
        let labels = open(&format!("{part}-labels-idx1-ubyte"))?;
        let (n, pixels) = (images.dim(0), images.shape()[1..].iter().product::<usize>());
        if images.rank() != 3 || labels.rank() != 1 || labels.numel() != n {
            let message = format!(
                "{part}: images {} and labels {} don't belong together",
                images.shape(),
                labels.shape()
            );
            return Err(Error::format(folder.display().to_string(), part, message));
        }
        let bytes = images.to_vec();
        Ok((Tensor::from_fn([n, pixels], |i| bytes[i] as f32 / 255.0), labels.cast()))
    };
    Ok([load("train")?, load("t10k")?])
}
