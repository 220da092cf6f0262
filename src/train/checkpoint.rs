//! A run in a file: the model with its masks and codebooks, what the optimiser remembers, and whatever else says where the
//! run is. A safetensors file, so that other programs can look at the weights in it.
use super::{
    restore::{Beside, Held, apply, collect, plan},
    weights::{opened, refuse, value, write},
};
use crate::{
    error::{Error, Result},
    numbers,
    optim::{OptimState, Optimizer, Slot},
    tape::Float,
};
use safetensors::{SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, path::Path};

/// The key of what isn't tensors, as JSON.
const KEY: &str = "kolmo.run";
/// Version 1 knew neither step sizes nor what is frozen.
const VERSION: u32 = 2;

/// What isn't tensors.
#[derive(Serialize, Deserialize)]
struct Head<R> {
    version: u32,
    lr: f64,
    /// Tensors, steps and number of each parameter that the optimiser remembers.
    slots: BTreeMap<String, (usize, u64, f64)>,
    #[serde(default)]
    beside: Beside,
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
/// What stands between a parameter and its use is saved, too: masks, codebooks (and which parameters share one), step sizes,
/// and which parameters are frozen. A [`Parametrize`](crate::nn::Parametrize) is code, and up to whoever builds the model.
/// Numbers of `run` may be NaN or infinite.
///
/// # Errors
/// The file can't be written; `run` has no form in JSON. An older file is as it was then: before it is replaced, the new one is
/// read back.
pub fn save_checkpoint<T: Float, M: Serialize + ?Sized, O: Optimizer<T>, R: Serialize>(
    path: impl AsRef<Path>,
    model: &M,
    optimizer: &O,
    run: &R,
) -> Result<()> {
    save::<T, M, O, R, serde_json::Value>(path.as_ref(), model, optimizer, run)
}

/// The same, where what was written can be read as `Back`.
pub(super) fn save<T, M, O, R, Back>(path: &Path, model: &M, optimizer: &O, run: &R) -> Result<()>
where
    T: Float,
    M: Serialize + ?Sized,
    O: Optimizer<T>,
    R: Serialize,
    Back: DeserializeOwned,
{
    let (mut entries, mut beside) = (Vec::new(), Beside::default());
    collect::<f32, M>(model, &mut entries, &mut beside);
    collect::<f64, M>(model, &mut entries, &mut beside);
    let state = optimizer.state(model);
    let mut slots = BTreeMap::new();
    for (name, slot) in state.params {
        for (k, tensor) in slot.tensors.iter().enumerate() {
            entries.push(super::weights::Entry::new(format!("optimizer.{k}.{name}"), tensor));
        }
        slots.insert(name, (slot.tensors.len(), slot.steps, slot.number));
    }
    let head = numbers::to_json(&Head { version: VERSION, lr: state.lr, slots, beside, run });
    let head = head.map_err(|e| Error::invalid("save_checkpoint", e.to_string()))?;
    write(path, "save_checkpoint", entries, Some((KEY.to_string(), head)), |bytes| {
        read::<Back>(path, bytes).map(|_| ())
    })
}

/// A file's tensors and what else is in it.
fn read<'a, R: DeserializeOwned>(path: &Path, bytes: &'a [u8]) -> Result<(SafeTensors<'a>, Head<R>)> {
    let broken =
        |at: &str, message: String| Error::format(path.display().to_string(), at.to_string(), message);
    let (file, metadata) =
        opened(bytes).map_err(|message| broken("its header", format!("no checkpoint: {message}")))?;
    let head = metadata.metadata().as_ref().and_then(|m| m.get(KEY));
    let head = head.ok_or_else(|| broken("its header", format!("no {KEY}: this is no checkpoint")))?;
    let head: Head<R> = numbers::from_json(head).map_err(|e| broken(KEY, e.to_string()))?;
    if !(1..=VERSION).contains(&head.version) {
        let message = format!("version {} is none of 1 to {VERSION}, which are read here", head.version);
        return Err(broken(KEY, message));
    }
    Ok((file, head))
}

/// Takes a run up again that [`save_checkpoint`] wrote: the model, which must have the same parameters, gets its weights, masks,
/// codebooks and step sizes, the optimiser its state, and what was saved beside them comes back. The run then goes on with the
/// same bits. So the learning rate is the file's, whatever the optimiser had: to go on with another one, set it afterwards; and
/// what was frozen is frozen.
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
    let (file, head) = read::<R>(path, &bytes)?;
    let mut left: BTreeMap<String, TensorView> = file.tensors().into_iter().collect();
    let (mut missing, mut unfit) = (Vec::new(), Vec::new());
    let singles = plan::<f32, M>(model, &mut left, &head.beside, &mut missing, &mut unfit);
    let doubles = plan::<f64, M>(model, &mut left, &head.beside, &mut missing, &mut unfit);
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
    // The optimiser looks for codebooks and step sizes in the model, so they come first, and go if it doesn't like them.
    let (before, before64) = (Held::of_all(&singles), Held::of_all(&doubles));
    let told = |(name, e): (String, Error)| broken(&name, e.to_string());
    apply(singles)
        .and_then(|()| apply(doubles))
        .map_err(told)
        .and_then(|()| optimizer.load_state(model, state))
        .inspect_err(|_| {
            let _ = (apply(before), apply(before64));
        })?;
    Ok(head.run)
}
