//! Normalisation by means, deviations and norms: programs of other operations. The number of
//! axes that `batch_norm` and its relatives take for channels is 1: `[n, channels, …]`.
use super::{
    index::valid,
    list::{Float, Norm, Standardize, Standardized, Test},
    take::NOWHERE,
};
use crate::{
    error::Checked,
    kernels::{
        spread::{spread, spread_statistics},
        standardize::{Groups, moments, statistics},
    },
    tape::{Join, Peers, Var},
    tensor::{Shape, Tensor},
};

/// Where the channels of `[n, channels, …]` lie.
fn channels_of(shape: &Shape) -> Groups {
    Groups { outer: shape[0], groups: shape[1], inner: shape[2..].iter().product() }
}

/// Weight and bias of a normalisation, each perhaps missing.
type Affine<'a, 't, T> = (Option<&'a Var<'t, T>>, Option<&'a Var<'t, T>>);

/// # Normalisation
impl<'t, T: Float> Var<'t, T> {
    /// An operation that knows the statistics of this tensor, so that its derivative need not compute them
    /// again; in a [`Program`](crate::Program), which runs it on other values, it doesn't.
    fn standardize(&self, kind: Norm, at: Groups, eps: f64, by_place: bool) -> Standardized<T> {
        let known = if self.tape().is_traced() { None } else { self.statistics(at, eps).ok() };
        Standardized { how: Standardize { kind, at, eps, by_place }, known, of_all: None }
    }

    fn statistics(&self, at: Groups, eps: f64) -> Checked<Tensor<T>> {
        let x = self.tensor().contiguous().made()?;
        statistics(x.as_slice().unwrap_or_default(), at, eps)
    }

    /// Mean 0 and variance 1 in each group: `(x - mean) / √(var + eps)`, with the variance divided by n,
    /// times the weight plus the bias.
    fn standardized(&self, op: Standardized<T>, (weight, bias): Affine<'_, 't, T>) -> Var<'t, T> {
        if self.numel() == 0 {
            return self.clone();
        }
        match (weight, bias) {
            (Some(w), Some(b)) => self.tape().apply(op, &[self, w, b]),
            (Some(w), None) => self.tape().apply(op, &[self, w]),
            (None, Some(b)) => {
                let sizes = if op.how.by_place { self.shape().clone() } else { self.channel_sizes() };
                let lead = sizes.rank() - b.rank();
                let sizes = if op.how.by_place { sizes[lead..].iter().copied().collect() } else { sizes };
                self.tape().apply(op, &[self]) + b.reshape_to(&sizes)
            }
            (None, None) => self.tape().apply(op, &[self]),
        }
    }

    /// `[1, channels, 1, …]`
    fn channel_sizes(&self) -> Shape {
        (0..self.rank()).map(|axis| if axis == 1 { self.shape()[1] } else { 1 }).collect()
    }

    /// What is wrong with a weight or bias that should have this shape.
    #[track_caller]
    fn unfit(&self, name: &str, shape: &[usize], (weight, bias): Affine<'_, 't, T>) -> Option<Var<'t, T>> {
        for part in [weight, bias].into_iter().flatten() {
            if part.failed_id().is_some() {
                return Some(part.clone());
            }
            if *part.shape() != *shape {
                let message = format!("weight and bias have shape {shape:?}, not {}", part.shape());
                return Some(self.tape().fail_op(name, message, &[self, part]));
            }
        }
        None
    }

    /// One weight and bias for each channel, axis 1.
    #[track_caller]
    fn by_channel(&self, name: &str, affine: Affine<'_, 't, T>) -> Var<'t, T> {
        let channels = self.shape().get(1).copied().unwrap_or(1);
        if let Some(failed) = self.unfit(name, &[channels], affine) {
            return failed;
        }
        let sizes = self.channel_sizes();
        let scaled = affine.0.map(|w| self * w.reshape_to(&sizes));
        let y = scaled.as_ref().unwrap_or(self);
        affine.1.map_or_else(|| y.clone(), |b| y + b.reshape_to(&sizes))
    }

    /// Normalised by mean and inverse deviation of each group, times the weight plus the bias of its channel, in one
    /// pass: where nothing is recorded, and there are both.
    #[track_caller]
    fn at_once(
        &self,
        kind: Norm,
        at: Groups,
        known: impl Fn(usize) -> [T; 2],
        (weight, bias): Affine<'_, 't, T>,
    ) -> Option<Var<'t, T>> {
        let (weight, bias) = (weight?, bias?);
        if [self, weight, bias].iter().any(|v| v.node().is_some()) {
            return None;
        }
        let known = |i: usize| known(i / 4).get(i % 4).copied().unwrap_or_default();
        let known = Tensor::from_fn([at.groups, 4], known).made().ok()?;
        let each = |v: &Var<'t, T>| {
            let values = v.tensor().list().ok()?;
            Some(self.tape().constant(Tensor::from_fn([at.groups], |i| values[i % values.len()])))
        };
        let how = Standardize { kind, at, eps: 0.0, by_place: false };
        let op = Standardized { how, known: Some(known), of_all: None };
        Some(self.tape().apply(op, &[self, &each(weight)?, &each(bias)?]))
    }

    /// That there are an axis of channels and so many axes at least.
    fn has_channels(&self, least: usize) -> Checked<()> {
        if self.rank() < least {
            return Err(format!("takes [n, channels, …] of rank {least} at least, not {}", self.shape()));
        }
        Ok(())
    }

    /// Batch normalisation (Ioffe and Szegedy, 2015) of `[n, channels, …]`: by mean and variance of each
    /// channel in the batch, or, with `running`, by those given. Weight, bias and running statistics are
    /// `[channels]`.
    #[track_caller]
    pub fn batch_norm(
        &self,
        running: Option<(&Var<'t, T>, &Var<'t, T>)>,
        weight: Option<&Var<'t, T>>,
        bias: Option<&Var<'t, T>>,
        eps: f64,
    ) -> Var<'t, T> {
        if running.is_some() && self.numel() == 0 && self.failed_id().is_none() {
            return self.clone();
        }
        valid!(self, "batch_norm", self.has_channels(2));
        match running {
            Some((mean, variance)) => {
                let channels = &self.shape()[1..2];
                if let Some(bad) = [mean, variance].into_iter().find(|v| **v.shape() != *channels) {
                    if bad.failed_id().is_some() {
                        return bad.clone();
                    }
                    let message = format!(
                        "running statistics of {} have shape {channels:?}, not {}",
                        self.shape(),
                        bad.shape()
                    );
                    return self.tape().fail_op("batch_norm", message, &[self, bad]);
                }
                if let Some(failed) = self.unfit("batch_norm", channels, (weight, bias)) {
                    return failed;
                }
                let scale = (variance + eps).rsqrt();
                if [mean, variance].iter().all(|v| v.node().is_none())
                    && let (Ok(means), Ok(scales)) = (mean.tensor().list(), scale.tensor().list())
                {
                    let known = |channel: usize| [means[channel], scales[channel]];
                    let at = channels_of(self.shape());
                    if let Some(y) = self.at_once(Norm::Batch, at, known, (weight, bias)) {
                        return y;
                    }
                }
                let centred = self.by_channel("batch_norm", (None, Some(&-mean)));
                let scaled = centred.by_channel("batch_norm", (Some(&scale), None));
                scaled.by_channel("batch_norm", (weight, bias))
            }
            None => self.batch_norm_by_batch(weight, bias, eps).0,
        }
    }

    /// The operation by the statistics of a batch of which this is a part.
    fn standardize_by_all(&self, at: Groups, eps: f64, peers: &dyn Peers) -> Checked<Standardized<T>> {
        let x = self.tensor().contiguous().made()?;
        let all = peers.join(spread(x.as_slice().unwrap_or_default(), at)?, Join::Spreads)?;
        let n = all.first().copied().unwrap_or_default();
        if n < 2.0 || all.len() != 1 + 2 * at.groups {
            return Err(format!("{n} values of each of {} channels have no variance", at.groups));
        }
        let how = Standardize { kind: Norm::Batch, at, eps, by_place: false };
        Ok(Standardized { how, known: Some(spread_statistics(&all, eps)), of_all: Some(n) })
    }

    /// Batch normalisation by the batch's own mean and variance, and these (the variance divided by n) with n;
    /// they are empty where something failed.
    #[track_caller]
    pub(crate) fn batch_norm_by_batch(
        &self,
        weight: Option<&Var<'t, T>>,
        bias: Option<&Var<'t, T>>,
        eps: f64,
    ) -> (Var<'t, T>, (Tensor<T>, Tensor<T>), f64) {
        let none = || (Tensor::zeros([0]), Tensor::zeros([0]));
        let peers = self.tape().peers();
        let failed = match self.has_channels(2) {
            _ if self.failed_id().is_some() => Some(self.clone()),
            Err(message) => Some(self.tape().fail_op("batch_norm", message, &[self])),
            Ok(_) if self.numel() / self.shape()[1].max(1) == 1 && peers.is_none() || eps <= 0.0 => {
                let message = format!(
                    "takes more than one value for each channel, and eps above 0, not {} and {eps}",
                    self.shape()
                );
                Some(self.tape().fail_op("batch_norm", message, &[self]))
            }
            Ok(_) => self.unfit("batch_norm", &self.shape()[1..2], (weight, bias)),
        };
        if let Some(failed) = failed {
            return (failed, none(), 0.0);
        }
        if self.numel() == 0 {
            return (self.clone(), none(), 0.0);
        }
        let at = channels_of(self.shape());
        let op = match peers {
            Some(peers) => self.standardize_by_all(at, eps, &*peers),
            None => Ok(self.standardize(Norm::Batch, at, eps, false)),
        };
        let found = op.and_then(|op| {
            let found = op.known.clone().map_or_else(|| self.statistics(at, eps), Ok)?;
            Ok((op, found))
        });
        match found {
            Ok((op, found)) => {
                let n = op.of_all.unwrap_or(at.each_has());
                (self.standardized(op, (weight, bias)), moments(&found), n)
            }
            Err(message) => (self.tape().fail_op("batch_norm", message, &[self]), none(), 0.0),
        }
    }

    /// The means over the samples of mean and variance (divided by n) of each channel of `[n, channels, …]`;
    /// empty where there is no room for them.
    pub(crate) fn instance_moments(&self) -> (Tensor<T>, Tensor<T>) {
        let (n, channels) = (self.dim(0), self.dim(1));
        let at = Groups { outer: 1, groups: n * channels, inner: self.numel() / (n * channels).max(1) };
        let Ok(found) = self.statistics(at, 0.0) else { return (Tensor::zeros([0]), Tensor::zeros([0])) };
        let (mean, variance) = moments(&found);
        let over = |t: Tensor<T>| {
            let values = t.to_vec();
            let sum = |c: usize| (0..n).map(|i| values[i * channels + c].to_f64()).sum::<f64>();
            Tensor::from_fn([channels], |c| T::constant(sum(c) / n as f64))
        };
        (over(mean), over(variance))
    }

    /// Instance normalisation (Ulyanov et al., 2016) of `[n, channels, …]`: each channel of each sample by
    /// its own mean and variance, or, with `running`, by those given.
    #[track_caller]
    pub fn instance_norm(
        &self,
        running: Option<(&Var<'t, T>, &Var<'t, T>)>,
        weight: Option<&Var<'t, T>>,
        bias: Option<&Var<'t, T>>,
        eps: f64,
    ) -> Var<'t, T> {
        valid!(self, "instance_norm", self.has_channels(3));
        if running.is_some() {
            return self.batch_norm(running, weight, bias, eps);
        }
        let inner = self.shape()[2..].iter().product::<usize>();
        if inner == 1 {
            let message = format!("one value for each channel of {} has no variance", self.shape());
            return self.tape().fail_op("instance_norm", message, &[self]);
        }
        let at = Groups { outer: 1, groups: self.shape()[0] * self.shape()[1], inner };
        let op = self.standardize(Norm::Instance, at, eps, false);
        self.standardized(op, (None, None)).by_channel("instance_norm", (weight, bias))
    }

    /// Group normalisation (Wu and He, 2018) of `[n, channels, …]`: each group of channels of each sample by
    /// its mean and variance; weight and bias are `[channels]`.
    #[track_caller]
    pub fn group_norm(
        &self,
        num_groups: usize,
        weight: Option<&Var<'t, T>>,
        bias: Option<&Var<'t, T>>,
        eps: f64,
    ) -> Var<'t, T> {
        valid!(self, "group_norm", self.has_channels(2));
        let (n, channels) = (self.shape()[0], self.shape()[1]);
        if num_groups == 0
            || num_groups > channels
            || channels % num_groups != 0
            || self.shape()[2..].contains(&0)
        {
            let message = format!(
                "{num_groups} groups don't divide the {channels} channels of {}, or these are empty",
                self.shape()
            );
            return self.tape().fail_op("group_norm", message, &[self]);
        }
        if let Some(failed) = self.unfit("group_norm", &[channels], (weight, bias)) {
            return failed;
        }
        let groups = n * num_groups;
        let at = Groups { outer: 1, groups, inner: self.numel() / groups.max(1) };
        let op = self.standardize(Norm::Group, at, eps, false);
        if let Some(known) = op.known.as_ref().filter(|_| self.numel() > 0)
            && let Ok(known) = known.list()
        {
            let places = Groups { outer: 1, groups: n * channels, inner: self.numel() / (n * channels) };
            let of = |row: usize| [0, 1].map(|k| known[4 * (row * num_groups / channels) + k]);
            if let Some(y) = self.at_once(Norm::Group, places, of, (weight, bias)) {
                return y;
            }
        }
        self.standardized(op, (None, None)).by_channel("group_norm", (weight, bias))
    }

    /// That the last axes are these.
    fn ends_with(&self, shape: &[usize]) -> Checked<()> {
        if shape.is_empty() || !self.shape().ends_with(shape) {
            return Err(format!("normalised shape {shape:?} is not the end of {}", self.shape()));
        }
        Ok(())
    }

    /// Layer normalisation (Ba et al., 2016): the last axes, which are `normalized_shape`, by their mean and
    /// variance, then times `weight` plus `bias` of that shape.
    #[track_caller]
    pub fn layer_norm(
        &self,
        normalized_shape: &[usize],
        weight: Option<&Var<'t, T>>,
        bias: Option<&Var<'t, T>>,
        eps: f64,
    ) -> Var<'t, T> {
        valid!(self, "layer_norm", self.ends_with(normalized_shape));
        if let Some(failed) = self.unfit("layer_norm", normalized_shape, (weight, bias)) {
            return failed;
        }
        let inner = normalized_shape.iter().product::<usize>();
        let at = Groups { outer: 1, groups: self.numel() / inner.max(1), inner };
        self.standardized(self.standardize(Norm::Layer, at, eps, true), (weight, bias))
    }

    /// `x / √(mean(x²) + eps) · weight` over the last axes, which are `normalized_shape` (Zhang and Sennrich,
    /// 2019). `eps` is by default the type's smallest step at 1.
    #[track_caller]
    pub fn rms_norm(
        &self,
        normalized_shape: &[usize],
        weight: Option<&Var<'t, T>>,
        eps: Option<f64>,
    ) -> Var<'t, T> {
        valid!(self, "rms_norm", self.ends_with(normalized_shape));
        let axes: Vec<isize> = (1..=normalized_shape.len() as isize).map(|i| -i).collect();
        let epsilon = if size_of::<T>() == 4 { f64::from(f32::EPSILON) } else { f64::EPSILON };
        let y = self * (self.square().mean_dim(&axes, true) + eps.unwrap_or(epsilon)).rsqrt();
        if let Some(failed) = self.unfit("rms_norm", normalized_shape, (weight, None)) {
            return failed;
        }
        weight.map_or_else(|| y.clone(), |w| &y * w)
    }

    /// Each element divided by `(k + alpha · mean(x²))^beta` over `size` neighbouring channels, axis 1
    /// (Krizhevsky et al., 2012); channels that aren't there count as 0.
    #[track_caller]
    pub fn local_response_norm(&self, size: usize, alpha: f64, beta: f64, k: f64) -> Var<'t, T> {
        valid!(self, "local_response_norm", self.has_channels(3));
        if !(1..1 << 16).contains(&size) {
            let message = format!("size {size} is not from 1 to 65535");
            return self.tape().fail_op("local_response_norm", message, &[self]);
        }
        let channels = self.shape()[1];
        let near = |i: usize| (i / size + i % size).checked_sub(size / 2).filter(|&c| c < channels);
        let places =
            Tensor::from_fn([channels.saturating_mul(size)], |i| near(i).map_or(NOWHERE, |c| c as u32));
        let mut apart: Shape = self.shape()[..2].iter().copied().collect();
        apart.push(size);
        self.shape()[2..].iter().for_each(|&d| apart.push(d));
        let sums = self.square().slices(1, places).reshape_to(&apart).sum_dim(2, false);
        self / (sums * (alpha / size as f64) + k).powf(beta)
    }

    /// Vectors along an axis divided by their norm, or by `eps` if that is larger (defaults of PyTorch: p 2,
    /// dim 1, eps 1e-12).
    #[track_caller]
    pub fn normalize(&self, p: f64, dim: isize, eps: f64) -> Var<'t, T> {
        (self / self.norm_dim(p, [dim], true).clamp_min(eps)).named("normalize", &[self])
    }

    /// The slices along an axis whose norm is above `maxnorm`, scaled down to it.
    #[track_caller]
    pub fn renorm(&self, p: f64, dim: isize, maxnorm: f64) -> Var<'t, T> {
        let axis = valid!(self, "renorm", self.shape().axis(dim));
        if self.rank() < 2 || p.is_nan() || p <= 0.0 || maxnorm < 0.0 {
            let message = format!(
                "takes two axes at least, p > 0 and maxnorm >= 0, not {}, {p} and {maxnorm}",
                self.shape()
            );
            return self.tape().fail_op("renorm", message, &[self]);
        }
        let others: Vec<isize> = (0..self.rank() as isize).filter(|&a| a != axis as isize).collect();
        let norms = self.norm_dim(p, &others, true);
        let [one, most] = [1.0, maxnorm].map(|v| self.tape().constant(T::constant(v)));
        let large = self.tape().apply(Test::Less, &[&most, &norms]);
        self * (maxnorm / (norms + 1e-7)).where_one(&large, &one)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Result, Tape, Tensor};

    #[test]
    fn in_one_pass_or_recorded_step_by_step_the_bits_are_the_same() -> Result<()> {
        let number = |i: usize| ((i * 7919 % 1013) as f32 - 500.0) / 70.0;
        for sizes in [&[2, 6, 5, 3][..], &[3, 6], &[1, 6, 1], &[4, 6, 40]] {
            let x = Tensor::from_fn(sizes, number);
            let channel = |shift: usize| Tensor::from_fn([6], |i| number(i + shift).abs() + 0.1);
            let outcome = |tape: &Tape<f32>| -> Result<Vec<f32>> {
                // A tape that records nothing has inputs that aren't recorded.
                let [x, w, b, m, v] =
                    [x.clone(), channel(1), channel(2), channel(3), channel(4)].map(|t| tape.input(t));
                let mut all = x.batch_norm(Some((&m, &v)), Some(&w), Some(&b), 1e-5).to_vec()?;
                for groups in [1, 2, 6] {
                    let y = x.group_norm(groups, Some(&w), Some(&b), 1e-5);
                    all.extend(y.to_vec()?);
                }
                Ok(all)
            };
            let (recorded, plain) = (outcome(&Tape::new())?, outcome(&Tape::inference())?);
            let bits = |all: &[f32]| all.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&recorded), bits(&plain), "{sizes:?}");
        }
        Ok(())
    }
}
