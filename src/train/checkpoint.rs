//! A run in a file: the model with its masks and codebooks, what the optimiser remembers, and whatever else
//! says where the run is. A safetensors file, so that other programs can look at the weights in it.
use super::{
    joint::Shares,
    loading::{Fields, refuse},
    restore::{Beside, Held, apply, collect, plan},
    weights::{Entry, write},
};
use crate::{
    data::opened,
    distributed::{Communicator, Layout, agree},
    error::{Error, Result},
    files, numbers,
    ops::Float,
    optim::{OptimState, Optimizer, Slot},
};
use safetensors::{SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

/// The key of what isn't tensors, as JSON.
const KEY: &str = "kolmo.run";
/// Version 1 knew neither step sizes nor what is frozen.
const VERSION: u32 = 2;
const WHAT: &str = "save_checkpoint";

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

/// Writes a run to a file: the model, the optimiser's state, and `run`, which is anything that serde can
/// serialise, such as the step, the tape's [`random`](crate::Tape::random) stream, a schedule. The file is
/// whole or not there.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, nn::{Layer, Linear}, optim::{Adam, Optimizer}, train};
/// let path = std::env::temp_dir().join(format!("kolmo-checkpoint-{}", std::process::id()));
/// let net = Linear::new(2, 1, &mut Random::new(0));
/// let mut adam: Adam = Adam::new(0.1);
/// let tape = Tape::new();
/// adam.step(&net, &net.forward(&tape.constant(Tensor::ones([1, 2]))).sum().backward()?)?;
/// train::save_checkpoint(&net, &adam, &(1u64, tape.random()), &path)?;
///
/// // Another day:
/// let again = Linear::new(2, 1, &mut Random::new(7));
/// let mut adam: Adam = Adam::new(0.1);
/// let (step, random): (u64, Random) = train::load_checkpoint(&again, &mut adam, &path)?;
/// tape.set_random(random);
/// assert_eq!((step, again.weight.value().to_vec()), (1, net.weight.value().to_vec()));
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// What stands between a parameter and its use is saved, too: masks, codebooks (and which parameters share
/// one), step sizes, and which parameters are frozen. A [`Parametrize`](crate::nn::Parametrize) is code, and
/// up to whoever builds the model. Numbers of `run` may be NaN or infinite.
///
/// # Errors
/// The file can't be written; `run` has no form in JSON. An older file is as it was then: before it is
/// replaced, the new one is read back.
pub fn save_checkpoint<T: Float, M: Serialize + ?Sized, O: Optimizer<T>, R: Serialize>(
    model: &M,
    optimizer: &O,
    run: &R,
    path: impl AsRef<Path>,
) -> Result<()> {
    Saved::of(model, optimizer.state(model)).write::<R, serde_json::Value>(path.as_ref(), run)
}

/// What goes into a checkpoint beside the position of the run.
pub(super) struct Saved {
    fields: Fields,
    lr: f64,
    /// What the optimiser remembers.
    entries: Vec<Entry>,
    slots: BTreeMap<String, (usize, u64, f64)>,
}

impl Saved {
    pub(super) fn of<T: Float, M: Serialize + ?Sized>(model: &M, optimizer: OptimState<T>) -> Saved {
        let OptimState { lr, params } = optimizer;
        let (mut entries, mut slots) = (Vec::new(), BTreeMap::new());
        for (name, slot) in params {
            for (k, tensor) in slot.tensors.iter().enumerate() {
                entries.push(Entry::new(format!("optimizer.{k}.{name}"), tensor));
            }
            slots.insert(name, (slot.tensors.len(), slot.steps, slot.number));
        }
        Saved { fields: Fields::of(model), lr, entries, slots }
    }

    /// Writes the file, where what was written can be read as `Back`.
    pub(super) fn write<R: Serialize, Back: DeserializeOwned>(self, path: &Path, run: &R) -> Result<()> {
        let (entries, head) = self.entries(run)?;
        write(path, WHAT, entries, Some(head), |bytes| read::<Back>(path, bytes).map(|_| ()))
    }

    /// The same by several processes, each of which has its part of what the optimiser remembers.
    pub(super) fn write_together<T: Float, R: Serialize, Back: DeserializeOwned>(
        self,
        world: &dyn Communicator,
        layout: &Layout<T>,
        path: &Path,
        run: &R,
    ) -> Result<()> {
        let made = self.entries(run).and_then(|(entries, head)| Shares::of(layout, entries, head));
        agree(world, made.as_ref().map(|_| Vec::new()).map_err(Clone::clone))?;
        made?.write(world, path, |bytes| read::<Back>(path, bytes).map(|_| ()))
    }

    /// All tensors, and what isn't.
    fn entries<R: Serialize>(self, run: &R) -> Result<(Vec<Entry>, HashMap<String, String>)> {
        let (mut entries, mut beside) = (Vec::new(), Beside::default());
        collect(self.fields.singles, &mut entries, &mut beside);
        collect(self.fields.doubles, &mut entries, &mut beside);
        entries.extend(self.entries);
        let head = Head { version: VERSION, lr: self.lr, slots: self.slots, beside, run };
        let head = numbers::to_json(&head).map_err(|e| Error::invalid(WHAT, e.to_string()))?;
        Ok((entries, [(KEY.to_string(), head)].into()))
    }
}

/// A file's tensors and what else is in it.
fn read<'a, R: DeserializeOwned>(path: &Path, bytes: &'a [u8]) -> Result<(SafeTensors<'a>, Head<R>)> {
    let broken = |at: &str, message: String| broken(path, at, message);
    let (file, metadata, _) =
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

/// Takes a run up again that [`save_checkpoint`] wrote: the model, which must have the same parameters, gets
/// its weights, masks, codebooks and step sizes, the optimiser its state, and what was saved beside them
/// comes back. The run then goes on with the same bits. So the learning rate is the file's, whatever the
/// optimiser had: to go on with another one, set it afterwards; and what was frozen is frozen.
///
/// # Errors
/// The file can't be read or is no checkpoint; names or shapes differ from the model's. Nothing was changed
/// then.
pub fn load_checkpoint<T: Float, M: Serialize + ?Sized, O: Optimizer<T>, R: DeserializeOwned>(
    model: &M,
    optimizer: &mut O,
    path: impl AsRef<Path>,
) -> Result<R> {
    let (run, planned) = open(path.as_ref(), &files::read(path.as_ref())?, Fields::of(model))?;
    planned.apply(path.as_ref(), model, optimizer)?;
    Ok(run)
}

/// What a checkpoint will make of a model and an optimiser.
pub(super) struct Planned {
    singles: Vec<Held<f32>>,
    doubles: Vec<Held<f64>>,
    lr: f64,
    slots: BTreeMap<String, (Vec<Entry>, u64, f64)>,
}

/// Reads the bytes of a checkpoint for a model with these parameters; nothing is changed.
pub(super) fn open<R: DeserializeOwned>(path: &Path, bytes: &[u8], fields: Fields) -> Result<(R, Planned)> {
    let (file, head) = read::<R>(path, bytes)?;
    let mut left: BTreeMap<String, TensorView> = file.tensors().into_iter().collect();
    let (mut missing, mut unfit) = (Vec::new(), Vec::new());
    let singles = plan(fields.singles, &mut left, &head.beside, &mut missing, &mut unfit);
    let doubles = plan(fields.doubles, &mut left, &head.beside, &mut missing, &mut unfit);
    let mut slots = BTreeMap::new();
    for (name, (count, steps, number)) in head.slots {
        let mut tensors = Vec::new();
        for k in 0..count {
            let stored = format!("optimizer.{k}.{name}");
            let view = left.remove(&stored).ok_or_else(|| broken(path, &stored, "is missing".into()))?;
            tensors.push(Entry::of(stored, &view));
        }
        slots.insert(name, (tensors, steps, number));
    }
    refuse("load_checkpoint", missing, left.into_keys().collect(), unfit)?;
    Ok((head.run, Planned { singles, doubles, lr: head.lr, slots }))
}

impl Planned {
    pub(super) fn apply<T: Float, M: Serialize + ?Sized, O: Optimizer<T>>(
        self,
        path: &Path,
        model: &M,
        optimizer: &mut O,
    ) -> Result<()> {
        let mut state = OptimState { lr: self.lr, params: BTreeMap::new() };
        for (name, (stored, steps, number)) in self.slots {
            let value = |entry: &Entry| entry.value::<T>().map_err(|e| broken(path, &entry.name, e));
            let tensors = stored.iter().map(value).collect::<Result<_>>()?;
            state.params.insert(name, Slot { tensors, steps, number });
        }
        // The optimiser looks for codebooks and step sizes in the model, so they come first, and go if it
        // doesn't like them.
        let before = put(path, self.singles, self.doubles)?;
        optimizer.load_state(model, state).inspect_err(|_| {
            let _ = put(path, before.0, before.1);
        })
    }
}

/// Parameters with what stands beside them, of both types.
type Both = (Vec<Held<f32>>, Vec<Held<f64>>);

/// Makes parameters what they will be, all or none; gives what they were.
fn put(path: &Path, singles: Vec<Held<f32>>, doubles: Vec<Held<f64>>) -> Result<Both> {
    let before = (Held::of_all(&singles), Held::of_all(&doubles));
    match apply(singles).and_then(|()| apply(doubles)) {
        Ok(()) => Ok(before),
        Err((name, e)) => {
            let _ = (apply(before.0), apply(before.1));
            Err(broken(path, &name, e.to_string()))
        }
    }
}

fn broken(path: &Path, at: &str, message: String) -> Error {
    Error::format(path.display().to_string(), at.to_string(), message)
}
