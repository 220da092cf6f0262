//! What a search has measured: trials, the best one, the front, and the file of JSON lines.
use super::space::Settings;
use crate::{
    error::{Error, Result},
    numbers,
};
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, collections::BTreeMap};

/// A trial that was run. In a file, a line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finished {
    /// Which one, from 0.
    pub trial: usize,
    /// What it was run with.
    pub settings: Settings,
    /// What it measured, by name.
    #[serde(with = "crate::numbers")]
    pub measured: BTreeMap<String, f64>,
}

impl Finished {
    /// What is to be small; what is no number is worse than any.
    fn goal(&self, name: &str) -> f64 {
        self.measured.get(name).copied().filter(|v| !v.is_nan()).unwrap_or(f64::INFINITY)
    }

    /// Whether it is nowhere worse and somewhere better.
    fn beats(&self, other: &Finished, objectives: &[String]) -> bool {
        let orders = || objectives.iter().map(|name| self.goal(name).total_cmp(&other.goal(name)));
        orders().all(Ordering::is_le) && orders().any(Ordering::is_lt)
    }
}

/// All trials that were run.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// The names of what is to be small.
    pub objectives: Vec<String>,
    /// In the order of their numbers.
    pub trials: Vec<Finished>,
}

impl Report {
    /// The trial with the least first objective, the earlier one of equals.
    pub fn best(&self) -> Option<&Finished> {
        let first = self.objectives.first()?;
        self.trials.iter().min_by(|a, b| a.goal(first).total_cmp(&b.goal(first)))
    }

    /// The trials that no other one beats: none is nowhere worse and somewhere better. Ordered by the first
    /// objective.
    #[doc(alias("pareto"))]
    pub fn front(&self) -> Vec<&Finished> {
        let mut front = layer(&self.trials.iter().collect::<Vec<_>>(), &self.objectives).0;
        if let Some(first) = self.objectives.first() {
            front.sort_by(|a, b| a.goal(first).total_cmp(&b.goal(first)));
        }
        front
    }

    /// Trials from better to worse: front by front, in each by the trials' numbers.
    pub(super) fn ranked<'a>(trials: &[&'a Finished], objectives: &[String]) -> Vec<&'a Finished> {
        let (mut left, mut ranked) = (trials.to_vec(), Vec::with_capacity(trials.len()));
        while !left.is_empty() {
            let (front, rest) = layer(&left, objectives);
            ranked.extend(front);
            left = rest;
        }
        ranked
    }

    pub(super) fn find(&self, trial: usize) -> Option<&Finished> {
        let place = self.trials.binary_search_by_key(&trial, |finished| finished.trial);
        place.ok().and_then(|place| self.trials.get(place))
    }

    pub(super) fn add(&mut self, finished: Finished) {
        if let Err(place) = self.trials.binary_search_by_key(&finished.trial, |other| other.trial) {
            self.trials.insert(place, finished);
        }
    }

    /// The text of a file: a line on what was searched, then one for each trial.
    pub(super) fn to_lines(&self, head: &str) -> Result<String> {
        let wrong = |e: serde_json::Error| Error::invalid("Search", e.to_string());
        let mut text = head.to_string();
        for finished in &self.trials {
            text.push('\n');
            text += &numbers::to_json(finished).map_err(wrong)?;
        }
        text.push('\n');
        Ok(text)
    }

    /// Reads it again; it must be of the same search.
    pub(super) fn from_lines(objectives: &[String], head: &str, name: &str, text: &str) -> Result<Report> {
        let mut report = Report { objectives: objectives.to_vec(), trials: Vec::new() };
        for (i, line) in text.lines().enumerate() {
            let wrong = |message: String| Error::format(name, format!("line {}", i + 1), message);
            if i == 0 {
                if line != head {
                    return Err(wrong(format!("it is of another search, {line}, not of {head}")));
                }
                continue;
            }
            let finished: Finished = numbers::from_json(line).map_err(|e| wrong(e.to_string()))?;
            if report.trials.last().is_some_and(|last| last.trial >= finished.trial) {
                return Err(wrong(format!("trial {} is out of order", finished.trial)));
            }
            report.trials.push(finished);
        }
        Ok(report)
    }
}

/// Those that no other one beats, and the rest.
fn layer<'a>(trials: &[&'a Finished], objectives: &[String]) -> (Vec<&'a Finished>, Vec<&'a Finished>) {
    let beaten = |one: &Finished| trials.iter().any(|other| other.beats(one, objectives));
    trials.iter().partition(|one| !beaten(one))
}
