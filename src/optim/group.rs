//! Parameters that an optimiser treats otherwise than the rest of the model's.
use std::{fmt, sync::Arc};

/// Some parameters of a model, by name, with another learning rate or weight decay than the others.
///
/// ```
/// use kolmo::optim::{AdamW, Group};
/// let adam: AdamW = AdamW::new(1e-3).group(Group::new(|name| name.ends_with("bias")).weight_decay(0.0));
/// ```
#[derive(Clone)]
#[must_use = "a group does nothing until an optimiser has it"]
#[doc(alias = "param_groups")]
pub struct Group {
    pub(super) takes: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    pub(super) lr_factor: f64,
    pub(super) weight_decay: Option<f64>,
}

impl Group {
    /// The parameters whose dotted names `takes` says yes to.
    pub fn new(takes: impl Fn(&str) -> bool + Send + Sync + 'static) -> Group {
        Group { takes: Arc::new(takes), lr_factor: 1.0, weight_decay: None }
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
