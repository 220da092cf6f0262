//! What a tape keeps for the reverse sweep, and which rule reads it.
use super::{
    GroupBy, Origin,
    origin::{layers_of, sums},
    table::{Table, bytes, count, percent, total},
};
use crate::{
    ops::Float,
    tape::{NodeId, Op, Tape, operand_in},
};
use serde::{Deserialize, Serialize};
use std::{cmp::Reverse, collections::HashSet, fmt};

/// What a tape keeps for the reverse sweep, and why; see [`Tape::memory`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[must_use = "a report is made to be read"]
#[non_exhaustive]
pub struct Memory {
    /// One for each tensor that a rule will read, in the order of the statements.
    pub kept: Vec<KeptTensor>,
    /// Statements of scalars.
    pub scalars: usize,
    /// Bytes of their arguments and partial derivatives.
    pub scalar_bytes: usize,
    /// Operations whose values a sweep has freed.
    pub freed: usize,
}

/// A tensor that a derivative rule will read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeptTensor {
    /// The statement whose rule reads it.
    pub id: u32,
    /// Where that statement comes from.
    #[serde(flatten)]
    pub origin: Origin,
    /// Which of the statement's operands it is, from 0; `None` if it is the result, or was found beside it.
    pub operand: Option<usize>,
    /// The statement that made it; `None` for a constant.
    pub value: Option<u32>,
    /// What made it: an operation's name, or `constant`.
    pub made_by: String,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Bytes of its buffer.
    pub bytes: usize,
    /// Whether its bytes are added up here: not those of parameters, which are there anyway, nor those of a
    /// buffer that an earlier entry has.
    pub counted: bool,
}

/// KeptTensor tensors of one operation, layer or line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MemoryGroup {
    /// The operation, layer or line.
    pub name: String,
    /// Bytes, each buffer once, parameters not counted.
    pub bytes: usize,
    /// Buffers that these are.
    pub buffers: usize,
    /// Tensors that rules will read, parameters and shared buffers too.
    pub reads: usize,
}

/// # Reports: memory
impl<T: Float> Tape<T> {
    /// What is kept for the reverse sweep, and which rule reads it. A sweep frees it, so ask before
    /// [`backward`](crate::Var::backward).
    ///
    /// ```
    /// use kolmo::{Random, Tape, Tensor, inspect::GroupBy, nn::{Layer, Linear, Relu, Sequential}};
    /// let rng = &mut Random::new(0);
    /// let net = Sequential((Linear::new(64, 32, rng), Relu, Linear::new(32, 10, rng)));
    /// let tape = Tape::new();
    /// let loss = net.forward(&tape.input(Tensor::zeros([16, 64]))).square().mean();
    /// let memory = tape.memory().with_names(&net, &tape);
    /// println!("{memory}");
    /// // The input of each layer, the scores before relu, and the scores that are squared.
    /// assert_eq!(memory.bytes(), 4 * 16 * (64 + 32 + 32 + 10));
    /// assert_eq!(memory.group_by(GroupBy::Layer)[0].bytes, 4 * 16 * (64 + 32));
    /// # drop(loss);
    /// ```
    pub fn memory(&self) -> Memory {
        let nodes = self.tensors.nodes.borrow();
        let values = self.tensors.kept.borrow();
        let mut seen: HashSet<usize> = HashSet::new();
        self.each_param(|p| {
            seen.insert(p.buffer_id());
        });
        let mut kept = Vec::new();
        for node in nodes.iter() {
            let own = values.get(node.kept_range()).unwrap_or_default();
            for (slot, value) in own.iter().filter_map(|(slot, value)| Some((*slot, value.as_ref()?))) {
                let operand = operand_in(slot);
                let source = match operand {
                    Some(i) => {
                        node.inputs.get(i).filter(|&&n| n != NodeId::NONE).and_then(|&n| nodes.get(n.place()))
                    }
                    None => Some(node),
                };
                let parameter = source.is_some_and(|n| matches!(n.op, Op::Param(_)));
                let new = seen.insert(value.buffer_id());
                kept.push(KeptTensor {
                    id: node.statement.0,
                    origin: Origin::of_node(node),
                    operand,
                    value: source.map(|n| n.statement.0),
                    made_by: source.map_or("constant", |n| n.op.rule().name()).to_string(),
                    shape: value.shape().to_vec(),
                    bytes: value.buffer_bytes(),
                    counted: new && !parameter,
                });
            }
        }
        let (statements, arguments, scalars) = self.statements.len();
        Memory {
            kept,
            scalars,
            scalar_bytes: if scalars > 0 { statements + arguments * (4 + size_of::<T>()) } else { 0 },
            freed: nodes.iter().filter(|n| n.spent).count(),
        }
    }
}

impl Memory {
    /// With the layers' names in a model that the tape has run.
    pub fn with_names<T: Float>(mut self, model: &(impl Serialize + ?Sized), tape: &Tape<T>) -> Memory {
        let layers = layers_of(model, tape);
        self.kept.iter_mut().for_each(|k| k.origin.layer = layers.get(&k.id).cloned());
        self
    }

    /// Bytes of the tensors, each buffer once, parameters not counted: [`Tape::saved_bytes`].
    pub fn bytes(&self) -> usize {
        total(self.kept.iter().filter(|k| k.counted).map(|k| k.bytes))
    }

    /// The sums over each operation, layer or line, the largest first.
    pub fn group_by(&self, by: GroupBy) -> Vec<MemoryGroup> {
        let groups = sums(
            &self.kept,
            |k| &k.origin,
            by,
            |group: &mut (usize, usize, usize), k| {
                group.0 = group.0.saturating_add(if k.counted { k.bytes } else { 0 });
                group.1 += usize::from(k.counted);
                group.2 += 1;
            },
        );
        let group = |(name, (bytes, buffers, reads))| MemoryGroup { name, bytes, buffers, reads };
        let mut groups: Vec<MemoryGroup> = groups.into_iter().map(group).collect();
        groups.sort_by_key(|g| Reverse(g.bytes));
        groups
    }

    /// The tensors whose bytes are counted, the largest first.
    pub fn largest(&self) -> Vec<&KeptTensor> {
        let mut largest: Vec<&KeptTensor> = self.kept.iter().filter(|k| k.counted).collect();
        largest.sort_by_key(|k| Reverse(k.bytes));
        largest
    }
}

impl fmt::Display for KeptTensor {
    /// Which rule reads what: `relu %7 reads its operand 0, %6 = linear [16, 32]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %{} reads its ", self.origin.op, self.id)?;
        match (self.operand, self.value) {
            (None, _) => write!(f, "result {:?}", self.shape),
            (Some(i), Some(id)) => write!(f, "operand {i}, %{id} = {} {:?}", self.made_by, self.shape),
            (Some(i), None) => write!(f, "operand {i}, a constant {:?}", self.shape),
        }
    }
}

/// How many rows of a table are printed.
const ROWS: usize = 12;

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (total, buffers) = (self.bytes(), self.kept.iter().filter(|k| k.counted).count());
        writeln!(
            f,
            "kept for the reverse sweep: {} in {} tensors, parameters not counted",
            bytes(total),
            count(buffers)
        )?;
        if self.scalars > 0 {
            writeln!(f, "statements of scalars: {} in {}", bytes(self.scalar_bytes), count(self.scalars))?;
        }
        if self.freed > 0 {
            writeln!(f, "a sweep has freed what {} operations kept", count(self.freed))?;
        }
        for (by, head) in
            [(GroupBy::Operation, "operation"), (GroupBy::Layer, "layer"), (GroupBy::Line, "line")]
        {
            let groups = self.group_by(by);
            if groups.iter().all(|g| g.name == "–") {
                continue;
            }
            let mut table = Table::new(&[head, ">bytes", ">share", ">tensors", ">reads"]);
            for g in groups.iter().take(ROWS) {
                let share = percent(g.bytes as f64, total as f64);
                table.row([g.name.clone(), bytes(g.bytes), share, count(g.buffers), count(g.reads)]);
            }
            write!(f, "\n{table}")?;
            if groups.len() > ROWS {
                writeln!(f, "and {} more", groups.len() - ROWS)?;
            }
        }
        let mut table = Table::new(&[">largest", "why", "line"]);
        for k in self.largest().into_iter().take(ROWS) {
            table.row([bytes(k.bytes), k.to_string(), k.origin.line().unwrap_or_default()]);
        }
        if buffers > 0 { write!(f, "\n{table}") } else { Ok(()) }
    }
}
