//! What a page knows of a tape: the rows of an observation with pictures instead of tensors, formulas, and
//! source text.
use super::{
    picture::{Num, Picture},
    rules::{Formula, formula},
};
use crate::{
    files::read_text,
    inspect::{Argument, CentralDifference, Flow, Kept, Numbers, Observation, Observed},
    ops::Float,
    tape::Tape,
    tensor::Tensor,
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

/// One tape.
#[derive(Debug, Serialize)]
pub(super) struct Data {
    pub title: String,
    dtype: String,
    seed: Option<u32>,
    rows: Vec<Line>,
    flows: Vec<Contribution>,
    formulas: BTreeMap<String, Formula>,
    sources: Vec<Source>,
}

/// One statement.
#[derive(Debug, Serialize)]
struct Line {
    id: u32,
    op: String,
    options: String,
    arguments: Vec<Operand>,
    shape: Option<Vec<usize>>,
    name: Option<String>,
    layer: Option<String>,
    /// Number of the source, line and column in it.
    site: Option<(usize, u32, u32)>,
    value: Option<Picture>,
    adjoint: Option<Picture>,
    kept: Vec<Kept>,
    bytes: usize,
    memory: usize,
    swept: Option<usize>,
    /// What is held for a while in its turn of the sweep.
    again: usize,
    nanos: u64,
    backward_nanos: u64,
    kinks: usize,
    /// Σ v · v̄: what the result gains when the value grows by 100 %, to first order.
    effect: Option<Num>,
    check: Option<Check>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Operand {
    Value { id: u32 },
    Partial { id: u32, partial: Num },
    Constant { constant: Option<Picture> },
}

/// Central differences beside the rule's value.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Check {
    Done { element: usize, step: Num, rule: Num, difference: Num },
    Not { why: String },
}

impl Check {
    fn of(check: Result<CentralDifference, String>) -> Check {
        match check {
            Ok(d) => Check::Done {
                element: d.element,
                step: Num(d.step),
                rule: Num(d.rule),
                difference: Num(d.difference),
            },
            Err(why) => Check::Not { why },
        }
    }
}

#[derive(Debug, Serialize)]
struct Contribution {
    from: u32,
    to: u32,
    element: Option<usize>,
    /// `None` if it is all that the adjoint is.
    value: Option<Picture>,
    /// The adjoint so far, with this contribution; only where it is neither the first nor the last.
    sum: Option<Picture>,
}

/// The parts of a file that recorded something.
#[derive(Debug, Serialize)]
struct Source {
    file: String,
    /// Line numbers and text; none if the file can't be read from here.
    lines: Vec<(u32, String)>,
}

/// Lines shown before and after one that recorded something.
const AROUND: u32 = 5;
/// Elements that are computed at most to check adjoints by differences: about a second of work.
pub(super) const WORK: usize = 300_000_000;

impl Data {
    /// Of what was seen of a tape. Source files are read, but for those whose names and texts are `known`.
    pub fn of<T: Float>(title: &str, tape: &Tape<T>, seen: &Observation, known: &[(String, String)]) -> Data {
        let mut checks = tape.differences(seen, WORK);
        let mut sources = Sources::default();
        let rows: Vec<Line> = seen
            .rows
            .iter()
            .map(|row| {
                let check = checks.remove(&row.row.id).map(Check::of);
                line(row, sources.place(row.row.site.as_deref()), check)
            })
            .collect();
        let about = tape.about_statements();
        let of = |row: &Line| formula(&row.op, about.get(row.id as usize)?);
        let formulas = rows.iter().filter_map(|row| Some((row.op.clone(), of(row)?))).collect();
        Data {
            title: title.to_string(),
            dtype: seen.rows.first().map(|r| r.row.dtype.clone()).unwrap_or_default(),
            seed: seen.seed,
            rows,
            flows: contributions(seen),
            formulas,
            sources: sources.read(known),
        }
    }
}

fn line(row: &Observed, site: Option<(usize, u32, u32)>, check: Option<Check>) -> Line {
    let constant = |operand: usize| row.constants.iter().find(|c| c.operand == operand);
    let operands = row.row.arguments.iter().enumerate().map(|(i, argument)| match *argument {
        Argument::Value(id) if id != 0 => Operand::Value { id },
        Argument::Partial(id, partial) => Operand::Partial { id, partial: Num(partial) },
        _ => Operand::Constant { constant: constant(i).map(|c| Picture::of(&c.value)) },
    });
    let effect = match (&row.value, &row.adjoint) {
        (Some(v), Some(a)) if v.numel() == a.numel() => {
            Some(Num(v.to_vec().iter().zip(a.to_vec()).map(|(v, a)| v * a).sum()))
        }
        _ => None,
    };
    Line {
        id: row.row.id,
        op: row.row.op.clone(),
        options: row.row.options.clone(),
        arguments: operands.collect(),
        shape: row.row.shape.clone(),
        name: row.row.name.clone(),
        layer: row.layer.clone(),
        site,
        value: row.value.as_ref().map(Picture::of),
        adjoint: row.adjoint.as_ref().map(Picture::of),
        kept: row.kept.clone(),
        bytes: row.bytes,
        memory: row.memory,
        swept: row.backward_memory,
        again: row.again,
        nanos: row.nanos,
        backward_nanos: row.backward_nanos,
        kinks: row.kinks,
        effect,
        check,
    }
}

fn contributions(seen: &Observation) -> Vec<Contribution> {
    let mut all: HashMap<u32, usize> = HashMap::new();
    seen.flows.iter().for_each(|flow| *all.entry(flow.to).or_default() += 1);
    let mut given: HashMap<u32, usize> = HashMap::new();
    let mut sums: HashMap<u32, Tensor<f64>> = HashMap::new();
    let mut out = Vec::with_capacity(seen.flows.len());
    for flow in &seen.flows {
        let n = all.get(&flow.to).copied().unwrap_or(1);
        let turn = given.entry(flow.to).and_modify(|turn| *turn += 1).or_insert(1);
        let adjoint = seen.rows.get((flow.to as usize).wrapping_sub(1)).and_then(|r| r.adjoint.as_ref());
        let Flow { from, to, element, .. } = *flow;
        let value = (n > 1 || element.is_some() || adjoint.is_none()).then(|| Picture::of(&flow.value));
        // The first sum is the contribution, and the last one the adjoint.
        let mut sum = None;
        if let (true, Some(adjoint)) = (*turn < n, adjoint) {
            let so_far = sums.entry(to).or_insert_with(|| Tensor::zeros(adjoint.shape()));
            add(so_far, flow);
            sum = (*turn > 1 || element.is_some()).then(|| Picture::of(&Numbers::F64(so_far.clone())));
        } else {
            sums.remove(&to);
        }
        out.push(Contribution { from, to, element, value, sum });
    }
    out
}

/// Adds a contribution to an adjoint so far.
fn add(so_far: &mut Tensor<f64>, flow: &Flow) {
    let (part, sum) = (flow.value.to_vec(), so_far.as_mut_slice());
    let into = match flow.element {
        Some(i) => sum.get_mut(i..).unwrap_or_default(),
        None => sum,
    };
    into.iter_mut().zip(part).for_each(|(s, p)| *s += p);
}

/// The files that statements come from, and the lines in them.
#[derive(Default)]
struct Sources(Vec<(String, Vec<u32>)>);

impl Sources {
    /// `file:line:column` with the number of the file.
    fn place(&mut self, site: Option<&str>) -> Option<(usize, u32, u32)> {
        let (rest, column) = site?.rsplit_once(':')?;
        let (file, line) = rest.rsplit_once(':')?;
        let line = line.parse().ok()?;
        let known = self.0.iter().position(|(f, _)| f == file);
        let i = known.unwrap_or_else(|| {
            self.0.push((file.to_string(), Vec::new()));
            self.0.len() - 1
        });
        self.0[i].1.push(line);
        Some((i, line, column.parse().ok()?))
    }

    fn read(self, known: &[(String, String)]) -> Vec<Source> {
        let read = |(file, used): (String, Vec<u32>)| {
            let known = known.iter().find(|(name, _)| *name == file).map(|(_, text)| text.clone());
            let text = known.or_else(|| read_text(Path::new(&file)).ok()).unwrap_or_default();
            let near = |n: u32| used.iter().any(|&u| n.abs_diff(u) <= AROUND);
            let lines = (1..).zip(text.lines()).filter(|(n, _)| near(*n));
            Source { lines: lines.map(|(n, text)| (n, text.to_string())).collect(), file }
        };
        self.0.into_iter().map(read).collect()
    }
}
