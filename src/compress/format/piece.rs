//! A piece of a large tensor: some of its rows, with all that is needed to decode them alone.
use super::{
    bits::{crc32, from_bits},
    parts::put_number,
};
use crate::compress::pieces::{
    Reader, Scheme, Unsound, Way, Writer, code_codes, code_mask, read_numbers, write_numbers,
};

/// Places of a piece, about; it has 16 rows at least.
const PLACES: usize = 1 << 21;
/// Columns beyond which a matrix isn't cut into pieces.
pub(super) const MOST_COLUMNS: usize = 1 << 16;
/// A piece of `n` bytes has at most `(n + 8)` times as many places.
pub(super) const PLACES_PER_BYTE: u64 = 16_384;

/// What all pieces of a tensor share.
pub(super) struct Kind<'a> {
    pub columns: usize,
    pub what: What<'a>,
}

pub(super) enum What<'a> {
    /// Of so many bits.
    Floats(u32),
    Codes {
        /// What the codes are worth, less zero points, before they are scaled.
        centroids: &'a [f32],
        masked: bool,
        /// 0 if there are no groups.
        group: usize,
        /// Bits of scales, if groups have some.
        scales: Option<u32>,
        shift: Option<Shifts>,
        /// What is worth 0 without groups that say so.
        zero: u16,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shifts {
    ZeroPoints,
    /// Of so many bits.
    Offsets(u32),
}

impl Shifts {
    fn width(self) -> u32 {
        match self {
            Shifts::ZeroPoints => 8,
            Shifts::Offsets(bits) => bits,
        }
    }
}

/// The numbers of a piece.
#[derive(Default)]
pub(super) struct Rows<'a> {
    /// Bits of floats.
    pub values: &'a mut [u32],
    pub codes: &'a mut [u8],
    /// 1 for what is kept, if anything is not.
    pub mask: Vec<u8>,
    /// Bits of scales, and of zero points or offsets.
    pub scales: &'a mut [u32],
    pub shifts: &'a mut [u32],
}

/// The part of a piece that no writer has written so.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lacking(pub &'static str);

/// Of scales, mask, codes and values.
pub(super) type Lengths = [usize; 4];

impl Kind<'_> {
    /// Rows of a piece: a multiple of 16.
    pub(super) fn rows(&self) -> usize {
        let places = if matches!(self.what, What::Floats(32)) { PLACES / 8 } else { PLACES };
        (places / self.columns.max(1) / 16 * 16).max(16)
    }

    /// Groups of a row.
    pub(super) fn groups(&self) -> usize {
        match self.what {
            What::Codes { group, .. } if group > 0 => self.columns.div_ceil(group),
            _ => 0,
        }
    }

    /// How codes are predicted.
    fn scheme<'m>(&self, scales: &[u32], shifts: &[u32], mask: Option<&'m [u8]>) -> Option<Scheme<'m>> {
        let What::Codes { centroids, group, scales: width, shift, zero, .. } = self.what else { return None };
        let wide = width == Some(32);
        let size = |&bits: &u32| if wide { (bits & 0x7fff_ffff) >> 17 } else { (bits & 0x7fff) >> 4 } as i32;
        let scale = |i: usize| scales.get(i).map_or(1.0, |&bits| from_bits(bits, if wide { 32 } else { 16 }));
        let zero_of = |(i, &bits): (usize, &u32)| {
            let at = match shift {
                Some(Shifts::Offsets(width)) => -from_bits(bits, width) / scale(i),
                _ => bits as f32,
            };
            below(centroids, at)
        };
        let shifted = group > 0 && shift.is_some();
        let zeros = if shifted { shifts.iter().enumerate().map(zero_of).collect() } else { vec![zero] };
        let scales = if group > 0 { scales.iter().map(size).collect() } else { Vec::new() };
        Some(Scheme { columns: self.columns, count: centroids.len(), group, scales, zeros, shifted, mask })
    }

    /// The bytes of a piece, and how long its parts are.
    pub(super) fn encode(&self, rows: Rows) -> (Vec<u8>, Lengths) {
        let Rows { values, codes, mut mask, scales, shifts } = rows;
        let (mut parts, mut lengths) = (Vec::new(), [0; 4]);
        let mut part = |kind: usize, bytes: Vec<u8>| {
            lengths[kind] += bytes.len();
            parts.push(bytes);
        };
        let masks = |mask: &mut [u8]| {
            let mut writer = Writer::default();
            code_mask(&mut writer, self.columns, mask);
            writer.finish()
        };
        match self.what {
            What::Floats(width) => {
                let zeros = values.iter().filter(|&&bits| bits == 0).count();
                if zeros > values.len() / 64 {
                    mask = values.iter().map(|&bits| u8::from(bits != 0)).collect();
                    part(1, masks(&mut mask));
                } else {
                    part(1, Vec::new());
                }
                part(
                    3,
                    write_numbers(width, self.columns, None, (!mask.is_empty()).then_some(&mask), values),
                );
            }
            What::Codes { masked, scales: width, shift, .. } => {
                let groups = self.groups();
                if groups > 0 {
                    if let Some(width) = width {
                        part(0, write_numbers(width, groups, None, None, scales));
                    }
                    if let Some(shift) = shift {
                        let beside = (Some(shift.width()) == width).then_some(&*scales);
                        part(0, write_numbers(shift.width(), groups, beside, None, shifts));
                    }
                }
                if masked {
                    part(1, masks(&mut mask));
                }
                if let Some(scheme) = self.scheme(scales, shifts, masked.then_some(&mask)) {
                    // Groups with zero points are what models are rounded to that are to be run, and a fourth more
                    // time in reading is too much for 0.2 %. Other large files are packed to be kept.
                    let way = scheme.way(width == Some(16) && shift != Some(Shifts::ZeroPoints), codes);
                    let mut writer = Writer::default();
                    code_codes(&mut writer, &scheme, way, codes);
                    let mut bytes = vec![way.number()];
                    bytes.extend(writer.finish());
                    part(2, bytes);
                }
            }
        }
        let mut bytes = vec![0; 4];
        parts.iter().for_each(|part| put_number(&mut bytes, part.len() as u64));
        parts.iter().for_each(|part| bytes.extend(part));
        let checksum = crc32(&bytes[4..]).to_le_bytes();
        bytes[..4].copy_from_slice(&checksum);
        (bytes, lengths)
    }

    /// Fills rows with what is in the bytes of a piece, but for its checksum. What is wrong is said by the
    /// part that it is in.
    pub(super) fn decode(&self, bytes: &[u8], rows: &mut Rows) -> Result<(), Lacking> {
        let names: &[&str] = match self.what {
            What::Floats(_) => &["mask", "values"],
            What::Codes { masked, scales, shift, .. } => {
                let grouped = self.groups() > 0;
                let all = [
                    (grouped && scales.is_some(), "scales"),
                    (grouped && shift.is_some(), "zeros"),
                    (masked, "mask"),
                    (true, "codes"),
                ];
                &all.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect::<Vec<_>>()
            }
        };
        let mut at = 0;
        let lengths: Vec<usize> =
            names.iter().map(|_| number(bytes, &mut at)).collect::<Option<_>>().ok_or(Lacking("lengths"))?;
        for (&name, length) in names.iter().zip(lengths) {
            let end = at.checked_add(length).ok_or(Lacking(name))?;
            let part = bytes.get(at..end).ok_or(Lacking(name))?;
            at = end;
            let Rows { values, codes, mask, scales, shifts } = rows;
            let groups = self.groups();
            let read = match (name, &self.what) {
                ("scales", What::Codes { scales: Some(width), .. }) => {
                    read_numbers(part, *width, groups, None, None, scales)
                }
                ("zeros", What::Codes { shift: Some(shift), scales: width, .. }) => {
                    let beside = (Some(shift.width()) == *width).then_some(&**scales);
                    read_numbers(part, shift.width(), groups, beside, None, shifts)
                }
                ("mask", What::Floats(_)) if part.is_empty() => Ok(()),
                ("mask", _) => {
                    *mask = vec![0; values.len().max(codes.len())];
                    let mut reader = Reader::new(part);
                    code_mask(&mut reader, self.columns, mask);
                    reader.end()
                }
                ("values", What::Floats(width)) => {
                    let mask = (!mask.is_empty()).then_some(&mask[..]);
                    read_numbers(part, *width, self.columns, None, mask, values)
                }
                _ => self.decode_codes(part, rows),
            };
            read.map_err(|Unsound| Lacking(name))?;
        }
        if at == bytes.len() { Ok(()) } else { Err(Lacking("end")) }
    }

    fn decode_codes(&self, part: &[u8], rows: &mut Rows) -> Result<(), Unsound> {
        let Rows { codes, mask, scales, shifts, .. } = rows;
        let masked = (!mask.is_empty()).then_some(&mask[..]);
        let scheme = self.scheme(scales, shifts, masked).ok_or(Unsound)?;
        let (&way, stream) = part.split_first().ok_or(Unsound)?;
        let mut reader = Reader::new(stream);
        code_codes(&mut reader, &scheme, Way::of(way).ok_or(Unsound)?, codes);
        reader.end()?;
        let kept = |i: usize| mask.is_empty() || mask.get(i) == Some(&1);
        let bad = codes.iter().enumerate().any(|(i, &code)| usize::from(code) >= scheme.count && kept(i));
        if bad { Err(Unsound) } else { Ok(()) }
    }
}

/// How many centroids are less.
pub(super) fn below(centroids: &[f32], value: f32) -> u16 {
    centroids.iter().filter(|&&centroid| centroid < value).count() as u16
}

/// A number in groups of seven bits.
fn number(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut number = 0u64;
    for shift in (0..63).step_by(7) {
        let &byte = bytes.get(*at)?;
        *at += 1;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return usize::try_from(number).ok();
        }
    }
    None
}
