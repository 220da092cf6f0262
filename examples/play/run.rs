//! The run that the page shows: digits are learnt, weights pruned, what is left tied to a few values. It goes
//! on in small pieces, so that whoever drives it can show what came of each and do other things in between.
use crate::{Result, images::Images};
use kolmo::{
    Random, Tape, Tensor, Var,
    compress::{
        Artifact, all_params,
        distill::soft_target_loss,
        pack,
        prune::{self, Amount},
        quantize, unpack,
    },
    data::{self, Augment},
    inspect::Explorer,
    metrics::accuracy,
    nn::{Layer, Linear},
    number::Arithmetic,
    optim::{Adam, Optimizer},
};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, f64::consts::PI};

/// Learning rate at the start of each run of epochs; it falls to zero by half a cosine.
const LR: f64 = 2e-3;
const BATCH: usize = 64;
/// How far the answers of the dense network are evened out, and the weight of the sum of magnitudes.
const TEMPERATURE: f64 = 4.0;
const PULL: f64 = 1e-4;
/// What pruning leaves, and in how many rounds.
const DENSITY: f64 = 0.16;
const ROUNDS: usize = 6;
/// Shared values of each parameter.
const VALUES: usize = 8;
/// Test images whose answers are told after each epoch.
const SHOWN: usize = 40;
/// Images in the step that the explorer shows.
const EXPLORED: usize = 16;

/// Linear, ReLU, linear: the network that `docs/play` trains.
#[derive(Debug, Serialize, Deserialize)]
pub struct Net {
    pub hidden: Linear,
    pub scores: Linear,
}

impl Net {
    pub fn new(rng: &mut Random) -> Net {
        Net { hidden: Linear::new(64, 128, rng), scores: Linear::new(128, 10, rng) }
    }

    /// The network in a file's bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Net> {
        let net = Net::new(&mut Random::new(0));
        unpack(&Artifact::from_bytes(bytes)?, &net)?;
        Ok(net)
    }

    /// `[n, 64] -> [n, 10]`
    pub fn forward<'t>(&self, x: &Var<'t>) -> Var<'t> {
        self.scores.forward(&self.hidden.forward(x).relu())
    }

    /// The same outside of training: nothing is recorded.
    pub fn answers(&self, images: &Tensor) -> Result<Tensor> {
        let tape = Tape::inference();
        Ok(self.forward(&tape.constant(images)).value()?.clone())
    }
}

/// A stage of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Train,
    Prune,
    Quantise,
}

/// What the network is trained for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goal {
    Labels,
    /// The answers of the dense network, and small weights.
    Sparse,
    /// The answers of the dense network.
    Dense,
}

#[derive(Clone, Copy, Debug)]
enum Piece {
    /// One epoch of a run of several.
    Epoch {
        goal: Goal,
        at: usize,
        of: usize,
    },
    Prune(usize),
    ShareHidden,
    ShareScores,
    ShareBiases,
    Halve,
    Pack,
}

/// What came of a piece.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Epoch {
        stage: Stage,
        /// Epochs so far, and in the whole run.
        done: usize,
        epochs: usize,
        /// The mean over the epoch's batches.
        loss: f64,
        accuracy: f64,
        /// The classes that the first test images are taken for.
        answers: Vec<u32>,
    },
    /// The model was packed into a file, which was read again and measured.
    File { stage: Stage, parameters: usize, kept: usize, bytes: usize, accuracy: f64 },
}

/// Images to show before anything is learnt.
#[derive(Debug, Serialize)]
pub struct Samples {
    pub train: usize,
    pub test: usize,
    /// Of the first test images, 0 to 16.
    pub pixels: Vec<Vec<u8>>,
    pub labels: Vec<u32>,
    /// Where each stage begins, in epochs, and the end.
    pub stages: Vec<(Stage, usize)>,
    pub epochs: usize,
}

/// A run that is under way.
pub struct Run {
    images: Images,
    net: Net,
    guide: Option<Net>,
    rng: Random,
    optimizer: Adam,
    tape: Tape,
    left: VecDeque<(Stage, Piece)>,
    plan: Vec<(Stage, usize)>,
    done: usize,
    epochs: usize,
    file: Vec<u8>,
    /// The first step that the explorer showed.
    first: Option<(String, Tape)>,
}

/// Epochs of `Run`: first training, after each round of pruning, after the last one, after a layer's weights
/// are shared, and at the end.
const EPOCHS: [usize; 5] = [150, 15, 90, 60, 60];

impl Run {
    /// With `quick` a tenth of the epochs, to see that everything works.
    pub fn new(seed: u64, quick: bool) -> Result<Run> {
        let mut rng = Random::new(seed);
        let [train, round, prune, share, last] =
            EPOCHS.map(|epochs| if quick { epochs.div_ceil(10) } else { epochs });
        let mut left = VecDeque::new();
        let mut plan = Vec::new();
        let mut epochs = 0;
        let mut add = |stage, pieces: &[Piece], run: Option<(Goal, usize)>| {
            left.extend(pieces.iter().map(|&piece| (stage, piece)));
            if let Some((goal, of)) = run {
                left.extend((0..of).map(|at| (stage, Piece::Epoch { goal, at, of })));
                epochs += of;
            }
            if plan.last().is_none_or(|&(last, _)| last != stage) {
                plan.push((stage, epochs - run.map_or(0, |(_, of)| of)));
            }
        };
        add(Stage::Train, &[], Some((Goal::Labels, train)));
        add(Stage::Train, &[Piece::Pack], None);
        for i in 1..=ROUNDS {
            add(Stage::Prune, &[Piece::Prune(i)], Some((Goal::Sparse, round)));
        }
        add(Stage::Prune, &[], Some((Goal::Sparse, prune)));
        add(Stage::Prune, &[Piece::Pack], None);
        add(Stage::Quantise, &[Piece::ShareHidden], Some((Goal::Dense, share)));
        add(Stage::Quantise, &[Piece::ShareScores, Piece::ShareBiases], Some((Goal::Dense, last)));
        add(Stage::Quantise, &[Piece::Halve, Piece::Pack], None);
        Ok(Run {
            images: Images::digits()?,
            net: Net::new(&mut rng),
            guide: None,
            rng,
            optimizer: Adam::new(LR),
            tape: Tape::new(),
            left,
            plan,
            done: 0,
            epochs,
            file: Vec::new(),
            first: None,
        })
    }

    pub fn samples(&self) -> Result<Samples> {
        let test = &self.images.test;
        let pixels = test.images.narrow(0, 0, SHOWN)?.to_vec();
        let whole = |image: &[f32]| image.iter().map(|v| (v * 16.0).round() as u8).collect();
        Ok(Samples {
            train: self.images.train.len(),
            test: test.len(),
            pixels: pixels.chunks(64).map(whole).collect(),
            labels: test.labels.narrow(0, 0, SHOWN)?.to_vec(),
            stages: self.plan.clone(),
            epochs: self.epochs,
        })
    }

    /// The next epoch, or the next file; `None` at the end.
    pub fn next_event(&mut self) -> Result<Option<Event>> {
        while let Some((stage, piece)) = self.left.pop_front() {
            match piece {
                Piece::Epoch { goal, at, of } => return self.epoch(stage, goal, at, of).map(Some),
                Piece::Pack => return self.pack(stage).map(Some),
                Piece::Prune(round) => {
                    let left = prune::cubic_density(1.0, DENSITY, round, ROUNDS);
                    prune::global(&self.net, Amount::Density(left), all_params)?;
                }
                Piece::ShareHidden => quantize::share_values(&self.net.hidden.weight, VALUES)?,
                Piece::ShareScores => quantize::share_values(&self.net.scores.weight, VALUES)?,
                Piece::ShareBiases => quantize::codebooks(&self.net, VALUES, |_, shape| shape.rank() == 1)?,
                Piece::Halve => quantize::to_half(&self.net),
            }
        }
        Ok(None)
    }

    fn epoch(&mut self, stage: Stage, goal: Goal, at: usize, of: usize) -> Result<Event> {
        let Run { images, net, guide, rng, optimizer, tape, .. } = self;
        if at == 0 {
            *optimizer = Adam::new(LR);
        }
        let train = &images.train;
        let augment = Augment::new().translate(0.6).noise(0.15);
        let steps = train.len().div_ceil(BATCH);
        let mut sum = 0.0;
        for (step, rows) in data::batches(train.len(), BATCH, rng).enumerate() {
            let batch = train.rows(&rows)?;
            let x = tape.constant(batch.varied(&augment, rng)?);
            let scores = net.forward(&x);
            let mut loss = match guide.as_ref().filter(|_| goal != Goal::Labels) {
                None => scores.cross_entropy(&batch.labels),
                Some(guide) => {
                    let answer = tape.no_grad(|| guide.forward(&x));
                    soft_target_loss(&scores, &answer, &batch.labels, TEMPERATURE, 1.0)
                }
            };
            sum += f64::from(loss.item()?);
            if goal == Goal::Sparse {
                for layer in [&net.hidden, &net.scores] {
                    loss = loss + tape.param(&layer.weight).abs().sum() * PULL;
                }
            }
            let grads = loss.backward()?;
            let passed = (at * steps + step) as f64 / (of * steps) as f64;
            optimizer.set_lr(LR * 0.5 * (1.0 + Arithmetic::cos(PI * passed)));
            optimizer.step(net, &grads)?;
            tape.reset();
        }
        self.done += 1;
        let scores = self.net.answers(&self.images.test.images)?;
        Ok(Event::Epoch {
            stage,
            done: self.done,
            epochs: self.epochs,
            loss: sum / steps as f64,
            accuracy: accuracy(&scores, &self.images.test.labels)?,
            answers: scores.to_vec().chunks(10).take(SHOWN).map(largest).collect(),
        })
    }

    /// Packs the network, reads the file and measures what is in it.
    fn pack(&mut self, stage: Stage) -> Result<Event> {
        self.file = pack(&self.net, &[("sizes", "64-128-10")])?.to_bytes()?;
        let loaded = Net::from_bytes(&self.file)?;
        let test = &self.images.test;
        let accuracy = accuracy(&loaded.answers(&test.images)?, &test.labels)?;
        let weights = prune::count(&self.net, all_params);
        if stage == Stage::Train {
            self.guide = Some(loaded);
        }
        let (parameters, kept, bytes) = (weights.total, weights.kept, self.file.len());
        Ok(Event::File { stage, parameters, kept, bytes, accuracy })
    }

    /// The last file.
    pub fn file(&self) -> &[u8] {
        &self.file
    }

    /// The probability of each class for an image of 64 pixels from 0 to 1.
    pub fn read(&self, pixels: &[f32]) -> Result<Vec<f32>> {
        let tape = Tape::inference();
        let image = tape.constant(Tensor::new([1, 64], pixels.to_vec())?);
        Ok(self.net.forward(&image).softmax(1).value()?.to_vec())
    }

    /// The explorer's page of a step of this moment, beside the step that was looked at first.
    pub fn explore(&mut self) -> Result<String> {
        let batch = self.images.train.rows(&(0..EXPLORED).collect::<Vec<_>>())?;
        let tape = Tape::new();
        tape.set_observing(true);
        let loss = self.net.forward(&tape.constant(&batch.images)).cross_entropy(&batch.labels);
        let _ = loss.backward()?;
        let title = match self.done {
            0 => "Before anything is learnt".to_string(),
            n => format!("After {n} of {} epochs", self.epochs),
        };
        if let Some((title_then, then)) = &self.first {
            return Ok(self.page(&title, &tape).compare(&self.page(title_then, then)).html()?);
        }
        let html = self.page(&title, &tape).html()?;
        self.first = Some((title, tape));
        Ok(html)
    }

    fn page<'t>(&self, title: &str, tape: &'t Tape) -> Explorer<'t, f32> {
        let page = Explorer::new(tape).title(title).with_names(&self.net).lessons(false);
        page.source(file!(), include_str!("run.rs"))
    }
}

fn largest(scores: &[f32]) -> u32 {
    let most = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    most.map_or(0, |(class, _)| class as u32)
}
