//! What a file holds: tensors as they are stored, and as floats.
use crate::{
    kernels::packed::Packed,
    param::Groups,
    real::half::{bf16_bits_to_f32, f32_to_bf16_bits, round_to_f16},
    tensor::Tensor,
};
use std::{collections::BTreeMap, sync::Arc};

/// A model as a file holds it: what it is, in words, and its tensors, in order.
///
/// ```
/// use kolmo::compress::{Artifact, Entry, EntryData};
///
/// let mut artifact = Artifact::default();
/// artifact.meta.insert("architecture".into(), r#"{"layers":[4,3]}"#.into());
/// artifact.entries.push(Entry {
///     name: "fc.weight".into(),
///     shape: vec![3, 4],
///     data: EntryData::Codebook {
///         mask: Some(vec![true, false, false, true, false, false, true, false, false, false, false, true]),
///         codes: vec![1, 0, 1, 1],
///         centroids: vec![-0.5, 0.25],
///         centroid_bits: 16,
///     },
/// });
/// let bytes = artifact.to_bytes()?;
/// assert_eq!(Artifact::from_bytes(&bytes)?, artifact);
/// assert_eq!(artifact.sizes()?.total(), bytes.len());
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Artifact {
    /// Free text by key, such as the architecture as JSON.
    pub meta: BTreeMap<String, String>,
    /// The tensors. Their names are unique; names that begin alike cost least when they stand together.
    pub entries: Vec<Entry>,
}

/// One tensor of an [`Artifact`].
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The parameter's dotted name, such as `fc1.weight`.
    pub name: String,
    /// Sizes of the axes; empty for a single number.
    pub shape: Vec<usize>,
    /// The elements in row-major order.
    pub data: EntryData,
}

/// The elements of an [`Entry`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EntryData {
    /// 32-bit floats, to the bit.
    Dense(Vec<f32>),
    /// Values rounded to IEEE half precision as they are written ([`round_to_f16`]).
    /// A finite value beyond its range (65504) is an error.
    Half(Vec<f32>),
    /// Each kept weight is a number of `centroids`; the others are zero.
    Codebook {
        /// Which weights are kept, in row-major order; `None` keeps all.
        mask: Option<Vec<bool>>,
        /// One for each kept weight, in row-major order: an index into `centroids`. Codes are stored best if
        /// `centroids` is sorted.
        codes: Vec<u32>,
        /// The weights' values, at most 256.
        centroids: Vec<f32>,
        /// 32 to store `centroids` to the bit, 16 to round them to half precision.
        centroid_bits: u32,
    },
    /// A codebook whose values are multiplied by step sizes.
    Scaled {
        /// [`EntryData::Codebook`]; its centroids are whole numbers, as a rule.
        weights: Box<EntryData>,
        /// So many neighbours of a row, an index of the first axis, share a step size; the last ones of a
        /// row may be fewer. A vector is one row. 0 for one step size for all.
        group: usize,
        /// The step sizes, row by row.
        scales: Vec<f32>,
        /// 32 to store `scales` to the bit, 16 to round them to half precision.
        scale_bits: u32,
    },
    /// Values rounded to bfloat16, the upper half of 32 bits, as they are written.
    Bf16(Vec<f32>),
    /// Weights as a model holds them, which are stored in pieces that are coded and decoded apart: fast where
    /// they are large. Their shape is the entry's.
    Packed(Arc<Packed<f32>>),
    /// Scaled values whose zero isn't at 0.
    Shifted {
        /// [`EntryData::Scaled`].
        scaled: Box<EntryData>,
        /// By what, for each of its scales.
        by: Shift,
    },
}

/// What sets the zero of values that share a scale.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Shift {
    /// It is taken off before scaling: `(number - zero point) · scale`.
    ZeroPoints(Vec<u8>),
    /// It is added after scaling: `number · scale + offset`, in one rounding.
    Offsets {
        /// One for each scale.
        values: Vec<f32>,
        /// 32 to store them to the bit, 16 to round them to half precision.
        bits: u32,
    },
}

impl Entry {
    /// The elements as floats, in row-major order: codes looked up and multiplied by their step sizes, zero
    /// where the mask keeps nothing. What doesn't fit (which no artifact read from a file has) gives
    /// zeros.
    pub fn to_dense(&self) -> Vec<f32> {
        let (data, shift) = match &self.data {
            EntryData::Shifted { scaled, by } => (&**scaled, Some(by)),
            data => (data, None),
        };
        let EntryData::Scaled { weights, group, scales, scale_bits } = data else {
            return data.unscaled();
        };
        let groups = Groups::new(&self.shape, *group);
        let worth = |(i, number): (usize, &f32)| {
            let place = groups.of(i);
            let scale = scales.get(place).map_or(0.0, |&scale| stored(scale, *scale_bits));
            match shift {
                None => number * scale,
                Some(Shift::ZeroPoints(zeros)) => {
                    (number - f32::from(zeros.get(place).copied().unwrap_or(0))) * scale
                }
                Some(Shift::Offsets { values, bits }) => {
                    number.mul_add(scale, values.get(place).map_or(0.0, |&v| stored(v, *bits)))
                }
            }
        };
        weights.unscaled().iter().enumerate().map(worth).collect()
    }
}

/// What a value becomes as bfloat16.
fn bf16(value: f32) -> f32 {
    bf16_bits_to_f32(f32_to_bf16_bits(value))
}

/// What a value becomes when it is stored in so many bits.
pub(in crate::compress) fn stored(value: f32, bits: u32) -> f32 {
    if bits == 16 { round_to_f16(value) } else { value }
}

impl EntryData {
    /// The elements before they are multiplied by step sizes.
    pub(in crate::compress) fn unscaled(&self) -> Vec<f32> {
        match self {
            EntryData::Scaled { weights, .. } => weights.unscaled(),
            EntryData::Shifted { scaled, .. } => scaled.unscaled(),
            EntryData::Bf16(values) => values.iter().map(|&value| bf16(value)).collect(),
            EntryData::Dense(values) => values.clone(),
            EntryData::Packed(packed) => Tensor::from_packed(packed.clone()).to_vec(),
            EntryData::Half(values) => values.iter().map(|&value| round_to_f16(value)).collect(),
            EntryData::Codebook { mask, codes, centroids, centroid_bits } => {
                let value = |&code: &u32| {
                    centroids.get(code as usize).map_or(0.0, |&value| stored(value, *centroid_bits))
                };
                let mut weights = codes.iter().map(value);
                match mask {
                    None => weights.collect(),
                    Some(mask) => mask
                        .iter()
                        .map(|&keep| if keep { weights.next().unwrap_or(0.0) } else { 0.0 })
                        .collect(),
                }
            }
        }
    }
}
