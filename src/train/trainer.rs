//! A training loop with what belongs around one. It is plain code over the rest of the crate: where it doesn't fit, write
//! another; [`save_checkpoint`] and its relatives work in any loop.
use super::{EarlyStopping, History, Record, load_checkpoint, save_checkpoint, save_safetensors};
use crate::{
    data::Loader,
    error::{Error, Result},
    optim::{Optimizer, Schedule},
    tape::{Float, Random, Tape, Var},
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Trains a model for some epochs.
///
/// ```
/// use kolmo::{Random, Tape, data::{self, Loader}, metrics::accuracy, nn::{Layer, Linear, Relu, Sequential}};
/// use kolmo::{optim::Adam, train::Trainer};
/// let (x, y) = data::digits();
/// let rng = &mut Random::new(0);
/// let net = Sequential((Linear::<f32>::new(64, 32, rng), Relu, Linear::new(32, 10, rng)));
/// let history = Trainer::new(Loader::new(1500, 50), 3).progress(false).fit(
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
pub struct Trainer<'a> {
    loader: Loader,
    epochs: u64,
    seed: u64,
    schedule: Option<&'a dyn Schedule>,
    accumulate: usize,
    clip_norm: Option<f64>,
    checkpoint: Option<(PathBuf, u64)>,
    history: Option<PathBuf>,
    best: Option<PathBuf>,
    stopping: Option<EarlyStopping>,
    progress: bool,
}

/// Where a run is: all that isn't the model's or the optimiser's.
#[derive(Serialize, Deserialize)]
struct Position {
    loader: Loader,
    epoch: u64,
    batch: usize,
    step: u64,
    /// Of the losses of this epoch: their sum and number.
    losses: (f64, u64),
    random: Random,
    stopping: Option<EarlyStopping>,
    stopped: bool,
    history: History,
}

impl<'a> Trainer<'a> {
    /// So many epochs of the loader's batches.
    pub fn new(loader: Loader, epochs: u64) -> Trainer<'a> {
        Trainer {
            loader,
            epochs,
            seed: 0,
            schedule: None,
            accumulate: 1,
            clip_norm: None,
            checkpoint: None,
            history: None,
            best: None,
            stopping: None,
            progress: true,
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

    /// So many batches make one step, by the mean of their gradients (default 1).
    pub fn accumulate(self, batches: usize) -> Self {
        Trainer { accumulate: batches.max(1), ..self }
    }

    /// Gradients whose norm, all together, is above this are scaled down to it (default: none).
    pub fn clip_norm(self, max_norm: f64) -> Self {
        Trainer { clip_norm: Some(max_norm), ..self }
    }

    /// A file that the run is saved to after every epoch and every so many steps (0: only after epochs). If it is there at
    /// the start, the run goes on from it, with the same bits as if it had never ended.
    pub fn checkpoint(self, path: impl Into<PathBuf>, steps: u64) -> Self {
        Trainer { checkpoint: Some((path.into(), steps)), ..self }
    }

    /// A file for the [`History`], written after every epoch: CSV if its name ends so, else JSON lines.
    pub fn history(self, path: impl Into<PathBuf>) -> Self {
        Trainer { history: Some(path.into()), ..self }
    }

    /// Stops when the first of the metrics doesn't become better any more.
    pub fn early_stopping(self, stopping: EarlyStopping) -> Self {
        Trainer { stopping: Some(stopping), ..self }
    }

    /// A safetensors file for the weights after the best epoch, as [`early_stopping`](Trainer::early_stopping) judges.
    pub fn best(self, path: impl Into<PathBuf>) -> Self {
        Trainer { best: Some(path.into()), ..self }
    }

    /// Whether a bar on the terminal shows how far it is (default yes; needs the feature `progress`).
    pub fn progress(self, on: bool) -> Self {
        Trainer { progress: on, ..self }
    }

    /// Trains the model. `make` makes a batch of the numbers of its examples, with random numbers of its own, on another
    /// thread; `loss` is recorded for each batch; `metrics` are measured after each epoch.
    ///
    /// # Errors
    /// Those of the three functions and of the files. A checkpoint of another loader is refused.
    pub fn fit<T, M, O, B, S>(
        &self,
        model: &M,
        optimizer: &mut O,
        make: impl FnMut(&[usize], &mut Random) -> Result<B> + Clone + Send + 'static,
        mut loss: impl for<'t> FnMut(&'t Tape<T>, &B) -> Var<'t, T>,
        mut metrics: impl FnMut() -> Result<Vec<(S, f64)>>,
    ) -> Result<History>
    where
        T: Float,
        M: Serialize + ?Sized,
        O: Optimizer<T>,
        B: Send + 'static,
        S: Into<String>,
    {
        let mut tape = Tape::new();
        let mut at = self.begin(model, optimizer)?;
        tape.set_random(at.random);
        let bar = Bar::new(self, &at);
        while at.epoch < self.epochs && !at.stopped {
            let mut batches = self.loader.batches_from(at.epoch, at.batch, make.clone());
            while at.batch < self.loader.len() {
                if let Some(schedule) = self.schedule {
                    optimizer.set_lr(schedule.lr(at.step)?);
                }
                let mut sum = None;
                let together = self.accumulate.min(self.loader.len() - at.batch);
                for batch in batches.by_ref().take(together) {
                    let loss = loss(&tape, &batch?);
                    at.losses = (at.losses.0 + loss.item()?.to_f64(), at.losses.1 + 1);
                    let grads = (loss / together as f64).backward()?;
                    match &mut sum {
                        None => sum = Some(grads),
                        Some(sum) => sum.accumulate(&grads)?,
                    }
                    tape.reset();
                    at.batch += 1;
                }
                let Some(mut grads) = sum else { break };
                if let Some(most) = self.clip_norm {
                    grads.clip_norm(most, 2.0)?;
                }
                optimizer.step(model, &grads)?;
                at.step += 1;
                bar.step(&at);
                if self.checkpoint.as_ref().is_some_and(|(_, steps)| *steps > 0 && at.step % steps == 0) {
                    at.random = tape.random();
                    self.save(model, optimizer, &at)?;
                }
            }
            let metrics = metrics()?.into_iter().map(|(name, value)| (name.into(), value)).collect();
            self.end_epoch(model, &mut at, optimizer.lr(), metrics)?;
            at.random = tape.random();
            self.save(model, optimizer, &at)?;
            bar.epoch(&at);
        }
        bar.finish();
        Ok(at.history)
    }

    fn begin<T: Float, M: Serialize + ?Sized, O: Optimizer<T>>(
        &self,
        model: &M,
        optimizer: &mut O,
    ) -> Result<Position> {
        if let Some((path, _)) = self.checkpoint.as_ref().filter(|(path, _)| path.exists()) {
            let at: Position = load_checkpoint(path, model, optimizer)?;
            if at.loader != self.loader {
                let message =
                    format!("{} was made with {:?}, not {:?}", path.display(), at.loader, self.loader);
                return Err(Error::invalid("Trainer", message));
            }
            return Ok(at);
        }
        Ok(Position {
            loader: self.loader,
            epoch: 0,
            batch: 0,
            step: 0,
            losses: (0.0, 0),
            random: Random::new(self.seed),
            stopping: self.stopping,
            stopped: false,
            history: History::default(),
        })
    }

    fn end_epoch<M: Serialize + ?Sized>(
        &self,
        model: &M,
        at: &mut Position,
        lr: f64,
        metrics: Vec<(String, f64)>,
    ) -> Result<()> {
        if let (Some(stopping), Some((_, value))) = (&mut at.stopping, metrics.first()) {
            at.stopped = stopping.should_stop(*value);
            if let Some(path) = self.best.as_ref().filter(|_| stopping.is_best()) {
                save_safetensors(model, path)?;
            }
        }
        let (sum, count) = std::mem::take(&mut at.losses);
        (at.epoch, at.batch) = (at.epoch + 1, 0);
        let loss = sum / count as f64;
        at.history.records.push(Record { epoch: at.epoch, step: at.step, lr, loss, metrics });
        self.history.as_ref().map_or(Ok(()), |path| at.history.save(path))
    }

    fn save<T: Float, M: Serialize + ?Sized, O: Optimizer<T>>(
        &self,
        model: &M,
        optimizer: &O,
        at: &Position,
    ) -> Result<()> {
        match &self.checkpoint {
            Some((path, _)) => save_checkpoint(path, model, optimizer, at),
            None => Ok(()),
        }
    }
}

/// How far a run is, on the terminal.
#[cfg(feature = "progress")]
struct Bar {
    bar: Option<indicatif::ProgressBar>,
    epochs: u64,
}

#[cfg(not(feature = "progress"))]
struct Bar;

#[cfg(feature = "progress")]
impl Bar {
    fn new(trainer: &Trainer, at: &Position) -> Bar {
        let steps = trainer.loader.len().div_ceil(trainer.accumulate) as u64;
        let bar = trainer.progress.then(|| indicatif::ProgressBar::new(trainer.epochs * steps));
        let template = "{prefix} {wide_bar} {pos}/{len} {per_sec} {eta} {msg}";
        if let (Some(bar), Ok(style)) = (&bar, indicatif::ProgressStyle::with_template(template)) {
            bar.set_style(style);
            bar.set_position(at.step);
            bar.reset_eta();
        }
        Bar { bar, epochs: trainer.epochs }
    }

    fn show(&self, at: &Position, loss: f64, metrics: &[(String, f64)]) {
        let Some(bar) = &self.bar else { return };
        bar.set_position(at.step);
        let metrics: String = metrics.iter().map(|(name, value)| format!(" {name} {value:.4}")).collect();
        bar.set_message(format!("loss {loss:.4}{metrics}"));
    }

    fn step(&self, at: &Position) {
        let metrics = at.history.last().map_or(&[][..], |r| &r.metrics);
        if let Some(bar) = &self.bar {
            bar.set_prefix(format!("epoch {}/{}", at.epoch + 1, self.epochs));
        }
        self.show(at, at.losses.0 / at.losses.1 as f64, metrics);
    }

    fn epoch(&self, at: &Position) {
        if let Some(last) = at.history.last() {
            self.show(at, last.loss, &last.metrics);
        }
    }

    fn finish(&self) {
        self.bar.iter().for_each(|bar| bar.finish_and_clear());
    }
}

#[cfg(not(feature = "progress"))]
impl Bar {
    fn new(trainer: &Trainer, _: &Position) -> Bar {
        // Asked for or not: there is none.
        let _ = trainer.progress;
        Bar
    }
    fn step(&self, _: &Position) {}
    fn epoch(&self, _: &Position) {}
    fn finish(&self) {}
}
