//! Where a run of the trainer begins, and its checkpoint.
use super::{Trainer, position::Position, together::Team};
use crate::{
    distributed::Layout,
    error::{Error, Result},
    files,
    ops::Float,
    optim::Optimizer,
    tape::Random,
    train::{
        History,
        checkpoint::{self, Planned, Saved},
        loading::Fields,
    },
};
use serde::Serialize;
use std::path::PathBuf;

impl<T: Float> Trainer<'_, T> {
    pub(super) fn begin<M: Serialize + ?Sized, O: Optimizer<T>>(
        &self,
        model: &M,
        optimizer: &mut O,
    ) -> Result<Position> {
        if let Some(team) = self.team() {
            self.compare(team, model, optimizer)?;
        }
        let begun = self.begin_with(&|| Fields::of(model)).and_then(|(at, planned)| {
            if let (Some(planned), Some((path, _))) = (planned, &self.checkpoint) {
                planned.apply(path, model, optimizer)?;
            }
            Ok(at)
        });
        self.agreed(begun.as_ref().map(drop).map_err(Clone::clone), |()| Vec::new())?;
        begun
    }

    /// Where the run begins, and what its checkpoint, if there is one, will make of the model.
    fn begin_with(&self, fields: &dyn Fn() -> Fields) -> Result<(Position, Option<Planned>)> {
        // A file that can't be seen is no reason to begin anew, and to write over it.
        let there = |path: &PathBuf| path.try_exists().map_err(|e| Error::io(path, e));
        // Rank 0 reads for all: the bytes, and one more.
        let read = |path: &PathBuf| {
            let mut bytes = if there(path)? { files::read(path)? } else { return Ok(Vec::new()) };
            bytes.push(1);
            Ok(bytes)
        };
        if let Some((path, _)) = &self.checkpoint
            && let Some((_, bytes)) = self.leader(|| read(path))?.split_last()
        {
            let (mut at, planned): (Position, _) = checkpoint::open(path, bytes, fields())?;
            if at.slots != self.team().map(|team| team.slots) {
                let told = |slots: Option<usize>| slots.map_or("none".to_string(), |n| n.to_string());
                let message = format!(
                    "{} was made with slots: {}, not {}",
                    path.display(),
                    told(at.slots),
                    told(self.team().map(|team| team.slots))
                );
                return Err(Error::invalid("Trainer", message));
            }
            if at.in_step != self.in_step {
                let by = if at.in_step { "fit_synchronized" } else { "fit" };
                return Err(Error::invalid("Trainer", format!("{} was made by {by}", path.display())));
            }
            if at.loader != self.loader {
                let message =
                    format!("{} was made with {:?}, not {:?}", path.display(), at.loader, self.loader);
                return Err(Error::invalid("Trainer", message));
            }
            // What stops the run is what it is given now, with all that happened before.
            (at.stopping, at.stopped) = (self.stopping.clone(), false);
            if let Some(stopping) = &mut at.stopping {
                for record in &at.history.records {
                    let value = stopping.watched(&record.metrics, record.loss, record.epoch)?;
                    at.stopped = stopping.update(value);
                }
            }
            if let Some(best) = &self.best
                && !there(best)?
            {
                at.kept = None;
            }
            return Ok((at, Some(planned)));
        }
        let at = Position {
            loader: self.loader.clone(),
            epoch: 0,
            batch: 0,
            step: 0,
            losses: (0.0, 0),
            random: Random::new(self.seed),
            stopping: self.stopping.clone(),
            kept: None,
            stopped: false,
            slots: self.team().map(|team| team.slots),
            in_step: self.in_step,
            history: History::default(),
        };
        Ok((at, None))
    }

    pub(super) fn save<M: Serialize + ?Sized, O: Optimizer<T>>(
        &self,
        model: &M,
        optimizer: &O,
        at: &Position,
    ) -> Result<()> {
        let Some((path, _)) = &self.checkpoint else { return Ok(()) };
        let run = Saved::of(model, optimizer.state(model));
        match self.team().filter(|team| team.world.size() > 1) {
            None => run.write::<Position, Position>(path, at),
            Some(Team { world, .. }) => {
                run.write_together::<T, Position, Position>(world, &Layout::of(model, world), path, at)
            }
        }
    }
}
