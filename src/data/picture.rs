//! One picture of a file: PNG or JPEG, by its contents, whole, and not larger than its bytes can tell.
use crate::{
    error::{Error, Result},
    files,
};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use std::{
    io::{Cursor, Read},
    path::Path,
};

/// Bytes that one byte of a deflated stream can stand for at most, and pixels that one byte of a JPEG can: a
/// block of 64 takes a bit.
const MOST: u64 = 1032;

/// Whether a file is a PNG or a JPEG, or has a name that says so.
pub(super) fn is_one(path: &Path) -> Result<bool> {
    let end = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    if ["png", "jpg", "jpeg"].contains(&end.as_str()) {
        return Ok(true);
    }
    let mut first = Vec::new();
    files::open(path)?.take(16).read_to_end(&mut first).map_err(|e| Error::io(path, e))?;
    Ok(format(&first).is_some())
}

fn format(bytes: &[u8]) -> Option<ImageFormat> {
    image::guess_format(bytes).ok().filter(|f| [ImageFormat::Png, ImageFormat::Jpeg].contains(f))
}

pub(super) fn read(path: &Path) -> Result<DynamicImage> {
    let bytes = files::read(path)?;
    decode(&bytes).map_err(|message| Error::format(path.display().to_string(), "its contents", message))
}

fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    let format = format(bytes).ok_or("this is no PNG or JPEG")?;
    let whole = if format == ImageFormat::Png { png_ends(bytes) } else { jpeg_ends(bytes) };
    if whole.is_none() {
        return Err(format!("the picture is cut off after {} bytes", bytes.len()));
    }
    let decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder();
    let decoder = decoder.map_err(|e| e.to_string())?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    // Of a PNG the packed rows are what is deflated.
    let bits = if format == ImageFormat::Png { decoder.original_color_type().bits_per_pixel() } else { 8 };
    let size = bytes.len() as u64;
    if pixels.saturating_mul(bits.into()) / 8 > MOST.saturating_mul(size) {
        return Err(format!("{size} bytes can't hold the {height} × {width} pixels that they claim"));
    }
    DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())
}

/// Where a PNG ends, if it does: the chunk that says so.
fn png_ends(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.get(8..)?;
    loop {
        let (len, after) = rest.split_first_chunk::<4>()?;
        let (kind, after) = after.split_first_chunk::<4>()?;
        // The checksum is part of it.
        rest = after.get((u32::from_be_bytes(*len) as usize).checked_add(4)?..)?;
        if kind == b"IEND" {
            return Some(());
        }
    }
}

/// Where a JPEG ends, if it does: the marker that says so. One inside of a segment, such as that of a small
/// picture for a preview, is none.
fn jpeg_ends(bytes: &[u8]) -> Option<()> {
    let mut rest = bytes.get(2..)?;
    loop {
        // Coded data go on to the next marker that is neither a stuffed byte nor a restart, filled up by
        // 0xff.
        let at = rest.windows(2).position(|w| w[0] == 0xff && !matches!(w[1], 0 | 0xd0..=0xd7 | 0xff))?;
        let (marker, after) = (rest[at + 1], rest.get(at + 2..)?);
        if marker == 0xd9 {
            return Some(());
        }
        let (len, _) = after.split_first_chunk::<2>()?;
        rest = after.get(u16::from_be_bytes(*len).into()..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Rgb, RgbImage};

    fn encoded(format: ImageFormat) -> Vec<u8> {
        let mut random = 1u32;
        let noise = RgbImage::from_fn(40, 30, |_, _| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Rgb([(random >> 24) as u8, (random >> 16) as u8, 9])
        });
        let mut out = Cursor::new(Vec::new());
        noise.write_to(&mut out, format).unwrap();
        out.into_inner()
    }

    #[test]
    fn a_cut_picture_is_told_wherever_it_is_cut() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg] {
            let whole = encoded(format);
            assert!(decode(&whole).is_ok());
            for cut in 0..whole.len() {
                assert!(decode(&whole[..cut]).is_err(), "{format:?}: {cut} of {}", whole.len());
            }
        }
    }

    #[test]
    fn blank_pictures_are_read_and_false_sizes_are_not() {
        let mut blank = Cursor::new(Vec::new());
        image::GrayImage::new(2000, 2000).write_to(&mut blank, ImageFormat::Png).unwrap();
        let mut blank = blank.into_inner();
        assert_eq!(decode(&blank).unwrap().width(), 2000);
        // Width and height of the header, and its checksum.
        blank[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
        let mut crc = flate2::Crc::new();
        crc.update(&blank[12..29]);
        blank[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        let error = decode(&blank).unwrap_err();
        assert!(error.contains("can't hold the 65536 × 65536 pixels"), "{error}");
    }
}
