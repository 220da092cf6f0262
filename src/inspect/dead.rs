//! Units that are zero for a whole batch: their weights get no gradient from it.
use super::{
    Origin,
    origin::layers_of,
    table::{count, total},
};
use crate::{
    error::{Error, Result},
    ops::{
        Float,
        list::{TensorOp, Unary},
    },
    tape::{Node, NodeId, OUTPUT, Op, Tape},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The activations on a tape and their dead units; see [`Tape::dead_units`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[must_use = "a report is made to be read"]
#[non_exhaustive]
pub struct DeadUnits {
    /// One for each `relu` and `relu6`, in the order of the statements.
    pub activations: Vec<Activation>,
}

/// An activation and its dead units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Activation {
    /// The statement.
    pub id: u32,
    /// Where it comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// How many units it has: channels behind a convolution, else the size of the last axis.
    pub units: usize,
    /// Values of each unit: the rows of the batch, times places.
    pub values: usize,
    /// Those that are zero throughout, in ascending order.
    pub dead: Vec<usize>,
}

/// # Reports: dead units
impl<T: Float> Tape<T> {
    /// The units of each `relu` and `relu6` that are zero for the whole batch. A sweep frees the values, so
    /// ask before [`backward`](crate::Var::backward).
    ///
    /// ```
    /// let tape = kolmo::Tape::<f32>::new();
    /// let x = tape.input([[1.0, -1.0, 0.0], [2.0, -3.0, 4.0]]);
    /// let y = x.relu();
    /// let dead = tape.dead_units()?;
    /// assert_eq!(dead.activations[0].dead, [1]);
    /// # drop(y);
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    pub fn dead_units(&self) -> Result<DeadUnits> {
        let (nodes, values) = (self.tensors.nodes.borrow(), self.tensors.kept.borrow());
        let mut activations = Vec::new();
        for (i, node) in nodes.iter().enumerate() {
            if !matches!(node.op, Op::Tensor(TensorOp::Unary(Unary::Relu {} | Unary::Relu6 {}))) {
                continue;
            }
            let kept = values.get(node.kept_range()).unwrap_or_default();
            let y = match kept.first() {
                Some((OUTPUT, Some(y))) => Ok(y.clone()),
                Some((_, Some(x))) => node.op.rule().forward(&[x]),
                _ => Err("a sweep has freed its values; ask for dead units before backward()".into()),
            };
            let y = y.map_err(|message| Error::op(node.op.rule().name(), message, Some(node.site)))?;
            let axis = if behind_convolution(&nodes, i) { 1 } else { y.rank().saturating_sub(1) };
            let (units, inner) =
                (y.shape().dim(axis as isize), y.shape().get(axis + 1..).unwrap_or_default());
            let inner: usize = inner.iter().product();
            let mut alive = vec![false; units];
            for (k, v) in y.to_vec().iter().enumerate() {
                if let Some(alive) = alive.get_mut(k / inner.max(1) % units.max(1)) {
                    *alive |= *v != T::default();
                }
            }
            activations.push(Activation {
                id: node.statement.0,
                origin: Origin::of_node(node),
                units,
                values: y.numel() / units.max(1),
                dead: (0..units).filter(|&u| !alive[u]).collect(),
            });
        }
        Ok(DeadUnits { activations })
    }
}

/// Whether the nearest product of matrices before an activation is a convolution.
fn behind_convolution<T: Float>(nodes: &[Node<T>], mut i: usize) -> bool {
    while let Some(node) = nodes.get(i) {
        match node.op {
            Op::Tensor(TensorOp::Conv(_)) => return true,
            Op::Tensor(TensorOp::Linalg(_)) => return false,
            _ => {}
        }
        match node.inputs.iter().find(|&&n| n != NodeId::NONE) {
            Some(&n) => i = n.place(),
            None => return false,
        }
    }
    false
}

impl DeadUnits {
    /// With the layers' names in a model that the tape has run.
    pub fn with_names<T: Float>(mut self, model: &(impl Serialize + ?Sized), tape: &Tape<T>) -> DeadUnits {
        let layers = layers_of(model, tape);
        self.activations.iter_mut().for_each(|a| a.origin.layer = layers.get(&a.id).cloned());
        self
    }

    /// Dead units of all activations.
    pub fn count(&self) -> usize {
        self.activations.iter().map(|a| a.dead.len()).sum()
    }
}

impl fmt::Display for DeadUnits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = total(self.activations.iter().map(|a| a.units));
        writeln!(f, "{} of {} units are zero for the whole batch", count(self.count()), count(units))?;
        for a in self.activations.iter().filter(|a| !a.dead.is_empty()) {
            write!(f, "%{} = {}", a.id, a.origin.op)?;
            if let Some(layer) = &a.origin.layer {
                write!(f, " of layer {layer}")?;
            }
            let list: Vec<String> = a.dead.iter().take(10).map(usize::to_string).collect();
            let more = if a.dead.len() > 10 { ", …" } else { "" };
            let (dead, line) = (count(a.dead.len()), a.origin.line().unwrap_or_default());
            writeln!(f, ", {line}: {dead} of {}: {}{more}", count(a.units), list.join(", "))?;
        }
        Ok(())
    }
}
