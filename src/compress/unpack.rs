//! Files into models, by the dotted names of parameters: what a parameter holds by what a file has of it.
use super::{
    Artifact, Entry, EntryData,
    fake::number_codes,
    filter::each_field,
    forms::{floats_of, held_as, packed_of, values},
};
use crate::{
    error::{Checked, Error, Result},
    ops::Float,
    param::{Form, Groups, Param, ParamState, Steps, shown},
    tensor::{Shape, Tensor},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Puts an artifact's tensors into the parameters of the same names. What stood between a parameter's tensor
/// and its use before is gone. Weights that the file has in fewer bits than floats are held so, and not
/// trained; the model runs on them through its own `forward`. [`thaw`](super::quantize::thaw) takes them
/// apart into what training works on. Vectors have a codebook with its mask, or plain values.
///
/// # Errors
/// Names that the artifact doesn't have, or has too many, and shapes that differ are all told at once; so are
/// entries whose lengths don't fit their shapes. The model is as it was then.
pub fn unpack<M: Serialize + ?Sized>(artifact: &Artifact, model: &M) -> Result<()> {
    let mut entries: BTreeMap<&str, &Entry> = BTreeMap::new();
    let mut wrong = Vec::new();
    for entry in &artifact.entries {
        if entries.insert(&entry.name, entry).is_some() {
            wrong.push(format!("twice in the artifact: {}", entry.name));
        }
    }
    put("unpack", entries, wrong, model)
}

/// What a file has of a tensor.
pub(super) trait Held {
    fn shape(&self) -> &[usize];
    /// What a parameter of this shape holds by it.
    fn state<T: Float>(&self, shape: &Shape) -> Checked<ParamState<T>>;
}

impl Held for &Entry {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn state<T: Float>(&self, shape: &Shape) -> Checked<ParamState<T>> {
        state_of(self, shape)
    }
}

/// Puts a file's tensors into the parameters of the same names, all or, where something is wrong, none.
pub(super) fn put<M: Serialize + ?Sized>(
    what: &'static str,
    mut entries: BTreeMap<&str, impl Held>,
    mut wrong: Vec<String>,
    model: &M,
) -> Result<()> {
    let mut jobs: Vec<Box<dyn FnOnce() -> Result<()>>> = Vec::new();
    let (mut missing, mut shapes) = (Vec::new(), Vec::new());
    each_field!(model, |name, p| match entries.remove(name.as_str()) {
        None => missing.push(shown(&name).to_string()),
        Some(entry) if entry.shape()[..] != p.shape()[..] => {
            shapes.push(format!(
                "{} {} in the artifact, {} in the model",
                shown(&name),
                Shape::new(entry.shape()),
                p.shape()
            ));
        }
        Some(entry) => match entry.state(&p.shape()) {
            Ok(state) => {
                let p = p.clone();
                jobs.push(Box::new(move || p.replace_state(state)));
            }
            Err(message) => wrong.push(format!("{}: {message}", shown(&name))),
        },
    });
    let mut list = |what: &str, names: Vec<String>| {
        if !names.is_empty() {
            wrong.push(format!("{what}: {}", names.join(", ")));
        }
    };
    list("missing from the artifact", missing);
    list("not in the model", entries.into_keys().map(|name| shown(name).to_string()).collect());
    list("of another shape", shapes);
    if !wrong.is_empty() {
        return Err(Error::invalid(what, wrong.join("; ")));
    }
    jobs.into_iter().try_for_each(|job| job())
}

/// What a parameter of a shape holds by an entry.
fn state_of<T: Float>(entry: &Entry, shape: &Shape) -> Result<ParamState<T>, String> {
    if let EntryData::Packed(packed) = &entry.data {
        return Ok(ParamState::dense(held_as(packed)?));
    }
    if let Some(packed) = packed_of(entry, shape)? {
        return Ok(ParamState::dense(packed.into()));
    }
    let n = shape.numel();
    let dense = entry.to_dense();
    if dense.len() != n {
        return Err(format!("{} values don't fill shape {shape}", dense.len()));
    }
    let dense = Tensor::from_fn(shape, |i| T::from_f64(f64::from(dense[i])));
    let mut state = ParamState::dense(dense);
    let (weights, scaled) = match &entry.data {
        EntryData::Scaled { weights, group, scales, scale_bits } => {
            let count = Groups::new(shape, *group).count();
            if scales.len() != count {
                return Err(format!(
                    "{} scales for {shape} in groups of {group}: takes {count}",
                    scales.len()
                ));
            }
            (&**weights, Some((*group, floats_of(scales, *scale_bits))))
        }
        data => (data, None),
    };
    let EntryData::Codebook { mask, codes, centroids, .. } = weights else {
        return Ok(state);
    };
    let keep = mask.clone().unwrap_or_else(|| vec![true; n]);
    let kept = keep.iter().filter(|&&keep| keep).count();
    if keep.len() != n || kept != codes.len() {
        return Err(format!(
            "{} codes for {kept} kept weights of {} in shape {shape}",
            codes.len(),
            keep.len()
        ));
    }
    if let Some(bad) = codes.iter().find(|&&code| code as usize >= centroids.len()) {
        return Err(format!("code {bad} has no centroid: there are {}", centroids.len()));
    }
    // A parameter has a code everywhere, a file only where weights are kept.
    let mut next = codes.iter();
    let all = Tensor::from_fn(shape, |i| if keep[i] { next.next().copied().unwrap_or(0) } else { 0 });
    let centroids = if centroids.is_empty() { vec![T::default()] } else { values(weights) };
    state.mask = mask.is_some().then(|| Tensor::from_fn(shape, |i| keep[i]));
    state.form = match scaled {
        None => Form::Codebook { codes: all, centroids: Tensor::from(centroids).into(), steps: None },
        Some((group, sizes)) => match whole(&centroids) {
            Some((bits, numbers)) if sizes.iter().all(usable) => {
                let all = all.to_vec();
                let (codes, values) =
                    number_codes(bits, &Tensor::from_fn(shape, |i| numbers[all[i] as usize]));
                let centroids: Param<T> = values.into();
                centroids.set_trainable(false);
                let steps = Some(Steps { bits, group, sizes: Tensor::from(sizes).into() });
                Form::Codebook { codes, centroids, steps }
            }
            // What isn't whole numbers of up to eight bits is no work of a quantiser: plain values.
            _ => Form::Dense,
        },
    };
    Ok(state)
}

/// Whether it can be a step size.
fn usable<T: Float>(size: &T) -> bool {
    size.to_f64() > 0.0 && size.to_f64().is_finite()
}

/// Values as whole numbers, and how many bits these take, 2 to 8.
fn whole<T: Float>(values: &[T]) -> Option<(u32, Vec<i32>)> {
    let numbers: Vec<i32> = values.iter().map(|v| v.to_f64() as i32).collect();
    let exact = values.iter().zip(&numbers).all(|(v, &n)| v.to_f64() == f64::from(n) && n.abs() < 128);
    let most = numbers.iter().map(|n| n.abs()).max().unwrap_or(0);
    let bits = (2..=8).find(|bits| most < 1 << (bits - 1))?;
    exact.then_some((bits, numbers))
}
