//! Gradients in numbers, for each parameter of a model: how large, how many zeros, which of them vanish or
//! explode.
use super::{
    origin::layer_of,
    table::{Table, count, percent, short},
};
use crate::{
    ops::Float,
    param::{Param, visit_params},
    real::Arithmetic,
    tape::Gradients,
};
use serde::Serialize;
use std::fmt;

/// Gradients of a model in numbers; see [`Gradients::statistics`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[must_use = "a report is made to be read"]
#[non_exhaustive]
pub struct GradientStatistics {
    /// In the order of the model's fields. Codebooks stand for the parameters that they make.
    pub parameters: Vec<ParameterGradient>,
    /// A root mean square below this part of the model's largest is called vanishing.
    #[serde(with = "crate::numbers")]
    pub vanishing: f64,
    /// A norm above this is called exploding.
    #[serde(with = "crate::numbers")]
    pub exploding: f64,
}

/// The gradient of one parameter in numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ParameterGradient {
    /// The parameter's dotted name.
    pub name: String,
    /// Its number of elements.
    pub numel: usize,
    /// Whether there is a gradient at all.
    pub used: bool,
    /// Whether the parameter is trained.
    pub trainable: bool,
    /// The 2-norm of the finite elements.
    #[serde(with = "crate::numbers")]
    pub norm: f64,
    /// The largest magnitude among the finite elements.
    #[serde(with = "crate::numbers")]
    pub max: f64,
    /// The 2-norm of the parameter itself.
    #[serde(with = "crate::numbers")]
    pub weight_norm: f64,
    /// Elements that are exactly zero.
    pub zeros: usize,
    /// Elements that are NaN or infinite.
    pub not_finite: usize,
}

/// What is wrong with a gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub enum GradientFlag {
    /// The result doesn't depend on the parameter.
    Unused,
    /// It has NaN or infinities.
    NotFinite,
    /// It is large.
    Exploding,
    /// It is small beside those of other parameters, or all zero.
    Vanishing,
}

impl<T: Float> Gradients<T> {
    /// Norm, maximum, share of zeros and the number of NaN for each parameter of a model, and which gradients
    /// vanish or explode.
    ///
    /// ```
    /// use kolmo::{Random, Tape, Tensor, inspect::GradientFlag, nn::{Layer, Linear, Sequential, Sigmoid}};
    /// let rng = &mut Random::new(0);
    /// let blocks: Vec<_> = (0..12).map(|_| Sequential((Linear::new(8, 8, rng), Sigmoid))).collect();
    /// let net = Sequential((blocks, Linear::new(8, 1, rng)));
    /// let tape = Tape::new();
    /// let grads = net.forward(&tape.constant(Tensor::ones([4, 8]))).mean().backward()?;
    /// let statistics = grads.statistics(&net);
    /// println!("{statistics}");
    /// assert_eq!(statistics.flag(0), Some(GradientFlag::Vanishing)); // a slope of at most 1/4, twelve times
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn statistics<M: Serialize + ?Sized>(&self, model: &M) -> GradientStatistics {
        let mut parameters = Vec::new();
        visit_params(model, |path, p: &Param<T>| {
            if p.codebook().is_some() {
                return;
            }
            let norm = |v: &[T]| {
                v.iter().map(|v| Arithmetic::square(v.to_f64())).filter(|s| s.is_finite()).sum::<f64>().sqrt()
            };
            let grad = self.param(p).map(|g| g.to_vec()).unwrap_or_default();
            let size = |v: &T| v.to_f64().abs();
            parameters.push(ParameterGradient {
                name: path.to_string(),
                numel: p.shape().numel(),
                used: self.param(p).is_some(),
                trainable: p.is_trainable(),
                norm: norm(&grad),
                max: grad.iter().map(size).filter(|v| v.is_finite()).fold(0.0, f64::max),
                weight_norm: norm(&p.value().to_vec()),
                zeros: grad.iter().filter(|v| size(v) == 0.0).count(),
                not_finite: grad.iter().filter(|v| !size(v).is_finite()).count(),
            });
        });
        GradientStatistics { parameters, vanishing: 1e-4, exploding: 1e3 }
    }
}

impl ParameterGradient {
    /// The root mean square of the elements.
    pub fn rms(&self) -> f64 {
        self.norm / (self.numel.max(1) as f64).sqrt()
    }
}

impl GradientStatistics {
    /// Another measure of what is vanishing (default 10⁻⁴ of the model's largest root mean square) and
    /// exploding (default a norm above 1,000).
    pub fn thresholds(self, vanishing: f64, exploding: f64) -> GradientStatistics {
        GradientStatistics { vanishing, exploding, ..self }
    }

    /// What is wrong with the i-th parameter's gradient; `None` if nothing is, or if it is frozen.
    pub fn flag(&self, i: usize) -> Option<GradientFlag> {
        let p = self.parameters.get(i).filter(|p| p.trainable)?;
        let largest = self.parameters.iter().map(ParameterGradient::rms).fold(0.0, f64::max);
        match p {
            p if !p.used => Some(GradientFlag::Unused),
            p if p.not_finite > 0 => Some(GradientFlag::NotFinite),
            p if p.norm > self.exploding => Some(GradientFlag::Exploding),
            p if p.rms() < self.vanishing * largest || p.norm == 0.0 => Some(GradientFlag::Vanishing),
            _ => None,
        }
    }

    /// The norm of each layer's gradients together, in the order of the model's fields.
    pub fn layers(&self) -> Vec<(String, f64)> {
        let mut layers: Vec<(String, f64)> = Vec::new();
        for p in &self.parameters {
            let name = layer_of(&p.name);
            match layers.iter_mut().find(|(layer, _)| layer == name) {
                Some((_, norm)) => *norm = Arithmetic::hypot(*norm, p.norm),
                None => layers.push((name.into(), p.norm)),
            }
        }
        layers
    }

    /// The norm of all gradients together.
    pub fn norm(&self) -> f64 {
        self.parameters.iter().map(|p| p.norm).fold(0.0, <f64 as Arithmetic>::hypot)
    }
}

impl fmt::Display for GradientStatistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head =
            ["gradient of", ">norm", ">rms", ">largest", ">zeros", ">norm / weight's", ">NaN, inf", "flag"];
        let mut table = Table::new(&head);
        for (i, p) in self.parameters.iter().enumerate() {
            if !p.trainable {
                table.row([p.name.clone(), "frozen".into()]);
                continue;
            }
            let flag = match self.flag(i) {
                Some(GradientFlag::Unused) => "unused",
                Some(GradientFlag::NotFinite) => "not finite",
                Some(GradientFlag::Exploding) => "exploding",
                Some(GradientFlag::Vanishing) => "vanishing",
                None => "",
            };
            let ratio = if p.weight_norm > 0.0 { short(p.norm / p.weight_norm) } else { "–".into() };
            let zeros = percent(p.zeros as f64, p.numel as f64);
            let bad = if p.not_finite > 0 { count(p.not_finite) } else { String::new() };
            let sizes = [p.norm, p.rms(), p.max].map(short);
            let [norm, rms, max] = if p.used { sizes } else { [const { String::new() }; 3] };
            table.row([p.name.clone(), norm, rms, max, zeros, ratio, bad, flag.into()]);
        }
        writeln!(f, "{table}\nnorm of all: {}", short(self.norm()))
    }
}
