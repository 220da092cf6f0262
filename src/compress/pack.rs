//! Models to artifacts, by the dotted names of their parameters. Nothing is lost on the way: what is
//! stored in 16 bits is what 16 bits hold exactly. How the bytes are made is said in `format`.
use super::{
    Artifact, Entry, EntryData,
    filter::each_field,
    format::{LARGE, Shift},
    forms::hold,
    round_to_f16,
};
use crate::{
    error::{Error, Result},
    ids::ParamId,
    kernels::packed::{HalfFloat, Packed},
    ops::Float,
    param::{Param, shown},
    tensor::Tensor,
};
use serde::Serialize;
use std::{any::Any, collections::BTreeMap, sync::Arc};

/// The model as an artifact, with text about it.
///
/// Each parameter is written as the model uses it: one with a codebook as mask, codes and centroids, one with
/// [step sizes](Param::set_steps) as mask, whole numbers and these; any other as
/// its values, zero where a mask prunes. Values, centroids and step sizes take 16 bits if all of a
/// parameter's are half-precision numbers ([`to_half`](super::quantize::to_half) makes them so), else 32.
/// Parameters of `f64` are rounded to `f32`.
///
/// ```
/// use kolmo::{Random, compress::{Artifact, matrices, pack, prune::{self, Amount}, quantize, unpack}, nn::Linear};
/// let net = Linear::new(64, 10, &mut Random::new(0));
/// prune::global(&net, Amount::Density(0.1), matrices)?;
/// quantize::codebooks(&net, 8, matrices)?;
/// quantize::to_half(&net);
/// let bytes = pack(&net, &[("architecture", "64-10")])?.to_bytes()?;
/// assert!(bytes.len() < 250); // 2600 as plain numbers
///
/// let copy = Linear::new(64, 10, &mut Random::new(1));
/// unpack(&Artifact::from_bytes(&bytes)?, &copy)?;
/// assert_eq!(copy.weight.effective()?, net.weight.effective()?);
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// A parametrisation fails; a finite value that isn't one any more as `f32`; a codebook has more than 256
/// centroids.
pub fn pack<M: Serialize + ?Sized>(model: &M, meta: &[(&str, &str)]) -> Result<Artifact> {
    let entries = entries(model, &|_, _, _| None)?;
    let mut texts = BTreeMap::new();
    texts.extend(meta.iter().map(|(key, text)| (key.to_string(), text.to_string())));
    Ok(Artifact { meta: texts, entries })
}

/// An entry that is known without looking at the parameter.
type Known<'a> = dyn Fn(ParamId, &str, bool) -> Option<Result<Entry>> + 'a;

/// The parameters' entries, where others aren't known by parameter, name and whether the model is large.
pub(super) fn entries<M: Serialize + ?Sized>(model: &M, known: &Known) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut numbers = 0usize;
    each_field!(model, |_name, p| numbers = numbers.saturating_add(p.shape().numel()));
    let large = numbers >= LARGE;
    each_field!(model, |name, p| {
        let own = || if large { held(name.clone(), p) } else { entry(name.clone(), p) };
        entries.push(known(p.id(), &name, large).unwrap_or_else(own));
    });
    entries.into_iter().collect()
}

/// What a parameter would be stored as if it held this.
pub(super) fn packed_entry<T: Float>(
    name: String,
    packed: &Arc<Packed<T>>,
    p: &Param<T>,
    large: bool,
) -> Result<Entry> {
    let any: &dyn Any = packed;
    let data = match any.downcast_ref::<Arc<Packed<f32>>>().filter(|_| large) {
        Some(packed) => EntryData::Packed(packed.clone()),
        None => of_packed(&name, packed, p)?,
    };
    let mut entry = Entry { name, shape: p.shape().to_vec(), data };
    if large {
        hold(&mut entry)?;
    }
    Ok(entry)
}

/// An entry of a large model, held as the parameter holds it where that can be.
fn held<T: Float>(name: String, p: &Param<T>) -> Result<Entry> {
    let packed = p.value().packed().filter(|packed| !p.has_custom() && *packed.shape() == p.shape());
    let packed: Option<&dyn Any> = packed.as_ref().map(|packed| packed as &dyn Any);
    if let Some(packed) = packed.and_then(|packed| packed.downcast_ref::<Arc<Packed<f32>>>()) {
        packed.sound().map_err(|why| Error::invalid("pack", format!("{}: {why}", shown(&name))))?;
        return Ok(Entry { name, shape: p.shape().to_vec(), data: EntryData::Packed(packed.clone()) });
    }
    let mut entry = entry(name, p)?;
    hold(&mut entry)?;
    Ok(entry)
}

fn entry<T: Float>(name: String, p: &Param<T>) -> Result<Entry> {
    let shape = p.shape().to_vec();
    if let Some(packed) = p.value().packed().filter(|packed| !p.has_custom() && *packed.shape() == p.shape())
    {
        let data = of_packed(&name, &packed, p)?;
        return Ok(Entry { name, shape, data });
    }
    if let Some(data) = in_steps(&name, p)? {
        return Ok(Entry { name, shape, data });
    }
    let state = p.state();
    let data = match state.codebook().filter(|_| !p.has_custom()) {
        Some((codes, centroids)) => {
            let mask = state.mask.as_ref().map(Tensor::to_vec);
            tied(&codes.to_vec(), &floats(&name, &centroids.value().to_vec())?, mask)
        }
        None => {
            let values = floats(&name, &p.effective()?.to_vec())?;
            if fits_half(&values) { EntryData::Half(values) } else { EntryData::Dense(values) }
        }
    };
    Ok(Entry { name, shape, data })
}

/// What a parameter holds that is packed.
fn of_packed<T: Float>(name: &str, packed: &Packed<T>, p: &Param<T>) -> Result<EntryData> {
    packed.sound().map_err(|why| Error::invalid("pack", format!("{}: {why}", shown(name))))?;
    let Some(codes) = packed.codes() else {
        let values = floats(name, &p.value().to_vec())?;
        return Ok(match packed.half_float() {
            Some(HalfFloat::F16) => EntryData::Half(values),
            _ => EntryData::Bf16(values),
        });
    };
    let list = codes.to_vec();
    let worth: Vec<T> = (0..=u8::MAX).map(|code| codes.value(code)).collect();
    let mask = codes.pruned().map(|pruned| list.iter().map(|&code| code != pruned).collect());
    let list: Vec<u32> = list.into_iter().map(u32::from).collect();
    let data = tied(&list, &floats(name, &worth)?, mask);
    let Some(scales) = codes.scales() else { return Ok(data) };
    let scales = floats(name, &scales)?;
    let width = |values: &[f32]| if fits_half(values) { 16 } else { 32 };
    let (group, scale_bits) = (codes.group(), width(&scales));
    let scaled = EntryData::Scaled { weights: Box::new(data), group, scales, scale_bits };
    let by = match (codes.zero_points(), codes.offsets()) {
        (Some(zeros), _) => Shift::ZeroPoints(zeros),
        (_, Some(offsets)) => {
            let values = floats(name, &offsets)?;
            Shift::Offsets { bits: width(&values), values }
        }
        _ => return Ok(scaled),
    };
    Ok(EntryData::Shifted { scaled: Box::new(scaled), by })
}

/// Whole numbers and step sizes, if that's what the weights are.
fn in_steps<T: Float>(name: &str, p: &Param<T>) -> Result<Option<EntryData>> {
    let (Some(steps), Some((numbers, sizes))) = (p.steps(), p.numbers()?) else { return Ok(None) };
    let mut values = numbers.to_vec();
    values.sort_unstable();
    values.dedup();
    let (Some(&low), Some(&high)) = (values.first(), values.last()) else { return Ok(None) };
    let codes: Vec<u32> = numbers.to_vec().iter().map(|n| (n - low) as u32).collect();
    let centroids: Vec<f32> = (low..=high).map(|n| n as f32).collect();
    let scales = floats(name, &sizes)?;
    let scale_bits = if fits_half(&scales) { 16 } else { 32 };
    let weights = Box::new(tied(&codes, &centroids, p.mask().map(|m| m.to_vec())));
    Ok(Some(EntryData::Scaled { weights, group: steps.group, scales, scale_bits }))
}

/// Codes of kept weights only, over the centroids that these use, sorted: that way they take the fewest
/// bytes.
fn tied(codes: &[u32], centroids: &[f32], mask: Option<Vec<bool>>) -> EntryData {
    let kept = |i: usize| mask.as_ref().is_none_or(|mask| mask[i]);
    let codes: Vec<u32> = codes.iter().enumerate().filter(|(i, _)| kept(*i)).map(|(_, &code)| code).collect();
    let mut used = vec![false; centroids.len()];
    codes.iter().for_each(|&code| used[code as usize] = true);
    let mut sorted: Vec<f32> =
        centroids.iter().zip(used).filter(|(_, used)| *used).map(|(&v, _)| v).collect();
    sorted.sort_by(f32::total_cmp);
    sorted.dedup_by_key(|v| v.to_bits());
    let place = |value: &f32| sorted.partition_point(|v| v.total_cmp(value).is_lt()) as u32;
    let places: Vec<u32> = centroids.iter().map(place).collect();
    let codes = codes.iter().map(|&code| places[code as usize]).collect();
    let mask = mask.filter(|mask| mask.iter().any(|&keep| !keep));
    let centroid_bits = if fits_half(&sorted) { 16 } else { 32 };
    EntryData::Codebook { mask, codes, centroids: sorted, centroid_bits }
}

/// Numbers as a file holds them, which rounds but doesn't lose any.
fn floats<T: Float>(name: &str, values: &[T]) -> Result<Vec<f32>> {
    let one = |v: &T| {
        let (wide, value) = (v.to_f64(), v.to_f64() as f32);
        if wide.is_finite() == value.is_finite() {
            return Ok(value);
        }
        let message = format!("{} has {wide:e}, which a file of f32 can't hold", shown(name));
        Err(Error::invalid("pack", message))
    };
    values.iter().map(one).collect()
}

fn fits_half(values: &[f32]) -> bool {
    values.iter().all(|&v| round_to_f16(v).to_bits() == v.to_bits())
}
