//! The weights of a model as it uses them, under the names that they have in it.
use crate::{
    error::Result,
    ids::ParamId,
    param::{Param, named_params},
    tensor::Tensor,
};
use serde::Serialize;
use std::collections::HashMap;

/// A parameter as a model uses it.
pub(super) struct Weight {
    pub name: String,
    pub param: Param<f32>,
    pub used: Tensor<f32>,
    /// The value of the graph that it is.
    pub value: Option<String>,
}

/// The parameters of a model.
pub(super) struct Weights {
    pub all: Vec<Weight>,
    /// By their own ids and those of their centroids and step sizes.
    places: HashMap<ParamId, usize>,
    /// Constants that were worked out of them.
    pub folded: Vec<(Tensor<f32>, String)>,
}

impl Weights {
    pub fn of(model: &(impl Serialize + ?Sized)) -> Result<Weights> {
        let (mut all, mut places) = (Vec::new(), HashMap::new());
        for (name, param) in named_params::<f32>(model) {
            let place = all.len();
            places.entry(param.id()).or_insert(place);
            for part in [param.codebook().map(|(_, values)| values.id()), param.steps().map(|s| s.sizes.id())]
            {
                part.map(|id| places.entry(id).or_insert(place));
            }
            let used = param.effective()?;
            all.push(Weight { name, param, used, value: None });
        }
        Ok(Weights { all, places, folded: Vec::new() })
    }

    pub fn place(&self, id: ParamId) -> Option<usize> {
        self.places.get(&id).copied()
    }
}

/// Whether both have the same elements, bit by bit.
pub(super) fn same(a: &Tensor<f32>, b: &Tensor<f32>) -> bool {
    let views = a.shares_data(b) && a.strides() == b.strides() && a.layout().offset == b.layout().offset;
    let bits = |t: &Tensor<f32>| t.to_vec().into_iter().map(f32::to_bits).collect::<Vec<_>>();
    a.shape() == b.shape() && (views || bits(a) == bits(b))
}
