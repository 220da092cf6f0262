//! What came of each stage: files, a table, `report.json`, and plots.
use crate::{Options, Result, images::Images, model::Mlp, plot};
use kolmo::{
    compress::{all_params, data_bits, prune},
    metrics::accuracy,
};
use serde::Serialize;
use std::{fmt, fs, path::PathBuf, time::Duration};

/// The whole run.
#[derive(Serialize)]
pub struct Report {
    pub data: String,
    pub seed: u64,
    pub quick: bool,
    pub seconds: f64,
    pub training_images: usize,
    pub test_images: usize,
    pub stages: Vec<Stage>,
    /// Bits of the training labels without any model.
    pub label_bits: f64,
    #[serde(skip)]
    folder: PathBuf,
}

/// One model at one stage.
#[derive(Serialize)]
pub struct Stage {
    pub model: &'static str,
    pub stage: &'static str,
    /// Sizes of the layers.
    pub sizes: String,
    pub file: String,
    /// Parameters, and those that are not pruned.
    pub parameters: usize,
    pub kept: usize,
    /// Length of the file.
    pub bytes: usize,
    /// All parameters as plain `f32`, over the length of the file.
    pub ratio: f64,
    pub test_accuracy: f64,
    /// Bits of the file, and of the training labels given the model's probabilities.
    pub model_bits: f64,
    pub data_bits: f64,
}

impl Report {
    pub fn new(options: &Options, images: &Images) -> Report {
        Report {
            data: images.name.clone(),
            seed: options.seed,
            quick: options.quick,
            seconds: 0.0,
            training_images: images.train.len(),
            test_images: images.test.len(),
            stages: Vec::new(),
            label_bits: images.train.len() as f64 * 10f64.log2(),
            folder: options.out.clone(),
        }
    }

    /// Writes the network to its file, and measures what is in the file; gives the network that was loaded.
    pub fn measure(
        &mut self,
        net: &Mlp,
        model: &'static str,
        stage: &'static str,
        images: &Images,
    ) -> Result<Mlp> {
        let file = format!("{model}-{stage}.kolmo");
        let path = self.folder.join(&file);
        net.save(&path)?;
        let loaded = Mlp::load(&path)?;
        let bytes = fs::metadata(&path)?.len() as usize;
        let weights = prune::count(net, all_params);
        self.stages.push(Stage {
            model,
            stage,
            sizes: loaded.sizes(),
            file,
            parameters: weights.total,
            kept: weights.kept,
            bytes,
            ratio: 4.0 * weights.total as f64 / bytes as f64,
            test_accuracy: accuracy(&loaded.scores(&images.test.images)?, &images.test.labels)?,
            model_bits: 8.0 * bytes as f64,
            data_bits: data_bits(&loaded.scores(&images.train.images)?, &images.train.labels)?,
        });
        Ok(loaded)
    }

    /// Writes `report.json` and the plots.
    pub fn finish(&mut self, elapsed: Duration) -> Result<()> {
        self.seconds = elapsed.as_secs_f64();
        kolmo::data::write_file(serde_json::to_string_pretty(self)? + "\n", self.folder.join("report.json"))?;
        let plot = plot::plot(&self.stages);
        plot.save(self.folder.join("plot.svg"))?;
        Ok(plot.save(self.folder.join("plot.png"))?)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, cells: [&str; 6]| {
            let [stage, kept, bytes, ratio, accuracy, bits] = cells;
            writeln!(f, "{stage:<24}{kept:>15}{bytes:>15}{ratio:>14}{accuracy:>15}{bits:>21}")
        };
        line(
            f,
            [
                "stage",
                "parameters left",
                "bytes on disk",
                "ratio to f32",
                "test accuracy",
                "bits of description",
            ],
        )?;
        for stage in &self.stages {
            let name = match stage.stage {
                "dense" => format!("{} {}", stage.model, stage.sizes),
                other => format!("  {other}"),
            };
            let cells = [
                &name,
                &thousands(stage.kept),
                &thousands(stage.bytes),
                &format!("{:.1}", stage.ratio),
                &format!("{:.2} %", 100.0 * stage.test_accuracy),
                &thousands((stage.model_bits + stage.data_bits).round() as usize),
            ];
            line(f, cells.map(String::as_str))?;
        }
        writeln!(
            f,
            "Ratio: all parameters at 4 bytes, over the file. Bits of description: the file, and the {} training labels coded \
             with the model's probabilities (without a model they take {} bits).",
            thousands(self.training_images),
            thousands(self.label_bits.round() as usize),
        )?;
        write!(
            f,
            "{}, seed {}, {:.1} s; files, report.json and plots are in {}",
            self.data,
            self.seed,
            self.seconds,
            self.folder.display()
        )
    }
}

/// `1234567` as `1,234,567`.
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
