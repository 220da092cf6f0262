//! A training loop with what belongs around one. It is plain code over the rest of the crate: where it
//! doesn't fit, write another; [`save_checkpoint`](super::save_checkpoint) and its relatives work in any
//! loop.
mod alone;
mod bar;
mod board;
mod files;
mod hooks;
mod on;
mod position;
mod slots;
mod together;

use super::{EarlyStopping, History, Record, save_safetensors};
use crate::{
    data::{Batches, DataLoader},
    distributed::Communicator,
    error::{Error, Result},
    ops::Float,
    optim::{Optimizer, Schedule},
    tape::{Random, Tape, Var},
};
use bar::Bar;
use board::Board;
use hooks::Hooks;
pub use hooks::{Control, StepInfo};
use position::Position;
use serde::Serialize;
use std::{fmt, path::PathBuf};

/// Trains a model for some epochs.
///
/// ```
/// use kolmo::{Random, Tape, data::{self, DataLoader}, metrics::accuracy, nn::{Layer, Linear, Relu, Sequential}};
/// use kolmo::{optim::Adam, train::Trainer};
/// let (x, y) = data::digits();
/// let rng = &mut Random::new(0);
/// let net = Sequential((Linear::new(64, 32, rng), Relu, Linear::new(32, 10, rng)));
/// let history = Trainer::new(DataLoader::new(1500, 50), 3).progress(false).fit(
///     &net,
///     &mut Adam::new(1e-3),
///     { let (x, y) = (x.clone(), y.clone()); move |rows, _rng| Ok((x.rows(rows)?, y.rows(rows)?)) },
///     |tape, (x, y)| net.forward(&tape.constant(x)).cross_entropy(y),
///     || {
///         let (tape, rows) = (Tape::inference(), (1500..1797).collect::<Vec<_>>());
///         let scores = net.forward(&tape.constant(x.rows(&rows)?));
///         Ok(vec![("accuracy", accuracy(scores.value()?, &y.rows(&rows)?)?)])
///     },
/// )?;
/// assert!(history.records[2].loss < history.records[0].loss);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[must_use = "nothing is trained until `fit` is called"]
pub struct Trainer<'a, T: Float = f32> {
    loader: DataLoader,
    epochs: u64,
    seed: u64,
    schedule: Option<&'a dyn Schedule>,
    accumulate: usize,
    clip_norm: Option<f64>,
    checkpoint: Option<(PathBuf, u64)>,
    history: Option<PathBuf>,
    tensorboard: Option<PathBuf>,
    best: Option<PathBuf>,
    stopping: Option<EarlyStopping>,
    progress: bool,
    hooks: Hooks<'a, T>,
    slots: Option<usize>,
    /// Whether batch normalisation is by all slots of a step.
    in_step: bool,
    world: Option<&'a dyn Communicator>,
}

impl<T: Float> fmt::Debug for Trainer<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trainer")
            .field("loader", &self.loader)
            .field("epochs", &self.epochs)
            .field("seed", &self.seed)
            .field("schedule", &self.schedule.is_some())
            .field("accumulate", &self.accumulate)
            .field("clip_norm", &self.clip_norm)
            .field("checkpoint", &self.checkpoint)
            .field("history", &self.history)
            .field("tensorboard", &self.tensorboard)
            .field("best", &self.best)
            .field("stopping", &self.stopping)
            .field("progress", &self.progress)
            .field("hooks", &self.hooks)
            .field("slots", &self.slots)
            .field("rank", &self.world.map(|world| world.rank()))
            .finish()
    }
}

impl<'a, T: Float> Trainer<'a, T> {
    /// So many epochs of the loader's batches.
    pub fn new(loader: DataLoader, epochs: u64) -> Trainer<'a, T> {
        Trainer {
            loader,
            epochs,
            seed: 0,
            schedule: None,
            accumulate: 1,
            clip_norm: None,
            checkpoint: None,
            history: None,
            tensorboard: None,
            best: None,
            stopping: None,
            progress: true,
            hooks: Hooks::default(),
            slots: None,
            in_step: false,
            world: None,
        }
    }

    /// Where the tape's random numbers begin, those of dropout (default 0). The loader has a seed of its own.
    pub fn seed(self, seed: u64) -> Self {
        Trainer { seed, ..self }
    }

    /// The learning rate of each step (default: the optimiser's).
    pub fn schedule(self, schedule: &'a dyn Schedule) -> Self {
        Trainer { schedule: Some(schedule), ..self }
    }

    /// So many batches make one step, by the mean of their gradients, in which a batch counts by the number
    /// of its examples (default 1). The last step of an epoch has the batches that are left.
    pub fn accumulate_grad_batches(self, batches: usize) -> Self {
        Trainer { accumulate: batches.max(1), ..self }
    }

    /// Gradients whose norm, all together, is above this are scaled down to it (default: none).
    pub fn clip_norm(self, max_norm: f64) -> Self {
        Trainer { clip_norm: Some(max_norm), ..self }
    }

    /// A file that the run is saved to after every epoch and every so many steps (0: only after epochs). If
    /// it is there at the start, the run goes on from it, with the same bits as if it had never ended.
    /// The learning rate is then the file's, not that of the optimiser passed in; a
    /// [`schedule`](Trainer::schedule) sets it for each step anyway.
    pub fn checkpoint(self, path: impl Into<PathBuf>, steps: u64) -> Self {
        Trainer { checkpoint: Some((path.into(), steps)), ..self }
    }

    /// A file for the [`History`], written after every epoch: CSV if its name ends so, else JSON lines.
    pub fn save_history(self, path: impl Into<PathBuf>) -> Self {
        Trainer { history: Some(path.into()), ..self }
    }

    /// Stops when the first of the metrics, or the one that
    /// [`EarlyStopping::monitor`] names, doesn't become better any more. It must be there after every epoch. A
    /// run that is taken up is judged by its whole history.
    pub fn early_stopping(self, stopping: EarlyStopping) -> Self {
        Trainer { stopping: Some(stopping), ..self }
    }

    /// A safetensors file for the weights after the best epoch, as
    /// [`early_stopping`](Trainer::early_stopping) judges, without which this is an error. In a run that
    /// is taken up without the file, the best of the epochs that follow.
    pub fn save_best(self, path: impl Into<PathBuf>) -> Self {
        Trainer { best: Some(path.into()), ..self }
    }

    /// Whether a bar on the terminal shows how far it is (default yes; needs the feature `progress`).
    pub fn progress(self, on: bool) -> Self {
        Trainer { progress: on, ..self }
    }

    /// Trains the model. `make` makes a batch of the numbers of its examples, with random numbers of its own,
    /// on another thread; `loss` is recorded for each batch, and should be a mean over its examples;
    /// `metrics` are measured after each epoch. The epoch's loss in the history is the mean over its
    /// examples: a batch counts by how many it has. What else is to be done on the way is told by
    /// [`on_gradients`](Trainer::on_gradients), [`on_step`](Trainer::on_step) and
    /// [`on_epoch`](Trainer::on_epoch).
    ///
    /// # Errors
    /// Those of the functions and of the files. A checkpoint of another loader is refused, as are a
    /// loader that gives no batch, and two metrics of one name, or one that is called `epoch`, `step`,
    /// `lr` or `loss`, as the run's own figures are.
    pub fn fit<M, O, B, S>(
        &mut self,
        model: &M,
        optimizer: &mut O,
        make: impl FnMut(&[usize], &mut Random) -> Result<B> + Clone + Send + 'static,
        mut loss: impl for<'t> FnMut(&'t Tape<T>, &B) -> Var<'t, T>,
        metrics: impl FnMut() -> Result<Vec<(S, f64)>>,
    ) -> Result<History>
    where
        M: Serialize + ?Sized,
        O: Optimizer<T>,
        B: Send + 'static,
        S: Into<String>,
    {
        self.in_step = false;
        self.run(model, optimizer, make, metrics, |trainer, all, tape, at, batches| match trainer.team() {
            None => trainer.step_alone(all, tape, at, batches, &mut loss),
            Some(team) => trainer.step_together(team, all, tape, at, |slots, tape, sum| {
                slots.one_by_one(tape, sum, batches, &mut loss)
            }),
        })
    }

    /// Trains the model by steps of some kind; one without anything to do ends the epoch.
    fn run<M, O, B, S>(
        &mut self,
        model: &M,
        optimizer: &mut O,
        make: impl FnMut(&[usize], &mut Random) -> Result<B> + Clone + Send + 'static,
        mut metrics: impl FnMut() -> Result<Vec<(S, f64)>>,
        mut step: impl FnMut(
            &mut Self,
            (&M, &mut O, &mut Board),
            &mut Tape<T>,
            &mut Position,
            &mut Batches<B>,
        ) -> Result<Option<StepInfo>>,
    ) -> Result<History>
    where
        M: Serialize + ?Sized,
        O: Optimizer<T>,
        B: Send + 'static,
        S: Into<String>,
    {
        let wrong = |message: String| Err(Error::invalid("Trainer", message));
        if self.loader.is_empty() && self.epochs > 0 {
            return wrong(format!("the loader gives no batch: {}", self.loader));
        }
        if let (Some(path), None) = (&self.best, &self.stopping) {
            let message = "needs early_stopping, which says by a metric what is better";
            return wrong(format!("best({}) {message}", path.display()));
        }
        let mut tape = Tape::new();
        let mut at = self.begin(model, optimizer)?;
        tape.set_random(at.random);
        let team = self.team();
        let steps = self.loader.len().div_ceil(self.accumulate) as u64;
        let folder = self.tensorboard.as_deref().filter(|_| self.leads() && at.epoch < self.epochs);
        let board = Board::open(folder, &at);
        self.agreed(board.as_ref().map(drop).map_err(Clone::clone), |()| Vec::new())?;
        let mut board = board?;
        let bar = Bar::new(self.progress && self.leads(), self.epochs, steps, &at);
        while at.epoch < self.epochs && !at.stopped {
            let mut batches = match team {
                None => self.loader.batches_from(at.epoch, at.batch, make.clone()),
                Some(team) => {
                    let own = self.own_slots(team, at.batch);
                    self.loader.slots_of(at.epoch, own, team.slots, make.clone())
                }
            };
            while at.batch < self.loader.len() {
                if let Some(schedule) = self.schedule {
                    optimizer.set_lr(schedule.lr(at.step)?);
                }
                let all = (model, &mut *optimizer, &mut board);
                let Some(info) = step(self, all, &mut tape, &mut at, &mut batches)? else { break };
                at.step += 1;
                bar.step(&at);
                board.step(&info);
                if let Some(on_step) = &mut self.hooks.on_step {
                    let done = on_step(&info);
                    self.agreed(done, |()| Vec::new())?;
                }
                if self.checkpoint.as_ref().is_some_and(|(_, steps)| *steps > 0 && at.step % steps == 0) {
                    self.keep_random(&tape, &mut at);
                    self.save(model, optimizer, &at)?;
                }
            }
            let metrics =
                metrics().map(|m| m.into_iter().map(|(name, value)| (name.into(), value)).collect());
            let metrics: Vec<_> = self.agreed_metrics(metrics)?;
            self.keep_random(&tape, &mut at);
            // What was trained is not lost by what is measured.
            let judged = self.judge(model, &mut at, &metrics);
            if let Err(error) = self.agreed(judged, |()| Vec::new()) {
                self.save(model, optimizer, &at)?;
                return Err(error);
            }
            let ended = self.end_epoch(&mut at, optimizer.lr(), metrics);
            let shown = ended.and_then(|()| board.epoch(model, &at.history));
            self.agreed(shown, |()| Vec::new())?;
            let asked = self.hooks.ask(&at.history);
            let asked = self.agreed_control(asked);
            at.stopped |= matches!(asked, Ok(Control::Stop));
            self.save(model, optimizer, &at)?;
            asked?;
            bar.epoch(&at);
        }
        bar.finish();
        Ok(at.history)
    }

    /// The numbers of slots belong to the step, so there the run's own stream stays where it is.
    fn keep_random(&self, tape: &Tape<T>, at: &mut Position) {
        if self.team().is_none() {
            at.random = tape.random();
        }
    }

    /// What the metrics of an epoch say: whether to stop, and whether the weights are the best.
    fn judge<M: Serialize + ?Sized>(
        &self,
        model: &M,
        at: &mut Position,
        metrics: &[(String, f64)],
    ) -> Result<()> {
        Record::check_names(metrics)?;
        let Some(stopping) = &mut at.stopping else { return Ok(()) };
        let value = stopping.watched(metrics, at.losses.0 / at.losses.1 as f64, at.epoch + 1)?;
        let mut next = stopping.clone();
        let stopped = next.update(value);
        if let Some(path) = self.best.as_ref().filter(|_| next.is_better(value, at.kept)) {
            if self.leads() {
                save_safetensors(model, path)?;
            }
            at.kept = Some(value);
        }
        (*stopping, at.stopped) = (next, stopped);
        Ok(())
    }

    fn end_epoch(&self, at: &mut Position, lr: f64, metrics: Vec<(String, f64)>) -> Result<()> {
        let (sum, count) = std::mem::take(&mut at.losses);
        (at.epoch, at.batch) = (at.epoch + 1, 0);
        let loss = sum / count as f64;
        at.history.records.push(Record { epoch: at.epoch, step: at.step, lr, loss, metrics });
        self.history.as_ref().filter(|_| self.leads()).map_or(Ok(()), |path| at.history.save(path))
    }
}
