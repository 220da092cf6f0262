//! The binary files of CIFAR-10.
use crate::{
    error::{Error, Result},
    files,
    tensor::Tensor,
};
use std::{
    io::Read,
    path::{Path, PathBuf},
};

/// Bytes of an image: 32 × 32 of red, then of green, then of blue.
const PIXELS: usize = 3 * 32 * 32;
const CLASSES: u8 = 10;
/// Most bytes that are read of a file, fifty times those of one of the distribution.
const LIMIT: u64 = 1 << 30;

/// Images and classes in a binary file of CIFAR-10, of which the distribution has six: images `[n, 3072]`,
/// each 32 rows of red, of green and of blue, and labels `[n]`. Before each image stands a byte with its
/// class.
///
/// # Errors
/// The file can't be read; it is no whole number of images; a class isn't below 10.
pub fn read_cifar10(path: impl AsRef<Path>) -> Result<(Tensor<u8>, Tensor<u32>)> {
    read_at(path.as_ref())
}

fn read_at(path: &Path) -> Result<(Tensor<u8>, Tensor<u32>)> {
    let wrong =
        |at: usize, message: String| Error::format(path.display().to_string(), format!("byte {at}"), message);
    let mut bytes = Vec::new();
    files::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
    let (images, rest) = bytes.as_chunks::<{ PIXELS + 1 }>();
    if bytes.len() as u64 > LIMIT || !rest.is_empty() || images.is_empty() {
        let each = PIXELS + 1;
        let message =
            format!("expected images of {each} bytes with their class, found {} bytes", bytes.len());
        return Err(wrong(0, message));
    }
    if let Some(i) = images.iter().position(|image| image[0] >= CLASSES) {
        let message = format!("class {} of image {i}, but there are {CLASSES}", images[i][0]);
        return Err(wrong(i * (PIXELS + 1), message));
    }
    let labels = Tensor::from_fn([images.len()], |i| u32::from(images[i][0]));
    let pixels = images.iter().flat_map(|image| &image[1..]).copied().collect();
    Ok((Tensor::new([images.len(), PIXELS], pixels)?, labels))
}

/// Images and labels of CIFAR-10 from a folder with the six binary files of its distribution, or from
/// `cifar-10-batches-bin` in it: training images `[50000, 3072]` from 0 to 1, training labels, test images,
/// test labels. Of an image, 32 rows of red come first, then those of green and of blue: `[n, 3, 32, 32]`.
///
/// # Errors
/// As those of [`read_cifar10`].
pub fn cifar10(folder: impl AsRef<Path>) -> Result<[(Tensor<f32>, Tensor<u32>); 2]> {
    let inner = folder.as_ref().join("cifar-10-batches-bin");
    let folder = if inner.is_dir() { inner } else { folder.as_ref().to_path_buf() };
    let train: Vec<PathBuf> = (1..=5).map(|i| folder.join(format!("data_batch_{i}.bin"))).collect();
    Ok([joined(&train)?, joined(&[folder.join("test_batch.bin")])?])
}

/// The images of several files, from 0 to 1.
fn joined(paths: &[PathBuf]) -> Result<(Tensor<f32>, Tensor<u32>)> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for path in paths {
        let (own, classes) = read_at(path)?;
        pixels.extend(own.to_vec().into_iter().map(|byte| f32::from(byte) / 255.0));
        labels.extend(classes.to_vec());
    }
    Ok((Tensor::new([labels.len(), PIXELS], pixels)?, Tensor::new([labels.len()], labels)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Three images, each of one colour.
    fn file(first: u8) -> Vec<u8> {
        let image = |k: u8| {
            let colour = |c: u8| vec![first + 10 * k + c; 1024];
            [vec![(first + k) % 10], colour(0), colour(1), colour(2)].concat()
        };
        (0..3).flat_map(image).collect()
    }

    #[test]
    fn images_are_read_colour_by_colour_and_damaged_files_are_refused() {
        let folder = std::env::temp_dir().join(format!("kolmo-cifar-{}", std::process::id()));
        let inner = folder.join("cifar-10-batches-bin");
        fs::create_dir_all(&inner).unwrap();
        for i in 1..=5 {
            fs::write(inner.join(format!("data_batch_{i}.bin")), file(30 * i)).unwrap();
        }
        let test = inner.join("test_batch.bin");
        fs::write(&test, file(7)).unwrap();
        // The folder, or the one around it.
        for place in [&folder, &inner] {
            let [(images, labels), (test, classes)] = cifar10(place).unwrap();
            assert_eq!((images.shape(), test.shape()), (&[15, 3072].into(), &[3, 3072].into()));
            assert_eq!(labels.to_vec(), [0, 1, 2].repeat(5));
            assert_eq!(classes.to_vec(), [7, 8, 9]);
            let pixels = images.to_vec();
            // Green of the second image of the fourth file.
            assert_eq!(pixels[10 * 3072 + 1024..10 * 3072 + 2048], [131.0 / 255.0; 1024]);
            assert_eq!(test.to_vec()[3071], 9.0 / 255.0);
        }
        let whole = file(7);
        let refused = |bytes: &[u8]| {
            fs::write(&test, bytes).unwrap();
            read_cifar10(&test).unwrap_err().to_string()
        };
        for cut in [0, 1, 3072, whole.len() - 1] {
            assert!(refused(&whole[..cut]).contains("expected images of 3073 bytes"), "{cut}");
        }
        let mut damaged = whole.clone();
        damaged[3073] = 10;
        let error = refused(&damaged);
        assert!(error.contains("byte 3073") && error.contains("class 10 of image 1"), "{error}");
        fs::remove_file(inner.join("data_batch_3.bin")).unwrap();
        assert!(cifar10(&folder).unwrap_err().to_string().contains("data_batch_3.bin"));
        fs::remove_dir_all(folder).unwrap();
    }
}
