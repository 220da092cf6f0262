//! The tape as text: one statement a line, each value named by its position.
use crate::{
    ops::Float,
    param::{Param, visit_params},
    tape::{NodeId, Op, StatementId, TENSOR, Tape},
};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, fmt, panic::Location};

/// The statements of a tape at one moment; prints as readable SSA text and goes through serde.
///
/// ```
/// let tape = kolmo::Tape::<f32>::new();
/// let x = tape.input([1.0, 2.0]);
/// let y = (&x * &x).sum();
/// assert_eq!(tape.listing().to_string(), "\
/// %1 = input : f32[2]
/// %2 = mul(%1, %1) : f32[2]
/// %3 = sum(%2, dim=[0], keepdim=false) : f32[]
/// ");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[must_use = "a report is made to be read"]
#[non_exhaustive]
pub struct Listing {
    /// One row per statement.
    pub rows: Vec<Row>,
    #[serde(default)]
    pub(crate) sites: bool,
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Row {
    /// Position on the tape.
    pub id: u32,
    /// Operation; `scalar` for statements of scalars, which are known by their partial derivatives alone
    /// unless the tape is [observed](Tape::set_observing).
    pub op: String,
    /// Operands, in order.
    pub arguments: Vec<Argument>,
    /// Options of the operation.
    pub options: String,
    /// Element type and sizes of the result; no sizes for scalars.
    pub dtype: String,
    /// Sizes of the result; `None` for scalars.
    pub shape: Option<Vec<usize>>,
    /// Name of the parameter.
    pub name: Option<String>,
    /// Source line of the caller, `file:line:column`. Scalars keep theirs while the tape is observed.
    pub site: Option<String>,
}

/// An operand of a statement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Argument {
    /// The result of a statement.
    Value(u32),
    /// Something that is not on the tape.
    Constant,
    /// The partial derivative of a scalar statement at an earlier one.
    Partial(u32, #[serde(with = "crate::numbers")] f64),
}

/// # Reports: the listing
impl<T: Float> Tape<T> {
    /// The statements so far.
    #[doc(alias("make_dot", "print"))]
    pub fn listing(&self) -> Listing {
        let nodes = self.tensors.nodes.borrow();
        let mut rows = Vec::new();
        self.statements.visit(|statement, count, ids, partials| {
            let id = statement as u32;
            let row = |op: &str, arguments| Row {
                id,
                op: op.to_string(),
                arguments,
                options: String::new(),
                dtype: T::NAME.to_string(),
                shape: None,
                name: None,
                site: None,
            };
            if statement == 0 {
                return;
            }
            if count != TENSOR {
                let argument = |(&i, p): (&u32, &T)| match i {
                    0 => Argument::Constant,
                    i => Argument::Partial(i, p.to_f64()),
                };
                let mut arguments: Vec<_> = ids.iter().zip(partials).map(argument).collect();
                if ids == [0] {
                    arguments.clear();
                }
                rows.push(match self.statements.note(StatementId(id)) {
                    Some(note) => {
                        // With several arguments, constants have places of their own.
                        if !arguments.contains(&Argument::Constant) {
                            for (position, _) in &note.constants {
                                let position = arguments.len().min(*position as usize);
                                arguments.insert(position, Argument::Constant);
                            }
                        }
                        let options = note.options.iter().map(|(name, v)| format!("{name}={v}"));
                        Row {
                            options: options.collect::<Vec<_>>().join(", "),
                            site: note.site.map(site),
                            ..row(note.name, arguments)
                        }
                    }
                    None => {
                        arguments.retain(|a| *a != Argument::Constant);
                        row(if arguments.is_empty() { "input" } else { "scalar" }, arguments)
                    }
                });
                return;
            }
            let Some(node) = nodes.get(ids[0] as usize) else { return };
            let mut arguments: Vec<_> = node
                .inputs
                .iter()
                .map(|&n| match nodes.get(n.place()) {
                    Some(input) if n != NodeId::NONE => Argument::Value(input.statement.0),
                    _ => Argument::Constant,
                })
                .collect();
            let mut shape = Some(node.shape.to_vec());
            if let Op::Mixed(mixed) = &node.op {
                if mixed.gives_scalar() {
                    shape = None;
                } else {
                    arguments = mixed.scalars().iter().map(|i| Argument::Value(i.0)).collect();
                }
            }
            rows.push(Row {
                options: node.op.rule().options().into_owned(),
                shape,
                name: if let Op::Param(p) = node.op { Some(p.to_string()) } else { None },
                site: Some(site(node.site)),
                ..row(node.op.rule().name(), arguments)
            });
        });
        Listing { rows, sites: false }
    }
}

fn site(at: &Location<'_>) -> String {
    format!("{}:{}:{}", at.file(), at.line(), at.column())
}

/// The names that parameters, of either type, have in a model, by what a listing calls them: `#17`.
pub(in crate::inspect) fn names_in(model: &(impl Serialize + ?Sized)) -> HashMap<String, String> {
    let mut names = HashMap::new();
    visit_params(model, |path, p: &Param<f32>| drop(names.insert(p.id().to_string(), path.to_string())));
    visit_params(model, |path, p: &Param<f64>| drop(names.insert(p.id().to_string(), path.to_string())));
    names
}

/// Gives rows of parameters their names in a model.
pub(super) fn name_rows<'a>(rows: impl IntoIterator<Item = &'a mut Row>, model: &(impl Serialize + ?Sized)) {
    let names = names_in(model);
    for row in rows {
        if let Some(name) = row.name.as_ref().and_then(|n| names.get(n)) {
            row.name = Some(name.clone());
        }
    }
}

impl Listing {
    /// The listing with the parameters' names in a model.
    pub fn with_names(mut self, model: &(impl Serialize + ?Sized)) -> Listing {
        name_rows(&mut self.rows, model);
        self
    }

    /// The listing with the source line of each statement behind it.
    pub fn with_sites(mut self) -> Listing {
        self.sites = true;
        self
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            write!(f, "%{} = {}", row.id, row.op)?;
            match &row.name {
                Some(name) if !name.starts_with('#') => write!(f, " {name}")?,
                _ => {}
            }
            if !row.arguments.is_empty() {
                write!(f, "(")?;
                for (i, argument) in row.arguments.iter().enumerate() {
                    let sep = if i == 0 { "" } else { ", " };
                    match argument {
                        Argument::Value(id) => write!(f, "{sep}%{id}")?,
                        Argument::Constant => write!(f, "{sep}const")?,
                        Argument::Partial(id, partial) => write!(f, "{sep}{partial}·%{id}")?,
                    }
                }
                if !row.options.is_empty() {
                    write!(f, ", {}", row.options)?;
                }
                write!(f, ")")?;
            }
            write!(f, " : {}", row.dtype)?;
            if let Some(shape) = &row.shape {
                write!(f, "{shape:?}")?;
            }
            match &row.site {
                Some(site) if self.sites => writeln!(f, "  # {site}")?,
                _ => writeln!(f)?,
            }
        }
        Ok(())
    }
}
