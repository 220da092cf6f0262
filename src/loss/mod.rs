//! Losses: how far a model's answer is from what it should be.
use crate::{
    tape::{Float, Var},
    tensor::{Index, Tensor},
};

impl<'t, T: Float> Var<'t, T> {
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
