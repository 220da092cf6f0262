//! Reading a recipe, checking it, and doing what it says.
use super::{By, Done, Recipe, Stage, Task, What, Work};
use crate::{
    checked::Check,
    compress::{
        LowRank, all_params, description_length,
        filter::{each_field, picks_some},
        low_rank, matrices,
        prune::{self, Amount, StructuredOptions},
        quantize::{self, Quantizer, convert},
        scores::{ScoreCriterion, Scores},
    },
    error::{Error, Result},
    files::read_text,
    ops::Float,
    param::{Param, inventory, named_params},
    tape::Tape,
    tensor::Shape,
};
use serde::Serialize;
use serde_json::Value;
use std::path::Path;

impl Recipe {
    /// Reads a recipe and checks it.
    ///
    /// # Errors
    /// Text that isn't JSON; a stage or field that there isn't, or whose value is of another type or out of
    /// range. The error says which stage and field.
    pub fn from_json(text: &str) -> Result<Recipe> {
        let fail = |message: String| Error::invalid("recipe", message);
        let mut whole: Value = serde_json::from_str(text).map_err(|e| fail(e.to_string()))?;
        let stages = whole.get_mut("stages").and_then(Value::as_array_mut).map(std::mem::take);
        let stages = stages.ok_or_else(|| fail("there is no list of stages".into()))?;
        let mut recipe: Recipe = serde_json::from_value(whole).map_err(|e| fail(e.to_string()))?;
        for (i, stage) in stages.into_iter().enumerate() {
            let name = stage.get("stage").and_then(Value::as_str).map(|name| format!(" ({name})"));
            let told = |message| fail(format!("stage {}{}: {message}", i + 1, name.unwrap_or_default()));
            recipe.stages.push(read_stage(stage).map_err(told)?);
        }
        recipe.check()?;
        Ok(recipe)
    }

    /// Reads a recipe from a file.
    ///
    /// # Errors
    /// As [`from_json`](Recipe::from_json); a file that can't be read.
    pub fn load(path: impl AsRef<Path>) -> Result<Recipe> {
        Self::load_at(path.as_ref())
    }

    fn load_at(path: &Path) -> Result<Recipe> {
        Recipe::from_json(&read_text(path)?)
    }

    /// Whether every stage can be done.
    ///
    /// # Errors
    /// The first value out of range, with its stage and field.
    pub fn check(&self) -> Result<()> {
        Check::check(self).map_err(|message| Error::invalid("recipe", message))
    }

    /// Does all stages with a model, and tells what each has left.
    ///
    /// # Errors
    /// As [`check`](Recipe::check), before anything is done; then what stages and training give, with the
    /// stage.
    pub fn run<M: Serialize + ?Sized>(&self, model: &M, work: &mut impl Work<M>) -> Result<Vec<Done>> {
        self.check()?;
        let mut teacher = None;
        let mut done = Vec::new();
        for (i, stage) in self.stages.iter().enumerate() {
            if let Stage::Distill { temperature, alpha, .. } = *stage {
                teacher = Some((temperature, alpha));
            }
            let task = Task { place: i + 1, stage: stage.name(), round: 1, rounds: 1, epochs: 0, teacher };
            let result = stage.run(model, work, &task).and_then(|()| {
                let bytes = description_length(model)? as usize / 8;
                let one = Done { stage: stage.name(), weights: prune::count(model, all_params), bytes };
                work.done(model, &one).map(|()| one)
            });
            let told = |e| Error::invalid("recipe", format!("stage {} ({}): {e}", i + 1, stage.name()));
            done.push(result.map_err(told)?);
        }
        Ok(done)
    }
}

/// A stage from its JSON; the error names the field.
fn read_stage(stage: Value) -> Result<Stage, String> {
    let read = |stage: Value| serde_json::from_value::<Stage>(stage).map_err(|e| e.to_string());
    read(stage.clone()).map_err(|message| {
        // serde names fields that are missing or too many; of one with a wrong value it tells only what was
        // expected, so the one is sought without which the message is another.
        let fields = stage.as_object().into_iter().flatten().map(|(field, _)| field);
        let culprit = fields
            .filter(|field| *field != "stage" && !message.contains(&format!("`{field}`")))
            .find(|field| {
                let mut without = stage.clone();
                without.as_object_mut().map(|all| all.remove(*field));
                read(without).err().as_ref() != Some(&message)
            });
        match culprit {
            Some(field) if !message.contains("field `") => format!("{field}: {message}"),
            _ => message,
        }
    })
}

/// What `only` picks.
fn picked(only: &[String]) -> impl Fn(&str, &Shape) -> bool {
    move |name, shape| match only {
        [] => matrices(name, shape),
        only => only.iter().any(|part| name.contains(part.as_str())),
    }
}

/// Trains, if it is to be trained.
fn train<M: ?Sized>(
    model: &M,
    work: &mut impl Work<M>,
    task: &Task,
    epochs: usize,
    (round, rounds): (usize, usize),
) -> Result<()> {
    if epochs == 0 { Ok(()) } else { work.train(model, &Task { epochs, round, rounds, ..task.clone() }) }
}

impl Stage {
    fn run<M: Serialize + ?Sized>(&self, model: &M, work: &mut impl Work<M>, task: &Task) -> Result<()> {
        match self {
            Stage::Train { epochs } | Stage::Distill { epochs, .. } => {
                train(model, work, task, *epochs, (1, 1))
            }
            Stage::Prune { density, by, what, rounds, schedule, epochs, only } => {
                let from = prune::count(model, picked(only)).density();
                for round in 1..=*rounds {
                    let left = schedule.density(from.max(*density), *density, round, *rounds);
                    prune_once(model, work, Amount::Density(left), *by, *what, picked(only))?;
                    train(model, work, task, *epochs, (round, *rounds))?;
                }
                Ok(())
            }
            Stage::Channels { keep, epochs } => {
                let channels = work.channels(model)?;
                if channels.families() == 0 {
                    return Err(Error::invalid("channels", "the model has none that could go"));
                }
                channels.shrink(model, 1.0 - keep)?;
                train(model, work, task, *epochs, (1, 1))
            }
            Stage::LowRank { first, second, rank, epochs } => {
                narrow(model, first, second, *rank)?;
                train(model, work, task, *epochs, (1, 1))
            }
            Stage::Codebook { values, epochs, only } => {
                tie(model, work, task, *epochs, only, Tie::Values(*values))
            }
            Stage::Ternary { epochs, only } => tie(model, work, task, *epochs, only, Tie::Ternary),
            Stage::Binary { epochs, only } => tie(model, work, task, *epochs, only, Tie::Binary),
            Stage::Steps { bits, group, channels, fixed, epochs, only } => {
                let mut quantizer = Quantizer::new(*bits).groups(*group);
                quantizer = if *channels { quantizer.channels() } else { quantizer };
                quantizer = if *fixed { quantizer.learned(false) } else { quantizer };
                quantizer.attach(model, picked(only))?;
                train(model, work, task, *epochs, (1, 1))?;
                convert(model)
            }
            Stage::Half => {
                quantize::to_half(model);
                Ok(())
            }
        }
    }
}

fn prune_once<M: Serialize + ?Sized>(
    model: &M,
    work: &mut impl Work<M>,
    amount: Amount,
    by: By,
    what: What,
    filter: impl Fn(&str, &Shape) -> bool,
) -> Result<prune::Weights> {
    let criterion = match by {
        By::Magnitude => None,
        By::Taylor => Some(ScoreCriterion::Taylor),
        By::Movement => Some(ScoreCriterion::Movement),
        By::Snip => Some(ScoreCriterion::Snip),
        By::Fisher => Some(ScoreCriterion::Fisher),
    };
    if let Some(criterion) = criterion {
        let mut scores = Scores::new(criterion);
        work.score(model, &mut scores)?;
        return prune::by_scores(model, &scores, amount, filter);
    }
    match what {
        What::Global => prune::global(model, amount, filter),
        What::Layerwise => prune::layerwise(model, amount, filter),
        What::Blocks(rows) => prune::blocks(model, amount, rows, filter),
        What::Slices(axis) => prune::structured(model, amount, StructuredOptions::new().dim(axis), filter),
    }
}

/// How weights are tied to each other.
#[derive(Clone, Copy)]
enum Tie {
    Values(usize),
    Ternary,
    Binary,
}

impl Tie {
    fn apply<T: Float>(self, p: &Param<T>) -> Result<()> {
        match self {
            Tie::Values(k) => quantize::share_values(p, k),
            Tie::Ternary => quantize::ternary(p),
            Tie::Binary => quantize::binary(p),
        }
    }
}

/// One parameter after the other is tied; those that are still free make up for what the others lost.
fn tie<M: Serialize + ?Sized>(
    model: &M,
    work: &mut impl Work<M>,
    task: &Task,
    epochs: usize,
    only: &[String],
    how: Tie,
) -> Result<()> {
    let mut jobs: Vec<Box<dyn FnOnce() -> Result<()>>> = Vec::new();
    each_field!(model, |name, p| {
        if picked(only)(&name, &p.shape()) {
            let p = p.clone();
            jobs.push(Box::new(move || how.apply(&p)));
        }
    });
    picks_some("only", model, jobs.len())?;
    let rounds = jobs.len();
    for (i, job) in jobs.into_iter().enumerate() {
        job()?;
        train(model, work, task, epochs, (i + 1, rounds))?;
    }
    Ok(())
}

/// The product of two weights, as one of a lower rank.
fn narrow<M: Serialize + ?Sized>(model: &M, first: &str, second: &str, rank: usize) -> Result<()> {
    let fail = |message| Error::invalid("low_rank", message);
    let all = named_params::<f32>(model);
    let find = |name: &str| {
        let found = all.iter().find(|(own, _)| own == name).map(|(_, p)| p);
        found.ok_or_else(|| fail(format!("there is no parameter {name:?}: {}", inventory(model))))
    };
    let (a, b) = (find(first)?, find(second)?);
    if let Some(stem) = first.strip_suffix("weight")
        && find(&format!("{stem}bias")).is_ok()
    {
        return Err(fail(format!(
            "{stem}bias stands between the two weights: the first layer must have none"
        )));
    }
    let width = a.shape().dim(0);
    if rank > width {
        return Err(fail(format!("rank {rank} is above {width}, the width between the two weights now")));
    }
    let tape = Tape::inference();
    let product = tape.constant(b.effective()?).matmul(&tape.constant(a.effective()?));
    let LowRank { left: outer, right: inner } = low_rank(product.value()?, rank)?;
    a.replace(inner);
    b.replace(outer);
    Ok(())
}
