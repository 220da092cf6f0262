//! A program that was recorded for one example, run for many at once: its results, and the gradients of each
//! example, their norms, and their sum by weights. Operations take the axis of examples along where they can
//! ([`of_examples`](crate::ops::list::TensorOp::of_examples)); those that can't run once for each example.
use super::{
    batch::Batch,
    derivative::{Derivative, Slopes},
    operand::Operand,
    run::Program,
};
use crate::{
    error::{Checked, Error, Result},
    ops::{
        Float,
        example_sums::{squares, sum},
        examples::{Each, many},
        list::{ShapeOp, TensorOp},
    },
    tape::{Leaf, Node, NodeId, Op, Rule},
    tensor::Tensor,
};
use std::collections::HashMap;

/// A run for many examples.
struct Pass<'p, T: Float> {
    n: usize,
    nodes: &'p mut [Node<T>],
    program: &'p Program<T>,
    slopes: Option<&'p mut Slopes<T>>,
    values: Vec<Option<Each<T>>>,
    /// What nodes read that is another index for each example.
    indices: HashMap<NodeId, Tensor<u32>>,
}

impl<'p, T: Float> Pass<'p, T> {
    fn len(&self) -> usize {
        self.nodes.len() + self.slopes.as_ref().map_or(0, |s| s.nodes.len())
    }

    fn operands(&self, i: usize) -> &[Operand<T>] {
        match (self.program.operands.get(i), &self.slopes) {
            (Some(own), _) => own,
            (None, Some(slopes)) => slopes.operands.get(i - self.nodes.len()).map_or(&[], |own| own),
            (None, None) => &[],
        }
    }

    fn node(&mut self, i: usize) -> Option<&mut Node<T>> {
        let own = self.nodes.len();
        match &mut self.slopes {
            Some(slopes) if i >= own => slopes.nodes.get_mut(i - own),
            _ => self.nodes.get_mut(i),
        }
    }

    fn value(&self, operand: &Operand<T>) -> Option<Each<T>> {
        match operand {
            Operand::Node(i) => self.values.get(i.place()).and_then(Clone::clone),
            Operand::Constant(value) => Some(Each { value: value.clone(), many: false }),
        }
    }

    /// Computes all that these operands need, but for the `last`, whose own operands stay. Everything else is
    /// let go after its last use.
    fn run(&mut self, wanted: &[Operand<T>], last: &[NodeId]) -> Result<()> {
        let mut until = vec![0; self.len()];
        wanted.iter().filter_map(Operand::node).for_each(|i| until[i.place()] = usize::MAX);
        for i in (0..self.len()).rev() {
            let end = last.contains(&NodeId::at(i));
            if until[i] > 0 || end {
                for j in self.operands(i).iter().filter_map(Operand::node) {
                    until[j.place()] = until[j.place()].max(if end { usize::MAX } else { i });
                }
            }
        }
        for i in 0..self.len() {
            if until[i] > 0 && !self.operands(i).is_empty() {
                let value = self.compute(i)?;
                self.values[i] = Some(value);
            }
            let done: Vec<usize> =
                self.operands(i).iter().filter_map(Operand::node).map(NodeId::place).collect();
            done.into_iter().filter(|&j| until[j] == i).for_each(|j| self.values[j] = None);
        }
        Ok(())
    }

    /// The value of a node, whose operands are there.
    fn compute(&mut self, i: usize) -> Result<Each<T>> {
        let x: Vec<Each<T>> = self.operands(i).iter().filter_map(|o| self.value(o)).collect();
        self.choose(i, &x);
        let (n, index) = (self.n, self.indices.get(&NodeId::at(i)).cloned());
        let Some(node) = self.node(i) else { return Err(Error::invalid("program", "there is no such node")) };
        let value = computed(n, node, &x, index.as_ref());
        value.map_err(|message| Error::op(node.op.rule().name(), message, Some(node.site)))
    }

    /// Finds the positions of a node, and of those that follow it, if they hang on the operand's values.
    fn choose(&mut self, i: usize, x: &[Each<T>]) {
        let (program, i) = (self.program, NodeId::at(i));
        let (Some(choose), Some(x)) = (program.choices.get(&i), x.first()) else { return };
        let followers = program.followers.iter().chain(self.slopes.iter().flat_map(|s| &s.followers));
        let all: Vec<NodeId> =
            followers.filter(|(_, first)| *first == i).map(|(f, _)| *f).chain([i]).collect();
        if x.many {
            let each = (0..self.n).filter_map(|k| x.value.select(0, k as isize).ok());
            let each: Vec<Tensor<u32>> = each.map(|x| choose(&x)).collect();
            if let Ok(positions) = Tensor::stack(&each, 0) {
                self.indices.extend(all.into_iter().map(|i| (i, positions.clone())));
            }
            return;
        }
        let positions = choose(&x.value);
        for i in all {
            if let Some(Op::Tensor(TensorOp::Take(op))) = self.node(i.place()).map(|node| &mut node.op) {
                op.set_index(&positions);
            }
        }
    }

    /// A node whose values have the norms and sums of this one's, and what makes one's of the other's.
    fn behind_views(&mut self, i: NodeId) -> (NodeId, Vec<ShapeOp>) {
        let (mut i, mut views) = (i, Vec::new());
        loop {
            let view = match self.node(i.place()).map(|node| &node.op) {
                Some(Op::Tensor(TensorOp::Shape(op @ (ShapeOp::Reshape(_) | ShapeOp::Permute(_))))) => {
                    op.clone()
                }
                _ => return (i, views),
            };
            let Some(from) = self.operands(i.place()).first().and_then(Operand::node) else {
                return (i, views);
            };
            (i, views) = (from, [vec![view], views].concat());
        }
    }
}

fn computed<T: Float>(
    n: usize,
    node: &mut Node<T>,
    x: &[Each<T>],
    index: Option<&Tensor<u32>>,
) -> Checked<Each<T>> {
    if index.is_none() && x.iter().all(|x| !x.many) {
        let x: Vec<&Tensor<T>> = x.iter().map(|x| &x.value).collect();
        return Ok(Each { value: node.op.rule().forward(&x)?.made()?, many: false });
    }
    let whole = match &node.op {
        Op::Tensor(op) => op.of_examples(n, x, index)?,
        _ => None,
    };
    if let Some(value) = whole {
        return Ok(Each { value: value.made()?, many: true });
    }
    // One after the other.
    let one = |k: usize, t: &Tensor<T>| t.select(0, k as isize).map_err(|e| e.to_string());
    let mut all = Vec::with_capacity(n);
    for k in 0..n {
        if let (Some(index), Op::Tensor(TensorOp::Take(op))) = (index, &mut node.op) {
            op.set_index(&index.select(0, k as isize).map_err(|e| e.to_string())?);
        }
        let own = |x: &Each<T>| if x.many { one(k, &x.value) } else { Ok(x.value.clone()) };
        let own: Vec<Tensor<T>> = x.iter().map(own).collect::<Checked<_>>()?;
        all.push(node.op.rule().forward(&own.iter().collect::<Vec<_>>())?.made()?);
    }
    Ok(Each { value: Tensor::stack(&all, 0).map_err(|e| e.to_string())?, many: true })
}

/// A gradient of which only norms and sums are asked for: its node, what makes it of that node's value, and
/// the value or what it is computed from.
struct Held<T: Float> {
    node: Option<NodeId>,
    views: Vec<ShapeOp>,
    value: Option<Each<T>>,
    operands: Vec<Each<T>>,
}

/// What is asked for beside the results.
pub(super) enum Asked<'a> {
    /// The results alone.
    Nothing,
    /// The gradient of each example.
    Each,
    /// The norm of each example's gradient, and, with a function of it, the sum of the gradients by these
    /// weights.
    Norms(Option<&'a dyn Fn(f64) -> f64>),
}

/// What is found: results, norms and gradients.
pub(super) type Found<T> = (Vec<Tensor<T>>, Vec<f64>, Vec<Leaf<T>>);

impl<T: Float> Program<T> {
    /// A run for many examples of a program whose derivative, if it is asked for, has been recorded.
    pub(super) fn pass(&mut self, batch: &Batch<T>, asked: Asked<'_>) -> Result<Found<T>> {
        self.set_params()?;
        let mut derivative = std::mem::take(&mut self.derivative);
        let mut nodes = self.tape.tensors.nodes.take();
        let found = self.passed(batch, asked, &mut nodes, &mut derivative);
        self.tape.tensors.nodes.replace(nodes);
        self.derivative = derivative;
        self.release();
        found
    }

    fn passed(
        &self,
        batch: &Batch<T>,
        asked: Asked<'_>,
        nodes: &mut [Node<T>],
        derivative: &mut Derivative<T>,
    ) -> Result<Found<T>> {
        let (n, count) = (batch.n, nodes.len());
        let slopes = match (derivative, &asked) {
            (Derivative::Recorded(slopes), Asked::Each | Asked::Norms(_)) => Some(&mut **slopes),
            _ => None,
        };
        let more = slopes.as_ref().map_or(0, |s| s.nodes.len());
        let known = |v: &Option<Tensor<T>>| v.as_ref().map(|v| Each { value: v.clone(), many: false });
        let mut values: Vec<Option<Each<T>>> = self.values.iter().map(known).collect();
        values.resize_with(count + more, || None);
        if let (Some(one), Some(seed)) =
            (values.get_mut(count), slopes.as_ref().and_then(|s| s.nodes.first()))
        {
            *one = Some(Each { value: Tensor::ones(&seed.shape), many: false });
        }
        for ((node, _), x) in self.inputs.iter().zip(&batch.inputs) {
            if let Some(place) = node.and_then(|node| values.get_mut(node.place())) {
                *place = Some(Each { value: x.clone(), many: true });
            }
        }
        let mut indices = HashMap::new();
        for (k, index) in batch.indices.iter().enumerate() {
            let own = self.indices.get(k).map(|(users, _)| &users[..]).unwrap_or_default();
            let users = slopes.as_ref().and_then(|s| s.users.get(k));
            let all = own.iter().chain(users.into_iter().flatten());
            indices.extend(all.map(|&user| (user, index.clone())));
        }
        let grads = slopes.as_ref().map_or(Vec::new(), |s| s.grads.clone());
        let mut pass = Pass { n, nodes, program: self, slopes, values, indices };
        let mut wanted = self.outputs.clone();
        let mut ends = Vec::new();
        match &asked {
            Asked::Norms(_) => ends.extend(grads.iter().map(|(_, g)| match g.node() {
                Some(i) => pass.behind_views(i),
                None => (NodeId::NONE, Vec::new()),
            })),
            _ => wanted.extend(grads.iter().map(|(_, g)| g.clone())),
        }
        let last: Vec<NodeId> = ends.iter().map(|(i, _)| *i).collect();
        pass.run(&wanted, &last)?;
        let whole = |value: Option<Each<T>>| {
            let value = value.ok_or_else(|| Error::invalid("program", "a value is missing"))?;
            let value = value.all(n).map_err(|message| Error::invalid("program", message))?.contiguous();
            value.ok()?;
            Ok(value)
        };
        let results = self.outputs.iter().map(|o| whole(pass.value(o))).collect::<Result<Vec<_>>>()?;
        let leaf = |(id, _): &(_, Operand<T>), grad| Leaf { node: NodeId::NONE, param: Some(*id), grad };
        let Asked::Norms(weigh) = asked else {
            let leaves = grads.iter().map(|g| Ok(leaf(g, whole(pass.value(&g.1))?)));
            return Ok((results, Vec::new(), leaves.collect::<Result<_>>()?));
        };
        let mut totals = vec![0.0; n];
        let mut held = Vec::new();
        for ((node, views), (_, g)) in ends.into_iter().zip(&grads) {
            held.push(pass.measure(node, views, g, &mut totals)?);
        }
        let norms: Vec<f64> = totals.into_iter().map(f64::sqrt).collect();
        let Some(weigh) = weigh else { return Ok((results, norms, Vec::new())) };
        let weights = Tensor::from_fn([n], |i| T::from_f64(weigh(norms[i])));
        let leaves =
            held.into_iter().zip(&grads).map(|(held, g)| Ok(leaf(g, pass.weighted(held, &weights)?)));
        let leaves = leaves.collect::<Result<_>>()?;
        Ok((results, norms, leaves))
    }
}

impl<T: Float> Pass<'_, T> {
    fn told(&mut self, i: NodeId, message: String) -> Error {
        match self.node(i.place()) {
            Some(node) => Error::op(node.op.rule().name(), message, Some(node.site)),
            None => Error::op("program", message, None),
        }
    }

    /// Adds the squares of a gradient's elements, example by example, and holds what its sum is made of.
    fn measure(
        &mut self,
        i: NodeId,
        views: Vec<ShapeOp>,
        gradient: &Operand<T>,
        totals: &mut [f64],
    ) -> Result<Held<T>> {
        let n = self.n;
        let mut held = Held { node: i.node(), views, value: None, operands: Vec::new() };
        let made = match i.node() {
            Some(_) => self.values.get(i.place()).cloned().flatten(),
            None => self.value(gradient),
        };
        let mut found = None;
        if let (None, Some(i)) = (&made, i.node()) {
            held.operands = self.operands(i.place()).iter().filter_map(|o| self.value(o)).collect();
            let short = match self.node(i.place()).map(|node| &node.op) {
                Some(Op::Tensor(op)) => op.squares_of_examples(&held.operands),
                _ => Ok(None),
            };
            found = short.map_err(|message| self.told(i, message))?;
        }
        let each = match (found, made) {
            (Some(each), _) => each,
            (None, made) => {
                let value = match made {
                    Some(value) => value,
                    None => self.compute(i.place())?,
                };
                let each = match value.many {
                    true => squares(&value.value),
                    false => {
                        squares(&value.value.reshaped(&many(1, value.value.shape()))).map(|s| vec![s[0]; n])
                    }
                };
                let op = self.node(i.place()).map(|node| &node.op);
                let adds_up = matches!(op, Some(Op::Tensor(op)) if op.adds_up(&held.operands));
                held.value = (!adds_up || held.operands.is_empty()).then_some(value);
                each.map_err(|message| self.told(i, message))?
            }
        };
        totals.iter_mut().zip(each).for_each(|(total, square)| *total += square);
        Ok(held)
    }

    /// The sum of a gradient over the examples, each times its weight.
    fn weighted(&mut self, held: Held<T>, weights: &Tensor<T>) -> Result<Tensor<T>> {
        let Held { node, views, value, operands } = held;
        let (n, i) = (self.n, node.unwrap_or(NodeId::NONE));
        let index = self.indices.get(&i).cloned();
        let total = match (value, self.node(i.place()).map(|node| &node.op)) {
            (Some(value), _) => value.all(n).and_then(|value| sum(&value, weights)),
            (None, Some(Op::Tensor(op))) => op
                .sum_of_examples(n, &operands, index.as_ref(), weights)
                .and_then(|sum| sum.ok_or_else(|| "its sum can't be told".into())),
            _ => Err("its sum can't be told".into()),
        };
        let through = total
            .and_then(|total| views.iter().try_fold(total, |total, view| Rule::forward(view, &[&total])));
        through.map(|t| t.contiguous()).map_err(|message| self.told(i, message))
    }
}
