//! Training: towards the labels, or towards the answers of a teacher.
use crate::{Result, images::Set, model::Mlp};
use indicatif::{ProgressBar, ProgressStyle};
use kolmo::{
    Random, Tape,
    compress::distill::soft_target_loss,
    data::{self, Augment},
    number::Arithmetic,
    optim::{Adam, Optimizer},
};
use std::f64::consts::PI;

/// Learning rate at the start of each run; it falls to zero by half a cosine.
const LR: f64 = 2e-3;
/// How far the teacher's probabilities are evened out.
const TEMPERATURE: f64 = 4.0;
/// Weight of the sum of magnitudes in [`Goal::Sparse`].
const PULL: f64 = 1e-4;

/// What is trained and how long. Chosen on held-out training images.
pub struct Recipe {
    /// Sizes of the layers.
    pub teacher: Vec<usize>,
    pub student: Vec<usize>,
    /// The share of weights that pruning leaves.
    pub teacher_density: f64,
    pub student_density: f64,
    /// Images in a batch, and what happens to them.
    batch: usize,
    augment: Augment,
    /// Epochs of the first training, after each round of pruning, after the last one, after each layer's
    /// quantisation, and of all shared values at the end.
    pub train: usize,
    pub round: usize,
    pub prune: usize,
    pub layer: usize,
    pub codebooks: usize,
}

impl Recipe {
    pub fn digits() -> Recipe {
        Recipe {
            teacher: vec![64, 300, 100, 10],
            student: vec![64, 256, 10],
            teacher_density: 0.085,
            student_density: 0.105,
            batch: 64,
            augment: Augment::new().translate(0.6).noise(0.15),
            train: 300,
            round: 60,
            prune: 240,
            layer: 200,
            codebooks: 200,
        }
    }

    pub fn mnist() -> Recipe {
        Recipe {
            teacher: vec![784, 300, 100, 10],
            student: vec![784, 100, 10],
            teacher_density: 0.05,
            student_density: 0.08,
            batch: 128,
            augment: Augment::new().translate(1.0).noise(0.1),
            train: 12,
            round: 1,
            prune: 8,
            layer: 4,
            codebooks: 4,
        }
    }

    /// A tenth of the training.
    pub fn quick(self) -> Recipe {
        let few = |epochs: usize| epochs.div_ceil(10);
        Recipe {
            train: few(self.train),
            round: few(self.round),
            prune: few(self.prune),
            layer: few(self.layer),
            codebooks: few(self.codebooks),
            ..self
        }
    }

    /// Epochs of it all.
    fn epochs(&self) -> usize {
        let layers = self.teacher.len() - 1 + self.student.len() - 1;
        2 * (self.train + crate::ROUNDS * self.round + self.prune + self.codebooks) + layers * self.layer
    }
}

/// What a network is trained for.
#[derive(Clone, Copy)]
pub enum Goal<'a> {
    /// The right classes.
    Labels,
    /// The teacher's probabilities. They say more than a label, and of a moved and noisy image more truly.
    Teacher(&'a Mlp),
    /// The same, and small weights.
    Sparse(&'a Mlp),
}

/// Trains networks on a set of images, and shows how far it is.
pub struct Training<'a> {
    set: &'a Set,
    pub recipe: Recipe,
    rng: Random,
    bar: ProgressBar,
}

impl<'a> Training<'a> {
    pub fn new(set: &'a Set, recipe: Recipe, rng: Random) -> Training<'a> {
        let bar = ProgressBar::new(recipe.epochs() as u64);
        if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} {wide_bar} {pos}/{len} epochs, {msg}") {
            bar.set_style(style);
        }
        Training { set, recipe, rng, bar }
    }

    /// Says what the following runs are for.
    pub fn stage(&self, what: &str) {
        self.bar.set_message(what.to_string());
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Trains for so many epochs.
    pub fn run(&mut self, net: &Mlp, goal: Goal, epochs: usize) -> Result<()> {
        let Recipe { batch, augment, .. } = self.recipe;
        let mut optimizer = Adam::new(LR);
        let mut tape = Tape::new();
        let (mut step, steps) = (0, epochs * self.set.len().div_ceil(batch));
        for _ in 0..epochs {
            for rows in data::batches(self.set.len(), batch, &mut self.rng) {
                let batch = self.set.rows(&rows)?;
                let x = tape.constant(batch.varied(&augment, &mut self.rng)?);
                let scores = net.forward(&x);
                let mut loss = match goal {
                    Goal::Labels => scores.cross_entropy(&batch.labels),
                    Goal::Teacher(teacher) | Goal::Sparse(teacher) => {
                        let answer = tape.no_grad(|| teacher.forward(&x));
                        soft_target_loss(&scores, &answer, &batch.labels, TEMPERATURE, 1.0)
                    }
                };
                if let Goal::Sparse(_) = goal {
                    for layer in &net.layers {
                        loss = loss + tape.param(&layer.weight).abs().sum() * PULL;
                    }
                }
                let grads = loss.backward()?;
                optimizer.set_lr(LR * 0.5 * (1.0 + Arithmetic::cos(PI * step as f64 / steps as f64)));
                optimizer.step(net, &grads)?;
                step += 1;
                tape.reset();
            }
            self.bar.inc(1);
        }
        Ok(())
    }
}
