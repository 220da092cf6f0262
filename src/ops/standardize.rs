//! Groups of numbers brought to mean 0 and variance 1, scaled and shifted, as one operation: layer, batch,
//! group and instance normalisation in training.
use super::{
    checks::operands,
    list::{Float, Norm, Standardized},
};
use crate::{
    error::{Checked, Error},
    kernels::standardize::{Affine, Slopes, backward, forward, slope_statistics, statistics},
    real::About,
    tape::{Join, Peers, Rule, Step, Var},
    tensor::{Shape, Tensor},
};
use std::borrow::Cow;

impl<T: Float> Standardized<T> {
    fn statistics(&self, x: &[T]) -> Checked<Tensor<T>> {
        self.known.clone().map_or_else(|| statistics(x, self.how.at, self.how.eps), Ok)
    }

    /// The gradients of a constant input and weight.
    fn slopes(
        &self,
        x: &Tensor<T>,
        g: &Tensor<T>,
        weight: Option<&Tensor<T>>,
        peers: Option<&dyn Peers>,
    ) -> Checked<Slopes<T>> {
        let whole = |t: &Tensor<T>| t.contiguous().made();
        let (source, g, weight) = (whole(x)?, whole(g)?, weight.map(whole).transpose()?);
        let affine = self.affine(weight.as_ref().and_then(|w| w.as_slice()), None);
        let [source, g] = [&source, &g].map(|t| t.as_slice().unwrap_or_default());
        let own = slope_statistics(source, g, self.how.at, &self.statistics(source)?, affine)?;
        let (all, n) = match (self.of_all, peers) {
            (None, _) => (own.clone(), self.how.at.each_has()),
            (Some(n), Some(peers)) => (sums_of_all(&own, peers)?, n),
            (Some(_), None) => return Err("the other parts of the batch are gone".into()),
        };
        backward(source, g, x.shape(), self.how.at, &own, (&all, n), affine)
    }

    fn affine<'a>(&self, weight: Option<&'a [T]>, bias: Option<&'a [T]>) -> Affine<'a, T> {
        match (weight, self.how.by_place) {
            (None, _) => Affine::None,
            (Some(w), true) => Affine::ByPlace(w, bias),
            (Some(w), false) => Affine::ByGroup(w, bias),
        }
    }

    fn parts(&self) -> Shape {
        Shape::new(&[self.how.at.outer, self.how.at.groups, self.how.at.inner])
    }

    /// The gradients as a program over the tape.
    fn recorded<'t>(&self, step: &mut Step<'_, 't, T>) {
        let shape = step.input(0).shape().clone();
        let (x, g) = (step.input(0).reshape_to(&self.parts()), step.grad().reshape_to(&self.parts()));
        let sizes = if self.how.by_place { [1, 1, self.how.at.inner] } else { [1, self.how.at.groups, 1] };
        let mean = |v: &Var<'t, T>| v.mean_dim([0, 2], true);
        let apart = &x - mean(&x);
        let scale = (mean(&apart.square()) + self.how.eps).rsqrt();
        let y = apart * &scale;
        if step.wants(0) {
            let g = if step.inputs() > 1 {
                &g * step.input(1).reshape_to(&Shape::new(&sizes))
            } else {
                g.clone()
            };
            let slope = (&g - mean(&g) - &y * mean(&(&g * &y))) * scale;
            step.give(0, slope.reshape_to(&shape));
        }
        let axes: &[isize] = if self.how.by_place { &[0, 1] } else { &[0, 2] };
        for (input, full) in [(1, &g * &y), (2, g)] {
            if step.wants(input) {
                let own = step.input_shape(input);
                step.give(input, full.sum_dim(axes, false).reshape_to(&own));
            }
        }
    }
}

/// Statistics whose sums, the last two of each group, are those over all parts of a batch.
fn sums_of_all<T: Float>(own: &Tensor<T>, peers: &dyn Peers) -> Checked<Tensor<T>> {
    let known = own.as_slice().unwrap_or_default();
    let sums = known.as_chunks::<4>().0.iter().flat_map(|&[.., a, b]| [a.to_f64(), b.to_f64()]);
    let all = peers.join(sums.collect(), Join::Sums)?;
    let of = |i: usize| match i % 4 {
        0 | 1 => known[i],
        k => all.get(i / 4 * 2 + k - 2).map_or(T::default(), |&sum| T::from_f64(sum)),
    };
    Ok(Tensor::from_fn(own.shape(), of))
}

impl<T: Float> Rule<T> for Standardized<T> {
    fn name(&self) -> &str {
        match self.how.kind {
            Norm::Batch => "batch_norm",
            Norm::Group => "group_norm",
            Norm::Instance => "instance_norm",
            Norm::Layer => "layer_norm",
        }
    }

    fn about(&self) -> About {
        About::formula(
            "(a − mean) / deviation · weight + bias",
            &[
                "the part of ȳ · b that changes neither mean nor deviation",
                "ȳ · the normalised a, summed",
                "ȳ, summed",
            ],
            "Mean and deviation are computed again on the way back.",
        )
    }

    fn options(&self) -> Cow<'static, str> {
        Cow::Owned(format!("eps={}", self.how.eps))
    }

    fn forward(&self, x: &[&Tensor<T>]) -> Checked<Tensor<T>> {
        let (x, [weight, bias]) = match x {
            [x, rest @ ..] => (*x, [rest.first(), rest.get(1)]),
            [] => (operands::<T, 1>(x)?[0], [None, None]),
        };
        let whole = |t: Option<&&Tensor<T>>| t.map(|t| t.contiguous().made()).transpose();
        let (weight, bias) = (whole(weight)?, whole(bias)?);
        let [w, b] = [&weight, &bias].map(|t| t.as_ref().and_then(|t| t.as_slice()));
        let affine = self.affine(w, b);
        let source = x.contiguous().made()?;
        let source = source.as_slice().unwrap_or_default();
        Ok(forward(source, x.shape(), self.how.at, &self.statistics(source)?, affine))
    }

    fn keeps(&self, _: u32) -> u32 {
        // The bias is not read.
        0b11
    }

    fn check(&self, x: &[&Tensor<T>], _: &Shape) -> Checked<()> {
        let (first, affine) = x.split_first().ok_or("takes a tensor")?;
        let n = self.parts().numel();
        let each = if self.how.by_place { self.how.at.inner } else { self.how.at.groups };
        if n != first.numel() || affine.len() > 2 || affine.iter().any(|t| t.numel() != each) {
            return Err(format!(
                "groups {} don't fit {} and what it is scaled by",
                self.parts(),
                first.shape()
            ));
        }
        Ok(())
    }

    fn backward<'t>(&self, step: &mut Step<'_, 't, T>) {
        let tape = step.tape();
        if step.graph() && self.of_all.is_some() {
            let why = "statistics of several tapes can't be differentiated twice";
            return step.fail(Error::op(Rule::<T>::name(self), why, None));
        }
        if step.graph() {
            return self.recorded(step);
        }
        let (x, g) = (step.input(0), step.take_grad());
        let weight = (step.inputs() > 1).then(|| step.input(1));
        let (weight, peers) = (weight.as_ref().map(|w| w.tensor()), tape.peers());
        let all = match self.slopes(x.tensor(), g.tensor(), weight, peers.as_deref()) {
            Ok(all) => all,
            Err(why) => return step.fail(Error::op(Rule::<T>::name(self), why, None)),
        };
        step.give(0, tape.constant(all.x));
        for (input, grad) in [(1, all.weight), (2, all.bias)] {
            if let Some(grad) = grad.filter(|_| step.wants(input)) {
                let own = step.input_shape(input);
                step.give(input, tape.constant(grad.reshaped(&own)));
            }
        }
    }
}
