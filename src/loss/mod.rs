//! Losses: how far a model's answer is from what it should be.
use crate::{
    kernels::reduce::{Largest, fold},
    tape::{Float, Var},
    tensor::{Index, Tensor},
};

impl<'t, T: Float> Var<'t, T> {
    /// `log Σ eˣ` over axes, without overflow.
    #[track_caller]
    pub fn logsumexp(&self, dim: &[isize], keepdim: bool) -> Var<'t, T> {
        let axes = match self.axes(dim) {
            Ok(axes) => axes,
            Err(message) => return self.tape().fail_op("logsumexp", message, &[self]),
        };
        if self.failed_id().is_some() {
            return self.clone();
        }
        // The largest entry only shifts: the derivative is the same without it.
        let largest = self.tape().constant(fold(Largest, self.tensor(), &axes, true));
        let sum = (self - &largest).exp().sum_dim(dim, true).log() + largest;
        if keepdim { sum } else { sum.sum_dim(dim, false) }
    }

    /// The mean cross entropy of scores `[n, classes]` and class indices `[n]`.
    #[track_caller]
    pub fn cross_entropy<I: Index>(&self, targets: &Tensor<I>) -> Var<'t, T> {
        let [n, classes] = self.dims();
        let targets = targets.contiguous();
        let targets = targets.as_slice().unwrap_or_default();
        let fits = targets.len() == n && targets.iter().all(|t| (0..classes as i64).contains(&t.to_i64()));
        if !fits {
            let message = format!("scores {} need as many targets from 0 to {classes} - 1", self.shape());
            return self.tape().fail_op("cross_entropy", message, &[self]);
        }
        let chosen = |i: usize| T::of((targets[i / classes].to_i64() == (i % classes) as i64) as u8 as f64);
        let chosen = self.tape().constant(Tensor::from_fn([n, classes], chosen));
        (self.logsumexp(&[1], false).sum() - (self * chosen).sum()) / n as f64
    }
}
