//! Pictures from folders: a folder for each class, as many data sets come. The feature `images` has it.
use super::picture;
use crate::{
    error::{Error, Result},
    files::entries,
    tensor::{Tensor, pixels::planes},
};
use image::imageops::FilterType;
use std::path::{Path, PathBuf};

/// Largest height and width that pictures are resized to.
const LARGEST: u32 = 1 << 15;

/// How pictures are brought into one form.
///
/// ```
/// let options = kolmo::data::ImageOptions::new().size(32, 32).grayscale(true);
/// # assert!(kolmo::data::ImageFolder::load("nowhere", options).is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "options do nothing until they are given to what they are for"]
pub struct ImageOptions {
    size: Option<(u32, u32)>,
    grayscale: bool,
}

impl ImageOptions {
    /// Pictures as they are, which must be of one size.
    pub fn new() -> ImageOptions {
        ImageOptions::default()
    }

    /// Height and width that every picture is resized to (default: none, and all must be of one size).
    #[doc(alias = "Resize")]
    pub fn size(self, height: u32, width: u32) -> ImageOptions {
        ImageOptions { size: Some((height, width)), ..self }
    }

    /// One channel of brightness instead of red, green and blue (default no).
    pub fn grayscale(self, grayscale: bool) -> ImageOptions {
        ImageOptions { grayscale, ..self }
    }
}

/// What was found in folders.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ImageFolder {
    /// `[n, channels, height, width]`, from 0 to 1.
    pub images: Tensor<f32>,
    /// `[n]`
    pub labels: Tensor<u32>,
    /// The folders' names, in their order.
    pub classes: Vec<String>,
    /// Where each picture came from.
    pub paths: Vec<PathBuf>,
    /// Files that are no PNG or JPEG, by their contents, and whose names don't say that they are.
    pub skipped: Vec<PathBuf>,
}

impl ImageFolder {
    /// Reads all PNG and JPEG files of a folder's folders, each of which is a class; both in the order of
    /// their names. What a file is its contents say, not its name. Names that begin with a dot are left
    /// alone.
    ///
    /// Classes are numbered by the folders that are there: two roots, for training and for testing, have the
    /// same numbers only if they have the same folders.
    /// [`load_with_classes`](ImageFolder::load_with_classes) takes them from a list.
    ///
    /// # Errors
    /// No such folder, no pictures in it; a picture that can't be read or is cut off, or has another size
    /// than the first; pictures where none are looked for: in the root itself, or more than one folder
    /// down.
    pub fn load(root: impl AsRef<Path>, options: ImageOptions) -> Result<ImageFolder> {
        image_folder_at(root.as_ref(), options)
    }

    /// [`load`](ImageFolder::load) with classes that are numbered by their places in `classes`, as another
    /// [`ImageFolder`] has them.
    ///
    /// ```
    /// use kolmo::data::{ImageFolder, ImageOptions};
    /// fn both(options: ImageOptions) -> kolmo::Result<[ImageFolder; 2]> {
    ///     let train = ImageFolder::load("pets/train", options)?;
    ///     let test = ImageFolder::load_with_classes("pets/test", options, &train.classes)?;
    ///     Ok([train, test])
    /// }
    /// # assert!(both(ImageOptions::default()).is_err());
    /// ```
    ///
    /// # Errors
    /// As there, and a folder that is none of the classes. A class without a folder is none.
    pub fn load_with_classes(
        root: impl AsRef<Path>,
        options: ImageOptions,
        classes: &[String],
    ) -> Result<ImageFolder> {
        image_folder_of_at(root.as_ref(), options, classes)
    }
}

fn image_folder_at(root: &Path, options: ImageOptions) -> Result<ImageFolder> {
    let (mut folders, mut classes) = (Vec::new(), Vec::new());
    for folder in sorted(root)?.into_iter().filter(|p| p.is_dir()) {
        classes.push(folder.file_name().unwrap_or_default().to_string_lossy().into_owned());
        folders.push(folder);
    }
    read(root, options, classes, folders)
}

fn image_folder_of_at(root: &Path, options: ImageOptions, classes: &[String]) -> Result<ImageFolder> {
    let folders = sorted(root)?.into_iter().filter(|p| p.is_dir());
    for folder in folders {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        if !classes.iter().any(|class| *class == name) {
            let message = format!("it is none of the classes {}", classes.join(", "));
            return Err(Error::format(folder.display().to_string(), "its name", message));
        }
    }
    read(root, options, classes.to_vec(), classes.iter().map(|class| root.join(class)).collect())
}

/// What is in a folder and not hidden, in the order of names.
fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = entries(folder)?;
    all.retain(|p| p.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')));
    all.sort();
    Ok(all)
}

/// An error if there is a picture where none is looked for. Links may lead in circles, so it looks only so
/// deep.
fn no_pictures(path: &Path, depth: u32) -> Result<()> {
    if path.is_dir() {
        return match depth {
            0 => Ok(()),
            _ => sorted(path)?.iter().try_for_each(|inner| no_pictures(inner, depth - 1)),
        };
    }
    if picture::is_one(path)? {
        let message = "pictures are read from the root's folders, one for each class, and not from here";
        return Err(Error::format(path.display().to_string(), "its place", message));
    }
    Ok(())
}

fn read(
    root: &Path,
    options: ImageOptions,
    classes: Vec<String>,
    folders: Vec<PathBuf>,
) -> Result<ImageFolder> {
    if let Some((height, width)) = options.size
        && ![height, width].iter().all(|side| (1..=LARGEST).contains(side))
    {
        let message = format!("size {height} × {width}: takes 1 to {LARGEST} each");
        return Err(Error::invalid("image_folder", message));
    }
    let (mut labels, mut paths, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    for path in sorted(root)?.into_iter().filter(|p| !p.is_dir()) {
        no_pictures(&path, 0)?;
        skipped.push(path);
    }
    for (label, folder) in folders.iter().enumerate().filter(|(_, folder)| folder.is_dir()) {
        for path in sorted(folder)? {
            if path.is_dir() {
                no_pictures(&path, 8)?;
            } else if picture::is_one(&path)? {
                labels.push(label as u32);
                paths.push(path);
            } else {
                skipped.push(path);
            }
        }
    }
    if paths.is_empty() {
        let message = format!("{} has no folder with PNG or JPEG files", root.display());
        return Err(Error::invalid("image_folder", message));
    }
    let (mut pixels, mut first) = (Vec::new(), None);
    for path in &paths {
        let picture = picture::read(path)?;
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
        if options.grayscale {
            pixels.extend(picture.to_luma8().into_raw().into_iter().map(|v| f32::from(v) / 255.0));
        } else {
            let raw = picture.to_rgb8().into_raw();
            pixels.extend(planes(&raw, 3).map(|v| f32::from(v) / 255.0));
        }
    }
    let (height, width) = first.unwrap_or_default();
    let shape = [paths.len(), if options.grayscale { 1 } else { 3 }, height, width];
    Ok(ImageFolder {
        images: Tensor::new(shape, pixels)?,
        labels: Tensor::from(labels),
        classes,
        paths,
        skipped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{GrayImage, Luma, Rgb, RgbImage};
    use std::fs;

    #[test]
    fn folders_of_pictures_are_classes() {
        let root = std::env::temp_dir().join(format!("kolmo-folder-{}", std::process::id()));
        for class in ["b", "a", "empty"] {
            fs::create_dir_all(root.join(class)).unwrap();
        }
        let red = RgbImage::from_fn(3, 2, |x, y| Rgb([if (x, y) == (1, 0) { 255 } else { 0 }, 51, 0]));
        red.save(root.join("a/red.png")).unwrap();
        GrayImage::from_pixel(3, 2, Luma([102])).save(root.join("b/grey.PNG")).unwrap();
        fs::write(root.join("b/notes.txt"), "no picture").unwrap();
        let all = ImageFolder::load(&root, ImageOptions::default()).unwrap();
        assert_eq!((all.classes.join(" "), all.labels.to_vec()), ("a b empty".to_string(), vec![0, 1]));
        assert_eq!(all.images.shape(), &[2, 3, 2, 3]);
        let values = all.images.to_vec();
        assert_eq!(values[..6], [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!((values[6], values[18]), (0.2, 0.4));
        let small = ImageFolder::load(&root, ImageOptions::new().size(4, 5).grayscale(true)).unwrap();
        assert_eq!(small.images.shape(), &[2, 1, 4, 5]);
        GrayImage::from_pixel(4, 2, Luma([0])).save(root.join("b/wide.png")).unwrap();
        let error = ImageFolder::load(&root, ImageOptions::default()).unwrap_err().to_string();
        assert!(error.contains("wide.png") && error.contains("(2, 4) is not (2, 3)"), "{error}");
        fs::remove_file(root.join("b/wide.png")).unwrap();
        // Hidden names are left alone, contents count, and the same classes have the same numbers elsewhere.
        for hidden in [".ipynb_checkpoints/x.png", "a/._red.png", "a/.cache/x.png", "b/deep/notes.txt"] {
            fs::create_dir_all(root.join(hidden).parent().unwrap()).unwrap();
            fs::write(root.join(hidden), "no picture").unwrap();
        }
        red.save_with_format(root.join("a/named.jpg"), image::ImageFormat::Png).unwrap();
        red.save_with_format(root.join("b/unnamed"), image::ImageFormat::Png).unwrap();
        let all = ImageFolder::load(&root, ImageOptions::default()).unwrap();
        assert_eq!((all.classes.join(" "), all.labels.to_vec()), ("a b empty".into(), vec![0, 0, 1, 1]));
        assert_eq!(all.skipped, [root.join("b/notes.txt")]);
        let classes = ["z", "empty", "b", "a"].map(String::from);
        let other = ImageFolder::load_with_classes(&root, ImageOptions::default(), &classes).unwrap();
        assert_eq!((other.classes, other.labels.to_vec()), (classes.to_vec(), vec![2, 2, 3, 3]));
        assert!(ImageFolder::load_with_classes(&root, ImageOptions::default(), &classes[..3]).is_err());
        let told = |part: &str| {
            let error = ImageFolder::load(&root, ImageOptions::default()).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        for place in ["top", "b/deep/lost.png"] {
            red.save_with_format(root.join(place), image::ImageFormat::Png).unwrap();
            told(place);
            fs::remove_file(root.join(place)).unwrap();
        }
        fs::write(root.join("a/broken.jpg"), "no picture").unwrap();
        told("broken.jpg");
        for size in [(0, 3), (3, u32::MAX)] {
            assert!(
                ImageFolder::load(&root, ImageOptions::new().size(size.0, size.1).grayscale(true)).is_err()
            );
        }
        fs::remove_dir_all(&root).unwrap();
        assert!(ImageFolder::load(&root, ImageOptions::default()).is_err());
    }
}
