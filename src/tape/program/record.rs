//! How a program comes from a tape: what results need, each expression once.
use super::{Operand, Program, plan::Plan};
use crate::{
    error::{Error, Result},
    nn::Param,
    ops::Op,
    tape::{
        Float, Tape, Var,
        node::{NONE, Node, OUTPUT},
    },
    tensor::Tensor,
};
use smallvec::SmallVec;
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    mem::{Discriminant, discriminant},
    panic::Location,
};

/// What a tape notes down while a program is recorded: nodes don't keep values that they don't differentiate.
pub(crate) struct Trace<T: Float> {
    /// Operands that are constants: node, position, value.
    constants: Vec<(u32, u8, Tensor<T>)>,
    /// The parameters behind leaves.
    pub params: Vec<(u32, Param<T>)>,
    /// How the positions of a `take` are found from its operand.
    pub choices: Vec<(u32, Choice<T>)>,
    /// Something was done that a program can't do.
    pub obstacle: Option<(&'static str, Option<&'static Location<'static>>)>,
}

/// Finds positions in a tensor from its values.
pub(crate) type Choice<T> = Box<dyn Fn(&Tensor<T>) -> Tensor<u32>>;

impl<T: Float> Trace<T> {
    fn new() -> Trace<T> {
        Trace { constants: Vec::new(), params: Vec::new(), choices: Vec::new(), obstacle: None }
    }

    /// Notes the constant operands of a node.
    pub fn operands(&mut self, node: u32, inputs: &[&Var<'_, T>]) {
        for (i, v) in inputs.iter().enumerate().filter(|(_, v)| v.node().is_none()) {
            self.constants.push((node, i as u8, v.tensor().clone()));
        }
    }
}

pub(super) type Function<'f, T> =
    &'f dyn for<'t> Fn(&'t Tape<T>, &[Var<'t, T>], &[Tensor<u32>]) -> Vec<Var<'t, T>>;

/// The program of a function.
pub(super) fn record<T: Float>(
    inputs: &[&Tensor<T>],
    indices: &[&Tensor<u32>],
    f: Function<'_, T>,
) -> Result<Program<T>> {
    // The tensors that the operations will share with these.
    let owned: Vec<Tensor<u32>> = indices.iter().map(|&i| i.clone()).collect();
    let recorded = Recorded::of(inputs, &owned, f)?;
    // What else comes in by that way has no value when the program is run.
    if recorded.nodes.iter().filter(|n| matches!(n.op, Op::Input)).count() > inputs.len() {
        let message = "the function calls tape.input itself: hand the tensor over as an input of the program, or make \
                       it a constant";
        return Err(Error::invalid("program", message));
    }
    build(recorded, &owned)
}

impl<T: Float> Recorded<T> {
    /// What a function does, as it was recorded.
    pub fn of(inputs: &[&Tensor<T>], indices: &[Tensor<u32>], f: Function<'_, T>) -> Result<Recorded<T>> {
        let tape = Tape::<T>::new();
        tape.settings.again.set(true);
        tape.tensors.trace.replace(Some(Trace::new()));
        let random = tape.random();
        let x: Vec<Var<'_, T>> = inputs.iter().map(|&x| tape.input(x)).collect();
        let results = f(&tape, &x, indices);
        results.iter().try_for_each(Var::ok)?;
        let trace = tape.tensors.trace.take();
        let Some(Trace { constants, params, choices, obstacle }) = trace else {
            return Err(Error::invalid("program", "the function recorded a program itself"));
        };
        let nodes = tape.tensors.nodes.take();
        let mixed = || nodes.iter().find(|n| matches!(n.op, Op::Mixed(_))).map(|n| n.site);
        let obstacle = match obstacle {
            None if tape.random() != random => Some(("random numbers were drawn", None)),
            None => mixed().map(|site| ("tensors were made of scalars, or scalars of tensors", Some(site))),
            other => other,
        };
        if let Some((obstacle, site)) = obstacle {
            return Err(Error::op("program", format!("{obstacle}: a program can't do that again"), site));
        }
        let mut operands: Vec<SmallVec<[Operand<T>; 4]>> =
            nodes.iter().map(|n| n.inputs.iter().map(|&i| Operand::Node(i)).collect()).collect();
        for (node, i, value) in constants {
            if let Some(operand) = operands[node as usize].get_mut(i as usize) {
                *operand = Operand::Constant(value);
            }
        }
        let results: Vec<Operand<T>> = results
            .iter()
            .map(|y| y.node().map_or_else(|| Operand::Constant(y.tensor().clone()), Operand::Node))
            .collect();
        let inputs = x.iter().map(|x| (x.node().unwrap_or(NONE), x.shape().clone())).collect();
        Ok(Recorded { nodes, operands, params, choices, results, inputs })
    }
}

/// A tape as it was recorded.
pub(crate) struct Recorded<T: Float> {
    pub nodes: Vec<Node<T>>,
    pub operands: Vec<SmallVec<[Operand<T>; 4]>>,
    params: Vec<(u32, Param<T>)>,
    pub choices: Vec<(u32, Choice<T>)>,
    pub results: Vec<Operand<T>>,
    inputs: Vec<(u32, crate::tensor::Shape)>,
}

fn build<T: Float>(mut raw: Recorded<T>, indices: &[Tensor<u32>]) -> Result<Program<T>> {
    let first = merge(&raw.nodes, &mut raw.operands);
    for result in &mut raw.results {
        result.rename(|i| first[i as usize]);
    }
    // What results need, and where it goes.
    let mut alive = vec![false; raw.nodes.len()];
    raw.results.iter().filter_map(Operand::node).for_each(|i| alive[i as usize] = true);
    for i in (0..raw.nodes.len()).rev().filter(|&i| first[i] as usize == i) {
        if alive[i] {
            raw.operands[i].iter().filter_map(Operand::node).for_each(|j| alive[j as usize] = true);
        }
    }
    let mut places = vec![NONE; raw.nodes.len()];
    let mut count = 0;
    for (place, _) in places.iter_mut().zip(&alive).filter(|(_, alive)| **alive) {
        *place = count;
        count += 1;
    }
    let place = |i: u32| places.get(i as usize).copied().filter(|&p| p != NONE);
    let params: Vec<(u32, Param<T>)> =
        raw.params.into_iter().filter_map(|(i, p)| Some((place(i)?, p))).collect();
    let choices = raw.choices.into_iter().filter_map(|(i, c)| Some((place(i)?, c))).collect();
    let mut needed = vec![false; count as usize];
    params.iter().filter(|(_, p)| p.is_trainable()).for_each(|(i, _)| needed[*i as usize] = true);
    let tape = Tape::<T>::new();
    let mut operands = Vec::new();
    for (i, mut node) in raw.nodes.into_iter().enumerate().filter(|(i, _)| alive[*i]) {
        let own = &mut raw.operands[i];
        own.iter_mut().for_each(|o| o.rename(|j| places[j as usize]));
        node.inputs = own.iter().map(|o| o.node().unwrap_or(NONE)).collect();
        let wants = |j: u32| needed.get(j as usize).copied().unwrap_or(false);
        let wanted = node.inputs.iter().enumerate().fold(0, |w, (k, &j)| w | (wants(j) as u32) << (k & 31));
        let mut kept = tape.tensors.kept.borrow_mut();
        let start = kept.len() as u32;
        if wanted != 0 {
            needed[operands.len()] = true;
            let keep = node.op.rule().keeps(wanted);
            kept.extend(
                (0..node.inputs.len().min(OUTPUT as usize) as u8)
                    .filter_map(|slot| (keep >> slot & 1 == 1).then_some((slot, None))),
            );
            kept.extend((keep >> OUTPUT & 1 == 1).then_some((OUTPUT, None)));
        }
        node.kept = (start, kept.len() as u32 - start);
        node.statement = tape.statements.push_tensor(operands.len() as u32);
        tape.tensors.nodes.borrow_mut().push(node);
        operands.push(std::mem::take(own));
    }
    let users = |index: &Tensor<u32>| -> SmallVec<[u32; 2]> {
        let nodes = tape.tensors.nodes.borrow();
        let takes = |op: &Op<T>| match op {
            Op::Take(op) => op.index_is(index),
            Op::CrossEntropy(op) => op.targets_are(index),
            _ => false,
        };
        (0..nodes.len() as u32).filter(|&i| takes(&nodes[i as usize].op)).collect()
    };
    let indices: Vec<_> = indices.iter().map(|index| (users(index), index.shape().clone())).collect();
    if let Some(i) = indices.iter().position(|(users, _)| users.is_empty()) {
        let message = format!(
            "no operation takes index {i} as it is; cross_entropy without options, embedding and index_select do"
        );
        return Err(Error::invalid("program", message));
    }
    let mut outputs = raw.results;
    outputs.iter_mut().for_each(|o| o.rename(|i| places[i as usize]));
    let plans = [false, true].map(|gradients| {
        Plan::new(&tape.tensors.nodes.borrow(), &tape.tensors.kept.borrow(), &operands, &outputs, gradients)
    });
    let inputs = raw.inputs.into_iter().map(|(i, shape)| (place(i), shape)).collect();
    let values = vec![None; count as usize];
    Ok(Program { tape, operands, inputs, indices, params, choices, outputs, needed, plans, values })
}

/// For each node the first that computes the same. Operands are renamed accordingly.
fn merge<T: Float>(nodes: &[Node<T>], operands: &mut [SmallVec<[Operand<T>; 4]>]) -> Vec<u32> {
    type Key<T> = (Discriminant<Op<T>>, u64, SmallVec<[u32; 4]>);
    let mut known: HashMap<Key<T>, SmallVec<[u32; 2]>> = HashMap::new();
    let mut first: Vec<u32> = Vec::with_capacity(nodes.len());
    for i in 0..nodes.len() {
        operands[i].iter_mut().for_each(|o| o.rename(|j| first[j as usize]));
        let own = &operands[i];
        // Thousands of slices of one tensor differ in their options only.
        let mut options = DefaultHasher::new();
        nodes[i].op.rule().options().hash(&mut options);
        let key = (
            discriminant(&nodes[i].op),
            options.finish(),
            own.iter().map(|o| o.node().unwrap_or(NONE)).collect(),
        );
        let alike = known.entry(key).or_default();
        let same = |&&j: &&u32| {
            nodes[i].op.same(&nodes[j as usize].op)
                && own.iter().zip(&operands[j as usize]).all(|(a, b)| a.same(b))
        };
        first.push(alike.iter().find(same).copied().unwrap_or(i as u32));
        if first[i] as usize == i {
            alike.push(i as u32);
        }
    }
    first
}

impl<T: Float> Operand<T> {
    pub(crate) fn node(&self) -> Option<u32> {
        match self {
            Operand::Node(i) => Some(*i),
            Operand::Constant(_) => None,
        }
    }

    fn rename(&mut self, to: impl Fn(u32) -> u32) {
        if let Operand::Node(i) = self {
            *i = to(*i);
        }
    }

    fn same(&self, other: &Operand<T>) -> bool {
        match (self, other) {
            (Operand::Node(a), Operand::Node(b)) => a == b,
            (Operand::Constant(a), Operand::Constant(b)) => {
                let bits = |t: &Tensor<T>| t.item().ok().map(|v| v.to_f64().to_bits());
                let view = |t: &Tensor<T>| (t.shape().clone(), t.strides().to_vec(), t.layout().offset);
                let one = a.numel() == 1 && a.shape() == b.shape() && bits(a) == bits(b);
                one || (a.shares_data(b) && view(a) == view(b))
            }
            _ => false,
        }
    }
}

impl<T: Float> Program<T> {
    /// Whether the program computes what the function does, on other values than those it was recorded with: others in other
    /// places, of other signs, and of other sizes.
    pub(super) fn compare(
        &mut self,
        inputs: &[&Tensor<T>],
        indices: &[&Tensor<u32>],
        f: Function<'_, T>,
    ) -> Result<()> {
        for (k, change) in OTHERS.into_iter().enumerate() {
            let others = |index: &&Tensor<u32>| {
                let data = reversed(index).to_vec();
                let most = data.iter().max().copied().unwrap_or(0);
                Tensor::from_fn(index.shape(), |i| match k {
                    0 => data[i],
                    1 => most - data[i],
                    // 1 where there are zeros alone: what only takes 0 gives an error, which says nothing.
                    _ => ((data[i] as usize + i + k) % (most.max(1) as usize + 1)) as u32,
                })
            };
            let indices: Vec<Tensor<u32>> = indices.iter().map(others).collect();
            let changed = |x: &&Tensor<T>| {
                let data = reversed(x).to_vec();
                Tensor::from_fn(x.shape(), |i| T::from_f64(change(data[i].to_f64(), i)))
            };
            let inputs: Vec<Tensor<T>> = inputs.iter().map(changed).collect();
            let tape = Tape::new();
            tape.settings.again.set(true);
            let x: Vec<Var<'_, T>> = inputs.iter().map(|x| tape.input(x)).collect();
            let direct = f(&tape, &x, &indices);
            // The first ones are the caller's own values; that others can't be used says nothing.
            match direct.iter().try_for_each(Var::ok) {
                Err(error) if k == 0 => return Err(error),
                Err(_) => continue,
                Ok(()) => {}
            }
            let again = self.run(&inputs.iter().collect::<Vec<_>>(), &indices.iter().collect::<Vec<_>>())?;
            if direct.len() != again.len() {
                let message = "the function gave another number of results when run again";
                return Err(Error::invalid("program", message));
            }
            if let Some(i) = direct.iter().zip(&again).position(|(a, b)| !same_bits(a.tensor(), b)) {
                let message = format!(
                    "result {i} depends on values other than through operations of the tape: on a comparison, on what \
                     a tensor holds, or on something that changes from run to run"
                );
                return Err(Error::invalid("program", message));
            }
        }
        Ok(())
    }
}

/// What other values are made of the caller's, the last two of the position as well.
const OTHERS: [fn(f64, usize) -> f64; 5] = [
    |v, _| v,
    |v, _| -v,
    |v, _| v * 1e-3,
    |_, i| (i % 2) as f64,
    |v, i| (v + 1.0) * 10.0 * ((i as f64 + 1.0) * std::f64::consts::FRAC_PI_4).sin() - 0.5,
];

fn same_bits<T: Float>(a: &Tensor<T>, b: &Tensor<T>) -> bool {
    let same = |(a, b): (&T, &T)| {
        let (a, b) = (a.to_f64(), b.to_f64());
        a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
    };
    a.shape() == b.shape() && a.to_vec().iter().zip(&b.to_vec()).all(same)
}

fn reversed<A: crate::tensor::Element>(t: &Tensor<A>) -> Tensor<A> {
    let data = t.to_vec();
    Tensor::from_fn(t.shape(), |i| data[data.len() - 1 - i])
}
