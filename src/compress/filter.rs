//! Which parameters of a model are worked on: the walk that asks filters by name and shape.
use crate::{
    error::{Error, Result},
    param::inventory,
};
use serde::Serialize;

/// That something was found to be worked on: a filter that picks nothing is a slip.
pub(super) fn picks_some<M: Serialize + ?Sized>(what: &'static str, model: &M, found: usize) -> Result<()> {
    match found {
        0 => Err(Error::invalid(what, format!("the filter picks no parameter: {}", inventory(model)))),
        _ => Ok(()),
    }
}

/// Runs the body for each parameter that is a field of the model, those of `f32` first, then those of `f64`.
macro_rules! each_field {
    ($model:expr, |$name:ident, $p:ident| $body:expr) => {{
        crate::param::visit_fields($model, |path, $p: &crate::nn::Param<f32>| {
            let $name = path.to_string();
            $body
        });
        crate::param::visit_fields($model, |path, $p: &crate::nn::Param<f64>| {
            let $name = path.to_string();
            $body
        });
    }};
}
pub(super) use each_field;
