//! Going back to weights of before.
use crate::{
    error::{Error, Result},
    ops::Float,
    param::{Param, inventory, shown, visit_params},
    tensor::Tensor,
};
use serde::Serialize;
use std::collections::BTreeMap;

/// The weights of a model at one time, to go back to: a lottery ticket is a pruned network with the weights
/// that it started with (Frankle and Carbin, 2019).
///
/// ```
/// use kolmo::{Tensor, compress::{all_params, prune::{self, Amount}, scores::Snapshot}, nn::Param};
/// let w = Param::new(Tensor::from([1.0f32, 2.0]));
/// let start: Snapshot = Snapshot::new(&w);
/// w.set([5.0, 4.0]); // trained
/// prune::global(&w, Amount::Count(1), all_params)?;
/// start.restore(&w)?; // the mask stays
/// assert_eq!(w.effective()?.to_vec(), [1.0, 0.0]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Snapshot<T: Float = f32>(BTreeMap<String, Tensor<T>>);

impl<T: Float> Snapshot<T> {
    /// The weights as they are now.
    pub fn new<M: Serialize + ?Sized>(model: &M) -> Snapshot<T> {
        let mut values = BTreeMap::new();
        visit_params(model, |path, p: &Param<T>| {
            values.insert(path.to_string(), p.value());
        });
        Snapshot(values)
    }

    /// Sets the weights back to what they were. Masks stay as they are.
    ///
    /// # Errors
    /// A parameter that the snapshot doesn't have in this shape; nothing has changed then.
    pub fn restore<M: Serialize + ?Sized>(&self, model: &M) -> Result<()> {
        let (mut jobs, mut wrong) = (Vec::new(), None);
        visit_params(model, |path, p: &Param<T>| match self.0.get(&path.to_string()) {
            Some(value) if *value.shape() == p.shape() => jobs.push((p.clone(), value.clone())),
            _ => {
                let message =
                    format!("there is no {} of shape {} in it", shown(&path.to_string()), p.shape());
                wrong = wrong.take().or(Some(message));
            }
        });
        match wrong {
            Some(message) => Err(Error::invalid("Snapshot", message)),
            None if jobs.is_empty() => {
                let message = format!("there are no parameters of {}: {}", T::NAME, inventory(model));
                Err(Error::invalid("Snapshot", message))
            }
            None => {
                jobs.into_iter().for_each(|(p, value)| p.set(value));
                Ok(())
            }
        }
    }
}
