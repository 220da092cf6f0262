//! A model at a glance: its layers and parameters and, with a tape that ran it, the operations and what they
//! cost.
use super::{
    Origin,
    origin::{layer_of, layers_of},
    table::{Table, bytes, count, percent, total},
};
use crate::{
    ops::Float,
    param::{Param, Path, visit_fields},
    tape::{NodeId, Op, Tape},
    tensor::Shape,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A model's parameters and, with [`with_operations`](Summary::with_operations), what it does with them; see
/// [`summary`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[must_use = "a report is made to be read"]
#[non_exhaustive]
pub struct Summary {
    /// In the order of the model's fields; those of `f64` after those of `f32`.
    pub parameters: Vec<Parameter>,
    /// In the order in which they were recorded; inputs and parameters left out.
    pub operations: Vec<Operation>,
}

/// A parameter of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Parameter {
    /// Its dotted name.
    pub name: String,
    /// The name without its last part.
    pub layer: String,
    /// The struct whose field it is, such as `Linear`; empty if it is not the field of a struct.
    pub owner: String,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Bytes of its tensor.
    pub bytes: usize,
    /// Whether optimisers change it.
    pub trainable: bool,
    /// How many numbers a mask sets to zero.
    pub pruned: usize,
    /// How many shared values its numbers are taken from, if it has a codebook.
    pub shared_values: Option<usize>,
}

/// An operation that a tape recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Operation {
    /// The statement.
    pub id: u32,
    /// Where it comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// Sizes of the result.
    pub shape: Vec<usize>,
    /// Products of two numbers that it adds up; 0 for what is no product of matrices, `None` for a user's
    /// own operation and what was not kept of its operands.
    pub multiply_adds: Option<usize>,
}

/// The parameters of a model: names, shapes, bytes, which are trained and how many are pruned.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, inspect::summary, nn::{Layer, Linear, Relu, Sequential}};
/// let rng = &mut Random::new(0);
/// let net = Sequential((Linear::new(64, 32, rng), Relu, Linear::new(32, 10, rng)));
/// let tape = Tape::new();
/// net.forward(&tape.input(Tensor::zeros([1, 64])));
/// let summary = summary(&net).with_operations(&net, &tape);
/// println!("{summary}");
/// assert_eq!(summary.numbers(), 64 * 32 + 32 + 32 * 10 + 10);
/// assert_eq!(summary.multiply_adds(), 64 * 32 + 32 * 10);
/// ```
pub fn summary(model: &(impl Serialize + ?Sized)) -> Summary {
    let mut parameters = Vec::new();
    visit_fields(model, |path, p: &Param<f32>| parameters.push(Parameter::of(path, p)));
    visit_fields(model, |path, p: &Param<f64>| parameters.push(Parameter::of(path, p)));
    Summary { parameters, operations: Vec::new() }
}

impl Parameter {
    fn of<T: Float>(path: &Path, p: &Param<T>) -> Parameter {
        let (name, shape) = (path.to_string(), p.shape());
        let pruned = p.mask().map_or(0, |mask| mask.to_vec().iter().filter(|kept| !**kept).count());
        Parameter {
            layer: layer_of(&name).to_string(),
            name,
            owner: path.owner().to_string(),
            bytes: shape.numel() * size_of::<T>(),
            shape: shape.to_vec(),
            trainable: p.is_trainable(),
            pruned,
            shared_values: p.codebook().map(|(_, centroids)| centroids.shape().numel()),
        }
    }
}

impl Summary {
    /// With the operations that a tape recorded when it ran the model on an example:
    /// `model.forward(&tape.input(example))`. Operations on constants alone are not recorded, so they
    /// don't appear.
    pub fn with_operations<T: Float>(mut self, model: &(impl Serialize + ?Sized), tape: &Tape<T>) -> Summary {
        let layers = layers_of(model, tape);
        let (nodes, values) = (tape.tensors.nodes.borrow(), tape.tensors.kept.borrow());
        self.operations.clear();
        for node in nodes.iter() {
            if matches!(node.op, Op::Input | Op::Param(_)) {
                continue;
            }
            let layer = layers.get(&node.statement.0).cloned();
            // The shape of a constant operand is known if a rule keeps it.
            let kept = values.get(node.kept_range()).unwrap_or_default();
            let operand = |(i, &n): (usize, &NodeId)| -> Option<Shape> {
                let constant = || {
                    kept.iter().find(|(slot, _)| *slot as usize == i)?.1.as_ref().map(|t| t.shape().clone())
                };
                if n == NodeId::NONE { constant() } else { nodes.get(n.place()).map(|n| n.shape.clone()) }
            };
            let operands: Vec<Option<Shape>> = node.inputs.iter().enumerate().map(operand).collect();
            self.operations.push(Operation {
                id: node.statement.0,
                origin: Origin { layer, ..Origin::of_node(node) },
                shape: node.shape.to_vec(),
                multiply_adds: node.op.rule().multiply_adds(&operands, &node.shape),
            });
        }
        self
    }

    /// Numbers in all parameters.
    pub fn numbers(&self) -> usize {
        total(self.parameters.iter().map(Parameter::numel))
    }

    /// Numbers in parameters that are trained.
    pub fn trainable(&self) -> usize {
        total(self.parameters.iter().filter(|p| p.trainable).map(Parameter::numel))
    }

    /// Numbers that masks set to zero.
    pub fn pruned(&self) -> usize {
        total(self.parameters.iter().map(|p| p.pruned))
    }

    /// Bytes of all parameters' tensors.
    pub fn bytes(&self) -> usize {
        total(self.parameters.iter().map(|p| p.bytes))
    }

    /// Multiply-adds of all operations for which they are known.
    pub fn multiply_adds(&self) -> usize {
        total(self.operations.iter().filter_map(|o| o.multiply_adds))
    }
}

impl Parameter {
    /// Its number of elements.
    pub fn numel(&self) -> usize {
        self.shape.iter().fold(1, |n: usize, &size| n.saturating_mul(size))
    }

    /// What is special about it: `frozen, 90.0 % pruned, 16 shared values`.
    fn notes(&self) -> String {
        let mut notes = Vec::new();
        if !self.trainable {
            notes.push("frozen".to_string());
        }
        if self.pruned > 0 {
            notes.push(format!("{} pruned", percent(self.pruned as f64, self.numel() as f64)));
        }
        if let Some(n) = self.shared_values {
            notes.push(format!("{n} shared values"));
        }
        notes.join(", ")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(&["layer", "type", "parameter", "shape", ">numbers", ">bytes", "notes"]);
        let mut last = None;
        for p in &self.parameters {
            let new = last.replace(&p.layer) != Some(&p.layer);
            let once = |text: &str| if new { text.to_string() } else { String::new() };
            let own = p.name.strip_prefix(p.layer.as_str()).unwrap_or(&p.name).trim_start_matches('.');
            let own = if own.is_empty() { &p.name } else { own };
            let shape = format!("{:?}", p.shape);
            table.row([
                once(&p.layer),
                once(&p.owner),
                own.into(),
                shape,
                count(p.numel()),
                bytes(p.bytes),
                p.notes(),
            ]);
        }
        let (numbers, trainable, pruned) = (self.numbers(), self.trainable(), self.pruned());
        write!(f, "{table}\n{} numbers, {}: ", count(numbers), bytes(self.bytes()))?;
        write!(f, "{} trainable, {} frozen", count(trainable), count(numbers - trainable))?;
        if pruned > 0 {
            write!(f, ", {} pruned ({})", count(pruned), percent(pruned as f64, numbers as f64))?;
        }
        writeln!(f)?;
        if self.operations.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(&["operation", "layer", "result", ">multiply-adds", "line"]);
        for o in self.operations.iter().take(ROWS) {
            let layer = o.origin.layer.clone().unwrap_or_default();
            let cost = match o.multiply_adds {
                Some(0) => String::new(),
                Some(n) => count(n),
                None => "?".into(),
            };
            let name = format!("%{} = {}", o.id, o.origin.op);
            table.row([name, layer, format!("{:?}", o.shape), cost, o.origin.line().unwrap_or_default()]);
        }
        write!(f, "\n{table}")?;
        if self.operations.len() > ROWS {
            writeln!(f, "and {} operations more", count(self.operations.len() - ROWS))?;
        }
        writeln!(f, "\n{} multiply-adds", count(self.multiply_adds()))
    }
}

/// How many operations are printed.
const ROWS: usize = 60;
