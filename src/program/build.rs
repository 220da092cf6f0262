//! How a program comes from what was recorded: what results need, each expression once; and whether it does
//! what the function does.
use super::{
    derivative::{Derivative, takes},
    operand::Operand,
    plan::Plan,
    record::{Function, Recorded, merge},
    run::Program,
};
use crate::{
    error::{Error, Result},
    ops::Float,
    real::Arithmetic,
    tape::{NodeId, Op, Stored, Tape, Var, slots},
    tensor::Tensor,
};
use smallvec::SmallVec;
use std::sync::Arc;

impl<T: Float> Program<T> {
    /// Records what `f` makes on a tape of inputs and of indices: class labels, or indices of an embedding.
    ///
    /// What `f` does must depend on the inputs' values only through operations of the tape. Reading a value
    /// ([`value`](Var::value), [`item`](Var::item), comparisons, indices of [`sort`](Var::sort) and the like,
    /// plain gradients, …) is an error, since it may decide what is computed; so are random
    /// numbers, such as dropout in training, running statistics in training, checkpoints, scalars, and what
    /// is computed in [`no_grad`](Tape::no_grad). `f` is run some more times, on values of other places,
    /// signs and sizes, and what it gives is compared with what the program gives. Layers do nothing
    /// beside their results meanwhile: statistics stay what they are.
    ///
    /// Indices must go to the operation that takes them (`cross_entropy`, `embedding`, `index_select`) as
    /// they are. The tape is in training mode unless `f` changes that.
    pub fn new(
        inputs: &[&Tensor<T>],
        indices: &[&Tensor<u32>],
        f: impl for<'t> Fn(&'t Tape<T>, &[Var<'t, T>], &[Tensor<u32>]) -> Vec<Var<'t, T>>,
    ) -> Result<Program<T>> {
        let mut program = record(inputs, indices, &f)?;
        program.compare(inputs, indices, &f)?;
        Ok(program)
    }

    /// Whether the program computes what the function does, on other values than those it was recorded with:
    /// others in other places, of other signs, and of other sizes.
    fn compare(&mut self, inputs: &[&Tensor<T>], indices: &[&Tensor<u32>], f: Function<'_, T>) -> Result<()> {
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
    |v, i| (v + 1.0) * 10.0 * Arithmetic::sin((i as f64 + 1.0) * std::f64::consts::FRAC_PI_4) - 0.5,
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

/// The program of a function.
fn record<T: Float>(
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

fn build<T: Float>(mut raw: Recorded<T>, indices: &[Tensor<u32>]) -> Result<Program<T>> {
    let first = merge(&raw.nodes, &mut raw.operands);
    for result in &mut raw.results {
        result.rename(|i| first[i.place()]);
    }
    // What results need, and where it goes.
    let mut alive = vec![false; raw.nodes.len()];
    raw.results.iter().filter_map(Operand::node).for_each(|i| alive[i.place()] = true);
    for i in (0..raw.nodes.len()).rev().filter(|&i| first[i].place() == i) {
        if alive[i] {
            raw.operands[i].iter().filter_map(Operand::node).for_each(|j| alive[j.place()] = true);
        }
    }
    let mut places = vec![NodeId::NONE; raw.nodes.len()];
    let mut count = 0;
    for (place, _) in places.iter_mut().zip(&alive).filter(|(_, alive)| **alive) {
        *place = NodeId::at(count);
        count += 1;
    }
    let place = |i: NodeId| places.get(i.place()).copied().filter(|&p| p != NodeId::NONE);
    let params: Vec<(NodeId, Arc<dyn Stored<T>>)> =
        raw.params.into_iter().filter_map(|(i, p)| Some((place(i)?, p))).collect();
    let choices = raw.choices.into_iter().filter_map(|(i, c)| Some((place(i)?, c))).collect();
    let followers =
        raw.followers.into_iter().filter_map(|(i, first)| Some((place(i)?, place(first)?))).collect();
    let mut needed = vec![false; count];
    params.iter().filter(|(_, p)| p.is_trainable()).for_each(|(i, _)| needed[i.place()] = true);
    let tape = Tape::<T>::new();
    let mut operands = Vec::new();
    for (i, mut node) in raw.nodes.into_iter().enumerate().filter(|(i, _)| alive[*i]) {
        let own = &mut raw.operands[i];
        own.iter_mut().for_each(|o| o.rename(|j| places[j.place()]));
        node.inputs = own.iter().map(|o| o.node().unwrap_or(NodeId::NONE)).collect();
        let wants = |j: NodeId| needed.get(j.place()).copied().unwrap_or(false);
        let wanted = node.inputs.iter().enumerate().fold(0, |w, (k, &j)| w | (wants(j) as u32) << (k & 31));
        let mut kept = tape.tensors.kept.borrow_mut();
        let start = kept.len() as u32;
        if wanted != 0 {
            needed[operands.len()] = true;
            let keep = node.op.rule().keeps(wanted);
            kept.extend(slots(keep, node.inputs.len()).map(|slot| (slot, None)));
        }
        node.kept = (start, kept.len() as u32 - start);
        node.statement = tape.statements.push_tensor(NodeId::at(operands.len()));
        tape.tensors.nodes.borrow_mut().push(node);
        operands.push(std::mem::take(own));
    }
    let users = |index: &Tensor<u32>| -> SmallVec<[NodeId; 2]> {
        let nodes = tape.tensors.nodes.borrow();
        (0..nodes.len()).map(NodeId::at).filter(|&i| takes(&nodes[i.place()].op, index)).collect()
    };
    let indices: Vec<_> = indices.iter().map(|index| (users(index), index.shape().clone())).collect();
    if let Some(i) = indices.iter().position(|(users, _)| users.is_empty()) {
        let message = format!(
            "no operation takes index {i} as it is; cross_entropy without options, embedding and index_select do"
        );
        return Err(Error::invalid("program", message));
    }
    let mut outputs = raw.results;
    outputs.iter_mut().for_each(|o| o.rename(|i| places[i.place()]));
    let plans = [false, true].map(|gradients| {
        Plan::new(&tape.tensors.nodes.borrow(), &tape.tensors.kept.borrow(), &operands, &outputs, gradients)
    });
    let inputs = raw.inputs.into_iter().map(|(i, shape)| (place(i), shape)).collect();
    let values = vec![None; count];
    Ok(Program {
        tape,
        operands,
        inputs,
        indices,
        params,
        choices,
        followers,
        outputs,
        needed,
        plans,
        values,
        held: Vec::new(),
        derivative: Derivative::Unknown,
    })
}
