//! Whole channels: which of them belong together is read off a recorded tape, and what goes is cut out of the
//! tensors, so that the model becomes smaller, not masked.
mod cut;
mod follow;
mod shrink;

use crate::{
    error::{Error, Result},
    ids::ParamId,
    ops::{Float, list::TensorOp},
    param::{Param, inventory, visit_fields},
    program::{Operand, Recorded},
    tape::{Node, Op, Tape, Var},
    tensor::{Shape, Tensor},
};
use cut::select;
use follow::{Labels, Union, follow};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

/// The channels of a model: sets of slices of parameters that can only go together, such as a row of a
/// weight, its bias, and the columns of all layers that read it.
///
/// They are found by recording the model once and following each axis through the operations: products and
/// convolutions tie the axis that they sum over, elementwise operations the axes of both operands (a residual
/// connection), concatenation puts channels behind each other, flattening makes many columns of one channel,
/// splitting an axis into heads makes one channel of each head. What reaches the input, the output or an
/// operation that mixes channels (a normalisation or softmax over them) stays, and so does what a layer's
/// options count: groups of a convolution or a normalisation, width and heads of a
/// [`MultiheadAttention`](crate::nn::MultiheadAttention). Each set is tried: what the model can't run
/// without, or doesn't compute the same without as with zeros in its place, stays too, such as what a reshape
/// has a number for.
///
/// ```
/// use kolmo::{Random, Tape, Tensor, compress::Channels, nn::{Layer, Linear, Relu, Sequential}};
/// let rng = &mut Random::new(0);
/// let net = Sequential((Linear::new(4, 6, rng), Relu, Linear::new(6, 3, rng)));
/// let channels = Channels::trace(&net, &Tensor::ones([1, 4]), |x| net.forward(x))?;
/// assert_eq!(channels.families(), 1); // the six hidden units
/// channels.shrink(&net, 0.5)?;
/// assert_eq!(net.0.0.weight.shape()[..], [3, 4]);
/// assert_eq!(net.0.2.weight.shape()[..], [3, 3]);
/// # Ok::<(), kolmo::Error>(())
/// ```
#[derive(Clone)]
#[doc(alias("torch.fx", "torch_pruning", "DepGraph"))]
pub struct Channels {
    /// For each axis of a parameter that may become shorter, the channel of each index.
    axes: Vec<Axis>,
    /// The channels of each family, families being what has its own width.
    families: Vec<Vec<u32>>,
    /// Of the parameters.
    dtype: &'static str,
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axes = self.axes.iter().map(|axis| (&axis.param, axis.axis));
        f.debug_struct("Channels")
            .field("families", &self.families.iter().map(Vec::len).collect::<Vec<_>>())
            .field("axes", &axes.collect::<Vec<_>>())
            .finish()
    }
}

#[derive(Clone)]
struct Axis {
    param: String,
    axis: usize,
    channels: Vec<u32>,
}

impl Axis {
    /// The indices whose channels aren't gone.
    fn kept(&self, gone: &HashSet<u32>) -> Vec<usize> {
        (0..self.channels.len()).filter(|&i| !gone.contains(&self.channels[i])).collect()
    }
}

/// A tensor with only some indices of an axis.
type Change<T> = fn(&Tensor<T>, usize, &[usize]) -> Result<Tensor<T>>;

/// A parameter that holds a plain tensor for a while.
struct Lent<T: Float> {
    param: Param<T>,
    own: Param<T>,
}

impl<T: Float> Lent<T> {
    fn new(param: &Param<T>, value: Tensor<T>) -> Lent<T> {
        let own = Param::new(value);
        param.exchange(&own);
        Lent { param: param.clone(), own }
    }
}

impl<T: Float> Drop for Lent<T> {
    fn drop(&mut self) {
        self.param.exchange(&self.own);
    }
}

/// Whether results differ by rounding only. Infinities and NaN are no result to go by.
fn alike<T: Float>(a: &Tensor<T>, b: &Tensor<T>) -> bool {
    let size = a.to_vec().iter().fold(0.0f64, |m, v| m.max(v.to_f64().abs()));
    let near = |(a, b): (&T, &T)| {
        let (a, b) = (a.to_f64(), b.to_f64());
        (a - b).abs() <= 1e-3 * size || !(a.is_finite() || b.is_finite())
    };
    a.shape() == b.shape() && a.to_vec().iter().zip(&b.to_vec()).all(near)
}

impl Channels {
    /// The channels of a model, from one run of it on an example input.
    ///
    /// # Errors
    /// The model fails on the input, or does what a [`Program`](crate::Program) can't do.
    pub fn trace<T: Float, M: Serialize + ?Sized>(
        model: &M,
        example: &Tensor<T>,
        forward: impl for<'t> Fn(&Var<'t, T>) -> Var<'t, T>,
    ) -> Result<Channels> {
        let mut params: Vec<(String, Param<T>)> = Vec::new();
        visit_fields(model, |path, p: &Param<T>| params.push((path.to_string(), p.clone())));
        // As plain tensors: a codebook, steps or a mask have channels where the weights have them.
        let _plain =
            params.iter().map(|(_, p)| Ok(Lent::new(p, p.effective()?))).collect::<Result<Vec<_>>>()?;
        let recorded = Recorded::of(&[example], &[], &|tape: &Tape<T>, x, _| {
            tape.set_training(false);
            vec![forward(&x[0])]
        })?;
        let names: HashMap<ParamId, String> = params.iter().map(|(name, p)| (p.id(), name.clone())).collect();
        let read = |node: &Node<T>| matches!(node.op, Op::Param(id) if names.contains_key(&id));
        if !recorded.nodes.iter().any(read) {
            let message = format!("the run reads none of the model's parameters: {}", inventory(model));
            return Err(Error::invalid("Channels", message));
        }
        let mut channels = Channels::read(&recorded, &names);
        channels.families = std::mem::take(&mut channels.families)
            .into_iter()
            .filter(|family| channels.can_go(family, &params, example, &forward))
            .collect();
        Ok(channels)
    }

    /// Whether the model without some of a family's channels computes what it computes with nothing in them:
    /// what options of layers or a model's own code count isn't seen on the tape.
    fn can_go<T: Float>(
        &self,
        family: &[u32],
        params: &[(String, Param<T>)],
        example: &Tensor<T>,
        forward: &impl for<'t> Fn(&Var<'t, T>) -> Var<'t, T>,
    ) -> bool {
        let run = || {
            let tape = Tape::inference();
            forward(&tape.constant(example)).value().cloned()
        };
        // What is there after `change` was made of each tensor that has some of the channels.
        let with = |gone: &HashSet<u32>, change: Change<T>| -> Result<Tensor<T>> {
            let mut lent: Vec<Lent<T>> = Vec::new();
            for (name, p) in params {
                let concerned = |axis: &&Axis| {
                    axis.param == *name && axis.channels.iter().any(|channel| gone.contains(channel))
                };
                let mut axes = self.axes.iter().filter(concerned).peekable();
                if axes.peek().is_some() {
                    let cut =
                        axes.try_fold(p.value(), |value, axis| change(&value, axis.axis, &axis.kept(gone)))?;
                    lent.push(Lent::new(p, cut));
                }
            }
            run()
        };
        [1, family.len() - 1].iter().all(|&count| {
            let gone: HashSet<u32> = family.iter().copied().take(count).collect();
            match (with(&gone, silence), with(&gone, select)) {
                (Ok(a), Ok(b)) => alike(&a, &b),
                _ => false,
            }
        })
    }

    fn read<T: Float>(recorded: &Recorded<T>, names: &HashMap<ParamId, String>) -> Channels {
        let mut union = Union::default();
        // For each node the labels of each axis.
        let mut known: Vec<Vec<Labels>> = Vec::new();
        let mut leaves = Vec::new();
        for (i, (node, operands)) in recorded.nodes.iter().zip(&recorded.operands).enumerate() {
            let plain = |shape: &Shape| shape.iter().map(|&n| vec![None; n]).collect::<Vec<Labels>>();
            let labels = |operand: &Operand<T>| match operand {
                Operand::Node(i) => known[i.place()].clone(),
                Operand::Constant(value) => plain(value.shape()),
            };
            let x: Vec<Vec<Labels>> = operands.iter().map(labels).collect();
            let chosen = recorded.choices.iter().any(|(node, _)| node.place() == i);
            let labels = match &node.op {
                Op::Param(id) if names.contains_key(id) => {
                    let own: Vec<Labels> =
                        node.shape.iter().map(|&n| (0..n).map(|_| Some(union.fresh())).collect()).collect();
                    leaves.push((names[id].clone(), own.clone()));
                    own
                }
                // A parameter's own mask, which is cut with it.
                Op::Tensor(TensorOp::Where(_))
                    if matches!(operands[..], [Operand::Constant(_), Operand::Node(p), Operand::Constant(_)]
                    if matches!(recorded.nodes[p.place()].op, Op::Param(_))) =>
                {
                    x[1].clone()
                }
                Op::Input | Op::Param(_) => plain(&node.shape),
                op => {
                    let followed = match op {
                        Op::Tensor(op) => follow(op, &x, &node.shape, chosen, &mut union),
                        _ => None,
                    };
                    followed.unwrap_or_else(|| {
                        x.iter().flatten().for_each(|labels| union.fix(labels));
                        plain(&node.shape)
                    })
                }
            };
            known.push(labels);
        }
        for i in recorded.results.iter().filter_map(Operand::node) {
            known[i.place()].iter().for_each(|labels| union.fix(labels));
        }
        // What is left can go; channels along one axis are a family.
        let mut axes = Vec::new();
        let mut families: BTreeMap<Vec<u32>, ()> = BTreeMap::new();
        for (param, own) in leaves {
            for (axis, labels) in own.iter().enumerate() {
                let roots: Vec<u32> = labels.iter().flatten().map(|&i| union.find(i)).collect();
                let mut members = roots.clone();
                members.sort_unstable();
                members.dedup();
                if members.len() > 1 && members.iter().all(|&i| !union.fixed[i as usize]) {
                    families.insert(members, ());
                    axes.push(Axis { param: param.clone(), axis, channels: roots });
                }
            }
        }
        // A family that is part of a larger one, as one side of a concatenation, counts by itself; the larger
        // one doesn't.
        let all: Vec<Vec<u32>> = families.into_keys().collect();
        let part_of =
            |a: &[u32], b: &[u32]| a.len() < b.len() && a.iter().all(|i| b.binary_search(i).is_ok());
        let smallest = all.iter().filter(|b| !all.iter().any(|a| part_of(a, b)));
        let families = smallest.cloned().collect();
        Channels { axes, families, dtype: T::NAME }
    }

    /// Number of families: widths that can be changed independently of each other.
    pub fn families(&self) -> usize {
        self.families.len()
    }

    /// Only the families that have channels in a parameter which `filter` picks by its name.
    ///
    /// ```
    /// use kolmo::{Random, Tape, Tensor, compress::Channels, nn::{Layer, Linear, Relu, Sequential}};
    /// let rng = &mut Random::new(0);
    /// let net = Sequential((Linear::new(4, 6, rng), Relu, Linear::new(6, 8, rng), Relu, Linear::new(8, 3, rng)));
    /// let channels = Channels::trace(&net, &Tensor::ones([1, 4]), |x| net.forward(x))?;
    /// assert_eq!(channels.families(), 2);
    /// channels.pick(|name| name == "0.weight").shrink(&net, 0.5)?;
    /// assert_eq!((net.0.0.weight.shape()[0], net.0.2.weight.shape()[0]), (3, 8));
    /// # Ok::<(), kolmo::Error>(())
    /// ```
    #[must_use]
    pub fn pick(mut self, filter: impl Fn(&str) -> bool) -> Channels {
        let picked: HashSet<u32> = self
            .axes
            .iter()
            .filter(|axis| filter(&axis.param))
            .flat_map(|axis| axis.channels.iter().copied())
            .collect();
        self.families.retain(|family| family.iter().all(|channel| picked.contains(channel)));
        self
    }
}

/// Zeros at all but these indices of an axis.
fn silence<T: Float>(t: &Tensor<T>, axis: usize, keep: &[usize]) -> Result<Tensor<T>> {
    let (values, size) = (t.to_vec(), t.dim(axis as isize));
    let inner: usize = t.shape()[axis + 1..].iter().product();
    let kept: Vec<bool> = (0..size).map(|i| keep.contains(&i)).collect();
    Ok(Tensor::from_fn(t.shape(), |i| {
        if kept[i / inner.max(1) % size.max(1)] { values[i] } else { T::default() }
    }))
}
