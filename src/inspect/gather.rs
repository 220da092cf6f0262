//! How an observation is put together from the listing and what the tape noted while it was observed.
use super::{
    in_use,
    listing::{Argument, Row},
    observation::{Constant, Flow, Kept, Observation, Observed},
};
use crate::{
    ops::{Float, kinks},
    tape::{Node, OUTPUT, Op, Place, Seen, Tape, Watch},
    tensor::Tensor,
};

/// # Reports: all that was observed
impl<T: Float> Tape<T> {
    /// What has been recorded since the last [`reset`](Tape::reset), and the last `backward`. Without
    /// [`set_observing`](Tape::set_observing) it is the listing, and no numbers.
    pub fn observation(&self) -> Observation {
        let mut none = Watch::default();
        let mut watch = self.tensors.watch.borrow_mut();
        let watch = watch.as_mut().unwrap_or(&mut none);
        let nodes = self.tensors.nodes.borrow();
        watch.complete(nodes.len());
        let mut by_statement = vec![None; self.statements.len().0];
        for (i, node) in nodes.iter().enumerate() {
            if let Some(place) = by_statement.get_mut(node.statement as usize) {
                *place = Some(i);
            }
        }
        let params: Vec<usize> = nodes
            .iter()
            .zip(&watch.seen)
            .filter(|(node, _)| matches!(node.op, Op::Param(_)))
            .filter_map(|(_, seen)| seen.value.as_ref().map(Tensor::buffer_id))
            .collect();
        let mut known = in_use::Known::new(params);
        let mut rows = Vec::new();
        for row in self.listing().rows {
            let node = by_statement.get(row.id as usize).copied().flatten();
            let mut seen = Observed::of(row);
            seen.layer = watch.layer(seen.row.id);
            match node {
                Some(i) => {
                    seen.fill(&watch.seen[i], &mut known);
                    let operands: Option<Vec<&Tensor<T>>> =
                        (0..nodes[i].inputs.len()).map(|k| watch.operand(&nodes[i].inputs, i, k)).collect();
                    if let (Some(x), Some(y)) = (operands, &watch.seen[i].value) {
                        seen.kinks = nodes[i].op.rule().kinks(&x, y);
                    }
                }
                None => self.fill_scalar(&mut seen, &rows),
            }
            if seen.row.shape.is_none() {
                let adjoint = watch.scalars.get(seen.row.id as usize);
                seen.adjoint = adjoint.map(|a| Tensor::scalar(a.to_f64()));
            }
            rows.push(seen);
        }
        let flows = flows(watch, &nodes);
        in_use::curve(&mut rows, &flows, watch.seed, size_of::<T>());
        Observation { rows, flows, seed: watch.seed }
    }

    fn fill_scalar(&self, seen: &mut Observed, before: &[Observed]) {
        let arguments = seen.row.arguments.iter().filter(|a| matches!(a, Argument::Partial(..))).count();
        seen.bytes = 1 + arguments.max(1) * (4 + size_of::<T>());
        let Some(note) = self.statements.note(seen.row.id) else { return };
        seen.value = Some(Tensor::scalar(note.value));
        seen.constants = note
            .constants
            .iter()
            .map(|&(operand, v)| Constant { operand: operand as usize, value: Tensor::scalar(v) })
            .collect();
        let mut constants = note.constants.iter();
        let operands: Option<Vec<f64>> = seen
            .row
            .arguments
            .iter()
            .map(|argument| match argument {
                Argument::Value(id) | Argument::Partial(id, _) => {
                    before.get((*id as usize).wrapping_sub(1))?.value.as_ref()?.item().ok()
                }
                Argument::Constant => constants.next().map(|(_, v)| *v),
            })
            .collect();
        let options: Vec<f64> = note.options.iter().map(|(_, v)| *v).collect();
        seen.kinks = operands.is_some_and(|x| kinks::is_kink(note.name, &options, &x)) as usize;
    }
}

impl Observed {
    fn of(row: Row) -> Observed {
        Observed {
            row,
            layer: None,
            value: None,
            constants: Vec::new(),
            adjoint: None,
            kept: Vec::new(),
            bytes: 0,
            memory: 0,
            backward_memory: None,
            nanos: 0,
            backward_nanos: 0,
            kinks: 0,
        }
    }

    /// A statement on tensors.
    fn fill<T: Float>(&mut self, seen: &Seen<T>, known: &mut in_use::Known) {
        self.value = seen.value.as_ref().map(Tensor::cast);
        self.constants = seen
            .constants
            .iter()
            .map(|(operand, value)| Constant { operand: *operand as usize, value: value.cast() })
            .collect();
        self.adjoint = seen.adjoint.as_ref().map(Tensor::cast);
        (self.nanos, self.backward_nanos) = (seen.nanos, seen.backward_nanos);
        self.kept = seen
            .kept
            .iter()
            .map(|&(slot, buffer, bytes)| Kept {
                operand: (slot != OUTPUT).then_some(slot as usize),
                bytes,
                new: known.add(buffer),
            })
            .collect();
        self.bytes = self.kept.iter().filter(|k| k.new).map(|k| k.bytes).sum();
    }
}

/// The contributions to adjoints, by statement.
fn flows<T: Float>(watch: &Watch<T>, nodes: &[Node<T>]) -> Vec<Flow> {
    let statement = |place: &Place| match place {
        Place::Node(n) => nodes.get(*n as usize).map_or(0, |n| n.statement),
        Place::Statement(id) => *id,
    };
    let flow = |(from, to, element, value): &(Place, Place, Option<usize>, Tensor<T>)| Flow {
        from: statement(from),
        to: statement(to),
        element: *element,
        value: value.cast(),
    };
    watch.flows.iter().map(flow).collect()
}
