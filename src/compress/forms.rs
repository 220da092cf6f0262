//! Entries of artifacts as packed weights: how they are held, and how large ones are stored.
use super::{
    Artifact, Entry, EntryData,
    format::{Shift, stored},
};
use crate::{
    error::{Error, Result},
    kernels::packed::{HalfFloat, Packed, Parts, Values},
    ops::Float,
    param::Groups,
    tensor::{Shape, Tensor},
};
use std::{any::Any, sync::Arc};

impl Artifact {
    /// The same with all that can be packed as [`EntryData::Packed`], which is stored in pieces, however
    /// small it is. [`pack`](super::pack) does so with large models, of 4 million weights and more.
    ///
    /// # Errors
    /// Entries whose lengths don't fit their shapes.
    pub fn in_pieces(mut self) -> Result<Artifact> {
        self.entries.iter_mut().try_for_each(hold)?;
        Ok(self)
    }
}

/// An entry as packed weights, if it can be.
pub(super) fn hold(entry: &mut Entry) -> Result<()> {
    let of = |why: String| Error::invalid("Artifact", format!("entry {:?}: {why}", entry.name));
    let packed = packed_of::<f32>(entry, &Shape::new(&entry.shape)).map_err(of)?;
    if let Some(packed) = packed.filter(|packed| packed.cols() <= 1 << 16) {
        entry.data = EntryData::Packed(Arc::new(packed));
    }
    Ok(())
}

/// Packed weights of another type of floats.
pub(super) fn held_as<T: Float>(packed: &Arc<Packed<f32>>) -> Result<Tensor<T>, String> {
    let same: &dyn Any = packed;
    if let Some(same) = same.downcast_ref::<Arc<Packed<T>>>() {
        return Ok(Tensor::from_packed(same.clone()));
    }
    let float = |v: f32| T::from_f64(f64::from(v));
    let floats = |list: Vec<f32>| list.into_iter().map(float).collect::<Vec<T>>();
    let Some(codes) = packed.codes() else {
        let values = floats(Tensor::from_packed(packed.clone()).to_vec());
        let values = Tensor::new(packed.shape().clone(), values).map_err(|why| why.to_string())?;
        return Ok(Packed::half(&values, packed.half_float().unwrap_or(HalfFloat::Bf16))?.into());
    };
    let (list, zeros) = (codes.to_vec(), codes.zero_points());
    let (scales, offsets) = (codes.scales().map(floats), codes.offsets().map(floats));
    let low = codes.value(0);
    let values = match codes.in_a_row() {
        true => Values::From(low as i32),
        false => Values::Table(Box::new(std::array::from_fn(|code| float(codes.value(code as u8))))),
    };
    let parts = Parts {
        bits: codes.bits(),
        codes: &|i| list.get(i).copied().unwrap_or(0),
        values,
        pruned: codes.pruned(),
        group: codes.group(),
        scales: scales.as_deref(),
        zeros: zeros.as_deref(),
        offsets: offsets.as_deref(),
    };
    Ok(Packed::of_codes(packed.shape(), &parts)?.into())
}

/// The form that an entry of few bits is, unless it is another or has fewer than two axes.
pub(super) fn packed_of<T: Float>(entry: &Entry, shape: &Shape) -> Result<Option<Packed<T>>, String> {
    let n = shape.numel();
    if shape.rank() < 2 || n == 0 {
        return Ok(None);
    }
    let (data, shift) = match &entry.data {
        EntryData::Shifted { scaled, by } => (&**scaled, Some(by)),
        data => (data, None),
    };
    let (weights, group, scales) = match data {
        EntryData::Scaled { weights, group, scales, scale_bits } => {
            (&**weights, *group, Some(floats_of::<T>(scales, *scale_bits)))
        }
        data => (data, 0, None),
    };
    let half = |values: &[f32], kind| {
        let values = Tensor::new(shape.clone(), floats_of::<T>(values, 32)).map_err(|why| why.to_string())?;
        Packed::half(&values, kind).map(Some)
    };
    let (mask, codes, centroids) = match weights {
        EntryData::Half(values) => return half(values, HalfFloat::F16),
        EntryData::Bf16(values) => return half(values, HalfFloat::Bf16),
        EntryData::Codebook { mask, codes, centroids, .. } => (mask, codes, centroids.len()),
        _ => return Ok(None),
    };
    let pruned = mask.as_ref().map(|_| centroids as u8);
    let count = centroids + usize::from(mask.is_some());
    if count > 256 {
        return Ok(None);
    }
    let keep = |i: usize| mask.as_ref().is_none_or(|mask| mask[i]);
    let kept = mask.as_ref().map_or(n, |mask| mask.iter().filter(|&&keep| keep).count());
    if mask.as_ref().is_some_and(|mask| mask.len() != n) || kept != codes.len() {
        let found = mask.as_ref().map_or(n, Vec::len);
        return Err(format!("{} codes for {kept} kept weights of {found} in shape {shape}", codes.len()));
    }
    if let Some(bad) = codes.iter().find(|&&code| code as usize >= centroids) {
        return Err(format!("code {bad} has no centroid: there are {centroids}"));
    }
    let groups = Groups::new(shape, group).count();
    let (mut zeros, mut offsets) = (None, None);
    match shift {
        Some(Shift::ZeroPoints(list)) => zeros = Some(&list[..]),
        Some(Shift::Offsets { values, bits }) => offsets = Some(floats_of::<T>(values, *bits)),
        None => {}
    }
    let lists = [scales.as_ref().map(Vec::len), zeros.map(<[u8]>::len), offsets.as_ref().map(Vec::len)];
    if let Some(found) = lists.into_iter().flatten().find(|&len| len != groups) {
        return Err(format!("{found} scales for {shape} in groups of {group}: takes {groups}"));
    }
    let list: Vec<u8> = match mask {
        None => codes.iter().map(|&code| code as u8).collect(),
        Some(_) => {
            let mut next = codes.iter();
            (0..n)
                .map(|i| if keep(i) { next.next().map_or(0, |&c| c as u8) } else { centroids as u8 })
                .collect()
        }
    };
    let worth = values::<T>(weights);
    // Integers are codes themselves, less the least of them; a file has only those that occur.
    let whole = whole_numbers(&worth).filter(|_| pruned.is_none());
    if zeros.is_some() && whole.is_none() {
        return Err("zero points of values that are no integers".into());
    }
    let of = |code: usize| worth.get(code).copied().unwrap_or_default();
    let (low, span) = whole.as_ref().map_or((0, count as i32), |(low, high, _)| (*low, high - low + 1));
    let code = |i: usize| match &whole {
        None => list[i],
        Some((low, _, numbers)) => (numbers[usize::from(list[i])] - low) as u8,
    };
    let parts = Parts {
        bits: (span.max(2) - 1).ilog2() + 1,
        codes: &code,
        values: match whole {
            Some(_) => Values::From(low),
            None => Values::Table(Box::new(std::array::from_fn(of))),
        },
        pruned,
        group,
        scales: scales.as_deref(),
        zeros,
        offsets: offsets.as_deref(),
    };
    Packed::of_codes(shape, &parts).map(Some)
}

/// Values as integers with the least and the largest, if they are that and no more than 256 lie between.
fn whole_numbers<T: Float>(values: &[T]) -> Option<(i32, i32, Vec<i32>)> {
    let numbers: Vec<i32> = values.iter().map(|v| v.to_f64() as i32).collect();
    let exact = values.iter().zip(&numbers).all(|(v, &n)| v.to_f64() == f64::from(n) && n.abs() < 1024);
    let (low, high) = (numbers.iter().copied().min()?, numbers.iter().copied().max()?);
    (exact && high - low < 256).then_some((low, high, numbers))
}

/// What a reader of the file would see.
pub(super) fn floats_of<T: Float>(values: &[f32], bits: u32) -> Vec<T> {
    values.iter().map(|&v| T::from_f64(f64::from(stored(v, bits)))).collect()
}

/// The centroids of a codebook, as a reader of the file would see them.
pub(super) fn values<T: Float>(data: &EntryData) -> Vec<T> {
    let EntryData::Codebook { centroids, centroid_bits, .. } = data else { return Vec::new() };
    floats_of(centroids, *centroid_bits)
}
