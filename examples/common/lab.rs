//! What the compression examples share: training, counting errors, and the report of what came of it.
#![allow(dead_code)] // Not every example needs all of it.
use crate::{
    Result,
    images::{Images, Set},
    net::Net,
};
use kolmo::{
    Gradients, Random, Tape, Tensor, Var,
    compress::coding::BitCoder,
    data::{self, Augment},
    number::Arithmetic,
    optim::{Adam, Optimizer},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    f64::consts::PI,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// What all compression examples can be told.
#[derive(clap::Args, Clone)]
pub struct Common {
    /// MNIST, or a set of the same form. Without it: $KOLMO_DATA, then ../shared/data
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The same seed gives the same files, byte for byte, on every processor with fused multiply-adds
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Measure on 5,000 training images that are held out, and leave the test images alone: for choosing
    /// settings
    #[arg(long)]
    pub held_out: bool,
    /// A small share of the training, to see that everything works
    #[arg(long)]
    pub quick: bool,
    /// Where files, report and plots go
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

impl Common {
    pub fn images(&self) -> Result<Images> {
        self.measured_on(Images::mnist(self.data.as_deref())?)
    }

    /// The same, or CIFAR-10.
    pub fn any_images(&self) -> Result<Images> {
        self.measured_on(Images::any(self.data.as_deref())?)
    }

    fn measured_on(&self, images: Images) -> Result<Images> {
        if !self.held_out {
            return Ok(images);
        }
        let most = images.train.len() / 2;
        images.hold_out(most.min(5_000))
    }

    /// Makes the folder for results.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.out.clone().unwrap_or_else(|| Path::new("target").join(name));
        fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(folder)
    }

    /// So many epochs, or a twentieth to see that everything works.
    pub fn epochs(&self, epochs: usize) -> usize {
        if self.quick { epochs.div_ceil(20) } else { epochs }
    }
}

/// How a network is trained: Adam, whose learning rate falls to zero by half a cosine.
#[derive(Clone, Copy)]
pub struct Fit {
    pub epochs: usize,
    pub batch: usize,
    pub lr: f64,
    pub augment: Augment,
}

/// One step's batch.
pub struct Batch<'t> {
    /// `[n, side²]`, augmented.
    pub x: Var<'t>,
    pub labels: Tensor<u32>,
    /// Which images of the set these are.
    pub rows: Vec<usize>,
    /// From 0 at the first step to 1 at the end.
    pub progress: f64,
}

impl Fit {
    /// Trains a model towards whatever `loss` makes of a batch.
    pub fn run<M: Serialize>(
        &self,
        model: &M,
        set: &Set,
        rng: &mut Random,
        loss: impl for<'t> Fn(&'t Tape, &Batch<'t>) -> Result<Var<'t>>,
    ) -> Result<()> {
        self.run_with(model, set, rng, loss, |_, _| Ok(()))
    }

    /// The same; `after` each step sees the gradients and how far training is.
    pub fn run_with<M: Serialize>(
        &self,
        model: &M,
        set: &Set,
        rng: &mut Random,
        loss: impl for<'t> Fn(&'t Tape, &Batch<'t>) -> Result<Var<'t>>,
        mut after: impl FnMut(&Gradients, f64) -> Result<()>,
    ) -> Result<()> {
        let mut optimizer = Adam::new(self.lr);
        let mut tape = Tape::new();
        tape.set_random(*rng);
        let (mut step, steps) = (0, self.epochs * set.len().div_ceil(self.batch));
        for _ in 0..self.epochs {
            for rows in data::batches(set.len(), self.batch, rng) {
                let progress = step as f64 / steps as f64;
                let part = set.rows(&rows)?;
                let x = tape.constant(part.varied(&self.augment, rng)?);
                let loss = loss(&tape, &Batch { x, labels: part.labels, rows, progress })?;
                let grads = loss.backward()?;
                optimizer.set_lr(self.lr * 0.5 * (1.0 + Arithmetic::cos(PI * progress)));
                optimizer.step(model, &grads)?;
                step += 1;
                after(&grads, step as f64 / steps as f64)?;
                tape.reset();
            }
        }
        Ok(())
    }
}

/// How many images of a set the network takes for something else.
pub fn errors(net: &Net, set: &Set) -> Result<usize> {
    let scores = net.scores(&set.images)?;
    let found = scores.argmax(1, false)?;
    Ok(found.to_vec().iter().zip(set.labels.to_vec()).filter(|(f, l)| **f != *l).count())
}

/// Codes a label for each row of scores: is it the likeliest class, else the second, and so on. A decoder
/// ignores `label` and gives what it read. Exponentials are kolmo's, which have the same bits on every machine.
pub fn code_labels(coder: &mut impl BitCoder, scores: &Tensor, label: impl Fn(usize) -> u32) -> Vec<u32> {
    let classes = scores.dim(1);
    let rows = scores.to_vec();
    let one = |(i, row): (usize, &[f32])| {
        let mut order: Vec<u32> = (0..classes as u32).collect();
        order.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
        let weight: Vec<f64> = order
            .iter()
            .map(|&k| Arithmetic::exp(f64::from(row[k as usize] - row[order[0] as usize])))
            .collect();
        let found = order.iter().enumerate().find(|&(place, &class)| {
            let left: f64 = weight[place..].iter().sum();
            let p = (weight[place] / left * 65_536.0).round().clamp(1.0, 65_535.0);
            // What is left is the last.
            place + 1 == classes || coder.code(class == label(i), p as u32)
        });
        found.map_or(0, |(_, &class)| class)
    };
    rows.chunks_exact(classes).enumerate().map(one).collect()
}

/// The stages of an example, in order.
#[derive(Serialize)]
pub struct Report {
    pub example: String,
    pub data: String,
    pub seed: u64,
    pub quick: bool,
    pub stages: Vec<Stage>,
    /// Further figures by name.
    pub figures: BTreeMap<String, usize>,
    #[serde(skip)]
    folder: PathBuf,
    #[serde(skip)]
    start: Option<Instant>,
}

#[derive(Serialize)]
pub struct Stage {
    pub stage: String,
    pub parameters: usize,
    /// Those that aren't 0.
    pub kept: usize,
    /// Length of the file that was loaded again to be measured.
    pub bytes: usize,
    pub errors: usize,
    /// Share of the images that were measured on, in percent.
    pub error_percent: f64,
    /// Since the start.
    pub seconds: f64,
}

impl Report {
    pub fn new(example: &str, common: &Common, images: &Images) -> Result<Report> {
        println!("{}; seed {}{}", images.name, common.seed, if common.quick { "; quick" } else { "" });
        println!(
            "{:<34}{:>12}{:>10}{:>10}{:>9}{:>9}{:>9}",
            "stage", "parameters", "not 0", "bytes", "errors", "%", "seconds"
        );
        Ok(Report {
            example: example.to_string(),
            data: images.name.clone(),
            seed: common.seed,
            quick: common.quick,
            stages: Vec::new(),
            figures: BTreeMap::new(),
            folder: common.folder(example)?,
            start: Some(Instant::now()),
        })
    }

    pub fn note(&mut self, name: &str, figure: usize) {
        self.figures.insert(name.to_string(), figure);
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn seconds(&self) -> f64 {
        self.start.map_or(0.0, |s| s.elapsed().as_secs_f64())
    }

    /// Writes the network to its file, loads that, and measures what was loaded.
    pub fn measure(&mut self, net: &Net, stage: &str, test: &Set) -> Result<Net> {
        let path = self.folder.join(format!("{}.kolmo", stage.replace(' ', "-")));
        net.save(&path)?;
        let loaded = Net::load(&path)?;
        let (parameters, kept) = loaded.count()?;
        let errors = errors(&loaded, test)?;
        let stage = Stage {
            stage: stage.to_string(),
            parameters,
            kept,
            bytes: fs::metadata(&path)?.len() as usize,
            errors,
            error_percent: 100.0 * errors as f64 / test.len() as f64,
            seconds: self.seconds(),
        };
        println!(
            "{:<34}{:>12}{:>10}{:>10}{:>9}{:>9.2}{:>9.0}",
            stage.stage,
            stage.parameters,
            stage.kept,
            stage.bytes,
            stage.errors,
            stage.error_percent,
            stage.seconds
        );
        self.stages.push(stage);
        Ok(loaded)
    }

    /// Writes `report.json`.
    pub fn finish(&self) -> Result<()> {
        kolmo::data::write_file(serde_json::to_string_pretty(self)? + "\n", self.folder.join("report.json"))?;
        println!("files and report.json are in {}", self.folder.display());
        Ok(())
    }
}
