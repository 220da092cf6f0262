//! The weights in few bits: rounded, or calibrated on a text.
use super::{Fails, model::Llama};
use clap::{Args, ValueEnum};
use kolmo::{
    Tape, Tensor,
    compress::{
        Calibration, matrices,
        quantize::{Budget, Gptq, WeightOnly},
    },
};
use std::{path::PathBuf, time::Instant};
use tokenizers::Tokenizer;

#[derive(Args)]
pub struct Options {
    /// How the weights are rounded to `--bits`.
    #[arg(long, value_enum, default_value_t = Method::Rtn)]
    method: Method,
    /// A text that weights are calibrated on, for `--method gptq` and `--budget`.
    #[arg(long)]
    calibrate: Option<PathBuf>,
    /// Windows of `--window` tokens of that text, taken evenly from all of it.
    #[arg(long, default_value_t = 16)]
    calibration_windows: usize,
    /// Chooses steps so that the file comes to so many bytes.
    #[arg(long)]
    budget: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Method {
    /// To the nearest.
    Rtn,
    /// Each error made up for by the weights that follow.
    Gptq,
}

/// Puts the weights in the form that is asked for.
pub fn quantise(model: &Llama, tokenizer: &Tokenizer, all: &super::Options) -> Fails<()> {
    let options = &all.quantise;
    let began = Instant::now();
    let calibrated = |gradients: bool| -> Fails<Calibration> {
        let path = options.calibrate.as_ref().ok_or("--calibrate TEXT is needed")?;
        let tokens = tokenizer.encode(std::fs::read_to_string(path)?, false)?;
        let calibration = Calibration::new(model, matrices)?;
        let windows: Vec<&[u32]> = tokens.get_ids().chunks_exact(all.window).collect();
        let wanted = options.calibration_windows.clamp(1, windows.len().max(1));
        let mut tape = if gradients { Tape::new() } else { Tape::inference() };
        for window in (0..wanted).filter_map(|i| windows.get(i * windows.len() / wanted)) {
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
            })?;
        }
        eprintln!("calibrated in {:.1} s", began.elapsed().as_secs_f64());
        Ok(calibration)
    };
    match (options.budget, all.bits, options.method) {
        (Some(bytes), _, _) => {
            let spent = Budget::bytes(bytes).apply(model, &calibrated(true)?)?;
            eprintln!("an estimate of {} bytes", spent.bytes());
        }
        (None, None, _) => return Ok(()),
        (None, Some(bits), Method::Rtn) => WeightOnly::new(bits).groups(all.group).apply(model, matrices)?,
        (None, Some(bits), Method::Gptq) => {
            Gptq::new(bits).groups(all.group).apply(model, &calibrated(false)?)?;
        }
    }
    eprintln!("quantised in {:.2} s", began.elapsed().as_secs_f64());
    Ok(())
}
