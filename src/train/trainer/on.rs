//! The trainer's options for what a program does in the midst of a run.
use super::{
    Trainer,
    hooks::{Control, Hooks, StepInfo},
};
use crate::{error::Result, ops::Float, tape::Gradients, train::Record};
use std::path::PathBuf;

/// # In the midst of a run
impl<'a, T: Float> Trainer<'a, T> {
    /// Something to be done with the gradients of each step, before they are clipped to
    /// [`clip_norm`](Trainer::clip_norm) and used: looked at, clipped in another way, changed. An error ends
    /// the run.
    ///
    /// ```
    /// use kolmo::{Tensor, data::DataLoader, nn::Param, optim::Sgd, train::Trainer};
    /// let p = Param::new(Tensor::from([4.0f32]));
    /// let mut norms = Vec::new();
    /// Trainer::new(DataLoader::new(3, 1), 1)
    ///     .progress(false)
    ///     .on_gradients(|_, grads| {
    ///         norms.push(grads.norm());
    ///         grads.clip_value(1.0)
    ///     })
    ///     .fit(
    ///         &p,
    ///         &mut Sgd::new(0.1),
    ///         |rows, _| Ok(rows.len()),
    ///         |tape, _| tape.param(&p).square().sum(),
    ///         || Ok(Vec::<(String, f64)>::new()),
    ///     )?;
    /// assert!((p.value().item()? - 3.7).abs() < 1e-6 && norms.len() == 3);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[doc(alias = "on_before_optimizer_step")]
    pub fn on_gradients(self, hook: impl FnMut(&StepInfo, &mut Gradients<T>) -> Result<()> + 'a) -> Self {
        Trainer { hooks: Hooks { on_gradients: Some(Box::new(hook)), ..self.hooks }, ..self }
    }

    /// Something to be done after each step of the optimiser, such as masking anew, or writing its loss down.
    /// An error, which may be one [of your own](crate::Error::custom), ends the run.
    ///
    /// ```
    /// use kolmo::{Tensor, data::DataLoader, nn::Param, optim::Sgd, train::{Control, Trainer}};
    /// let p = Param::new(Tensor::from([1.0f32]));
    /// let mut losses = Vec::new();
    /// let history = Trainer::new(DataLoader::new(2, 1), 100)
    ///     .progress(false)
    ///     .on_step(|step| {
    ///         losses.push(step.loss);
    ///         Ok(())
    ///     })
    ///     .on_epoch(|record| Ok(if record.loss < 0.1 { Control::Stop } else { Control::Continue }))
    ///     .fit(
    ///         &p,
    ///         &mut Sgd::new(0.25),
    ///         |rows, _| Ok(rows.len()),
    ///         |tape, _| tape.param(&p).square().sum(),
    ///         || Ok(Vec::<(String, f64)>::new()),
    ///     )?;
    /// assert_eq!((history.records.len(), losses), (2, vec![1.0, 0.25, 0.0625, 0.015625]));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[doc(alias = "on_train_batch_end")]
    pub fn on_step(self, hook: impl FnMut(&StepInfo) -> Result<()> + 'a) -> Self {
        Trainer { hooks: Hooks { on_step: Some(Box::new(hook)), ..self.hooks }, ..self }
    }

    /// Something to be done after each epoch, with what the history says of it; it tells whether the run goes
    /// on. The checkpoint is written afterwards, also where this is an error, which ends the run. A run that is
    /// taken up goes on, whoever stopped it, until it is told to stop again.
    #[doc(alias("on_train_epoch_end", "should_stop"))]
    pub fn on_epoch(self, hook: impl FnMut(&Record) -> Result<Control> + 'a) -> Self {
        Trainer { hooks: Hooks { on_epoch: Some(Box::new(hook)), ..self.hooks }, ..self }
    }

    /// A folder for TensorBoard (`tensorboard --logdir`), of this run alone: `step/loss` and `step/lr` of each
    /// step; after each epoch `epoch/loss`, `epoch/<metric>`, how the weights are spread, `weights/<name>`, and
    /// the gradients of its last step before they are clipped, `gradients/<name>`. A run that is taken up goes
    /// on in a file of its own; one that begins anew hides what was there. For more see [`SummaryWriter`](crate::train::SummaryWriter), to which
    /// [`on_gradients`](Trainer::on_gradients) can write.
    ///
    /// A file that can't be written ends the run, after the epoch in which that is noticed.
    #[doc(alias = "TensorBoardLogger")]
    pub fn tensorboard(self, folder: impl Into<PathBuf>) -> Self {
        Trainer { tensorboard: Some(folder.into()), ..self }
    }
}
