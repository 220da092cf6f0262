//! The mean cross entropy as one operation, for the plain case.
use super::{
    checks::operands,
    list::{Float, MeanCrossEntropy},
    softmax::lines,
};
use crate::{
    error::Checked,
    real::About,
    tape::{Rule, Step},
    tensor::{Shape, Tensor},
};
use std::borrow::Cow;

impl MeanCrossEntropy {
    /// Other targets of the same number, for scores of as many classes as there were.
    pub fn retarget(&mut self, targets: Tensor<u32>, classes: usize) -> Checked<()> {
        match targets
            .contiguous()
            .made()?
            .as_slice()
            .unwrap_or_default()
            .iter()
            .find(|&&t| t as usize >= classes)
        {
            Some(bad) => {
                Err(format!("target {bad} is out of range: 0 to {} are accepted", classes as i64 - 1))
            }
            None => {
                self.targets = targets.contiguous();
                Ok(())
            }
        }
    }

    pub fn targets_are(&self, targets: &Tensor<u32>) -> bool {
        self.targets.shares_data(targets)
    }

    fn targets(&self) -> &[u32] {
        self.targets.as_slice().unwrap_or_default()
    }

    /// The softmax of the scores.
    fn probabilities<T: Float>(x: &Tensor<T>) -> Tensor<T> {
        let source = x.contiguous();
        if source.lack().is_some() {
            return source;
        }
        let (data, n) = (source.as_slice().unwrap_or_default(), x.dim(1));
        Tensor::build(x.shape().clone(), |out| lines(data, n, false, 0, out))
    }
}

impl<T: Float> Rule<T> for MeanCrossEntropy {
    fn name(&self) -> &str {
        "cross_entropy"
    }

    fn about(&self) -> About {
        About::formula(
            "mean of −ln softmax(a) at the labels",
            &["ȳ · (softmax(a) − one-hot) / n"],
            "Softmax and logarithm in one operation.",
        )
    }

    fn options(&self) -> Cow<'static, str> {
        Cow::Borrowed("reduction=mean")
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let [x] = operands(x)?;
        let (source, n) = (x.contiguous().made()?, x.dim(1));
        let data = source.as_slice().unwrap_or_default();
        let logs = Tensor::build(x.shape().clone(), |out| lines(data, n, true, 0, out)).made()?;
        let logs = logs.as_slice().unwrap_or_default();
        let sum = self
            .targets()
            .iter()
            .zip(logs.chunks_exact(n))
            .map(|(&t, row)| row[t as usize].to_f64())
            .sum::<f64>();
        Ok(Tensor::scalar(T::constant(-sum / self.targets.numel() as f64)))
    }

    fn keeps(&self, _: u32) -> u32 {
        1
    }

    fn check(&self, x: &[&Tensor<T>], _: &Shape) -> Checked<()> {
        let [x] = operands(x)?;
        let (n, classes) = (self.targets.numel(), x.dim(1));
        if x.rank() != 2 || n == 0 || x.dim(0) != n || self.targets().iter().any(|&t| t as usize >= classes) {
            return Err(format!("scores {} don't fit {n} targets or their classes", x.shape()));
        }
        Ok(())
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let (x, g) = (step.input(0), step.take_grad());
        let (n, classes) = (self.targets.numel(), x.dim(1));
        if step.graph() {
            step.tape().not_replayable("the gradient of cross_entropy was recorded");
            let hot =
                |i: usize| T::constant((self.targets()[i / classes] as usize == i % classes) as u8 as f64);
            let hot = x.tape().constant(Tensor::from_fn(x.shape(), hot));
            step.give(0, (x.softmax(1) - hot) * (g / n as f64));
            return;
        }
        let scale = g.tensor().item().map_or(T::constant(f64::NAN), |g| g / T::constant(n as f64));
        let mut slope = Self::probabilities(x.tensor());
        for (row, &t) in slope.as_mut_slice().chunks_exact_mut(classes).zip(self.targets()) {
            row[t as usize] = row[t as usize] - T::constant(1.0);
            row.iter_mut().for_each(|v| *v = *v * scale);
        }
        step.give(0, step.tape().constant(slope));
    }
}
