//! Which settings a trial has: decided by the seed, its number, and what trials of earlier rounds have measured.
use super::{
    plan::{Method, Search, Trial},
    report::{Finished, Report},
    space::Settings,
    tpe,
};
use crate::{
    error::{Error, Result},
    tape::Random,
};
use serde_json::Value;

/// Trials of a search that isn't a grid and doesn't say how many.
const TRIALS: usize = 100;
/// Random trials before there is something to learn from.
const STARTUP: usize = 10;
/// The most trials that count as good.
const MOST_GOOD: usize = 25;

impl Search {
    /// That it can be run.
    pub(super) fn check(&self) -> Result<()> {
        if self.objectives.is_empty() {
            return Err(Error::invalid("Search", "there is no objective"));
        }
        self.space.check()
    }

    /// What was searched, as a line of JSON: files with another one are of another search.
    pub(super) fn head(&self) -> String {
        let Search { space, objectives, method, seed, round, .. } = self;
        let head = serde_json::json!({
            "search": space, "objectives": objectives, "method": method, "seed": seed, "round": round,
        });
        head.to_string()
    }

    /// How many trials there are.
    pub(super) fn count(&self) -> usize {
        let all = match self.method {
            Method::Grid(steps) => {
                let sizes = self.space.0.iter().map(|(_, axis)| axis.grid(steps).len());
                sizes.fold(1, usize::saturating_mul)
            }
            _ => return self.trials.unwrap_or(TRIALS),
        };
        self.trials.map_or(all, |trials| trials.min(all))
    }

    /// A trial, from what those before its round have measured.
    pub(super) fn trial(&self, index: usize, report: &Report) -> Trial {
        let bits = |i: usize| Random::new(self.seed).bits_at(2 * index as u64 + i as u64);
        let mut rng = Random::new(bits(0));
        let settings = match self.method {
            Method::Grid(steps) => self.on_grid(index, steps),
            Method::Random => self.drawn(&mut rng),
            Method::Tpe => {
                let before = index - index % self.round;
                let known: Vec<_> = report.trials.iter().take_while(|done| done.trial < before).collect();
                if known.len() < STARTUP { self.drawn(&mut rng) } else { self.suggested(&known, &mut rng) }
            }
        };
        Trial { index, settings, seed: bits(1) }
    }

    fn settings(&self, mut value: impl FnMut(usize) -> Value) -> Settings {
        let names = self.space.0.iter().enumerate();
        Settings(names.map(|(i, (name, _))| (name.clone(), value(i))).collect())
    }

    fn drawn(&self, rng: &mut Random) -> Settings {
        self.settings(|i| self.space.0.get(i).map_or(Value::Null, |(_, axis)| axis.value(rng.uniform())))
    }

    fn on_grid(&self, index: usize, steps: usize) -> Settings {
        let grids: Vec<Vec<Value>> = self.space.0.iter().map(|(_, axis)| axis.grid(steps)).collect();
        let mut left = index;
        let mut places: Vec<usize> = grids
            .iter()
            .rev()
            .map(|grid| {
                let place = left % grid.len();
                left /= grid.len();
                place
            })
            .collect();
        places.reverse();
        self.settings(|i| {
            let value = grids.get(i).zip(places.get(i)).and_then(|(grid, &place)| grid.get(place));
            value.cloned().into()
        })
    }

    fn suggested(&self, known: &[&Finished], rng: &mut Random) -> Settings {
        let ranked = Report::ranked(known, &self.objectives);
        let (good, others) = ranked.split_at(ranked.len().div_ceil(10).min(MOST_GOOD));
        self.settings(|i| {
            let Some((name, axis)) = self.space.0.get(i) else { return Value::Null };
            let places = |of: &[&Finished]| -> Vec<f64> {
                of.iter().filter_map(|done| axis.place(done.settings.get(name)?)).collect()
            };
            axis.value(tpe::suggest(&places(good), &places(others), axis.choices(), rng))
        })
    }
}
