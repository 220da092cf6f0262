//! From bytes to an artifact. Nothing in the file is believed before it has been checked, and buffers grow
//! only as elements are really decoded.
use std::collections::{BTreeMap, BTreeSet};

use super::{
    artifact::{Artifact, Entry, EntryData, Shift},
    bits::{crc32, from_bits},
    cursor::{Cursor, damaged, finish},
    joined::{self, Content, Joined},
    layout::*,
    piece::{MOST_COLUMNS, Shifts, below},
    sections::{read_bits, read_centroids, read_values},
};
use crate::{
    compress::{
        coding::Decoder,
        models::{Grid, TextModel, code_codes, code_mask},
    },
    error::Result,
    kernels::packed::HalfFloat,
    param::Groups,
    real::half::bf16_bits_to_f32,
};

/// What is in a file of the entries that are `wanted` by their names. Pieces of others aren't looked at.
pub(super) fn decode(bytes: &[u8], wanted: &dyn Fn(&str) -> bool) -> Result<Artifact> {
    let found = |bytes: &[u8]| format!("{bytes:02x?}");
    let start = bytes.get(..MAGIC.len()).unwrap_or(bytes);
    if start.len() < MAGIC.len() && MAGIC.starts_with(start) {
        let found = format!("the end of the file after {} bytes: it is cut short", start.len());
        return Err(damaged("the mark of a .kolmo file", 0, String::from_utf8_lossy(MAGIC), found));
    }
    if start != MAGIC {
        return Err(damaged("the mark of a .kolmo file", 0, found(MAGIC), found(start)));
    }
    let in_pieces = match bytes.get(MAGIC.len()) {
        Some(&VERSION) => false,
        Some(&PIECES_VERSION) => true,
        Some(2) => {
            let found = "2: it is a mapped file, which MappedModel::open reads";
            return Err(damaged("version", MAGIC.len(), VERSION, found));
        }
        Some(other) => return Err(damaged("version", MAGIC.len(), VERSION, other)),
        None => {
            let found = "the end of the file: it is cut short";
            return Err(damaged("version", MAGIC.len(), VERSION, found));
        }
    };
    let mut file = Cursor { what: "file".into(), bytes, position: MAGIC.len() + 1, base: Some(0) };
    let mut end = bytes.len().saturating_sub(CHECKSUM_BYTES).max(MAGIC.len() + 1);
    if in_pieces {
        // How far the checksum reaches.
        file.number("length of the header", u64::from(u32::MAX))?;
        let header = file.number("coded length of the header", bytes.len() as u64)?;
        let sections = file.number("length of the sections", bytes.len() as u64)?;
        file.take("header and sections", header.saturating_add(sections) as usize)?;
        end = file.position;
        file.take("checksum", CHECKSUM_BYTES)?;
    }
    let (body, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
    let checksum = rest.get(..CHECKSUM_BYTES).unwrap_or(rest);
    let expected = crc32(body).to_le_bytes();
    if checksum != expected {
        let found = format!("{}: the file is damaged or cut short", found(checksum));
        return Err(damaged("checksum of the bytes before it", end, format!("{expected:02x?}"), found));
    }

    let mut outer = Cursor { what: "header".into(), bytes: body, position: MAGIC.len() + 1, base: Some(0) };
    let plain_and_flat = outer.number("length", u64::from(u32::MAX))?;
    let (plain, flat) = ((plain_and_flat >> 1) as usize, plain_and_flat & 1 == 1);
    let coded_length = outer.number("coded length", body.len() as u64)? as usize;
    if in_pieces {
        outer.number("length of the sections", body.len() as u64)?;
    }
    let header_offset = outer.position;
    let coded = outer.take("coded bytes", coded_length)?;
    let header = decode_header(coded, plain, flat, header_offset)?;
    let mut table = Cursor { what: "header".into(), bytes: &header, position: 0, base: None };
    table.base = flat.then_some(header_offset);
    let mut artifact = Artifact { meta: read_meta(&mut table)?, entries: Vec::new() };

    let count = table.number("number of entries", bytes.len() as u64)?;
    let mut names = BTreeSet::new();
    let mut name = Vec::new();
    let mut joined = Vec::new();
    let mut pieces = in_pieces.then_some(&mut file);
    for number in 0..count {
        table.what = format!("header: entry {number}");
        let shared = table.number("length of the shared part of the name", name.len() as u64)? as usize;
        name.truncate(shared);
        name.extend_from_slice(table.bytes("name")?);
        if name.len() > MAX_NAME {
            return Err(table.error(format!("a name of at most {MAX_NAME} bytes"), name.len()));
        }
        let text = table.text(name.clone())?;
        if !names.insert(text.clone()) {
            return Err(table.error("a name not used before", format!("{text:?}")));
        }
        table.what = format!("entry {text:?}");
        let wanted = wanted(&text);
        let (entry, later) = read_entry(text, &mut table, &mut outer, &mut pieces)?;
        if wanted {
            joined.extend(later.map(|later| Joined { index: artifact.entries.len(), ..later }));
            artifact.entries.push(entry);
        }
    }
    table.end()?;
    outer.what = "file".into();
    outer.end()?;
    if in_pieces {
        file.what = "file".into();
        file.end()?;
    }
    for (index, data) in joined::decode(&joined)? {
        if let Some(entry) = artifact.entries.get_mut(index) {
            entry.data = data;
        }
    }
    Ok(artifact)
}

/// The plain bytes of the header.
fn decode_header(coded: &[u8], plain: usize, flat: bool, offset: usize) -> Result<Vec<u8>> {
    let most = if flat { coded.len() } else { HEADER_RATIO * coded.len() + HEADER_SLACK };
    if plain > most || flat && plain < most {
        let expected = format!("{} {most} bytes", if flat { "exactly" } else { "at most" });
        return Err(damaged("length of the header", offset, expected, plain));
    }
    if flat {
        return Ok(coded.to_vec());
    }
    let mut decoder = Decoder::new(coded);
    let mut model = TextModel::new();
    let header = (0..plain).map(|_| model.code(&mut decoder, 0)).collect();
    finish(&decoder, "header", offset)?;
    Ok(header)
}

fn read_meta(table: &mut Cursor) -> Result<BTreeMap<String, String>> {
    let count = table.number("number of meta keys", table.bytes.len() as u64)?;
    let mut meta = BTreeMap::new();
    for _ in 0..count {
        let key = table.bytes("meta key")?.to_vec();
        let key = table.text(key)?;
        if meta.last_key_value().is_some_and(|(last, _)| *last >= key) {
            return Err(table.error("meta keys in ascending order", format!("{key:?}")));
        }
        let value = table.bytes("meta value")?.to_vec();
        let value = table.text(value)?;
        meta.insert(key, value);
    }
    Ok(meta)
}

/// The rest of an entry's line in the table, and its sections from the file; or its pieces, which are decoded
/// later.
fn read_entry<'a>(
    name: String,
    table: &mut Cursor,
    file: &mut Cursor,
    pieces: &mut Option<&mut Cursor<'a>>,
) -> Result<(Entry, Option<Joined<'a>>)> {
    let rank = table.number("number of axes", MAX_RANK as u64)?;
    let mut shape = Vec::new();
    let mut elements = 1usize;
    for _ in 0..rank {
        let size = table.number("size of an axis", MAX_ELEMENTS as u64)? as usize;
        shape.push(size);
        elements = elements.saturating_mul(size);
    }
    if elements > MAX_ELEMENTS {
        return Err(table.error("at most 2^31 elements", format!("shape {shape:?}")));
    }
    let flags = table.number("kind", flag::ALL | if pieces.is_some() { flag::PIECES } else { 0 })?;
    file.what.clone_from(&table.what);
    if let (true, Some(pieces)) = (flags & flag::PIECES != 0, pieces) {
        pieces.what.clone_from(&table.what);
        let later = read_pieces(table, file, pieces, &shape, flags)?;
        return Ok((Entry { name, shape, data: EntryData::Dense(Vec::new()) }, Some(later)));
    }
    let data = match flags & flag::KIND {
        flag::DENSE | flag::HALF => {
            let brain = flags & flag::BF16 != 0;
            let width = if flags & flag::KIND == flag::DENSE && !brain { 32 } else { 16 };
            if flags & !(flag::KIND | flag::FLAT | flag::BF16) != 0
                || brain && flags & flag::KIND == flag::HALF
            {
                return Err(table.error("a known kind", format!("{flags:#x}")));
            }
            let bits = read_bits(table, file, "values", elements, width, flags & flag::FLAT != 0)?;
            let values = |width| bits.iter().map(|&bits| from_bits(bits, width)).collect();
            match (width, brain) {
                (32, _) => EntryData::Dense(values(32)),
                (_, false) => EntryData::Half(values(16)),
                _ => EntryData::Bf16(bits.iter().map(|&bits| bf16_bits_to_f32(bits as u16)).collect()),
            }
        }
        _ => {
            let of_scaled = flag::WIDE_SCALES | flag::FLAT_SCALES | flag::SHIFTED;
            if flags & flag::SCALED == 0 && flags & of_scaled != 0 || flags & flag::BF16 != 0 {
                return Err(table.error("a known kind", format!("{flags:#x}")));
            }
            let weights = read_codebook(table, file, &shape, elements, flags)?;
            if flags & flag::SCALED == 0 {
                weights
            } else {
                read_scaled(weights, table, file, &shape, flags)?
            }
        }
    };
    Ok((Entry { name, shape, data }, None))
}

/// What the table has of a tensor in pieces, and what all of them share.
fn read_pieces<'a>(
    table: &mut Cursor,
    file: &mut Cursor,
    pieces: &mut Cursor<'a>,
    shape: &[usize],
    flags: u64,
) -> Result<Joined<'a>> {
    let Grid { rows, cols: columns, .. } = Grid::new(shape, 1);
    if shape.len() < 2 || rows * columns == 0 || columns > MOST_COLUMNS {
        let expected = format!("two axes or more, elements, and up to {MOST_COLUMNS} columns, of pieces");
        return Err(table.error(expected, format!("shape {shape:?}")));
    }
    let kind = flags & flag::KIND;
    let unknown = match kind {
        flag::DENSE => !(flag::KIND | flag::BF16 | flag::PIECES),
        flag::HALF => !(flag::KIND | flag::PIECES),
        _ => flag::FLAT | flag::COMMON | flag::MASK_FLAT | flag::INVERTED | flag::PERIOD | flag::BF16,
    };
    let of_scaled = flag::WIDE_SCALES | flag::FLAT_SCALES | flag::SHIFTED;
    if flags & unknown != 0 || flags & flag::SCALED == 0 && flags & of_scaled != 0 {
        return Err(table.error("a known kind of pieces", format!("{flags:#x}")));
    }
    let content = match kind {
        flag::DENSE if flags & flag::BF16 == 0 => Content::Dense,
        flag::DENSE => Content::Half(HalfFloat::Bf16),
        flag::HALF => Content::Half(HalfFloat::F16),
        _ => read_codes_in_pieces(table, file, flags)?,
    };
    let each = table.number("rows of a piece", MAX_ELEMENTS as u64)? as usize;
    if each == 0 || !each.is_multiple_of(16) {
        return Err(table.error("a multiple of 16 rows in a piece", each));
    }
    let mut all = Vec::new();
    for _ in 0..rows.div_ceil(each) {
        let length = table.number("length of a piece", pieces.bytes.len() as u64)? as usize;
        all.push(pieces.part("piece", length)?);
    }
    let (what, shape) = (table.what.clone(), shape.to_vec());
    Ok(Joined { what, index: 0, shape, rows, columns, each, content, pieces: all })
}

fn read_codes_in_pieces(table: &mut Cursor, file: &mut Cursor, flags: u64) -> Result<Content> {
    let k = table.number("number of centroids", MAX_CENTROIDS as u64)? as usize;
    let length = file.later(table, "length of the codebook")?;
    let width = if flags & flag::WIDE != 0 { 32 } else { 16 };
    let centroids = read_centroids(file, length, k, width, flags >> flag::FORM_SHIFT & 3)?;
    let (mut group, mut scales, mut shift, mut shared) = (0, None, None, (None, None));
    if flags & flag::SCALED != 0 {
        group = table.number("group", MAX_ELEMENTS as u64)? as usize;
        let width = if flags & flag::WIDE_SCALES != 0 { 32 } else { 16 };
        scales = Some(width);
        let flat = flags & flag::FLAT_SCALES != 0;
        if group == 0 {
            shared.0 = read_values(table, file, "scales", 1, width, flat)?.first().copied();
        } else if flat {
            return Err(table.error("scales in pieces that aren't flat", format!("{flags:#x}")));
        }
    }
    if flags & flag::SHIFTED != 0 {
        let kind = table.number("kind of what sets the zero", 2 * ShiftKind::Wide as u64 + 1)?;
        let (of, width) = match kind >> 1 {
            kind if kind == ShiftKind::ZeroPoints as u64 => (Shifts::ZeroPoints, 8),
            kind if kind == ShiftKind::Half as u64 => (Shifts::Offsets(16), 16),
            _ => (Shifts::Offsets(32), 32),
        };
        shift = Some(of);
        if group == 0 {
            let flat = kind & 1 != 0;
            shared.1 = read_bits(table, file, "what sets the zero", 1, width, flat)?.first().copied();
        } else if kind & 1 != 0 {
            return Err(table.error("what sets the zero of pieces not flat", kind));
        }
    }
    let masked = flags & flag::MASK != 0;
    let zero = below(&centroids, 0.0);
    Ok(Content::Codes { centroids, masked, group, scales, shift, shared, zero })
}

fn read_scaled(
    weights: EntryData,
    table: &mut Cursor,
    file: &mut Cursor,
    shape: &[usize],
    flags: u64,
) -> Result<EntryData> {
    let group = table.number("group", MAX_ELEMENTS as u64)? as usize;
    let count = Groups::new(shape, group).count();
    let scale_bits = if flags & flag::WIDE_SCALES != 0 { 32 } else { 16 };
    let scales = read_values(table, file, "scales", count, scale_bits, flags & flag::FLAT_SCALES != 0)?;
    let scaled = EntryData::Scaled { weights: Box::new(weights), group, scales, scale_bits };
    if flags & flag::SHIFTED == 0 {
        return Ok(scaled);
    }
    let kind = table.number("kind of what sets the zero", 2 * ShiftKind::Wide as u64 + 1)?;
    let flat = kind & 1 != 0;
    let by = if kind >> 1 == ShiftKind::ZeroPoints as u64 {
        let zeros = read_bits(table, file, "zero points", count, 8, flat)?;
        Shift::ZeroPoints(zeros.into_iter().map(|zero| zero as u8).collect())
    } else {
        let bits = if kind >> 1 == ShiftKind::Wide as u64 { 32 } else { 16 };
        Shift::Offsets { values: read_values(table, file, "offsets", count, bits, flat)?, bits }
    };
    Ok(EntryData::Shifted { scaled: Box::new(scaled), by })
}

fn read_codebook(
    table: &mut Cursor,
    file: &mut Cursor,
    shape: &[usize],
    elements: usize,
    flags: u64,
) -> Result<EntryData> {
    let (masked, apart) = (flags & flag::MASK != 0, flags & flag::COMMON != 0);
    if masked && apart || !masked && !apart && flags & (flag::MASK_FLAT | flag::INVERTED) != 0 {
        return Err(table.error("a kind with one mask at most", format!("{flags:#x}")));
    }
    let k = table.number("number of centroids", MAX_CENTROIDS as u64)? as usize;
    let common =
        if apart { Some(table.number("code set apart", (k as u64).saturating_sub(1))? as u32) } else { None };
    let period =
        if flags & flag::PERIOD != 0 { table.number("period", MAX_PERIOD as u64)? as usize } else { 1 };
    let grid = Grid::new(shape, period);

    let mask_section = if masked || apart { Some(file.later(table, "length of the mask")?) } else { None };
    let codebook_length = file.later(table, "length of the codebook")?;
    let codes_length = file.later(table, "length of the codes")?;
    let mask = match mask_section {
        None => None,
        Some(length) => {
            let (offset, section) = file.part("mask", length)?;
            let flat = flags & flag::MASK_FLAT != 0;
            file.can_hold("mask", section, elements as u64, flat)?;
            let mut decoder = Decoder::new(section);
            let mask = code_mask(&mut decoder, grid, flat, |_| false);
            let mut mask = file.decoded("mask", offset, &decoder, mask)?;
            if flags & flag::INVERTED != 0 {
                mask.iter_mut().for_each(|keep| *keep = !*keep);
            }
            Some(mask)
        }
    };

    let width = if flags & flag::WIDE != 0 { 32 } else { 16 };
    let centroids = read_centroids(file, codebook_length, k, width, flags >> flag::FORM_SHIFT & 3)?;

    let (offset, section) = file.part("codes", codes_length)?;
    let kept = mask.as_ref().map_or(elements, |mask| mask.iter().filter(|&&keep| keep).count());
    let flat = flags & flag::FLAT != 0;
    file.can_hold("codes", section, kept as u64, flat)?;
    let mut decoder = Decoder::new(section);
    let codes = code_codes(&mut decoder, grid, mask.as_deref(), k, flat, |_| 0);
    let codes = file.decoded("codes", offset, &decoder, codes)?;
    if let Some(code) = codes.iter().find(|&&code| code as usize >= k) {
        return Err(damaged(&format!("{}: codes", file.what), offset, format!("codes less than {k}"), code));
    }
    let (mask, codes) = match (mask, common) {
        (Some(others), Some(common)) => {
            let mut rest = codes.into_iter();
            let all = others.iter().map(|&other| if other { rest.next().unwrap_or(common) } else { common });
            (None, all.collect())
        }
        (mask, _) => (mask, codes),
    };
    Ok(EntryData::Codebook { mask, codes, centroids, centroid_bits: width })
}
