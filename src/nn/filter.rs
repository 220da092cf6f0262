//! Filters that pick parameters of a model by dotted name and shape, for what prunes, quantises, penalises or
//! groups them. Any function `(&str, &Shape) -> bool` is one.
//!
//! ```
//! use kolmo::{Random, nn::{Linear, filter}, optim::{AdamW, Group}, compress::prune::{self, Amount}};
//! let net = [Linear::new(8, 8, &mut Random::new(0)), Linear::new(8, 2, &mut Random::new(1))];
//! prune::global(&net, Amount::Density(0.5), filter::matrices)?;
//! prune::global(&net, Amount::Density(0.1), |name, shape| name.starts_with("1.") && shape.rank() == 2)?;
//! let adam: AdamW = AdamW::new(1e-3).group(Group::new(filter::names_containing("bias")).weight_decay(0.0));
//! # drop(adam);
//! # Ok::<(), kolmo::Error>(())
//! ```
use crate::tensor::Shape;

/// Every parameter.
pub fn all_params(_name: &str, _shape: &Shape) -> bool {
    true
}

/// The usual choice of what is pruned and quantised: weights of two axes or more, not biases and gains.
///
/// ```
/// use kolmo::{nn::filter::matrices, tensor::Shape};
/// assert!(matrices("fc.weight", &Shape::new(&[10, 20])) && !matrices("fc.bias", &Shape::new(&[10])));
/// ```
pub fn matrices(_name: &str, shape: &Shape) -> bool {
    shape.rank() >= 2
}

/// Parameters whose names end in a `bias`: `fc.bias`, `in_proj_bias`, `gru.bias_ih_l0`.
///
/// ```
/// use kolmo::{nn::filter::biases, tensor::Shape};
/// let shape = Shape::new(&[10]);
/// assert!(biases("gru.bias_ih_l0", &shape) && !biases("norm.weight", &shape) && !biases("bias.weight", &shape));
/// ```
pub fn biases(name: &str, _shape: &Shape) -> bool {
    let last = name.rsplit_once('.').map_or(name, |(_, last)| last);
    last.split('_').any(|word| word == "bias")
}

/// Parameters with this in their dotted names: `names_containing("decoder.")`.
pub fn names_containing(part: impl Into<String>) -> impl Fn(&str, &Shape) -> bool + Clone + Send + Sync {
    let part = part.into();
    move |name, _| name.contains(&part)
}
