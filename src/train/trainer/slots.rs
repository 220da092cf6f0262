//! The slots of a step that are a process's own: one after the other, or in step.
use crate::{
    data::Batches,
    distributed::{SlotSum, SlotsInStep, random_of},
    error::{Error, Result},
    ops::Float,
    tape::{Gradients, Random, Tape, Var},
};
use std::ops::Range;

/// What a process has to know of the slots of a step.
pub(super) struct Slots<'a> {
    pub sizes: &'a [usize],
    pub examples: usize,
    /// Which slots each process has.
    pub shares: &'a [Range<usize>],
    pub own: Range<usize>,
    pub random: Random,
    pub step: u64,
}

impl Slots<'_> {
    /// What a slot counts in the mean over all examples.
    pub fn part(&self, slot: usize) -> f64 {
        self.size(slot) as f64 / self.examples as f64
    }

    fn size(&self, slot: usize) -> usize {
        self.sizes.get(slot).copied().unwrap_or_default()
    }

    /// A slot's loss, and its share of that of all.
    fn loss<'t, T: Float, B>(
        &self,
        tape: &'t Tape<T>,
        slot: usize,
        batch: &B,
        loss: impl FnOnce(&'t Tape<T>, &B) -> Var<'t, T>,
    ) -> Result<(f64, Var<'t, T>)> {
        tape.set_random(random_of(self.random, self.step, slot));
        let loss = loss(tape, batch);
        let value = loss.item()?.to_f64();
        // One slot is its own mean, to the bit.
        Ok((value, if self.size(slot) == self.examples { loss } else { loss * self.part(slot) }))
    }

    fn next<B>(&self, batches: &mut Batches<B>, slot: usize) -> Result<B> {
        let over = || Error::invalid("Trainer", format!("the loader has ended before slot {slot} of a step"));
        batches.next().unwrap_or_else(|| Err(over()))
    }

    pub fn one_by_one<T: Float, B>(
        &self,
        tape: &mut Tape<T>,
        sum: &mut SlotSum<'_, T>,
        batches: &mut Batches<B>,
        loss: &mut impl for<'t> FnMut(&'t Tape<T>, &B) -> Var<'t, T>,
    ) -> Result<()> {
        let last = self.own.clone().next_back();
        for slot in self.own.clone() {
            if self.size(slot) == 0 {
                sum.push_none(slot);
                continue;
            }
            let batch = self.next(batches, slot)?;
            let (value, share) = self.loss(tape, slot, &batch, &mut *loss)?;
            sum.push(slot, value, &share, Some(slot) == last)?;
            tape.reset();
        }
        Ok(())
    }

    pub fn in_step<T: Float, B: Send>(
        &self,
        sum: &mut SlotSum<'_, T>,
        batches: &mut Batches<B>,
        loss: &(impl for<'t> Fn(&'t Tape<T>, &B) -> Var<'t, T> + Sync),
    ) -> Result<()> {
        let own = self.own.clone().filter(|&slot| self.size(slot) > 0);
        let made: Result<Vec<(usize, B)>> = own.map(|slot| Ok((slot, self.next(batches, slot)?))).collect();
        let slot = |tape: &Tape<T>, slot: usize, batch: &B| -> Result<(f64, Gradients<T>)> {
            let (value, share) = self.loss(tape, slot, batch, loss)?;
            Ok((value, share.backward()?))
        };
        SlotsInStep { shares: self.shares, sizes: self.sizes }.run(sum, made, &slot)
    }
}
