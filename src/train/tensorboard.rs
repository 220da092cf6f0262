//! Event files, which TensorBoard shows: numbers, distributions, pictures and texts of a run, by step. How
//! their bytes lie is left to `events`.
mod events;
mod histogram;

use crate::{
    clock::{Clock, wall},
    data::png,
    error::{Error, Result},
    files::Growing,
    ops::Float,
    param::{Param, named_params},
    protobuf::Message,
    tape::Gradients,
    tensor::{Element, Tensor},
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What is added goes to the file when it is so many bytes, or the last write is so many seconds ago.
const BYTES: usize = 1 << 16;
const SECONDS: u64 = 10;

/// Writes what happens in a run into a folder from which TensorBoard shows it (`tensorboard --logdir runs`):
/// each run has a folder, and each writer a file in it. The names are those of
/// `torch.utils.tensorboard.SummaryWriter`. A [`Trainer`](super::Trainer) has one by
/// [`tensorboard`](super::Trainer::tensorboard).
///
/// Nothing is read back: a file grows, and a crash takes the last ten seconds at most. Tags that begin alike
/// up to a `/` are shown together.
///
/// ```
/// use kolmo::{Random, Tape, nn::{Layer, Linear}, train::SummaryWriter};
/// let folder = std::env::temp_dir().join(format!("kolmo-runs-{}", std::process::id()));
/// let mut writer = SummaryWriter::new(&folder)?;
/// let (net, tape) = (Linear::new(3, 2, &mut Random::new(0)), Tape::new());
/// let loss = net.forward(&tape.constant([[1.0, 2.0, 3.0]])).square().mean();
/// let grads = loss.backward()?;
/// writer.add_scalar("loss", loss.item()?.into(), 1)?;
/// writer.add_parameters(&net, 1)?;
/// writer.add_gradients(&net, &grads, 1)?;
/// writer.flush()?;
/// # std::fs::remove_dir_all(folder).unwrap();
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Debug)]
pub struct SummaryWriter {
    file: Growing,
    /// What was added and isn't in the file.
    waiting: Vec<u8>,
    written: Clock,
}

impl SummaryWriter {
    /// A new file in the folder of a run, which is made if it is not there.
    ///
    /// # Errors
    /// The folder or the file can't be made.
    pub fn new(folder: impl Into<PathBuf>) -> Result<SummaryWriter> {
        let second = wall() as u64;
        let name = |n| format!("events.out.tfevents.{second:010}.kolmo.{}.{n}", std::process::id());
        let file = Growing::create(&folder.into(), (0..1_000_000).map(name))?;
        let mut writer = SummaryWriter { file, waiting: Vec::new(), written: Clock::now() };
        writer.event(0, |event| event.bytes(3, "brain.Event:2"))?;
        Ok(writer)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// A number, kept as 32 bits, as TensorBoard holds it.
    pub fn add_scalar(&mut self, tag: &str, value: f64, step: u64) -> Result<()> {
        self.summary(tag, step, |message| message.float(2, value as f32))
    }

    /// How the elements of a tensor are spread. Those that are not finite are left out.
    pub fn add_histogram<T: Element>(&mut self, tag: &str, values: &Tensor<T>, step: u64) -> Result<()> {
        let values = values.contiguous();
        values.ok()?;
        let values = values.as_slice().unwrap_or_default().iter().map(|v| v.to_f64());
        self.summary(tag, step, |message| message.message(5, &histogram::histogram(values)))
    }

    /// A picture, `[channels, height, width]`, of one channel (grey) or three (red, green, blue): bytes from 0
    /// to 255, or numbers of another type from 0 to 1.
    ///
    /// # Errors
    /// The tensor has another shape.
    pub fn add_image<T: Element>(&mut self, tag: &str, picture: &Tensor<T>, step: u64) -> Result<()> {
        let wrong = |message| Error::invalid("add_image", message);
        picture.ok()?;
        let axes = |shape: &[usize]| match *shape {
            [channels @ (1 | 3), height, width] if height * width > 0 => {
                Some((channels, height * width, (u32::try_from(width).ok()?, u32::try_from(height).ok()?)))
            }
            _ => None,
        };
        let Some((channels, numel, size)) = axes(picture.shape()) else {
            let shape = picture.shape();
            return Err(wrong(format!("a picture is [1 or 3, height, width], not {shape}")));
        };
        let scale = if T::NAME == "u8" { 1.0 } else { 255.0 };
        let values = picture.to_vec();
        let pixel = |v: &T| (v.to_f64() * scale).round() as u8;
        let plane = |c: usize| values.iter().skip(c.min(channels - 1) * numel).map(pixel);
        let pixels = plane(0).zip(plane(1)).zip(plane(2)).map(|((r, g), b)| [r, g, b]);
        let pixels: Vec<u8> = pixels.take(numel).flatten().collect();
        let file = png::encode(&pixels, size).map_err(|e| wrong(e.to_string()))?;
        let image = Message::default().int(1, size.1.into()).int(2, size.0.into()).int(3, channels as u64);
        self.summary(tag, step, |message| message.message(4, &image.bytes(4, file)))
    }

    /// A text, which is shown as Markdown.
    pub fn add_text(&mut self, tag: &str, text: &str, step: u64) -> Result<()> {
        // A tensor of strings (type 7) of shape [1], which the plugin called `text` shows.
        let shape = Message::default().message(2, &Message::default().int(1, 1));
        let tensor = Message::default().int(1, 7).message(2, &shape).bytes(8, text);
        let plugin = Message::default().message(1, &Message::default().bytes(1, "text"));
        self.summary(&format!("{tag}/text_summary"), step, |m| m.message(8, &tensor).message(9, &plugin))
    }

    /// How the weights of a model are spread, as it uses them: a histogram `weights/<name>` for each parameter.
    pub fn add_parameters(&mut self, model: &(impl Serialize + ?Sized), step: u64) -> Result<()> {
        self.add_weights(&named_params::<f32>(model), step)?;
        self.add_weights(&named_params::<f64>(model), step)
    }

    fn add_weights<T: Float>(&mut self, all: &[(String, Param<T>)], step: u64) -> Result<()> {
        let tag = |name| format!("weights/{name}");
        all.iter().try_for_each(|(name, p)| self.add_histogram(&tag(name), &p.effective_or_value(), step))
    }

    /// How their gradients are spread: `gradients/<name>`, of parameters that have one.
    pub fn add_gradients<T: Float>(
        &mut self,
        model: &(impl Serialize + ?Sized),
        grads: &Gradients<T>,
        step: u64,
    ) -> Result<()> {
        let all = named_params::<T>(model);
        let all = all.iter().filter_map(|(name, p)| Some((name, grads.by_id(p.id())?)));
        all.into_iter().try_for_each(|(name, g)| self.add_histogram(&format!("gradients/{name}"), g, step))
    }

    /// Tells the reader that the run begins, or goes on, with a step: what older files of the folder have from
    /// it on is not shown. (PyTorch's `purge_step`.) To be called for each file of such a run, as readers may
    /// take the first mark in a folder for its beginning.
    pub fn purge(&mut self, step: u64) -> Result<()> {
        self.event(step, |event| event.message(7, &Message::default().int(1, 1)))
    }

    /// Writes what was added to the file. It happens by itself every ten seconds, if something is added, and
    /// when the writer is dropped, where an error goes unnoticed.
    pub fn flush(&mut self) -> Result<()> {
        self.written = Clock::now();
        self.file.add(&std::mem::take(&mut self.waiting))
    }

    fn summary(&mut self, tag: &str, step: u64, fill: impl FnOnce(Message) -> Message) -> Result<()> {
        let value = fill(Message::default().bytes(1, tag));
        self.event(step, |event| event.message(5, &Message::default().message(1, &value)))
    }

    /// Adds an event with the time and a step.
    pub(crate) fn event(&mut self, step: u64, fill: impl FnOnce(Message) -> Message) -> Result<()> {
        let event = fill(Message::default().double(1, wall()).int(2, step));
        self.waiting.extend(events::record(&event.0));
        if self.waiting.len() < BYTES && self.written.elapsed().as_secs() < SECONDS {
            return Ok(());
        }
        self.flush()
    }
}

impl Drop for SummaryWriter {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}
