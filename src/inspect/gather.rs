//! How an observation is put together from the listing and what the tape noted while it was observed.
use super::{
    in_use,
    listing::{Argument, Row},
    numbers::Numbers,
    observation::{Constant, Flow, Kept, Observation, Observed},
};
use crate::{
    ops::Float,
    real::{About, about::elementary},
    tape::{Node, Op, Place, Seen, StatementId, Tape, Watch, operand_in},
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
            if let Some(place) = by_statement.get_mut(node.statement.place()) {
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
            seen.layer = watch.layer(StatementId(seen.row.id));
            match node {
                Some(i) => {
                    seen.fill(&watch.seen[i], &mut known);
                    let operands: Option<Vec<&Tensor<T>>> =
                        (0..nodes[i].inputs.len()).map(|k| watch.operand(&nodes[i].inputs, i, k)).collect();
                    let rule = nodes[i].op.rule();
                    seen.tell(&rule.about());
                    if let (Some(x), Some(y)) = (operands, &watch.seen[i].value) {
                        seen.kinks = rule.kinks(&x, y);
                    }
                }
                None => self.fill_scalar(&mut seen, &rows),
            }
            if seen.row.shape.is_none() {
                let adjoint = watch.scalars.get(seen.row.id as usize);
                seen.adjoint = adjoint.map(|a| Numbers::number(a.to_f64()));
            }
            rows.push(seen);
        }
        let flows = flows(watch, &nodes);
        in_use::curve(&mut rows, &flows, watch.seed.map(|id| id.0), size_of::<T>());
        Observation { rows, flows, seed: watch.seed.map(|id| id.0) }
    }

    fn fill_scalar(&self, seen: &mut Observed, before: &[Observed]) {
        let arguments = seen.row.arguments.iter().filter(|a| matches!(a, Argument::Partial(..))).count();
        seen.bytes = 1 + arguments.max(1) * (4 + size_of::<T>());
        let Some(note) = self.statements.note(StatementId(seen.row.id)) else { return };
        seen.value = Some(Numbers::number(note.value));
        seen.constants = note
            .constants
            .iter()
            .map(|&(operand, v)| Constant { operand: operand as usize, value: Numbers::number(v) })
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
        let about = about_scalar(note.name);
        seen.tell(&about);
        let arguments = match operands.as_deref() {
            Some(&[x]) => [x, f64::NAN],
            Some(&[a, b]) => [a, b],
            _ => return,
        };
        seen.kinks = about.is_kink.is_some_and(|is_kink| is_kink(&options, arguments)) as usize;
    }
}

/// What is known of a statement of scalars.
fn about_scalar(name: &str) -> About {
    const PARTIAL: &[&str] = &["ȳ · its partial derivative"];
    match name {
        "dot" => About::formula(
            "Σ aᵢ · bᵢ",
            &["ȳ · the partner"],
            "One statement with as many arguments as there are factors.",
        ),
        "sum_of_squares" => {
            About::formula("Σ aᵢ²", &["ȳ · 2aᵢ"], "One statement with as many arguments as there are terms.")
        }
        "select" => {
            let gradients = &["ȳ where a was taken", "ȳ where b was taken"];
            About::formula("one of a and b, by a mask", gradients, "").exact()
        }
        "fused" => About::formula(
            "an expression, in one statement",
            PARTIAL,
            "Value and derivatives come from one run on dual numbers.",
        ),
        "forward" => {
            About::formula("one block, on dual numbers", PARTIAL, "Nothing inside the block was recorded.")
        }
        "preaccumulate" => About::formula(
            "one block, made short",
            PARTIAL,
            "What the block recorded was replaced by this one statement.",
        ),
        "statement" => About::formula("value with its partial derivatives", PARTIAL, ""),
        name => elementary(name).copied().unwrap_or(About::NOTHING),
    }
}

impl<T: Float> Tape<T> {
    /// What is known of the operation of each statement, by its id.
    pub(crate) fn about_statements(&self) -> Vec<About> {
        let mut all = vec![About::NOTHING; self.statements.len().0];
        for (id, about) in all.iter_mut().enumerate() {
            if let Some(note) = self.statements.note(StatementId::at(id)) {
                *about = about_scalar(note.name);
            }
        }
        for node in self.tensors.nodes.borrow().iter() {
            if let Some(about) = all.get_mut(node.statement.place()) {
                *about = node.op.rule().about();
            }
        }
        all
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
            again: 0,
            nanos: 0,
            backward_nanos: 0,
            kinks: 0,
            kinks_at: About::NOTHING.kinks.into(),
            exact: false,
        }
    }

    /// What is known of its operation.
    fn tell(&mut self, about: &About) {
        self.exact = about.exact;
        self.kinks_at = about.kinks.into();
    }

    /// A statement on tensors.
    fn fill<T: Float>(&mut self, seen: &Seen<T>, known: &mut in_use::Known) {
        self.value = seen.value.as_ref().map(Numbers::of);
        self.constants = seen
            .constants
            .iter()
            .map(|(operand, value)| Constant { operand: *operand as usize, value: Numbers::of(value) })
            .collect();
        self.adjoint = seen.adjoint.as_ref().map(Numbers::of);
        (self.nanos, self.backward_nanos, self.again) = (seen.nanos, seen.backward_nanos, seen.again);
        self.kept = seen
            .kept
            .iter()
            .map(|&(slot, buffer, bytes)| Kept { operand: operand_in(slot), bytes, new: known.add(buffer) })
            .collect();
        self.bytes = self.kept.iter().filter(|k| k.new).map(|k| k.bytes).sum();
    }
}

/// The contributions to adjoints, by statement.
fn flows<T: Float>(watch: &Watch<T>, nodes: &[Node<T>]) -> Vec<Flow> {
    let statement = |place: &Place| match place {
        Place::Node(n) => nodes.get(n.place()).map_or(0, |n| n.statement.0),
        Place::Statement(id) => id.0,
    };
    let flow = |(from, to, element, value): &(Place, Place, Option<usize>, Tensor<T>)| Flow {
        from: statement(from),
        to: statement(to),
        element: *element,
        value: Numbers::of(value),
    };
    watch.flows.iter().map(flow).collect()
}
