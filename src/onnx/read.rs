//! From recordings to a graph: each node that results need, from those before it.
use super::{
    emit::{Arg, Emitter, Fixed, Known},
    functions::REFUSED,
    operations::lower,
    patterns::Pattern,
    seen::Seen,
};
use crate::{
    compress::Affine,
    error::{Checked, Error, Result},
    ops::list::{ShapeOp, Take, TensorOp},
    program::{Operand, Recorded},
    tape::{Choice, NodeId, Op, with_floats},
    tensor::{Shape, Tensor},
};
use std::collections::HashMap;

/// Indices that are inputs, in each recording, and their names.
pub(super) type Indices = [(Vec<Tensor<u32>>, String)];

/// One computation, recorded with each of the sizes.
pub(super) struct Recordings<'a> {
    pub all: &'a [Recorded<f32>],
    /// What the inputs are worth.
    pub given: Vec<Known>,
    pub indices: &'a Indices,
}

impl Recordings<'_> {
    /// The results as values of the graph.
    pub fn read(&self, to: &mut Emitter) -> Result<Vec<Arg>> {
        let first = self.all.first().ok_or_else(|| Error::invalid("onnx", "nothing was recorded"))?;
        let nodes = &first.nodes;
        for other in self.all {
            let differs = |(i, (a, b)): (usize, (&crate::tape::Node<f32>, &crate::tape::Node<f32>))| {
                (a.op.rule().name() != b.op.rule().name()).then_some(i)
            };
            let place = nodes.iter().zip(&other.nodes).enumerate().find_map(differs);
            let length = nodes
                .len()
                .min(other.nodes.len())
                .checked_sub(1)
                .filter(|_| nodes.len() != other.nodes.len());
            if let Some(node) = place.or(length).and_then(|i| nodes.get(i)) {
                let message = "other operations are recorded where inputs have other sizes";
                return Err(Error::op(node.op.rule().name(), message, Some(node.site)));
            }
        }
        let fixed = self.fixed();
        let mut patterns: HashMap<usize, Pattern> = HashMap::new();
        let mut alive = vec![false; nodes.len()];
        first.results.iter().filter_map(Operand::node).for_each(|i| alive[i.place()] = true);
        for i in (0..nodes.len()).rev() {
            if !alive[i] {
                continue;
            }
            let pattern = if fixed[i] { None } else { Pattern::at(first, &fixed, i, to.opset) };
            let needed: Vec<NodeId> = match &pattern {
                Some(pattern) => pattern.needs(),
                None => first.operands[i].iter().filter_map(Operand::node).collect(),
            };
            needed.iter().for_each(|id| alive[id.place()] = true);
            pattern.map(|pattern| patterns.insert(i, pattern));
        }
        let choices: HashMap<NodeId, &Choice<f32>> = first.choices.iter().map(|(id, c)| (*id, c)).collect();
        let mut known: Vec<Option<Known>> = vec![None; nodes.len()];
        for i in (0..nodes.len()).filter(|&i| alive[i]) {
            let node = &nodes[i];
            let value = match patterns.get(&i) {
                Some(pattern) => self.pattern(to, pattern, &known, i),
                None => self.node(to, &known, i, choices.get(&NodeId::at(i)).copied()),
            };
            let named = |e: Error| match e {
                Error::Op(_) => e,
                other => Error::op(node.op.rule().name(), other.to_string(), Some(node.site)),
            };
            known[i] = Some(value.map_err(named)?);
        }
        let results = (0..first.results.len()).map(|k| {
            let results: Vec<&Operand<f32>> = self.all.iter().filter_map(|one| one.results.get(k)).collect();
            self.arg(to, &known, &results)
        });
        results.collect::<Checked<_>>().map_err(|message| Error::invalid("onnx", message))
    }

    /// Which nodes don't hang on inputs of the graph.
    fn fixed(&self) -> Vec<bool> {
        let Some(first) = self.all.first() else { return Vec::new() };
        let mut fixed = Vec::with_capacity(first.nodes.len());
        for (i, node) in first.nodes.iter().enumerate() {
            let input = first.inputs.iter().position(|(id, _)| id.place() == i);
            fixed.push(match (&node.op, input) {
                (_, Some(k)) => matches!(self.given.get(k), Some(Known::Fixed(_))),
                (Op::Param(_), _) => !self.takes_index(i),
                _ => {
                    let mut operands = first.operands[i].iter().filter_map(Operand::node);
                    operands.all(|id| fixed.get(id.place()) == Some(&true)) && !self.takes_index(i)
                }
            });
        }
        fixed
    }

    /// Whether a node reads by an index that is an input.
    fn takes_index(&self, i: usize) -> bool {
        self.all.iter().enumerate().any(|(k, one)| match one.nodes.get(i).map(|node| &node.op) {
            Some(Op::Tensor(TensorOp::Take(op))) => {
                self.indices.iter().any(|(all, _)| all.get(k).is_some_and(|index| op.index_is(index)))
            }
            _ => false,
        })
    }

    /// An operand, or a result.
    fn arg(&self, to: &Emitter, known: &[Option<Known>], operands: &[&Operand<f32>]) -> Checked<Arg> {
        let lost = || String::from("a value that was recorded otherwise at other sizes");
        let shapes: Vec<Shape> = operands
            .iter()
            .zip(self.all)
            .map(|(operand, one)| match operand {
                Operand::Constant(c) => Ok(c.shape().clone()),
                Operand::Node(id) => one.nodes.get(id.place()).map(|n| n.shape.clone()).ok_or_else(lost),
            })
            .collect::<Checked<_>>()?;
        let first = operands.first().ok_or_else(lost)?;
        let known = match first {
            Operand::Node(id) => known.get(id.place()).cloned().flatten().ok_or_else(lost)?,
            Operand::Constant(_) => {
                let value = |operand: &&Operand<f32>| match operand {
                    Operand::Constant(c) => Ok(c.clone()),
                    Operand::Node(_) => Err(lost()),
                };
                Known::Fixed(Fixed {
                    values: operands.iter().map(value).collect::<Checked<_>>()?,
                    made_of: vec![],
                })
            }
        };
        Ok(Arg { known, shape: to.dims(&shapes)?, sizes: shapes.first().cloned().ok_or_else(lost)? })
    }

    fn args(&self, to: &Emitter, known: &[Option<Known>], i: usize) -> Checked<Vec<Arg>> {
        let count = self.all.first().map_or(0, |one| one.operands[i].len());
        let of = |k: usize| {
            let operands: Vec<&Operand<f32>> =
                self.all.iter().filter_map(|one| one.operands[i].get(k)).collect();
            self.arg(to, known, &operands)
        };
        (0..count).map(of).collect()
    }

    /// The value of one node.
    fn node(
        &self,
        to: &mut Emitter,
        known: &[Option<Known>],
        i: usize,
        choice: Option<&Choice<f32>>,
    ) -> Result<Known> {
        let first = &self.all[0];
        let node = &first.nodes[i];
        let invalid = |message: String| Error::op(node.op.rule().name(), message, Some(node.site));
        if let Some(k) = first.inputs.iter().position(|(id, _)| id.place() == i) {
            return self.given.get(k).cloned().ok_or_else(|| invalid("an input without a value".into()));
        }
        if let Op::Param(id) = &node.op {
            let p = first.params.iter().find(|(place, _)| place.place() == i).map(|(_, p)| p.tensor());
            let value = p.ok_or_else(|| invalid("a parameter without a value".into()))?;
            let made_of = to.weights.place(*id).into_iter().collect();
            return Ok(Known::Fixed(Fixed { values: vec![value; self.all.len()], made_of }));
        }
        let x = self.args(to, known, i).map_err(invalid)?;
        let fixed = x.iter().map(|x| match &x.known {
            Known::Fixed(fixed) => Some(fixed),
            Known::Value(_) => None,
        });
        // Rows of a table, as many as an input has, are taken when the model runs.
        let grows = self.all.iter().any(|one| one.nodes[i].shape != node.shape)
            && matches!(
                &node.op,
                Op::Tensor(TensorOp::Take(Take::Rows { .. }) | TensorOp::Shape(ShapeOp::Slice { .. }))
            );
        let beforehand = !grows && !self.takes_index(i);
        if let Some(x) = fixed.collect::<Option<Vec<&Fixed>>>().filter(|_| beforehand) {
            return self.folded(&x, i).map(Known::Fixed).map_err(invalid);
        }
        if let (Op::Custom(rule), [x]) = (&node.op, &x[..])
            && let Some(codes) = rule.inside().and_then(|inside| inside.downcast_ref::<Affine>())
        {
            return to.fake_quantized(x, codes).map(Known::Value).map_err(invalid);
        }
        let ops: Vec<&TensorOp<f32>> = self
            .all
            .iter()
            .map(|one| match &one.nodes[i].op {
                Op::Tensor(op) => Ok(op),
                _ => Err(invalid(REFUSED.into())),
            })
            .collect::<Result<_>>()?;
        if let Some(TensorOp::Fused(_)) = ops.first() {
            return self.unfolded(to, &ops, &x).map(Known::Value);
        }
        let shapes: Vec<&Shape> = self.all.iter().map(|one| &one.nodes[i].shape).collect();
        let shape = to.dims(shapes).map_err(invalid)?;
        let seen = Seen { ops, x, shape, sizes: &node.shape, choice, indices: self.indices };
        lower(to, &seen).map(Known::Value).map_err(invalid)
    }

    /// What is worked out beforehand: once, if it is the same in all recordings.
    fn folded(&self, x: &[&Fixed], i: usize) -> Checked<Fixed> {
        let mut made_of: Vec<usize> = x.iter().flat_map(|x| x.made_of.iter().copied()).collect();
        made_of.sort_unstable();
        made_of.dedup();
        let value = |k: usize| {
            let own: Vec<&Tensor<f32>> = x.iter().filter_map(|x| x.values.get(k)).collect();
            let rule = self.all[k].nodes[i].op.rule();
            with_floats(rule, &own, |x| rule.forward(x))
        };
        let one =
            |x: &Fixed| x.values.windows(2).all(|w| w[0].shares_data(&w[1]) && w[0].shape() == w[1].shape());
        let alike = self.all.windows(2).all(|w| match (&w[0].nodes[i].op, &w[1].nodes[i].op) {
            (Op::Tensor(a), Op::Tensor(b)) => a.same(b),
            _ => false,
        });
        let values = if alike && x.iter().all(|x| one(x)) {
            vec![value(0)?; self.all.len()]
        } else {
            (0..self.all.len()).map(value).collect::<Checked<_>>()?
        };
        Ok(Fixed { values, made_of })
    }

    /// The single operations of a fused expression.
    fn unfolded(&self, to: &mut Emitter, ops: &[&TensorOp<f32>], x: &[Arg]) -> Result<String> {
        let mut all = Vec::new();
        for (k, op) in ops.iter().enumerate() {
            let TensorOp::Fused(op) = op else { continue };
            let given = to.counts.get(k).map_or(&[][..], Vec::as_slice);
            let size = |arg: &Arg| -> Tensor<f32> {
                Tensor::zeros(arg.shape.iter().map(|d| d.at(given) as usize).collect::<Shape>())
            };
            let examples: Vec<Tensor<f32>> = x.iter().map(size).collect();
            let examples: Vec<&Tensor<f32>> = examples.iter().collect();
            all.push(Recorded::of(&examples, &[], &|_, x, _| {
                op.unfold(&x.iter().collect::<Vec<_>>()).into_iter().collect()
            })?);
        }
        let given = x.iter().map(|x| x.known.clone()).collect();
        let results = Recordings { all: &all, given, indices: &[] }.read(to)?;
        let result = results.first().ok_or_else(|| Error::invalid("fused", REFUSED))?;
        to.read(result).map_err(|message| Error::invalid("fused", message))
    }

    fn pattern(
        &self,
        to: &mut Emitter,
        pattern: &Pattern,
        known: &[Option<Known>],
        i: usize,
    ) -> Result<Known> {
        let first = &self.all[0];
        let invalid =
            |message: String| Error::op(first.nodes[i].op.rule().name(), message, Some(first.nodes[i].site));
        let of = |id: NodeId| {
            let operand = Operand::Node(id);
            self.arg(to, known, &vec![&operand; self.all.len()])
        };
        let x: Vec<Arg> = pattern.needs().into_iter().map(of).collect::<Checked<_>>().map_err(invalid)?;
        pattern.lower(to, &x).map(Known::Value).map_err(invalid)
    }
}
