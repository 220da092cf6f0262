//! A step of a run without slots.
use super::{Trainer, board::Board, hooks::StepInfo, position::Position};
use crate::{
    data::Batches,
    error::Result,
    ops::Float,
    optim::Optimizer,
    tape::{Tape, Var},
};
use serde::Serialize;

impl<T: Float> Trainer<'_, T> {
    /// How many batches make the next step.
    pub(super) fn together(&self, batch: usize) -> usize {
        self.accumulate.min(self.loader.len().saturating_sub(batch))
    }

    /// A step as it is without slots; none if the loader has no more batches.
    pub(super) fn step_alone<M: Serialize + ?Sized, O: Optimizer<T>, B>(
        &mut self,
        (model, optimizer, board): (&M, &mut O, &mut Board),
        tape: &mut Tape<T>,
        at: &mut Position,
        batches: &mut Batches<B>,
        mut loss: impl for<'t> FnMut(&'t Tape<T>, &B) -> Var<'t, T>,
    ) -> Result<Option<StepInfo>> {
        let (mut sum, mut mean) = (None, 0.0);
        let together = self.together(at.batch);
        let examples = (at.batch..at.batch + together).map(|batch| self.loader.rows(batch).len());
        let examples = examples.sum::<usize>() as f64;
        for batch in batches.by_ref().take(together) {
            let loss = loss(tape, &batch?);
            let own = self.loader.rows(at.batch).len();
            let (value, (sum_of_losses, seen)) = (loss.item()?.to_f64(), at.losses);
            at.losses = (sum_of_losses + own as f64 * value, seen + own as u64);
            mean += value * (own as f64 / examples);
            // One batch is its own mean, to the bit.
            let share = if together == 1 { loss } else { loss * (own as f64 / examples) };
            let grads = share.backward()?;
            match &mut sum {
                None => sum = Some(grads),
                Some(sum) => sum.accumulate(&grads)?,
            }
            tape.reset();
            at.batch += 1;
        }
        let Some(mut grads) = sum else { return Ok(None) };
        let info = StepInfo { step: at.step + 1, epoch: at.epoch + 1, lr: optimizer.lr(), loss: mean };
        if let Some(on_gradients) = &mut self.hooks.on_gradients {
            on_gradients(&info, &mut grads)?;
        }
        if at.batch >= self.loader.len() {
            board.gradients(model, &info, &grads);
        }
        if let Some(most) = self.clip_norm {
            grads.clip_norm(most, 2.0)?;
        }
        optimizer.step(model, &grads)?;
        Ok(Some(info))
    }
}
