//! The file: what it begins with, and a text coded by the predictor or, where that doesn't help, as it is.
//!
//! | bytes | what |
//! | --- | --- |
//! | 3 | `sqz` |
//! | 1 | version and form: 0x10 the bytes as they are, 0x11 coded |
//! | 4 | CRC-32 of the bytes, low byte first |
//! | 1 | if coded: the size of the table, `2^n` buckets of 32 bytes |
//! | 1 to 10 | if coded: how many bytes, seven bits at a time, the low ones first |
//! | | the bytes, or the range coder's |
use super::model::{BUCKETS, Model};
use flate2::Crc;
use kolmo::compress::coding::{BitCoder, Decoder, Encoder};

type Result<T, E = Box<dyn std::error::Error>> = std::result::Result<T, E>;

const MAGIC: &[u8] = b"sqz";
const STORED: u8 = 0x10;
const CODED: u8 = 0x11;
/// What comes before the bytes themselves if they are stored.
pub const OVERHEAD: usize = 8;
/// No byte takes less than `8 * log2(1 / (1 - 1 / 65536))` bits, so no coded byte holds more than these.
const DENSEST: u64 = 46_000;
/// Bytes that end the coder's stream at most, some of which it may leave out.
const TAIL: u64 = 8;

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

/// The size of the table for `length` bytes within `memory` MiB: larger for longer texts, up to the limit.
fn table_size(length: u64, memory: u64) -> u8 {
    let wanted = length.saturating_mul(32).max(1 << BUCKETS.start()).ilog2() + 1;
    let allowed = (memory.max(1) << 15).ilog2();
    wanted.min(allowed).clamp(*BUCKETS.start(), *BUCKETS.end()) as u8
}

/// Codes `bytes`; `progress` hears now and then how many are done.
pub fn encode(bytes: &[u8], memory: u64, mut progress: impl FnMut(u64)) -> Vec<u8> {
    let table = table_size(bytes.len() as u64, memory);
    let mut model = Model::new(table.into());
    let mut coder = Encoder::new();
    for (i, &byte) in bytes.iter().enumerate() {
        if i % 1024 == 0 {
            progress(i as u64);
        }
        code_byte(&mut model, &mut coder, byte);
    }
    let mut header = vec![CODED];
    header.extend(checksum(bytes));
    header.push(table);
    let mut rest = bytes.len();
    while rest >= 128 {
        header.push(rest as u8 | 128);
        rest >>= 7;
    }
    header.push(rest as u8);
    let coded = coder.finish();
    if MAGIC.len() + header.len() + coded.len() < OVERHEAD + bytes.len() {
        [MAGIC, &header, &coded].concat()
    } else {
        [MAGIC, &[STORED], &checksum(bytes), bytes].concat()
    }
}

/// What [`encode`] was given. A file whose table takes more than `memory` MiB is refused.
pub fn decode(file: &[u8], memory: u64, mut progress: impl FnMut(u64, u64)) -> Result<Vec<u8>> {
    let (&form, rest) = file
        .strip_prefix(MAGIC)
        .and_then(<[u8]>::split_first)
        .ok_or("this is no squeezed file: it does not begin with \"sqz\"")?;
    let (sum, mut rest) = rest.split_first_chunk::<4>().ok_or("the file is cut: its checksum is missing")?;
    let bytes = match form {
        STORED => rest.to_vec(),
        CODED => {
            let table = *take(&mut rest)?;
            let mut length = 0u64;
            for shift in (0..).step_by(7) {
                let byte = u64::from(*take(&mut rest)?);
                if shift > 56 {
                    return Err(
                        "the file is damaged: its length has more than nine digits of seven bits".into()
                    );
                }
                length |= (byte & 127) << shift;
                if byte < 128 {
                    break;
                }
            }
            let most = (rest.len() as u64 + TAIL).saturating_mul(DENSEST);
            if length > most {
                return Err(format!("the file is damaged: {} bytes can't hold {length}", rest.len()).into());
            }
            if !BUCKETS.contains(&table.into()) {
                return Err(format!(
                    "the file is damaged: a table of 2^{table} buckets, {BUCKETS:?} are possible"
                )
                .into());
            }
            let needs = (32u64 << table).div_ceil(1 << 20);
            if needs > memory.max(1) {
                return Err(format!(
                    "the file takes {needs} MiB for its table: --memory {needs} allows that, not {memory}"
                )
                .into());
            }
            if table > table_size(length, memory) {
                return Err(
                    format!("the file is damaged: a table of 2^{table} buckets for {length} bytes").into()
                );
            }
            decode_bytes(rest, length, table, &mut progress)?
        }
        _ => {
            return Err(format!(
                "the form {form:#04x} of the file is not known: {STORED:#04x} and {CODED:#04x} are"
            )
            .into());
        }
    };
    if checksum(&bytes) != *sum {
        return Err("the file is damaged: its bytes have another checksum".into());
    }
    Ok(bytes)
}

fn take<'a>(rest: &mut &'a [u8]) -> Result<&'a u8> {
    let (first, behind) = rest.split_first().ok_or("the file is cut within its header")?;
    *rest = behind;
    Ok(first)
}

fn decode_bytes(
    coded: &[u8],
    length: u64,
    table: u8,
    progress: &mut impl FnMut(u64, u64),
) -> Result<Vec<u8>> {
    let mut model = Model::new(table.into());
    let mut coder = Decoder::new(coded);
    let mut bytes = Vec::new();
    for i in 0..length {
        if i % 1024 == 0 {
            progress(i, length);
        }
        bytes.push(code_byte(&mut model, &mut coder, 0));
        if coder.exhausted() {
            return Err(format!("the file is cut or damaged: it ends after {i} of {length} bytes").into());
        }
    }
    match coder.unread() {
        0 => Ok(bytes),
        n => Err(format!("the file is damaged: {n} bytes are left after the last").into()),
    }
}

fn code_byte<C: BitCoder>(model: &mut Model, coder: &mut C, byte: u8) -> u8 {
    (0..8).rev().fold(0, |read, i| {
        let bit = coder.code(byte >> i & 1 == 1, model.predict());
        model.update(bit);
        read << 1 | u8::from(bit)
    })
}
