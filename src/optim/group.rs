//! Parameters that an optimiser treats otherwise than the rest of the model's.
use crate::tensor::Shape;
use std::{fmt, sync::Arc};

type Filter = dyn Fn(&str, &Shape) -> bool + Send + Sync;

/// Some parameters of a model, by name and shape, with another learning rate or weight decay than the others.
///
/// ```
/// use kolmo::{nn::filter::biases, optim::{AdamW, Group}};
/// let adam: AdamW = AdamW::new(1e-3).group(Group::new(biases).weight_decay(0.0));
/// ```
#[derive(Clone)]
#[must_use = "a group does nothing until an optimiser has it"]
#[doc(alias = "param_groups")]
pub struct Group {
    pub(super) filter: Arc<Filter>,
    pub(super) lr_factor: f64,
    pub(super) weight_decay: Option<f64>,
}

impl Group {
    /// The parameters that `filter` picks by dotted name and shape; [`nn::filter`](crate::nn::filter) has some.
    pub fn new(filter: impl Fn(&str, &Shape) -> bool + Send + Sync + 'static) -> Group {
        Group { filter: Arc::new(filter), lr_factor: 1.0, weight_decay: None }
    }

    /// Their learning rate is the optimiser's times this factor, under schedules too (default 1).
    pub fn lr_factor(self, lr_factor: f64) -> Group {
        Group { lr_factor, ..self }
    }

    /// Their weight decay (default: the optimiser's).
    pub fn weight_decay(self, weight_decay: f64) -> Group {
        Group { weight_decay: Some(weight_decay), ..self }
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group {{ lr_factor: {}, weight_decay: {:?} }}", self.lr_factor, self.weight_decay)
    }
}
