//! What a file holds, run as it is stored: each linear layer in the form that suits its weights.
use super::{Artifact, Entry, EntryData, Int8Linear, SparseLinear};
use crate::{
    error::{Error, Result},
    nn::{Layer, Linear},
    param::Param,
    tape::{Tape, Var},
    tensor::Tensor,
};

/// Up to this share of weights that aren't zero, leaving out zeros is the fastest.
const SPARSE: f64 = 0.25;

/// A linear layer of an artifact.
///
/// ```
/// use kolmo::{Random, Tensor, compress::{CompactLinear, matrices, pack, prune::{self, Amount}}, nn::{Linear, Sequential}};
/// let net = Sequential((Linear::new(64, 32, &mut Random::new(0)),));
/// prune::global(&net, Amount::Density(0.1), matrices)?;
/// let layer = CompactLinear::from_artifact(&pack(&net, &[])?, "0")?;
/// assert!(matches!(layer, CompactLinear::Sparse(_)));
/// assert_eq!(layer.forward(&Tensor::ones([1, 64]))?.shape()[..], [1, 32]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CompactLinear {
    /// A quarter of the weights or less isn't zero.
    Sparse(SparseLinear),
    /// Whole numbers of up to eight bits, with a step size for each output or one for all.
    Int8(Int8Linear),
    /// Anything else.
    Dense(Linear),
}

impl CompactLinear {
    /// The layer whose weight and bias are `<name>.weight` and `<name>.bias` in the artifact. It computes
    /// with the weights that are stored; [`Int8Linear`] rounds its inputs.
    ///
    /// # Errors
    /// No such weight, or not a matrix; a bias of another length.
    pub fn from_artifact(artifact: &Artifact, name: &str) -> Result<CompactLinear> {
        let find = |part: &str| {
            let name = if name.is_empty() { part.to_string() } else { format!("{name}.{part}") };
            artifact.entries.iter().find(|entry| entry.name == name)
        };
        let fail = |message: String| Err(Error::invalid("CompactLinear", message));
        let Some(weight) = find("weight") else { return fail(format!("there is no weight of {name:?}")) };
        let [outputs, inputs] = weight.shape[..] else {
            return fail(format!("{} has shape {:?}, not [outputs, inputs]", weight.name, weight.shape));
        };
        let values = weight.to_dense();
        if values.is_empty() {
            return fail(format!("{} has shape {:?}: a layer without weights", weight.name, weight.shape));
        }
        let bias = find("bias").map_or_else(|| vec![0.0; outputs], Entry::to_dense);
        if bias.len() != outputs || values.len() != outputs.saturating_mul(inputs) {
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

/// A function between layers, on numbers that no tape records.
type Activation = for<'t> fn(&Var<'t>) -> Var<'t>;

/// The layers that a [`Compact`] knows besides linear ones, by the names of their types. Dropout does nothing
/// outside of training.
const ACTIVATIONS: [(&str, Activation); 17] = [
    ("Relu", |x| x.relu()),
    ("Tanh", |x| x.tanh()),
    ("Sigmoid", |x| x.sigmoid()),
    ("Silu", |x| x.silu()),
    ("Gelu", |x| x.gelu()),
    ("GeluTanh", |x| x.gelu_tanh()),
    ("Relu6", |x| x.relu6()),
    ("Selu", |x| x.selu()),
    ("Softsign", |x| x.softsign()),
    ("Hardsigmoid", |x| x.hardsigmoid()),
    ("Hardswish", |x| x.hardswish()),
    ("Mish", |x| x.mish()),
    ("LogSigmoid", |x| x.logsigmoid()),
    ("Tanhshrink", |x| x.tanhshrink()),
    ("Identity", |x| x.clone()),
    ("Dropout", |x| x.clone()),
    ("Flatten", |x| x.flatten(1, -1)),
];

/// The text by which an artifact tells the layers of its model.
pub(super) const LAYERS: &str = "layers";
const LINEAR: &str = "Linear";

/// The layers of a model as a [`Compact`] reads them, if it could run them.
pub(super) fn told(names: &[&str]) -> Option<String> {
    let known = |name: &&str| *name == LINEAR || ACTIVATIONS.iter().any(|(own, _)| own == name);
    (names.contains(&LINEAR) && names.iter().all(known)).then(|| names.join(" "))
}

/// The linear layers of an artifact one after the other, with the functions between them that the artifact
/// tells.
///
/// It tells them in its text `layers`, such as `Linear Tanh Linear`. [`pack`](super::pack) writes that of a
/// [`Sequential`](crate::nn::Sequential) of linear layers and activations without options; for a model with a
/// `forward` of its own, which nobody else knows, it is to be given:
/// `pack(&net, &[("layers", "Linear Relu Linear")])`.
///
/// ```
/// use kolmo::{Random, Tensor, compress::{Compact, pack}, nn::{Linear, Relu, Sequential}};
/// let rng = &mut Random::new(0);
/// let net = Sequential((Linear::new(4, 8, rng), Relu, Linear::new(8, 3, rng)));
/// let compact = Compact::from_artifact(&pack(&net, &[])?)?;
/// assert_eq!(compact.forward(&Tensor::ones([2, 4]))?.shape()[..], [2, 3]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Compact {
    /// The linear layers, in the order in which the artifact has their weights.
    pub layers: Vec<CompactLinear>,
    /// All layers in their order; `None` for the next linear one.
    order: Vec<Option<Activation>>,
}

impl Compact {
    /// All layers of an artifact whose weights are those of linear ones.
    ///
    /// # Errors
    /// As [`CompactLinear::from_artifact`]; an entry that is no weight or bias of a linear layer; no text
    /// that tells the layers, or one that tells others than are there.
    pub fn from_artifact(artifact: &Artifact) -> Result<Compact> {
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
        let fail = |message: String| Err(Error::invalid("Compact", message));
        let Some(told) = artifact.meta.get(LAYERS) else {
            return fail(format!(
                "the artifact doesn't tell what stands between its {} linear layers: \
                 it takes a text {LAYERS:?} such as \"Linear Relu Linear\"",
                names.len()
            ));
        };
        let mut order = Vec::new();
        for name in told.split_whitespace() {
            let known = ACTIVATIONS.iter().find(|(own, _)| *own == name).map(|(_, f)| *f);
            if known.is_none() && name != LINEAR {
                let all: Vec<&str> = ACTIVATIONS.iter().map(|(own, _)| *own).collect();
                return fail(format!("{LAYERS:?} tells a {name}, expected {LINEAR} or {}", all.join(", ")));
            }
            order.push(known);
        }
        let linear = order.iter().filter(|layer| layer.is_none()).count();
        if linear != names.len() {
            return fail(format!(
                "{LAYERS:?} tells {linear} linear layers, the artifact has {}",
                names.len()
            ));
        }
        let layers =
            names.iter().map(|name| CompactLinear::from_artifact(artifact, name)).collect::<Result<_>>()?;
        Ok(Compact { layers, order })
    }

    /// `[n, inputs] -> [n, outputs]`
    ///
    /// # Errors
    /// Another shape, or layers that don't follow each other.
    pub fn forward(&self, x: &Tensor<f32>) -> Result<Tensor<f32>> {
        let mut x = x.clone();
        let (tape, mut layers) = (Tape::inference(), self.layers.iter());
        for step in &self.order {
            x = match step {
                Some(function) => function(&tape.constant(x)).value()?.clone(),
                // One who changes the list has taken one out.
                None => layers.next().map_or_else(|| Ok(x.clone()), |layer| layer.forward(&x))?,
            };
        }
        Ok(x)
    }
}
