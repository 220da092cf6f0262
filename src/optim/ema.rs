//! The moving average of a model's weights.
use crate::{
    checked::{Check, checked, probability},
    error::{Checked, Error, Result},
    ops::Float,
    param::{Param, inventory, named_params, shown, visit_params},
    tensor::Tensor,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// An exponential moving average of the weights (Polyak and Juditsky, 1992), `a = decay·a + (1 - decay)·w`,
/// that starts at the weights of the first update. It is often the better model, and is kept by the names of
/// the parameters.
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
#[derive(Clone, Debug, Serialize)]
#[must_use]
#[doc(alias("AveragedModel", "EMA"))]
pub struct Ema<T: Float = f32> {
    #[serde(with = "crate::numbers")]
    decay: f64,
    average: BTreeMap<String, Tensor<T>>,
}

checked!(Ema<T> {
    #[serde(with = "crate::numbers")]
    decay: f64,
    average: BTreeMap<String, Tensor<T>>,
});

impl<T: Float> Check for Ema<T> {
    fn check(&self) -> Checked<()> {
        probability("decay", self.decay)
    }
}

impl<T: Float> Ema<T> {
    /// No average yet; `decay` is what an update keeps of it, from 0 to 1, such as 0.999.
    pub fn new(decay: f64) -> Self {
        Ema { decay, average: BTreeMap::new() }
    }

    /// Takes the weights as they are into the average.
    pub fn update<M: Serialize + ?Sized>(&mut self, model: &M) -> Result<()> {
        self.check().map_err(|message| Error::invalid("Ema", message))?;
        self.fits(model)?;
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
        self.fits(model)?;
        let unknown = |(name, _): &(String, Param<T>)| !self.average.contains_key(name);
        if let Some((name, _)) = named_params::<T>(model).iter().find(|p| unknown(p)) {
            let message = format!("there is no average of {} yet: update comes first", shown(name));
            return Err(Error::invalid("Ema", message));
        }
        visit_params(model, |path, p: &Param<T>| {
            if let Some(average) = self.average.get_mut(&path.to_string()) {
                p.update(|value| std::mem::swap(value, average));
            }
        });
        Ok(())
    }

    /// Whether there are parameters, and those that have an average are of its shape.
    fn fits<M: Serialize + ?Sized>(&self, model: &M) -> Result<()> {
        let params = named_params::<T>(model);
        if params.is_empty() {
            let message = format!("there are no parameters of {} to average: {}", T::NAME, inventory(model));
            return Err(Error::invalid("Ema", message));
        }
        if !self.average.is_empty() && !params.iter().any(|(name, _)| self.average.contains_key(name)) {
            let known: Vec<&str> = self.average.keys().map(|name| shown(name)).collect();
            let message = format!("the averages are of {}: {}", known.join(", "), inventory(model));
            return Err(Error::invalid("Ema", message));
        }
        for (name, p) in params {
            if let Some(average) = self.average.get(&name).filter(|a| *a.shape() != p.shape()) {
                let message =
                    format!("{} has shape {}, its average {}", shown(&name), p.shape(), average.shape());
                return Err(Error::invalid("Ema", message));
            }
        }
        Ok(())
    }
}
