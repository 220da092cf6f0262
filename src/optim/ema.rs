//! The moving average of a model's weights.
use crate::{
    error::{Error, Result},
    nn::{Param, named_params, visit_params},
    tape::Float,
    tensor::Tensor,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An exponential moving average of the weights (Polyak and Juditsky, 1992), `a = decay·a + (1 - decay)·w`, that starts
/// at the weights of the first update. It is often the better model, and is kept by the names of the parameters.
///
/// ```
/// use kolmo::{Tensor, nn::Param, optim::Ema};
/// let p = Param::new(Tensor::from([1.0f32]));
/// let mut ema: Ema = Ema::new(0.75);
/// ema.update(&p)?;
/// p.set([5.0]);
/// ema.update(&p)?;
/// ema.swap(&p)?; // evaluate with the average
/// assert_eq!(p.value().item()?, 2.0);
/// ema.swap(&p)?; // and go on training
/// assert_eq!(p.value().item()?, 5.0);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct Ema<T: Float = f32> {
    #[serde(with = "crate::numbers")]
    decay: f64,
    average: BTreeMap<String, Tensor<T>>,
}

impl<T: Float> Ema<T> {
    /// No average yet; `decay` is what an update keeps of it, from 0 to 1, such as 0.999.
    pub fn new(decay: f64) -> Self {
        Ema { decay, average: BTreeMap::new() }
    }

    /// Takes the weights as they are into the average.
    pub fn update<M: Serialize + ?Sized>(&mut self, model: &M) -> Result<()> {
        if !(0.0..=1.0).contains(&self.decay) {
            return Err(Error::invalid("Ema", format!("decay is {}, expected 0 to 1", self.decay)));
        }
        self.check(model)?;
        let rest = T::from_f64(1.0 - self.decay);
        visit_params(model, |path, p: &Param<T>| {
            let value = p.value();
            let average = self.average.entry(path.to_string()).or_insert_with(|| value.clone());
            let weights = value.contiguous();
            for (a, &w) in average.as_mut_slice().iter_mut().zip(weights.as_slice().unwrap_or_default()) {
                *a = *a + rest * (w - *a);
            }
        });
        Ok(())
    }

    /// Exchanges the model's weights with the average; a second call brings them back.
    pub fn swap<M: Serialize + ?Sized>(&mut self, model: &M) -> Result<()> {
        self.check(model)?;
        visit_params(model, |path, p: &Param<T>| {
            if let Some(average) = self.average.get_mut(&path.to_string()) {
                p.update(|value| std::mem::swap(value, average));
            }
        });
        Ok(())
    }

    /// Whether the parameters have the shapes of their averages.
    fn check<M: Serialize + ?Sized>(&self, model: &M) -> Result<()> {
        for (name, p) in named_params::<T, _>(model) {
            if let Some(average) = self.average.get(&name).filter(|a| *a.shape() != p.shape()) {
                let message = format!("{name} has shape {}, its average {}", p.shape(), average.shape());
                return Err(Error::invalid("Ema", message));
            }
        }
        Ok(())
    }
}
