//! Parts cut out of a model, and what is left trained towards what the whole model answers.
use crate::{folder::Fails, train::train};
use clap::Args;
use kolmo::{
    Random, Result, Tape, Var,
    compress::{Channels, scores::Scores},
    nn::named_params,
};
use serde::Serialize;

#[derive(Args, Clone)]
pub struct Pruning {
    /// Cuts this share of the hidden units of each block out, those that the calibration text's loss hangs on
    /// least.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    prune_units: f64,
    /// The same of heads; those that share keys go together.
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    prune_heads: f64,
    /// Cuts so many blocks out, those that change what goes through them least.
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    pub prune_blocks: usize,
    /// Then trains so many steps on the calibration text towards what the whole model answers.
    #[arg(long, default_value_t = 0, value_name = "STEPS")]
    pub distill: usize,
    #[arg(long, default_value_t = 1e-4)]
    distill_lr: f64,
    /// Windows, or lines, in a step.
    #[arg(long, default_value_t = 4)]
    pub distill_batch: usize,
}

impl Pruning {
    /// Whether anything is to be done.
    pub fn changes(&self) -> bool {
        self.prune_blocks > 0 || self.prunes_channels() || self.distill > 0
    }

    /// Whether units or heads are to go.
    pub fn prunes_channels(&self) -> bool {
        self.prune_units != 0.0 || self.prune_heads != 0.0
    }

    /// The blocks that go, the last one first, of those that change what goes through them by so much.
    pub fn blocks(&self, influence: &[f64]) -> Fails<Vec<usize>> {
        if self.prune_blocks >= influence.len() {
            let (asked, all) = (self.prune_blocks, influence.len());
            return Err(format!("--prune-blocks {asked}: there are {all}, and one is to be left").into());
        }
        let mut order: Vec<usize> = (0..influence.len()).collect();
        order.sort_by(|&a, &b| influence[a].total_cmp(&influence[b]));
        let mut gone = order[..self.prune_blocks].to_vec();
        gone.sort_by(|a, b| b.cmp(a));
        Ok(gone)
    }

    /// Cuts units and heads out, which have channels in parameters whose names contain these.
    pub fn cut<M: Serialize + ?Sized>(
        &self,
        model: &M,
        channels: &Channels,
        scores: &Scores,
        [units, heads]: [&str; 2],
    ) -> Result<()> {
        for (share, part) in [(self.prune_units, units), (self.prune_heads, heads)] {
            channels.clone().pick(|name| name.contains(part)).shrink_by_scores(model, share, scores)?;
        }
        Ok(())
    }

    /// Trains a model by a loss for each step.
    pub fn train<M: Serialize + ?Sized>(
        &self,
        model: &M,
        mut loss: impl for<'t> FnMut(&'t Tape, &mut Random) -> Fails<Var<'t>>,
    ) -> Fails<()> {
        let rng = &mut Random::new(0);
        // Large steps last would leave the noise of the last texts in the weights.
        train(model, self.distill, |done| self.distill_lr * (1.0 - done), |tape| loss(tape, rng))
    }
}

/// All weights as floats that are trained, whatever they were held as.
pub fn thaw<M: Serialize + ?Sized>(model: &M) {
    named_params::<f32>(model).iter().for_each(|(_, p)| p.set_trainable(true));
}
