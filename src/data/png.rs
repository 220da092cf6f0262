//! Pixels as a PNG file: the three chunks that it needs.
use flate2::{Compression, Crc, write::ZlibEncoder};
use std::io::{self, Write};

/// A PNG of 8-bit red, green and blue, row by row.
pub(crate) fn encode(pixels: &[u8], (width, height): (u32, u32)) -> io::Result<Vec<u8>> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    for row in pixels.chunks(3 * width.max(1) as usize) {
        // Each row begins with its filter: none.
        packed.write_all(&[0])?;
        packed.write_all(row)?;
    }
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    // Eight bits, red, green and blue; the usual compression and filters, not interlaced.
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat();
    for (kind, data) in [(b"IHDR", header), (b"IDAT", packed.finish()?), (b"IEND", Vec::new())] {
        let mut crc = Crc::new();
        crc.update(kind);
        crc.update(&data);
        out.extend(u32::try_from(data.len()).map_err(io::Error::other)?.to_be_bytes());
        out.extend_from_slice(kind);
        out.extend(data);
        out.extend(crc.sum().to_be_bytes());
    }
    Ok(out)
}
