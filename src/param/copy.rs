//! A copy of a model with parameters of its own.
use super::{
    handle::{Form, Param, Steps},
    serial::{AnyParam, by_number, numbered},
};
use crate::{
    error::{Error, Result},
    ids::IdMap,
    numbers,
    ops::Float,
};
use serde::{Serialize, de::DeserializeOwned};

/// A copy of a model whose parameters are its own: a target network, a teacher that stays as it is while the
/// student is trained, an average. `clone()` of a model shares its parameters instead, as a second handle to
/// the same weights.
///
/// What was tied in the model is tied in the copy: one parameter in two places, a codebook that two
/// parameters share. Masks, codebooks, step sizes, what is frozen, and [own operations](Param::parametrize)
/// are copied; everything else goes through serde, and fields that serde skips are what they are by default.
///
/// ```
/// use kolmo::{Random, Tensor, nn::{Linear, deep_copy}};
/// let online = Linear::new(3, 2, &mut Random::new(0));
/// let target = deep_copy(&online)?;
/// online.weight.set(Tensor::zeros([2, 3]));
/// assert_ne!(target.weight.value(), online.weight.value());
/// # Ok::<(), kolmo::Error>(())
/// ```
///
/// # Errors
/// The model's own `Serialize` or `Deserialize` fails.
#[doc(alias = "deepcopy")]
pub fn deep_copy<M: Serialize + DeserializeOwned>(model: &M) -> Result<M> {
    let (rest, originals) = numbered(|| numbers::to_json(model));
    let wrong = |e: serde_json::Error| Error::invalid("deep_copy", e.to_string());
    let rest = rest.map_err(wrong)?;
    let (mut singles, mut doubles) = (Copies::<f32>::default(), Copies::<f64>::default());
    let copies = originals.into_iter().map(|any| singles.of_any(any).or_else(|any| doubles.of_any(any)));
    let copies = copies.map(|copy| copy.unwrap_or_else(|any| any)).collect();
    by_number(copies, || numbers::from_json(&rest)).map_err(wrong)
}

/// The copies made so far, by the originals' ids.
struct Copies<T: Float>(IdMap<Param<T>>);

impl<T: Float> Default for Copies<T> {
    fn default() -> Self {
        Copies(IdMap::default())
    }
}

impl<T: Float> Copies<T> {
    /// The copy of a parameter, if its floats are these.
    fn of_any(&mut self, any: AnyParam) -> Result<AnyParam, AnyParam> {
        match Param::<T>::from_any(any.clone()) {
            Some(original) => Ok(self.of(&original).any()),
            None => Err(any),
        }
    }

    fn of(&mut self, original: &Param<T>) -> Param<T> {
        if let Some(copy) = self.0.get(&original.id()) {
            return copy.clone();
        }
        let mut state = original.state();
        let mut own = |steps: &mut Steps<T>| steps.sizes = self.of(&steps.sizes);
        match &mut state.form {
            Form::Dense => {}
            Form::Codes(steps) => own(steps),
            Form::Codebook { centroids, steps, .. } => {
                steps.iter_mut().for_each(own);
                *centroids = self.of(centroids);
            }
        }
        let copy = Param::of_state(state);
        original.own_operations().into_iter().for_each(|by| copy.add_operation(by));
        self.0.insert(original.id(), copy.clone());
        copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;
    use serde::Deserialize;

    #[derive(Serialize, Deserialize)]
    struct Tied {
        a: Param,
        also_a: Param,
        b: Param<f64>,
        rate: f64,
    }

    #[test]
    fn a_copy_shares_nothing_but_what_is_tied_within_it() -> Result<()> {
        let (a, centroids) = (Param::new(Tensor::from([1.0f32, 2.0])), Param::new(Tensor::from([0.5f64])));
        let b = Param::new(Tensor::from([3.0f64]));
        b.set_codebook(Tensor::from([0u32]), centroids.clone())?;
        b.set_trainable(false);
        let model = Tied { also_a: a.clone(), a, b, rate: f64::NAN };
        let copy = deep_copy(&model)?;
        model.a.set([9.0, 9.0]);
        centroids.set([9.0]);
        assert_eq!(copy.a.value().to_vec(), [1.0, 2.0]);
        assert_eq!((copy.a.id(), copy.b.is_trainable()), (copy.also_a.id(), false));
        assert_eq!(copy.b.effective()?.to_vec(), [0.5]);
        assert!(copy.rate.is_nan() && copy.a.id() != model.a.id());
        Ok(())
    }
}
