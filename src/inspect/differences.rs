//! A recorded tape run again with one value changed: what central differences say of the adjoints.
use super::{listing::Argument, numbers::Numbers, observation::Observation};
use crate::{
    ops::Float,
    real::named,
    tape::{Mixed, Node, Op, StatementId, Tape, Watch, with_floats},
    tensor::Tensor,
};
use std::collections::HashMap;

/// The derivative with respect to one element of a statement's value.
pub(crate) struct CentralDifference {
    pub element: usize,
    /// How far the element was moved to either side.
    pub step: f64,
    /// The adjoint as the sweep found it.
    pub rule: f64,
    /// (L(v + h) - L(v - h)) / 2h
    pub difference: f64,
}

enum Value<T: Float> {
    Number(f64),
    Tensor(Tensor<T>),
}

impl<T: Float> Tape<T> {
    /// For each statement on the way to the seed, the derivative of the seed at its element with the largest
    /// adjoint, by running what comes after it again; or why that can't be done. Leaves come first, then
    /// the others from the last to the first, until so many elements have been computed.
    pub(crate) fn differences(
        &self,
        seen: &Observation,
        mut budget: usize,
    ) -> HashMap<u32, Result<CentralDifference, String>> {
        let mut found = HashMap::new();
        let (Some(seed), Some(watch)) = (seen.seed, &*self.tensors.watch.borrow()) else { return found };
        let nodes = self.tensors.nodes.borrow();
        let by_statement = nodes.iter().enumerate().map(|(i, n)| (n.statement.0, i)).collect();
        let replay = Replay { tape: self, watch, nodes: &nodes, by_statement, seen, seed };
        let (leaves, others): (Vec<_>, Vec<_>) = seen
            .rows
            .iter()
            .take(seed as usize)
            .filter(|row| row.adjoint.is_some() && row.value.is_some())
            .partition(|row| row.row.arguments.is_empty());
        for row in leaves.into_iter().chain(others.into_iter().rev()) {
            // Finding out how much there is to do looks at all that comes after it.
            let Some(left) = budget.checked_sub((seed - row.row.id.min(seed)) as usize) else { break };
            budget = left;
            let work = 2 * replay.work(row.row.id);
            if work > budget {
                continue;
            }
            budget -= work;
            if let Some(result) = replay.difference(row.row.id) {
                found.insert(row.row.id, result);
            }
        }
        found
    }
}

/// What a statement costs that is run again, in elements, however small it is.
const STATEMENT: usize = 100;

struct Replay<'a, T: Float> {
    tape: &'a Tape<T>,
    watch: &'a Watch<T>,
    nodes: &'a [Node<T>],
    by_statement: HashMap<u32, usize>,
    seen: &'a Observation,
    seed: u32,
}

impl<T: Float> Replay<'_, T> {
    /// Elements that are computed from a statement on; a statement takes the time of many.
    fn work(&self, id: u32) -> usize {
        let mut touched = vec![false; self.seed as usize + 1];
        touched[id as usize] = true;
        let mut sum = 0;
        for row in &self.seen.rows[id as usize..self.seed as usize] {
            let hit = arguments(&row.row.arguments).any(|a| touched[a as usize]);
            touched[row.row.id as usize] = hit;
            if hit {
                let elements = |id| self.seen.rows.get(id as usize - 1).and_then(|r| r.value.as_ref());
                sum += STATEMENT + row.value.as_ref().map_or(1, Numbers::numel);
                sum += arguments(&row.row.arguments).filter_map(elements).map(Numbers::numel).sum::<usize>();
            }
        }
        sum
    }

    fn difference(&self, id: u32) -> Option<Result<CentralDifference, String>> {
        let row = self.seen.rows.get(id as usize - 1)?;
        let (value, adjoint) = (row.value.as_ref()?.to_vec(), row.adjoint.as_ref()?.to_vec());
        let largest = |best: usize, i: usize| if adjoint[i].abs() > adjoint[best].abs() { i } else { best };
        let element = (0..adjoint.len()).reduce(largest)?;
        let (rule, at) = (*adjoint.get(element)?, *value.get(element)?);
        // About the cube root of the precision: it balances rounding and curvature.
        let precision: f64 = if size_of::<T>() == 4 { 2e-3 } else { 6e-6 };
        let step = precision * at.abs().max(1.0);
        let run = |to: f64| {
            let changed = match (&row.row.shape, self.watch_value(id)) {
                (Some(_), Some(t)) => {
                    let mut t = t.contiguous();
                    if let Some(v) = t.as_mut_slice().get_mut(element) {
                        *v = T::from_f64(to);
                    }
                    Value::Tensor(t)
                }
                _ => Value::Number(to),
            };
            self.run(id, changed)
        };
        let difference = match (run(at + step), run(at - step)) {
            (Ok(above), Ok(below)) => Ok((above - below) / (2.0 * step)),
            (Err(why), _) | (_, Err(why)) => Err(why),
        };
        Some(difference.map(|difference| CentralDifference { element, step, rule, difference }))
    }

    fn watch_value(&self, id: u32) -> Option<&Tensor<T>> {
        self.watch.seen.get(*self.by_statement.get(&id)?)?.value.as_ref()
    }

    /// The seed's value when a statement has another one.
    fn run(&self, id: u32, value: Value<T>) -> Result<f64, String> {
        let mut changed = HashMap::from([(id, value)]);
        for row in &self.seen.rows[id as usize..self.seed as usize] {
            if arguments(&row.row.arguments).any(|a| changed.contains_key(&a)) {
                let value = match self.by_statement.get(&row.row.id) {
                    Some(&node) => self.tensor(node, &changed),
                    None => self.scalar(row.row.id, &row.row.arguments, &changed),
                }
                .map_err(|why| format!("%{} = {} {why}", row.row.id, row.row.op))?;
                changed.insert(row.row.id, value);
            }
        }
        match changed.get(&self.seed) {
            Some(Value::Number(v)) => Ok(*v),
            Some(Value::Tensor(t)) => t.item().map(|v| v.to_f64()).map_err(|e| e.to_string()),
            None => Err("nothing that the result depends on".into()),
        }
    }

    fn number(&self, id: u32, changed: &HashMap<u32, Value<T>>) -> Result<f64, String> {
        match changed.get(&id) {
            Some(Value::Number(v)) => Ok(*v),
            Some(Value::Tensor(t)) => t.item().map(|v| v.to_f64()).map_err(|e| e.to_string()),
            None => {
                let row = self.seen.rows.get((id as usize).wrapping_sub(1));
                let value = row.and_then(|r| r.value.as_ref()).and_then(|v| v.item().ok());
                value.ok_or_else(|| "reads a value that wasn't observed".into())
            }
        }
    }

    fn scalar(
        &self,
        id: u32,
        arguments: &[Argument],
        changed: &HashMap<u32, Value<T>>,
    ) -> Result<Value<T>, String> {
        let note = self.tape.statements.note(StatementId(id)).ok_or("has no name")?;
        let mut constants = note.constants.iter();
        let x: Result<Vec<f64>, String> = arguments
            .iter()
            .map(|argument| match argument {
                Argument::Value(id) | Argument::Partial(id, _) => self.number(*id, changed),
                Argument::Constant => constants
                    .next()
                    .map(|(_, v)| *v)
                    .ok_or_else(|| "reads a constant that wasn't noted".into()),
            })
            .collect();
        let options: Vec<f64> = note.options.iter().map(|(_, v)| *v).collect();
        let value = compute(note.name, &x?, &options);
        value.map(Value::Number).ok_or_else(|| "holds partial derivatives only: it can't be run again".into())
    }

    fn tensor(&self, node: usize, changed: &HashMap<u32, Value<T>>) -> Result<Value<T>, String> {
        let n = &self.nodes[node];
        let operand = |i: usize| {
            let id = n.inputs.get(i).and_then(|&n| self.nodes.get(n.place())).map(|n| n.statement.0);
            match id.and_then(|id| changed.get(&id)) {
                Some(Value::Tensor(t)) => Ok(t),
                _ => self.watch.operand(&n.inputs, node, i).ok_or("reads a value that wasn't observed"),
            }
        };
        match &n.op {
            Op::Mixed(Mixed::At(position)) => {
                let x = operand(0)?.contiguous();
                let v = x.as_slice().and_then(|x| x.get(*position));
                v.map(|v| Value::Number(v.to_f64())).ok_or_else(|| "has no such element".into())
            }
            Op::Mixed(Mixed::Stack(ids)) => {
                let old = self.watch.seen[node].value.as_ref().map(Tensor::to_vec).unwrap_or_default();
                let new: Result<Vec<T>, String> = ids
                    .iter()
                    .zip(&old)
                    .map(|(&id, &v)| {
                        if id == StatementId::CONSTANT {
                            Ok(v)
                        } else {
                            self.number(id.0, changed).map(T::from_f64)
                        }
                    })
                    .collect();
                Tensor::new(n.shape.clone(), new?).map(Value::Tensor).map_err(|e| e.to_string())
            }
            op => {
                if op.rule().name() == "checkpoint" {
                    return Err("runs its block on a tape of its own, out of reach from here".into());
                }
                let x: Result<Vec<&Tensor<T>>, &str> = (0..n.inputs.len()).map(operand).collect();
                with_floats(op.rule(), &x?, |x| op.rule().forward(x)).map(Value::Tensor)
            }
        }
    }
}

fn arguments(list: &[Argument]) -> impl Iterator<Item = u32> {
    list.iter().filter_map(|argument| match argument {
        Argument::Value(id) | Argument::Partial(id, _) if *id != 0 => Some(*id),
        _ => None,
    })
}

/// A statement of numbers, by the name of its operation.
fn compute(name: &str, x: &[f64], options: &[f64]) -> Option<f64> {
    match name {
        "sum" => Some(x.iter().sum()),
        "sum_of_squares" => Some(x.iter().map(|v| v * v).sum()),
        "dot" => {
            let (a, b) = x.split_at(x.len() / 2);
            Some(a.iter().zip(b).map(|(a, b)| a * b).sum())
        }
        _ => named::apply(name, x, options),
    }
}
