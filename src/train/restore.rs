//! The parameters of a model in a checkpoint, with what stands between each and its use: masks, codebooks,
//! step sizes, and what is frozen.
use super::weights::{Entry, value};
use crate::{
    error::{Error, Result},
    ids::ParamId,
    kernels::packed::{self, Packed},
    ops::Float,
    param::{Form, Param, ParamState, Steps},
    tensor::Tensor,
};
use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry as Place};

/// Of parameters what isn't tensors.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Beside {
    /// Bits and group of those whose weights are whole numbers of steps.
    steps: BTreeMap<String, (u32, usize)>,
    /// Codebooks and step sizes that another parameter has, too, or is: its name.
    shared: BTreeMap<String, String>,
    /// Forms of those that are held in fewer bits, whose pieces stand in place of their numbers.
    #[serde(default)]
    packed: BTreeMap<String, packed::Form>,
    /// Which are not trained; older files don't say.
    frozen: Option<BTreeSet<String>>,
}

/// What may stand beside a parameter: the end of its name, and the beginning of the tensor's in the file.
const CODEBOOK: [&str; 2] = ["codebook", "centroids"];
const STEPS: [&str; 2] = ["steps", "steps"];

/// The tensors of all parameters of a type, and the rest.
pub(super) fn collect<T: Float>(
    fields: Vec<(String, Param<T>)>,
    entries: &mut Vec<Entry>,
    beside: &mut Beside,
) {
    let mut known: BTreeMap<ParamId, String> =
        fields.iter().map(|(name, p)| (p.id(), name.clone())).collect();
    for (name, p) in fields {
        let state = p.state();
        match state.value.held().filter(|packed| packed.shape() == state.value.shape()) {
            None => entries.push(Entry::new(format!("model.{name}"), &state.value)),
            Some(packed) => {
                let (form, pieces) = packed.pieces();
                beside.packed.insert(name.clone(), form);
                let entry = |(i, piece): (usize, &&[u8])| Entry::bytes(format!("packed{i}.{name}"), piece);
                entries.extend(pieces.iter().enumerate().map(entry));
            }
        }
        entries.extend(state.mask.as_ref().map(|mask| Entry::mask(format!("mask.{name}"), mask)));
        let frozen = beside.frozen.get_or_insert_default();
        frozen.extend(Some(name.clone()).filter(|_| !state.trainable));
        let mut add = |[end, kind]: [&str; 2], handle: &Param<T>| {
            let own = format!("{name}.{end}");
            match known.entry(handle.id()) {
                Place::Occupied(first) => {
                    beside.shared.insert(own, first.get().clone());
                }
                Place::Vacant(place) => {
                    entries.push(Entry::new(format!("{kind}.{name}"), &handle.value()));
                    frozen.extend(Some(own.clone()).filter(|_| !handle.is_trainable()));
                    place.insert(own);
                }
            }
        };
        if let Some((_, centroids)) = state.codebook() {
            add(CODEBOOK, centroids);
        }
        if let Some(steps) = state.steps() {
            add(STEPS, &steps.sizes);
            beside.steps.insert(name.clone(), (steps.bits, steps.group));
        }
        entries.extend(state.codebook().map(|(codes, _)| Entry::codes(format!("codes.{name}"), codes)));
    }
}

/// A parameter with all that belongs to it, as it is or as it will be.
pub(super) struct Held<T: Float> {
    name: String,
    p: Param<T>,
    state: ParamState<T>,
    /// Codebook and step sizes: their values, unless another parameter brings them, and whether they are
    /// trained.
    beside: Vec<(Param<T>, Option<Tensor<T>>, bool)>,
}

impl<T: Float> Held<T> {
    /// As the parameters are now.
    pub fn of_all(these: &[Held<T>]) -> Vec<Held<T>> {
        let now = |held: &Held<T>| {
            let state = held.p.state();
            let handles = state.codebook().map(|c| c.1).into_iter().chain(state.steps().map(|s| &s.sizes));
            let beside = handles.map(|h| (h.clone(), Some(h.value()), h.is_trainable())).collect();
            Held { name: held.name.clone(), p: held.p.clone(), state, beside }
        };
        these.iter().map(now).collect()
    }

    fn put(&self) -> Result<()> {
        for (handle, value, _) in &self.beside {
            value.iter().for_each(|value| handle.set(value.clone()));
        }
        self.p.set_state(self.state.clone())
    }
}

/// Makes parameters what they will be; an error has the name of the first that can't be.
pub(super) fn apply<T: Float>(all: Vec<Held<T>>) -> Result<(), (String, Error)> {
    for held in &all {
        held.put().map_err(|e| (held.name.clone(), e))?;
    }
    // A parameter that is frozen freezes what stands beside it, so this comes last.
    for (handle, _, trainable) in all.iter().flat_map(|held| &held.beside) {
        handle.set_trainable(*trainable);
    }
    Ok(())
}

/// What the model's parameters of a type will be by the tensors of a file; takes these out of `left`.
pub(super) fn plan<T: Float>(
    fields: Vec<(String, Param<T>)>,
    left: &mut BTreeMap<String, TensorView>,
    beside: &Beside,
    missing: &mut Vec<String>,
    unfit: &mut Vec<String>,
) -> Vec<Held<T>> {
    let mut handles: BTreeMap<String, Param<T>> = fields.iter().cloned().collect();
    let mut all = Vec::new();
    for (name, p) in fields {
        let part = |kind: &str| left.remove(&format!("{kind}.{name}"));
        let [weights, mask, codes, centroids, sizes] =
            ["model", "mask", "codes", "centroids", "steps"].map(part);
        // In older files step sizes are a parameter like any other, and what they are like is the model's.
        let has = p.steps().filter(|_| !beside.steps.contains_key(&name));
        let older = has.and_then(|steps| {
            left.remove(&format!("model.{name}.steps")).map(|sizes| (steps.bits, steps.group, sizes))
        });
        let (like, sizes) = match older {
            Some((bits, group, sizes)) => (Some((bits, group)), Some(sizes)),
            None => (beside.steps.get(&name).copied(), sizes),
        };
        let pieces: Vec<TensorView> = match beside.packed.contains_key(&name) {
            true => (0..).map_while(|i| left.remove(&format!("packed{i}.{name}"))).collect(),
            false => Vec::new(),
        };
        match weights {
            None if !pieces.is_empty() => match packed_of(&name, p, beside, &pieces) {
                Ok(held) => all.push(held),
                Err(message) => unfit.push(format!("{name} {message}")),
            },
            None => missing.push(name),
            Some(weights) => {
                let parts = Parts { weights, mask, codes, centroids, sizes, like };
                match parts.held(&name, p, beside, &mut handles) {
                    Ok(held) => all.push(held),
                    Err(message) => unfit.push(format!("{name} {message}")),
                }
            }
        }
    }
    all
}

/// A parameter that is held in fewer bits, of its pieces.
fn packed_of<T: Float>(
    name: &str,
    p: Param<T>,
    beside: &Beside,
    pieces: &[TensorView],
) -> Result<Held<T>, String> {
    let form = beside.packed.get(name).ok_or("has no form")?;
    let pieces: Vec<&[u8]> = pieces.iter().map(TensorView::data).collect();
    let state = ParamState::dense(Packed::of_bytes(&p.shape(), form, &pieces)?.into());
    Ok(Held { name: name.into(), p, state: ParamState { trainable: false, ..state }, beside: Vec::new() })
}

/// A parameter's tensors in a file.
struct Parts<'a> {
    weights: TensorView<'a>,
    mask: Option<TensorView<'a>>,
    codes: Option<TensorView<'a>>,
    centroids: Option<TensorView<'a>>,
    sizes: Option<TensorView<'a>>,
    /// Bits and group of the step sizes.
    like: Option<(u32, usize)>,
}

impl Parts<'_> {
    fn held<T: Float>(
        self,
        name: &str,
        p: Param<T>,
        beside: &Beside,
        handles: &mut BTreeMap<String, Param<T>>,
    ) -> Result<Held<T>, String> {
        let shape = p.shape();
        let plain = |view: &TensorView, size: usize| match *view.shape() == shape[..] {
            true if view.data().len() == size * shape.numel() => Ok(()),
            _ => Err(format!("has a mask or codes of another shape or type than its {shape}")),
        };
        let value_of = value(&self.weights, &shape)?;
        let mask = match self.mask {
            None => None,
            Some(view) => {
                plain(&view, 1)?;
                Some(Tensor::from_fn(&shape, |i| view.data()[i] != 0))
            }
        };
        let trained = |name: &str, now: bool| match &beside.frozen {
            Some(frozen) => !frozen.contains(name),
            None => now,
        };
        let mut list = Vec::new();
        // The handle that the parameter has now stays, unless another one has it, too, which in the file it
        // doesn't share with.
        let mut handle = |end: &str, view: Option<TensorView>, now: Option<Param<T>>| {
            let own = format!("{name}.{end}");
            if let Some(first) = beside.shared.get(&own) {
                let known = handles.get(first).cloned();
                let known = known.ok_or_else(|| format!("shares {first}, which is not there"))?;
                list.push((known.clone(), None, trained(first, known.is_trainable())));
                return Ok(known);
            }
            let view = view.ok_or_else(|| format!("has no {end} in the file"))?;
            let value = value::<T>(&view, &view.shape().iter().copied().collect())?;
            let now = now.filter(|now| handles.values().all(|other| other.id() != now.id()));
            let param = now.unwrap_or_else(|| Param::new(value.clone()));
            list.push((param.clone(), Some(value), trained(&own, param.is_trainable())));
            handles.insert(own, param.clone());
            Ok::<_, String>(param)
        };
        let codebook = match self.codes {
            None => None,
            Some(codes) => {
                plain(&codes, 4)?;
                let words = codes.data().as_chunks::<4>().0;
                let codes = Tensor::from_fn(&shape, |i| u32::from_le_bytes(words[i]));
                Some((codes, handle(CODEBOOK[0], self.centroids, p.codebook().map(|c| c.1))?))
            }
        };
        let steps = match self.like {
            None => None,
            Some((bits, group)) => {
                Some(Steps { bits, group, sizes: handle(STEPS[0], self.sizes, p.steps().map(|s| s.sizes))? })
            }
        };
        let form = match (codebook, steps) {
            (None, None) => Form::Dense,
            (None, Some(steps)) => Form::Codes(steps),
            (Some((codes, centroids)), steps) => Form::Codebook { codes, centroids, steps },
        };
        let state = ParamState { value: value_of, mask, form, trainable: trained(name, p.is_trainable()) };
        Ok(Held { name: name.into(), p, state, beside: list })
    }
}
