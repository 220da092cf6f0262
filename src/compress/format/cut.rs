//! Large tensors in pieces, coded by all threads: the bytes don't depend on who codes what.
use super::{
    artifact::{Artifact, Entry, EntryData},
    layout::{MAX_ELEMENTS, ShiftKind, flag},
    parts::{Encoded, encode_codebook, encode_values, unwritable},
    piece::{Kind, Lengths, MOST_COLUMNS, Rows, Shifts, What, below},
    sizes::Part,
};
use crate::{
    compress::models::Grid,
    distributed::{Communicator, divide},
    error::Result,
    kernels::packed::{Codes, HalfFloat, Packed},
    real::half::round_to_f16,
    threads::parallel_for,
};
use std::sync::{Mutex, OnceLock, PoisonError};

/// An artifact with as many numbers has its matrices of floats in pieces.
pub(in crate::compress) const LARGE: usize = 1 << 22;
/// Of no fewer numbers each.
const LEAST: usize = 1 << 12;

/// Whether a file of this has tensors in pieces.
pub(super) fn has_pieces(artifact: &Artifact) -> bool {
    let numbers = |entry: &Entry| entry.shape.iter().fold(1usize, |n, &size| n.saturating_mul(size));
    let packed = |entry: &Entry| matches!(entry.data, EntryData::Packed(_));
    artifact.entries.iter().any(packed)
        || artifact.entries.iter().map(numbers).fold(0, usize::saturating_add) >= LARGE
            && artifact.entries.iter().any(|entry| cuttable(entry).is_some())
}

/// The values of an entry of floats that is worth cutting.
fn cuttable(entry: &Entry) -> Option<&[f32]> {
    match &entry.data {
        EntryData::Dense(values) if values.len() >= LEAST => {
            let Grid { rows, cols, .. } = Grid::new(&entry.shape, 1);
            (rows > 1 && cols <= MOST_COLUMNS && rows.checked_mul(cols) == Some(values.len()))
                .then_some(&values[..])
        }
        _ => None,
    }
}

/// What pieces are made of.
enum Source<'a> {
    Floats(&'a [f32]),
    Half(&'a Packed<f32>),
    Codes {
        codes: &'a Codes<f32>,
        /// For each code the index of its centroid.
        index: Box<[u8; 256]>,
        centroids: Vec<f32>,
        scales: Vec<f32>,
        shifts: Vec<u32>,
    },
}

/// A tensor in pieces, which are coded later.
pub(super) struct Cut<'a> {
    source: Source<'a>,
    rows: usize,
    columns: usize,
    what: Shared,
    /// The kind, and what the table has of it before the lengths of the pieces.
    kind: u64,
    numbers: Vec<usize>,
    /// What all pieces need.
    sections: Vec<(Part, Vec<u8>)>,
    done: Vec<OnceLock<(Vec<u8>, Lengths)>>,
}

/// [`What`] without what the source has.
#[derive(Clone, Copy)]
enum Shared {
    Floats(u32),
    Codes { masked: bool, group: usize, scales: Option<u32>, shift: Option<Shifts>, zero: u16 },
}

impl<'a> Cut<'a> {
    /// If that is how an entry is to be stored in a file with pieces.
    pub(super) fn of(entry: &'a Entry) -> Result<Option<Cut<'a>>> {
        if let Some(values) = cuttable(entry) {
            let Grid { rows, cols, .. } = Grid::new(&entry.shape, 1);
            let kind = flag::DENSE | flag::PIECES;
            return Ok(Some(Cut::new(Source::Floats(values), (rows, cols), Shared::Floats(32), kind)));
        }
        let EntryData::Packed(packed) = &entry.data else { return Ok(None) };
        let invalid = |why: String| unwritable(entry, "packed weights", "sound ones", why);
        packed.sound().map_err(invalid)?;
        if packed.shape()[..] != entry.shape[..] {
            let shape = format!("{:?}", entry.shape);
            return Err(unwritable(entry, "packed weights", &shape, packed.shape()));
        }
        let size = (packed.rows(), packed.cols());
        if size.1 > MOST_COLUMNS || size.0.saturating_mul(size.1) > MAX_ELEMENTS {
            let found = format!("{} x {}", size.0, size.1);
            return Err(unwritable(entry, "packed weights", "up to 65536 columns and 2^31 numbers", found));
        }
        match packed.codes() {
            Some(codes) => Cut::of_codes(entry, codes, size).map(Some),
            None => {
                let brain = packed.half_float() == Some(HalfFloat::Bf16);
                let kind = if brain { flag::DENSE | flag::BF16 } else { flag::HALF };
                let source = Source::Half(packed);
                Ok(Some(Cut::new(source, size, Shared::Floats(16), kind | flag::PIECES)))
            }
        }
    }

    fn new(source: Source<'a>, (rows, columns): (usize, usize), what: Shared, kind: u64) -> Cut<'a> {
        let mut cut = Cut {
            source,
            rows,
            columns,
            what,
            kind,
            numbers: Vec::new(),
            sections: Vec::new(),
            done: Vec::new(),
        };
        let each = cut.kind().rows();
        cut.done = (0..rows.div_ceil(each)).map(|_| OnceLock::new()).collect();
        cut
    }

    fn of_codes(entry: &Entry, codes: &'a Codes<f32>, size: (usize, usize)) -> Result<Cut<'a>> {
        let (rows, columns) = size;
        let pruned = codes.pruned();
        let used = used(codes, rows, columns);
        let masked = pruned.is_some_and(|code| used[usize::from(code)]);
        let kept = |code: &u8| used[usize::from(*code)] && Some(*code) != pruned;
        let mut sorted: Vec<u8> = (0..=u8::MAX).filter(kept).collect();
        sorted.sort_by(|a, b| codes.value(*a).total_cmp(&codes.value(*b)));
        let (mut index, mut centroids): (_, Vec<f32>) = ([0; 256], Vec::new());
        for code in sorted {
            let value = codes.value(code);
            if centroids.last().is_none_or(|last| last.to_bits() != value.to_bits()) {
                centroids.push(value);
            }
            index[usize::from(code)] = (centroids.len() - 1) as u8;
        }
        let width = |values: &[f32]| {
            if values.iter().all(|&v| round_to_f16(v).to_bits() == v.to_bits()) { 16 } else { 32 }
        };
        let bits = |values: &[f32], width: u32| -> Vec<u32> {
            values.iter().map(|&value| super::bits::to_bits(value, width)).collect()
        };
        let (scales, offsets, group) = (codes.scales(), codes.offsets(), codes.group());
        if scales.is_none() && (offsets.is_some() || codes.zero_points().is_some()) {
            return Err(unwritable(entry, "packed weights", "scales beside zero points", "none"));
        }
        let scale_width = scales.as_deref().map(width);
        let mut kind = flag::CODEBOOK | flag::PIECES | if masked { flag::MASK } else { 0 };
        let centroid_width = width(&centroids);
        let (codebook, form) = encode_codebook(&bits(&centroids, centroid_width), centroid_width);
        kind |= (form as u64) << flag::FORM_SHIFT | if centroid_width == 32 { flag::WIDE } else { 0 };
        let mut numbers = vec![centroids.len(), codebook.len()];
        let mut sections = vec![(Part::Codebook, codebook)];
        let (mut list, mut shifts, mut shift) = (Vec::new(), Vec::new(), None);
        if let (Some(scales), Some(width)) = (&scales, scale_width) {
            kind |= flag::SCALED | if width == 32 { flag::WIDE_SCALES } else { 0 };
            numbers.push(group);
            list = scales.clone();
            if group == 0 {
                let (section, flat) = encode_values(&bits(scales, width), width);
                kind |= if flat { flag::FLAT_SCALES } else { 0 };
                numbers.push(section.len());
                sections.push((Part::Scales, section));
            }
        }
        if let Some(zeros) = codes.zero_points() {
            shifts = zeros.into_iter().map(u32::from).collect();
            shift = Some(Shifts::ZeroPoints);
        } else if let Some(offsets) = offsets {
            let width = width(&offsets);
            shifts = bits(&offsets, width);
            shift = Some(Shifts::Offsets(width));
        }
        if let Some(shift) = shift {
            kind |= flag::SHIFTED;
            let (number, width) = match shift {
                Shifts::ZeroPoints => (ShiftKind::ZeroPoints, 8),
                Shifts::Offsets(16) => (ShiftKind::Half, 16),
                Shifts::Offsets(_) => (ShiftKind::Wide, 32),
            };
            let mut number = 2 * number as usize;
            if group == 0 {
                let (section, flat) = encode_values(&shifts, width);
                number += usize::from(flat);
                numbers.extend([number, section.len()]);
                sections.push((Part::Scales, section));
            } else {
                numbers.push(number);
            }
        }
        let zero = below(&centroids, 0.0);
        let grouped = if scales.is_some() { group } else { 0 };
        let what = Shared::Codes { masked, group: grouped, scales: scale_width, shift, zero };
        let source = Source::Codes { codes, index: Box::new(index), centroids, scales: list, shifts };
        let mut cut = Cut::new(source, size, what, kind);
        (cut.numbers, cut.sections) = (numbers, sections);
        Ok(cut)
    }

    fn kind(&self) -> Kind<'_> {
        let what = match (self.what, &self.source) {
            (Shared::Codes { masked, group, scales, shift, zero }, Source::Codes { centroids, .. }) => {
                What::Codes { centroids, masked, group, scales, shift, zero }
            }
            (Shared::Floats(width), _) => What::Floats(width),
            _ => What::Floats(32),
        };
        Kind { columns: self.columns, what }
    }

    /// Codes piece `i`.
    fn encode(&self, i: usize) {
        let kind = self.kind();
        let from = i * kind.rows();
        let to = self.rows.min(from + kind.rows());
        let places = from * self.columns..to * self.columns;
        let coded = match &self.source {
            Source::Floats(values) => {
                let values = values.get(places).unwrap_or_default();
                let mut values: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
                kind.encode(Rows { values: &mut values, ..Rows::default() })
            }
            Source::Half(packed) => {
                let mut values = vec![0; places.len()];
                packed.read_rows(from, &mut values);
                kind.encode(Rows { values: &mut values, ..Rows::default() })
            }
            Source::Codes { codes, index, scales, shifts, .. } => {
                let mut list = vec![0; places.len()];
                codes.read_rows(from, &mut list);
                let mut mask = Vec::new();
                if let (Shared::Codes { masked: true, .. }, Some(pruned)) = (self.what, codes.pruned()) {
                    mask = list.iter().map(|&code| u8::from(code != pruned)).collect();
                }
                list.iter_mut().for_each(|code| *code = index[usize::from(*code)]);
                let groups = kind.groups();
                let part = from * groups..to * groups;
                let width = match self.what {
                    Shared::Codes { scales: Some(width), .. } => width,
                    _ => 16,
                };
                let some = scales.get(part.clone()).unwrap_or_default();
                let mut scales: Vec<u32> = some.iter().map(|&v| super::bits::to_bits(v, width)).collect();
                let mut shifts = shifts.get(part).unwrap_or_default().to_vec();
                let (scales, shifts, codes) = (&mut scales[..], &mut shifts[..], &mut list[..]);
                kind.encode(Rows { codes, mask, scales, shifts, ..Rows::default() })
            }
        };
        let _ = self.done.get(i).map(|place| place.set(coded));
    }

    /// A piece that was coded, for other processes.
    fn told(&self, i: usize) -> Vec<u8> {
        let Some((piece, lengths)) = self.done.get(i).and_then(OnceLock::get) else { return Vec::new() };
        let mut bytes: Vec<u8> = lengths.iter().flat_map(|&n| (n as u64).to_le_bytes()).collect();
        bytes.extend(piece);
        bytes
    }

    /// The kind, the numbers of the table, what all pieces need, and the pieces.
    pub(super) fn encoded(self) -> (Encoded, Pieces) {
        let each = self.kind().rows();
        let (mut numbers, mut all) = (self.numbers, Pieces::default());
        numbers.push(each);
        for place in self.done {
            let (piece, parts) = place.into_inner().unwrap_or_default();
            numbers.push(piece.len());
            let rest = piece.len() - parts.iter().sum::<usize>();
            all.lengths.iter_mut().zip(parts).for_each(|(sum, part)| *sum += part);
            all.rest += rest;
            all.pieces.push(piece);
        }
        ((self.kind, numbers, self.sections), all)
    }
}

/// The pieces of a tensor.
#[derive(Default)]
pub(super) struct Pieces {
    pub pieces: Vec<Vec<u8>>,
    lengths: Lengths,
    /// Their checksums and lengths.
    rest: usize,
}

impl Pieces {
    /// What they are for.
    pub(super) fn lengths(&self) -> impl Iterator<Item = (Part, usize)> {
        let parts = [Part::Scales, Part::Mask, Part::Codes, Part::Values].into_iter().zip(self.lengths);
        let parts = parts.chain([(Part::Checksum, self.rest)]);
        parts.filter(|(_, bytes)| *bytes > 0)
    }
}

/// Which codes occur.
fn used(codes: &Codes<f32>, rows: usize, columns: usize) -> [bool; 256] {
    let used = Mutex::new([false; 256]);
    let each = ((1 << 18) / columns.max(1) / 16 * 16).max(16);
    parallel_for(rows.div_ceil(each), &|i| {
        let from = i * each;
        let mut list = vec![0; (rows.min(from + each) - from) * columns];
        codes.read_rows(from, &mut list);
        let mut found = [false; 256];
        list.iter().for_each(|&code| found[usize::from(code)] = true);
        let mut used = used.lock().unwrap_or_else(PoisonError::into_inner);
        used.iter_mut().zip(found).for_each(|(used, found)| *used |= found);
    });
    used.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// All pieces of all tensors.
fn pieces<'a, 'b>(cuts: &[&'a Cut<'b>]) -> Vec<(&'a Cut<'b>, usize)> {
    cuts.iter().flat_map(|&cut| (0..cut.done.len()).map(move |i| (cut, i))).collect()
}

/// Codes all pieces of all tensors.
pub(super) fn encode(cuts: &[&Cut]) {
    encode_some(&pieces(cuts));
}

fn encode_some(some: &[(&Cut, usize)]) {
    parallel_for(some.len(), &|i| {
        if let Some((cut, i)) = some.get(i) {
            cut.encode(*i);
        }
    });
}

/// The same by several processes, each of which codes some.
pub(super) fn encode_together(world: &dyn Communicator, cuts: &[&Cut]) -> Result<()> {
    let all = pieces(cuts);
    let costs: Vec<usize> = all.iter().map(|(cut, _)| cut.columns * cut.kind().rows()).collect();
    let made = divide(world, &costs, |own| {
        let own: Vec<_> = own.iter().filter_map(|&i| all.get(i).copied()).collect();
        encode_some(&own);
        Ok(own.iter().map(|(cut, i)| cut.told(*i)).collect())
    })?;
    for ((cut, i), mut bytes) in all.iter().zip(made.iter().map(Vec::as_slice)) {
        let mut lengths = Lengths::default();
        for length in &mut lengths {
            let number = bytes.split_off(..8).and_then(|number| number.try_into().ok());
            *length = number.map_or(0, u64::from_le_bytes) as usize;
        }
        // Those of the own ones are there.
        let _ = cut.done.get(*i).map(|place| place.set((bytes.to_vec(), lengths)));
    }
    Ok(())
}
