//! Pieces of large tensors back into what they were, decoded by all threads.
use super::{
    artifact::EntryData,
    bits::{crc32, from_bits},
    cursor::damaged,
    piece::{Kind, Lacking, PLACES_PER_BYTE, Rows, Shifts, What},
};
use crate::{
    error::{Error, Result},
    kernels::packed::{Blank, HalfFloat, Packed, Parts, Strip, Values},
    tensor::Shape,
    threads::parallel_for,
};
use std::sync::{Arc, Mutex, PoisonError};

/// A tensor whose pieces are in the file.
pub(super) struct Joined<'a> {
    /// The entry, for errors, and its place among the others.
    pub what: String,
    pub index: usize,
    pub shape: Vec<usize>,
    pub rows: usize,
    pub columns: usize,
    /// Rows of a piece.
    pub each: usize,
    pub content: Content,
    /// Where each begins, and its bytes.
    pub pieces: Vec<(usize, &'a [u8])>,
}

pub(super) enum Content {
    Dense,
    Half(HalfFloat),
    Codes {
        centroids: Vec<f32>,
        masked: bool,
        group: usize,
        scales: Option<u32>,
        shift: Option<Shifts>,
        /// What stands before the pieces where all share one of each.
        shared: (Option<f32>, Option<u32>),
        zero: u16,
    },
}

/// How codes of a file become those of a packed matrix.
struct Numbering {
    bits: u32,
    values: Values<f32>,
    codes: [u8; 256],
    pruned: Option<u8>,
}

/// Where the numbers of a tensor go.
struct Target {
    dense: Vec<f32>,
    blank: Option<Blank>,
    numbering: Option<Numbering>,
    scales: Vec<u32>,
    shifts: Vec<u32>,
}

/// A piece, and its places in the target.
struct Job<'t> {
    what: &'t str,
    kind: Kind<'t>,
    piece: (usize, &'t [u8]),
    places: usize,
    dense: &'t mut [f32],
    strip: Option<Strip<'t>>,
    numbering: Option<&'t Numbering>,
    scales: &'t mut [u32],
    shifts: &'t mut [u32],
}

impl Joined<'_> {
    fn kind(&self) -> Kind<'_> {
        let what = match &self.content {
            Content::Dense => What::Floats(32),
            Content::Half(_) => What::Floats(16),
            Content::Codes { centroids, masked, group, scales, shift, zero, .. } => What::Codes {
                centroids,
                masked: *masked,
                group: *group,
                scales: *scales,
                shift: *shift,
                zero: *zero,
            },
        };
        Kind { columns: self.columns, what }
    }

    /// Room for the numbers, after a look whether the pieces can hold so many.
    fn target(&self) -> Result<Target> {
        for (i, (offset, piece)) in self.pieces.iter().enumerate() {
            let places = (self.rows - i * self.each).min(self.each) * self.columns;
            let most = PLACES_PER_BYTE.saturating_mul(piece.len() as u64 + 8);
            if places as u64 > most {
                let expected = format!("at most {most} places in {} bytes", piece.len());
                return Err(damaged(&format!("{}: pieces", self.what), *offset, expected, places));
            }
        }
        let lack = |why: String| Error::invalid("Artifact", format!("{}: {why}", self.what));
        let shape = Shape::new(&self.shape);
        let groups = self.rows * self.kind().groups();
        let mut target = Target {
            dense: Vec::new(),
            blank: None,
            numbering: None,
            scales: Vec::new(),
            shifts: Vec::new(),
        };
        match &self.content {
            Content::Dense => target.dense = vec![0.0; self.rows * self.columns],
            Content::Half(_) => target.blank = Some(Blank::new(&shape, None).map_err(lack)?),
            Content::Codes { centroids, masked, scales, shift, .. } => {
                let numbering = numbering(centroids, *masked).map_err(lack)?;
                target.blank = Some(Blank::new(&shape, Some(numbering.bits)).map_err(lack)?);
                target.numbering = Some(numbering);
                target.scales = vec![0; if scales.is_some() { groups } else { 0 }];
                target.shifts = vec![0; if shift.is_some() { groups } else { 0 }];
            }
        }
        Ok(target)
    }

    fn jobs<'t>(&'t self, target: &'t mut Target, jobs: &mut Vec<Mutex<Option<Job<'t>>>>) {
        let groups = self.each * self.kind().groups();
        let Target { dense, blank, numbering, scales, shifts } = target;
        let mut dense = dense.chunks_mut((self.each * self.columns).max(1));
        let mut scales = scales.chunks_mut(groups.max(1));
        let mut shifts = shifts.chunks_mut(groups.max(1));
        let mut strips = blank.as_mut().map(|blank| blank.strips(self.each)).unwrap_or_default().into_iter();
        for (i, piece) in self.pieces.iter().enumerate() {
            jobs.push(Mutex::new(Some(Job {
                what: &self.what,
                kind: self.kind(),
                piece: *piece,
                places: (self.rows - i * self.each).min(self.each) * self.columns,
                dense: dense.next().unwrap_or_default(),
                strip: strips.next(),
                numbering: numbering.as_ref(),
                scales: scales.next().unwrap_or_default(),
                shifts: shifts.next().unwrap_or_default(),
            })));
        }
    }

    /// What the target holds.
    fn finish(&self, target: Target) -> Result<EntryData> {
        let lack = |why: String| Error::invalid("Artifact", format!("{}: {why}", self.what));
        let packed = |packed: Packed<f32>| EntryData::Packed(Arc::new(packed));
        let (Some(blank), content) = (target.blank, &self.content) else {
            return Ok(EntryData::Dense(target.dense));
        };
        let Content::Codes { group, scales: width, shift, shared, .. } = content else {
            let Content::Half(kind) = content else { return Ok(EntryData::Dense(target.dense)) };
            return blank.into_half(*kind).map(packed).map_err(lack);
        };
        let Some(numbering) = target.numbering else { return Ok(EntryData::Dense(target.dense)) };
        let floats =
            |list: &[u32], width| list.iter().map(|&bits| from_bits(bits, width)).collect::<Vec<_>>();
        let (one, other) = shared;
        let scales = match (one, width) {
            (Some(one), _) => Some(vec![*one]),
            (None, Some(width)) => Some(floats(&target.scales, *width)),
            _ => None,
        };
        let shifts = other.map_or(target.shifts, |one| vec![one]);
        let (mut zeros, mut offsets) = (None, None);
        match shift {
            Some(Shifts::ZeroPoints) => {
                zeros = Some(shifts.iter().map(|&zero| zero as u8).collect::<Vec<_>>());
            }
            Some(Shifts::Offsets(width)) => offsets = Some(floats(&shifts, *width)),
            None => {}
        }
        if zeros.is_some() && !matches!(numbering.values, Values::From(_)) {
            return Err(lack("zero points of values that are no integers, or of pruned ones".into()));
        }
        let parts = Parts {
            bits: numbering.bits,
            codes: &|_| 0,
            values: numbering.values,
            pruned: numbering.pruned,
            group: *group,
            scales: scales.as_deref(),
            zeros: zeros.as_deref(),
            offsets: offsets.as_deref(),
        };
        blank.into_codes(&parts).map(packed).map_err(lack)
    }
}

impl Job<'_> {
    fn run(mut self) -> Result<()> {
        let (offset, bytes) = self.piece;
        let what = |part: &str| format!("{}: piece: {part}", self.what);
        let (checksum, rest) = bytes.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
        let expected = crc32(rest).to_le_bytes();
        if *checksum != expected {
            let found = format!("{checksum:02x?}: the file is damaged");
            return Err(damaged(&what("checksum"), offset, format!("{expected:02x?}"), found));
        }
        let floats = matches!(self.kind.what, What::Floats(_));
        let mut values = vec![0; if floats { self.places } else { 0 }];
        let mut codes = vec![0; if floats { 0 } else { self.places }];
        let mut rows = Rows {
            values: &mut values,
            codes: &mut codes,
            mask: Vec::new(),
            scales: self.scales,
            shifts: self.shifts,
        };
        let sound = self.kind.decode(rest, &mut rows);
        sound
            .map_err(|Lacking(part)| damaged(&what(part), offset, "what a writer makes", "something else"))?;
        let mask = rows.mask;
        match (&mut self.strip, self.numbering) {
            (Some(strip), Some(numbering)) => {
                codes.iter_mut().for_each(|code| *code = numbering.codes[usize::from(*code)]);
                if let Some(pruned) = numbering.pruned {
                    let gone = codes.iter_mut().zip(&mask).filter(|(_, keep)| **keep == 0);
                    gone.for_each(|(code, _)| *code = pruned);
                }
                strip.fill(&codes);
            }
            (Some(strip), None) => strip.fill_halves(&values),
            _ => {
                let bits = self.dense.iter_mut().zip(&values);
                bits.for_each(|(value, &bits)| *value = f32::from_bits(bits));
            }
        }
        Ok(())
    }
}

/// Decodes all pieces of these tensors, whose places among the entries come with them.
pub(super) fn decode(all: &[Joined]) -> Result<Vec<(usize, EntryData)>> {
    let mut targets = all.iter().map(Joined::target).collect::<Result<Vec<_>>>()?;
    let mut jobs = Vec::new();
    all.iter().zip(&mut targets).for_each(|(joined, target)| joined.jobs(target, &mut jobs));
    // The first in the order of the file.
    let failure: Mutex<Option<(usize, Error)>> = Mutex::new(None);
    parallel_for(jobs.len(), &|i| {
        let job = jobs.get(i).and_then(|job| job.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(Err(error)) = job.map(Job::run) {
            let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
            if failure.as_ref().is_none_or(|(first, _)| i < *first) {
                *failure = Some((i, error));
            }
        }
    });
    drop(jobs);
    if let Some((_, error)) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    all.iter().zip(targets).map(|(joined, target)| Ok((joined.index, joined.finish(target)?))).collect()
}

/// Integers are codes themselves, less the least of them; a file has only those that occur.
fn numbering(centroids: &[f32], masked: bool) -> Result<Numbering, String> {
    let whole = |v: &f32| *v == v.trunc() && v.abs() < 1024.0 && v.to_bits() != 0x8000_0000;
    let (low, high) = (centroids.first().copied(), centroids.last().copied());
    let rising = centroids.windows(2).all(|pair| pair[0] <= pair[1]);
    let mut codes = [0; 256];
    if let (Some(low), Some(high), false) = (low, high, masked)
        && rising
        && centroids.iter().all(whole)
        && high - low < 256.0
    {
        codes.iter_mut().zip(centroids).for_each(|(code, v)| *code = (v - low) as u8);
        let bits = ((high - low) as u32).max(1).ilog2() + 1;
        return Ok(Numbering { bits, values: Values::From(low as i32), codes, pruned: None });
    }
    let count = centroids.len() + usize::from(masked);
    if count > 256 {
        return Err(format!("{} centroids and a mask: takes up to 256 values", centroids.len()));
    }
    let value = |i: usize| centroids.get(i).copied().unwrap_or(0.0);
    codes.iter_mut().enumerate().for_each(|(i, code)| *code = i as u8);
    let bits = (count.max(2) as u32 - 1).ilog2() + 1;
    let values = Values::Table(Box::new(std::array::from_fn(value)));
    Ok(Numbering { bits, values, codes, pruned: masked.then_some(centroids.len() as u8) })
}
