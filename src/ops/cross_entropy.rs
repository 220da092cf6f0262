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

    /// The means of as many equal parts of the scores `[n, classes]`, for one target of each row.
    pub(super) fn means<T: Float>(x: &Tensor<T>, targets: &[u32], parts: usize) -> Checked<Tensor<T>> {
        let (source, n) = (x.contiguous().made()?, x.dim(1));
        let data = source.as_slice().unwrap_or_default();
        let logs = Tensor::build(x.shape().clone(), |out| lines(data, n, true, 0, out)).made()?;
        let logs = logs.as_slice().unwrap_or_default();
        let each = targets.len() / parts.max(1);
        Ok(Tensor::from_fn([parts], |k| {
            let own = k * each..(k + 1) * each;
            let rows = targets[own.clone()].iter().zip(logs[own.start * n..].chunks_exact(n));
            T::constant(-rows.map(|(&t, row)| row[t as usize].to_f64()).sum::<f64>() / each as f64)
        }))
    }

    /// The derivatives of these means, each times a number: softmax less one-hot, over the rows of a part.
    pub(super) fn slopes<T: Float>(x: &Tensor<T>, targets: &[u32], by: &[T]) -> Checked<Tensor<T>> {
        let (source, n) = (x.contiguous().made()?, x.dim(1));
        let data = source.as_slice().unwrap_or_default();
        let mut slope = Tensor::build(x.shape().clone(), |out| lines(data, n, false, 0, out)).made()?;
        let each = targets.len() / by.len().max(1);
        for (k, (row, &t)) in slope.as_mut_slice().chunks_exact_mut(n).zip(targets).enumerate() {
            let scale = by[k / each] / T::constant(each as f64);
            row[t as usize] = row[t as usize] - T::constant(1.0);
            row.iter_mut().for_each(|v| *v = *v * scale);
        }
        Ok(slope)
    }
}

impl<T: Float> Rule<T> for MeanCrossEntropy {
    fn name(&self) -> &str {
        if self.slope { "cross_entropy_slope" } else { "cross_entropy" }
    }

    fn about(&self) -> About {
        if self.slope {
            return About::NOTHING;
        }
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
        if self.slope {
            let [x, g] = operands(x)?;
            return Self::slopes(x, self.targets(), &[g.item().map_err(|e| e.to_string())?]);
        }
        let [x] = operands(x)?;
        Ok(Self::means(x, self.targets(), 1)?.reshaped(&Shape::new(&[])))
    }

    fn keeps(&self, wanted: u32) -> u32 {
        if self.slope { 1 | (wanted & 1) << 1 } else { 1 }
    }

    fn check(&self, x: &[&Tensor<T>], _: &Shape) -> Checked<()> {
        let (x, rest) = x.split_first().ok_or("takes scores")?;
        let (n, classes) = (self.targets.numel(), x.dim(1));
        let fits = rest.len() == usize::from(self.slope) && rest.iter().all(|g| g.numel() == 1);
        let outside = || self.targets().iter().any(|&t| t as usize >= classes);
        if !fits || x.rank() != 2 || n == 0 || x.dim(0) != n || outside() {
            return Err(format!("scores {} don't fit {n} targets or their classes", x.shape()));
        }
        Ok(())
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let (x, g) = (step.input(0), step.take_grad());
        let slope = MeanCrossEntropy { targets: self.targets.clone(), slope: true };
        if !self.slope {
            step.give(0, g.tape().apply(slope, &[&x, &g]));
            return;
        }
        // Of s = b/n · (p - one-hot), p = softmax(x): x̄ = p · (h - Σ p h) with h = s̄ · b/n, and b̄ = Σ s̄
        // · s / b.
        if step.wants(0) {
            let h = &g * (step.input(1) / self.targets.numel() as f64);
            let p = x.softmax(1);
            step.give(0, &p * (&h - (&p * &h).sum_dim(1, true)));
        }
        if step.wants(1) {
            let one = g.tape().constant(T::constant(1.0));
            let each = g.tape().apply(slope, &[&x, &one]);
            let shape = step.input_shape(1);
            step.give(1, (g * each).sum().reshape_to(&shape));
        }
    }
}
