//! A model in fewer bits.
use crate::{
    folder::{Fails, busy},
    goal::Goal,
    model::Llama,
};
use clap::{Args, ValueEnum};
use kolmo::{
    Tape, Tensor,
    compress::{
        Calibration, matrices,
        quantize::{Budget, ColumnScales, Gptq, WeightOnly},
    },
};
use std::{
    path::{Path, PathBuf},
    time::Instant,
};

/// What makes the model smaller.
#[derive(Args)]
pub struct Compressing {
    /// Rounds the weights to so many bits, 1 to 8, `--group` neighbours with a scale and a zero point; or
    /// chooses the steps of all of them so that the packed file comes to so many bytes, such as 60MB.
    #[arg(long, alias = "bits", value_name = "BITS|BYTES")]
    compress: Option<Goal>,
    #[arg(long, default_value_t = 32)]
    group: usize,
    /// How weights are rounded to bits.
    #[arg(long, value_enum, default_value_t = Method::Rtn)]
    method: Method,
    /// For bytes: scales columns first so that one step is right for all of a row's weights.
    #[arg(long)]
    fold: bool,
    /// A text that weights are calibrated on, for `--method gptq` and for bytes.
    #[arg(long, value_name = "TEXT")]
    calibrate: Option<PathBuf>,
    /// Windows of `--window` tokens of that text, taken evenly from all of it.
    #[arg(long, default_value_t = 16)]
    calibration_windows: usize,
    /// How often the first token of a window counts. Most heads look at it when they look at nothing (Xiao et
    /// al., 2024), so that an error of its value reaches nearly all tokens; but it is one row of many in a
    /// window's second moments, and what is then left to it costs more than all that is saved elsewhere.
    #[arg(long, default_value_t = 256)]
    first_tokens: usize,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Method {
    /// To the nearest.
    Rtn,
    /// Each error made up for by the weights that follow.
    Gptq,
}

impl Compressing {
    /// Puts a model's matrices, adapters included, in the form that is asked for.
    pub fn apply(
        &self,
        model: &Llama,
        window: usize,
        tokens: impl Fn(&Path) -> Fails<Vec<u32>>,
    ) -> Fails<()> {
        let began = Instant::now();
        let Some(goal) = self.compress else { return Ok(()) };
        let seen = match (goal, self.method) {
            (Goal::Bits(_), Method::Rtn) => None,
            _ => Some(self.calibrated(model, window, tokens, matches!(goal, Goal::Bytes(_)))?),
        };
        self.put(model, goal, seen.as_ref())?;
        eprintln!("compressed in {:.2} s", began.elapsed().as_secs_f64());
        Ok(())
    }

    /// Puts a model's matrices in a form; without a calibration they are rounded to the nearest.
    pub fn put(&self, model: &Llama, goal: Goal, seen: Option<&Calibration>) -> Fails<()> {
        match (goal, seen) {
            (Goal::Bytes(bytes), Some(seen)) => {
                let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
                if self.fold {
                    busy("scaling columns", || model.fold(ColumnScales::errors(0.1), seen))?;
                }
                let spent = busy("choosing steps", || Budget::bytes(bytes).apply(model, seen))?;
                eprintln!("{} bytes", spent.file);
            }
            (Goal::Bytes(_), None) => return Err("bytes take a calibration".into()),
            (Goal::Bits(bits), Some(seen)) if self.method == Method::Gptq => {
                busy("rounding", || Gptq::new(bits).groups(self.group).apply(model, seen))?
            }
            (Goal::Bits(bits), _) => {
                busy("rounding", || WeightOnly::new(bits).groups(self.group).apply(model, matrices))?
            }
        }
        Ok(())
    }

    /// The tokens of the calibration text.
    pub fn text(&self, tokens: impl Fn(&Path) -> Fails<Vec<u32>>) -> Fails<Vec<u32>> {
        tokens(self.calibrate.as_ref().ok_or("--calibrate TEXT is needed")?)
    }

    /// As many windows of it as are asked for, taken evenly from all of it.
    pub fn windows<'a>(&self, tokens: &'a [u32], window: usize) -> Fails<Vec<&'a [u32]>> {
        let all: Vec<&[u32]> = tokens.chunks_exact(window.max(2)).collect();
        let wanted = self.calibration_windows.min(all.len());
        if wanted == 0 {
            let count = tokens.len();
            return Err(format!("{count} tokens to calibrate on: takes --window {window} at least").into());
        }
        Ok((0..wanted).map(|i| all[i * all.len() / wanted]).collect())
    }

    /// What the weights' products are given on the calibration text, and with `gradients` how much depends on
    /// what they give.
    pub fn calibrated(
        &self,
        model: &Llama,
        window: usize,
        tokens: impl Fn(&Path) -> Fails<Vec<u32>>,
        gradients: bool,
    ) -> Fails<Calibration> {
        let tokens = self.text(tokens)?;
        let windows = self.windows(&tokens, window)?;
        let calibration = Calibration::new(model, matrices)?;
        let mut tape = if gradients { Tape::new() } else { Tape::inference() };
        let mut inference = Tape::inference();
        busy("calibrating", || {
            windows.iter().try_for_each(|window| {
                if self.first_tokens > 0 {
                    inference.reset();
                    let alone = Tensor::from(vec![window[0]; self.first_tokens]).reshape([-1, 1])?;
                    calibration.observe(&inference, || {
                        model.forward(&inference, alone, &mut [], true).value().map(drop)
                    })?;
                }
                tape.reset();
                calibration.observe(&tape, || -> Fails<()> {
                    let n = window.len() - 1;
                    let logits = model.forward(&tape, &window[..n], &mut [], false);
                    if gradients {
                        let _ = logits.cross_entropy(&Tensor::from(&window[1..])).backward()?;
                    } else {
                        logits.value()?;
                    }
                    Ok(())
                })
            })
        })?;
        Ok(calibration)
    }
}
