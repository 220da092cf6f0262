//! Parts of files: numbers, checksums, and what was taken out of a text.
use super::lines::{Lines, MOST_SPACES};
use flate2::Crc;

pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

pub fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

/// The first byte.
pub fn take(rest: &mut &[u8]) -> Result<u8> {
    let (first, behind) = rest.split_first().ok_or("the file is cut within its header")?;
    *rest = behind;
    Ok(*first)
}

/// So many bytes.
pub fn take_bytes<'a>(rest: &mut &'a [u8], count: u64) -> Result<&'a [u8]> {
    let parts = usize::try_from(count).ok().and_then(|count| rest.split_at_checked(count));
    let (first, behind) =
        parts.ok_or_else(|| format!("the file is cut: {} of {count} bytes are there", rest.len()))?;
    *rest = behind;
    Ok(first)
}

/// Seven bits at a time, the low ones first; the last byte is below 128.
pub fn put_number(file: &mut Vec<u8>, mut number: u64) {
    while number >= 128 {
        file.push(number as u8 | 128);
        number >>= 7;
    }
    file.push(number as u8);
}

pub fn take_number(rest: &mut &[u8]) -> Result<u64> {
    let mut number = 0u64;
    for shift in (0..63).step_by(7) {
        let byte = u64::from(take(rest)?);
        number |= (byte & 127) << shift;
        if byte < 128 {
            return Ok(number);
        }
    }
    Err("the file is damaged: its length has more than nine digits of seven bits".into())
}

/// A byte: 1 if lines end in `\r\n`, 2 if paragraphs were wrapped, and 4 times the spaces that their lines
/// begin with; then the length of the coded breaks, and these.
pub fn put_lines(file: &mut Vec<u8>, lines: &Lines) {
    let (spaces, coded) = lines.wrapped.as_ref().map_or((0, None), |(spaces, coded)| (*spaces, Some(coded)));
    file.push(u8::from(lines.returns) | u8::from(coded.is_some()) << 1 | spaces << 2);
    if let Some(coded) = coded {
        put_number(file, coded.len() as u64);
        file.extend(coded);
    }
}

pub fn take_lines(rest: &mut &[u8]) -> Result<Lines> {
    let told = take(rest)?;
    let (wrapped, spaces) = (told & 2 > 0, told >> 2);
    if spaces > if wrapped { MOST_SPACES } else { 0 } {
        return Err(format!("the file is damaged: {spaces} spaces before each line").into());
    }
    let length = if wrapped { take_number(rest)? } else { 0 };
    let coded = take_bytes(rest, length)?.to_vec();
    Ok(Lines { returns: told & 1 > 0, wrapped: wrapped.then_some((spaces, coded)) })
}
