//! Pictures of the crate `image`: tensors from them, and they from tensors.
use super::Tensor;
use crate::error::{Error, Result};
use image::{DynamicImage, GrayImage, RgbImage};

/// The channels one after the other of pixels that have them side by side.
pub(crate) fn planes<T: Copy>(pixels: &[T], channels: usize) -> impl Iterator<Item = T> {
    (0..channels).flat_map(move |c| pixels.iter().skip(c).step_by(channels).copied())
}

fn tensor(channels: usize, (width, height): (u32, u32), values: impl Iterator<Item = f32>) -> Tensor<f32> {
    let (mut values, shape) = (values, [channels, height as usize, width as usize]);
    Tensor::from_fn(shape, |_| values.next().unwrap_or_default())
}

/// `[3, height, width]`, from 0 to 1. Needs the feature `images`.
impl From<&RgbImage> for Tensor<f32> {
    fn from(picture: &RgbImage) -> Tensor<f32> {
        tensor(3, picture.dimensions(), planes(picture.as_raw(), 3).map(|v| f32::from(v) / 255.0))
    }
}

/// `[1, height, width]`, from 0 to 1. Needs the feature `images`.
impl From<&GrayImage> for Tensor<f32> {
    fn from(picture: &GrayImage) -> Tensor<f32> {
        tensor(1, picture.dimensions(), picture.as_raw().iter().map(|&v| f32::from(v) / 255.0))
    }
}

/// `[3, height, width]`, or `[1, height, width]` of a picture without colours, from 0 to 1; numbers of 16 and
/// 32 bits keep them. What is transparent is not told. Needs the feature `images`.
impl From<&DynamicImage> for Tensor<f32> {
    fn from(picture: &DynamicImage) -> Tensor<f32> {
        let size = (picture.width(), picture.height());
        if picture.color().has_color() {
            tensor(3, size, planes(picture.to_rgb32f().as_raw(), 3))
        } else {
            tensor(1, size, picture.to_luma32f().into_raw().into_iter())
        }
    }
}

/// Bytes of the pixels of a tensor, channels side by side, and the picture's size.
fn pixels(tensor: &Tensor<f32>, most: &[usize]) -> Result<(usize, (u32, u32), Vec<u8>)> {
    tensor.ok()?;
    let (shape, side) = (tensor.shape(), |n| u32::try_from(n).ok());
    let sizes = match **shape {
        [channels, height, width] if most.contains(&channels) => {
            side(width).zip(side(height)).map(|size| (channels, size))
        }
        _ => None,
    };
    let Some((channels, size)) = sizes else {
        let channels: Vec<String> = most.iter().map(usize::to_string).collect();
        let message = format!("it is made of [{}, height, width], not of {shape}", channels.join(" or "));
        return Err(Error::invalid("picture", message));
    };
    let bytes =
        planes(&tensor.to_vec(), tensor.numel() / channels).map(|v| (v * 255.0).round() as u8).collect();
    Ok((channels, size, bytes))
}

fn whole<P>(made: Option<P>) -> Result<P> {
    made.ok_or_else(|| Error::invalid("picture", "its pixels don't fill it"))
}

/// Of `[3, height, width]`, from 0 to 1; what is beyond becomes the nearest byte. Needs the feature `images`.
///
/// # Errors
/// The tensor has another shape.
impl TryFrom<&Tensor<f32>> for RgbImage {
    type Error = Error;

    fn try_from(tensor: &Tensor<f32>) -> Result<RgbImage> {
        let (_, (width, height), bytes) = pixels(tensor, &[3])?;
        whole(RgbImage::from_raw(width, height, bytes))
    }
}

/// Of `[1, height, width]`, from 0 to 1; what is beyond becomes the nearest byte. Needs the feature `images`.
///
/// # Errors
/// The tensor has another shape.
impl TryFrom<&Tensor<f32>> for GrayImage {
    type Error = Error;

    fn try_from(tensor: &Tensor<f32>) -> Result<GrayImage> {
        let (_, (width, height), bytes) = pixels(tensor, &[1])?;
        whole(GrayImage::from_raw(width, height, bytes))
    }
}

/// Of one channel or three, as [`GrayImage`] or [`RgbImage`]. Needs the feature `images`.
///
/// ```
/// use image::DynamicImage;
/// use kolmo::Tensor;
/// let x = Tensor::from_fn([3, 2, 2], |i| i as f32 / 15.0);
/// let picture = DynamicImage::try_from(&x)?;
/// assert_eq!(picture.to_rgb8().get_pixel(1, 0).0, [17, 85, 153]);
/// assert_eq!(Tensor::from(&picture).shape(), &[3, 2, 2]);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// The tensor has another shape.
impl TryFrom<&Tensor<f32>> for DynamicImage {
    type Error = Error;

    fn try_from(tensor: &Tensor<f32>) -> Result<DynamicImage> {
        let (channels, ..) = pixels(tensor, &[1, 3])?;
        if channels == 1 {
            GrayImage::try_from(tensor).map(Into::into)
        } else {
            RgbImage::try_from(tensor).map(Into::into)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, Luma, Rgb};

    #[test]
    fn pictures_come_back_pixel_by_pixel() {
        let colours = RgbImage::from_fn(5, 3, |x, y| Rgb([(17 * x) as u8, (100 * y) as u8, 255 - x as u8]));
        let grey = GrayImage::from_fn(16, 16, |x, y| Luma([(16 * y + x) as u8]));
        let (a, b) = (Tensor::from(&colours), Tensor::from(&grey));
        assert_eq!((a.shape().to_vec(), b.shape().to_vec()), (vec![3, 3, 5], vec![1, 16, 16]));
        assert_eq!((a.get([1, 2, 0]), a.get([0, 0, 4])), (Some(200.0 / 255.0), Some(68.0 / 255.0)));
        assert_eq!(
            (RgbImage::try_from(&a).unwrap(), GrayImage::try_from(&b).unwrap()),
            (colours.clone(), grey.clone())
        );
        for (picture, tensor) in [(DynamicImage::from(colours), &a), (DynamicImage::from(grey), &b)] {
            assert_eq!(Tensor::from(&picture), *tensor);
            assert_eq!(DynamicImage::try_from(tensor).unwrap(), picture);
        }
        let deep = ImageBuffer::from_fn(1, 1, |_, _| Luma([257u16]));
        assert_eq!(Tensor::from(&DynamicImage::from(deep)).to_vec(), [257.0 / 65535.0]);
        let beyond = Tensor::from([[[-1.0f32, 2.0, f32::NAN, 0.5]]]);
        assert_eq!(GrayImage::try_from(&beyond).unwrap().into_raw(), [0, 255, 0, 128]);
    }

    #[test]
    fn other_shapes_are_told() {
        for shape in [&[2, 2][..], &[2, 3, 3], &[1, 1, 3, 3]] {
            let error = DynamicImage::try_from(&Tensor::zeros(shape)).unwrap_err().to_string();
            assert!(error.contains("[1 or 3, height, width]"), "{error}");
        }
        assert!(RgbImage::try_from(&Tensor::zeros([1, 2, 2])).is_err());
        assert_eq!(RgbImage::try_from(&Tensor::zeros([3, 0, 2])).unwrap().dimensions(), (2, 0));
    }
}
