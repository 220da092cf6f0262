//! The model in fewer bits, and how near its vectors stay to what they were.
use crate::{
    folder::{Fails, busy},
    goal::Goal,
    model::Sentences,
    pruning::Pruning,
};
use clap::Args;
use kolmo::{
    Tape, Tensor,
    compress::{
        Artifact, Calibration, matrices, pack,
        quantize::{Budget, WeightOnly},
        unpack,
    },
    nn::init,
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// What makes the model smaller.
#[derive(Args)]
pub struct Compressing {
    /// Rounds the weights to so many bits, 1 to 8, `--group` neighbours with a scale and a zero point; or
    /// chooses the steps of all of them so that the packed file comes to so many bytes, such as 14MB.
    #[arg(long, value_name = "BITS|BYTES")]
    compress: Option<Goal>,
    #[arg(long, default_value_t = 32)]
    group: usize,
    #[command(flatten)]
    pruning: Pruning,
    /// A text that steps are chosen on, for bytes, and what is cut out.
    #[arg(long, value_name = "TEXT")]
    calibrate: Option<PathBuf>,
    /// Lines of that text, taken evenly from all of it.
    #[arg(long, default_value_t = 512)]
    calibration_lines: usize,
    /// Writes the weights as they are then to a file whose codes are coded.
    #[arg(long)]
    pack: Option<PathBuf>,
    /// The weights that `--pack` wrote, instead of the model's own.
    #[arg(long)]
    weights: Option<PathBuf>,
}

/// Directions in which each line's vector is asked how it depends on the weights.
const DIRECTIONS: u64 = 4;

/// The lines of a text that aren't empty, each once.
pub fn lines(text: &str) -> Vec<&str> {
    let mut seen = std::collections::BTreeSet::new();
    text.lines().map(str::trim).filter(|line| !line.is_empty() && seen.insert(*line)).collect()
}

impl Compressing {
    /// Whether the model isn't what its folder has.
    pub fn changes(&self) -> bool {
        self.compress.is_some() || self.weights.is_some() || self.pruning.changes()
    }

    /// Puts a model's matrices in the form that is asked for.
    pub fn apply(&self, model: &mut Sentences, batch: usize) -> Fails<()> {
        let began = Instant::now();
        if let Some(path) = &self.weights {
            busy("unpacking", || -> Fails<()> {
                let file = Artifact::load(path)?;
                model
                    .bert
                    .fit(&file.entries.iter().map(|e| (e.name.clone(), e.shape.clone().into())).collect())?;
                Ok(unpack(&file, model.weights())?)
            })?;
        }
        if self.pruning.changes() {
            let text = self.text()?;
            model.prune(&self.pruning, &self.lines(&text)?, batch)?;
        }
        let model = &*model;
        if let Some(goal) = self.compress {
            self.put(model, goal, batch)?;
        }
        if self.changes() {
            eprintln!("compressed in {:.2} s", began.elapsed().as_secs_f64());
        }
        if let Some(path) = &self.pack {
            busy("packing", || pack(model.weights(), &[])?.save(path))?;
            println!("{}: {} bytes", path.display(), fs::metadata(path)?.len());
        }
        Ok(())
    }

    /// Puts a model's matrices in a form.
    pub fn put(&self, model: &Sentences, goal: Goal, batch: usize) -> Fails<()> {
        match goal {
            Goal::Bits(bits) => busy("rounding", || {
                WeightOnly::new(bits).groups(self.group).apply(model.weights(), matrices)
            })?,
            Goal::Bytes(bytes) => {
                let seen = self.calibrated(model, batch)?;
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                let spent = busy("choosing steps", || Budget::bytes(bytes).apply(model.weights(), &seen))?;
                eprintln!("{} bytes", spent.file);
            }
        }
        Ok(())
    }

    /// The calibration text.
    fn text(&self) -> Fails<String> {
        let path: &Path = self.calibrate.as_ref().ok_or("--calibrate TEXT is needed")?;
        Ok(fs::read_to_string(path).map_err(|why| format!("{}: {why}", path.display()))?)
    }

    /// As many lines of it as are asked for, taken evenly from all of it.
    fn lines<'a>(&self, text: &'a str) -> Fails<Vec<&'a str>> {
        let all = lines(text);
        let wanted = self.calibration_lines.min(all.len());
        if wanted == 0 {
            return Err("the calibration text has no lines".into());
        }
        Ok((0..wanted).map(|i| all[i * all.len() / wanted]).collect())
    }

    /// What the weights' products are given on the calibration text, and how the lines' vectors depend on what
    /// they give: the squares of derivatives along random directions are in the mean those along all.
    fn calibrated(&self, model: &Sentences, batch: usize) -> Fails<Calibration> {
        let text = self.text()?;
        let some = self.lines(&text)?;
        let calibration = Calibration::new(model.weights(), |name, shape| {
            // Of a table of one row for all tokens there is nothing to save.
            matrices(name, shape) && !name.contains("token_type")
        })?;
        let mut tape = Tape::new();
        busy("calibrating", || {
            (0..DIRECTIONS).try_for_each(|direction| {
                model.each_batch(&some, batch, &mut tape, |tape, lines, run| {
                    let rng = &mut kolmo::Random::new(
                        direction << 32 | lines.first().map_or(0, |&line| line as u64),
                    );
                    calibration.observe(tape, || -> Fails<()> {
                        let vectors = run()?;
                        let along: Tensor = init::normal(&vectors.shape()[..], 0.0, 1.0, rng);
                        let _ = (&vectors * tape.constant(along)).sum().backward()?;
                        Ok(())
                    })
                })
            })
        })?;
        Ok(calibration)
    }
}

/// The mean of the products of lines' vectors, which have length 1, and the least.
pub fn likeness(a: &Tensor, b: &Tensor) -> Fails<(f64, f64)> {
    let (width, a, b) = (a.dim(1).max(1), a.to_vec(), b.to_vec());
    let product = |(a, b): (&[f32], &[f32])| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let all: Vec<f64> = a.chunks(width).zip(b.chunks(width)).map(product).collect();
    let mean = all.iter().sum::<f64>() / all.len().max(1) as f64;
    Ok((mean, all.iter().copied().fold(1.0, f64::min)))
}
