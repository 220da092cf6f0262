//! Running the trials: by threads, or by processes, round by round, with a file that holds what was measured.
use super::{
    plan::{Method, Search, Trial},
    report::{Finished, Report},
};
use crate::{
    distributed::{Alone, Communicator, agree, told_by},
    error::{Error, Result},
    files, numbers, threads,
};
use std::sync::{Mutex, MutexGuard, PoisonError};

impl Search {
    /// Runs the trials that the file doesn't have. `measure` gives figures by their names, the objectives among
    /// them; an objective that is NaN counts as worse than any number. Trials run on as many threads as there
    /// are, each on one of them.
    ///
    /// # Errors
    /// The first one of `measure`, or that an objective is missing: what was measured before is in the file, and
    /// the next call goes on. A space without values; a file of another search, or one that can't be read or
    /// written.
    pub fn run<S, M, F>(&self, measure: F) -> Result<Report>
    where
        S: Into<String>,
        M: IntoIterator<Item = (S, f64)>,
        F: Fn(&Trial) -> Result<M> + Sync,
    {
        self.run_by(&Alone, measure)
    }

    /// The same with trials divided among processes, each of which calls this and gets the same report; rank 0
    /// has the file, which is written after each round. A round of another method than [`Method::Tpe`] is as large
    /// as the [`round`](Search::round) too, or as the number of processes. They wait for each other as long as
    /// their communicator says: longer than the longest round, that should be.
    ///
    /// # Errors
    /// As [`run`](Search::run), those of one process on all.
    pub fn run_by<S, M, F>(&self, world: &dyn Communicator, measure: F) -> Result<Report>
    where
        S: Into<String>,
        M: IntoIterator<Item = (S, f64)>,
        F: Fn(&Trial) -> Result<M> + Sync,
    {
        self.run_with(world, &|trial| {
            let measured = measure(trial)?.into_iter().map(|(name, value)| (name.into(), value)).collect();
            let finished = Finished { trial: trial.index, settings: trial.settings.clone(), measured };
            match self.objectives.iter().find(|name| !finished.measured.contains_key(*name)) {
                None => Ok(finished),
                Some(name) => Err(Error::invalid("Search", format!("trial {}: no {name:?}", trial.index))),
            }
        })
    }

    fn run_with(
        &self,
        world: &dyn Communicator,
        measure: &(dyn Fn(&Trial) -> Result<Finished> + Sync),
    ) -> Result<Report> {
        self.check()?;
        let mut report = self.begun(world)?;
        let (count, alone) = (self.count(), world.size() == 1);
        let round = match self.method {
            Method::Tpe => self.round,
            _ if alone => count,
            _ => self.round.max(world.size()),
        };
        for start in (0..count).step_by(round.max(1)) {
            let trials = (start..count.min(start + round)).map(|index| self.trial(index, &report));
            let mut left = Vec::new();
            for trial in trials {
                match report.find(trial.index) {
                    None => left.push(trial),
                    Some(done) if done.settings == trial.settings => {}
                    Some(_) => {
                        let message = format!("trial {} has other settings than it should", trial.index);
                        return Err(Error::invalid("Search", message));
                    }
                }
            }
            if left.is_empty() {
                continue;
            }
            let own = left.iter().skip(world.rank()).step_by(world.size());
            let own = self.round_of(&own.collect::<Vec<_>>(), &mut report, alone, measure);
            if !alone {
                self.gathered(world, own, &mut report)?;
            } else {
                own?;
            }
        }
        Ok(report)
    }

    /// What the file has.
    fn begun(&self, world: &dyn Communicator) -> Result<Report> {
        let text = told_by(world, 0, || match &self.file {
            Some(path) if files::exists(path) => Ok(files::read_text(path)?.into_bytes()),
            _ => Ok(Vec::new()),
        })?;
        let name = self.file.as_ref().map_or(String::new(), |path| path.display().to_string());
        Report::from_lines(&self.objectives, &self.head(), &name, &String::from_utf8_lossy(&text))
    }

    fn save(&self, report: &Report) -> Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        files::write_atomically(path, report.to_lines(&self.head())?.as_bytes())
            .map_err(|e| Error::io(path, e))
    }

    /// Runs trials on all threads. Alone, each goes into the file as soon as it is done.
    fn round_of(
        &self,
        trials: &[&Trial],
        report: &mut Report,
        alone: bool,
        measure: &(dyn Fn(&Trial) -> Result<Finished> + Sync),
    ) -> Result<Vec<Finished>> {
        let done = Mutex::new((report, Vec::new(), None));
        threads::parallel_for(trials.len(), &|i| {
            let Some(trial) = trials.get(i).filter(|_| lock(&done).2.is_none()) else { return };
            let measured = measure(trial);
            let (report, own, failed) = &mut *lock(&done);
            let kept = measured.and_then(|finished| {
                if alone {
                    report.add(finished.clone());
                    self.save(report)?;
                }
                own.push(finished);
                Ok(())
            });
            *failed = failed.take().or(kept.err());
        });
        match done.into_inner().unwrap_or_else(PoisonError::into_inner) {
            (_, own, None) => Ok(own),
            (_, _, Some(e)) => Err(e),
        }
    }

    /// Tells the others what was measured here, and keeps what all have measured.
    fn gathered(
        &self,
        world: &dyn Communicator,
        own: Result<Vec<Finished>>,
        report: &mut Report,
    ) -> Result<()> {
        let wrong = |e: serde_json::Error| Error::invalid("Search", e.to_string());
        let own = own.and_then(|own| numbers::to_json(&own).map(String::into_bytes).map_err(wrong));
        for bytes in agree(world, own)? {
            let all: Vec<Finished> = numbers::from_json(&String::from_utf8_lossy(&bytes)).map_err(wrong)?;
            all.into_iter().for_each(|finished| report.add(finished));
        }
        told_by(world, 0, || self.save(report).map(|()| Vec::new())).map(drop)
    }
}

fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
