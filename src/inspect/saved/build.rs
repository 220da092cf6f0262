//! How a saved tape comes from an observed one.
use super::{
    super::{listing::Argument, numbers::Numbers, observation::Observed},
    run::{is_known, options},
    tape::{Operand, SavedTape, Statement, What},
};
use crate::{
    error::{Error, Result},
    ops::{Float, list::TensorOp, saved::SavedOp},
    tape::{Mixed, NodeId, Op, Scalar, StatementId, Tape, Var},
    tensor::Tensor,
};
use std::collections::HashMap;

impl SavedTape {
    /// What a value was computed by. The tape must have been [observed](crate::Tape::set_observing) from
    /// before it was recorded.
    pub fn from_var<T: Float>(result: &Var<'_, T>) -> Result<SavedTape> {
        result.ok()?;
        let tape = result.tape();
        let statement = result
            .node()
            .and_then(|node| tape.tensors.nodes.borrow().get(node.place()).map(|n| n.statement.0));
        match statement {
            Some(id) => saved(tape, id),
            None => Err(Error::invalid("SavedTape", "the value is a constant: nothing recorded it")),
        }
    }

    /// What a scalar was computed by.
    pub fn from_scalar<T: Float>(result: Scalar<'_, T>) -> Result<SavedTape> {
        match result.tape() {
            Some(tape) => saved(tape, result.id()),
            None => Err(Error::invalid("SavedTape", "the value is a constant: nothing recorded it")),
        }
    }
}

/// What the statement `result` was computed by.
fn saved<T: Float>(tape: &Tape<T>, result: u32) -> Result<SavedTape> {
    let mut build = Build { statements: Vec::new(), found: None };
    build.add(tape, result, HashMap::new(), None)?;
    Ok(SavedTape { dtype: T::NAME.to_string(), statements: build.statements, found: build.found })
}

struct Build {
    statements: Vec<Statement>,
    /// Where something was found from a value.
    found: Option<String>,
}

/// The statement that others stand for.
type Instead = Option<(u32, Option<String>)>;

impl Build {
    /// Adds what a statement needs and gives its place. Statements in `places` are there already; others are
    /// called as if they were `instead`.
    fn add<T: Float>(
        &mut self,
        tape: &Tape<T>,
        result: u32,
        mut places: HashMap<u32, usize>,
        instead: Instead,
    ) -> Result<usize> {
        let rows = tape.observation().rows;
        let nodes = tape.tensors.nodes.borrow();
        let by_id: HashMap<u32, usize> = nodes.iter().enumerate().map(|(i, n)| (n.statement.0, i)).collect();
        let mut needed = vec![false; rows.len() + 1];
        let mark = |needed: &mut Vec<bool>, id: u32| {
            if let Some(mark) = needed.get_mut(id as usize) {
                *mark = true;
            }
        };
        mark(&mut needed, result);
        for seen in rows.iter().rev() {
            if needed[seen.row.id as usize] && !places.contains_key(&seen.row.id) {
                operands(seen).for_each(|id| mark(&mut needed, id));
            }
        }
        for seen in rows.iter().filter(|s| needed[s.row.id as usize]) {
            let id = seen.row.id;
            if places.contains_key(&id) {
                continue;
            }
            let node = by_id.get(&id).and_then(|&i| nodes.get(i));
            let what = match node.map(|n| (&n.op, &n.inputs)) {
                None if seen.row.op == "input" => leaf(seen, format!("%{id}"))?,
                None => scalar(seen, &places)?,
                Some((Op::Input, _)) => leaf(seen, format!("%{id}"))?,
                Some((Op::Param(param), _)) => {
                    leaf(seen, seen.row.name.clone().unwrap_or_else(|| param.to_string()))?
                }
                Some((Op::Mixed(Mixed::At(position)), _)) => {
                    let operand = operands(seen).next().and_then(|id| places.get(&id).copied());
                    What::At { operand: operand.ok_or_else(|| unknown(seen))?, position: *position }
                }
                Some((Op::Mixed(Mixed::Stack(ids)), _)) => {
                    let value = value(seen)?.to_vec();
                    let operand = |(i, id): (usize, &StatementId)| match places.get(&id.0) {
                        Some(&place) => Ok(Operand::Statement(place)),
                        None if *id == StatementId::CONSTANT => {
                            Ok(Operand::Constant(Tensor::scalar(value[i])))
                        }
                        None => Err(unknown(seen)),
                    };
                    What::Stack { operands: ids.iter().enumerate().map(operand).collect::<Result<_>>()? }
                }
                Some((op, inputs)) => {
                    let operand = |(i, &n): (usize, &NodeId)| -> Result<Operand> {
                        let place = nodes
                            .get(n.place())
                            .filter(|_| n != NodeId::NONE)
                            .and_then(|n| places.get(&n.statement.0));
                        match place {
                            Some(&place) => Ok(Operand::Statement(place)),
                            None => constant(seen, i),
                        }
                    };
                    let operands =
                        inputs.iter().enumerate().map(operand).collect::<Result<Vec<Operand>>>()?;
                    if let Op::Tensor(TensorOp::Fused(fused)) = op {
                        let values: Vec<Tensor<T>> = operands
                            .iter()
                            .zip(inputs)
                            .map(|(operand, &n)| match operand {
                                Operand::Constant(value) => Ok(value.cast()),
                                Operand::Statement(_) => {
                                    let id = nodes.get(n.place()).map_or(0, |n| n.statement.0);
                                    let row = rows.get((id as usize).wrapping_sub(1));
                                    Ok(value(row.ok_or_else(|| unknown(seen))?)?.cast())
                                }
                            })
                            .collect::<Result<_>>()?;
                        let instead = instead.clone().or(Some((id, seen.row.site.clone())));
                        let place = self.unfold(fused, &values, &operands, instead)?;
                        places.insert(id, place);
                        continue;
                    }
                    let op = SavedOp::of(op).ok_or_else(|| {
                        let why = "it is code of the program, which can't be saved";
                        Error::invalid("SavedTape", format!("{}: {why}", describe(seen)))
                    })?;
                    What::Tensor { op, operands }
                }
            };
            let (id, site) = instead.clone().unwrap_or((id, seen.row.site.clone()));
            let shape = seen.row.shape.as_deref().map(Into::into);
            places.insert(seen.row.id, self.statements.len());
            self.statements.push(Statement { id, site, shape, what });
        }
        let fixed = |(node, _): &&(NodeId, _)| {
            nodes.get(node.place()).is_some_and(|node| places.contains_key(&node.statement.0))
        };
        self.found = self.found.take().or(tape.found().iter().find(fixed).map(|(_, site)| site.to_string()));
        places
            .get(&result)
            .copied()
            .ok_or_else(|| Error::invalid("SavedTape", "the value is not on its tape any more"))
    }

    /// The single operations of a fused expression.
    fn unfold<T: Float>(
        &mut self,
        fused: &crate::ops::FusedOp<T>,
        values: &[Tensor<T>],
        operands: &[Operand],
        instead: Instead,
    ) -> Result<usize> {
        let tape = Tape::new();
        tape.set_observing(true);
        let vars: Vec<Var<'_, T>> = operands
            .iter()
            .zip(values)
            .map(|(operand, value)| match operand {
                Operand::Statement(_) => tape.input(value),
                Operand::Constant(_) => tape.constant(value),
            })
            .collect();
        let constant = || Error::invalid("SavedTape", "a fused expression is a constant");
        let y = fused.unfold(&vars.iter().collect::<Vec<_>>()).ok_or_else(constant)?;
        y.ok()?;
        let statement =
            |v: &Var<'_, T>| tape.tensors.nodes.borrow().get(v.node()?.place()).map(|n| n.statement.0);
        let known = operands.iter().zip(&vars).filter_map(|(operand, v)| match operand {
            Operand::Statement(place) => Some((statement(v)?, *place)),
            Operand::Constant(_) => None,
        });
        let known = known.collect();
        let result = statement(&y).ok_or_else(constant)?;
        self.add(&tape, result, known, instead)
    }
}

/// The statements that a statement is given.
fn operands(seen: &Observed) -> impl Iterator<Item = u32> {
    seen.row.arguments.iter().filter_map(|argument| match argument {
        Argument::Value(id) | Argument::Partial(id, _) => Some(*id).filter(|&id| id != 0),
        Argument::Constant => None,
    })
}

fn leaf(seen: &Observed, name: String) -> Result<What> {
    Ok(What::Leaf { name, value: value(seen)?.cast() })
}

fn scalar(seen: &Observed, places: &HashMap<u32, usize>) -> Result<What> {
    let operand = |(i, argument): (usize, &Argument)| match argument {
        Argument::Value(id) | Argument::Partial(id, _) => {
            Ok(Operand::Statement(places.get(id).copied().ok_or_else(|| unknown(seen))?))
        }
        Argument::Constant => constant(seen, i),
    };
    let operands: Vec<Operand> = seen.row.arguments.iter().enumerate().map(operand).collect::<Result<_>>()?;
    let options = options(&seen.row.options);
    if !is_known(&seen.row.op, operands.len(), &options) {
        let why = "what it computes is not kept, only its derivatives, so it can't be saved";
        return Err(Error::invalid("SavedTape", format!("{}: {why}", describe(seen))));
    }
    Ok(What::Scalar { op: seen.row.op.clone(), options, operands })
}

fn constant(seen: &Observed, i: usize) -> Result<Operand> {
    let constant = seen.constants.iter().find(|c| c.operand == i);
    Ok(Operand::Constant(constant.ok_or_else(|| unknown(seen))?.value.cast()))
}

fn value(seen: &Observed) -> Result<&Numbers> {
    seen.value.as_ref().ok_or_else(|| unknown(seen))
}

fn unknown(seen: &Observed) -> Error {
    let message =
        "its values were not kept; call set_observing(true) on the tape before anything is recorded";
    Error::invalid("SavedTape", format!("{}: {message}", describe(seen)))
}

fn describe(seen: &Observed) -> String {
    let site = seen.row.site.as_ref().map(|site| format!(" at {site}")).unwrap_or_default();
    format!("%{} = {}{site}", seen.row.id, seen.row.op)
}
