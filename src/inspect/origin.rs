//! Where a statement comes from: operation, layer and source line, and sums over each of these.
use super::{layers::layers, observation::Observed};
use crate::{
    ops::Float,
    tape::{Node, Tape},
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// What a report adds up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupBy {
    /// The operation's name.
    Operation,
    /// The layer that it belongs to, see [`Origin::layer`].
    Layer,
    /// The line of the user's own code.
    Line,
}

/// Where a statement comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Origin {
    /// Name of the operation, as in the [`Listing`](crate::inspect::Listing).
    pub op: String,
    /// The layer that it belongs to, by the rules of
    /// [`Observation::with_names`](crate::inspect::Observation::with_names); `None` before `with_names`, and if
    /// no parameter comes before it.
    pub layer: Option<String>,
    /// Source line of the caller, `file:line:column`.
    pub site: Option<String>,
}

impl Origin {
    pub(crate) fn of(seen: &Observed) -> Origin {
        Origin { op: seen.row.op.clone(), layer: seen.layer.clone(), site: seen.row.site.clone() }
    }

    /// Whether it is an input or a parameter, for which nothing is computed.
    pub(crate) fn is_leaf(&self) -> bool {
        matches!(self.op.as_str(), "input" | "param")
    }

    /// What it is added to.
    pub(crate) fn key(&self, by: GroupBy) -> String {
        let known = match by {
            GroupBy::Operation => Some(self.op.clone()),
            GroupBy::Layer => self.layer.clone(),
            GroupBy::Line => self.line(),
        };
        known.unwrap_or_else(|| "–".into())
    }

    /// The source line without the column.
    pub(crate) fn line(&self) -> Option<String> {
        let site = self.site.as_deref()?;
        Some(site.rsplit_once(':').map_or(site, |(line, _)| line).into())
    }
}

/// The layers of a tape's statements by their names in a model.
pub(crate) fn layers_of<T: Float>(model: &(impl Serialize + ?Sized), tape: &Tape<T>) -> HashMap<u32, String> {
    let rows = tape.listing().with_names(model).rows;
    let layers = layers(rows.iter());
    rows.iter().zip(layers).filter_map(|(row, layer)| Some((row.id, layer?))).collect()
}

/// A parameter's name without its last part, or all of it if there is but one.
pub(crate) fn layer_of(name: &str) -> &str {
    let name = name.strip_suffix(".codebook").unwrap_or(name);
    name.rsplit_once('.').map_or(name, |(layer, _)| layer)
}

impl Origin {
    /// That of a node, without its layer.
    pub(crate) fn of_node<T: Float>(node: &Node<T>) -> Origin {
        Origin { op: node.op.rule().name().to_string(), layer: None, site: Some(node.site.to_string()) }
    }
}

/// Sums over entries of one origin, in the order of their first appearance.
pub(crate) fn sums<'a, E: 'a, G: Default>(
    entries: impl IntoIterator<Item = &'a E>,
    origin: impl Fn(&E) -> &Origin,
    by: GroupBy,
    add: impl Fn(&mut G, &E),
) -> Vec<(String, G)> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<(String, G)> = Vec::new();
    for entry in entries {
        let key = origin(entry).key(by);
        let place = *places.entry(key.clone()).or_insert(groups.len());
        if place == groups.len() {
            groups.push((key, G::default()));
        }
        if let Some((_, group)) = groups.get_mut(place) {
            add(group, entry);
        }
    }
    groups
}
