//! Values by names into the parameters of a model: all of them, or those that fit.
use crate::{
    error::{Error, Result},
    ids::IdMap,
    ops::Float,
    param::{Param, visit_places},
    tensor::{Shape, Tensor},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

/// Which names of a file go to which parameters, and whether all must.
///
/// ```
/// use kolmo::train::LoadOptions;
/// let options = LoadOptions::new().strict(false).prefix("model.").rename(|name| name.replace("fc.", "head."));
/// ```
#[must_use = "options do nothing until `load` is called"]
pub struct LoadOptions {
    strict: bool,
    as_stored: bool,
    prefix: String,
    rename: Option<Rename>,
}

/// The name of a parameter for a name in a file.
type Rename = Box<dyn Fn(&str) -> String>;

impl LoadOptions {
    /// All names of the file are those of the model, and all of the model's are there.
    pub fn new() -> LoadOptions {
        LoadOptions { strict: true, as_stored: false, prefix: String::new(), rename: None }
    }

    /// Whether each name must be on both sides, and shapes agree (`true`, as in PyTorch); else what fits is
    /// loaded, and the [report](LoadReport) tells the rest.
    pub fn strict(mut self, strict: bool) -> LoadOptions {
        self.strict = strict;
        self
    }

    /// Whether weights that the file has in fewer bits than floats are held so
    /// ([packed](crate::compress::Packed)), and not trained; else (`false`) they become floats as they are
    /// read.
    pub fn as_stored(mut self, as_stored: bool) -> LoadOptions {
        self.as_stored = as_stored;
        self
    }

    /// What the names in the file begin with and those of the model don't. A name that doesn't begin so stays
    /// as it is.
    pub fn prefix(mut self, prefix: impl Into<String>) -> LoadOptions {
        self.prefix = prefix.into();
        self
    }

    /// The model's name for a name in the file, from which the prefix has been taken.
    pub fn rename(mut self, rename: impl Fn(&str) -> String + 'static) -> LoadOptions {
        self.rename = Some(Box::new(rename));
        self
    }

    fn named(&self, name: &str) -> String {
        let name = name.strip_prefix(&self.prefix).unwrap_or(name);
        self.rename.as_ref().map_or_else(|| name.to_string(), |rename| rename(name))
    }
}

impl Default for LoadOptions {
    fn default() -> LoadOptions {
        LoadOptions::new()
    }
}

impl fmt::Debug for LoadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoadOptions { strict, as_stored, prefix, rename } = self;
        let mut shown = f.debug_struct("LoadOptions");
        shown
            .field("strict", strict)
            .field("as_stored", as_stored)
            .field("prefix", prefix)
            .field("rename", &rename.is_some())
            .finish()
    }
}

/// What became of the names of a file and of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoadReport {
    /// Parameters that have their values from the file.
    pub loaded: Vec<String>,
    /// Parameters that the file has nothing for; they are as they were.
    pub missing: Vec<String>,
    /// What the file has and the model hasn't, by the model's names.
    pub unexpected: Vec<String>,
    /// Parameters of another shape than in the file, with both shapes; they are as they were.
    pub mismatched: Vec<String>,
}

/// A tensor of a file, of whatever kind.
pub(super) trait Stored {
    /// As a parameter of this shape needs it, or why not.
    fn value<T: Float>(&self, shape: &Shape, as_stored: bool) -> Result<Tensor<T>, Unfit>;
}

/// Why a parameter can't be what is in a file.
pub(super) enum Unfit {
    Shape(String),
    Type(String),
}

/// Puts tensors into the parameters of their names, all or none.
pub(super) fn load<S: Stored>(
    what: &'static str,
    fields: Fields,
    left: BTreeMap<String, S>,
    options: &LoadOptions,
) -> Result<LoadReport> {
    let mut by_name = BTreeMap::new();
    let mut twice = Vec::new();
    for (name, stored) in left {
        let named = options.named(&name);
        if by_name.insert(named.clone(), stored).is_some() {
            twice.push(format!("{named} is what two names become"));
        }
    }
    refuse(what, Vec::new(), Vec::new(), twice)?;
    let (mut report, mut unfit) = (LoadReport::default(), Vec::new());
    let mut jobs: Vec<Box<dyn FnOnce()>> = Vec::new();
    let Fields { singles, doubles, tied } = fields;
    let names: HashSet<String> =
        singles.iter().map(|f| &f.0).chain(doubles.iter().map(|f| &f.0)).cloned().collect();
    plan(singles, &tied, options, &mut by_name, &mut report, &mut unfit, &mut jobs);
    plan(doubles, &tied, options, &mut by_name, &mut report, &mut unfit, &mut jobs);
    // Older files have the step sizes beside weights that are rounded to them.
    let beside = |name: &str| name.strip_suffix(".steps").is_some_and(|of| names.contains(of));
    report.unexpected = by_name.into_keys().filter(|name| !beside(name)).collect();
    if options.strict {
        unfit.append(&mut report.mismatched);
        refuse(what, report.missing, report.unexpected, unfit)?;
        report = LoadReport { loaded: report.loaded, ..LoadReport::default() };
    } else {
        refuse(what, Vec::new(), Vec::new(), unfit)?;
        if report.loaded.is_empty() {
            let message = format!(
                "nothing in the file has a name of the model; missing from the file: {}; not in the model: {}",
                listed(&report.missing),
                listed(&report.unexpected)
            );
            return Err(Error::invalid(what, message));
        }
    }
    jobs.into_iter().for_each(|job| job());
    Ok(report)
}

fn plan<T: Float, S: Stored>(
    fields: Vec<(String, Param<T>)>,
    tied: &BTreeMap<String, Vec<String>>,
    options: &LoadOptions,
    left: &mut BTreeMap<String, S>,
    report: &mut LoadReport,
    unfit: &mut Vec<String>,
    jobs: &mut Vec<Box<dyn FnOnce()>>,
) {
    for (name, p) in fields {
        // Of tied weights a file may have either name, or all.
        let others = tied.get(&name).map_or(&[][..], Vec::as_slice);
        let found: Vec<S> =
            std::iter::once(&name).chain(others).filter_map(|name| left.remove(name)).collect();
        match found.first() {
            None => report.missing.push(name),
            Some(stored) => match stored.value::<T>(&p.shape(), options.as_stored) {
                Ok(value) => {
                    report.loaded.push(name);
                    jobs.push(Box::new(move || p.replace(value)));
                }
                Err(Unfit::Shape(message)) => report.mismatched.push(format!("{name} {message}")),
                Err(Unfit::Type(message)) => unfit.push(format!("{name} {message}")),
            },
        }
    }
}

/// Most names that an error lists.
const LISTED: usize = 12;

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(LISTED);
    let first = names[..names.len() - more].join(", ");
    if more == 0 { first } else { format!("{first}, and {more} more") }
}

/// An error if a file's names and those of a model aren't the same, or tensors are unfit.
pub(super) fn refuse(
    what: &'static str,
    missing: Vec<String>,
    left: Vec<String>,
    unfit: Vec<String>,
) -> Result<()> {
    let lists = [("missing from the file", missing), ("not in the model", left), ("unfit", unfit)];
    let told = lists.iter().filter(|(_, names)| !names.is_empty());
    let told: Vec<String> = told.map(|(what, names)| format!("{what}: {}", listed(names))).collect();
    if told.is_empty() { Ok(()) } else { Err(Error::invalid(what, told.join("; "))) }
}

/// The parameters that are fields of a model, with their names; codebooks and step sizes beside them are not.
/// Only finding them hangs on the model's type: what is done with them is compiled once, not for every model.
pub(super) struct Fields {
    pub singles: Vec<(String, Param<f32>)>,
    pub doubles: Vec<(String, Param<f64>)>,
    /// Of parameters at several places the others, by the name of the first.
    tied: BTreeMap<String, Vec<String>>,
}

impl Fields {
    pub fn of<M: Serialize + ?Sized>(model: &M) -> Fields {
        let mut tied = BTreeMap::new();
        let (singles, doubles) = (places(model, &mut tied), places(model, &mut tied));
        Fields { singles, doubles, tied }
    }
}

/// The parameters of a type with the names of their first places.
fn places<T: Float, M: Serialize + ?Sized>(
    model: &M,
    tied: &mut BTreeMap<String, Vec<String>>,
) -> Vec<(String, Param<T>)> {
    let mut fields: Vec<(String, Param<T>)> = Vec::new();
    let mut known: IdMap<usize> = IdMap::default();
    visit_places(model, |path, p: &Param<T>| match known.get(&p.id()) {
        Some(&first) => tied.entry(fields[first].0.clone()).or_default().push(path.to_string()),
        None => {
            known.insert(p.id(), fields.len());
            fields.push((path.to_string(), p.clone()));
        }
    });
    fields
}
