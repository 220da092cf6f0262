//! From an artifact to bytes: checks that it can be stored, and tries the few ways to store each part.
use super::{
    artifact::{Artifact, Entry, EntryData, Shift},
    bits::crc32,
    cut::{self, Cut, has_pieces},
    layout::*,
    parts::{
        Encoded, check_count, checked_width, encode_codebook, encode_values, put_number, rounded, section,
        shorter, unwritable,
    },
    sizes::{Part, PartSize, Sizes},
};
use crate::{
    compress::{
        coding::Encoder,
        models::{Grid, TextModel, code_bits, code_codes, code_mask},
    },
    distributed::{Communicator, alike, divide, put_bytes, take_bytes},
    error::{Error, Result},
    param::Groups,
    real::half::f32_to_bf16_bits,
};

/// The bytes of a file, and where they go.
pub(super) fn encode(artifact: &Artifact, world: &dyn Communicator) -> Result<(Vec<u8>, Sizes)> {
    let mut meta = Vec::new();
    put_number(&mut meta, artifact.meta.len() as u64);
    for text in artifact.meta.iter().flat_map(|(key, value)| [key, value]) {
        put_number(&mut meta, text.len() as u64);
        meta.extend_from_slice(text.as_bytes());
    }

    let in_pieces = has_pieces(artifact);
    let cut = |entry| if in_pieces { Cut::of(entry) } else { Ok(None) };
    let mut cuts = artifact.entries.iter().map(cut).collect::<Result<Vec<_>>>()?;
    let mut known = encoded_together(world, artifact, &cuts)?;
    let mut pieces = Vec::new();

    let mut table = Vec::new();
    put_number(&mut table, artifact.entries.len() as u64);
    let mut names = std::collections::BTreeSet::new();
    let mut sections = Vec::new();
    let mut parts = Vec::new();
    let mut previous: &[u8] = &[];
    for (i, (entry, cut)) in artifact.entries.iter().zip(&mut cuts).enumerate() {
        if !names.insert(entry.name.as_str()) {
            return Err(unwritable(entry, "name", "one not used before", "it a second time"));
        }
        let name = entry.name.as_bytes();
        if name.len() > MAX_NAME {
            return Err(unwritable(entry, "name", &format!("at most {MAX_NAME} bytes"), name.len()));
        }
        let shared = previous.iter().zip(name).take_while(|(a, b)| a == b).count();
        put_number(&mut table, shared as u64);
        put_number(&mut table, (name.len() - shared) as u64);
        table.extend_from_slice(&name[shared..]);
        previous = name;
        put_number(&mut table, entry.shape.len() as u64);
        for &size in &entry.shape {
            put_number(&mut table, size as u64);
        }
        let mut line = |part, bytes| parts.push(PartSize { entry: Some(entry.name.clone()), part, bytes });
        let own = match cut.take() {
            None => {
                let known = known.get_mut(i).and_then(Option::take);
                let (kind, numbers, sections) = known.map_or_else(|| encode_entry(entry), Ok)?;
                put_numbers(&mut table, kind, &numbers);
                sections
            }
            Some(cut) => {
                let ((kind, numbers, sections), cut) = cut.encoded();
                put_numbers(&mut table, kind, &numbers);
                cut.lengths().for_each(|(part, bytes)| line(part, bytes));
                pieces.extend(cut.pieces);
                sections
            }
        };
        for (part, section) in own {
            line(part, section.len());
            sections.push(section);
        }
    }

    let section_bytes: usize = sections.iter().map(Vec::len).sum();
    let (flat, header, meta_bytes) = encode_header(&meta, &table, artifact.entries.len(), section_bytes);
    let mut bytes = MAGIC.to_vec();
    bytes.push(if in_pieces { PIECES_VERSION } else { VERSION });
    put_number(&mut bytes, (meta.len() + table.len()) as u64 * 2 + u64::from(flat));
    put_number(&mut bytes, header.len() as u64);
    if in_pieces {
        put_number(&mut bytes, section_bytes as u64);
    }
    let line = |part, bytes| PartSize { entry: None, part, bytes };
    let mut sizes = Sizes::default();
    sizes.parts.push(line(Part::Header, bytes.len() + header.len() - meta_bytes));
    sizes.parts.push(line(Part::Meta, meta_bytes));
    sizes.parts.append(&mut parts);
    sizes.parts.push(line(Part::Checksum, CHECKSUM_BYTES));
    bytes.extend(header);
    sections.iter().for_each(|section| bytes.extend_from_slice(section));
    let checksum = crc32(&bytes);
    bytes.extend(checksum.to_le_bytes());
    bytes.reserve_exact(pieces.iter().map(Vec::len).sum());
    // Each is gone when it has been written: what is large is there once.
    pieces.into_iter().for_each(|piece: Vec<u8>| bytes.extend(piece));
    Ok((bytes, sizes))
}

/// The header's bytes, whether they are as they are, and how many of them the meta data takes.
fn encode_header(meta: &[u8], table: &[u8], entries: usize, section_bytes: usize) -> (bool, Vec<u8>, usize) {
    let mut encoder = Encoder::new();
    let mut model = TextModel::new();
    for &byte in meta {
        model.code(&mut encoder, byte);
    }
    let meta_bytes = encoder.written();
    for &byte in table {
        model.code(&mut encoder, byte);
    }
    let coded = encoder.finish();
    let plain = meta.len() + table.len();
    // Within what a reader accepts: a header of that length, and not more entries than bytes in the file.
    let accepted =
        plain <= HEADER_RATIO * coded.len() + HEADER_SLACK && entries <= coded.len() + section_bytes;
    if coded.len() < plain && accepted {
        let meta_bytes = meta_bytes.min(coded.len());
        return (false, coded, meta_bytes);
    }
    (true, [meta, table].concat(), meta.len())
}

fn put_numbers(table: &mut Vec<u8>, kind: u64, numbers: &[usize]) {
    put_number(table, kind);
    numbers.iter().for_each(|&number| put_number(table, number as u64));
}

/// Codes the pieces of those that are cut. Where there are other processes, each codes some of these and of
/// the other entries, which are given.
fn encoded_together(
    world: &dyn Communicator,
    artifact: &Artifact,
    cuts: &[Option<Cut>],
) -> Result<Vec<Option<Encoded>>> {
    let some: Vec<&Cut> = cuts.iter().flatten().collect();
    if world.size() == 1 {
        cut::encode(&some);
        return Ok(Vec::new());
    }
    let names = artifact.entries.iter().map(|entry| (entry.name.clone(), format!("{:?}", entry.shape)));
    alike(world, names.collect())?;
    cut::encode_together(world, &some)?;
    let whole: Vec<usize> = (0..cuts.len()).filter(|&i| cuts[i].is_none()).collect();
    let costs: Vec<usize> = whole
        .iter()
        .map(|&i| artifact.entries[i].shape.iter().fold(1, |n: usize, &s| n.saturating_mul(s)))
        .collect();
    let made = divide(world, &costs, |own| {
        own.iter().map(|&i| encode_entry(&artifact.entries[whole[i]]).and_then(|made| told(&made))).collect()
    })?;
    let mut all: Vec<Option<Encoded>> = cuts.iter().map(|_| None).collect();
    for (i, made) in whole.into_iter().zip(made) {
        all[i] = taken(&made);
    }
    Ok(all)
}

/// An encoded entry as one process tells it to others.
fn told((kind, numbers, sections): &Encoded) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let parts: Vec<Part> = sections.iter().map(|(part, _)| *part).collect();
    let head = serde_json::to_vec(&(kind, numbers, parts));
    put_bytes(&mut bytes, &head.map_err(|e| Error::invalid("Artifact", e.to_string()))?);
    sections.iter().for_each(|(_, section)| put_bytes(&mut bytes, section));
    Ok(bytes)
}

fn taken(mut bytes: &[u8]) -> Option<Encoded> {
    let (kind, numbers, parts): (u64, Vec<usize>, Vec<Part>) =
        serde_json::from_slice(take_bytes(&mut bytes)?).ok()?;
    let sections = parts.into_iter().map(|part| Some((part, take_bytes(&mut bytes)?.to_vec())));
    Some((kind, numbers, sections.collect::<Option<_>>()?))
}

/// An entry that isn't cut.
fn encode_entry(entry: &Entry) -> Result<Encoded> {
    if entry.shape.len() > MAX_RANK {
        return Err(unwritable(entry, "shape", &format!("at most {MAX_RANK} axes"), entry.shape.len()));
    }
    let elements = (entry.shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size)))
        .filter(|&elements| elements <= MAX_ELEMENTS && entry.shape.iter().all(|&size| size <= MAX_ELEMENTS))
        .ok_or_else(|| unwritable(entry, "shape", "at most 2^31 elements", format!("{:?}", entry.shape)))?;
    encode_data(entry, elements, &entry.data)
}

fn encode_data(entry: &Entry, elements: usize, data: &EntryData) -> Result<Encoded> {
    match data {
        EntryData::Dense(values) | EntryData::Half(values) => {
            check_count(entry, "number of values", elements, values.len())?;
            let (kind, width) =
                if matches!(data, EntryData::Dense(_)) { (flag::DENSE, 32) } else { (flag::HALF, 16) };
            let bits = rounded(entry, "value", values, width)?;
            let (section, flat) = encode_values(&bits, width);
            let kind = kind | if flat { flag::FLAT } else { 0 };
            Ok((kind, vec![section.len()], vec![(Part::Values, section)]))
        }
        EntryData::Codebook { mask, codes, centroids, centroid_bits } => {
            if let Some(mask) = mask {
                check_count(entry, "length of the mask", elements, mask.len())?;
            }
            let kept = mask.as_ref().map_or(elements, |mask| mask.iter().filter(|&&keep| keep).count());
            check_count(entry, "number of codes", kept, codes.len())?;
            if centroids.len() > MAX_CENTROIDS {
                return Err(unwritable(entry, "codebook", "at most 256 centroids", centroids.len()));
            }
            if let Some(code) = codes.iter().find(|&&code| code as usize >= centroids.len()) {
                return Err(unwritable(entry, "code", &format!("less than {}", centroids.len()), code));
            }
            let wide = checked_width(entry, "centroid_bits", *centroid_bits, flag::WIDE)?;
            let bits = rounded(entry, "centroid", centroids, *centroid_bits)?;
            let (codebook, form) = encode_codebook(&bits, *centroid_bits);
            let coded = encode_weights(&entry.shape, mask.as_deref(), codes, centroids.len());
            let kind = flag::CODEBOOK | wide | coded.flags | (form as u64) << flag::FORM_SHIFT;
            let mut numbers = vec![centroids.len()];
            numbers.extend(coded.common.map(|code| code as usize));
            numbers.extend(Some(coded.period).filter(|&period| period > 1));
            let mut sections = Vec::new();
            sections.extend(coded.mask.map(|mask| (Part::Mask, mask)));
            sections.extend([(Part::Codebook, codebook), (Part::Codes, coded.codes)]);
            numbers.extend(sections.iter().map(|(_, section)| section.len()));
            Ok((kind, numbers, sections))
        }
        EntryData::Scaled { weights, group, scales, scale_bits } => {
            if !matches!(**weights, EntryData::Codebook { .. }) {
                return Err(unwritable(entry, "weights with scales", "a codebook", "something else"));
            }
            if *group > MAX_ELEMENTS {
                return Err(unwritable(entry, "group", "at most 2^31", group));
            }
            check_count(entry, "number of scales", Groups::new(&entry.shape, *group).count(), scales.len())?;
            let wide = checked_width(entry, "scale_bits", *scale_bits, flag::WIDE_SCALES)?;
            let bits = rounded(entry, "scale", scales, *scale_bits)?;
            let (section, flat) = encode_values(&bits, *scale_bits);
            let (kind, mut numbers, mut sections) = encode_data(entry, elements, weights)?;
            numbers.extend([*group, section.len()]);
            sections.push((Part::Scales, section));
            Ok((kind | flag::SCALED | wide | if flat { flag::FLAT_SCALES } else { 0 }, numbers, sections))
        }
        EntryData::Packed(_) => Err(unwritable(entry, "weights", "some with a codebook", "packed ones")),
        EntryData::Bf16(values) => {
            check_count(entry, "number of values", elements, values.len())?;
            let bits: Vec<u32> = values.iter().map(|&v| u32::from(f32_to_bf16_bits(v))).collect();
            let (section, flat) = encode_values(&bits, 16);
            let kind = flag::DENSE | flag::BF16 | if flat { flag::FLAT } else { 0 };
            Ok((kind, vec![section.len()], vec![(Part::Values, section)]))
        }
        EntryData::Shifted { scaled, by } => {
            let EntryData::Scaled { scales, .. } = &**scaled else {
                return Err(unwritable(entry, "shifted values", "scaled ones", "something else"));
            };
            let (kind, bits, width) = match by {
                Shift::ZeroPoints(zeros) => {
                    (ShiftKind::ZeroPoints, zeros.iter().map(|&zero| zero.into()).collect(), 8)
                }
                Shift::Offsets { values, bits } => {
                    let wide = checked_width(entry, "offset bits", *bits, 1)? == 1;
                    let kind = if wide { ShiftKind::Wide } else { ShiftKind::Half };
                    (kind, rounded(entry, "offset", values, *bits)?, *bits)
                }
            };
            check_count(entry, "number of zero points or offsets", scales.len(), bits.len())?;
            let (section, flat) = encode_values(&bits, width);
            let (own, mut numbers, mut sections) = encode_data(entry, elements, scaled)?;
            numbers.extend([2 * kind as usize + usize::from(flat), section.len()]);
            sections.push((Part::Scales, section));
            Ok((own | flag::SHIFTED, numbers, sections))
        }
    }
}

/// The mask and the codes of a codebook entry, and how they are stored.
struct Weights {
    flags: u64,
    common: Option<u32>,
    period: usize,
    mask: Option<Vec<u8>>,
    codes: Vec<u8>,
}

impl Weights {
    fn len(&self) -> usize {
        self.codes.len() + self.mask.as_ref().map_or(0, Vec::len)
    }
}

/// Without a mask, the most frequent code may be set apart as a mask would be: the shorter way is taken.
fn encode_weights(shape: &[usize], mask: Option<&[bool]>, codes: &[u32], k: usize) -> Weights {
    if mask.is_some() {
        return best_period(shape, mask, codes, k);
    }
    let plain = best_period(shape, None, codes, k);
    let mut counts = vec![0usize; k];
    codes.iter().for_each(|&code| counts[code as usize] += 1);
    let Some((common, _)) = counts.iter().enumerate().max_by_key(|&(_, count)| count).filter(|_| k > 1)
    else {
        return plain;
    };
    let others: Vec<bool> = codes.iter().map(|&code| code as usize != common).collect();
    let rest: Vec<u32> = codes.iter().copied().filter(|&code| code as usize != common).collect();
    let mut apart = best_period(shape, Some(&others), &rest, k);
    apart.flags = apart.flags & !flag::MASK | flag::COMMON;
    apart.common = Some(common as u32);
    if apart.len() < plain.len() { apart } else { plain }
}

/// Tries the periods that the columns suggest and keeps the best.
fn best_period(shape: &[usize], mask: Option<&[bool]>, codes: &[u32], k: usize) -> Weights {
    // Which weights are kept, or how far their codes are from the middle.
    let weight = |index: usize| match mask {
        Some(mask) => f64::from(u8::from(mask[index])),
        None => (f64::from(codes[index]) - k as f64 / 2.0).abs(),
    };
    let mut best = encode_grid(shape, 1, mask, codes, k);
    for period in periods(shape, weight) {
        let other = encode_grid(shape, period, mask, codes, k);
        if other.len() < best.len() {
            best = other;
        }
    }
    best
}

fn encode_grid(shape: &[usize], period: usize, mask: Option<&[bool]>, codes: &[u32], k: usize) -> Weights {
    let grid = Grid::new(shape, period);
    let mut flags = if period > 1 { flag::PERIOD } else { 0 };
    let coded_mask = mask.map(|mask| {
        let inverted = mask.iter().filter(|&&keep| keep).count() > mask.len() / 2;
        let write = |flat| section(|encoder| code_mask(encoder, grid, flat, |index| mask[index] != inverted));
        let (section, flat) = shorter(write(false), mask.len(), || write(true));
        flags |= flag::MASK;
        flags |= if flat { flag::MASK_FLAT } else { 0 } | if inverted { flag::INVERTED } else { 0 };
        section
    });
    let write = |flat| section(|encoder| code_codes(encoder, grid, mask, k, flat, |index| codes[index]));
    let (codes, flat) = shorter(write(false), codes.len() * code_bits(k) as usize, || write(true));
    flags |= if flat { flag::FLAT } else { 0 };
    Weights { flags, common: None, period, mask: coded_mask, codes }
}

/// Widths that the columns may be images of: those of a convolution's kernel, and the lag from 3 up at which
/// the sums of the columns resemble themselves most.
fn periods(shape: &[usize], weight: impl Fn(usize) -> f64) -> Vec<usize> {
    const MOST_COLUMNS: usize = 1 << 13;
    const LONGEST: usize = 1 << 9;
    let Grid { rows, cols, .. } = Grid::new(shape, 1);
    let mut candidates = match shape {
        [_, _, width] => vec![*width],
        [_, _, height, width] => vec![*width, height * width],
        _ => Vec::new(),
    };
    let used = cols.min(MOST_COLUMNS);
    let sums: Vec<f64> = (0..used).map(|col| (0..rows).map(|row| weight(row * cols + col)).sum()).collect();
    let mean = sums.iter().sum::<f64>() / used.max(1) as f64;
    let covariance = |lag: usize| {
        let products = sums.iter().zip(sums.iter().skip(lag)).map(|(a, b)| (a - mean) * (b - mean));
        products.sum::<f64>() / (used - lag) as f64
    };
    let curve: Vec<f64> = (0..=(used / 3).min(LONGEST)).map(covariance).collect();
    let peaks =
        curve.windows(3).enumerate().skip(2).filter(|(_, w)| w[1] > w[0] && w[1] >= w[2] && w[1] > 0.0);
    candidates.extend(peaks.max_by(|(_, a), (_, b)| a[1].total_cmp(&b[1])).map(|(index, _)| index + 1));
    candidates.retain(|&period| 1 < period && period < cols.min(MAX_PERIOD));
    candidates.sort_unstable();
    candidates.dedup();
    candidates
}
