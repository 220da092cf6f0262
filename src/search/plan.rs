//! What a search is told, and what it asks to be measured.
use super::space::{Settings, Space};
use crate::tape::Random;
use serde::Serialize;
use std::path::PathBuf;

/// How settings are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Method {
    /// Each drawn by itself, evenly over the space.
    #[default]
    Random,
    /// All combinations of so many values of each number, both ends among them, and of all choices; the last
    /// name changes fastest. [`trials`](Search::trials) cuts it short.
    Grid(usize),
    /// Ten random ones; then those that are likelier among the best tenth of what has been measured than among
    /// the rest, name by name (tree-structured Parzen estimator, Bergstra et al. 2011, with the widths of
    /// kernels that Optuna takes). With several objectives, what fewer layers of fronts lie before is better.
    Tpe,
}

/// One trial: what a model is to be trained with.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Trial {
    /// From 0.
    pub index: usize,
    /// The values of all names of the space.
    pub settings: Settings,
    /// Of its own random numbers.
    pub seed: u64,
}

impl Trial {
    /// Random numbers of its own, the same whenever the trial is run.
    pub fn random(&self) -> Random {
        Random::new(self.seed)
    }
}

/// A search through a [`Space`]; see the [module](super).
#[derive(Clone, Debug)]
#[must_use = "nothing is tried before `run`"]
pub struct Search {
    pub(super) space: Space,
    pub(super) objectives: Vec<String>,
    pub(super) method: Method,
    pub(super) trials: Option<usize>,
    pub(super) seed: u64,
    pub(super) round: usize,
    pub(super) file: Option<PathBuf>,
}

/// Trials that are chosen together.
const ROUND: usize = 4;

impl Search {
    /// A random search over a space. Of what a trial measures, the objectives are to be small.
    pub fn new<S: Into<String>>(space: Space, objectives: impl IntoIterator<Item = S>) -> Search {
        let objectives = objectives.into_iter().map(S::into).collect();
        Search {
            space,
            objectives,
            method: Method::default(),
            trials: None,
            seed: 0,
            round: ROUND,
            file: None,
        }
    }

    /// How settings are chosen.
    pub fn method(self, method: Method) -> Search {
        Search { method, ..self }
    }

    /// How many (default 100, of a grid all).
    pub fn trials(self, trials: usize) -> Search {
        Search { trials: Some(trials), ..self }
    }

    /// Another seed than 0.
    pub fn seed(self, seed: u64) -> Search {
        Search { seed, ..self }
    }

    /// How many trials [`Method::Tpe`] chooses at once, from what all before them have measured (default 4). So
    /// many can run at a time; the fewer, the more each of them knows.
    pub fn round(self, round: usize) -> Search {
        Search { round: round.max(1), ..self }
    }

    /// Keeps what is measured in a file of JSON lines, written anew after each trial. If it is there, its trials
    /// are not run again; a larger number of trials goes on with it.
    pub fn file(self, path: impl Into<PathBuf>) -> Search {
        Search { file: Some(path.into()), ..self }
    }
}
