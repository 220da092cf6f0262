//! What a file holds, run as it is stored: each linear layer in the form that suits its weights.
use super::{Artifact, Entry, EntryData, Int8Linear, SparseLinear};
use crate::{
    error::{Error, Result},
    nn::{Layer, Linear, Param},
    tape::Tape,
    tensor::Tensor,
};

/// Up to this share of weights that aren't zero, leaving out zeros is the fastest.
const SPARSE: f64 = 0.25;

/// A linear layer of an artifact.
///
/// ```
/// use kolmo::{Random, Tensor, compress::{CompactLinear, matrices, pack, prune::{self, Amount}}, nn::{Linear, Sequential}};
/// let net = Sequential((Linear::<f32>::new(64, 32, &mut Random::new(0)),));
/// prune::global(&net, Amount::Density(0.1), matrices)?;
/// let layer = CompactLinear::of(&pack(&net, &[])?, "0")?;
/// assert!(matches!(layer, CompactLinear::Sparse(_)));
/// assert_eq!(layer.forward(&Tensor::ones([1, 64]))?.shape()[..], [1, 32]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug)]
pub enum CompactLinear {
    /// A quarter of the weights or less isn't zero.
    Sparse(SparseLinear),
    /// Whole numbers of up to eight bits, with a step size for each output or one for all.
    Int8(Int8Linear),
    /// Anything else.
    Dense(Linear),
}

impl CompactLinear {
    /// The layer whose weight and bias are `<name>.weight` and `<name>.bias` in the artifact. It computes with the weights that
    /// are stored; [`Int8Linear`] rounds its inputs.
    ///
    /// # Errors
    /// No such weight, or not a matrix; a bias of another length.
    pub fn of(artifact: &Artifact, name: &str) -> Result<CompactLinear> {
        let find = |part: &str| {
            let name = if name.is_empty() { part.to_string() } else { format!("{name}.{part}") };
            artifact.entries.iter().find(|entry| entry.name == name)
        };
        let fail = |message: String| Err(Error::invalid("CompactLinear", message));
        let Some(weight) = find("weight") else { return fail(format!("there is no weight of {name:?}")) };
        let [outputs, inputs] = weight.shape[..] else {
            return fail(format!("{} has shape {:?}, not [outputs, inputs]", weight.name, weight.shape));
        };
        let bias = find("bias").map_or_else(|| vec![0.0; outputs], Entry::to_dense);
        let values = weight.to_dense();
        if bias.len() != outputs || values.len() != outputs * inputs {
            let message = format!("{} weights and {} biases in {:?}", values.len(), bias.len(), weight.shape);
            return fail(format!("{name}: {message}"));
        }
        let full = values.iter().filter(|&&v| v != 0.0).count();
        let tensor = Tensor::new([outputs, inputs], values)?;
        if full as f64 <= SPARSE * tensor.numel() as f64 {
            return SparseLinear::new(&tensor, bias).map(CompactLinear::Sparse);
        }
        if let Some((codes, scales)) = whole(weight, outputs, inputs) {
            return Int8Linear::new(inputs, codes, scales, bias).map(CompactLinear::Int8);
        }
        let bias = Some(Param::new(Tensor::from(bias)));
        Ok(CompactLinear::Dense(Linear { weight: Param::new(tensor), bias }))
    }

    /// `[n, inputs] -> [n, outputs]`
    ///
    /// # Errors
    /// Another shape.
    pub fn forward(&self, x: &Tensor<f32>) -> Result<Tensor<f32>> {
        match self {
            CompactLinear::Sparse(layer) => layer.forward(x),
            CompactLinear::Int8(layer) => layer.forward(x),
            CompactLinear::Dense(layer) => {
                let tape = Tape::inference();
                Ok(layer.forward(&tape.constant(x)).value()?.clone())
            }
        }
    }
}

/// The codes of a weight and a step size for each output, if that's what is stored.
fn whole(weight: &Entry, outputs: usize, inputs: usize) -> Option<(Vec<i8>, Vec<f32>)> {
    let EntryData::Scaled { weights, group, scales, scale_bits } = &weight.data else { return None };
    let scale = |i: usize| scales.get(i).map_or(0.0, |&s| super::format::stored(s, *scale_bits));
    let each = match *group {
        0 => vec![scale(0); outputs],
        group if group >= inputs => (0..outputs).map(scale).collect(),
        _ => return None,
    };
    let numbers = weights.unscaled();
    let fits = |v: &f32| v.fract() == 0.0 && v.abs() < 128.0;
    numbers.iter().all(fits).then(|| (numbers.iter().map(|&v| v as i8).collect(), each))
}

/// The linear layers of an artifact one after the other, ReLU between them.
///
/// ```
/// use kolmo::{Random, Tensor, compress::{Compact, pack}, nn::{Linear, Relu, Sequential}};
/// let rng = &mut Random::new(0);
/// let net = Sequential((Linear::<f32>::new(4, 8, rng), Relu, Linear::<f32>::new(8, 3, rng)));
/// let compact = Compact::of(&pack(&net, &[])?)?;
/// assert_eq!(compact.forward(&Tensor::ones([2, 4]))?.shape()[..], [2, 3]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Compact {
    /// The layers, in the order in which the artifact has their weights.
    pub layers: Vec<CompactLinear>,
}

impl Compact {
    /// All layers of an artifact that has nothing but linear ones.
    ///
    /// # Errors
    /// As [`CompactLinear::of`]; an entry that is no weight or bias of a linear layer.
    pub fn of(artifact: &Artifact) -> Result<Compact> {
        let stem = |entry: &Entry| -> Option<String> {
            let (stem, part) = entry.name.rsplit_once('.').unwrap_or(("", &entry.name));
            let known = matches!((part, entry.shape.len()), ("weight", 2) | ("bias", 1));
            known.then(|| stem.to_string())
        };
        let mut names: Vec<String> = Vec::new();
        for entry in &artifact.entries {
            let Some(name) = stem(entry) else {
                let message = format!("{} {:?} is of no linear layer", entry.name, entry.shape);
                return Err(Error::invalid("Compact", message));
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let layers = names.iter().map(|name| CompactLinear::of(artifact, name)).collect::<Result<_>>()?;
        Ok(Compact { layers })
    }

    /// `[n, inputs] -> [n, outputs]`
    ///
    /// # Errors
    /// Another shape, or layers that don't follow each other.
    pub fn forward(&self, x: &Tensor<f32>) -> Result<Tensor<f32>> {
        let mut x = x.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            if i > 0 {
                x.as_mut_slice().iter_mut().for_each(|v| *v = v.max(0.0));
            }
            x = layer.forward(&x)?;
        }
        Ok(x)
    }
}
