//! A run that slots make up, shared by several processes: what is done otherwise than by one alone.
use super::{Trainer, board::Board, hooks::Control, hooks::StepInfo, position::Position, slots::Slots};
use crate::{
    data::share,
    distributed::{Alone, Communicator, Layout, SlotSum, Sums, agree, alike, told_by},
    error::{Error, Result},
    isa::instruction_set,
    ops::Float,
    optim::Optimizer,
    param::{Param, visit_params},
    tape::{Random, Tape, Var},
    train::History,
};
use serde::Serialize;
use std::ops::Range;

/// Slots of a batch unless a number is given.
const SLOTS: usize = 8;

/// Who makes the steps of a run, and of how many slots a batch is.
#[derive(Clone, Copy)]
pub(super) struct Team<'a> {
    pub world: &'a dyn Communicator,
    pub slots: usize,
}

impl Team<'_> {
    /// The one that prints and writes files.
    pub fn leads(&self) -> bool {
        self.world.rank() == 0
    }

    /// Of so many slots those of each process.
    fn shares(&self, count: usize) -> Vec<Range<usize>> {
        let size = self.world.size();
        (0..size).map(|rank| share(count, rank, size)..share(count, rank + 1, size)).collect()
    }
}

/// # Several processes
impl<'a, T: Float> Trainer<'a, T> {
    /// Cuts each batch into so many slots, nearly equal parts of it (default 8 with a
    /// [`communicator`](Trainer::communicator), else none). The gradient of a slot depends on the seed, the
    /// step and the slot alone, and gradients are added in an order that the number of slots decides. So the
    /// weights are the same to the last bit on any number of processes that share the slots. The number is a
    /// part of what is trained, as the size of the batch is: of each slot batch normalisation sees its own
    /// examples, running statistics move by the mean over the slots, and with
    /// [`accumulate_grad_batches`](Trainer::accumulate_grad_batches) a step has the slots of all its batches.
    #[doc(alias("micro_batches", "no_sync"))]
    pub fn slots(self, slots: usize) -> Self {
        Trainer { slots: Some(slots.max(1)), ..self }
    }

    /// The processes that make the steps together: each computes some of the
    /// [`slots`](Trainer::slots), and changes, and remembers, its part of all parameters. Each calls
    /// [`fit`](Trainer::fit) with the same model, optimiser, loader and options, or all are told the first
    /// difference. Rank 0 shows the bar and writes files, and what the metrics and
    /// [`on_epoch`](Trainer::on_epoch) say there holds for all. Files are those of one process, so a run may
    /// be taken up by another number of them. An error of one process is one of all, with its rank.
    ///
    /// ```
    /// use kolmo::{Random, data::{self, DataLoader}, distributed::Local, optim::AdamW, train::Trainer};
    /// use kolmo::nn::{Dropout, Layer, Linear, Sequential};
    /// let train = |world: &Local| {
    ///     let (x, y) = data::digits();
    ///     let net = Sequential((Dropout::new(0.1), Linear::new(64, 10, &mut Random::new(0))));
    ///     Trainer::new(DataLoader::new(300, 60), 1).progress(false).communicator(world).fit(
    ///         &net,
    ///         &mut AdamW::new(1e-2),
    ///         move |rows, _rng| Ok((x.rows(rows)?, y.rows(rows)?)),
    ///         |tape, (x, y)| net.forward(&tape.constant(x)).cross_entropy(y),
    ///         || Ok(Vec::<(String, f64)>::new()),
    ///     )?;
    ///     Ok(net.0.1.weight.value())
    /// };
    /// let one = Local::run(1, move |world| train(&world))?;
    /// let three = Local::run(3, move |world| train(&world))?;
    /// assert!(three.iter().all(|weights| *weights == one[0]));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[doc(alias("DistributedDataParallel", "strategy"))]
    pub fn communicator(self, world: &'a dyn Communicator) -> Self {
        Trainer { world: Some(world), ..self }
    }

    /// [`fit`](Trainer::fit) with batch normalisation by the mean and variance of all slots of a step,
    /// wherever they are computed: a step's gradients are, but for rounding, those without slots. Each of a
    /// process's slots has a tape and a thread, and they go from one normalisation to the next together, one
    /// computing at a time, so all their activations are held at once. `loss` has to be the same function for
    /// each slot, as often normalised, and to be called from other threads.
    ///
    /// ```
    /// use kolmo::{Random, data::{self, DataLoader}, optim::Sgd, train::Trainer};
    /// use kolmo::nn::{BatchNorm1d, Layer, Linear, Sequential};
    /// let (x, y) = data::digits();
    /// let rng = &mut Random::new(0);
    /// let net = Sequential((Linear::new(64, 20, rng), BatchNorm1d::new(20), Linear::new(20, 10, rng)));
    /// let history = Trainer::new(DataLoader::new(600, 64), 2).progress(false).slots(8).fit_synchronized(
    ///     &net,
    ///     &mut Sgd::new(0.1),
    ///     move |rows, _rng| Ok((x.rows(rows)?, y.rows(rows)?)),
    ///     |tape, (x, y)| net.forward(&tape.constant(x)).cross_entropy(y),
    ///     || Ok(Vec::<(String, f64)>::new()),
    /// )?;
    /// assert!(history.records[1].loss < history.records[0].loss);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`fit`](Trainer::fit); slots that don't normalise as often as others; a program that is to be
    /// differentiated twice.
    #[doc(alias("SyncBatchNorm", "sync_batchnorm"))]
    pub fn fit_synchronized<M, O, B, S>(
        &mut self,
        model: &M,
        optimizer: &mut O,
        make: impl FnMut(&[usize], &mut Random) -> Result<B> + Clone + Send + 'static,
        loss: impl for<'t> Fn(&'t Tape<T>, &B) -> Var<'t, T> + Sync,
        metrics: impl FnMut() -> Result<Vec<(S, f64)>>,
    ) -> Result<History>
    where
        M: Serialize + ?Sized,
        O: Optimizer<T>,
        B: Send + 'static,
        S: Into<String>,
    {
        if self.team().is_none() {
            return self.fit(model, optimizer, make, loss, metrics);
        }
        self.in_step = true;
        self.run(model, optimizer, make, metrics, |trainer, all, tape, at, batches| {
            let Some(team) = trainer.team() else { return Ok(None) };
            trainer.step_together(team, all, tape, at, |slots, _, sum| slots.in_step(sum, batches, &loss))
        })
    }

    pub(super) fn team(&self) -> Option<Team<'a>> {
        let slots = self.slots.or(self.world.map(|_| SLOTS))?;
        Some(Team { world: self.world.unwrap_or(&Alone), slots })
    }

    /// Whether this process prints and writes files.
    pub(super) fn leads(&self) -> bool {
        self.team().is_none_or(|team| team.leads())
    }

    /// The slots of the rest of an epoch that are this process's.
    pub(super) fn own_slots(&self, team: Team, first: usize) -> impl Iterator<Item = usize> + Send + use<T> {
        let (batches, together, slots) = (self.loader.len(), self.accumulate, team.slots);
        let (rank, size) = (team.world.rank(), team.world.size());
        (first..batches).step_by(together).flat_map(move |batch| {
            let (start, count) = (batch * slots, together.min(batches - batch) * slots);
            start + share(count, rank, size)..start + share(count, rank + 1, size)
        })
    }

    /// A step by all processes, the own slots by `make`.
    pub(super) fn step_together<M, O>(
        &mut self,
        team: Team,
        (model, optimizer, board): (&M, &mut O, &mut Board),
        tape: &mut Tape<T>,
        at: &mut Position,
        make: impl FnOnce(&Slots, &mut Tape<T>, &mut SlotSum<'_, T>) -> Result<()>,
    ) -> Result<Option<StepInfo>>
    where
        M: Serialize + ?Sized,
        O: Optimizer<T>,
    {
        let (layout, together) = (Layout::of(model, team.world), self.together(at.batch));
        let first = at.batch * team.slots;
        let shares = team.shares(together * team.slots);
        let sizes: Vec<usize> =
            (0..together * team.slots).map(|slot| self.loader.slot(first + slot, team.slots).len()).collect();
        let own = shares.get(team.world.rank()).cloned().unwrap_or_default();
        let (random, step) = (at.random, at.step);
        let slots = Slots { examples: sizes.iter().sum(), sizes: &sizes, shares: &shares, own, random, step };
        let mut sum = SlotSum::new(team.world, &layout);
        let made = make(&slots, tape, &mut sum);
        let mut sums = Sums::of(&shares, sum, made)?;
        let mut mean = 0.0;
        for (slot, (loss, &own)) in sums.losses.iter().zip(&sizes).enumerate().filter(|(_, (_, n))| **n > 0) {
            at.losses = (at.losses.0 + own as f64 * loss, at.losses.1 + own as u64);
            mean += loss * slots.part(slot);
        }
        at.batch += together;
        let info = StepInfo { step: at.step + 1, epoch: at.epoch + 1, lr: optimizer.lr(), loss: mean };
        let shown = self.tensorboard.is_some() && at.batch >= self.loader.len();
        if shown || self.hooks.on_gradients.is_some() {
            sums.change(tape, |grads| {
                if let Some(on_gradients) = &mut self.hooks.on_gradients {
                    on_gradients(&info, grads)?;
                }
                if shown {
                    board.gradients(model, &info, grads);
                }
                Ok(())
            })?;
        }
        if let Some(most) = self.clip_norm {
            sums.clip_norm(most)?;
        }
        sums.step(model, optimizer, sizes.iter().filter(|&&n| n > 0).count())?;
        Ok(Some(info))
    }

    /// That all processes are about to do the same.
    pub(super) fn compare<M: Serialize + ?Sized, O: Optimizer<T>>(
        &self,
        team: Team,
        model: &M,
        optimizer: &O,
    ) -> Result<()> {
        if team.world.size() == 1 {
            return Ok(());
        }
        let fused = if instruction_set() == "portable" { "without" } else { "with" };
        let mut facts = vec![
            ("kolmo's version".into(), env!("CARGO_PKG_VERSION").into()),
            ("arithmetic".into(), format!("{fused} fused multiply-adds")),
            ("the number of slots".into(), team.slots.to_string()),
            ("batch normalisation by all slots".into(), self.in_step.to_string()),
            ("the loader".into(), format!("{:?}", self.loader)),
            ("the number of epochs".into(), self.epochs.to_string()),
            ("the seed".into(), self.seed.to_string()),
            ("accumulate_grad_batches".into(), self.accumulate.to_string()),
            ("clip_norm".into(), format!("{:?}", self.clip_norm)),
            ("whether there is a TensorBoard".into(), self.tensorboard.is_some().to_string()),
            ("the optimiser".into(), std::any::type_name::<O>().into()),
            ("the optimiser's options".into(), optimizer.options()),
            ("the learning rate".into(), optimizer.lr().to_string()),
            ("the schedule".into(), self.some_rates()?),
            ("early stopping".into(), format!("{:?}", self.stopping)),
            ("what is done in the midst".into(), format!("{:?}", self.hooks)),
            ("a checkpoint's steps".into(), format!("{:?}", self.checkpoint.as_ref().map(|c| c.1))),
        ];
        visit_params(model, |path, p: &Param<T>| {
            let (value, trained) = (p.value(), if p.is_trainable() { "trained" } else { "frozen" });
            facts.push((path.to_string(), format!("{} of {}, {trained}", value.shape(), T::NAME)));
        });
        visit_params(model, |path, p: &Param<T>| {
            // FNV-1a.
            let both = [p.value().to_vec(), p.effective_or_value().to_vec()];
            let hash = both.iter().flatten().fold(0xcbf2_9ce4_8422_2325u64, |hash, v| {
                (hash ^ v.to_f64().to_bits()).wrapping_mul(0x0100_0000_01b3)
            });
            facts.push((format!("the hash of {path}"), format!("{hash:016x}")));
        });
        alike(team.world, facts)
    }

    /// The schedule's learning rates at some steps of the run.
    fn some_rates(&self) -> Result<String> {
        let Some(schedule) = self.schedule else { return Ok("none".into()) };
        let last = (self.loader.len().div_ceil(self.accumulate) as u64 * self.epochs).saturating_sub(1);
        let rates: Result<Vec<f64>> = (0..=8).map(|i| schedule.lr(last / 8 * i + last % 8 * i / 8)).collect();
        rates.map(|rates| format!("{rates:?}"))
    }

    /// What all processes have made, if none of them failed: rank 0's holds.
    pub(super) fn agreed<V>(&self, made: Result<V>, to: impl Fn(&V) -> Vec<u8>) -> Result<Option<Vec<u8>>> {
        match self.team() {
            Some(team) if team.world.size() > 1 => {
                Ok(agree(team.world, made.as_ref().map(&to).map_err(Clone::clone))?.into_iter().next())
            }
            _ => made.map(|_| None),
        }
    }

    pub(super) fn agreed_metrics(&self, made: Result<Vec<(String, f64)>>) -> Result<Vec<(String, f64)>> {
        let bits = |m: &Vec<(String, f64)>| {
            let bits: Vec<(&str, u64)> = m.iter().map(|(name, v)| (name.as_str(), v.to_bits())).collect();
            serde_json::to_vec(&bits).unwrap_or_default()
        };
        let Some(told) = self.agreed(made.clone(), bits)? else { return made };
        let told: Vec<(String, u64)> =
            serde_json::from_slice(&told).map_err(|e| Error::invalid("Trainer", e.to_string()))?;
        Ok(told.into_iter().map(|(name, bits)| (name, f64::from_bits(bits))).collect())
    }

    pub(super) fn agreed_control(&self, made: Result<Control>) -> Result<Control> {
        let stops = |control: &Control| vec![u8::from(*control == Control::Stop)];
        match self.agreed(made.clone(), stops)? {
            None => made,
            Some(told) => Ok(if told == [1] { Control::Stop } else { Control::Continue }),
        }
    }

    /// What rank 0 does to files, for all.
    pub(super) fn leader(&self, act: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        match self.team() {
            None => act(),
            Some(team) => told_by(team.world, 0, act).map(|bytes| bytes.to_vec()),
        }
    }
}
