//! A run in a file: the model with its masks and codebooks, what the optimiser remembers, and whatever else says where the
//! run is. A safetensors file, so that other programs can look at the weights in it.
use super::weights::{Entry, fields, refuse, value, write};
use crate::{
    error::{Error, Result},
    nn::Param,
    optim::{OptimState, Optimizer, Slot},
    tape::Float,
    tensor::Tensor,
};
use safetensors::{SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, path::Path};

/// The key of what isn't tensors, as JSON.
const KEY: &str = "kolmo.run";

/// What isn't tensors.
#[derive(Serialize, Deserialize)]
struct Head<R> {
    version: u32,
    lr: f64,
    /// Tensors, steps and number of each parameter that the optimiser remembers.
    slots: BTreeMap<String, (usize, u64, f64)>,
    run: R,
}

/// Writes a run to a file: the model, the optimiser's state, and `run`, which is anything that serde can serialise, such as
/// the step, the tape's [`random`](crate::Tape::random) stream, a schedule. The file is whole or not there.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, nn::{Layer, Linear}, optim::{Adam, Optimizer}, train};
/// let path = std::env::temp_dir().join(format!("kolmo-checkpoint-{}", std::process::id()));
/// let net = Linear::<f32>::new(2, 1, &mut Random::new(0));
/// let mut adam: Adam = Adam::new(0.1);
/// let tape = Tape::new();
/// adam.step(&net, &net.forward(&tape.constant(Tensor::ones([1, 2]))).sum().backward()?)?;
/// train::save_checkpoint(&path, &net, &adam, &(1u64, tape.random()))?;
///
/// // Another day:
/// let again = Linear::<f32>::new(2, 1, &mut Random::new(7));
/// let mut adam: Adam = Adam::new(0.1);
/// let (step, random): (u64, Random) = train::load_checkpoint(&path, &again, &mut adam)?;
/// tape.set_random(random);
/// assert_eq!((step, again.weight.value().to_vec()), (1, net.weight.value().to_vec()));
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// The file can't be written; `run` has no form in JSON.
pub fn save_checkpoint<T: Float, M: Serialize + ?Sized, O: Optimizer<T>, R: Serialize>(
    path: impl AsRef<Path>,
    model: &M,
    optimizer: &O,
    run: &R,
) -> Result<()> {
    let mut entries = Vec::new();
    for (name, p) in fields::<T, M>(model) {
        entries.push(Entry::new(format!("model.{name}"), &p.value()));
        entries.extend(p.mask().map(|mask| Entry::mask(format!("mask.{name}"), &mask)));
        if let Some((codes, centroids)) = p.codebook() {
            entries.push(Entry::codes(format!("codes.{name}"), &codes));
            entries.push(Entry::new(format!("centroids.{name}"), &centroids.value()));
        }
    }
    let state = optimizer.state(model);
    let mut slots = BTreeMap::new();
    for (name, slot) in state.params {
        for (k, tensor) in slot.tensors.iter().enumerate() {
            entries.push(Entry::new(format!("optimizer.{k}.{name}"), tensor));
        }
        slots.insert(name, (slot.tensors.len(), slot.steps, slot.number));
    }
    let head = serde_json::to_string(&Head { version: 1, lr: state.lr, slots, run });
    let head = head.map_err(|e| Error::invalid("save_checkpoint", e.to_string()))?;
    write(path.as_ref(), "save_checkpoint", entries, Some((KEY.to_string(), head)))
}

/// Takes a run up again that [`save_checkpoint`] wrote: the model, which must have the same parameters, gets its weights, masks
/// and codebooks, the optimiser its state, and what was saved beside them comes back. The run then goes on with the same bits.
///
/// # Errors
/// The file can't be read or is no checkpoint; names or shapes differ from the model's. Nothing was changed then.
pub fn load_checkpoint<T: Float, M: Serialize + ?Sized, O: Optimizer<T>, R: DeserializeOwned>(
    path: impl AsRef<Path>,
    model: &M,
    optimizer: &mut O,
) -> Result<R> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let broken =
        |at: &str, message: String| Error::format(path.display().to_string(), at.to_string(), message);
    let file =
        SafeTensors::deserialize(&bytes).map_err(|e| broken("its header", format!("no checkpoint: {e}")))?;
    let (_, metadata) =
        SafeTensors::read_metadata(&bytes).map_err(|e| broken("its header", e.to_string()))?;
    let head = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
    let head = head.ok_or_else(|| broken("its header", format!("no {KEY}: this is no checkpoint")))?;
    let head: Head<R> = serde_json::from_str(head).map_err(|e| broken(KEY, e.to_string()))?;
    if head.version != 1 {
        return Err(broken(KEY, format!("version {} is not 1, which is read here", head.version)));
    }
    let mut left: BTreeMap<String, TensorView> = file.tensors().into_iter().collect();
    let (mut missing, mut unfit) = (Vec::new(), Vec::new());
    let mut restored = Vec::new();
    for (name, p) in fields::<T, M>(model) {
        let mut part = |kind: &str| left.remove(&format!("{kind}.{name}"));
        let parts = [part("model"), part("mask"), part("codes"), part("centroids")];
        let [Some(weights), mask, codes, centroids] = parts else {
            missing.push(name);
            continue;
        };
        match Restored::new(&p, &weights, mask, codes.zip(centroids)) {
            Ok(r) => restored.push((p, r)),
            Err(message) => unfit.push(format!("{name} {message}")),
        }
    }
    let mut state = OptimState { lr: head.lr, params: BTreeMap::new() };
    for (name, (count, steps, number)) in head.slots {
        let mut tensors = Vec::new();
        for k in 0..count {
            let stored = format!("optimizer.{k}.{name}");
            let view = left.remove(&stored).ok_or_else(|| broken(&stored, "is missing".into()))?;
            let shape = view.shape().iter().copied().collect();
            tensors.push(value::<T>(&view, &shape).map_err(|e| broken(&stored, e))?);
        }
        state.params.insert(name, Slot { tensors, steps, number });
    }
    refuse("load_checkpoint", missing, left.into_keys().collect(), unfit)?;
    optimizer.load_state(model, state)?;
    for (p, restored) in restored {
        restored.put(&p)?;
    }
    Ok(head.run)
}

/// What a parameter will be.
struct Restored<T: Float> {
    value: Tensor<T>,
    mask: Option<Tensor<bool>>,
    codebook: Option<(Tensor<u32>, Tensor<T>)>,
}

impl<T: Float> Restored<T> {
    fn new(
        p: &Param<T>,
        weights: &TensorView,
        mask: Option<TensorView>,
        codebook: Option<(TensorView, TensorView)>,
    ) -> Result<Restored<T>, String> {
        let shape = p.shape();
        let plain = |view: &TensorView, size: usize| match *view.shape() == shape[..] {
            true if view.data().len() == size * shape.numel() => Ok(()),
            _ => Err(format!("has a mask or codes of another shape or type than its {shape}")),
        };
        let mask = match mask {
            None => None,
            Some(view) => {
                plain(&view, 1)?;
                Some(Tensor::from_fn(&shape, |i| view.data()[i] != 0))
            }
        };
        let codebook = match codebook {
            None => None,
            Some((codes, centroids)) => {
                plain(&codes, 4)?;
                let words = codes.data().as_chunks::<4>().0;
                let codes = Tensor::from_fn(&shape, |i| u32::from_le_bytes(words[i]));
                let k = centroids.shape().iter().copied().collect();
                let centroids = value::<T>(&centroids, &k)?;
                if k.rank() != 1 || codes.to_vec().iter().any(|&c| c as usize >= k.numel()) {
                    return Err(format!("has codes without centroids: these are {k}"));
                }
                Some((codes, centroids))
            }
        };
        Ok(Restored { value: value(weights, &shape)?, mask, codebook })
    }

    fn put(self, p: &Param<T>) -> Result<()> {
        p.set(self.value);
        p.set_mask(self.mask.as_ref())?;
        match (self.codebook, p.codebook()) {
            (None, _) => p.remove_codebook(),
            // The centroids may be shared: their handle stays.
            (Some((codes, new)), Some((_, centroids))) => {
                centroids.set(new);
                p.set_codebook(codes, centroids)?;
            }
            (Some((codes, new)), None) => p.set_codebook(codes, new)?,
        }
        Ok(())
    }
}
