//! Models trained by a loss for each step.
use crate::folder::{Fails, bar};
use kolmo::{
    Tape, Var,
    optim::{AdamW, Optimizer},
};
use serde::Serialize;

/// Trains so many steps, each at the learning rate that `lr` gives for the share of them that is done, and tells the mean
/// loss ten times.
pub fn train<M: Serialize + ?Sized>(
    model: &M,
    steps: usize,
    lr: impl Fn(f64) -> f64,
    mut loss: impl for<'t> FnMut(&'t Tape) -> Fails<Var<'t>>,
) -> Fails<()> {
    let (mut adam, mut tape) = (AdamW::new(lr(0.0)).weight_decay(0.0), Tape::new());
    let (bar, mut mean) = (bar(steps, "steps"), 0.0);
    let told = (steps / 10).max(1);
    for step in 1..=steps {
        adam.set_lr(lr((step - 1) as f64 / steps as f64));
        let loss = loss(&tape)?;
        mean += f64::from(loss.item()?) / told as f64;
        adam.step(model, &loss.backward()?)?;
        drop(loss);
        tape.reset();
        bar.inc(1);
        if step % told == 0 {
            bar.suspend(|| println!("step {step}: loss {mean:.4}"));
            mean = 0.0;
        }
    }
    bar.finish_and_clear();
    Ok(())
}
