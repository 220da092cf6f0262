//! Layers that normalise channels, with PyTorch's names for weights and statistics.
use super::{
    Layer,
    fit::{refused, shaped, shaped_if},
};
use crate::{
    checked::{Check, checked, finite, positive},
    error::Checked,
    ops::Float,
    param::Param,
    tape::Var,
    tensor::Tensor,
};
use serde::Serialize;

/// Statistics of past batches: parameters that no optimiser changes.
fn statistics<T: Float>(value: Tensor<T>) -> Param<T> {
    let p = Param::new(value);
    p.set_trainable(false);
    p
}

/// Batch normalisation of `[n, channels, …]`. In training each channel is normalised by the batch's mean and
/// variance, and the running ones move towards them; in evaluation by the running ones. The mode is the
/// tape's.
///
/// ```
/// use kolmo::{Tape, Tensor, nn::{BatchNorm2d, Layer}};
/// let layer = BatchNorm2d::new(3);
/// let tape = Tape::new();
/// let y = layer.forward(&tape.constant(Tensor::from_fn([2, 3, 4, 4], |i| i as f32)));
/// assert!(y.mean().item()?.abs() < 1e-6);
/// assert_eq!(layer.num_batches_tracked.value().item()?, 1.0);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct BatchNorm<T: Float = f32> {
    /// `[channels]`, ones at first.
    pub weight: Option<Param<T>>,
    /// `[channels]`, zeros at first.
    pub bias: Option<Param<T>>,
    /// `[channels]`
    pub running_mean: Param<T>,
    /// `[channels]`, divided by n - 1.
    pub running_var: Param<T>,
    /// Batches that the running statistics are made of.
    pub num_batches_tracked: Param<T>,
    /// The share of the newest batch in the running statistics (default 0.1); `None` for the mean of all
    /// batches.
    pub momentum: Option<f64>,
    /// Added to variances (default 1e-5).
    pub eps: f64,
}

/// [`BatchNorm`] of `[n, channels]` or `[n, channels, length]`.
pub type BatchNorm1d<T = f32> = BatchNorm<T>;
/// [`BatchNorm`] of `[n, channels, height, width]`.
pub type BatchNorm2d<T = f32> = BatchNorm<T>;

checked!(BatchNorm<T> {
    weight: Option<Param<T>>,
    bias: Option<Param<T>>,
    running_mean: Param<T>,
    running_var: Param<T>,
    num_batches_tracked: Param<T>,
    momentum: Option<f64>,
    eps: f64,
});

/// That a parameter is a vector: of so many elements.
pub(super) fn length<T: Float>(field: &str, p: &Param<T>) -> Checked<usize> {
    let shape = p.shape();
    match shape[..] {
        [n] => Ok(n),
        _ => Err(format!("{field} has shape {shape}, expected [channels]")),
    }
}

/// That a number of batches, momentum and eps can be those of running statistics.
fn tracks<T: Float>(batches: Option<&Param<T>>, momentum: Option<f64>, eps: f64) -> Checked<()> {
    batches.map_or(Ok(()), |p| match p.shape().numel() {
        1 => Ok(()),
        _ => Err(format!("num_batches_tracked has shape {}, expected a single number", p.shape())),
    })?;
    finite("momentum", momentum.unwrap_or(0.0))?;
    positive("eps", eps)
}

/// That an input is `[n, channels, …]`.
pub(super) fn has_channels<T: Float>(x: &Var<'_, T>, channels: usize) -> Checked<()> {
    match x.shape()[..] {
        [_, found, ..] if found == channels => Ok(()),
        _ => Err(format!("takes [n, {channels}, …], not {}", x.shape())),
    }
}

impl<T: Float> Check for BatchNorm<T> {
    fn check(&self) -> Checked<()> {
        let channels = [length("running_mean", &self.running_mean)?];
        shaped("running_var", &self.running_var, &channels)?;
        shaped_if("weight", &self.weight, &channels)?;
        shaped_if("bias", &self.bias, &channels)?;
        tracks(Some(&self.num_batches_tracked), self.momentum, self.eps)
    }
}

impl BatchNorm {
    /// A layer that only normalises, until it is trained.
    pub fn new(channels: usize) -> Self {
        BatchNorm::with_dtype(channels)
    }
}

impl<T: Float> BatchNorm<T> {
    /// The same with numbers of another type: `BatchNorm::<f64>::with_dtype(3)`.
    pub fn with_dtype(channels: usize) -> Self {
        BatchNorm {
            weight: Some(Param::new(Tensor::ones([channels]))),
            bias: Some(Param::new(Tensor::zeros([channels]))),
            running_mean: statistics(Tensor::zeros([channels])),
            running_var: statistics(Tensor::ones([channels])),
            num_batches_tracked: statistics(Tensor::scalar(T::default())),
            momentum: Some(0.1),
            eps: 1e-5,
        }
    }
}

/// Moves running mean, variance and number of batches towards those of a batch, where the variance is divided
/// by n, and n is `each`.
fn track<T: Float>(
    x: &Var<'_, T>,
    [running_mean, running_var, batches]: [&Param<T>; 3],
    momentum: Option<f64>,
    (mean, variance): (Tensor<T>, Tensor<T>),
    each: f64,
) {
    let tape = x.tape();
    if tape.is_recomputing() {
        return;
    }
    tape.no_grad(|| {
        // Divided by n - 1.
        let variance = tape.constant(variance) * (each / (each - 1.0));
        let count = batches.value().item().map_or(0.0, |v| v.to_f64()) + 1.0;
        batches.set(Tensor::scalar(T::from_f64(count)));
        let share = momentum.unwrap_or(1.0 / count);
        for (p, new) in [(running_mean, tape.constant(mean)), (running_var, variance)] {
            let old = tape.constant(p.value());
            let moved = old * (1.0 - share) + new * share;
            p.set(moved.tensor().clone());
        }
    });
}

impl<T: Float> Layer<T> for BatchNorm<T> {
    #[track_caller]
    fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
        let fits = || {
            self.check()?;
            has_channels(x, self.running_mean.shape().dim(0))
        };
        if let Some(failed) = refused("BatchNorm", &[x], fits) {
            return failed;
        }
        let tape = x.tape();
        let part = |p: &Option<Param<T>>| p.as_ref().map(|p| tape.param(p));
        let (weight, bias) = (part(&self.weight), part(&self.bias));
        if tape.is_training() {
            let (y, moments, each) = x.batch_norm_by_batch(weight.as_ref(), bias.as_ref(), self.eps);
            if y.failed_id().is_none() && x.numel() > 0 {
                let running = [&self.running_mean, &self.running_var, &self.num_batches_tracked];
                tape.not_replayable("batch_norm moves running statistics in training");
                track(x, running, self.momentum, moments, each);
            }
            return y;
        }
        let (mean, variance) = (tape.param(&self.running_mean), tape.param(&self.running_var));
        x.batch_norm(Some((&mean, &variance)), weight.as_ref(), bias.as_ref(), self.eps)
    }
}

/// Instance normalisation of `[n, channels, …]`: each channel of each sample by its own mean and variance; in
/// evaluation by the running ones, if there are.
///
/// ```
/// use kolmo::{Tape, Tensor, nn::{InstanceNorm, Layer}};
/// let tape = Tape::new();
/// let y = InstanceNorm::new().forward(&tape.constant(Tensor::from_fn([2, 3, 4, 4], |i| i as f32)));
/// assert!(y.mean().item()?.abs() < 1e-6);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
pub struct InstanceNorm<T: Float = f32> {
    /// `[channels]` (default none).
    pub weight: Option<Param<T>>,
    /// `[channels]` (default none).
    pub bias: Option<Param<T>>,
    /// `[channels]` (default none).
    pub running_mean: Option<Param<T>>,
    /// `[channels]`, divided by n - 1 (default none).
    pub running_var: Option<Param<T>>,
    /// Batches that the running statistics are made of.
    pub num_batches_tracked: Option<Param<T>>,
    /// The share of the newest batch in the running statistics (default 0.1); `None` for the mean of all
    /// batches.
    pub momentum: Option<f64>,
    /// Added to variances (default 1e-5).
    pub eps: f64,
}

checked!(InstanceNorm<T> {
    weight: Option<Param<T>>,
    bias: Option<Param<T>>,
    running_mean: Option<Param<T>>,
    running_var: Option<Param<T>>,
    num_batches_tracked: Option<Param<T>>,
    momentum: Option<f64>,
    eps: f64,
});

impl<T: Float> Check for InstanceNorm<T> {
    fn check(&self) -> Checked<()> {
        self.channels().map(drop)
    }
}

impl InstanceNorm {
    /// A layer as PyTorch's by default, without weights and running statistics.
    pub fn new() -> Self {
        InstanceNorm::with_dtype()
    }
}

impl<T: Float> InstanceNorm<T> {
    /// How many channels its parameters are for, if there are any.
    fn channels(&self) -> Checked<Option<usize>> {
        let statistics = [&self.running_mean, &self.running_var, &self.num_batches_tracked];
        if !matches!(statistics.iter().filter(|p| p.is_some()).count(), 0 | 3) {
            return Err(
                "has some of running_mean, running_var and num_batches_tracked, expected all or none".into(),
            );
        }
        let each = [
            ("weight", &self.weight),
            ("bias", &self.bias),
            ("running_mean", &self.running_mean),
            ("running_var", &self.running_var),
        ];
        let mut channels = None;
        for (field, p) in each {
            match (channels, p) {
                (Some(n), p) => shaped_if(field, p, &[n])?,
                (None, Some(p)) => channels = Some(length(field, p)?),
                (None, None) => {}
            }
        }
        tracks(self.num_batches_tracked.as_ref(), self.momentum, self.eps)?;
        Ok(channels)
    }

    /// The same with numbers of another type: `InstanceNorm::<f64>::with_dtype()`.
    pub fn with_dtype() -> Self {
        InstanceNorm {
            weight: None,
            bias: None,
            running_mean: None,
            running_var: None,
            num_batches_tracked: None,
            momentum: Some(0.1),
            eps: 1e-5,
        }
    }

    /// The same with weight and bias for each channel.
    pub fn affine(self, num_features: usize) -> Self {
        let weight = Some(Param::new(Tensor::ones([num_features])));
        InstanceNorm { weight, bias: Some(Param::new(Tensor::zeros([num_features]))), ..self }
    }

    /// The same with running statistics, by which it normalises in evaluation.
    pub fn track_running_stats(self, num_features: usize) -> Self {
        InstanceNorm {
            running_mean: Some(statistics(Tensor::zeros([num_features]))),
            running_var: Some(statistics(Tensor::ones([num_features]))),
            num_batches_tracked: Some(statistics(Tensor::scalar(T::default()))),
            ..self
        }
    }
}

impl<T: Float> Default for InstanceNorm<T> {
    fn default() -> Self {
        InstanceNorm::with_dtype()
    }
}

impl<T: Float> Layer<T> for InstanceNorm<T> {
    #[track_caller]
    fn forward<'t>(&self, x: &Var<'t, T>) -> Var<'t, T> {
        let fits = || match self.channels()? {
            Some(channels) => has_channels(x, channels),
            None => Ok(()),
        };
        if let Some(failed) = refused("InstanceNorm", &[x], fits) {
            return failed;
        }
        let tape = x.tape();
        let part = |p: &Option<Param<T>>| p.as_ref().map(|p| tape.param(p));
        let (weight, bias) = (part(&self.weight), part(&self.bias));
        let (Some(mean), Some(variance), Some(batches)) =
            (&self.running_mean, &self.running_var, &self.num_batches_tracked)
        else {
            return x.instance_norm(None, weight.as_ref(), bias.as_ref(), self.eps);
        };
        if tape.is_training() {
            let y = x.instance_norm(None, weight.as_ref(), bias.as_ref(), self.eps);
            if y.failed_id().is_none() && x.numel() > 0 {
                let each = x.numel() / (x.dim(0) * x.dim(1)).max(1);
                tape.not_replayable("instance_norm moves running statistics in training");
                track(x, [mean, variance, batches], self.momentum, x.instance_moments(), each as f64);
            }
            return y;
        }
        let running = (&tape.param(mean), &tape.param(variance));
        x.instance_norm(Some(running), weight.as_ref(), bias.as_ref(), self.eps)
    }
}
