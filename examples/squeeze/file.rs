//! The file: what it begins with, and a text coded by the predictor or, where that doesn't help, as it is.
//!
//! | bytes | what |
//! | --- | --- |
//! | 3 | `sqz` |
//! | 1 | version and form: 0x10 the bytes as they are, 0x12 coded, 0x13 coded after a text that is known |
//! | 4 | CRC-32 of the bytes, low byte first |
//! | 4 | if after a text that is known: its CRC-32 |
//! | | if coded: the line ends that were taken out of the text, as in `parts.rs` |
//! | 1 | if coded: the size of the table, `2^n` buckets of 32 bytes |
//! | 1 to 9 | if coded: how many bytes, seven bits at a time, the low ones first |
//! | | the bytes, or the range coder's |
use super::{
    lines::Lines,
    parts::{Result, checksum, put_lines, put_number, take, take_bytes, take_lines, take_number},
    predictor::model::{BUCKETS, Guest, Model},
};
use kolmo::compress::coding::{BitCoder, Decoder, Encoder};

pub const MAGIC: &[u8] = b"sqz";
const STORED: u8 = 0x10;
const CODED: u8 = 0x12;
const PRIMED: u8 = 0x13;
/// What comes before the bytes themselves if they are stored.
pub const OVERHEAD: usize = 8;
/// No byte takes less than `8 * log2(1 / (1 - 1 / 65536))` bits, so no coded byte holds more than these.
const DENSEST: u64 = 46_000;
/// Bytes that end the coder's stream at most, some of which it may leave out.
const TAIL: u64 = 8;

/// The size of the table for `length` bytes within `memory` MiB: larger for longer texts, up to the limit.
fn table_size(length: u64, memory: u64) -> u8 {
    let wanted = length.saturating_mul(32).max(1 << BUCKETS.start()).ilog2() + 1;
    let allowed = (memory.max(1) << 15).ilog2();
    wanted.min(allowed).clamp(*BUCKETS.start(), *BUCKETS.end()) as u8
}

/// Codes `bytes`, which the predictor meets as if `prime` had stood before them; `progress` hears now and then how
/// many of both are done.
pub fn encode(bytes: &[u8], prime: &[u8], memory: u64, mut progress: impl FnMut(u64)) -> Vec<u8> {
    let (lines, text) = Lines::take(bytes);
    let known = Lines::take(prime).1;
    let table = table_size((known.len() + text.len()) as u64, memory);
    let mut model = primed(&known, table, &mut progress);
    let mut coder = Encoder::new();
    for (i, &byte) in text.iter().enumerate() {
        if i % 1024 == 0 {
            progress((known.len() + i) as u64);
        }
        code_byte(&mut model, &mut coder, byte);
    }
    let mut file = match prime {
        [] => [MAGIC, &[CODED], &checksum(bytes)[..]].concat(),
        _ => [MAGIC, &[PRIMED], &checksum(bytes)[..], &checksum(prime)].concat(),
    };
    put_lines(&mut file, &lines);
    file.push(table);
    put_number(&mut file, text.len() as u64);
    file.extend(coder.finish());
    if file.len() < OVERHEAD + bytes.len() {
        file
    } else {
        [MAGIC, &[STORED], &checksum(bytes), bytes].concat()
    }
}

/// A predictor that has met a text.
fn primed(known: &[u8], table: u8, progress: &mut impl FnMut(u64)) -> Model {
    let mut model = Model::new(table.into(), false);
    for (i, &byte) in known.iter().enumerate() {
        if i % 1024 == 0 {
            progress(i as u64);
        }
        for i in (0..8).rev() {
            model.predict(Guest::default());
            model.update(byte >> i & 1 == 1);
        }
    }
    model
}

/// What [`encode`] was given, after the same `prime`; a file that was made without one needs none. A file whose
/// table takes more than `memory` MiB is refused.
pub fn decode(file: &[u8], prime: &[u8], memory: u64, mut progress: impl FnMut(u64, u64)) -> Result<Vec<u8>> {
    let (&form, rest) = file
        .strip_prefix(MAGIC)
        .and_then(<[u8]>::split_first)
        .ok_or("this is no squeezed file: it does not begin with \"sqz\"")?;
    let (sum, mut rest) = rest.split_first_chunk::<4>().ok_or("the file is cut: its checksum is missing")?;
    let bytes = match form {
        STORED => rest.to_vec(),
        CODED | PRIMED => {
            let prime = if form == PRIMED { prime } else { &[] };
            if form == PRIMED {
                check_prime(take_bytes(&mut rest, 4)?, prime)?;
            }
            let known = Lines::take(prime).1;
            let lines = take_lines(&mut rest)?;
            let table = take(&mut rest)?;
            let length = take_number(&mut rest)?;
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
            if table > table_size(length.saturating_add(known.len() as u64), memory) {
                return Err(
                    format!("the file is damaged: a table of 2^{table} buckets for {length} bytes").into()
                );
            }
            let all = length.saturating_add(known.len() as u64);
            let model = primed(&known, table, &mut |done| progress(done, all));
            let text = decode_bytes(rest, length, model, |done| progress(known.len() as u64 + done, all))?;
            lines.put(text).ok_or("the file is damaged: its line ends don't fit its text")?
        }
        _ => {
            return Err(format!(
                "the form {form:#04x} of the file is not known: {STORED:#04x}, {CODED:#04x} and {PRIMED:#04x} are"
            )
            .into());
        }
    };
    if checksum(&bytes) != *sum {
        return Err("the file is damaged: its bytes have another checksum".into());
    }
    Ok(bytes)
}

/// That a text is the one whose checksum a file has.
fn check_prime(theirs: &[u8], prime: &[u8]) -> Result<()> {
    let ours = checksum(prime);
    if theirs == ours {
        return Ok(());
    }
    let hex = |sum: &[u8]| sum.iter().rev().map(|byte| format!("{byte:02x}")).collect::<String>();
    let given =
        if prime.is_empty() { "none is given".into() } else { format!("this one has {}", hex(&ours)) };
    let theirs = hex(theirs);
    Err(format!("the file was made after a text with CRC-32 {theirs}, which --prime takes: {given}").into())
}

fn decode_bytes(
    coded: &[u8],
    length: u64,
    mut model: Model,
    mut progress: impl FnMut(u64),
) -> Result<Vec<u8>> {
    let mut coder = Decoder::new(coded);
    let mut bytes = Vec::new();
    for i in 0..length {
        if i % 1024 == 0 {
            progress(i);
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
        let bit = coder.code(byte >> i & 1 == 1, model.predict(Guest::default()));
        model.update(bit);
        read << 1 | u8::from(bit)
    })
}
