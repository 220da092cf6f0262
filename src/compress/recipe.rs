//! An experiment as a file: the stages of making a model small, in order, with their amounts and schedules.
//! How the model is trained is the caller's; what each stage does is in `prune`, `quantize` and their like.
mod run;

use super::{
    Channels,
    prune::{self, Weights},
    scores::Scores,
};
use crate::{
    checked::{Check, checked},
    error::{Checked, Error, Result},
    real::Arithmetic,
};
use serde::{Deserialize, Serialize};

/// More rounds of pruning than this are a slip.
const MOST_ROUNDS: usize = 1 << 16;

/// Stages in order. As a file it is JSON:
///
/// ```json
/// {
///   "about": "a tenth of the weights, eight values for them",
///   "stages": [
///     { "stage": "train", "epochs": 20 },
///     { "stage": "prune", "density": 0.1, "rounds": 10, "epochs": 1 },
///     { "stage": "codebook", "values": 8, "epochs": 5 },
///     { "stage": "half" }
///   ]
/// }
/// ```
///
/// ```
/// use kolmo::{Random, compress::{Recipe, Task}, nn::Linear};
/// let text = r#"{"stages": [{"stage": "prune", "density": 0.25, "rounds": 2, "epochs": 1}, {"stage": "half"}]}"#;
/// let net = Linear::new(8, 4, &mut Random::new(0));
/// let mut epochs = 0;
/// let done = Recipe::from_json(text)?.run(&net, &mut |_: &Linear, task: &Task| {
///     epochs += task.epochs; // where the model would be trained
///     Ok(())
/// })?;
/// assert_eq!((epochs, done[0].weights.kept), (2, 8 + 4)); // of the weights; the biases are all there
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recipe {
    /// What it is for.
    pub about: String,
    /// What is done, in order.
    pub stages: Vec<Stage>,
}

checked!(
    #[serde(deny_unknown_fields)]
    Recipe {
        #[serde(default)]
        about: String,
        stages: Vec<Stage>,
    }
);

impl Check for Recipe {
    fn check(&self) -> Checked<()> {
        let check = |(i, stage): (usize, &Stage)| {
            stage.check().map_err(|message| format!("stage {} ({}): {message}", i + 1, stage.name()))
        };
        self.stages.iter().enumerate().try_for_each(check)
    }
}

/// One stage. `only` picks parameters whose names contain one of its texts; empty, it picks all weights of
/// two axes or more. `epochs` are those of training after it, for a stage in rounds after each round.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Stage {
    /// Training, or fine-tuning.
    Train {
        /// How long.
        epochs: usize,
    },
    /// From here on training follows a teacher, by [`soft_target_loss`](super::distill::soft_target_loss).
    Distill {
        /// The temperature, above 0.
        temperature: f64,
        /// Share of the teacher in the loss, from 0 to 1.
        #[serde(default = "one")]
        alpha: f64,
        /// Of training after it.
        #[serde(default)]
        epochs: usize,
    },
    /// Pruning of weights.
    Prune {
        /// The share of weights that is left in the end.
        density: f64,
        /// What weights are kept for.
        #[serde(default)]
        by: By,
        /// What goes together.
        #[serde(default)]
        what: What,
        /// How often, the density falling as the schedule says.
        #[serde(default = "once")]
        rounds: usize,
        /// How the density falls.
        #[serde(default)]
        schedule: Schedule,
        /// Of training after it.
        #[serde(default)]
        epochs: usize,
        /// Which parameters.
        #[serde(default)]
        only: Vec<String>,
    },
    /// Whole channels are cut out ([`Channels::shrink`]).
    Channels {
        /// The share of each family's channels that is left.
        keep: f64,
        /// Of training after it.
        #[serde(default)]
        epochs: usize,
    },
    /// Two linear layers with nothing between them become the best pair of this rank
    /// ([`low_rank`](super::low_rank)).
    LowRank {
        /// Name of the weight of the layer that comes first.
        first: String,
        /// Name of the other's.
        second: String,
        /// Of the product; the width between the layers.
        rank: usize,
        /// Of training after it.
        #[serde(default)]
        epochs: usize,
    },
    /// Weights share a few values ([`share_values`](super::quantize::share_values)), one parameter after the
    /// other, with training after each.
    Codebook {
        /// Of each parameter, up to 256.
        values: usize,
        /// Of training after it.
        #[serde(default)]
        epochs: usize,
        /// Which parameters.
        #[serde(default)]
        only: Vec<String>,
    },
    /// Training with weights that are whole numbers of steps, which is made permanent
    /// ([`Quantizer`](super::quantize::Quantizer)).
    Steps {
        /// 2 to 8.
        bits: u32,
        /// Neighbours that share a step size; 0 for a whole tensor.
        #[serde(default)]
        group: usize,
        /// A step size for each output instead.
        #[serde(default)]
        channels: bool,
        /// Step sizes stay as they are at first.
        #[serde(default)]
        fixed: bool,
        /// Of training after it.
        #[serde(default)]
        epochs: usize,
        /// Which parameters.
        #[serde(default)]
        only: Vec<String>,
    },
    /// Three values for each parameter ([`ternary`](super::quantize::ternary)).
    Ternary {
        /// Of training after it.
        #[serde(default)]
        epochs: usize,
        /// Which parameters.
        #[serde(default)]
        only: Vec<String>,
    },
    /// Two values for each parameter ([`binary`](super::quantize::binary)).
    Binary {
        /// Of training after it.
        #[serde(default)]
        epochs: usize,
        /// Which parameters.
        #[serde(default)]
        only: Vec<String>,
    },
    /// Rounds all that is left to half precision ([`to_half`](super::quantize::to_half)).
    Half,
}

/// What weights are kept for. All but the first need [`Work::score`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum By {
    /// Their size.
    #[default]
    Magnitude,
    /// [`ScoreCriterion::Taylor`](super::scores::ScoreCriterion::Taylor)
    Taylor,
    /// [`ScoreCriterion::Movement`](super::scores::ScoreCriterion::Movement)
    Movement,
    /// [`ScoreCriterion::Snip`](super::scores::ScoreCriterion::Snip)
    Snip,
    /// [`ScoreCriterion::Fisher`](super::scores::ScoreCriterion::Fisher)
    Fisher,
}

/// What goes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// Single weights of all parameters taken together.
    #[default]
    Global,
    /// Single weights of each parameter by itself.
    Layerwise,
    /// So many neighbouring outputs for one input ([`prune::blocks`]).
    Blocks(usize),
    /// Slices along this axis with the smallest sum of squares ([`prune::structured`]).
    Slices(isize),
}

/// How the density falls over the rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Schedule {
    /// Fast at first, slowly at the end ([`prune::cubic_density`]).
    #[default]
    Cubic,
    /// By the same amount in each round.
    Linear,
    /// By the same factor in each round.
    Geometric,
}

impl Schedule {
    fn density(self, from: f64, to: f64, round: usize, rounds: usize) -> f64 {
        let t = round as f64 / rounds.max(1) as f64;
        match self {
            Schedule::Cubic => prune::cubic_density(from, to, round, rounds),
            Schedule::Linear => from + (to - from) * t,
            Schedule::Geometric => from * Arithmetic::pow(to / from, t),
        }
    }
}

/// What the training is told.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Task {
    /// The stage's place in the recipe, from 1.
    pub place: usize,
    /// Its name.
    pub stage: &'static str,
    /// Which of its rounds this is, from 1.
    pub round: usize,
    /// How many there are.
    pub rounds: usize,
    /// How long to train.
    pub epochs: usize,
    /// Temperature and share of the teacher, since a stage said so.
    pub teacher: Option<(f64, f64)>,
}

/// What a recipe can't know: how the model is trained. A closure that trains is enough for most.
pub trait Work<M: ?Sized> {
    /// Trains the model for as many epochs as the task says.
    fn train(&mut self, model: &M, task: &Task) -> Result<()>;

    /// Called after each stage, to measure or to keep what it has left.
    fn done(&mut self, _model: &M, _done: &Done) -> Result<()> {
        Ok(())
    }

    /// Adds the gradients of some batches, for pruning by scores.
    fn score(&mut self, _model: &M, _scores: &mut Scores) -> Result<()> {
        Err(Error::invalid("recipe", "pruning by scores needs a Work with score(), which gives gradients"))
    }

    /// The model's channels, for cutting some out.
    fn channels(&mut self, _model: &M) -> Result<Channels> {
        Err(Error::invalid("recipe", "cutting channels out needs a Work with channels()"))
    }
}

impl<M: ?Sized, F: FnMut(&M, &Task) -> Result<()>> Work<M> for F {
    fn train(&mut self, model: &M, task: &Task) -> Result<()> {
        self(model, task)
    }
}

/// What a stage has left.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Done {
    /// The stage's name.
    pub stage: &'static str,
    /// Of all parameters.
    pub weights: Weights,
    /// Length of the file that [`pack`](super::pack) would make.
    pub bytes: usize,
}

fn one() -> f64 {
    1.0
}

fn once() -> usize {
    1
}

impl Stage {
    /// Its name in a file.
    pub fn name(&self) -> &'static str {
        match self {
            Stage::Train { .. } => "train",
            Stage::Distill { .. } => "distill",
            Stage::Prune { .. } => "prune",
            Stage::Channels { .. } => "channels",
            Stage::LowRank { .. } => "low_rank",
            Stage::Codebook { .. } => "codebook",
            Stage::Steps { .. } => "steps",
            Stage::Ternary { .. } => "ternary",
            Stage::Binary { .. } => "binary",
            Stage::Half => "half",
        }
    }

    /// What is wrong with it, beginning with the field.
    fn check(&self) -> Result<(), String> {
        let within = |field: &str, v: f64, zero: bool| match v {
            0.0 if !zero => Err(format!("{field} is 0")),
            0.0..=1.0 => Ok(()),
            _ => Err(format!("{field} {v} is not between 0 and 1")),
        };
        match self {
            Stage::Distill { temperature, alpha, .. } => {
                if !(*temperature > 0.0 && temperature.is_finite()) {
                    return Err(format!("temperature {temperature} is not positive"));
                }
                within("alpha", *alpha, true)
            }
            Stage::Prune { density, by, what, rounds, .. } => {
                within("density", *density, false)?;
                match (by, what) {
                    _ if !(1..=MOST_ROUNDS).contains(rounds) => {
                        Err(format!("rounds {rounds} is not from 1 to {MOST_ROUNDS}"))
                    }
                    (_, What::Blocks(0)) => Err("what: blocks of 0 rows".into()),
                    (By::Magnitude, _) | (_, What::Global) => Ok(()),
                    _ => Err("what: by scores weights go globally only".into()),
                }
            }
            Stage::Channels { keep, .. } => within("keep", *keep, false),
            Stage::LowRank { rank: 0, .. } => Err("rank is 0".into()),
            Stage::Codebook { values, .. } if !(1..=256).contains(values) => {
                Err(format!("values {values} is not from 1 to 256"))
            }
            Stage::Steps { bits, .. } if !(2..=8).contains(bits) => {
                Err(format!("bits {bits} is not from 2 to 8"))
            }
            Stage::Steps { group, channels: true, .. } if *group > 0 => {
                Err("group and channels exclude each other".into())
            }
            _ => Ok(()),
        }
    }
}
