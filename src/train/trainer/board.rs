//! What TensorBoard is shown of a run, if it is shown any.
use super::{hooks::StepInfo, position::Position};
use crate::{
    error::Result,
    ops::Float,
    tape::Gradients,
    train::{History, SummaryWriter},
};
use serde::Serialize;
use std::path::Path;

pub(super) struct Board {
    writer: Option<SummaryWriter>,
    /// What went wrong since the last epoch, which is told at the end of this one.
    failed: Result<()>,
}

impl Board {
    /// A file in this folder. What older files have of the steps that come is not shown.
    pub fn open(folder: Option<&Path>, at: &Position) -> Result<Board> {
        let mut writer = folder.map(SummaryWriter::new).transpose()?;
        writer.iter_mut().try_for_each(|writer| writer.purge(at.step + 1))?;
        Ok(Board { writer, failed: Ok(()) })
    }

    pub fn step(&mut self, info: &StepInfo) {
        if let (Some(writer), Ok(())) = (&mut self.writer, &self.failed) {
            let loss = writer.add_scalar("step/loss", info.loss, info.step);
            self.failed = loss.and_then(|()| writer.add_scalar("step/lr", info.lr, info.step));
        }
    }

    /// How gradients are spread before they are clipped.
    pub fn gradients<T: Float>(
        &mut self,
        model: &(impl Serialize + ?Sized),
        info: &StepInfo,
        grads: &Gradients<T>,
    ) {
        if let (Some(writer), Ok(())) = (&mut self.writer, &self.failed) {
            self.failed = writer.add_gradients(model, grads, info.step);
        }
    }

    /// The last epoch of a history, after which the model is as it is now.
    pub fn epoch(&mut self, model: &(impl Serialize + ?Sized), history: &History) -> Result<()> {
        std::mem::replace(&mut self.failed, Ok(()))?;
        let (Some(writer), Some(record)) = (&mut self.writer, history.last()) else { return Ok(()) };
        writer.add_scalar("epoch/loss", record.loss, record.step)?;
        for (name, value) in &record.metrics {
            writer.add_scalar(&format!("epoch/{name}"), *value, record.step)?;
        }
        writer.add_parameters(model, record.step)?;
        writer.flush()
    }
}
