//! Pictures from folders: a folder for each class, as many data sets come. The feature `images` has it.
use crate::{
    error::{Error, Result},
    tensor::Tensor,
};
use image::imageops::FilterType;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// How pictures are brought into one form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageOptions {
    /// Height and width that every picture is resized to (default: none, and all must be of one size).
    pub size: Option<(u32, u32)>,
    /// One channel of brightness instead of red, green and blue (default no).
    pub grey: bool,
}

/// What was found in folders.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    /// `[n, channels, height, width]`, from 0 to 1.
    pub images: Tensor<f32>,
    /// `[n]`
    pub labels: Tensor<u32>,
    /// The folders' names, in their order.
    pub classes: Vec<String>,
    /// Where each picture came from.
    pub paths: Vec<PathBuf>,
}

/// Reads all PNG and JPEG files of a folder's folders, each of which is a class; both in the order of their names.
///
/// # Errors
/// No such folder, no pictures in it; a picture that can't be read, or has another size than the first.
pub fn image_folder(root: impl AsRef<Path>, options: ImageOptions) -> Result<ImageFolder> {
    let root = root.as_ref();
    let sorted = |folder: &Path| -> Result<Vec<PathBuf>> {
        let wrong = |e| Error::io(folder, e);
        let entries = fs::read_dir(folder).map_err(wrong)?;
        let mut all = entries.map(|e| Ok(e.map_err(wrong)?.path())).collect::<Result<Vec<_>>>()?;
        all.sort();
        Ok(all)
    };
    let (mut classes, mut labels, mut paths) = (Vec::new(), Vec::new(), Vec::new());
    for folder in sorted(root)?.into_iter().filter(|p| p.is_dir()) {
        for path in sorted(&folder)? {
            let end = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
            if ["png", "jpg", "jpeg"].contains(&end.as_str()) {
                labels.push(classes.len() as u32);
                paths.push(path);
            }
        }
        classes.push(folder.file_name().unwrap_or_default().to_string_lossy().into_owned());
    }
    if paths.is_empty() {
        let message = format!("{} has no folder with .png, .jpg or .jpeg files", root.display());
        return Err(Error::invalid("image_folder", message));
    }
    let (mut pixels, mut first) = (Vec::new(), None);
    for path in &paths {
        let picture = image::open(path)
            .map_err(|e| Error::format(path.display().to_string(), "its contents", e.to_string()))?;
        let picture = match options.size {
            Some((height, width)) => picture.resize_exact(width, height, FilterType::Triangle),
            None => picture,
        };
        let size = (picture.height() as usize, picture.width() as usize);
        let expected = *first.get_or_insert(size);
        if size != expected {
            let message =
                format!("{size:?} is not {expected:?}, the first one's height and width; size resizes all");
            return Err(Error::format(path.display().to_string(), "its size", message));
        }
        // Channels first.
        if options.grey {
            pixels.extend(picture.to_luma8().into_raw().into_iter().map(|v| f32::from(v) / 255.0));
        } else {
            let raw = picture.to_rgb8().into_raw();
            pixels.extend((0..3).flat_map(|c| raw.iter().skip(c).step_by(3).map(|&v| f32::from(v) / 255.0)));
        }
    }
    let (height, width) = first.unwrap_or_default();
    let shape = [paths.len(), if options.grey { 1 } else { 3 }, height, width];
    Ok(ImageFolder { images: Tensor::new(shape, pixels)?, labels: Tensor::from(labels), classes, paths })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma, Rgb, RgbImage};

    #[test]
    fn folders_are_classes() {
        let root = std::env::temp_dir().join(format!("kolmo-folder-{}", std::process::id()));
        for class in ["b", "a", "empty"] {
            fs::create_dir_all(root.join(class)).unwrap();
        }
        let red = RgbImage::from_fn(3, 2, |x, y| Rgb([if (x, y) == (1, 0) { 255 } else { 0 }, 51, 0]));
        red.save(root.join("a/red.png")).unwrap();
        GrayImage::from_pixel(3, 2, Luma([102])).save(root.join("b/grey.PNG")).unwrap();
        fs::write(root.join("b/notes.txt"), "no picture").unwrap();
        let all = image_folder(&root, ImageOptions::default()).unwrap();
        assert_eq!((all.classes.join(" "), all.labels.to_vec()), ("a b empty".to_string(), vec![0, 1]));
        assert_eq!(all.images.shape(), &[2, 3, 2, 3]);
        let values = all.images.to_vec();
        assert_eq!(values[..6], [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!((values[6], values[18]), (0.2, 0.4));
        let small = image_folder(&root, ImageOptions { size: Some((4, 5)), grey: true }).unwrap();
        assert_eq!(small.images.shape(), &[2, 1, 4, 5]);
        GrayImage::from_pixel(4, 2, Luma([0])).save(root.join("b/wide.png")).unwrap();
        let error = image_folder(&root, ImageOptions::default()).unwrap_err().to_string();
        assert!(error.contains("wide.png") && error.contains("(2, 4) is not (2, 3)"), "{error}");
        fs::write(root.join("a/broken.jpg"), "no picture").unwrap();
        assert!(image_folder(&root, ImageOptions::default()).unwrap_err().to_string().contains("broken.jpg"));
        fs::remove_dir_all(&root).unwrap();
        assert!(image_folder(&root, ImageOptions::default()).is_err());
    }
}
